"""`SwapEMAWeights`: evaluate, and save, with the averages of the weights."""

from __future__ import annotations

from typing import Any

from .callback import Callback, Logs


class SwapEMAWeights(Callback):
    """Put the optimizer's averages in place of the weights during evaluations and predictions.

    The optimizer needs `use_ema=True` (`ValueError` otherwise). With `swap_on_epoch` they are in place from the end
    of an epoch to the beginning of the next, so that a `ModelCheckpoint` behind it in the list saves them.

    >>> from tinygrad_rnn import Variable, optimizers
    >>> from types import SimpleNamespace
    >>> w, optimizer = Variable([0.0]), optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([[-1.0]], [w])
    >>> swap = SwapEMAWeights(); swap.set_model(SimpleNamespace(optimizer=optimizer))
    >>> swap.on_test_begin(); during = w.tolist(); swap.on_test_end(); during, w.tolist()
    ([1.5], [2.0])
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = swap_on_epoch

    def _put(self, averages: bool) -> None:
        optimizer: Any = self.model.optimizer
        if optimizer.swapped != averages:
            optimizer.swap_averages()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Train the weights."""
        self._put(False)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Show the averages to the callbacks that follow."""
        if self.swap_on_epoch:
            self._put(True)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Evaluate the averages."""
        self._put(True)

    def on_test_end(self, logs: Logs = None) -> None:
        """Give back the weights."""
        self._put(False)

    def on_abort(self, logs: Logs = None) -> None:
        """Give back the weights."""
        self._put(False)

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Predict with the averages."""
        self._put(True)

    def on_predict_end(self, logs: Logs = None) -> None:
        """Give back the weights."""
        self._put(False)
