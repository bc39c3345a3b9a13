"""`MonitorCallback`: whether a value of the logs got better; `EarlyStopping`: end training when it does not."""

from __future__ import annotations

from typing import Any

from .. import metrics
from ..warn import warn
from .callback import Callback, Logs


class MonitorCallback(Callback):
    """Base of callbacks that follow one value of the logs, `monitor`.

    `mode` says whether smaller ("min") or larger ("max") is better; "auto": smaller for losses, otherwise what
    the metric of that name says. A value counts as better than `best` by more than `|min_delta|`.

    >>> falling = MonitorCallback("val_loss", min_delta=0.1)
    >>> falling.improved(0.85, 1.0), falling.improved(0.95, 1.0), falling.improved(2.0, None)
    (True, False, True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0.0,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            warn(
                f"{type(self).__name__}: mode must be 'auto', 'min' or 'max', received {mode!r}; it is 'auto' now",
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)

    def improved(self, value: Any, best: Any) -> bool:
        """Whether `value` is better than `best`; anything is better than None.

        Raises `ValueError` in mode "auto" if the name does not say which direction is good.
        """
        sign = 1.0 if self._larger_is_better() else -1.0
        return best is None or bool(sign * value - self.min_delta > sign * best)

    def _larger_is_better(self) -> bool:
        name = self.monitor.removeprefix("val_")
        if self.mode != "auto":
            return self.mode == "max"
        if name.endswith("loss"):
            return False
        held = [m for one in getattr(self.model, "metrics", ()) for m in getattr(one, "metrics", [one])]
        own = [
            m for m in held if name == m.name or name.endswith(f"_{m.name}")
        ]  # of one output: dense_accuracy
        direction = getattr(own[0] if own else _known(name), "_direction", None)
        if direction is None:
            raise ValueError(
                f"{type(self).__name__}: whether a larger or a smaller {self.monitor!r} is better is not known; "
                "give mode='max' or mode='min'"
            )
        return bool(direction == "up")

    def current(self, logs: Logs) -> Any:
        """The monitored value; a warning and None if the logs do not have it."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warn(
                f"{type(self).__name__}: there is no {self.monitor!r} in the logs, which have "
                f"{', '.join(logs or {}) or 'nothing'}; give validation_data to fit, or another monitor",
            )
        return value


def _known(name: str) -> Any:
    """The metric class of that name; None if there is none."""
    try:
        return metrics.REGISTRY.find({"acc": "accuracy"}.get(name, name))
    except ValueError:
        return None


class EarlyStopping(MonitorCallback):
    """End training when the monitored value has not improved for `patience` epochs.

    The first `start_from_epoch` epochs do not count, and epoch 0 never ends it. With a `baseline` the waiting only
    starts anew when the value is better than that too. `restore_best_weights` gives the model the weights of
    its best epoch at the end, also if training went on to the last epoch, but not if it was interrupted in one.

    >>> from types import SimpleNamespace
    >>> stop, model = EarlyStopping("loss", patience=2), SimpleNamespace(stop_training=False)
    >>> stop.set_model(model); stop.on_train_begin()
    >>> for epoch, loss in enumerate([1.0, 0.5, 0.6, 0.7]):
    ...     stop.on_epoch_end(epoch, {"loss": loss})
    >>> model.stop_training, stop.stopped_epoch, stop.best_epoch
    (True, 3, 1)
    """

    kept = "wait", "best", "best_epoch", "best_weights", "stopped_epoch"

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget the run before."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self._in_epoch = False
        self.best = None
        self.best_weights: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Note that one began."""
        self._in_epoch = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare, remember the best weights, and end training if it is time."""
        self._in_epoch = False
        current = self.current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        better = self.improved(current, self.best)
        if better:
            self.best, self.best_epoch = current, epoch
            if self.baseline is None or self.improved(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True
        if better and self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: Logs = None) -> None:
        """Give back the best weights."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None and not self._in_epoch:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)
