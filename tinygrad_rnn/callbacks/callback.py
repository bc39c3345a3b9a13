"""`Callback`: what `fit`, `evaluate` and `predict` call at the beginnings and ends of runs, epochs and batches."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

Logs = dict[str, Any] | None


class Callback:
    """Base class: every hook does nothing. `self.model` is the model, `self.params` its numbers of epochs and steps.

    Set `self.model.stop_training = True` to end after the current batch. Epochs and batches count from 0.
    `kept` names the attributes that a run which goes on from a backup takes up: None, text, numbers, arrays, and
    lists and dicts of these.

    >>> class Print(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    >>> Print().on_epoch_end(0, {"loss": 1.5})
    0 1.5
    """

    saves: ClassVar[int] = (
        0  # the order at the end of batches and epochs: what is saved is how the others leave it
    )
    kept: ClassVar[tuple[str, ...]] = ()
    model: Any = None
    params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Called once before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training, with `epochs` and `steps` (per epoch; None if unknown)."""
        self.params = params

    def set_others(self, callbacks: list[Callback]) -> None:
        """Called once before training, with all callbacks."""

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After an epoch; `logs` has the losses and metrics, those of validation with `val_` before."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a training batch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a training batch; `logs` are running means over the epoch."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Before an evaluation, that of the validation data in `fit` included."""

    def on_test_end(self, logs: Logs = None) -> None:
        """After an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """After a prediction."""

    def on_abort(self, logs: Logs = None) -> None:
        """Instead of the end of an evaluation or a prediction, if it raises."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of a prediction."""


class History(Callback):
    """What `fit` returns: `history` maps each name to its values per epoch, `epoch` lists the epochs.

    >>> h = History(); h.on_epoch_end(0, {"loss": 1.0}); h.history
    {'loss': [1.0]}
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.ending: tuple[int, dict[str, Any]] | None = None  # the epoch that callbacks are told to be over

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Append this epoch's values."""
        self.ending = None
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def state(self) -> dict[str, Any]:
        """Epochs and values as JSON data, which is saved with the model, by a callback with the epoch that ends."""
        made = History()
        made.epoch, made.history = list(self.epoch), {k: list(v) for k, v in self.history.items()}
        if self.ending is not None:
            made.on_epoch_end(*self.ending)
        values = {name: [np.asarray(v).tolist() for v in values] for name, values in made.history.items()}
        return {"epoch": made.epoch, "history": values}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave; `ValueError` or `TypeError` for anything else."""
        epoch = [operator.index(e) for e in state["epoch"]]
        history: dict[str, list[Any]] = {
            name: [np.asarray(v) if isinstance(v, list) else v for v in values]
            for name, values in state["history"].items()
        }
        self.epoch, self.history = epoch, history

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the numbers, not the model."""
        return {key: value for key, value in vars(self).items() if key != "model"}


class LambdaCallback(Callback):
    """A callback from functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: ...)`.

    A function gets what the hook of that name gets, the logs always. Raises `ValueError` for an unknown hook.

    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch)).on_epoch_end(3)
    3
    """

    def __init__(self, **functions: Callable[..., None] | None) -> None:
        for name, function in functions.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(n for n in dir(Callback) if n.startswith("on_"))
                raise ValueError(f"LambdaCallback: unknown hook {name!r}; known are {known}")
            if function is not None:
                numbered = "epoch" in name or "batch" in name
                setattr(self, name, _numbered(function) if numbered else _plain(function))


def _numbered(function: Callable[..., None]) -> Callable[..., None]:
    return lambda number, logs=None: function(number, logs)


def _plain(function: Callable[..., None]) -> Callable[..., None]:
    return lambda logs=None: function(logs)
