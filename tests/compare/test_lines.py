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


DICT = (
    HEAD
    + """

def backward(rec):
    da_next = np.zeros((n, m))
    for t in reversed(range(T)):
        g = {}
        da = 2 * V.T @ V @ a[t] + da_next
        dz = (1 - a[t] ** 2) * da
        g["db"] = dz.sum(axis=1, keepdims=True)
        g["dU"] = dz @ a[t - 1].T
        da_next = U.T @ dz
        g["da"] = da
        g["dz"] = dz
        rec(t, RECORDED)
"""
)
RECORDED = {
    "by key": 'da=g["da"], dz=g["dz"], db=g["db"], dU=g["dU"]',
    "unpacked": "**g",
    "written out": '**{"dz": dz, "db": g["db"], "dU": g["dU"], "da": da}',
    "by dict": '**dict(dz=g["dz"], da=da)',
}


@pytest.mark.parametrize("recorded", RECORDED)
@pytest.mark.parametrize(
    ("right", "wrong", "quantity", "t"),
    [
        ("da = 2 * V.T @ V @ a[t] + da_next", "da = 2 * V.T @ V @ a[t] - da_next", "da", 3),
        ("dz = (1 - a[t] ** 2) * da", "dz = (1 - a[t]) * da", "dz", 4),
    ],
)
def test_quantities_that_a_dict_holds(
    tmp_path: Path, recorded: str, right: str, wrong: str, quantity: str, t: int
) -> None:
    source = DICT.replace("RECORDED", RECORDED[recorded])
    first, line = first_of(tmp_path, source, right, wrong)
    assert (first.t, first.quantity, first.line, first.source) == (t, quantity, line, wrong), str(first)
    assert not any("agrees" in text for text in first.inputs if text.startswith("da_next")), str(first)


def test_quantities_that_the_dict_of_a_function_holds(tmp_path: Path) -> None:
    body, loop = (
        DICT.split("    for t in reversed(range(T)):")[1].split("        rec(t")[0],
        "\n\ndef backward(rec):\n",
    )
    function = (
        "\n\ndef cell(t, da_next):"
        + body.replace("\n    ", "\n")
        + "    g['da_prev'] = da_next\n    return g\n"
    )
    loop += "    da_next = np.zeros((n, m))\n    for t in reversed(range(T)):\n        g = cell(t, da_next)\n"
    loop += '        da_next = g["da_prev"]\n        rec(t, **g)\n'
    for right, quantity in (("- 1].T", "dU"), ("(1 - a[t] ** 2)", "dz"), ("2 * V.T @ V", "da")):
        wrong = {"dU": "].T", "dz": "(1 - a[t])", "da": "V.T @ V"}[quantity]
        first, line = first_of(tmp_path, HEAD + function + loop, right, wrong)
        assert (first.quantity, first.line) == (quantity, line), str(first)


def test_quantities_whose_line_is_not_known(tmp_path: Path) -> None:
    recorded = '**{"d" + name: value for name, value in (("a", da), ("z", dz))}'
    source = DICT.replace("RECORDED", recorded)
    first, _ = first_of(tmp_path, source, "(1 - a[t] ** 2)", "(1 - a[t])")
    assert (first.t, first.quantity) == (4, "dz") and "first seen in your line" in str(first), str(first)


APART = (
    HEAD
    + """

def backward(rec):
    da_next = np.zeros((n, m))
    for t in reversed(range(T)):
        da = 2 * V.T @ V @ a[t] + da_next
        dz = (1 - a[t] ** 2) * da
        db = dz.sum(axis=1, keepdims=True)
        da_next = U.T @ dz
        rec(t, db=db)
        rec(t, dz=dz)
"""
)


def test_an_input_is_that_of_its_own_step(tmp_path: Path) -> None:
    first, _ = first_of(tmp_path, APART, "V @ a[t] + da_next", "V @ a[t] - da_next")
    assert (first.t, first.quantity) == (3, "db") and first.inputs[0].startswith("dz differs"), str(first)


BRANCHES = (
    HEAD
    + """

def backward(rec):
    da_next = np.zeros((n, m))
    for t in reversed(range(T)):
        if t == T - 1:
            da = 2 * V.T @ V @ a[t]
        else:
            da = 2 * V.T @ V @ a[t] + da_next
        dz = (1 - a[t] ** 2) * da
        if np.linalg.norm(dz) > 1e6:
            dz = dz * 1e6 / np.linalg.norm(dz)
        dU = dz @ a[t - 1].T
        if t > 0:
            da_next = U.T @ dz
        rec(t, da=da, dz=dz, dU=dU, **({"da_prev": da_next} if t > 0 else {}))
"""
)


@pytest.mark.parametrize(
    ("right", "wrong", "quantity", "others"),
    [
        ("dz = (1 - a[t] ** 2) * da", "dz = (1 - a[t]) * da", "dz", [2]),
        ("da = 2 * V.T @ V @ a[t] + da_next", "da = 2 * V.T @ V @ a[t] - da_next", "da", [-2]),
        ("dz = dz * 1e6 / np.linalg.norm(dz)", "dz = 0 * dz", "", []),
    ],
)
def test_lines_of_branches_that_may_not_have_run(
    tmp_path: Path, right: str, wrong: str, quantity: str, others: list[int]
) -> None:
    if not quantity:  # a wrong line that does run
        source = BRANCHES.replace("if np.linalg.norm(dz) > 1e6:", "if t == 2:").replace(
            right, "dz = 1.0 * dz"
        )
        first, line = first_of(tmp_path, source, "dz = 1.0 * dz", wrong)
        assert (first.quantity, first.line, first.others) == ("dz", line - 2, (line,)), str(first)
        return
    first, line = first_of(tmp_path, BRANCHES, right, wrong)
    named = {first.line, *first.others}
    assert first.quantity == quantity and named == {line, *(line + n for n in others)}, str(first)
    assert f"or line {first.others[0]}, if that ran" in str(first)
    assert quantity != "dz" or first.line == line, str(first)
