"""Recorded batches with sample weights: those of each batch count, by the same bits as when the model is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loss_cases import CASES as LOSSES
from loss_cases import OBJECTS, sample
from recorded import both, fitted, made, silenced

import tinygrad_rnn as tg
from tinygrad_rnn import layers

RNG = np.random.default_rng(1)
X = RNG.standard_normal((23, 5, 4)).astype("float32")
Y = RNG.integers(0, 3, (23, 5))
SOME = RNG.integers(0, 2, (23, 5))
ROWS = RNG.random(23)
ROWS[::4] = 0

WEIGHTS: dict[str, Any] = {
    "of rows": ROWS,
    "of rows, a column": ROWS[:, None],
    "of steps": RNG.random((23, 5)) * SOME,
    "of steps, a column": (RNG.random((23, 5)) * SOME)[..., None],
    "float32": ROWS.astype("float32"),
    "whole numbers": SOME * 3,
    "booleans": SOME.astype(bool),
    "negative": RNG.standard_normal((23, 5)),
    "zeros": np.zeros(23),
    "ones first": np.where(np.arange(23) < 16, 1.0, ROWS),
}


def model_of(recorded: bool, loss: Any = None, **options: Any) -> Any:
    model = tg.Sequential([layers.LSTM(4, return_sequences=True), layers.Dense(3)])
    loss = loss or tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], weighted_metrics=["accuracy"], **options)
    return silenced(model, not recorded)


@pytest.mark.parametrize("name", WEIGHTS)
def test_fit_evaluate_and_predict(name: str) -> None:
    weights, shuffle = WEIGHTS[name], name != "ones first"
    validation = X[:6], Y[:6], weights[:6]
    fit = fitted(X, Y, sample_weight=weights, validation_data=validation, shuffle=shuffle)

    def train(model: Any) -> Any:
        history = fit(model)
        evaluated = model.evaluate(X, Y, sample_weight=weights, verbose=0)
        return history, evaluated, model.predict(X, verbose=0)

    model, (history, _, _) = both(model_of, train)
    assert made(model) == [True, True]  # whole batches, and the last one
    assert (history["loss"][2] != history["loss"][0]) == (name != "zeros")


def test_a_batch_without_weights_and_one_with() -> None:
    def train(model: Any) -> list[Any]:
        weights = [None, ROWS[:8], None, ROWS[8:16], None, np.ones(8), WEIGHTS["of steps"][:8], ROWS[:8]]
        return [model.train_on_batch(X[:8], Y[:8], sample_weight=w) for w in weights]

    model, seen = both(model_of, train)
    assert made(model) == [True, True]
    assert seen[0][0] != seen[1][0]


def test_weights_of_classes() -> None:
    model, _ = both(model_of, fitted(X, Y, class_weight={0: 2.0, 1: 0.0}))
    assert made(model) == [True, True]


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight"])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name: str, reduction: str) -> None:
    """The second batch, which is recorded, has no weight of 0; what has one later is not looked at."""
    y, p = sample(LOSSES[name][0], (8, 3, 5))
    x = p.astype("float32")
    weights = RNG.random((8, 3)) + 0.1
    some = weights * (np.arange(24).reshape(8, 3) % 3 > 0)
    unknown = np.where(
        (some == 0).reshape(*some.shape, *[1] * (y.ndim - 2)), 7 if y.dtype.kind == "i" else np.nan, y
    )

    def build(recorded: bool) -> Any:
        stack = [layers.Dense(5), layers.Softmax()] if LOSSES[name][0] != "real" else [layers.Dense(5)]
        model = tg.Sequential(stack)
        model.compile("sgd", OBJECTS[name](reduction=reduction))
        return silenced(model, not recorded)

    batches = [(y, weights), (y, weights), (unknown, some), (y, 0 * some), (y, weights), (unknown, some / 2)]
    model, seen = both(build, lambda m: [m.train_on_batch(x, t, sample_weight=w) for t, w in batches])
    assert made(model) == [name not in ("hinge", "squared_hinge")]  # they look at the labels
    assert np.isfinite(seen).all() and seen[3] == 0


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_one_prediction_per_row(loss: str, shape: tuple[int, ...]) -> None:
    x, y = X[:8, 0], (Y[:8, 0] > 1).reshape(shape)

    def build(recorded: bool) -> Any:
        model = tg.Sequential([layers.Dense(1, activation="sigmoid"), layers.Reshape(shape[1:])])
        model.compile("sgd", loss, metrics=["accuracy"])
        return silenced(model, not recorded)

    weights = [ROWS[k : k + 8] for k in (1, 1, 2, 3, 4)]
    model, _ = both(build, lambda m: [m.train_on_batch(x, y, sample_weight=w) for w in weights])
    assert made(model) == [True]


def test_weights_that_do_not_fit_say_so_and_nothing_is_changed() -> None:
    model = model_of(True)
    for _ in range(3):
        model.train_on_batch(X, Y, sample_weight=ROWS)
    before = model.get_weights()
    for _ in range(3):
        with pytest.raises(
            ValueError, match=r"sample_weight of shape \(23, 4\) does not fit values of shape"
        ):
            model.train_on_batch(X, Y, sample_weight=np.ones((23, 4)))
        with pytest.raises(FloatingPointError, match=r"sample_weight is NaN or infinite at position \(4,\)"):
            model.train_on_batch(X, Y, sample_weight=np.where(np.arange(23) == 4, np.nan, 1.0))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert made(model) == [True]
