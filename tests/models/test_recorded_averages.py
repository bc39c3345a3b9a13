"""Recorded batches with BatchNormalization: its averages move in each of them as when the model is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import both, fitted, made, silenced

import tinygrad_rnn as tg
from tinygrad_rnn import layers

RNG = np.random.default_rng(4)
X = RNG.standard_normal((23, 5, 4)).astype("float32") + 2
Y = RNG.standard_normal((23, 5, 2)).astype("float32")


def model_of(recorded: bool, loss: str = "mse", **options: Any) -> Any:
    inputs, norm = tg.Input((5, 4)), layers.BatchNormalization(momentum=0.8)
    y = norm(layers.GRU(4, return_sequences=True)(norm(inputs)))  # twice in a batch
    y = layers.TimeDistributed(layers.BatchNormalization())(y)
    y = layers.BatchNormalization(trainable=False)(y)
    model = tg.Model(inputs, layers.Dense(2)(y))
    model.compile("adam", loss, **options)
    return silenced(model, not recorded)


def averages(model: Any) -> list[Any]:
    return [v.numpy().copy() for v in model.non_trainable_weights]


def test_fit_evaluate_and_predict() -> None:
    fit = fitted(X, Y, validation_data=(X[:6], Y[:6]))

    def train(model: Any) -> Any:
        first = fit(model)
        return (
            first,
            averages(model),
            model.predict(X, verbose=0),
            fit(model),
            model.evaluate(X, Y, verbose=0),
        )

    model, _ = both(model_of, train)
    assert made(model) == [True, True]


def test_averages_move_in_each_batch() -> None:
    def train(model: Any) -> list[Any]:
        return [(model.train_on_batch(X * s, Y), averages(model)) for s in (1, 1, 2, 3, 1)]

    _, seen = both(model_of, train)
    for (_, before), (_, after) in zip(seen[:-1], seen[1:], strict=True):
        moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert moved == [True] * 4 + [False] * 4  # the last layer is frozen


def test_a_model_that_cannot_be_recorded_is_as_it_was() -> None:
    """The attempt calls the model, and this moves the averages."""

    def build(recorded: bool) -> Any:
        return model_of(recorded, loss="hinge")  # it looks at the labels

    model, _ = both(build, lambda m: [(m.train_on_batch(X, np.sign(Y)), averages(m)) for _ in range(4)])
    assert made(model) == [False]


def norm_of(model: Any) -> Any:
    return next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))


def assigned(model: Any) -> None:
    norm_of(model).moving_mean.assign(np.ones(4))


def slower(model: Any) -> None:
    norm_of(model).momentum = 0.1


def frozen(model: Any) -> None:
    norm_of(model).trainable = False


def begun_anew(model: Any) -> None:
    model.reset_state()


@pytest.mark.parametrize("change", [assigned, slower, frozen, begun_anew], ids=lambda f: f.__name__)
def test_a_change_is_seen_in_the_next_batch(change: Callable[[Any], None]) -> None:
    def train(model: Any) -> list[Any]:
        seen = [model.train_on_batch(X, Y) for _ in range(3)]
        change(model)
        return [*seen, *[(model.train_on_batch(X * 2, Y), averages(model)) for _ in range(3)]]

    model, _ = both(model_of, train)
    assert made(model) == [True]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_that_is_left_out_moves_nothing(bad: float) -> None:
    wrong = X.copy()
    wrong[3, 2, 1] = bad

    def train(model: Any) -> list[Any]:
        seen: list[Any] = [model.train_on_batch(X, Y) for _ in range(3)]
        before = averages(model)
        seen.append(model.train_on_batch(wrong, Y))
        np.testing.assert_equal(averages(model), before)
        return [
            *seen,
            model.skipped_batches,
            *[model.train_on_batch(X, Y) for _ in range(2)],
            averages(model),
        ]

    model, seen = both(lambda r: model_of(r, on_nonfinite="skip"), train)
    assert made(model) == [True] and seen[4] == 1


def test_a_batch_that_fails_moves_nothing() -> None:
    ids, labels = RNG.integers(1, 9, (8, 5)), RNG.integers(0, 2, (8, 5))

    def build(recorded: bool) -> Any:
        model = tg.Sequential([layers.Embedding(9, 4), layers.BatchNormalization(), layers.Dense(2)])
        model.compile("sgd", tg.losses.SparseCategoricalCrossentropy(from_logits=True))
        return silenced(model, not recorded)

    def train(model: Any) -> list[Any]:
        seen: list[Any] = [model.train_on_batch(ids, labels) for _ in range(3)]
        before = averages(model)
        with pytest.raises(ValueError, match="value 2 at position"):
            model.train_on_batch(ids, labels + 1)
        np.testing.assert_equal(averages(model), before)
        return [*seen, *[model.train_on_batch(ids, labels) for _ in range(2)], averages(model)]

    model, _ = both(build, train)
    assert made(model) == [True]
