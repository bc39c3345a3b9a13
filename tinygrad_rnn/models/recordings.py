"""Batches of one shape, recorded: `fit` runs their ops again without calling the model.

A model of this package's layers does the same to every batch of one shape, as long as nobody changes it. So the
ops of one batch are recorded and run again with the next ones. What a recording gives was compared with what
calling the model gives, and the model is looked at before every run; whatever else happens, the model is called.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import chain, compress
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from ..bptt.kinds import OF_CALLS, PACKAGE
from ..bptt.recording import Recorder, Recording
from ..config import SeedGenerator, epsilon, floatx, generator, mode, switched
from ..core.op import Array
from ..core.tensor import Tensor, Variable
from ..layers.core import Lambda
from ..layers.layer import Layer
from ..layers.rnn import RNN
from ..layers.states import streams
from ..layers.symbolic import flatten, map_nested
from ..layers.tracking import changes

KEPT = 8  # shapes for which a recording is kept
SEEN = 64  # shapes that are remembered: the second batch of a shape is recorded
OF_MODELS = ("_stack", "_functional_layers", "_calls", "_between", "_input", "_output", "_compile_loss")
OF_CELLS = ("get_initial_state", "prepare")  # methods of a cell that do not run in steps
METHODS = ("call", "__call__", "compute_mask", "compute_loss", "train_step")


class Before(NamedTuple):
    """How things stand before a batch: random streams, and the values of the weights."""

    states: list[Any]
    weights: list[Array]


class Recordings:
    """The recordings of one model, by the shapes of its batches."""

    def __init__(self) -> None:
        self.made: OrderedDict[Any, Recorded | None] = OrderedDict()
        self.seen: OrderedDict[Any, None] = OrderedDict()
        self.lock = threading.Lock()  # recording changes the model, and puts it back

    def __reduce__(self) -> Any:
        """For pickle and copy: an empty one, as a copy of the model has its own weights."""
        return Recordings, ()

    def run(self, data: tuple[Any, ...]) -> tuple[Tensor, Any, dict[Any, Any]] | None:
        """Loss, outputs and gradients for `x, y` or `x, y, sample_weight`; None if the model must be called."""
        key = _key(data)
        recorded = self.made.get(key)
        if recorded is None or mode().monitor is not None:
            return None
        try:
            if recorded.holds():
                return recorded.run(data)
            del self.made[key]
        except Exception:  # the model, when it is called, will say better what is wrong
            pass
        return None

    def begin(self, model: Any, data: tuple[Any, ...]) -> Before | None:
        """Before the model is called: how things stand, if this batch is to be recorded, the second of its shape."""
        key = _key(data)
        if key is None or key in self.made or mode().monitor is not None:
            return None
        if key in self.seen:
            return Before(_states(streams(model)), [v._data for v in model.weights])
        self.seen[key] = None
        while len(self.seen) > SEEN:
            self.seen.popitem(last=False)
        return None

    def record(
        self, model: Any, data: tuple[Any, ...], loss: Tensor, found: dict[Any, Any], before: Before
    ) -> None:
        """After the model was called: record a batch like this one, whose loss and gradients are given."""
        with self.lock:
            self.made[_key(data)] = Recorded.of(model, data, loss, found, before)
            while len(self.made) > KEPT:
                self.made.popitem(last=False)


class Recorded:
    """A recording with what it depends on."""

    def __init__(self, recording: Recording, outputs: Any, masked: list[bool], watched: Watched) -> None:
        self.recording, self.outputs, self.watched = recording, outputs, watched
        self.masked = masked  # which outputs have masks; these stand behind all outputs
        self.plain = outputs is None and not any(masked)  # one output, as most models have
        self.changes = -1  # as many as there were when all was looked at
        self.draws = False  # random numbers

    def holds(self) -> bool:
        """Whether nothing was changed that a batch depends on: looked at if an attribute of any layer was set."""
        if self.changes == changes[0] and not self.watched.foreign:
            return self.watched.settings_hold()
        self.changes = changes[0]
        return self.watched.unchanged() and self.recording.unchanged()

    def run(self, data: tuple[Any, ...]) -> tuple[Tensor, Any, dict[Any, Any]]:
        """Loss, outputs and gradients of a batch; if that raises, random streams are where they were."""
        before = _states(self.watched.streams) if self.draws else None
        try:
            arrays = data if all([type(a) is np.ndarray for a in data]) else [*flatten(data)]
            (loss, *values), found = self.recording(arrays)
            if self.plain:
                return Tensor(loss, None), Tensor(values[0], None), found
        except BaseException:
            if before is not None:
                _set_states(self.watched.streams, before)
            raise
        outputs = [Tensor(value, None) for value in values[: len(self.masked)]]
        for output, mask in zip(compress(outputs, self.masked), values[len(outputs) :], strict=True):
            output._mask = mask
        remaining = iter(outputs)
        return Tensor(loss, None), map_nested(lambda _: next(remaining), self.outputs), found

    @staticmethod
    def of(
        model: Any, data: tuple[Any, ...], loss: Tensor, found: dict[Any, Any], before: Before
    ) -> Recorded | None:
        """Record another batch of this shape, and try it on this one; None if that is not possible."""
        if not recordable(model):
            return None
        watched = Watched(model)
        try:
            recorded = _record(model, map_nested(_other, data), watched)
            if recorded is None or not watched.unchanged():
                return None
            _set_states(watched.streams, before.states)
            _set_values([v for v, _ in watched.variables], before.weights)
            again, _, gradients = recorded.run(data)
            recorded.draws = _states(watched.streams) != before.states
            same = _same(loss, found, again, gradients) and all(
                np.array_equal(variable._data, value, equal_nan=True) for variable, value in watched.variables
            )
        except Exception:  # whatever another batch of this shape meets
            return None
        finally:
            watched.restore()
        return recorded if same else None


def _key(data: tuple[Any, ...]) -> Any:
    """What decides which recording fits, beside the model; None for what is not arrays alone."""
    shapes = _shape(data)
    if shapes is None:
        return None
    return shapes, mode().switches, floatx(), epsilon()


def _shape(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype
    if isinstance(value, Mapping):
        inner: Any = {name: _shape(v) for name, v in value.items()}
        return None if None in inner.values() else tuple(inner.items())
    if isinstance(value, (list, tuple)):
        inner = tuple([(v.shape, v.dtype) if type(v) is np.ndarray else _shape(v) for v in value])
        return None if None in inner else inner
    return None


def _other(array: Array) -> Tensor:
    """Other values that could stand in its place: its own, turned round, and floats halved."""
    turned = array[tuple([slice(None, None, -1)] * array.ndim)]
    return Tensor(np.ascontiguousarray(turned / 2 if array.dtype.kind == "f" else turned, array.dtype), None)


def _record(model: Any, data: tuple[Any, ...], watched: Watched) -> Recorded | None:
    x, y, *sample_weight = data
    recorder = Recorder([t._data for t in flatten(data)], [v for v, _ in watched.variables])
    with switched(monitor=recorder):
        outputs = model(x)
        loss = model.compute_loss(x, y, outputs, *sample_weight, training=True)
    results = list(flatten(outputs))
    if not all(isinstance(t, Tensor) for t in results):
        return None
    masked = [getattr(t, "_mask", None) is not None for t in results]
    recording = recorder.finish(loss, [*results, *[t._mask for t in compress(results, masked)]])
    if recording is None:
        return None
    return Recorded(recording, map_nested(lambda _: None, outputs), masked, watched)


def _same(loss: Tensor, found: dict[Any, Any], again: Tensor, gradients: dict[Any, Any]) -> bool:
    return (
        np.array_equal(loss._data, again._data, equal_nan=True)
        and found.keys() == gradients.keys()
        and all(np.array_equal(g, gradients[node], equal_nan=True) for node, g in found.items())
    )


def recordable(model: Any) -> bool:
    """Whether all code that runs in a batch is this package's, and depends on what `Watched` sees.

    A user's cell runs in steps, whose dependencies the recording has.
    """
    loss = model._compile_loss
    if loss is None or loss.parts or any(name in vars(model) for name in METHODS):
        return False
    layers, cells = _layers(model)
    if not all(_ours(getattr(type(cell), name, recordable)) for cell in cells for name in OF_CELLS):
        return False
    held = [vars(layer) for layer in layers if not hasattr(layer, "compute_loss")]
    for one in _watched_objects(model):
        held.append(vars(one))
        layers.append(one)
    methods = [getattr(type(layer), name, None) for layer in layers for name in METHODS]
    return (
        all(_ours(type(layer)) for layer in layers)
        and all(_ours(method) for method in methods if callable(method))
        and not any(getattr(layer, "activity_regularizer", None) for layer in layers)
        and not any(isinstance(layer, Lambda) for layer in layers)
        and all(
            _ours(f)
            for inner in held
            for f in flatten([value for key, value in inner.items() if key not in OF_CALLS])
            if callable(f) and not isinstance(f, Layer)
        )
    )


def _ours(value: Any) -> bool:
    """Whether a class, function or object with a `__call__` is this package's."""
    module = getattr(value, "__module__", None) or type(value).__module__
    return str(module).split(".")[0] == PACKAGE


