"""Ctrl-C in `fit`: whose it is, and where it ends."""

from __future__ import annotations

import _thread
import signal
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.callbacks import LambdaCallback

taken: list[int] = []


def data() -> tuple[Any, Any]:
    x = np.random.default_rng(0).standard_normal((8, 5, 3)).astype(np.float32)
    return x, x.sum((1, 2))


def small_model() -> Any:
    model = tg.Sequential([tg.Input((None, 3)), layers.GRU(4), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: taken.append(number)])
def test_a_ctrl_c_that_is_ignored_or_handled_elsewhere_is_left_alone(handler: Any) -> None:
    taken.clear()
    x, y = data()
    model, before = small_model(), signal.signal(signal.SIGINT, handler)
    press = LambdaCallback(on_train_batch_end=lambda batch, logs: signal.raise_signal(signal.SIGINT))
    try:
        model.fit(x, y, epochs=2, verbose=0, callbacks=[press])
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert model.history.epoch == [0, 1]
    assert taken == ([] if handler is signal.SIG_IGN else [signal.SIGINT] * 2)


def test_ctrl_c_in_a_fit_inside_a_fit_ends_the_inner_one_after_its_batch() -> None:
    x, y = data()
    outer, inner = small_model(), small_model()
    press = LambdaCallback(on_train_batch_begin=lambda batch, logs: _thread.interrupt_main())
    nested = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: inner.fit(x, y, batch_size=4, verbose=0, callbacks=[press])
    )
    with pytest.raises(KeyboardInterrupt):
        outer.fit(x, y, verbose=0, callbacks=[nested])
    assert (inner.optimizer.iterations, outer.optimizer.iterations) == (1, 0)
