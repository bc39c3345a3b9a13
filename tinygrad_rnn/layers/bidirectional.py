"""Bidirectional: one recurrent layer forwards, a second one backwards, and their outputs merged."""

from __future__ import annotations

from typing import Any

from ..bptt import Source
from ..core.tensor import Tensor
from ..initializers import Initializer
from ..ops import add, concatenate, flip, multiply
from .layer import Layer
from .rnn import RNN
from .symbolic import flatten

_MERGE: dict[str | None, Any] = {
    "concat": lambda a, b: concatenate([a, b], axis=-1),
    "sum": add,
    "mul": multiply,
    "ave": lambda a, b: (a + b) * 0.5,
    None: lambda a, b: (a, b),
}


class Bidirectional(Layer):
    """Run `layer` forwards and a copy of it (or `backward_layer`) backwards over the same sequence.

    `merge_mode`: "concat" (last axis), "sum", "mul", "ave" or None (a tuple of two). With
    `return_sequences` the backward outputs are put into the order of the inputs before merging. With
    `return_state` the states follow: forward ones, then backward ones; `initial_state` is one list in that
    order. `layer` is a pattern: both directions get new weights.

    >>> import numpy as np
    >>> from tinygrad_rnn.layers import LSTM
    >>> Bidirectional(LSTM(3), merge_mode="sum")(np.ones((2, 5, 4), np.float32)).shape
    (2, 3)
    """

    supports_masking = True
    autocast = False

    def __init__(
        self,
        layer: RNN,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: RNN | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(layer, RNN) or not isinstance(backward_layer or layer, RNN):
            raise ValueError(f"Bidirectional: expected a recurrent layer, received {layer!r}")
        if merge_mode not in _MERGE:
            raise ValueError(
                f"Bidirectional: merge_mode must be one of {list(_MERGE)}, received {merge_mode!r}"
            )
        super().__init__(
            **{"name": f"bidirectional_{layer.name}", **options} if "name" not in options else options
        )
        self.forward_layer = _copy(layer, f"forward_{layer.name}", layer.go_backwards)
        if backward_layer is None:
            self.backward_layer = _copy(layer, f"backward_{layer.name}", not layer.go_backwards)
        else:
            _check_pair(layer, backward_layer)
            self.backward_layer = backward_layer
        for side in (self.forward_layer, self.backward_layer):
            side.zero_output_for_mask = side.zero_output_for_mask or layer.return_sequences
        self.merge_mode = merge_mode
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state
        self._initial_weights = weights

    def build(self, input_shape: Any) -> None:
        """Build both directions."""
        for side in (self.forward_layer, self.backward_layer):
            side.build_at(f"{self.path}/{side.name}", input_shape)
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
        """Run both directions and merge."""
        given: tuple[Any, Any] = (None, None)
        if initial_state is not None:
            states = list(flatten(initial_state))
            half = len(states) // 2
            given = (states[:half], states[half:])
        results = [
            list(side(sequences, initial_state=s, mask=mask))
            if self.return_state
            else [side(sequences, initial_state=s, mask=mask)]
            for side, s in zip((self.forward_layer, self.backward_layer), given, strict=True)
        ]
        outputs = [r[0] for r in results]
        if self.return_sequences:
            outputs = [
                flip(y, 1) if side.go_backwards else y
                for side, y in zip((self.forward_layer, self.backward_layer), outputs, strict=True)
            ]
        merged = _MERGE[self.merge_mode](*outputs)
        if not self.return_state:
            return merged
        return (*(merged if isinstance(merged, tuple) else (merged,)), *results[0][1:], *results[1][1:])

    def bptt_source(self) -> Source:
        """The derived source of the forward direction; that of the other is the same on the reversed sequence."""
        return self.forward_layer.bptt_source()

    def reset_state(self) -> None:
        """Forget the kept states of both directions."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on if the whole sequence is returned."""
        return next(flatten(mask), None) if self.return_sequences else None

    def step(self, x_t: Any, states: Any = None) -> Tensor:
        """Not possible: the backward direction needs the end of the sequence first."""
        raise ValueError(
            f"{self.name}.step: a bidirectional layer cannot stream, it needs the whole sequence"
        )


def _copy(layer: RNN, name: str, go_backwards: bool) -> RNN:
    """A layer of the same configuration with new weights."""
    copied: RNN = clone(layer, name=name)
    copied.go_backwards = go_backwards
    return copied


def clone(layer: Any, **changes: Any) -> Any:
    """A new layer of the same configuration; layers among its arguments are cloned as well."""

    def fresh(value: Any) -> Any:
        if isinstance(value, Layer):
            return clone(value)
        if isinstance(value, Initializer):
            return type(value).from_config(value.get_config())  # an object repeats its values
        if isinstance(value, (list, tuple)):
            return type(value)([fresh(v) for v in value])
        return value

    config = {**layer.get_config(), **changes}
    return type(layer).from_config({k: fresh(v) for k, v in config.items()})


def _check_pair(layer: RNN, backward: RNN) -> None:
    if layer.go_backwards == backward.go_backwards:
        raise ValueError(
            "Bidirectional: layer and backward_layer must run in opposite directions (go_backwards)"
        )
    for name in ("return_sequences", "return_state", "stateful"):
        if getattr(layer, name) != getattr(backward, name):
            raise ValueError(f"Bidirectional: layer and backward_layer differ in {name}")
