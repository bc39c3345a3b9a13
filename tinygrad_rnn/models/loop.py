"""What the training loop leans on: callbacks in a row, Ctrl-C between batches, the places of wrong values."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..callbacks import Callback
from ..core.arrays import ValueAt
from .data import Batch


class Hooks:
    """All callbacks, called in order."""

    def __init__(self, model: Any, callbacks: list[Callback], epochs: int, steps: int | None) -> None:
        self.callbacks = callbacks
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"fit: callbacks must be Callback objects, received {callback!r}")
            callback.set_model(model)
            callback.set_params({"epochs": epochs, "steps": steps})

    def call(self, hook: str, *args: Any) -> None:
        """Call `hook` of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*args)


@contextmanager
def places_of(batch: Batch) -> Iterator[None]:
    """Wrong values are reported where the user's arrays have them, not where the batch does."""
    try:
        yield
    except ValueAt as error:
        raise error.among(batch.rows) from None


@contextmanager
def interrupt_between_batches() -> Iterator[threading.Event]:
    """Ctrl-C sets the event; a second one interrupts at once. Only the main thread gets signals."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
    if event.is_set():
        raise KeyboardInterrupt("fit was interrupted after its last batch; the model is as it was then")


def put_back(kept: list[tuple[Any, Any]]) -> None:
    """Give recurrent layers back the states that they kept before a batch that failed."""
    for layer, states in kept:
        layer._states = states
