"""What all optimizers share: clipping, weight decay, averaging, constraints, state, and one atomic step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..core.op import Array
from ..core.tensor import Variable
from ..utils.registry import Serializable, plain
from .gradients import NonFiniteGradient, clipped, first_nonfinite, norms
from .pending import Pending, Slots

_KERAS_2 = {"lr": "learning_rate=", "decay": "a learning-rate schedule as learning_rate="}


class Optimizer(Serializable):
    """Base of all optimizers. One step: clip, decay, update, average, constrain.

    `learning_rate` is a number, or a function of the number of calls so far (a schedule). At most one of
    `clipnorm` (each gradient: `g · c / max(‖g‖, c)`), `global_clipnorm` (the same with the norm of all) and
    `clipvalue`. `weight_decay` d: `w −= w · d · learning_rate`, before the update. `use_ema` keeps averages
    `a = m a + (1 − m) w`, which replace the weights at every `ema_overwrite_frequency`-th step and in
    `finalize_variable_values`. With `gradient_accumulation_steps` k every k-th call updates, with the mean of
    k gradients.

    A subclass names its `slots` (arrays kept per variable) and defines `update`. A call computes all new values
    first and puts them in place at its end: one that raises, in a constraint too, changes nothing.

    >>> class Plain(Optimizer):
    ...     def update(self, w, g, lr, t):
    ...         return w - lr * g
    >>> w = Variable([1.0, 2.0])
    >>> Plain(0.5).apply_gradients([(np.array([2.0, 0.0]), w)])
    >>> w.tolist()
    [0.0, 2.0]
    """

    slots: tuple[str, ...] = ()
    initial: ClassVar[dict[str, str]] = {}  # slot -> attribute with its first value (else 0)

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        for key in unknown:
            hint = f"; use {_KERAS_2[key]}" if key in _KERAS_2 else ""
            raise TypeError(f"{type(self).__name__}: unknown argument {key!r}{hint}")
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = {key: value for key, value in clips.items() if value is not None}
        if len(given) > 1 or any(not value > 0 for value in given.values()):
            raise ValueError(
                f"expected at most one of clipnorm, clipvalue and global_clipnorm, > 0; received {given}"
            )
        if not 0 <= ema_momentum <= 1:
            raise ValueError(f"ema_momentum: expected a number in [0, 1], received {ema_momentum!r}")
        for what, count, least in (
            ("ema_overwrite_frequency", ema_overwrite_frequency, 1),
            ("gradient_accumulation_steps", gradient_accumulation_steps, 2),
        ):
            if count is not None and (not isinstance(count, int) or count < least):
                raise ValueError(f"{what}: expected None or an integer ≥ {least}, received {count!r}")
        self.name = name or type(self).__name__.lower()
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._learning_rate: float | Callable[[int], Any] = _rate(learning_rate)
        self._calls = 0
        self._variables: list[Variable] = []
        self._arrays: Slots = {}
        self._spare: Slots = {}  # a second set of slots: a step works in it, and then changes the sets over
        self._undecayed: tuple[set[int], tuple[str, ...]] = (set(), ())

    # --- settings -------------------------------------------------------------------------------

    @property
    def learning_rate(self) -> float:
        """The current rate (of a schedule: its value now). Assign a number or a schedule to change it."""
        rate = self._learning_rate
        return float(rate(self._calls)) if callable(rate) else rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(self._learning_rate) and not callable(value):
            raise TypeError(
                f"{self.name}: the learning rate follows a schedule and cannot be set to {value!r}; "
                "give the optimizer a number as learning_rate, or assign another schedule"
            )
        self._learning_rate = _rate(value)

    @property
    def iterations(self) -> int:
        """Number of updates so far."""
        return self._calls // (self.gradient_accumulation_steps or 1)

    @iterations.setter
    def iterations(self, value: int) -> None:
        self._calls = int(value) * (self.gradient_accumulation_steps or 1)

    @property
    def variables(self) -> list[Variable]:
        """The variables it has met, in order."""
        return list(self._variables)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] = (), var_names: Iterable[str] = ()
    ) -> None:
        """Spare these variables, and those with one of the strings in their name, from weight decay."""
        self._undecayed = ({id(v) for v in var_list or ()}, tuple(var_names or ()))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer, without its state."""
        rate = self._learning_rate
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
        for variable in variables:
            if id(variable) in after.slots:
                continue
            names = list(self.slots)
            names += ["average"] * self.use_ema
            names += ["accumulator"] * bool(self.gradient_accumulation_steps)
            after.variables.append(variable)
            after.slots[id(variable)] = {
                name: np.full(variable.shape, getattr(self, self.initial.get(name, ""), 0.0), variable.dtype)
                for name in names
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
        ready, lengths, targets = self._checked(grads, targets)
        rate = _rate(self.learning_rate)
        assert not callable(rate)
        after = self._pending(targets)
        with np.errstate(over="ignore", under="ignore"):
            if self.gradient_accumulation_steps:
                ready, lengths = self._accumulated(ready, targets, after.slots)
            if ready:
                ready = clipped(ready, lengths, self.clipnorm, self.clipvalue, self.global_clipnorm)
                for variable, g in zip(targets, ready, strict=True):
                    self._update(variable, g, rate, after)
            if self.use_ema:
                self._average(after)
        for variable in targets:
            after.constrain(variable)
        for variable in after.variables:  # from here on nothing raises
            if id(variable) in after.values:
                variable.replace(after.values[id(variable)])
        self._variables, self._arrays = after.variables, after.slots
        self._spare.update(after.replaced)
        self._calls += 1

    def update(self, *args: Any, **slots: Any) -> Any:
        """`update(w, g, lr, t, **slots)`: the new weight, a new array. Slots are changed in place."""
        raise NotImplementedError(f"{type(self).__name__} must define update(self, w, g, lr, t, **slots)")

    def _checked(
        self, grads: Sequence[Any], variables: list[Variable]
    ) -> tuple[list[Array], list[float], list[Variable]]:
        """The gradients that are there, as arrays, their norms and variables; errors for what does not fit."""
        found = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        missing = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
        if not found:
            raise ValueError(f"{self.name}: every gradient is None; does the loss depend on {missing}?")
        arrays = [np.asarray(g, v.dtype, order="C") for g, v in found]
        for array, (_, v) in zip(arrays, found, strict=True):
            if array.shape != v.shape:
                raise ValueError(
                    f"{self.name}: gradient of shape {array.shape} for {v.path!r} of shape {v.shape}"
                )
        targets = [v for _, v in found]
        lengths = self._norms(arrays, targets)
        if missing:
            warnings.warn(f"{self.name}: no gradient for {missing}; not updated", stacklevel=4)
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

    def _update(self, variable: Variable, g: Array, rate: float, after: Pending) -> None:
        # In the order of its slots, as mixed orders cost ten times as much; and no number, which out= does not take.
        w = np.ascontiguousarray(after.value(variable))
        ids, names = self._undecayed
        if self.weight_decay and id(variable) not in ids and not any(n in variable.path for n in names):
            w = w * (1.0 - self.weight_decay * rate)
        copies = after.copy_slots(variable, self.slots, self._spare)
        slots = {name: array.reshape(w.shape) for name, array in copies.items()}
        new = self.update(w, g.reshape(w.shape), rate, self.iterations + 1, **slots)
        after.values[id(variable)] = np.asarray(new, variable.dtype).reshape(variable.shape)

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
            if self.use_ema and id(variable) in self._arrays:
                variable.assign(self._arrays[id(variable)]["average"])

    # --- state ----------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """What `restore` needs to undo all steps from here on, in this process."""
        slots = {key: {name: a.copy() for name, a in arrays.items()} for key, arrays in self._arrays.items()}
        return self._variables, slots, self._calls

    def restore(self, snapshot: Any) -> None:
        """Go back to a `snapshot`."""
        self._variables, self._arrays, self._calls = snapshot

    def state(self) -> dict[str, Array]:
        """Copies of what `load_state` needs to go on bit for bit: counter, rate, slots by variable number."""
        state = {"calls": np.array(self._calls)}
        if not callable(self._learning_rate):
            state["learning_rate"] = np.array(self._learning_rate)
        for i, variable in enumerate(self._variables):
            for name, array in self._arrays[id(variable)].items():
                state[f"{i}/{name}"] = array.copy()
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` gave, after `build` with the same variables in the same order.

        Raises `ValueError` that lists every array missing, unknown or of another shape; then nothing changes.
        """
        own = self.state()
        wrong = [f"{key} is missing" for key in own if key not in state]
        wrong += [f"{key} is unknown" for key in state if key not in own]
        wrong += [
            f"{key} has shape {np.shape(state[key])}, expected {own[key].shape}"
            for key in own
            if key in state and np.shape(state[key]) != own[key].shape
        ]
        if wrong:
            raise ValueError(f"{self.name}: the state does not fit (build it first?): {'; '.join(wrong)}")
        arrays = {
            id(variable): {
                name: np.array(state[f"{i}/{name}"], array.dtype)
                for name, array in self._arrays[id(variable)].items()
            }
            for i, variable in enumerate(self._variables)
        }
        if "learning_rate" in own:
            self._learning_rate = float(state["learning_rate"])
        self._calls, self._arrays = int(state["calls"]), arrays


def _rate(value: Any) -> float | Callable[[int], Any]:
    if callable(value):
        schedule: Callable[[int], Any] = value
        return schedule
    if isinstance(value, (bool, str)) or value is None or not 0 <= float(value) < math.inf:
        raise ValueError(f"learning_rate: expected a finite number ≥ 0 or a schedule, received {value!r}")
    return float(value)
