"""Which line is named: the one that computed a quantity, in the order in which the derivation computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compare.planted import load

import tinygrad_rnn as tg

HEAD = """
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import ops

T, n, k, m = 5, 3, 2, 2
rng = np.random.default_rng(0)
P = {name: tg.Variable(rng.standard_normal(shape) * 0.6, name=name)
     for name, shape in {"U": (n, n), "V": (k, n), "b": (n, 1)}.items()}
X = rng.standard_normal((T, n, m))


def loss_fn():
    a, loss = np.zeros((n, m)), 0.0
    for t in range(T):
        z = P["U"] @ a + X[t] + P["b"]
        a = ops.tanh(z)
        s = P["V"] @ a
        loss = loss + (s**2).sum()
    return loss


U, V, b = (P[name].numpy() for name in "UVb")
a = {-1: np.zeros((n, m))}
for t in range(T):
    a[t] = np.tanh(U @ a[t - 1] + X[t] + b)
"""

HELPER = (
    HEAD
    + """

def cell(ds, da_next, t):
    dV = ds @ a[t].T
    da = V.T @ ds + da_next
    dz = (1 - a[t] ** 2) * da
    dU = dz @ a[t - 1].T
    return dV, da, dz, dU, U.T @ dz


def backward(rec):
    da_next = np.zeros((n, m))
    for t in reversed(range(T)):
        ds = 2 * (V @ a[t])
        dV, da, dz, dU, da_next = cell(ds, da_next, t)
        rec(t, ds=ds, da=da, dz=dz, dU=dU, dV=dV, da_prev=da_next)
"""
)


def first_of(tmp_path: Path, source: str, right: str, wrong: str) -> tuple[Any, int]:
    """The first divergence of a derivation with a wrong line, and the number of this; the right one passes."""
    for name, text in (("right", source), ("wrong", source.replace(right, wrong, 1))):
        module, _ = load(tmp_path, text, name)
        rec = tg.ManualRecorder()
        module.backward(rec)
        report = tg.compare_gradients(rec, module.P, loss_fn=module.loss_fn, inputs=[module.X])
        assert bool(report) == (name == "right"), str(report)
    return report.first_divergence, source[: source.index(right)].count("\n") + 1


@pytest.mark.parametrize(
    ("right", "wrong", "quantity"),
    [
        ("ds = 2 * (V @ a[t])", "ds = V @ a[t]", "ds"),
        ("dz = (1 - a[t] ** 2) * da", "dz = (1 - a[t]) * da", "dz"),
        ("dU = dz @ a[t - 1].T", "dU = dz @ a[t].T", "dU"),
    ],
)
def test_a_function_above_the_loop(tmp_path: Path, right: str, wrong: str, quantity: str) -> None:
    first, line = first_of(tmp_path, HELPER, right, wrong)
    assert (first.quantity, first.line, first.source) == (quantity, line, wrong), str(first)
