"""Warnings point at the line of the caller's file, however deep in the package their reason is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tinygrad_rnn as tg


def trained(**options: object) -> tg.Sequential:
    model = tg.Sequential([tg.layers.SimpleRNN(2), tg.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3, 2)), np.ones((4, 1)), verbose=0, **options)
    return model


def short() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield np.ones((4, 3, 2)), np.ones((4, 1))


def reads_values() -> None:
    def branch(x: tg.Tensor, states: list[tg.Tensor], constants: object) -> tuple[tg.Tensor, list[tg.Tensor]]:
        return (x if float(x.sum()) > 0 else -x), states

    tg.scan(branch, np.ones((1, 3, 2)), [np.zeros((1, 2))], derive=True)


def padded() -> None:
    ids = np.array([[1, 2, 0, 0, 0, 0]] * 3)
    tg.Sequential([tg.layers.Embedding(4, 2), tg.layers.LSTM(3)])(ids)


def no_probabilities() -> None:
    model = tg.Sequential([tg.layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(np.full((2, 2), 9.0), np.zeros(2, int))


@pytest.mark.parametrize(
    "cause",
    [
        reads_values,
        padded,
        no_probabilities,
        lambda: tg.layers.LeakyReLU(alpha=0.1),
        lambda: tg.layers.Bidirectional(trained().layers[0]),
        lambda: trained(callbacks=[tg.callbacks.EarlyStopping("val_loss")]),
        lambda: tg.callbacks.EarlyStopping(mode="most"),
        lambda: tg.optimizers.SGD().apply([None, np.ones(1)], [tg.Variable(np.ones(1)) for _ in "ab"]),
        lambda: trained().fit(short(), epochs=3, steps_per_epoch=1, verbose=0),
    ],
)
def test_a_warning_points_at_the_callers_line(cause: Callable[[], object]) -> None:
    with pytest.warns(UserWarning) as caught:
        cause()
    assert {w.filename for w in caught} == {__file__}
