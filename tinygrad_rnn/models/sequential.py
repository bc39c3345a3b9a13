"""`Sequential`: a model that is a plain stack of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..layers.embedding import Embedding
from ..layers.layer import Layer
from ..layers.symbolic import Input, Symbol, flatten
from .functional import masked
from .model import Model


class Sequential(Model):
    """Layers one behind the other. Built at once if the first entry is an `Input`, else by the first call.

    >>> from tinygrad_rnn.layers import Dense, Input, SimpleRNN
    >>> model = Sequential([Input((None, 4)), SimpleRNN(3), Dense(1)])
    >>> model.count_params()
    28
    """

    def __init__(self, layers: Sequence[Any] | None = None, *more: Any, **options: Any) -> None:
        if more or isinstance(layers, (Layer, Symbol)):
            given = ", ".join(type(layer).__name__ for layer in (layers, *more))
            raise TypeError(
                f"Sequential: expected one list of layers, received {given}; write Sequential([a, b], name=...)"
            )
        super().__init__(**options)
        self._stack: list[Layer] = []
        self._between: list[Any] = []  # the symbols before, between and behind the layers
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Append a layer (or, first of all, an `Input`)."""
        if isinstance(layer, Symbol):
            if self._stack or self._between:
                raise ValueError("Sequential: an Input can only come first")
            self._start(layer)
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential: expected layers, received {layer!r}")
        if any(other is layer for other in self._stack):
            raise ValueError(f"Sequential: layer {layer.name!r} is in the stack already")
        if any(other.name == layer.name for other in self._stack):
            raise ValueError(f"Sequential: layer names must differ, {layer.name!r} occurs twice")
        if not self._stack and not self._between:
            if isinstance(layer, Model) and layer._input is not None and len(layer.inputs) == 1:
                (like,) = layer.inputs
                self._start(Symbol(like.shape, like.dtype, name=like.name))
            elif layer.first_shape is not None:
                self._start(Input(layer.first_shape, dtype="int64" if isinstance(layer, Embedding) else None))
        if self._between:
            self._behind(layer)
        self._stack.append(layer)
        if not self._trainable:
            layer.trainable = False

    def _start(self, symbol: Symbol) -> None:
        self._between = [symbol]
        self._input = self._output = symbol

    def _behind(self, layer: Layer) -> None:
        self._between.append(layer(self._between[-1]))
        self._output = self._between[-1]
        self.built = True

    def pop(self) -> Layer:
        """Remove the last layer."""
        if not self._stack:
            raise ValueError("Sequential: there is no layer to remove")
        if self._between:
            self._between.pop()
            self._output = self._between[-1]
        return self._stack.pop()

    def build(self, input_shape: Any) -> None:
        """Build every layer for inputs of this shape (None for unknown axes)."""
        if self._between:
            if tuple(input_shape) != self._input.shape:
                raise ValueError(
                    f"{self.name}.build: the model is built for {self._input.shape}, received {input_shape}"
                )
            return
        integers = bool(self._stack) and isinstance(self._stack[0], Embedding)
        self._build_on(Input(batch_shape=input_shape, dtype="int64" if integers else None))

    def _build_on(self, symbol: Symbol) -> None:
        self._start(symbol)
        try:
            for layer in self._stack:
                self._behind(layer)
        except BaseException:
            self._between, self._input, self._output = [], None, None
            raise

    def build_at(self, path: str, input_shape: Any) -> None:
        """Take the path; the layers build themselves on the real inputs, whose dtype a shape does not tell."""
        self.path = path

    @property
    def layers(self) -> list[Layer]:
        """The layers, first to last."""
        return list(self._stack)

    @property
    def output_names(self) -> list[str]:
        """The name of the last layer."""
        return [layer.name for layer in self._stack[-1:]]

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Run the layers in order, on inputs that have the mask given."""
        if not self._stack:
            raise ValueError("Sequential: there are no layers; add some first")
        if self._between:
            (inputs,) = flatten(self._fitting(self._in_order(inputs)))
        elif isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            (inputs,) = inputs
        with masked(inputs, mask):
            for layer in self._stack:
                inputs = layer(inputs)
        if not self.built:
            self.built = True
        return inputs

    def settings(self) -> dict[str, Any]:
        """The layers, the input if it is known, and what the constructor takes."""
        if type(self).__init__ is not Sequential.__init__:
            return super().settings()
        own = {"name": self.name, "dtype": self.dtype, "trainable": self.trainable}
        return {"layers": [*self._between[:1], *self._stack], **own}
