"""What a user changes between two batches, in ways that set no attribute: a recording must not be used any more."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np
import pytest
from recorded import made

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

X = np.random.default_rng(0).standard_normal((4, 5, 3))
Y = np.ones((4, 1))
FACTOR = {"k": 1.0}
Change = Callable[[Any], Any]


def scaled(x: Any, k: float | None = None) -> Any:
    return ops.tanh(x * (FACTOR["k"] if k is None else k))


class Scaled:
    """A function with an attribute."""

    k = 1.0

    def __call__(self, x: Any) -> Any:
        return ops.tanh(x * self.k)


def losses(build: Callable[[], Any], change: Change, jit: Any, loss: Any = "mse") -> list[float]:
    FACTOR["k"] = 1.0
    tg.config.set_random_seed(3)
    model = build()
    model.compile(tg.optimizers.SGD(0.0), loss() if callable(loss) else loss, jit_compile=jit)
    before = [model.train_on_batch(X, Y) for _ in range(3)]
    assert len(set(np.round(before, 5))) == 1
    change(model)
    return [before[-1], model.train_on_batch(X, Y)]


def stack(*first: Any) -> Any:
    return tg.Sequential([*first, layers.Dense(1)])


def factor(model: Any) -> None:
    FACTOR["k"] = 0.3


def with_step() -> Any:
    layer = layers.SimpleRNN(4)
    plain = layer.cell.step

    def step(x: Any, states: Any, constants: Any) -> Any:
        output, new = plain(x, states, constants)
        return FACTOR["k"] * output, [FACTOR["k"] * v for v in new]

    layer.cell.step = step
    return stack(layer)


def with_first_state() -> Any:
    layer = layers.RNN(layers.GRUCell(4))
    layer.cell.get_initial_state = lambda *_, **__: [FACTOR["k"] * np.ones((4, 4), "float32")]
    return stack(layer)


def nested() -> Any:
    inner = tg.Sequential([layers.SimpleRNN(4)])
    inner.call = lambda x, mask=None: FACTOR["k"] * tg.Sequential.call(inner, x)
    return stack(inner)


ARRAY = np.ones(3, "float32")


def constant() -> Any:
    inputs = tg.Input((5, 3))
    return tg.Model(inputs, layers.Dense(1)(layers.SimpleRNN(4)(inputs * ARRAY)))


def two_cells() -> Any:
    return stack(layers.RNN([layers.GRUCell(3), layers.GRUCell(3)]), layers.Dense(4))


FUNCTION = Scaled()
CHANGES: dict[str, tuple[Callable[[], Any], Change]] = {
    "a global of an activation": (lambda: stack(layers.LSTM(4, activation=scaled)), factor),
    "of a recurrent one": (lambda: stack(layers.GRU(4, recurrent_activation=scaled)), factor),
    "of one in both directions": (
        lambda: stack(layers.Bidirectional(layers.SimpleRNN(4, activation=scaled))),
        factor,
    ),
    "an attribute of an activation": (
        lambda: stack(layers.SimpleRNN(4, activation=FUNCTION)),
        lambda model: setattr(FUNCTION, "k", 0.3),
    ),
    "an argument of a partial": (
        lambda: stack(layers.SimpleRNN(4, activation=partial(scaled, k=1.0))),
        lambda model: model.layers[0].cell.activation.keywords.update(k=0.3),
    ),
    "a method of a cell": (with_step, factor),
    "the first state of a cell": (with_first_state, factor),
    "call of a nested model": (nested, factor),
    "the order of cells": (two_cells, lambda model: model.layers[0].cell.cells.reverse()),
    "the number of cells": (two_cells, lambda model: model.layers[0].cell.cells.pop()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_is_seen(name: str) -> None:
    build, change = CHANGES[name]
    FUNCTION.k = 1.0
    found = losses(build, change, "auto")
    FUNCTION.k = 1.0
    expected = losses(build, change, False)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert abs(expected[1] - expected[0]) > 1e-3


def test_arguments_of_a_loss() -> None:
    held: dict[str, Any] = {}

    def loss() -> Any:
        held["loss"] = tg.losses.LossFunctionWrapper(tg.losses.huber, delta=1.0)
        return held["loss"]

    def change(model: Any) -> None:
        held["loss"].kwargs.update(delta=0.1)

    found, expected = (
        losses(lambda: stack(layers.SimpleRNN(4)), change, jit, loss) for jit in ("auto", False)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected[1] < expected[0] / 2


@wraps(tg.losses.mean_squared_error)
def decorated(y_true: Any, y_pred: Any) -> Any:
    return FACTOR["k"] * tg.losses.mean_squared_error(y_true, y_pred)


ALPHA = np.ones(1)
HUBER = tg.losses.Huber()


@pytest.mark.parametrize(
    ("loss", "change"),
    [
        (decorated, factor),
        (lambda y_true, y_pred: decorated(y_true, y_pred), factor),
        (tg.losses.LossFunctionWrapper(tg.losses.categorical_focal_crossentropy, alpha=ALPHA), "alpha"),
        (tg.losses.LossFunctionWrapper(HUBER), "delta"),
        (HUBER.call, "delta"),
    ],
    ids=["decorated", "in a function", "an array", "another loss", "a method"],
)
def test_what_a_loss_holds(loss: Any, change: Any) -> None:
    def changed(model: Any) -> None:
        if change == "alpha":
            ALPHA[0] = 5.0
        elif change == "delta":
            HUBER.delta = 0.1
        else:
            change(model)

    found = []
    for jit in ("auto", False):
        ALPHA[0], HUBER.delta = 1.0, 1.0
        found.append(losses(lambda: stack(layers.SimpleRNN(4)), changed, jit, lambda: loss))
    np.testing.assert_allclose(*found, rtol=1e-5)
    if change != "alpha":  # one class has no cross-entropy
        assert found[1][0] != found[1][1]


class Counting(layers.Layer):
    """Its factor is another one at every call of its step."""

    def __init__(self) -> None:
        super().__init__()
        self.state_size, self.calls, self.seen = 4, 0, []  # type: ignore[var-annotated]

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight((shape[-1], 4))

    def call(self, inputs: Any, states: Any) -> Any:
        self.calls += 1
        self.seen.append(float(self.calls))
        h = ops.tanh(inputs @ self.kernel * (1.0 + 0.01 * self.calls) + states[0])
        return h, [h]


def test_a_recording_does_not_call_what_it_cannot_hold() -> None:
    found = []
    for jit in ("auto", False):
        tg.config.set_random_seed(3)
        model = stack(layers.RNN(Counting()))
        model.compile("sgd", "mse", jit_compile=jit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = [model.train_on_batch(X, Y) for _ in range(5)]
        cell = model.layers[0].cell
        found.append([*values, cell.calls, *cell.seen])
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert found[0][5] == 25


def test_a_number_in_an_array() -> None:
    held: dict[str, Any] = {}

    def build() -> Any:
        held["r"] = tg.regularizers.L2(0.01)
        held["r"].l2 = np.array(0.01)
        return stack(layers.SimpleRNN(4, kernel_regularizer=held["r"]))

    def change(model: Any) -> None:
        held["r"].l2 *= 100

    found, expected = (losses(build, change, jit) for jit in ("auto", False))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected[1] > expected[0]


def test_constants_of_a_functional_model_are_those_it_was_made_with() -> None:
    tg.config.set_random_seed(3)
    model = constant()
    model.compile(tg.optimizers.SGD(0.0), "mse")
    before = [model.train_on_batch(X, Y) for _ in range(3)]
    try:
        ARRAY[:] = [3.0, 1.0, 2.0]
        assert model.train_on_batch(X, Y) == before[-1]
        model.run_eagerly = True
        np.testing.assert_allclose(model.train_on_batch(X, Y), before[-1], rtol=1e-6)
    finally:
        ARRAY[:] = 1.0


@pytest.mark.parametrize("units", [1, 2, 3, 4])
def test_memory_that_is_not_lent_where_blas_would_round_otherwise(units: int) -> None:
    for seed in range(4):
        tg.config.set_random_seed(seed)
        model = stack(layers.LSTM(units))
        model.compile("sgd", "mse")
        x = np.random.default_rng(seed).standard_normal((32, 6, 3))
        for _ in range(3):
            model.train_on_batch(x, np.ones((32, 1)))
        assert made(model) == [True]
