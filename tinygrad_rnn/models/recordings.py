"""Batches of one shape, recorded: `fit` runs their ops again without calling the model.

A model of this package's layers does the same to every batch of one shape, as long as nobody changes it. So the
ops of one batch are recorded and run again with the next ones. What a recording gives was compared with what
calling the model gives, and the model is looked at before every run; whatever else happens, the model is called.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from ..bptt.recorded.recording import Recorder, Recording
from ..config import epsilon, floatx, mode, switched
from ..core.op import Array
from ..core.tensor import Tensor
from ..layers.states import streams
from ..layers.symbolic import flatten, map_nested
from ..layers.tracking import changes, put_back
from ..locks import new_lock
from .watched import (
    Watched,
    kept_arrays,
    recordable,
    set_stream_states,
    set_values,
    stateful_layers,
    stream_states,
)

KEPT = 64  # shapes for which a recording is kept
IN_USE = 1000  # batches after which one that did not run gives way to another, as making it costs four
WORTH = 4  # batches, which a recording has to run for
FUTILE = 3  # changes of the model in a row that came sooner: then nothing is recorded for `IN_USE` batches
SEEN = 64  # shapes that are remembered: the second batch of a shape is recorded
COST = 3  # batches that making a recording takes, beside the one that is recorded
SHORT = 0.1  # seconds; of batches that take longer not the second is recorded, but one when that pays
SAVED = 0.002  # seconds that a recorded batch saves, more or less
LONG = 1.0  # seconds; of a batch that takes longer, that is nothing


class Before(NamedTuple):
    """How things stand before a batch: random streams, the values of the weights, and the states that layers keep."""

    states: list[Any]
    weights: list[Array]
    kept: list[tuple[Any, Any]]
    limit: float  # seconds; if the batch takes longer, a recording does not pay yet


class Recordings:
    """The recordings of one model, by the shapes of its batches."""

    def __init__(self) -> None:
        self.made: OrderedDict[Any, Recorded | None] = OrderedDict()  # those that ran last are last
        self.ran: dict[Any, int] = {}  # after how many batches
        self.batches = self.waits = self.futile = self.change = 0
        self.seen: OrderedDict[Any, int] = OrderedDict()  # how many batches of a shape that is not recorded
        self.lock = new_lock()  # recording changes the model, and puts it back

    def __reduce__(self) -> Any:
        """For pickle and copy: an empty one, as a copy of the model has its own weights."""
        return Recordings, ()

    def run(self, data: tuple[Any, ...]) -> tuple[Tensor, Any, dict[Any, Any]] | None:
        """Loss, outputs and gradients for `x, y` or `x, y, sample_weight`; None if the model must be called."""
        key = _key(data)
        self.batches += 1
        if key not in self.made or mode().monitor is not None:
            return None
        try:
            recorded = self.made[key]
            if recorded is None:
                if self.batches - self.ran[key] > IN_USE:  # what was in the way may be gone
                    self._drop(key)
                return None
            self.made.move_to_end(key)
            self.ran[key] = self.batches
            if not recorded.holds():
                self._drop(key)
                self._given_up(recorded)
            elif recorded.keeps():
                recorded.runs += 1
                return recorded.run(data)
        except Exception:  # the model, when it is called, will say better what is wrong
            pass
        return None

    def begin(self, model: Any, data: tuple[Any, ...]) -> Before | None:
        """Before the model is called: how things stand, if this batch may be recorded: not the first of its shape.

        Of batches that take long, it is one before which so many came as would have saved what a recording costs.
        """
        key = _key(data)
        if key is None or key in self.made or mode().monitor is not None or self._full():
            return None
        earlier = self.seen.get(key, 0)
        self.seen[key] = earlier + 1
        while len(self.seen) > SEEN:
            self.seen.popitem(last=False)
        if not earlier or any(layer._states is None for layer in stateful_layers(model)):
            return None  # a first batch is not like the others
        limit = min(max(SHORT, earlier * SAVED / COST), LONG)
        kept = model._held_states()
        return Before(stream_states(streams(model)), [v._data for v in model.weights], kept, limit)

    def record(
        self, model: Any, data: tuple[Any, ...], loss: Tensor, found: dict[Any, Any], before: Before
    ) -> None:
        """After the model was called: record a batch like this one, whose loss and gradients are given."""
        with self.lock:
            key = _key(data)
            self.made[key] = Recorded.of(model, data, loss, found, before)
            self.ran[key] = self.batches
            self.seen[key] = 1  # counted anew, if the recording has to go
            while len(self.made) > KEPT:
                self._drop(next(iter(self.made)))

    def _drop(self, key: Any) -> None:
        del self.made[key]
        self.ran.pop(key, None)

    def _given_up(self, recorded: Recorded) -> None:
        """The model was changed: if that happens all the time, as where layers are trained in turns, wait."""
        if recorded.runs >= WORTH:
            self.futile = 0
        elif self.change != changes[0]:  # of other shapes, too, the recordings go
            self.futile += 1
        self.change = changes[0]
        if self.futile >= FUTILE:
            self.waits = self.batches + IN_USE

    def _full(self) -> bool:
        """Whether no other recording is to be made: as many as are kept run now and then, or they do not last."""
        if self.batches < self.waits:
            return True
        if len(self.made) < KEPT:
            return False
        return self.batches - self.ran.get(next(iter(self.made), None), 0) < IN_USE


class Recorded:
    """A recording with what it depends on."""

    def __init__(
        self, recording: Recording, outputs: Any, masked: list[bool], watched: Watched, parts: int
    ) -> None:
        self.recording, self.outputs, self.watched = recording, outputs, watched
        self.masked = masked  # which outputs have masks; these stand behind all outputs
        self.parts = parts  # of a loss of several outputs: their losses, behind the masks
        self.stateful = watched.stateful  # what they keep stands at the end, and goes in behind the data
        self.kept = [(a.shape, a.dtype) for a in kept_arrays(self.stateful)]
        self.plain = outputs is None and not (any(masked) or parts or self.kept)  # as most models are
        self.changes = -1  # as many as there were when all was looked at
        self.draws = False  # random numbers
        self.runs = 0

    def holds(self) -> bool:
        """Whether nothing was changed that a batch depends on: looked at if an attribute of any layer was set."""
        if self.changes == changes[0] and not self.watched.foreign:
            return self.watched.settings_hold()
        self.changes = changes[0]
        return self.watched.unchanged() and self.recording.unchanged()

    def keeps(self) -> bool:
        """Whether layers keep states as they did: none are there after a reset."""
        return not self.kept or [(a.shape, a.dtype) for a in kept_arrays(self.stateful)] == self.kept

    def run(self, data: tuple[Any, ...]) -> tuple[Tensor, Any, dict[Any, Any]]:
        """Loss, outputs and gradients of a batch; if that raises, random streams are where they were."""
        before = stream_states(self.watched.streams) if self.draws else None
        try:
            arrays = data if all([type(a) is np.ndarray for a in data]) else [*flatten(data)]
            if self.plain:
                (loss, output), found = self.recording(arrays)
                return Tensor(loss, None), Tensor(output, None), found
            (loss, *values), found = self.recording([*arrays, *kept_arrays(self.stateful)])
        except BaseException:
            if before is not None:
                set_stream_states(self.watched.streams, before)
            raise
        rest = iter(values)
        outputs = [Tensor(next(rest), None) for _ in self.masked]
        for output in compress(outputs, self.masked):
            output._mask = next(rest)
        if self.parts:
            self.watched.loss.took([Tensor(next(rest), None) for _ in range(self.parts)])
        for layer in self.stateful:  # not by `__setattr__`, which counts a change
            vars(layer)["_states"] = [Tensor(next(rest), None) for _ in layer._states or ()]
        remaining = iter(outputs)
        return Tensor(loss, None), map_nested(lambda _: next(remaining), self.outputs), found

    @staticmethod
    def of(
        model: Any, data: tuple[Any, ...], loss: Tensor, found: dict[Any, Any], before: Before
    ) -> Recorded | None:
        """Record another batch of this shape, and try it on this one; None if that is not possible."""
        if not recordable(model):
            return None
        watched, kept = Watched(model), model._held_states()
        parts = watched.loss.values
        try:
            recorded = _record(model, map_nested(_other, data), watched)
            if recorded is None or not watched.unchanged():
                return None
            after = [s._data for layer, states in kept if layer in watched.stateful for s in states]

            def agrees() -> bool:
                """Whether it gives what calling the model gave, bit for bit."""
                set_stream_states(watched.streams, before.states)
                set_values([v for v, _ in watched.variables], before.weights)
                put_back([pair for pair in before.kept if pair[0] in watched.stateful])
                again, _, gradients = recorded.run(data)
                recorded.draws = stream_states(watched.streams) != before.states
                pairs = [(variable._data, value) for variable, value in watched.variables]
                pairs += zip(kept_arrays(watched.stateful), after, strict=True)
                return _same(loss, found, again, gradients) and all(
                    np.array_equal(a, b, equal_nan=True) for a, b in pairs
                )

            same = agrees()
            if same and recorded.recording.lend(True) and not agrees():
                recorded.recording.lend(False)
        except Exception:  # whatever another batch of this shape meets
            return None
        finally:
            put_back([pair for pair in kept if pair[0] in watched.stateful])
            watched.loss.took(parts)
            watched.restore()
        return recorded if same else None


def _key(data: tuple[Any, ...]) -> Any:
    """What decides which recording fits, beside the model; None for what is not arrays alone."""
    shapes = _shape(data)
    if shapes is None:
        return None
    return shapes, mode().switches, floatx(), epsilon()


def _shape(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        inner: Any = tuple([(v.shape, v.dtype) if type(v) is np.ndarray else _shape(v) for v in value])
        return None if None in inner else inner
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype
    if isinstance(value, Mapping):
        inner = {name: _shape(v) for name, v in value.items()}
        return None if None in inner.values() else tuple(inner.items())
    return None


def _other(array: Array) -> Tensor:
    """Other values that could stand in its place: its own, turned round; fractions are halved."""
    turned = array[tuple([slice(None, None, -1)] * array.ndim)]
    halved = array.dtype.kind == "f" and not np.array_equal(array, np.floor(array), equal_nan=True)
    return Tensor(np.ascontiguousarray(turned / 2 if halved else turned, array.dtype), None)


def _record(model: Any, data: tuple[Any, ...], watched: Watched) -> Recorded | None:
    x, y, *sample_weight = data
    inputs = [*[t._data for t in flatten(data)], *kept_arrays(watched.stateful)]
    recorder = Recorder(inputs, [v for v, _ in watched.variables])
    with switched(monitor=recorder):
        outputs = model(x)
        loss = model.compute_loss(x, y, outputs, *sample_weight, training=True)
    results = list(flatten(outputs))
    if not all(isinstance(t, Tensor) for t in results):
        return None
    masked = [getattr(t, "_mask", None) is not None for t in results]
    masks, parts = [t._mask for t in compress(results, masked)], watched.loss.values
    after = [state for layer in watched.stateful for state in layer._states or ()]
    recording = recorder.finish(loss, [*results, *masks, *parts, *after])
    return Recorded(recording, map_nested(lambda _: None, outputs), masked, watched, len(parts))


def _same(loss: Tensor, found: dict[Any, Any], again: Tensor, gradients: dict[Any, Any]) -> bool:
    return (
        np.array_equal(loss._data, again._data, equal_nan=True)
        and found.keys() == gradients.keys()
        and all(np.array_equal(g, gradients[node], equal_nan=True) for node, g in found.items())
    )
