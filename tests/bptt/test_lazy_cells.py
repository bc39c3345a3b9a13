"""Cells whose layers make their weights in the first step, which is the one that is traced."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt import UnrolledWarning

x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
y = np.ones((4, 1), np.float32)


class Lazy(layers.Layer):
    """A recurrence around layers that were not built."""

    def __init__(self, units: int, *inner: Any, **options: Any) -> None:
        super().__init__(**options)
        self.state_size = units
        self.inner = list(inner)
        self.recurrent = layers.Dense(units)

    def call(self, inputs: Any, states: Any) -> Any:
        for layer in self.inner:
            inputs = layer(inputs)
        h = ops.tanh(inputs + self.recurrent(states[0]))
        return h, [h]


def with_dense() -> Any:
    return Lazy(3, layers.Dense(3), layers.Dense(3))


def with_dropout() -> Any:
    return Lazy(3, layers.Dense(3), layers.Dropout(0.3))


def with_models() -> Any:
    inside = tg.Sequential([layers.Dense(3), layers.Dropout(0.3)])
    return Lazy(3, tg.Sequential([layers.Dense(3, activation="relu"), inside]))


def around_a_cell() -> Any:
    class Around(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.cell = layers.LSTMCell(3, dropout=0.2)
            self.state_size = self.cell.state_size

        def call(self, inputs: Any, states: Any) -> Any:
            return self.cell(inputs, states)

    return Around()


def trained(cell: Any, derive: bool) -> tuple[list[Any], list[str]]:
    """The weights after three steps, and warnings but for that a recurrence runs unrolled."""
    tg.utils.set_random_seed(1)
    model = tg.Sequential([layers.RNN(cell()), layers.Dense(1)])  # no Input: built by the first batch
    model.compile("sgd", "mse", jit_compile="auto" if derive else False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            model.train_on_batch(x, y)
    return model.get_weights(), [str(c.message) for c in caught if c.category is not UnrolledWarning]


@pytest.mark.parametrize("stacked", [False, True], ids=["alone", "stacked"])
@pytest.mark.parametrize("make", [with_dense, with_dropout, with_models, around_a_cell])
def test_weights_made_in_the_trace_are_the_ones_that_are_trained(make: Any, stacked: bool) -> None:
    """Also if the step cannot be derived then, and with the same random numbers as unrolled."""

    def cell() -> Any:
        return [make(), make()] if stacked else make()

    (derived, said), (unrolled, _) = trained(cell, True), trained(cell, False)
    assert said == []
    assert [w.shape for w in derived] == [w.shape for w in unrolled]
    for a, b in zip(derived, unrolled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_recurrent_layer_inside_a_cell_is_derived() -> None:
    class Short(layers.Layer):
        state_size = 3

        def __init__(self) -> None:
            super().__init__()
            self.over_two = layers.Bidirectional(layers.GRU(3), merge_mode="sum")

        def call(self, inputs: Any, states: Any) -> Any:
            h = self.over_two(ops.stack([inputs, states[0]], axis=1))
            return h, [h]

    tg.utils.set_random_seed(1)
    layer = layers.RNN(Short())
    with tg.derived():
        derived = layer(x)  # a warning would be an error
    with tg.unrolled():
        np.testing.assert_allclose(derived, layer(x), rtol=1e-5, atol=1e-6)


class Remembers(Lazy):
    """Keeps a number."""

    def call(self, inputs: Any, states: Any) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        return super().call(inputs, states)


def with_batch_normalization() -> Any:
    return Lazy(3, layers.BatchNormalization())


@pytest.mark.parametrize(
    "make, reason",
    [
        (with_dropout, r"test_lazy_cells\.py:\d+ in call\(\) uses an array that is random"),
        (with_batch_normalization, r"test_lazy_cells\.py:\d+ in call\(\) reads the value"),
        (lambda: Remembers(3), "the step changes the attribute 'calls' of 'self.cell'"),
    ],
    ids=["dropout", "batch normalization", "a counter"],
)
def test_the_reason_names_the_cell_and_its_line(make: Any, reason: str) -> None:
    cell = make()
    where = rf"cell {type(cell).__name__} \({re.escape(__file__)}:\d+\): .*"
    with tg.derived(), pytest.warns(UnrolledWarning, match=where + reason):
        layers.RNN(cell)(x, training=True)
