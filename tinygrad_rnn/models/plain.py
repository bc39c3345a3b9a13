"""Models and configurations as plain JSON data, and back: classes and functions by name, never as code.

Only the classes and functions of this package, and those that are known by name (`utils.custom_objects`), can
come out of such data; nothing is imported by name, and nothing is called but the constructors of these classes.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from .. import activations, constraints, initializers, losses, metrics, optimizers, regularizers
from ..container import DTYPES
from ..core.op import Array
from ..core.tensor import Tensor
from ..layers import LAYERS
from ..layers.configuration import Configured, settings_of
from ..layers.layer import Layer
from ..layers.symbolic import Symbol, flatten
from ..utils.custom_objects import custom_objects, get_registered_name
from ..utils.registry import Saved, claim, saved_name
from .model import Model
from .sequential import Sequential

_MODELS: dict[str, type[Model]] = {"Sequential": Sequential, "Model": Model}
for _name, _class in _MODELS.items():
    claim(_name, _class)
_REGISTRIES = {
    "activation": activations.REGISTRY,
    "initializer": initializers.REGISTRY,
    "regularizer": regularizers.REGISTRY,
    "constraint": constraints.REGISTRY,
    "loss": losses.REGISTRY,
    "metric": metrics.REGISTRY,
    "optimizer": optimizers.REGISTRY,
    "schedule": optimizers.schedules.REGISTRY,
}
_LARGEST_INPUT = 1 << 26  # numbers per example: a file cannot ask for more when its model is put together


class Writer:
    """Makes plain data. Arrays of numbers go into `arrays`, by name, if there is such a dict; else into the data.

    A layer that occurs again is written as a reference to the first time, so that it is one layer again.
    """

    def __init__(self, arrays: dict[str, Array] | None = None) -> None:
        self.arrays = arrays
        self._layers: list[Layer] = []  # those written so far
        self._places: dict[
            tuple[int, int], list[Any]
        ] = {}  # the symbols of the functional model being written
        self._owner = "save"  # what is being written, for messages

    def value(self, value: Any) -> Any:
        """A value of a configuration; `ValueError` for what only code could make again."""
        if isinstance(value, str):
            return str(value)
        if value is None or (isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)):
            return value
        if isinstance(value, Symbol):
            return self._symbol(value)
        if isinstance(value, Layer):
            return self._layer(value)
        if isinstance(value, Saved):
            return self.value(value.origin)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, tuple):
            return {"$tuple": [self.value(v) for v in value]}
        if isinstance(value, dict):
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: self.value(v) for key, v in value.items()}
            return {"$items": [[self.value(k), self.value(v)] for k, v in value.items()]}
        if isinstance(value, (np.generic, np.ndarray, Tensor)):
            return self._array(np.asarray(value))
        return self._object(value)

    def model(self, model: Model) -> dict[str, Any]:
        """The architecture: layers and the calls between them, or what the class is made from."""
        cls = type(model)
        name = saved_name(cls)  # a subclass is found by it when it is loaded: its code is not in the file
        if cls.__init__ is not Model.__init__ or model._input is None:
            return {"class": name, "config": self.value(settings_of(model))}
        outer, self._places = self._places, {}
        inputs = self.value(model.input)
        for i, symbol in enumerate(flatten(model.input)):
            self._places[_key(symbol)] = ["input", i]
        for i, call in enumerate(model._calls):
            for symbol in flatten(call.outputs):
                self._places.setdefault(_key(symbol), ["call", i, symbol.index])
        index = {id(layer): i for i, layer in enumerate(model._functional_layers)}
        written = {
            "class": name,
            "options": {"name": model.name, "trainable": model.trainable},
            "inputs": inputs,
            "layers": [self.value(layer) for layer in model._functional_layers],
            "calls": [
                {
                    "layer": index[id(call.layer)],
                    "args": [self.value(arg) for arg in call.args],
                    "kwargs": {key: self.value(arg) for key, arg in call.kwargs.items()},
                }
                for call in model._calls
            ],
            "outputs": self.value(model.output),
        }
        self._places = outer
        return written

    def _symbol(self, symbol: Symbol) -> dict[str, Any]:
        place = self._places.get(_key(symbol))
        if place is not None:
            return {"$ref": place}
        return {"$symbol": list(symbol.shape), "dtype": symbol.dtype, "name": symbol.name}

    def _layer(self, layer: Layer) -> dict[str, Any]:
        for number, other in enumerate(self._layers):
            if other is layer:
                return {"$again": number}
        outer, self._owner = self._owner, f"save: layer {layer.name!r} ({type(layer).__name__})"
        if isinstance(layer, Model):
            written: dict[str, Any] = {"$model": self.model(layer)}
        elif LAYERS.get(type(layer).__name__) is type(layer):
            written = {"$layer": type(layer).__name__, "config": self.value(settings_of(layer))}
        else:
            written = self._own(layer)
        self._owner = outer
        self._layers.append(layer)
        return written

    def _array(self, array: Array) -> dict[str, Any]:
        if array.dtype.kind in "UO":
            return {"$texts": [self.value(v) for v in array.ravel().tolist()], "shape": list(array.shape)}
        if self.arrays is None or not array.ndim:
            return {"$array": array.tolist(), "dtype": array.dtype.name}
        name = f"constants/{len(self.arrays)}"
        self.arrays[name] = array
        return {"$array": name}

    def _object(self, value: Any) -> dict[str, Any]:
        """An object or function of a registry as its kind and config; one of the user's by its name."""
        for kind, registry in _REGISTRIES.items():
            if registry.holds(type(value)) or isinstance(registry.serialize(value), str):
                return {"$object": kind, "config": self.value(registry.serialize(value))}
        if hasattr(value, "get_config") and not isinstance(value, type):
            return self._own(value)
        name = get_registered_name(value) if hasattr(value, "__name__") else None
        if name in activations.FUNCTIONS and value.__module__ == "tinygrad_rnn.ops":  # the op, not its twin
            return {"$object": "activation", "config": name}
        if name is None or name == "<lambda>":
            what = "a lambda" if name else f"an object of the class {type(value).__name__} without get_config"
            raise ValueError(
                f"{self._owner}: {what} cannot be saved, a file never holds code; give a named function, and "
                "register it with utils.register_serializable() or hand it to load_model(path, "
                "custom_objects={name: function})"
            )
        return {"$custom": name}

    def _own(self, value: Any) -> dict[str, Any]:
        return {
            "$custom": saved_name(type(value)),
            "config": self.value(settings_of(value) if isinstance(value, Layer) else value.get_config()),
        }


