"""Progress of `fit`: a live bar on a terminal, one plain line per epoch otherwise."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import numpy as np

from ..callbacks import Callback

SECONDS = 0.25  # between two drawings of the bar: one takes half a millisecond, and so may a batch


class ProgressBar(Callback):
    """Shows epochs as they pass. `verbose`: 0 nothing, 1 a live bar, 2 a line per epoch, "auto" as fits.

    The loss shown during an epoch is the running mean over its batches, while the weights change. The bar is
    drawn a few times per second, and not at all in an epoch that is over before.
    """

    def __init__(self, verbose: Any = "auto") -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"fit: verbose must be 'auto', 0, 1 or 2, received {verbose!r}")
        self.verbose = (1 if sys.stdout.isatty() else 2) if verbose == "auto" else int(verbose)
        self._bar: Any = None
        self._task: Any = None
        self._start = self._due = 0.0
        self._label = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()
        self._due = self._start + SECONDS if self.verbose == 1 else math.inf
        self._label = f"{epoch + 1}/{self.params['epochs']}"

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar, if it is time to."""
        if time.perf_counter() < self._due:
            return
        if self._bar is None:
            import rich.progress as rp

            self._bar = rp.Progress(
                rp.TextColumn("Epoch {task.fields[epoch]}"), rp.BarColumn(), rp.MofNCompleteColumn(),
                rp.TimeRemainingColumn(), rp.TextColumn("{task.fields[text]}"), transient=True,
                auto_refresh=False,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=self.params.get("steps"), epoch=self._label, text="")
            self._bar.start()
        self._bar.update(self._task, completed=batch + 1, text=_text(logs or {}), refresh=True)
        self._due = time.perf_counter() + SECONDS

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the line of the epoch."""
        self.close()
        if self.verbose:
            seconds = time.perf_counter() - self._start
            print(f"Epoch {self._label}  {seconds:.1f} s  {_text(logs or {})}", flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the terminal as it was."""
        self.close()

    def close(self) -> None:
        """Stop the live bar, if there is one."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _text(logs: dict[str, Any]) -> str:
    """`loss: 1.2345  val_loss: 1.3456`."""
    return "  ".join(f"{k}: {float(np.asarray(v)):.4f}" for k, v in logs.items())
