"""`Model`: layers with training on top, functional (`Model(inputs, outputs)`) or subclassed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Scope
from ..layers.layer import Layer
from ..layers.rnn import RNN
from ..layers.symbolic import Symbol, flatten
from .functional import calls_between, run
from .trainer import Trainer


class Model(Trainer, Layer):
    """A network that can be compiled, trained, evaluated, saved and drawn.

    Functional: `Model(inputs, outputs)` of symbols that came from `Input` and layers. Subclassed: create
    layers in `__init__`, use them in `call`.

    >>> from tinygrad_rnn.layers import Dense, Input, LSTM
    >>> x = Input((None, 4))
    >>> model = Model(x, Dense(2)(LSTM(3)(x)))
    >>> import numpy as np
    >>> model(np.zeros((5, 7, 4), np.float32)).shape
    (5, 2)
    """

    autocast = False
    _plain = Layer._plain | {"extra", "compile_arguments", "inputs", "outputs", "_calls"}

    def __init__(self, inputs: Any = None, outputs: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.inputs, self.outputs = inputs, outputs
        self.extra: dict[str, Any] = {}  # plain JSON data that is saved with the model
        self._calls = [] if inputs is None else calls_between(inputs, outputs)
        self._functional_layers = list({id(c.layer): c.layer for c in self._calls}.values())
        if inputs is not None:
            self.built = True

    def call(self, inputs: Any) -> Any:
        """Run the functional graph; subclasses define their own."""
        if self.inputs is None:
            raise TypeError(
                f"{type(self).__name__}: define call(self, inputs), or make it Model(inputs, outputs)"
            )
        inputs = self._in_order(inputs)
        self._check_inputs(inputs)
        return run(self._calls, self.inputs, inputs, self.outputs)

    def _in_order(self, inputs: Any) -> Any:
        """A dict is matched by the names of the inputs, never by its order."""
        if not isinstance(inputs, Mapping):
            return inputs
        own = self.inputs
        names = list(own) if isinstance(own, Mapping) else [symbol.name for symbol in flatten(own)]
        if sorted(map(str, names)) != sorted(map(str, inputs)):
            raise ValueError(f"{self.name}: expected the inputs {names}, received {list(inputs)}")
        return [inputs[name] for name in names]

    def _check_inputs(self, inputs: Any) -> None:
        """Compare the shapes given with those of `Input`, where both are known."""
        given, expected = list(flatten(inputs)), list(flatten(self.inputs))
        if len(given) != len(expected):
            raise ValueError(f"{self.name}: expected {len(expected)} inputs, received {len(given)}")
        for value, symbol in zip(given, expected, strict=True):
            fits = value.ndim == symbol.ndim and all(
                s is None or s == n for s, n in zip(symbol.shape, value.shape, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"{self.name}: expected an input of shape {symbol.shape}, received {value.shape}"
                )

    def _scope(self, outer: Scope) -> Scope:
        """A model adds its name to the path only inside another one."""
        return super()._scope(outer) if outer.layer else outer

    @property
    def layers(self) -> list[Layer]:
        """The layers, in the order in which they run (functional) or were assigned."""
        return list(self.sublayers())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that position."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"{self.name}: no layer {name!r}; there are {', '.join(x.name for x in self.layers)}"
        )

    @property
    def input_shape(self) -> Any:
        """Shape of the input, None for unknown axes; None before it is known."""
        return self.inputs.shape if isinstance(self.inputs, Symbol) else None

    def reset_state(self) -> None:
        """Reset the kept states of all recurrent layers, at any depth."""
        for layer in self._recurrent():
            layer.reset_state()

    def get_states(self) -> list[Any]:
        """The kept states: for each recurrent layer, at any depth, what its `get_states` gives."""
        return [layer.get_states() for layer in self._recurrent()]

    def set_states(self, states: list[Any]) -> None:
        """Keep states that `get_states` gave; `ValueError` if they do not fit, and then nothing is changed."""
        layers = self._recurrent()
        if len(states) != len(layers):
            raise ValueError(
                f"{self.name}.set_states: expected one entry for each of {', '.join(x.name for x in layers)}, "
                f"received {len(states)}"
            )
        before = [layer._states for layer in layers]
        try:
            for layer, values in zip(layers, states, strict=True):
                layer.set_states(values)
        except ValueError:
            for layer, kept in zip(layers, before, strict=True):
                layer._states = kept
            raise

    def _recurrent(self) -> list[RNN]:
        return [layer for layer in self.all_layers() if isinstance(layer, RNN)]

    def summary(self, line_length: int | None = None, print_fn: Any = None) -> None:
        """Print the layers with output shapes and numbers of parameters."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f'Model: "{self.name}"', title_justify="left")
        for column, justify in (("Layer (type)", "left"), ("Output shape", "left"), ("Param #", "right")):
            table.add_column(column, justify=justify)  # type: ignore[arg-type]
        for layer in self.layers:
            count = f"{layer.count_params():,}" if layer.built else "not built"
            shape = "?" if layer.output_shape is None else str(layer.output_shape)
            table.add_row(f"{layer.name} ({type(layer).__name__})", shape, count)
        total, trained = sum(v.size for v in self.weights), sum(v.size for v in self.trainable_weights)
        console = Console(width=line_length or 80)
        with console.capture() as captured:
            console.print(table)
        text = f"{captured.get()} Total params: {total:,} ({trained:,} trainable)"
        (print if print_fn is None else print_fn)(text)

    if TYPE_CHECKING:  # attached by models.saving

        def save(self, path: str | Path) -> None: ...
        def save_weights(self, path: str | Path) -> None: ...
        def load_weights(self, path: str | Path) -> None: ...
