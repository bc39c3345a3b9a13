"""The pass `pairs`: `i · g + f · c` multiplies once, as the state c stands beside the gates."""

from __future__ import annotations

from collections import OrderedDict
from itertools import permutations
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
from tinygrad_rnn.bptt.passes import gates, pairs

LINES = ["multiply(i_f[t], g_c[t], out=products)", "add(i_g, f_c, out=c[t + 1])"]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of earlier runs."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())


@every_cell
def test_the_bits_are_those_without_it(name: str) -> None:
    same_bits_without(name, "pairs", 1 + 2 * (len(name) % 2))  # both sizes, over all cells


def usual(i: Any, f: Any, g: Any, c: Any) -> Any:
    return i * g + f * c


def lstm(
    order: str, cell: Any = usual, full: bool = False, dtype: str = "float64"
) -> tuple[Any, list[Any], list[Any]]:
    """An LSTM with its gates in any order, its first states and its weights; `cell` may give one more output.

    With `full` the gates see the cell state through a matrix.
    """
    rng, units = np.random.default_rng(0), 4
    shapes = (3, 4 * units), (units, 4 * units), (4 * units,), *[(units, 4 * units)] * full
    weights = [tg.tensor(0.5 * rng.standard_normal(s), dtype, requires_grad=True) for s in shapes]

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, c = states
        z = x @ weights[0] + h @ weights[1] + weights[2]
        parts = ops.split(z + c @ weights[3] if full else z, 4, axis=-1)
        gate = dict(zip(order, parts, strict=True))
        i, f, o = (ops.sigmoid(gate[k]) for k in "ifo")
        g = ops.tanh(gate["g"])
        found = cell(i, f, g, c)
        c, *more = found if isinstance(found, tuple) else (found,)
        h = o * ops.tanh(c)
        return (h, *more) if more else h, [h, c]

    first = [tg.tensor(0.5 * rng.standard_normal((2, units)), dtype, requires_grad=True) for _ in "hc"]
    return step, first, weights


def inside(step: Any, states: list[Any]) -> list[str]:
    """The statements of the forward loop."""
    return loop_of(str(tg.bptt_source(step, np.ones((2, 3), states[0].dtype), states)))


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("order", ["".join(p) for p in permutations("ifog")])
def test_any_order_of_gates(order: str, dtype: str, rtol: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 one tanh writes all gates, in float64 sigmoids and tanh are apart."""
    monkeypatch.setattr(gates, "_has_fast_tanh", lambda: True)
    cell = (lambda i, f, g, c: c * f + g * i) if order < "i" else usual
    step, states, weights = lstm(order, cell, dtype=dtype)
    loop = inside(step, states)
    assert [line for line in loop if line in LINES] == LINES
    assert sum("exp(" in line for line in loop) == (dtype == "float64")
    with tg.bptt.without("pairs"):
        assert len(inside(step, states)) == len(loop) + 1
    found = []
    for derive in (True, False):
        x = np.random.default_rng(1).standard_normal((2, 6, 3)).astype(dtype)
        y, last = tg.scan(step, x, states, derive=derive)
        leaves = [*states, *weights]
        found.append([y, *last, *tg.grad((y * y).sum() + (last[0] * last[1]).sum(), leaves)])
    equal(*found, rtol=rtol)


@pytest.mark.parametrize(
    "cell",
    [
        lambda i, f, g, c: i * g + f * (c + 1.0),
        lambda i, f, g, c: i * g * 2.0 + f * c,
        lambda i, f, g, c: i * g - f * c,
        lambda i, f, g, c: i * f + g * c,  # f and i are no neighbours of what they multiply
        lambda i, f, g, c: i * g + i * c,
    ],
)
def test_other_sums_are_left_alone(cell: Any) -> None:
    step, states, _ = lstm("ifgo", cell)
    assert not any("products" in line for line in inside(step, states))
    step, states, _ = lstm("ifgo")
    assert any("products" in line for line in inside(step, states))


def test_products_that_are_read_elsewhere_stay() -> None:
    def cell(i: Any, f: Any, g: Any, c: Any) -> Any:
        new = i * g
        return new + f * c, new

    step, states, _ = lstm("ifgo", cell)
    assert not any("products" in line for line in inside(step, states))


def test_a_state_that_stands_in_a_row_stays_there() -> None:
    step, states, weights = lstm("ifgo", full=True)
    text = str(tg.bptt_source(step, np.ones((2, 3)), states))
    assert "all_c = all_rows[" in text and "products" not in text
    with tg.bptt.without("rows"):
        assert any("products" in line for line in inside(step, states))
    found = []
    for derive in (True, False):
        y, last = tg.scan(step, np.ones((2, 5, 3)), states, derive=derive)
        found.append([y, *last, *tg.grad((y * y).sum(), [*states, *weights])])
    equal(*found)


def test_where_no_states_are_kept_and_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem("lstm", tracked=False)
    p.run(derive=True)
    (plan,) = derived._plans.values()
    assert "products" not in plan.built.text
    text = source(problem("lstm"), "pairs")
    assert source(problem("lstm")) != text
    monkeypatch.setattr(pairs, "SMALL", 7)  # a state has 8 elements
    assert source(problem("lstm")) == text
