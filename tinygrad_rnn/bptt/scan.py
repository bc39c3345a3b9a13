"""`scan`: run a step function over time. Back-propagation through time falls out of the recorded graph.

Every recurrent layer, cell and decoder goes through it. In unrolled mode the steps are recorded one by
one, so each intermediate value has its node, stamped with its time step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..config import Mode, Scope, mode, switched
from ..core.arrays import freeze
from ..core.tensor import Tensor
from ..denormals import flushed
from ..ops.creation import convert_to_tensor, zeros_like
from ..ops.elementwise import logical_not
from ..ops.shape import flip, stack, unstack
from ..warn import warn
from .derived import outputs_of, run
from .known import Recurrence
from .masked import Masked, of_valid_steps, selected, valid_steps
from .outside.kinds import library
from .passes import regroup
from .plan import Large
from .step.body import Underivable

Step = Callable[[Any, list[Any], Any], tuple[Any, Any]]

CHECKPOINTS = (None, "sqrt")


def scan(
    step: Step,
    xs: Any,
    states: Sequence[Any],
    constants: Any = (),
    *,
    derive: bool | None = None,
    go_backwards: bool = False,
    mask: Any = None,
    checkpoint: str | None = None,
    return_sequences: bool = True,
) -> tuple[Any, list[Any]]:
    """Run `output_t, states = step(x_t, states, constants)` for every time step.

    `xs` is a tensor `(batch, time, ...)` or a tuple of them (then `x_t` is a tuple); `states` a list of
    tensors; `constants` reach `step` as they are. Returns the outputs `(batch, time, ...)` in processing
    order (a tuple of them if `step` gives one; the last one alone without `return_sequences`) and the
    last states. `go_backwards` runs from the last step to the first. Where `mask` `(batch, time)` is
    False, every state is kept and the output repeats the previous one (0 before the first valid step).
    Tensors that `step` closes over get gradients too.

    `derive` chooses between derived mode (True), where `step` is traced a few times and its loop and backward
    pass are written as NumPy code, and unrolled mode (False), where every step is recorded; None follows
    `tg.derived()` and `tg.unrolled()` around it. A step that cannot be derived runs unrolled, and a warning says
    why.

    Raises `ValueError` for no time steps, sequences of unequal length, or a mask of another shape; and
    with the time step if `step` returns a wrong number, shape or kind of outputs or states (`TypeError` for
    what is no Tensor).

    >>> total, last = scan(lambda x, s, c: (s[0] + x, [s[0] + x]), np.ones((1, 3, 2)), [np.zeros((1, 2))])
    >>> total[..., 0].tolist(), last[0].tolist()
    ([[1.0, 2.0, 3.0]], [[3.0, 3.0]])
    """
    if not callable(step):
        raise TypeError(f"{_place(mode())}: expected a step function, received {step!r}")
    if xs is None or isinstance(xs, dict) or isinstance(xs, list) and any(isinstance(x, Tensor) for x in xs):
        raise TypeError(
            f"{_place(mode())}: expected a sequence (batch, time, ...), or a tuple of them, received a "
            f"{type(xs).__name__}"
        )
    sequences = [convert_to_tensor(x) for x in _as_tuple(xs)]
    _length(sequences)
    keep = None if mask is None else _mask(mask, sequences[0].shape[:2])
    if keep is not None:
        sequences = [of_valid_steps(x, keep) for x in sequences]
    if not isinstance(states, (list, tuple)):
        raise TypeError(f"{_place(mode())}: expected a list of states, received a {type(states).__name__}")
    given = [convert_to_tensor(s) for s in states]
    if keep is not None:
        _of_examples("state", given, len(keep), _place(mode()))
    recurrence = Recurrence(step, sequences, given, constants, isinstance(xs, tuple))
    if checkpoint not in CHECKPOINTS:
        raise ValueError(f"{_place(mode())}: checkpoint must be None or 'sqrt', received {checkpoint!r}")
    with flushed():
        return _run(recurrence, derive, go_backwards, keep, return_sequences, checkpoint)


def _run(
    recurrence: Recurrence,
    derive: bool | None,
    go_backwards: bool,
    keep: Any,
    return_sequences: bool,
    checkpoint: str | None,
) -> tuple[Any, list[Any]]:
    """Run derived, if that is wanted and possible, else unrolled."""
    wanted = mode().derive if derive is None else derive
    monitor = mode().monitor
    watched = monitor is not None and not monitor.recording
    recorded = watched or mode().wide  # wide: float types are mixed
    if recorded:  # every op is to be seen, also in a step of another recurrence, which keeps what it needs
        checkpoint = None
    reason = ""
    if checkpoint or (wanted and not recorded):
        try:
            return _derived(recurrence, go_backwards, keep, return_sequences, checkpoint)
        except Underivable as error:
            reason = str(error)
        if monitor is not None:
            monitor.refuse("a recurrence that runs unrolled: what its step depends on is not watched")
        if checkpoint:  # what is wrong with the step itself, its first step says
            first = [Tensor(x._data[:, :1], None) for x in recurrence.sequences]
            unrolled(recurrence._replace(sequences=first))
            raise ValueError(f"{_place(mode())}: checkpoint needs derived mode, and {reason}")
    result = unrolled(recurrence, go_backwards, keep, return_sequences)
    if reason:
        _say(f"{_place(mode())}, {_described(recurrence.step)}: {reason}; the recurrence runs unrolled")
    return result


def unrolled(
    recurrence: Recurrence, go_backwards: bool = False, keep: Any = None, return_sequences: bool = True
) -> tuple[Any, list[Any]]:
    """Record every step."""
    step, sequences, states, constants, several_in = recurrence
    current = list(states)  # a step may change the list that it is given
    length = sequences[0].shape[1]
    pieces = [unstack(x, axis=1) for x in sequences]
    order = range(length - 1, -1, -1) if go_backwards else range(length)
    outputs: list[Any] = []
    here = mode()
    for t in order:
        x_t = tuple(p[t] for p in pieces) if several_in else pieces[0][t]
        with switched(scope=Scope(here.scope.layer, t)):
            several_out, output, new = _pair(step(x_t, current, constants), here, t)
            new = _checked(new, current, here, t)
            if keep is not None:
                _of_examples("output", output, len(keep), f"{_place(here)}, step {t}")
                valid = keep[:, t]
                previous = outputs[-1] if outputs else [zeros_like(o) for o in output]
                new, output = selected(valid, new, current), tuple(selected(valid, output, previous))
        current = new
        outputs.append(output)
    joined = tuple(
        stack([o[i] for o in outputs], axis=1) if return_sequences else outputs[-1][i]
        for i in range(len(outputs[0]))
    )
    return (joined if several_out else joined[0]), current


def _derived(
    recurrence: Recurrence, go_backwards: bool, keep: Any, return_sequences: bool, checkpoint: str | None
) -> tuple[Any, list[Any]]:
    """Run in derived mode; raises `Underivable`."""
    count, constants = len(recurrence.states), recurrence.constants

    def again(xs: list[Tensor], states: list[Tensor]) -> Any:
        return unrolled(ordered._replace(sequences=xs, states=states))

    ordered = recurrence
    if go_backwards:
        ordered = ordered._replace(sequences=[flip(x, 1) for x in ordered.sequences])
    if keep is not None:
        padding = logical_not(keep if isinstance(keep, Tensor) else Tensor(freeze(keep), None))
        ordered = _with_mask(ordered, flip(padding, 1) if go_backwards else padding)
    given = not isinstance(constants, (list, tuple, dict)) or bool(constants)
    # among the constants, weights in a memory would cost as much as some steps
    left_out = {"regroup"} if given and ordered.sequences[0].shape[1] < regroup.STEPS else set()
    order = go_backwards, not return_sequences

    def run_without(*passes: str) -> tuple[tuple[Tensor, ...], list[Tensor], bool]:
        with switched(passes=mode().passes.union(left_out, passes)):
            return run(ordered, again, checkpoint is not None, order)

    try:
        outputs, last, several_out = run_without()
    except Large:  # for the weighted means of pass `lerp`
        outputs, last, several_out = run_without("lerp")
    return (outputs if several_out else outputs[0]), last[:count]


def _with_mask(recurrence: Recurrence, padding: Tensor) -> Recurrence:
    """The step that repeats its outputs: those that are no states, starting from zeros, become states."""
    step, sequences, states, constants, several_in = recurrence
    zero = [s._node is None and not np.any(np.asarray(s)) for s in states]
    outputs, repeated = [], []
    for shape, dtype, places in outputs_of(recurrence):
        found = [j for j in places if zero[j]]
        repeated.append(found[0] if found else None)
        if shape[:1] != padding.shape[:1]:
            raise Underivable(f"an output of shape {shape} has no axis of the examples, which a mask needs")
        outputs.append(Tensor(np.zeros(shape, dtype), None))
    masked = Masked(step, several_in, outputs, repeated)
    return Recurrence(masked, [*sequences, padding], [*states, *masked.first_outputs()], constants, True)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _place(here: Mode) -> str:
    return f"layer {here.scope.layer!r}" if here.scope.layer else "scan"


def _length(sequences: list[Tensor]) -> int:
    """The common number of time steps."""
    place = _place(mode())
    for x in sequences:
        if x.ndim < 2:
            raise ValueError(f"{place}: expected sequences (batch, time, ...), received shape {x.shape}")
    if not sequences:
        raise ValueError(f"{place}: expected at least one sequence, received an empty tuple")
    lengths = {x.shape[1] for x in sequences}
    if len(lengths) > 1:
        raise ValueError(
            f"{place}: sequences of unequal length: {', '.join(str(x.shape) for x in sequences)}"
        )
    length = lengths.pop()
    if length == 0:
        raise ValueError(
            f"{place}: the sequence has no time steps (shape {sequences[0].shape}); expected at least one"
        )
    return length


def _mask(mask: Any, expected: tuple[int, ...]) -> Any:
    if np.shape(mask) != expected:
        raise ValueError(f"{_place(mode())}: expected a mask of shape {expected}, received {np.shape(mask)}")
    return valid_steps(mask)


def _of_examples(what: str, tensors: Sequence[Tensor], batch: int, place: str) -> None:
    """A mask says which examples a step counts for: refuse what has no axis of these."""
    for i, tensor in enumerate(tensors):
        if tensor.shape[:1] != (batch,):
            raise ValueError(
                f"{place}: with a mask, expected {what} {i} of shape (batch, ...) for a batch of {batch}, received "
                f"shape {tensor.shape}"
            )


class UnrolledWarning(UserWarning):
    """A recurrence could not be derived, and runs unrolled; the message says why."""


_said: set[str] = set()


def _described(step: Any) -> str:
    """A step function, or the cell whose step it is, by its name and where it is written."""
    function = getattr(step, "__func__", step)
    name = f"step {getattr(function, '__qualname__', type(step).__name__)}"
    owner: Any = getattr(step, "__self__", None)
    if getattr(function, "__name__", "") in getattr(owner, "step_methods", ()):
        return ", ".join(f"cell {_at(type(c).__name__, type(c).call)}" for c in _own_cells(owner.cell))
    return _at(name, function)


def _own_cells(cell: Any) -> list[Any]:
    """The cells of a stack that a user wrote; the cell itself if it is none, or all are the package's."""
    inside = [own for one in getattr(cell, "cells", ()) for own in _own_cells(one)]
    return [own for own in inside if not library(type(own).__module__)] or [cell]


