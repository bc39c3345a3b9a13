"""What all optimizers share: clipping, weight decay, averaging, constraints, state, and one atomic step."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np

from ..core.op import Array
from ..core.tensor import Variable
from ..denormals import flushed
from ..utils.registry import Serializable, plain
from ..warn import warn
from .arguments import check, refuse_unknown
from .gradients import NonFiniteGradient, as_arrays, clipped, first_nonfinite, norms
from .pending import Pending, Slots
from .rate import Rate
from .stored import Stored


@dataclass(eq=False)
class Optimizer(Stored, Serializable):
    """Base of all optimizers. One step: clip, decay, update, average, constrain.

    `learning_rate` is a number, or a schedule: a function of the number of calls so far. At most one of
    `clipnorm` (each gradient: `g · c / max(‖g‖, c)`), `global_clipnorm` (the same with the norm of all) and
    `clipvalue`. `weight_decay` d: `w −= w · d · learning_rate`, before the update. `use_ema` keeps averages
    `a = m a + (1 − m) w`, which replace the weights at every `ema_overwrite_frequency`-th step and in
    `finalize_variable_values`. With `gradient_accumulation_steps` k every k-th call updates, with the mean of
    k gradients.

    A subclass defines `update` and, if it keeps arrays per variable, `slots`; it is a dataclass if it has
    arguments of its own. A call computes all new values first and puts them in place at its end: one that
    raises, in a constraint too, changes nothing. Raises `TypeError` for unknown arguments, `ValueError` for
    numbers out of range.

    >>> @dataclass(eq=False)
    ... class Stepped(Optimizer):
    ...     size: float = 1.0
    ...     def update(self, w, g, lr, t):
    ...         return w - lr * self.size * np.sign(g)
    >>> w = Variable([1.0, 2.0])
    >>> Stepped(0.5, size=2.0).apply_gradients([(np.array([3.0, 0.0]), w)])
    >>> w.tolist()
    [0.0, 2.0]
    """

    learning_rate: Any = Rate(0.001)
    _: KW_ONLY
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    gradient_accumulation_steps: int | None = None
    name: str | None = None

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse unknown arguments, with the successor of those that Keras 2 had."""
        refuse_unknown(cls, options)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check the arguments, and start from no steps."""
        self.name = self.name or type(self).__name__.lower()
        check(self)
        self._calls = 0
        self._variables: list[Variable] = []
        self._arrays: Slots = {}
        self._spare: Slots = {}  # a second set of slots: a step works in it, and then changes the sets over
        self.swapped = False  # the weights and their averages have changed places
        self._undecayed: dict[int, Variable] = {}
        self._undecayed_names: tuple[str, ...] = ()

    # --- settings -------------------------------------------------------------------------------

    @property
    def iterations(self) -> int:
        """Number of updates so far."""
        return self._calls // (self.gradient_accumulation_steps or 1)

    @iterations.setter
    def iterations(self, value: int) -> None:
        self._calls = int(value) * (self.gradient_accumulation_steps or 1)

    @property
    def lr(self) -> float:
        """What Keras 2 called `learning_rate`: raises `AttributeError`, as setting it would change nothing."""
        raise AttributeError(f"{self.name}: 'lr' is no more; instead: learning_rate")

    @lr.setter
    def lr(self, value: Any) -> None:
        raise AttributeError(f"{self.name}: 'lr' is no more; instead: learning_rate")

    @property
    def calls(self) -> int:
        """Number of steps so far, with those that only accumulated gradients."""
        return self._calls

    @property
    def variables(self) -> list[Variable]:
        """The variables it has met, in order."""
        return list(self._variables)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Spare these variables, and those in whose name one of the regular expressions is found."""
        self._undecayed = {id(v): v for v in var_list or ()}
        self._undecayed_names = tuple(var_names or ())

    def _decays(self, variable: Variable) -> bool:
        spared = any(re.search(pattern, str(variable.name)) for pattern in self._undecayed_names)
        return bool(self.weight_decay) and id(variable) not in self._undecayed and not spared

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer, without its state."""
        rate = self._rate
        if callable(rate) and not hasattr(rate, "get_config"):
            raise ValueError(f"{self.name}: a function as learning_rate has no config; use a schedule")
        return {**super().get_config(), "learning_rate": plain(rate)}

    # --- the step -------------------------------------------------------------------------------

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the slots of `variables` (the first step does it otherwise)."""
        after = self._pending(variables)
        self._variables, self._arrays = after.variables, after.slots

    def _pending(self, variables: Iterable[Variable]) -> Pending:
        """The variables met so far and these, with all their slots."""
        after = Pending(self._variables, self._arrays)
        first: dict[str, Any] = self.slots()
        if self.use_ema:
            first["average"] = None  # the value that the variable has now
        if self.gradient_accumulation_steps:
            first["accumulator"] = 0.0
        for variable in variables:
            if id(variable) not in after.slots:
                after.variables.append(variable)
                after.slots[id(variable)] = {}
            kept = after.slots[id(variable)]
            if not first.keys() <= kept.keys():  # a new variable, or a setting that was changed since
                after.slots[id(variable)] = kept | {
                    name: np.full(
                        variable.shape, variable.numpy() if value is None else value, variable.dtype
                    )
                    for name, value in first.items()
                    if name not in kept
                }
        return after

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> None:
        """Update variables from pairs (gradient, variable); see `apply`."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])

    def apply(self, grads: Sequence[Any], variables: Sequence[Variable] | None = None) -> None:
        """Update `variables` (default: those it was built with) with arrays or Tensors of gradients.

        A gradient of None is skipped with a warning. Raises, before anything changes, `ValueError` for a
        wrong shape or if all are None, `NonFiniteGradient` (a `FloatingPointError`) for NaN or infinity, with
        the path.
        """
        targets = self._variables if variables is None else list(variables)
        if len(grads) != len(targets):
            raise ValueError(f"{self.name}: received {len(grads)} gradients for {len(targets)} variables")
        if self.swapped:
            raise RuntimeError(
                f"{self.name}: the weights are averages now; call swap_averages() before a step"
            )
        ready, lengths, targets = self._checked(grads, targets)
        rate = self.learning_rate
        after = self._pending(targets)
        with np.errstate(over="ignore", under="ignore"):
            if self.gradient_accumulation_steps:
                ready, lengths = self._accumulated(ready, targets, after.slots)
            if ready:
                ready = clipped(ready, lengths, self.clipnorm, self.clipvalue, self.global_clipnorm)
                names, t = list(self.slots()), self.iterations + 1
                with flushed() if names else nullcontext():  # slots decay, and would be denormal for ever
                    for variable, g in zip(targets, ready, strict=True):
                        self._update(variable, g, rate, t, names, after)
            if self.use_ema:
                self._average(after)
        for variable in targets:
            after.constrain(variable)
        self._put(after)

    def _put(self, after: Pending) -> None:
        """Put all new values in place, or none: Ctrl-C may come between two of them."""
        changed = [v for v in after.variables if id(v) in after.values]
        before = [v._data for v in changed], self._variables, self._arrays, self._calls
        try:
            for variable in changed:
                variable.replace(after.values[id(variable)])
            self._variables, self._arrays = after.variables, after.slots
            self._spare.update(after.replaced)
            self._calls += 1
        except BaseException:
            values, self._variables, self._arrays, self._calls = before
            self._spare = {}  # it may have what is used again
            for variable, value in zip(changed, values, strict=True):
                variable.replace(value)
            raise

    def slots(self) -> dict[str, float]:
        """The arrays kept for each variable, of its shape: name -> first value."""
        return {}

    def update(self, *args: Any, **slots: Any) -> Any:
        """`update(w, g, lr, t, **slots)`: the new weight, a new array. Slots are changed in place."""
        raise NotImplementedError(f"{type(self).__name__} must define update(self, w, g, lr, t, **slots)")

    def _checked(
        self, grads: Sequence[Any], variables: list[Variable]
    ) -> tuple[list[Array], list[float], list[Variable]]:
        """The gradients that are there, as arrays, their norms and variables; errors for what does not fit."""
        if not variables:
            raise ValueError(
                f"{self.name}: there are no variables to update; a model has its weights after its first call, so "
                "take trainable_weights then"
            )
        arrays, targets, missing = as_arrays(grads, variables, str(self.name))
        if not arrays:
            raise ValueError(f"{self.name}: every gradient is None; does the loss depend on {missing}?")
        lengths = self._norms(arrays, targets)
        if missing:
            warn(f"{self.name}: no gradient for {missing}; not updated")
        return arrays, lengths, targets

    def _norms(self, grads: list[Array], variables: list[Variable]) -> list[float]:
        """The norms of the gradients; an error if one is not finite."""
        lengths = norms(grads)
        if not math.isfinite(sum(lengths)) and (path := first_nonfinite(grads, variables)) is not None:
            raise NonFiniteGradient(
                f"{self.name}: the gradient of {path!r} is not finite; no weight was changed. "
                "debug_nans() names the op that made it",
                path,
            )
        return lengths

    def _accumulated(
        self, grads: list[Array], variables: list[Variable], slots: Slots
    ) -> tuple[list[Array], list[float]]:
        """The mean of the last k gradients and its norms at every k-th call, nothing at the others."""
        k = self.gradient_accumulation_steps
        assert k is not None
        for variable, g in zip(variables, grads, strict=True):
            kept = slots[id(variable)]
            slots[id(variable)] = kept | {"accumulator": np.asarray(kept["accumulator"] + g)}
        if (self._calls + 1) % k:
            return [], []
        means = [np.asarray(slots[id(v)]["accumulator"] / k) for v in variables]
        for key, kept in slots.items():
            slots[key] = kept | {"accumulator": np.zeros_like(kept["accumulator"])}
        return means, self._norms(means, variables)

    def _update(
        self, variable: Variable, g: Array, rate: float, t: int, names: list[str], after: Pending
    ) -> None:
        # In the order of its slots, as mixed orders cost ten times as much; and no number, which out= does not take.
        w = np.ascontiguousarray(after.value(variable))
        if self.weight_decay and self._decays(variable):
            w = w * (1.0 - self.weight_decay * rate)
        slots = after.copy_slots(variable, names, self._spare) if names else {}
        if g.shape != w.shape:  # of a number
            g, slots = g.reshape(w.shape), {name: array.reshape(w.shape) for name, array in slots.items()}
        new = np.asarray(self.update(w, g, rate, t, **slots), variable.dtype)
        after.values[id(variable)] = new if new.shape == variable.shape else new.reshape(variable.shape)

    def _average(self, after: Pending) -> None:
        m = self.ema_momentum if self.iterations else 0.0
        overwrite = self.ema_overwrite_frequency
        for variable in after.variables:
            kept = after.slots[id(variable)]
            average = np.asarray(m * kept["average"] + (1.0 - m) * after.value(variable))
            after.slots[id(variable)] = kept | {"average": average}
            if overwrite and (self.iterations + 1) % overwrite == 0:
                after.values[id(variable)] = average

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Replace the weights by their averages, if `use_ema` (at the end of training)."""
        for variable in var_list:
            if self.use_ema and (kept := self._arrays.get(id(variable))) is not None:
                if self.swapped:
                    kept["average"] = variable.numpy().copy()
                else:
                    variable.assign(kept["average"])
        self.swapped = False

    def swap_averages(self) -> None:
        """Let the weights and their averages change places; the next call changes them back.

        In between the model can be evaluated, saved or finished, but not trained. Raises `ValueError` without
        `use_ema`.
        """
        if not self.use_ema:
            raise ValueError(f"{self.name}: there are no averages; make the optimizer with use_ema=True")
        for variable in self._variables:
            kept, value = self._arrays[id(variable)], variable.numpy().copy()
            variable.assign(kept["average"])
            kept["average"] = value
        self.swapped = not self.swapped
