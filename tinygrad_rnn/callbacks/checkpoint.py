"""`ModelCheckpoint`: save the model, or its weights, after epochs or batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import make_folder
from .callback import Logs
from .monitor import MonitorCallback


class BatchCount:
    """Every how many batches something is done: `due()` says when, across epochs.

    >>> count = BatchCount(3, "here")
    >>> [count.due() for _ in range(6)]
    [False, False, True, False, False, True]
    """

    def __init__(self, every: Any, owner: str) -> None:
        if every != "epoch" and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise ValueError(f"{owner}: save_freq must be 'epoch' or an integer ≥ 1, received {every!r}")
        self.every, self.seen = every, 0

    def due(self) -> bool:
        """Count a batch; True for every `every`-th."""
        self.seen += 1
        if self.every == "epoch" or self.seen < self.every:
            return False
        self.seen = 0
        return True


class ModelCheckpoint(MonitorCallback):
    """Save the model (`.tgr`) or its weights (`.weights.tgr`), each time atomically.

    `filepath` may hold `{epoch}`, counted from 1, `{batch}`, and names of the logs: `"{epoch:02d}-{val_loss:.2f}.tgr"`.
    `save_freq` is "epoch" or a number of batches. `save_best_only` saves when `monitor` is better than ever, and
    better than `initial_value_threshold`.

    Raises `ValueError` for another ending, `KeyError` for a name that the logs do not have.

    >>> ModelCheckpoint("best.keras")
    Traceback (most recent call last):
    ...
    ValueError: ModelCheckpoint: filepath must end in '.tgr', received 'best.keras'
    """

    saves = 1
    kept = "best", "seen"

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = str(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        ending = ".weights.tgr" if save_weights_only else ".tgr"
        if not self.filepath.endswith(ending) or (
            not save_weights_only and self.filepath.endswith(".weights.tgr")
        ):
            raise ValueError(f"ModelCheckpoint: filepath must end in {ending!r}, received {self.filepath!r}")
        self._count = BatchCount(save_freq, "ModelCheckpoint")
        self._epoch = 0

    @property
    def seen(self) -> int:
        """How many batches there were since it saved."""
        return self._count.seen

    @seen.setter
    def seen(self, batches: int) -> None:
        self._count.seen = batches

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Save, if so many batches have passed."""
        if self._count.due():
            self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Save."""
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: dict[str, Any]) -> None:
        try:
            path = Path(self.filepath.format(epoch=epoch + 1, **logs))
        except KeyError as error:
            known = ", ".join(["epoch", *logs])
            raise KeyError(f"ModelCheckpoint: {self.filepath!r} names {error}; there are {known}") from None
        said = f"Epoch {epoch + 1}: "
        if self.save_best_only and (value := self.current(logs)) is not None:
            before = "None" if self.best is None else f"{self.best:.5f}"
            if not self.improved(value, self.best):
                if self.verbose:
                    print(f"{said}{self.monitor} did not improve from {before}")
                return
            said += f"{self.monitor} improved from {before} to {value:.5f}, "
            self.best = value
        make_folder(path.parent, "ModelCheckpoint")
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"{said}saved {path}")
