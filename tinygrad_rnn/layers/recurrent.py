"""`Recurrent`: how every recurrent layer is called, and how the states that it keeps are read, set and reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .layer import Layer

if TYPE_CHECKING:
    from .rnn import RNN


class Recurrent(Layer):
    """Base of `RNN` and `Bidirectional`, which consist of one or two `directions`."""

    supports_masking = True
    stateful: bool

    def directions(self) -> list[RNN]:
        """The recurrences inside."""
        raise TypeError(f"{type(self).__name__} has no directions(); define it")

    def __call__(self, sequences: Any, *args: Any, **options: Any) -> Any:
        """`layer(sequences, initial_state=None, mask=None, training=None)`.

        The mask of `sequences` is used unless `mask` is given, also when `initial_state` is.
        """
        if args:
            names = ("initial_state", "mask", "training")
            if len(args) > len(names):
                raise TypeError(f"{self.name}: expected (sequences, {', '.join(names)}), received more")
            options |= dict(zip(names, args, strict=False))
        if "constants" in options:
            raise TypeError(
                f"{self.name}: the argument 'constants' is no more; concatenate them to the inputs, or keep "
                "them as attributes of the cell"
            )
        return super().__call__(sequences, **options)

    @property
    def states(self) -> list[Any] | None:
        """The kept states (forward ones, then backward ones), or None before the first batch."""
        kept = [d._states for d in self.directions()]
        return None if any(s is None for s in kept) else [s for states in kept for s in states or ()]

    def get_states(self) -> list[np.ndarray[Any, Any]] | None:
        """Copies of the kept states, in the order of `initial_state`; None before the first batch."""
        kept = self.states
        return None if kept is None else [np.array(s) for s in kept]

    def set_states(self, states: Any) -> None:
        """Keep these states (a list as `get_states` gives it, or None) for the next stateful batch, or `step`.

        Raises `ValueError` for a wrong number or wrong shapes; then nothing is changed.
        """
        parts = self.split_states(states)
        batch = max([1, *(np.shape(s)[0] for part in parts for s in part or () if np.ndim(s))])
        checked = [
            None if part is None else [s.detach() for s in d.given_states(part, batch)]
            for d, part in zip(self.directions(), parts, strict=True)
        ]
        for direction, kept in zip(self.directions(), checked, strict=True):
            direction._states = kept

    def split_states(self, states: Any) -> list[Any]:
        """What each direction gets of one list of states."""
        raise TypeError(f"{type(self).__name__} has no split_states(); define it")

    def reset_state(self) -> None:
        """Forget the kept states: the next stateful batch, or `step`, starts from zeros, at any batch size."""
        for direction in self.directions():
            direction._states = None

    def reset_states(self, states: Any = None) -> None:
        """Keras's other name of `reset_state`; Keras 2 took states here, which `set_states` does now."""
        if states is not None:
            raise TypeError(f"{self.name}.reset_states takes no states any more; call set_states(states)")
        self.reset_state()

    @property
    def mask_semantics(self) -> str:
        """What a step does where the mask is False, for this layer as it is set up.

        >>> from tinygrad_rnn.layers import LSTM
        >>> print(LSTM(3, return_sequences=True, name="lstm").mask_semantics)
        lstm, where the mask is False:
          states  keep their values
          output  repeats the one before (0 before the first valid step)
          mask    is handed on
        """
        first = self.directions()[0]
        if not first.return_sequences:
            output, mask = "is the one of the last valid step (0 if there is none)", "ends here"
        else:
            zero = first.zero_output_for_mask
            output = "is 0" if zero else "repeats the one before (0 before the first valid step)"
            mask = "is handed on" + (", reversed" if first.go_backwards else "")
        rows = {"states": "keep their values", "output": output, "mask": mask}
        lines = [f"  {name:<6}  {text}" for name, text in rows.items()]
        return "\n".join([f"{self.name}, where the mask is False:", *lines])
