"""`Sequential`: a model that is a plain stack of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..layers.layer import Layer
from ..layers.symbolic import Input, Symbol, map_nested
from .model import Model


class Sequential(Model):
    """Layers one behind the other. Built at once if the first entry is an `Input`, else by the first call.

    >>> from tinygrad_rnn.layers import Dense, Input, SimpleRNN
    >>> model = Sequential([Input((None, 4)), SimpleRNN(3), Dense(1)])
    >>> model.count_params()
    28
    """

    def __init__(self, layers: Sequence[Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._stack: list[Layer] = []
        self.built_on: Any = None  # symbols like the inputs of the first call, if there was no Input
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Append a layer (or, first of all, an `Input`)."""
        if isinstance(layer, Symbol):
            if self._stack or self.inputs is not None:
                raise ValueError("Sequential: an Input can only come first")
            self.inputs = self.outputs = layer
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential: expected layers, received {layer!r}")
        if any(other is layer for other in self._stack):
            raise ValueError(f"Sequential: layer {layer.name!r} is in the stack already")
        if any(other.name == layer.name for other in self._stack):
            raise ValueError(f"Sequential: layer names must differ, {layer.name!r} occurs twice")
        if self.inputs is not None:
            self.outputs = layer(self.outputs)
            self.built = True
        self._stack.append(layer)
        if not self._trainable:
            layer.trainable = False

    def pop(self) -> Layer:
        """Remove the last layer."""
        if not self._stack:
            raise ValueError("Sequential: there is no layer to remove")
        removed = self._stack.pop()
        if self.inputs is not None:
            self.outputs = self.inputs
            for layer in self._stack:
                self.outputs = layer(self.outputs)
        return removed

    def build(self, input_shape: Any) -> None:
        """Build every layer for inputs of this shape (None for unknown axes)."""
        symbol = Input(batch_shape=input_shape)
        self.inputs = symbol
        for layer in self._stack:
            symbol = layer(symbol)
        self.outputs = symbol

    def _ensure_built(self, path: str, args: Any) -> None:
        """The layers build themselves on the real inputs, whose dtype a shape does not tell."""

    def call(self, inputs: Any) -> Any:
        """Run the layers in order."""
        if not self._stack:
            raise ValueError("Sequential: there are no layers; add some first")
        if self.inputs is not None:
            self._check_inputs(inputs)
        if not self.built:
            self.built_on = map_nested(lambda x: Symbol((None, *x.shape[1:]), str(x.dtype)), inputs)
        for layer in self._stack:
            inputs = layer(inputs)
        self.built = True
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The layers, and the input if it is known."""
        start = [self.inputs] if self.inputs is not None else []
        return {"layers": [*start, *self._stack], "name": self.name}
