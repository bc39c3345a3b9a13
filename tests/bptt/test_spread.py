"""The pass `spread`: what the loop reads for every example is written down once for each of them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bptt.problems import every_cell, problem, same_bits_without
from bptt.steps import equal
from bptt.test_passes import loop_of
from bptt.test_rows import source

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.passes import spread


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of earlier runs."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())


@every_cell
@pytest.mark.parametrize("batch", [1, 3])
def test_the_bits_are_those_without_it(name: str, batch: int) -> None:
    same_bits_without(name, "spread", batch)


def test_how_the_source_reads() -> None:
    found, before = source(problem("ind_rnn")), source(problem("ind_rnn"), "spread")
    assert "    u_spread[...] = u  " in found and "    zeros[...] = 0.0  " in found
    forward = loop_of(found.partition("def backward(")[0])
    assert "multiply(u_spread, h[t], out=tmp_2)" in forward
    assert "maximum(tmp_2, zeros, out=h[t + 1])" in forward
    assert "u_spread  " in found.partition("import")[0]  # how to read it
    assert "spread" not in before and "maximum(pre_h, zero, out=h[t + 1])" in before


def test_large_results_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "LIMIT", problem("ind_rnn").states[0].size - 1)
    assert "spread" not in source(problem("ind_rnn"))


def text_of(f: Any, *weights: np.ndarray[Any, Any], dtype: str = "float64") -> str:
    """The source of `h = f(h, x, *weights)` for two examples of three numbers."""
    held = [tg.Variable(w, dtype=str(w.dtype)) for w in weights]

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = f(states[0], x, *held)
        return h, [h]

    x = np.ones((2, 3), dtype)
    return str(tg.bptt_source(step, x, [x]))


def test_it_is_written_down_once_for_all_that_read_it() -> None:
    text = text_of(lambda h, x, u: ops.tanh(h * u + x) * u, np.ones(3))
    forward = text.partition("def backward(")[0]
    assert (
        len([line for line in forward.split("\n") if line.startswith("    ") and "_spread[...] = " in line])
        == 1
    )


def test_numbers_and_integers_stay_as_they_are() -> None:
    text = text_of(lambda h, x, u: ops.tanh(h * u + 2.0 * x), np.ones(()))
    assert "spread" not in text  # a number costs nothing

    def counting(x: Any, states: Any, constants: Any) -> Any:
        h, n = states
        n = ops.minimum(n + 1, 5)
        h = ops.tanh(h + x * n.astype("float64"))
        return h, [h, n]

    x, n = np.ones((2, 4, 3)), np.zeros((2, 3), np.int64)
    results = []
    for derive in (True, False):
        y, last = tg.scan(counting, x, [np.zeros((2, 3)), n], derive=derive)
        results.append([y, *last])
    equal(*results)
    assert results[0][2].dtype == np.int64


@pytest.mark.parametrize("f", [ops.maximum, ops.minimum])
def test_an_extreme_with_a_number_is_one_with_an_array(f: Any) -> None:
    text = text_of(lambda h, x: f(h + x, 0.25), dtype="float32")
    assert "[...] = 0.25  " in text
    h = np.float32([[np.nan, -np.inf, 3.0], [0.25, -0.0, 0.0]])

    def step(x: Any, states: Any, constants: Any) -> Any:
        new = f(states[0] + x, 0.25)
        return new, [new]

    x = np.zeros((2, 3, 3), np.float32)
    y, _ = tg.scan(step, x, [h], derive=True)
    np.testing.assert_array_equal(y.numpy()[:, 0], f(h, np.float32(0.25)))
