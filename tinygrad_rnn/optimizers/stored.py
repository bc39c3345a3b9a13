"""The state of an optimizer: undone, copied, written down and taken up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.tensor import Variable
from .pending import Slots
from .rate import checked


class Stored:
    """What an optimizer keeps between its steps, beside its settings."""

    name: str | None
    weight_decay: float | None
    swapped: bool  # the averages stand in the place of the weights
    _variables: list[Variable]
    _arrays: Slots
    _spare: Slots
    _calls: int
    _rate: Any
    _rate_counts: bool
    _undecayed: dict[int, Variable]

    def _decays(self, variable: Variable) -> bool:
        raise NotImplementedError

    def snapshot(self) -> Any:
        """What `restore` needs to undo all steps from here on, and what changes the rate, in this process."""
        slots = {key: {name: a.copy() for name, a in arrays.items()} for key, arrays in self._arrays.items()}
        rate = self._rate, self._rate_counts
        return self._variables, slots, self._calls, self.swapped, self._undecayed, *rate

    def restore(self, snapshot: Any) -> None:
        """Go back to a `snapshot`."""
        self._variables, self._arrays, self._calls, self.swapped, self._undecayed, *rate = snapshot
        self._rate, self._rate_counts = rate
        self._spare = {}  # of variables that may be no more

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle: what belongs to a variable in the order of the variables."""
        arrays = [self._arrays[id(v)] for v in self._variables]
        return {**vars(self), "_arrays": arrays, "_spare": {}, "_undecayed": list(self._undecayed.values())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it over for these variables."""
        vars(self).update(state)
        self._arrays = {id(v): kept for v, kept in zip(self._variables, state["_arrays"], strict=True)}
        self._undecayed = {id(v): v for v in state["_undecayed"]}

    def state(self) -> dict[str, Array]:
        """Copies of what `load_state` needs to go on bit for bit: counter, rate, slots by variable number."""
        return self._state_of(self._variables)

    def state_among(self, weights: Sequence[Variable]) -> tuple[list[int], dict[str, Array]]:
        """For a file: which of `weights` it was built with, as numbers, and the `state` of these.

        Others, of layers that the model no longer has, are left out.
        """
        place = {id(v): i for i, v in enumerate(weights)}
        variables = [v for v in self._variables if id(v) in place]
        return [place[id(v)] for v in variables], self._state_of(variables)

    def _state_of(self, variables: list[Variable]) -> dict[str, Array]:
        state = {"calls": np.array(self._calls)}
        if not callable(self._rate):
            state["learning_rate"] = np.array(self._rate)
        if self.weight_decay:
            state["undecayed"] = np.array([not self._decays(v) for v in variables], bool)
        for i, variable in enumerate(variables):
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
            self._rate = checked(state["learning_rate"])
        if "undecayed" in own:
            spared = compress(self._variables, state["undecayed"])
            self._undecayed = self._undecayed | {id(v): v for v in spared}
        self._calls, self._arrays, self.swapped = int(state["calls"]), arrays, False
