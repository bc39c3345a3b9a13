"""Progress of `fit`: a live bar on a terminal, one plain line per epoch otherwise."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from ..callbacks import Callback


class ProgressBar(Callback):
    """Shows epochs as they pass. `verbose`: 0 nothing, 1 a live bar, 2 a line per epoch, "auto" as fits.

    The loss shown during an epoch is the running mean over its batches, while the weights change.
    """

    def __init__(self, verbose: Any = "auto") -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"fit: verbose must be 'auto', 0, 1 or 2, received {verbose!r}")
        self.verbose = (1 if sys.stdout.isatty() else 2) if verbose == "auto" else int(verbose)
        self._bar: Any = None
        self._task: Any = None
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and the bar."""
        self._start = time.perf_counter()
        if self.verbose == 1:
            import rich.progress as rp

            self._bar = rp.Progress(
                rp.TextColumn("Epoch {task.fields[epoch]}"), rp.BarColumn(), rp.MofNCompleteColumn(),
                rp.TimeRemainingColumn(), rp.TextColumn("{task.fields[text]}"), transient=True,
            )  # fmt: skip
            self._bar.start()
            label = f"{epoch + 1}/{self.params['epochs']}"
            self._task = self._bar.add_task("", total=self.params.get("steps"), epoch=label, text="")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=batch + 1, text=_text(logs or {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the line of the epoch."""
        self.close()
        if self.verbose:
            seconds = time.perf_counter() - self._start
            print(
                f"Epoch {epoch + 1}/{self.params['epochs']}  {seconds:.1f} s  {_text(logs or {})}", flush=True
            )

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
