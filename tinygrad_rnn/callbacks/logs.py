"""Callbacks that look at the logs: `CSVLogger` writes them to a file, `TerminateOnNaN` ends training for them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from .callback import Callback, Logs


class CSVLogger(Callback):
    """One row per epoch, the first column `epoch` from 0, the others sorted by name.

    Columns are those of the first epoch; if that has none of validation, those are added, for later epochs. A
    missing value is `NA`. `append` goes on with a file that is there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = CSVLogger(folder + "/log.csv")
    ...     log.on_train_begin(); log.on_epoch_end(0, {"loss": 0.5}); log.on_train_end()
    ...     Path(folder, "log.csv").read_text().split()
    ['epoch,loss,val_loss', '0,0.5,NA']
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        self.filename = filename
        self.separator = separator
        self.append = append
        self._file: TextIO | None = None
        self._keys: list[str] | None = None
        self._with_header = True

    def on_train_begin(self, logs: Logs = None) -> None:
        """Open the file."""
        self.on_train_end()
        path = Path(self.filename)
        self._with_header = not (self.append and path.exists() and path.stat().st_size)
        self._file = open(path, "a" if self.append else "w", newline="", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the row."""
        assert self._file is not None, "on_train_begin opens the file"
        logs = logs or {}
        rows: list[list[Any]] = []
        if self._keys is None:
            self._keys = sorted(logs)
            if not any(key.startswith("val_") for key in self._keys):
                self._keys += [f"val_{key}" for key in self._keys]
            if self._with_header:
                rows.append(["epoch", *self._keys])
        rows.append([epoch, *(_text(logs.get(key, "NA")) for key in self._keys)])
        with self._named():
            csv.writer(self._file, delimiter=self.separator).writerows(rows)
            self._file.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        """Close the file."""
        file = self._file
        self._file = self._keys = None
        if file is not None:
            with self._named():
                file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let errors of the disk name the file, which those of writing do not."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.filename)) from error


def _text(value: Any) -> Any:
    """A value as one field: several numbers in brackets."""
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return value
    return f'"[{", ".join(map(str, value))}]"'


class TerminateOnNaN(Callback):
    """End training when the loss is NaN or infinite; with `raise_error` by a `RuntimeError`.

    Weights are safe without it: `fit` raises at a gradient that is not finite, before this callback is asked, or with
    `compile(on_nonfinite="skip")` leaves the batch out, which counts for nothing here.

    >>> from types import SimpleNamespace
    >>> end, model = TerminateOnNaN(), SimpleNamespace(stop_training=False)
    >>> end.set_model(model); end.on_train_batch_end(7, {"loss": math.nan}); model.stop_training
    Batch 7: the loss is nan, training ends
    True
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error
        self._skipped = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Note how many batches were left out so far."""
        self._skipped = getattr(self.model, "skipped_batches", 0)

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if getattr(self.model, "skipped_batches", 0) - self._skipped > batch:
            return  # the mean of no batches
        if self.raise_error:
            raise RuntimeError(f"Batch {batch}: the loss is {loss}")
        print(f"Batch {batch}: the loss is {loss}, training ends")
        self.model.stop_training = True
