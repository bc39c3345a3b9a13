"""Callbacks that move the learning rate: by a function of the epoch, or when a value stops improving."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..optimizers.rate import checked
from .callback import Callback, Logs
from .monitor import MonitorCallback


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of each epoch to `schedule(epoch, rate)`, or `schedule(epoch)`.

    The logs get a `learning_rate`. Raises `ValueError` unless the function returns a finite number ≥ 0.

    >>> from types import SimpleNamespace
    >>> halve, optimizer = LearningRateScheduler(lambda epoch, rate: rate / 2), SimpleNamespace(learning_rate=0.1)
    >>> halve.set_model(SimpleNamespace(optimizer=optimizer)); halve.on_epoch_begin(0); optimizer.learning_rate
    0.05
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Set the rate."""
        optimizer = self.model.optimizer
        positional = [
            p
            for p in inspect.signature(self.schedule).parameters.values()
            if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)
        ]
        several = len(positional) > 1 or any(p.kind is p.VAR_POSITIONAL for p in positional)
        optimizer.learning_rate = checked(
            self.schedule(epoch, optimizer.learning_rate) if several else self.schedule(epoch)
        )
        if self.verbose:
            print(f"Epoch {epoch + 1}: the learning rate is {optimizer.learning_rate}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Log the rate."""
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by `factor` when the value has not improved for `patience` epochs.

    It never falls below `min_lr`; after a reduction `cooldown` epochs pass before the waiting starts again. The
    logs get a `learning_rate`. Raises `ValueError` for a factor ≥ 1.

    >>> from types import SimpleNamespace
    >>> reduce, optimizer = ReduceLROnPlateau("loss", patience=1), SimpleNamespace(learning_rate=0.5)
    >>> reduce.set_model(SimpleNamespace(optimizer=optimizer)); reduce.on_train_begin()
    >>> for epoch, loss in enumerate([1.0, 1.0]):
    ...     reduce.on_epoch_end(epoch, {"loss": loss})
    >>> optimizer.learning_rate
    0.05
    """

    kept = "wait", "best", "cooldown_counter"

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be in (0, 1), received {factor!r}")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.on_train_begin()

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget the run before."""
        self.wait = self.cooldown_counter = 0
        self.best = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Log the rate; compare, and reduce it if it is time."""
        logs, optimizer = {} if logs is None else logs, self.model.optimizer
        logs["learning_rate"] = rate = optimizer.learning_rate
        current = self.current(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improved(current, self.best):
            self.best, self.wait = current, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: the learning rate is reduced to {optimizer.learning_rate}")
