"""Bidirectional: one recurrent layer forwards, a second one backwards, and their outputs merged."""

from __future__ import annotations

from typing import Any

from ..bptt import Source, bptt_source
from ..core.tensor import Tensor
from ..initializers import Initializer
from ..ops import add, concatenate, flip, multiply
from ..utils.registry import parameters
from ..warn import warn
from .arguments import refuse_unknown, switches_training
from .configuration import settings_of
from .layer import Layer
from .recurrent import Recurrent
from .rnn import RNN
from .symbolic import flatten

_MERGE: dict[str | None, Any] = {
    "concat": lambda a, b: concatenate([a, b], axis=-1),
    "sum": add,
    "mul": multiply,
    "ave": lambda a, b: (a + b) * 0.5,
    None: lambda a, b: (a, b),
}


class Bidirectional(Recurrent):
    """Run `layer` forwards and a copy of it (or `backward_layer`) backwards over the same sequence.

    `merge_mode`: "concat" (last axis), "sum", "mul", "ave" or None (a tuple of two). With
    `return_sequences` the backward outputs are put into the order of the inputs before merging, and steps
    masked out give 0 in both. With `return_state` the states follow: forward ones, then backward ones;
    `initial_state` is one list in that order. `layer` is a pattern: both directions get new weights. A
    `backward_layer` is used as it is; it runs in the other direction and may have another size. `weights`
    are the initial values, forward ones, then backward ones.

    >>> import numpy as np
    >>> from tinygrad_rnn.layers import LSTM
    >>> Bidirectional(LSTM(3), merge_mode="sum")(np.ones((2, 5, 4), np.float32)).shape
    (2, 3)
    """

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
        refuse_unknown("Bidirectional", options, parameters(Bidirectional))
        if layer.built:
            warn(
                f"Bidirectional({layer.name}): {layer.name} has weights already, which are not used: both "
                "directions get new ones. Pass them on with set_weights, or use it as backward_layer",
            )
        super().__init__(**options)
        base = layer.name
        self.forward_layer: RNN = clone(layer, name=f"forward_{base.removeprefix('forward_')}")
        if backward_layer is None:
            name = f"backward_{base.removeprefix('backward_')}"
            backward_layer = clone(layer, name=name, go_backwards=True)
        self.backward_layer: RNN = backward_layer
        _check_pair(self.forward_layer, self.backward_layer)
        for side in self.directions():
            side.zero_output_for_mask = layer.return_sequences
        self.backward_layer._looked_for_padding = True  # the other one looks
        self.merge_mode = merge_mode
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state
        self.stateful = layer.stateful
        self._initial_weights = weights

    def build(self, input_shape: Any) -> None:
        """Build both directions."""
        for side in self.directions():
            side.build_at(f"{self.path}/{side.name}", input_shape)
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)

    def directions(self) -> list[RNN]:
        """Forward, backward."""
        return [self.forward_layer, self.backward_layer]

    def split_states(self, states: Any) -> list[Any]:
        """The states of the forward layer, and those of the backward layer."""
        if states is None:
            return [None, None]
        given = list(flatten(states))
        counts = [len(list(flatten(side.state_size))) for side in self.directions()]
        if len(given) != sum(counts):
            raise ValueError(
                f"{self.name}: needs {sum(counts)} states, {counts[0]} of {self.forward_layer.name} and then "
                f"{counts[1]} of {self.backward_layer.name}; received {len(given)}"
            )
        return [given[: counts[0]], given[counts[0] :]]

    @switches_training
    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool | None = None
    ) -> Any:
        """Run both directions and merge."""
        results = [
            side(sequences, initial_state=states, mask=mask)
            for side, states in zip(self.directions(), self.split_states(initial_state), strict=True)
        ]
        outputs = [r[0] if self.return_state else r for r in results]
        if self.return_sequences:
            outputs[1] = flip(outputs[1], 1)
        merged = _MERGE[self.merge_mode](*outputs)
        if self.merge_mode is None:
            merged[1]._mask = getattr(merged[0], "_mask", None)
        if not self.return_state:
            return merged
        return (*(merged if isinstance(merged, tuple) else (merged,)), *results[0][1:], *results[1][1:])

    def bptt_source(self) -> Source:
        """The derived source of the forward direction; that of the other is the same on the reversed sequence."""
        return bptt_source(self)

    @property
    def source_notes(self) -> list[str]:
        """Which direction the source is."""
        return [*self.forward_layer.source_notes, "It is the forward direction; the other takes X[:, ::-1]."]

    def derivable_step(self, x: Any, states: Any, caller: str) -> Any:
        """The step of the forward direction: `RNN.derivable_step`."""
        return self.forward_layer.derivable_step(x, states, caller)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on if the whole sequence is returned, in the order of the forward outputs."""
        return self.forward_layer.compute_mask(inputs, mask)

    def step(self, x_t: Any, states: Any = None) -> Tensor:
        """Not possible: the backward direction needs the end of the sequence first."""
        raise ValueError(
            f"{self.name}.step: a bidirectional layer cannot stream, it needs the whole sequence"
        )


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

    config = {**settings_of(layer), **changes}
    return type(layer).from_config({k: fresh(v) for k, v in config.items()})


def _check_pair(forward: RNN, backward: RNN) -> None:
    if forward.go_backwards == backward.go_backwards:
        raise ValueError(
            "Bidirectional: the two layers must run in opposite directions, received go_backwards="
            f"{forward.go_backwards} for both; give a layer that runs forwards, and a backward_layer (if any) with "
            "go_backwards=True"
        )
    for name in ("return_sequences", "return_state", "stateful"):
        values = getattr(forward, name), getattr(backward, name)
        if values[0] != values[1]:
            raise ValueError(
                f"Bidirectional: layer and backward_layer differ in {name}: {values[0]} and {values[1]}; "
                "give both the same"
            )
