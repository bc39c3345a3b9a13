"""The pass `dots`: sums of products of matrices and vectors, and products that add nothing up."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bptt.problems import close

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.writing import statements

N, ROWS, COLUMNS = 3, 4, 5
# Of a memory m with a column v, a row k, a weight w as large as one matrix, and r as a row.
SUMS: dict[str, Any] = {
    "by_row": lambda m, v, k, w, r: ops.sum(m * k[:, None, :], axis=2),
    "by_row_that_stays": lambda m, v, k, w, r: ops.sum(k[:, None, :] * m, axis=-1, keepdims=True)[:, :, 0],
    "by_column": lambda m, v, k, w, r: ops.sum(m * v[:, :, None], axis=1),
    "by_column_that_stays": lambda m, v, k, w, r: ops.sum(v[:, :, None] * m, axis=1, keepdims=True)[:, 0],
    "by_weight": lambda m, v, k, w, r: ops.sum(m * w, axis=2),
    "by_row_weight": lambda m, v, k, w, r: ops.sum(r * m, axis=2),
    "of_a_row": lambda m, v, k, w, r: ops.sum(k * r, axis=1, keepdims=True) * v,
}
PRODUCTS: dict[str, Any] = {
    "column": lambda m, v, k, w, r: (m @ k[:, :, None])[:, :, 0],
    "row": lambda m, v, k, w, r: (v[:, None, :] @ m)[:, 0],
    "outer": lambda m, v, k, w, r: ops.sum(m * (v[:, :, None] @ ops.sin(k[:, None, :])), axis=2),
}
BY_MATMUL = [name for name in SUMS if name.startswith(("by_row", "by_column")) and "weight" not in name]


def run(read: Any, derive: bool) -> tuple[list[Any], str]:
    """Outputs, last states and all gradients; and the source."""
    rng = np.random.default_rng(0)
    x, v, m, w, r = leaves = [
        tg.tensor(rng.standard_normal(s), requires_grad=True)
        for s in ((N, 6, COLUMNS), (N, ROWS), (N, ROWS, COLUMNS), (ROWS, COLUMNS), (COLUMNS,))
    ]

    def step(k: Any, states: Any, constants: Any) -> Any:
        v, m = states
        y = read(m, v, k, w, r)
        return y, [ops.tanh(0.5 * v + ops.mean(k * k)), ops.tanh(0.5 * m + 0.1 * ops.mean(y))]

    y, last = tg.scan(step, x, [v, m], derive=derive)
    total = ops.sum(ops.sin(y)) + sum(ops.sum(s) for s in last)
    text = str(tg.bptt_source(step, x[:, 0].numpy(), [v.numpy(), m.numpy()])) if derive else ""
    return [g for g in (y, *last, *tg.grad(total, leaves)) if g is not None], text


@pytest.mark.parametrize("name", SUMS | PRODUCTS)
def test_it_agrees_with_unrolled(name: str) -> None:
    read = (SUMS | PRODUCTS)[name]
    for _ in range(2):
        close(run(read, True)[0], run(read, False)[0])


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_of_products_is_one_call(name: str) -> None:
    forward = run(SUMS[name], True)[1].partition("def backward(")[0]
    product = "np.matmul(" if name in BY_MATMUL else "np.vecdot("
    with tg.bptt.without("dots"):
        before = run(SUMS[name], True)[1].partition("def backward(")[0]
    assert product in forward and product not in before


@pytest.mark.parametrize("name", ["column", "row"])
def test_a_column_with_a_row_adds_nothing_up(name: str) -> None:
    """What a product with a vector sends back to its matrix; the other product is the gradient of the vector."""
    assert run(PRODUCTS[name], True)[1].partition("def backward(")[2].count("np.matmul(") == 1


def test_a_column_with_a_row_in_the_step() -> None:
    text = run(PRODUCTS["outer"], True)[1]
    assert "np.matmul(" not in text.partition("def backward(")[0]


@pytest.mark.parametrize("name", PRODUCTS)
def test_many_columns_with_rows_are_left_to_einsum(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(statements, "MANY", N * ROWS * COLUMNS)
    found, text = run(PRODUCTS[name], True)
    assert text.count('np.einsum("...ij,...jk->...ik", ') == 1
    close(found, run(PRODUCTS[name], False)[0])
    monkeypatch.setattr(statements, "MANY", N * ROWS * COLUMNS + 1)
    assert "np.einsum(" not in run(PRODUCTS[name], True)[1]