def _at(name: str, function: Any) -> str:
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


def _say(message: str) -> None:
    """Warn once."""
    if message not in _said:
        _said.add(message)
        warn(message, UnrolledWarning)


def _pair(made: Any, here: Mode, t: int) -> tuple[bool, tuple[Any, ...], Any]:
    """Whether the outputs that a step returned are several, these as Tensors, and its states."""
    place = f"{_place(here)}, step {t}"
    if not isinstance(made, (list, tuple)) or len(made) != 2:
        what = f"{len(made)} values" if isinstance(made, (list, tuple)) else f"a {type(made).__name__}"
        raise ValueError(f"{place}: expected the step function to return (output, states), received {what}")
    output, new = made
    for i, one in enumerate(_as_tuple(output)):
        if not isinstance(one, (Tensor, np.ndarray)):
            raise TypeError(
                f"{place}: output {i} is a {type(one).__name__}, expected a Tensor; several outputs are a tuple"
            )
        if one.ndim == 0:
            raise ValueError(
                f"{place}: output {i} has no axes, expected shape (batch, ...); broadcast it over the batch"
            )
    return isinstance(output, tuple), tuple([convert_to_tensor(one) for one in _as_tuple(output)]), new


def _checked(new: Any, current: list[Tensor], here: Mode, t: int) -> list[Tensor]:
    """The states that a step returned: as many as went in, with the same shapes."""
    new = list(new) if isinstance(new, (list, tuple)) else [new]
    if len(new) != len(current):
        place = f"{_place(here)}, step {t}"
        raise ValueError(f"{place}: the step function returned {len(new)} states, expected {len(current)}")
    for i, (after, before) in enumerate(zip(new, current, strict=True)):
        if isinstance(after, Tensor) and after._data.shape == before._data.shape:
            continue
        place = f"{_place(here)}, step {t}"
        if not isinstance(after, Tensor):
            raise TypeError(
                f"{place}: state {i} is a {type(after).__name__}, expected a Tensor; compute it with ops "
                "from the tensors given, so that gradients can flow through it"
            )
        raise ValueError(f"{place}: state {i} changed shape from {before.shape} to {after.shape}")
    checked: list[Tensor] = new
    return checked