class Reader:
    """Makes the values again that a `Writer` wrote; raises `ValueError` for names that are not known.

    Names are looked up among `custom_objects()`: those in scope and those registered.
    """

    def __init__(self, arrays: dict[str, Array] | None = None) -> None:
        self.arrays = arrays or {}
        self._layers: list[Layer] = []
        self._inputs: list[Symbol] = []
        self._results: list[list[Symbol]] = []

    def value(self, data: Any) -> Any:
        """A value of a configuration."""
        if isinstance(data, list):
            return [self.value(v) for v in data]
        if not isinstance(data, dict):
            return data
        kind = next((key for key in data if key.startswith("$")), None)
        return {k: self.value(v) for k, v in data.items()} if kind is None else self._KINDS[kind](self, data)

    def model(self, data: dict[str, Any]) -> Model:
        """A model, not built yet if it has no inputs."""
        cls = custom_objects().get(data["class"]) or _MODELS.get(data["class"])
        if not isinstance(cls, type) or not issubclass(cls, Model):
            raise _unknown(data["class"])
        if "calls" not in data:
            made: Model = _made(cls, self.value(data["config"]))
            return made
        outer, inputs = (self._inputs, self._results), self.value(data["inputs"])
        self._inputs, self._results = list(flatten(inputs)), []
        layers = [self.value(layer) for layer in data["layers"]]
        for call in data["calls"]:
            layer = layers[call["layer"]]
            if not isinstance(layer, Layer):
                raise ValueError(f"{layer!r} is called like a layer")
            out = layer(*self.value(call["args"]), **self.value(call["kwargs"]))
            self._results.append(list(flatten(out)))
        model: Model = cls(inputs, self.value(data["outputs"]), **data["options"])
        self._inputs, self._results = outer
        return model

    def _ref(self, data: dict[str, Any]) -> Any:
        kind, *where = data["$ref"]
        return self._inputs[where[0]] if kind == "input" else self._results[where[0]][where[1]]

    def _layer(self, data: dict[str, Any]) -> Any:
        cls = custom_objects().get(data["$layer"]) or LAYERS.get(data["$layer"])
        if not isinstance(cls, type) or not issubclass(cls, Layer):
            raise _unknown(data["$layer"])
        return self._kept(_made(cls, self.value(data["config"])))

    def _custom(self, data: dict[str, Any]) -> Any:
        found = custom_objects().get(data["$custom"])
        if found is None:
            raise _unknown(data["$custom"])
        return self._kept(_made(found, self.value(data["config"]))) if "config" in data else found

    def _kept(self, made: Any) -> Any:
        if isinstance(made, Layer):
            self._layers.append(made)
        return made

    def _array(self, data: dict[str, Any]) -> Any:
        if isinstance(data["$array"], str):
            return self.arrays[data["$array"]]
        if data["dtype"] not in DTYPES:
            raise ValueError(f"arrays of {data['dtype']!r} are not read")
        return np.asarray(data["$array"], dtype=data["dtype"])[()]

    def _texts(self, data: dict[str, Any]) -> Array:
        texts = np.empty(len(data["$texts"]), object)
        texts[:] = data["$texts"]
        return texts.reshape(data["shape"])

    def _object(self, data: dict[str, Any]) -> Any:
        return _REGISTRIES[data["$object"]].get(self.value(data["config"]))

    _KINDS = {
        "$ref": _ref,
        "$symbol": lambda self, data: _symbol(data),
        "$layer": _layer,
        "$model": lambda self, data: self._kept(self.model(data["$model"])),
        "$again": lambda self, data: self._layers[data["$again"]],
        "$tuple": lambda self, data: tuple(self.value(data["$tuple"])),
        "$items": lambda self, data: {self.value(k): self.value(v) for k, v in data["$items"]},
        "$array": _array,
        "$texts": _texts,
        "$object": _object,
        "$custom": _custom,
    }