def _layers(model: Any) -> tuple[list[Any], list[Any]]:
    """The layers outside of recurrent cells, and the cells with what is inside them."""
    layers = model.all_layers()
    cells = [inner for layer in layers if isinstance(layer, RNN) for inner in layer.cell.all_layers()]
    hidden = {id(cell) for cell in cells}
    return [layer for layer in layers if id(layer) not in hidden], cells


def _watched_objects(model: Any) -> list[Any]:
    """What takes part in a batch beside the layers: the loss, and penalties."""
    penalties = [v.regularizer for v in model.weights if v.regularizer is not None]
    return [one for one in (model._compile_loss._losses or []) if one is not None] + penalties


class Watched:
    """Everything that a batch depends on beside its arrays and the values of the weights, as it is now."""

    def __init__(self, model: Any) -> None:
        self.held: list[tuple[dict[str, Any], list[bool], list[str], list[Any]]] = []
        self.lists: list[list[Any]] = []
        self.variables = [(v, v._data) for v in model.weights]
        self.settings = [(v, v.trainable, v.regularizer) for v, _ in self.variables]
        layers, cells = _layers(model)
        self.foreign = not all(_ours(type(cell)) for cell in cells)  # their attributes may be anything
        for layer in layers:
            self._enter(layer)
        self.layers = len(self.held)
        for one in _watched_objects(model):
            self._enter(one)
        self.lengths, self.items = list(map(len, self.lists)), list(chain.from_iterable(self.lists))
        self.streams = streams(model)
        self.states = _states(self.streams)

    def _enter(self, one: Any) -> None:
        inner = vars(one)
        model = hasattr(one, "compute_loss")  # what training sets of a model is no part of the network
        watched = [key in OF_MODELS if model else key not in OF_CALLS for key in inner]
        keys = list(compress(inner, watched))
        values = [inner[key] for key in keys]
        self.held.append((inner, watched, keys, values))
        self.lists += [value for value in values if type(value) is list]

    def unchanged(self) -> bool:
        """Whether all is as it was."""
        return self._same(self.held[: self.layers]) and self.settings_hold()

    def settings_hold(self) -> bool:
        """Whether what has no layer's attributes is as it was: losses, penalties, variables, layers in lists."""
        return (
            list(map(len, self.lists)) == self.lengths
            and all(map(is_, chain.from_iterable(self.lists), self.items))
            and self._same(self.held[self.layers :])
            and all([v._trainable is t and v.regularizer is r for v, t, r in self.settings])
        )

    @staticmethod
    def _same(held: list[tuple[dict[str, Any], list[bool], list[str], list[Any]]]) -> bool:
        for inner, watched, _, values in held:
            if len(inner) != len(watched) or not all(map(is_, compress(inner.values(), watched), values)):
                return False
        return True

    def restore(self) -> None:
        """Put back what a call changed, and let the values of the weights go."""
        for inner, _, keys, values in self.held:
            inner.update(zip(keys, values, strict=True))
        changes[0] += 1  # past `__setattr__`, which counts
        _set_values([v for v, _ in self.variables], [array for _, array in self.variables])
        self.variables.clear()
        _set_states(self.streams, self.states)


def _set_values(variables: Sequence[Variable], arrays: Sequence[Array]) -> None:
    """Give variables the values that they had; those that have them keep their leaves."""
    for variable, array in zip(variables, arrays, strict=True):
        if variable._data is not array:
            variable.replace(array)


def _states(own: list[SeedGenerator]) -> list[Any]:
    """The states of random streams, and of the package's."""
    return [generator().bit_generator.state, *(stream.state for stream in own)]


def _set_states(own: list[SeedGenerator], states: list[Any]) -> None:
    generator().bit_generator.state = states[0]
    for stream, state in zip(own, states[1:], strict=True):
        stream.state = state
