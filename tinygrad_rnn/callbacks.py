"""Callbacks: functions that `fit` calls at the beginnings and ends of training, epochs and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Callback:
    """Base class. `self.model` is the model, `self.params` its numbers of epochs and steps.

    Set `self.model.stop_training = True` to end after the current batch. Epochs count from 0.

    >>> class Print(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    >>> Print().on_epoch_end(0, {"loss": 1.5})
    0 1.5
    """

    model: Any = None
    params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Called once before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once before training, with `epochs` and `steps` (per epoch; None if unknown)."""
        self.params = params

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After an epoch; `logs` has the losses and metrics, those of validation with `val_` before."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Before a training batch."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After a training batch; `logs` are running means over the epoch."""


class History(Callback):
    """What `fit` returns: `history` maps each name to its values per epoch, `epoch` lists the epochs.

    >>> h = History(); h.on_epoch_end(0, {"loss": 1.0}); h.history
    {'loss': [1.0]}
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append this epoch's values."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the numbers, not the model."""
        return {key: value for key, value in vars(self).items() if key != "model"}


class LambdaCallback(Callback):
    """A callback from functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: ...)`.

    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch)).on_epoch_end(3)
    3
    """

    def __init__(self, **functions: Callable[..., None]) -> None:
        for name, function in functions.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                known = ", ".join(n for n in dir(Callback) if n.startswith("on_"))
                raise ValueError(f"LambdaCallback: unknown hook {name!r}; known are {known}")
            setattr(self, name, _with_logs(function))


def _with_logs(function: Callable[..., None]) -> Callable[..., None]:
    return lambda *args, logs=None: function(*args, logs) if len(args) in (0, 1) else function(*args)
