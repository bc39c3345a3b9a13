"""Whether a step can be derived: what it does must depend on its inputs alone, and change nothing else."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import OrderedDict
from itertools import zip_longest
from time import perf_counter, sleep
from typing import Any

import numpy as np

from ..config import mode
from ..core.op import Array
from ..warn import warn
from .outside.likeness import kind_of
from .outside.purity import Surroundings
from .step.body import Body, Underivable, Value
from .step.tracer import Tracer, trace

# What was found about steps: the structures that are free of side effects, or the reason why not.
_examined: OrderedDict[Any, Any] = OrderedDict()
EXAMINED_KEPT = 512
STRUCTURES_KEPT = 64  # of one kind of step: a number may be another one at every call
RESTLESS = 16  # calls in a row, each with a structure of its own: it is time to say so
LOOKS = 3  # what has changed every time was changed by the step, and not by another thread


class Structures(dict[Any, None]):
    """The structures of one kind of step, as keys; a warning, once, if a number in them never stays."""

    last: Any = None
    fresh = 0  # calls in a row with other numbers than ever before

    def count(self, structure: Any, body: Body) -> None:
        """Add the structure of a call."""
        last = self.last or structure
        ops = [*zip(body.values, last[3], structure[3], strict=False)]
        # all is the same but for the ops, and these are but for numbers
        same = (last[:3], last[4:], len(last[3])) == (structure[:3], structure[4:], len(structure[3]))
        alike = same and all((a[0], a[3:]) == (b[0], b[3:]) for _, a, b in ops)
        self.fresh = self.fresh + 1 if alike and structure not in self else min(self.fresh, 0)
        if self.fresh == RESTLESS:
            self.fresh = -sys.maxsize
            site = next((value.site for value, before, now in ops if before != now), "")
            warn(
                f"{site or 'the step'}: another number than before, {RESTLESS} calls in a row; each time the step is "
                "derived anew, which may take longer than it saves. A number that changes costs nothing as a "
                "tg.Variable(..., trainable=False) to which its values are assigned"
            )
        self[structure], self.last = None, structure
        for oldest in list(self)[:-STRUCTURES_KEPT]:  # no iterator, which another thread could make stale
            self.pop(oldest, None)


class Elsewhere(Underivable):
    """What a step depends on changes without it: that is not to be put back."""


def examine(step: Any, inputs: Any, constants: Any, several_in: bool) -> Tracer:
    """Trace a step; the first time, make sure that it depends on its inputs alone and changes nothing else.

    Raises `Underivable` with the reason, also for whatever the step itself raises: unrolled, it says where.
    """
    shapes = tuple([(a.shape, a.dtype) for group in inputs for a, _ in group])
    key = (kind_of(step), shapes, mode().training)
    known = _examined.setdefault(key, Structures())
    if isinstance(known, str):
        raise Underivable(known)
    surroundings = Surroundings(step, constants)
    try:
        tracer = trace(step, inputs[0], inputs[1], constants, several_in)
        if surroundings.built():  # it has its weights now: look again
            return examine(step, inputs, constants, several_in)
        structure = tracer.body.key()
        # the same ops may come about in another way: a chance that was 0 is none now
        if structure not in known or surroundings.changed(tracer):
            _check_pure(step, inputs, constants, several_in, tracer, surroundings)
    except Exception as error:
        if not surroundings.built() and not isinstance(error, Elsewhere):  # weights that were made stay
            surroundings.undo()
            surroundings.rewind()
        if not isinstance(error, Underivable):
            raise Underivable(f"the step raised {type(error).__name__}: {error}") from error
        _examined[key] = str(error)
        raise
    else:
        known.count(structure, tracer.body)
    finally:
        while len(_examined) > EXAMINED_KEPT:
            _examined.popitem(last=False)
    return tracer


def _check_pure(
    step: Any, inputs: Any, constants: Any, several_in: bool, tracer: Tracer, around: Surroundings
) -> None:
    """Run the step on other values: what it does must not depend on them, nor on how often it was called."""
    rng = np.random.default_rng(0)
    other = [[(_other(a, rng), w) for a, w in group] for group in inputs]
    try:
        again = trace(step, other[0], other[1], constants, several_in, before=tracer)
    except IndexError:  # ids among floats
        other = [[(abs(a) % 1 if a.dtype.kind == "f" else a, w) for a, w in group] for group in other]
        again = trace(step, other[0], other[1], constants, several_in, before=tracer)
    if again.body.key() != tracer.body.key():
        site = _first_difference(tracer.body.values, again.body.values)
        raise Underivable(
            f"{site or 'the step'} does something else when it is called again, or with other values"
        )
    for value, a, b in zip(tracer.body.constants, tracer.body.bound, again.body.bound, strict=True):
        if a is not b and not np.array_equal(
            np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind in "fc"
        ):
            site = next((v.site for v in tracer.body.values if value in v.args), "")
            raise Underivable(
                f"{site or 'the step'} uses an array that is random, as dropout is, or depends on values that "
                "are no longer Tensors"
            )
    if drawn := around.drawn(tracer):
        raise Underivable(f"the step draws from {drawn}")
    changed, drawn, looks, start = around.changes(), around.moved(), 1, perf_counter()
    while changed or drawn:  # nothing is put back before it is clear that it was the step
        if looks == LOOKS:
            around = Surroundings(step, constants)
            sleep(perf_counter() - start)
            if elsewhere := around.changes() or around.moved():
                raise Elsewhere(f"another thread changes {elsewhere}")
            raise Underivable(f"the step changes {changed}" if changed else f"the step draws from {drawn}")
        around = Surroundings(step, constants)
        trace(step, other[0], other[1], constants, several_in)
        changed, drawn, looks = around.changes(), around.moved(), looks + 1
    outside = {number for number, v in again.known.items() if v.op == "constant"}
    made = [(v.site, t._data) for v, t in again.body.tensors.items() if v.op != "constant"]
    arrays = [(site, data) for site, data in made if id(data) not in outside]
    computed = [(site, weakref.ref(a)) for site, a in arrays if isinstance(a, np.ndarray)]
    del again, arrays, made
    _check_forgotten(computed)


def _first_difference(values: list[Value], again: list[Value]) -> str:
    """The line of the first op that is another one in a second trace, or of another number."""

    def seen(v: Value | None) -> Any:
        numbers = [repr(a) for a in v.args if not isinstance(a, Value)] if v else []
        return v and (v.op, v.shape, v.dtype, v.site, numbers)

    return next(((b or a).site for a, b in zip_longest(values, again) if seen(a) != seen(b)), "")


def _check_forgotten(computed: list[tuple[str, weakref.ref[Array]]]) -> None:
    """Make sure that nothing holds what a step computed, now that its trace is gone."""
    if any(array() is not None for _, array in computed):
        gc.collect()  # the step may have left a cycle
    for site, array in reversed(computed):
        if array() is not None:
            raise Underivable(f"{site or 'the step'} keeps a tensor outside of the step")


def _other(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype.kind not in "fc":
        return array
    return rng.standard_normal(array.shape).astype(array.dtype)
