"""What the training loop leans on: callbacks in a row, Ctrl-C between batches, wrong values, undoing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..callbacks import Callback
from ..config import random_state, set_random_state
from ..core.arrays import ValueAt
from ..layers.states import streams
from ..layers.symbolic import flatten
from ..layers.tracking import put_back
from .data import Batch


class Hooks:
    """All callbacks, called in order."""

    def __init__(self, model: Any, callbacks: Any, params: dict[str, Any]) -> None:
        self.callbacks: list[Callback] = list(flatten(callbacks))
        self._begun: list[Callback] = []
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be Callback objects, received {callback!r}")
        self._savers_last = sorted(self.callbacks, key=lambda callback: callback.saves)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)
            callback.set_others(self.callbacks)

    def call(self, hook: str, *args: Any) -> None:
        """Call `hook` of every callback that has it."""
        ending = hook in ("on_epoch_end", "on_train_batch_end")  # what is saved is how all others leave it
        for callback in self._savers_last if ending else self.callbacks:
            method = getattr(callback, hook, None)
            if method is not None:
                method(*args)

    def begin(self) -> None:
        """Begin the training."""
        for callback in self.callbacks:
            callback.on_train_begin()
            self._begun.append(callback)
        self.call("give_back")  # of a backup, to callbacks that have begun from nothing

    def end(self, logs: dict[str, Any]) -> None:
        """End it for those that began it."""
        for callback in self._begun:
            callback.on_train_end(logs)

    @contextmanager
    def aborted(self) -> Iterator[None]:
        """If an evaluation or prediction raises, tell all callbacks."""
        try:
            yield
        except BaseException:
            self.call("on_abort")
            raise

    @property
    def resume_at(self) -> tuple[int, int] | None:
        """The place (epoch, batch) where a callback wants the training to go on; None for the beginning."""
        places = [getattr(callback, "resume_at", None) for callback in self.callbacks]
        return next((place for place in places if place is not None), None)


def whole(caller: str, **given: Any) -> None:
    """Raise `TypeError` for the first argument that is neither a whole number nor None."""
    for name, value in given.items():
        if value is not None and not isinstance(value, (int, np.integer)):
            raise TypeError(f"{caller}: {name} must be a whole number, received {value!r}")


def due(epoch: int, freq: int | Iterable[int]) -> bool:
    """Whether to validate after this epoch (from 0)."""
    if isinstance(freq, int):
        if freq < 1:
            raise ValueError(f"fit: validation_freq must be at least 1, received {freq}")
        return (epoch + 1) % freq == 0
    return epoch + 1 in freq


@contextmanager
def places_of(batch: Batch) -> Iterator[None]:
    """Wrong values are reported where the user's arrays have them, not where the batch does."""
    try:
        yield
    except ValueAt as error:
        raise error.among(batch.rows) from None


def bad_input(batch: Batch) -> ValueAt | None:
    """Where the first NaN or infinity of inputs and weights is, in the user's arrays; None if there is none."""
    given = [("x", x) for x in flatten(batch.x)] + [
        ("sample_weight", w) for w in flatten(batch.sample_weight)
    ]
    for name, array in given:
        if array is not None and array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
            place = tuple(np.argwhere(~finite)[0].tolist())
            return ValueAt(f"{name} is NaN or infinite at position {{}}", place).among(batch.rows)
    return None


class CtrlC:
    """What a signal calls in place of Python's own handler: a second one interrupts at once."""

    pressed = False

    def __call__(self, number: int, frame: Any) -> None:
        """Take note of the signal."""
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


@contextmanager
def interrupt_between_batches() -> Iterator[CtrlC]:
    """Ctrl-C is noted, unless it is ignored or the user has a handler for it. Only the main thread gets signals."""
    noted, before = CtrlC(), signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not (before is signal.default_int_handler or isinstance(before, CtrlC)):
        yield noted
        return
    signal.signal(signal.SIGINT, noted)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
    if noted.pressed:
        raise KeyboardInterrupt("fit was interrupted after its last batch; the model is as it was then")


class Snapshot:
    """What training changes in a model: weights (arrays that nobody writes into), optimizer, states, random streams."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.weights = [(v, v._data) for v in model.weights]
        self.optimizer, self.steps = model.optimizer, model.optimizer.snapshot()
        self.states, self.streams = model._held_states(), [(s, s.state) for s in streams(model)]
        self.random, self.history, self.left_at = random_state(), model.history, model.left_at
        # What a first batch decides by its shapes.
        chosen = (model._compile_loss, "_losses"), (model._compile_metrics, "made")
        self.chosen = [(one, name, getattr(one, name)) for one, name in chosen if one is not None]

    def built(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; a model that its first one builds has its first weights then, before it is trained."""
        for first in batches:
            self.model._made_by(first)
            self.weights = [(v, v._data) for v in self.model.weights]
            yield first
            yield from batches

    def restore(self) -> None:
        """Undo everything since."""
        for variable, array in self.weights:
            variable.replace(array)
        self.optimizer.restore(self.steps)
        put_back(self.states)
        for stream, state in self.streams:
            stream.state = state
        set_random_state(self.random)
        self.model.history, self.model.left_at = self.history, self.left_at
        for one, name, value in self.chosen:
            setattr(one, name, value)
