"""What a batch depends on beside its arrays and the values of the weights, and whether it may be recorded at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import chain, compress
from operator import is_
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from ..bptt.outside.kinds import OF_CALLS, PACKAGE, library
from ..bptt.outside.reached import content
from ..config import SeedGenerator, generator
from ..core.op import Array
from ..core.tensor import Variable
from ..layers.core import Lambda
from ..layers.layer import Layer
from ..layers.rnn import RNN
from ..layers.states import streams
from ..layers.symbolic import flatten
from ..layers.tracking import changes
from ..losses import Loss

OF_MODELS = ("_stack", "_functional_layers", "_calls", "_between", "_input", "_output", "_compile_loss")
OF_CELLS = ("get_initial_state", "prepare")  # methods of a cell that do not run in steps
DEEPEST = 4  # functions in functions
METHODS = ("call", "__call__", "compute_mask", "compute_loss", "train_step")


def recordable(model: Any) -> bool:
    """Whether all code that runs in a batch is this package's, and depends on what `Watched` sees.

    A user's cell runs in steps, whose dependencies the recording has.
    """
    loss = model._compile_loss
    layers, cells = _layers(model)
    if loss is None or any(name in vars(layer) for layer in layers for name in METHODS):
        return False
    own = [getattr(cell, name, recordable) for cell in cells for name in OF_CELLS]
    if not all(_ours(getattr(method, "__func__", method)) for method in own):
        return False
    held = [vars(layer) for layer in layers if not hasattr(layer, "compute_loss")]
    if any(type(value) is np.ndarray and not value.ndim for inner in held for value in _values(inner)):
        return False  # a number that can be changed in place
    for one in _watched_objects(model):
        held.append(vars(one))
        layers.append(one)
        if any(isinstance(value, np.ndarray) for value in _values(vars(one))):
            return False  # it is a constant of the recording, and can be changed in place
    methods = [getattr(type(layer), name, None) for layer in layers for name in METHODS]
    return (
        all(_ours(type(layer)) for layer in layers)
        and all(_ours(method) for method in methods if callable(method))
        and not any(getattr(layer, "activity_regularizer", None) for layer in layers)
        and not any(isinstance(layer, Lambda) for layer in layers)
        and all(
            _ours(f) for inner in held for f in _values(inner) if callable(f) and not isinstance(f, Layer)
        )
    )


def _values(inner: dict[str, Any]) -> Iterator[Any]:
    """What attributes hold, in lists and dicts too."""
    return flatten([value for key, value in inner.items() if key not in OF_CALLS])


def _is_foreign(cell: Any) -> bool:
    """Whether a cell is a user's, or holds a function of theirs: what it does may depend on anything."""
    held = [value for value in _values(vars(cell)) if callable(value) and not isinstance(value, Layer)]
    return not (_ours(type(cell)) and all(map(_ours, held)))


def _ours(value: Any, depth: int = 0) -> bool:
    """Whether a class, function or object with a `__call__` is this package's, and all functions that it holds.

    Not by its `__module__`, which decorators copy. A method belongs to an object that nobody looks at.
    """
    if isinstance(value, type):
        return _of_package(value.__module__)
    if isinstance(value, FunctionType):
        held = [content(cell) for cell in value.__closure__ or ()]
        module = value.__globals__.get("__name__")  # inside, what `np.errstate` makes of a function will do
        known = _of_package(module) or depth > 0 and library(module)
    elif isinstance(value, (MethodType, partial)):
        return False
    else:
        held = list(getattr(value, "__dict__", {}).values())
        known = _of_package(getattr(value, "__module__", None) or type(value).__module__)
    inner = [one for one in held if callable(one) and not isinstance(one, (type, Layer))]
    return known and depth < DEEPEST and all(_of_library(one) or _ours(one, depth + 1) for one in inner)


def _of_library(value: Any) -> bool:
    """Whether it is NumPy's or Python's own, as a ufunc or `np.errstate` is; a function or partial may be anybody's."""
    written = isinstance(value, (FunctionType, MethodType, partial))
    return not written and library(type(value).__module__) and not _of_package(type(value).__module__)


def _of_package(module: Any) -> bool:
    return str(module).split(".")[0] == PACKAGE


def _layers(model: Any) -> tuple[list[Any], list[Any]]:
    """The layers outside of recurrent cells, and the cells with what is inside them."""
    layers = model.all_layers()
    cells = [inner for layer in layers if isinstance(layer, RNN) for inner in layer.cell.all_layers()]
    hidden = {id(cell) for cell in cells}
    return [layer for layer in layers if id(layer) not in hidden], cells