def _key(symbol: Symbol) -> tuple[int, int]:
    """What makes a symbol: the call and which of its outputs; an input is itself."""
    return (id(symbol), -1) if symbol.call is None else (id(symbol.call), symbol.index)


def _made(cls: Any, config: Any) -> Any:
    """An object of a class from its config; the `from_config` of `Layer` would copy the layers that it holds."""
    found = inspect.getattr_static(cls, "from_config")
    inherited = any(found is vars(base)["from_config"] for base in (Configured, Model))
    return cls(**config) if inherited else cls.from_config(config)


def _symbol(data: dict[str, Any]) -> Symbol:
    shape, dtype, name = data["$symbol"], data["dtype"], data.get("name")
    known = [n for n in shape if n is not None]
    if not all(type(n) is int and n >= 0 for n in known) or len(shape) > 32:
        raise ValueError(f"an input has the shape {shape!r}")
    if math.prod(known) > _LARGEST_INPUT:
        raise ValueError(f"an input of shape {shape!r} has more than {_LARGEST_INPUT} numbers")
    if dtype not in DTYPES and dtype != "string":
        raise ValueError(f"an input is of the type {dtype!r}")
    return Symbol(tuple(shape), dtype, name=None if name is None else str(name))


def _unknown(name: Any) -> ValueError:
    return ValueError(
        f"the file names {name!r}, which is not part of this package; register it before loading, or hand it over: "
        f"load_model(path, custom_objects={{{name!r}: ...}})"
    )
