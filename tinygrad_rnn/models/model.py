"""`Model`: layers with training on top, functional (`Model(inputs, outputs)`) or subclassed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import Scope
from ..layers.configuration import copied
from ..layers.layer import Layer
from ..layers.rnn import RNN
from ..layers.symbolic import Input, Symbol, flatten, map_nested
from ..viz import Drawing, draw_graph
from .functional import as_declared, calls_between, layers_in_order, masked, output_names, replay, run
from .summary import summary
from .trainer import Trainer


class Model(Trainer, Layer):
    """A network that can be compiled, trained, evaluated, saved and drawn.

    Functional: `Model(inputs, outputs)` of symbols that came from `Input` and layers, single ones or lists or
    dicts of them. A layer that is called several times has one set of weights, and gradients add up; a model
    is a layer too. Subclassed: create layers in `__init__`, use them in `call`.

    >>> from tinygrad_rnn.layers import Dense, Input, LSTM
    >>> x = Input((None, 4))
    >>> model = Model(x, Dense(2)(LSTM(3)(x)))
    >>> import numpy as np
    >>> model(np.zeros((5, 7, 4), np.float32)).shape
    (5, 2)

    A part of a model is a model of the same layers:

    >>> Model(model.inputs, model.get_layer(index=0).output)(np.zeros((5, 7, 4), np.float32)).shape
    (5, 3)
    """

    autocast = False
    _plain = Layer._plain | {
        "extra", "compile_arguments", "left_at", "built_on", "_input", "_output", "_calls", "_between",
    }  # fmt: skip
    built_on: Any = None  # symbols like the arguments of the call that built a model without inputs

    def __init__(self, inputs: Any = None, outputs: Any = None, **options: Any) -> None:
        super().__init__(**options)
        if (inputs is None) != (outputs is None):
            raise ValueError(f"{type(self).__name__}: give both inputs and outputs, or neither")
        self._input, self._output = inputs, outputs
        self.extra: dict[str, Any] = {}  # plain JSON data that is saved with the model
        self._calls = [] if inputs is None else calls_between(inputs, outputs)
        self._functional_layers = [] if inputs is None else layers_in_order(inputs, outputs, self._calls)
        if inputs is not None:
            self.built = True
        if not self._trainable:
            self.trainable = False  # the layers inside as well

    # --- running --------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Create all weights for inputs of this shape (a list of shapes for several inputs)."""
        several = isinstance(input_shape, list)
        symbols = [Input(batch_shape=shape) for shape in (input_shape if several else [input_shape])]
        self(symbols if several else symbols[0])

    def build_at(self, path: str, input_shape: Any) -> None:
        """Take the path; a model that defines no `build` has its layers build themselves on the real inputs."""
        if type(self).build is not Model.build:
            super().build_at(path, input_shape)
            return
        self.path, self.built = path, True
        if not self._trainable:
            self.trainable = False

    def _ensure_built(self, path: str, args: Any) -> None:
        if not self.built:
            self.built_on = map_nested(like, args)
        super()._ensure_built(path, args)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Run the functional graph, on inputs that have the masks given; subclasses define their own."""
        if self._input is None:
            raise TypeError(
                f"{type(self).__name__}: define call(self, inputs), or make it Model(inputs, outputs)"
            )
        inputs = self._fitting(self._in_order(inputs))
        with masked(inputs, mask):
            return run(self._calls, self._input, inputs, self._output)

    def _in_order(self, inputs: Any) -> Any:
        """A dict is matched by the names of the inputs, never by its order; a list of texts is one array."""
        if isinstance(inputs, list) and inputs and all(isinstance(text, str) for text in flatten(inputs)):
            return np.array(inputs, object)
        if not isinstance(inputs, Mapping):
            return inputs
        names = self.input_names
        if sorted(names) != sorted(map(str, inputs)):
            raise ValueError(f"{self.name}: expected the inputs {names}, received {list(inputs)}")
        return [inputs[name] for name in names]

    def _fitting(self, inputs: Any) -> Any:
        """What is given as `Input` declared it; `ValueError` if the shapes differ where both are known."""
        expected, given = list(flatten(self._input)), list(flatten(inputs))
        if len(given) != len(expected):
            raise ValueError(f"{self.name}: expected {len(expected)} inputs, received {len(given)}")
        fitting = [as_declared(value, symbol) for value, symbol in zip(given, expected, strict=True)]
        for value, made, symbol in zip(given, fitting, expected, strict=True):
            if isinstance(made, np.ndarray) and made.dtype.kind in "UOS" and symbol.dtype != "string":
                raise TypeError(f"{self.name}: expected numbers, received an array of {made.dtype}")
            fits = made.ndim == symbol.ndim and all(
                s is None or s == n for s, n in zip(symbol.shape, made.shape, strict=True)
            )
            if not fits:
                size = symbol.shape[0] if made.shape[1:] == symbol.shape[1:] else None
                hint = "" if size is None else (
                    f": the batch size is fixed to {size} by Input; give batch_size={size} and leave out or fill up "
                    "the rows that remain"
                )  # fmt: skip
                raise ValueError(
                    f"{self.name}: expected an input of shape {symbol.shape}, received {value.shape}{hint}"
                )
        rest = iter(fitting)
        return map_nested(lambda _: next(rest), inputs)

    def _scope(self, outer: Scope) -> Scope:
        """A model adds its name to the path only inside another one."""
        return super()._scope(outer) if outer.layer else outer

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

    # --- what it is made of ---------------------------------------------------------------------------

    @property
    def input(self) -> Any:
        """The input symbols, in the structure in which they were given."""
        return super().input if self._input is None else self._input

    @property
    def output(self) -> Any:
        """The output symbols, in the structure in which they were given."""
        return super().output if self._output is None else self._output

    @property
    def inputs(self) -> list[Any]:
        """The input symbols in a list."""
        return list(flatten(self.input))

    @property
    def outputs(self) -> list[Any]:
        """The output symbols in a list."""
        return list(flatten(self.output))

    @property
    def input_names(self) -> list[str]:
        """What the inputs are called: the keys of a dict, or the names of the symbols."""
        own = self.input
        return [str(name) for name in (own if isinstance(own, Mapping) else [s.name for s in flatten(own)])]

    @property
    def output_names(self) -> list[str]:
        """What the outputs are called in losses, metrics and logs; empty for a subclassed model."""
        return [] if self._output is None else output_names(self._output)

    @property
    def input_shape(self) -> Any:
        """Shape of the input (or shapes of the inputs), None for unknown axes."""
        return map_nested(lambda symbol: symbol.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """Shape of the output (or shapes of the outputs), None for unknown axes; without symbols that of the last call.

        >>> from tinygrad_rnn.layers import Dense, Input, LSTM
        >>> x = Input((None, 4))
        >>> Model(x, Dense(2)(LSTM(3, return_sequences=True)(x))).output_shape
        (None, None, 2)
        """
        if self._output is not None:
            return map_nested(lambda symbol: symbol.shape, self._output)
        return vars(self)["output_shape"]

    @output_shape.setter
    def output_shape(self, value: Any) -> None:
        vars(self)["output_shape"] = value

    @property
    def layers(self) -> list[Layer]:
        """The layers: those farthest from the outputs first (functional), or as they were assigned."""
        return list(self.sublayers())

    def plot_graph(self, inputs: Any = None, **options: Any) -> Drawing:
        """The graph of the model on `inputs` as a drawing: `draw_graph(model, inputs, **options)`.

        Save it with `path=`, or with its method `save`.

        >>> import numpy as np
        >>> from tinygrad_rnn.layers import SimpleRNN, Input
        >>> x = Input((None, 2))
        >>> model = Model(x, SimpleRNN(3)(x))
        >>> model.plot_graph(np.zeros((1, 4, 2), np.float32), view="layers").shown
        2
        """
        return draw_graph(self, inputs, **options)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that position; `ValueError` with the nearest known name."""
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError(f"{self.name}.get_layer: give either a name or an index")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"{self.name}: no layer {index}; there are {len(layers)} layers")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in layers]
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{self.name}: no layer {name!r}{hint}; there are {', '.join(names)}")

    summary = summary

    # --- configuration --------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What makes an equal model with new weights: the symbols of a functional one, else the arguments."""
        return self.settings() if self._is_graph() else super().get_config()

    def _is_graph(self) -> bool:
        return self._input is not None and type(self).__init__ is Model.__init__

    def settings(self) -> dict[str, Any]:
        """The symbols of a functional model; the arguments of another one."""
        if not self._is_graph():
            return super().settings()
        own = {"name": self.name, "dtype": self.dtype, "trainable": self.trainable}
        return {"inputs": self._input, "outputs": self._output, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make a model from `get_config()`; all layers are new."""
        if config.get("outputs") is None:
            return super().from_config(config)
        inputs, outputs = config["inputs"], config["outputs"]
        renewed = replay(calls_between(inputs, outputs), inputs, outputs, copied)
        return cls(*renewed, **{k: v for k, v in config.items() if k not in ("inputs", "outputs")})

    if TYPE_CHECKING:  # attached by models.saving and models.cloning

        def save(self, filepath: str | Path, overwrite: bool = True, zipped: bool | None = None) -> None: ...
        def save_weights(
            self, filepath: str | Path, overwrite: bool = True, max_shard_size: float | None = None
        ) -> None: ...
        def load_weights(self, filepath: str | Path, skip_mismatch: bool = False) -> None: ...
        def to_json(self, **options: Any) -> str: ...


def like(value: Any) -> Any:
    """A symbol of the same shape and type, the first axis unknown; what is not an array stays."""
    if not hasattr(value, "dtype"):
        return value
    dtype = np.dtype(value.dtype)
    shape = (None, *value.shape[1:]) if value.ndim else ()
    return Symbol(shape, "string" if dtype.kind in "UOS" else dtype.name)