def stateful_layers(model: Any) -> list[RNN]:
    """The layers that begin with the states of the batch before."""
    return [layer for layer in model.all_layers() if isinstance(layer, RNN) and layer.stateful]


def kept_arrays(stateful: list[RNN]) -> list[Array]:
    """The states that they keep."""
    return [state._data for layer in stateful for state in layer._states or ()]


def _watched_objects(model: Any) -> list[Any]:
    """What takes part in a batch beside the layers: the loss, and penalties."""
    penalties = [v.regularizer for v in model.weights if v.regularizer is not None]
    losses = [one for one in (model._compile_loss._losses or []) if one is not None]
    inner = [value for one in losses for value in _values(vars(one)) if isinstance(value, Loss)]
    return [*losses, *inner, *penalties]


class Watched:
    """Everything that a batch depends on beside its arrays and the values of the weights, as it is now."""

    def __init__(self, model: Any) -> None:
        self.held: list[tuple[dict[str, Any], list[bool], list[str], list[Any]]] = []
        self.lists: list[Collection[Any]] = []  # and the values of objects and dicts
        self.dicts: list[dict[str, Any]] = []
        self.variables = [(v, v._data) for v in model.weights]
        self.settings = [(v, v.trainable, v.regularizer) for v, _ in self.variables]
        layers, cells = _layers(model)
        self.foreign = any(map(_is_foreign, cells))
        self.loss, self.stateful = model._compile_loss, stateful_layers(model)
        for layer in layers:
            self._enter(layer)
        self.layers = len(self.held)
        for one in _watched_objects(model):
            self._enter(one)
        self.held += [(d, [True] * len(d), list(d), list(d.values())) for d in self.dicts]
        inner = [(key, value) for cell in cells for key, value in vars(cell).items()]
        self.lists += [value for key, value in inner if type(value) is list and key not in OF_CALLS]
        self.lists += [one[0].values() for one in self.held[self.layers :]]
        self.empty = [one for one in self.lists if not one]
        self.lists = [one for one in self.lists if one]
        self.lengths, self.items = list(map(len, self.lists)), list(chain.from_iterable(self.lists))
        self.streams = streams(model)
        self.states = stream_states(self.streams)

    def _enter(self, one: Any) -> None:
        inner = vars(one)
        model = hasattr(one, "compute_loss")  # what training sets of a model is no part of the network
        moving = OF_CALLS | {"_states"} if isinstance(one, RNN) else OF_CALLS
        watched = [key in OF_MODELS if model else key not in moving for key in inner]
        keys = list(compress(inner, watched))
        values = [inner[key] for key in keys]
        self.held.append((inner, watched, keys, values))
        nested = [v for d in values if type(d) is dict for v in d.values()]
        self.lists += [value for value in (*values, *nested) if type(value) is list]
        self.dicts += [value for value in values if type(value) is dict]

    def unchanged(self) -> bool:
        """Whether all is as it was."""
        for inner, watched, _, values in self.held[: self.layers]:
            if len(inner) != len(watched) or not all(map(is_, compress(inner.values(), watched), values)):
                return False
        return self.settings_hold()

    def settings_hold(self) -> bool:
        """Whether what has no layer's attributes is as it was: losses, penalties, variables, layers in lists."""
        return (
            not any(self.empty)
            and list(map(len, self.lists)) == self.lengths
            and all(map(is_, chain.from_iterable(self.lists), self.items))
            and all([v._trainable is t and v.regularizer is r for v, t, r in self.settings])
        )

    def restore(self) -> None:
        """Put back what a call changed, and let the values of the weights go."""
        for inner, _, keys, values in self.held:
            inner.update(zip(keys, values, strict=True))
        changes[0] += 1  # past `__setattr__`, which counts
        set_values([v for v, _ in self.variables], [array for _, array in self.variables])
        self.variables.clear()
        set_stream_states(self.streams, self.states)


def set_values(variables: Sequence[Variable], arrays: Sequence[Array]) -> None:
    """Give variables the values that they had; those that have them keep their leaves."""
    for variable, array in zip(variables, arrays, strict=True):
        if variable._data is not array:
            variable.replace(array)


def stream_states(own: list[SeedGenerator]) -> list[Any]:
    """The states of random streams, and of the package's."""
    return [generator().bit_generator.state, *(stream.state for stream in own)]


def set_stream_states(own: list[SeedGenerator], states: list[Any]) -> None:
    """Put them where they were."""
    generator().bit_generator.state = states[0]
    for stream, state in zip(own, states[1:], strict=True):
        stream.state = state
