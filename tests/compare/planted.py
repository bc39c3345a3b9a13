"""Hand derivations as source text, with bugs planted into single lines, and what must be said of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

RNN = """
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import ops

T, B, N, K = 12, 3, 5, 4
rng = np.random.default_rng(3)
P = {
    "Wax": tg.Variable(rng.standard_normal((N, K)) * 0.5, name="Wax"),
    "Waa": tg.Variable(rng.standard_normal((N, N)) * 0.5, name="Waa"),
    "Wya": tg.Variable(rng.standard_normal((K, N)) * 0.5, name="Wya"),
    "ba": tg.Variable(rng.standard_normal((N, 1)) * 0.1, name="ba"),
    "by": tg.Variable(np.zeros((K, 1)), name="by"),
}
X = rng.standard_normal((T, K, B))
Y = np.eye(K)[:, rng.integers(0, K, (T, B))].transpose(1, 0, 2)

def loss_fn():
    a, loss = np.zeros((N, B)), 0.0
    for t in range(T):
        z = P["Wax"] @ X[t] + P["Waa"] @ a + P["ba"]
        a = ops.tanh(z)
        y = P["Wya"] @ a + P["by"]
        loss = loss - (Y[t] * ops.log_softmax(y, axis=0)).sum()
    return loss

def backward(rec):
    Wax, Waa, Wya, ba, by = (P[k].numpy() for k in ("Wax", "Waa", "Wya", "ba", "by"))
    a = {-1: np.zeros((N, B))}
    y = {}
    for t in range(T):
        a[t] = np.tanh(Wax @ X[t] + Waa @ a[t - 1] + ba)
        e = np.exp(Wya @ a[t] + by)
        y[t] = e / e.sum(axis=0)
    dWax, dWaa, dWya = np.zeros_like(Wax), np.zeros_like(Waa), np.zeros_like(Wya)
    dba, dby = np.zeros_like(ba), np.zeros_like(by)
    carry = np.zeros((N, B))
    for t in reversed(range(T)):
        dy = y[t] - Y[t]
        dWya += dy @ a[t].T
        dby += dy.sum(axis=1, keepdims=True)
        da = Wya.T @ dy + carry
        dz = (1 - a[t] ** 2) * da
        dba += dz.sum(axis=1, keepdims=True)
        dWax += dz @ X[t].T
        dWaa += dz @ a[t - 1].T
        carry = Waa.T @ dz
        rec(t, dy=dy, dWya=dWya, dby=dby, da=da, dz=dz, dba=dba, dWax=dWax, dWaa=dWaa, da_prev=carry)
    return {"dWax": dWax, "dWaa": dWaa, "dWya": dWya, "dba": dba, "dby": dby}
"""

LSTM = """
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn import ops

T, B, D, H = 9, 3, 4, 5
rng = np.random.default_rng(0)
SHAPES = {"W": (D, 4 * H), "U": (H, 4 * H), "b": (4 * H,), "V": (H, 2)}
P = {name: tg.Variable(rng.standard_normal(shape) * 0.5, name=name) for name, shape in SHAPES.items()}
X, target = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, 2))

def cell(x_t, h, c):
    z = x_t @ P["W"] + h @ P["U"] + P["b"]
    i = ops.sigmoid(z[:, :H])
    f = ops.sigmoid(z[:, H : 2 * H])
    g = ops.tanh(z[:, 2 * H : 3 * H])
    o = ops.sigmoid(z[:, 3 * H :])
    c_new = f * c + i * g
    return o * ops.tanh(c_new), c_new

def loss_fn():
    h = c = np.zeros((B, H))
    total = 0.0
    for t in range(T):
        h, c = cell(X[:, t], h, c)
        y = h @ P["V"]
        total = total + ((y - target[:, t]) ** 2).sum()
    return total

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

def backward(rec):
    W, U, b, V = (P[k].numpy() for k in "WUbV")
    h, c, gates = [np.zeros((B, H))], [np.zeros((B, H))], []
    for t in range(T):
        z = X[:, t] @ W + h[-1] @ U + b
        i, f, g, o = sigmoid(z[:, :H]), sigmoid(z[:, H : 2 * H]), np.tanh(z[:, 2 * H : 3 * H]), sigmoid(z[:, 3 * H :])
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        gates.append((i, f, g, o))
    dW, dU, db, dV = (np.zeros_like(array) for array in (W, U, b, V))
    dh_next, dc_next = np.zeros((B, H)), np.zeros((B, H))
    for t in range(T - 1, -1, -1):
        i, f, g, o = gates[t]
        dy = 2 * (h[t + 1] @ V - target[:, t])
        dV += h[t + 1].T @ dy
        dh = dy @ V.T + dh_next
        do = dh * np.tanh(c[t + 1])
        dc = dc_next + dh * o * (1 - np.tanh(c[t + 1]) ** 2)
        di, df, dg = dc * g, dc * c[t], dc * i
        dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], axis=1)
        dW += X[:, t].T @ dz
        dU += h[t].T @ dz
        db += dz.sum(axis=0)
        dh_next = dz @ U.T
        dc_next = dc * f
        rec(t, dy=dy, dV=dV, dh=dh, do=do, dc=dc, di=di, df=df, dg=dg)
        rec(t, dz=dz, dW=dW, dU=dU, db=db, dh_prev=dh_next, dc_prev=dc_next)
    return {"dW": dW, "dU": dU, "db": db, "dV": dV}
"""


class Bug(NamedTuple):
    """A line, what is written instead of it, and where and how the report must name it."""

    right: str
    wrong: str
    t: int
    quantity: str
    cause: str


LAST = 11
BUGS = {
    "factor 2": Bug(
        "dz = (1 - a[t] ** 2) * da", "dz = 2 * (1 - a[t] ** 2) * da", LAST, "dz", "constant factor 2"
    ),
    "sign": Bug("dy = y[t] - Y[t]", "dy = Y[t] - y[t]", LAST, "dy", "constant factor -1 (sign)"),
    "transposed": Bug("dWaa += dz @ a[t - 1].T", "dWaa += a[t - 1] @ dz.T", LAST, "dWaa", "transposed"),
    "batch mean": Bug("dy = y[t] - Y[t]", "dy = (y[t] - Y[t]) / B", LAST, "dy", "constant factor 1/3"),
    "last step only": Bug(
        "dWax += dz @ X[t].T", "dWax = dz @ X[t].T", LAST - 1, "dWax", "the sum over time is missing"
    ),
    "clip": Bug(
        "dz = (1 - a[t] ** 2) * da",
        "dz = np.clip((1 - a[t] ** 2) * da, -0.1, 0.1)",
        LAST,
        "dz",
        "clipped at 0.1",
    ),
    "no recurrent term": Bug(
        "da = Wya.T @ dy + carry", "da = Wya.T @ dy", LAST - 1, "da", "`P['Waa'] @ a` of step 11 is missing"
    ),
    "tanh' missing": Bug(
        "dz = (1 - a[t] ** 2) * da", "dz = da", LAST, "dz", "the derivative of tanh is missing"
    ),
    "1 - a": Bug(
        "dz = (1 - a[t] ** 2) * da", "dz = (1 - a[t]) * da", LAST, "dz", "1 - a instead of 1 - a**2"
    ),
    "a_t": Bug(
        "dWaa += dz @ a[t - 1].T", "dWaa += dz @ a[t].T", LAST, "dWaa", "a of the step after the right one"
    ),
    "W for its transpose": Bug(
        "carry = Waa.T @ dz",
        "carry = Waa @ dz",
        LAST,
        "da_prev",
        "the matrix itself instead of its transpose",
    ),
    "flow cut": Bug(
        "carry = Waa.T @ dz",
        "carry = Waa.T @ dz if t > T - 5 else 0 * dz",
        7,
        "da_prev",
        "the flow back in time is cut",
    ),
    "tanh of tanh": Bug(
        "dz = (1 - a[t] ** 2) * da", "dz = (1 - np.tanh(a[t]) ** 2) * da", LAST, "dz", "tanh twice"
    ),
    "no label": Bug("dy = y[t] - Y[t]", "dy = y[t]", LAST, "dy", "the label is not subtracted"),
    "output term missing": Bug("da = Wya.T @ dy + carry", "da = carry", LAST, "da", "is missing"),
    "wrong operand": Bug(
        "dWya += dy @ a[t].T", "dWya += dy @ a[t - 1].T", LAST, "dWya", "a of the step before"
    ),
    "bias mean": Bug(
        "dba += dz.sum(axis=1, keepdims=True)",
        "dba += dz.mean(axis=1, keepdims=True)",
        LAST,
        "dba",
        "constant factor 1/3",
    ),
}


_DZ = "dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], axis=1)"
_DC = "dc = dc_next + dh * o * (1 - np.tanh(c[t + 1]) ** 2)"
LSTM_BUGS = {
    "tanh of tanh": Bug(_DC, _DC.replace("c[t + 1]", "np.tanh(c[t + 1])"), 8, "dc", "tanh twice"),
    "no cell path": Bug(_DC, _DC.replace("dc_next + ", ""), 7, "dc", "`f * c` of step 8 is missing"),
    "c for tanh c": Bug(
        "do = dh * np.tanh(c[t + 1])", "do = dh * c[t + 1]", 8, "do", "the argument of tanh instead of its result"
    ),
    "c_t": Bug(
        "di, df, dg = dc * g, dc * c[t], dc * i", "di, df, dg = dc * g, dc * c[t + 1], dc * i",
        8, "df", "of the step after",
    ),
    "sigmoid": Bug(_DZ, _DZ.replace("df * f * (1 - f)", "df * f"), 8, "dz", "s instead of s * (1 - s)"),
    "gates permuted": Bug(
        _DZ, _DZ.replace("di * i * (1 - i), df * f * (1 - f)", "df * f * (1 - f), di * i * (1 - i)"), 8, "dz",
        "the 4 blocks of axis 1 (gates?) permuted",
    ),
    "wrong gate": Bug("dc_next = dc * f", "dc_next = dc * i", 8, "dc_prev", "i instead of f"),
    "hidden for cell": Bug("dU += h[t].T @ dz", "dU += h[t + 1].T @ dz", 8, "dU", "of the step after"),
}  # fmt: skip


def load(folder: Path, source: str, name: str, bug: Bug | None = None) -> tuple[Any, int]:
    """The module of a source text with one line replaced, and the number of that line."""
    line = 0
    if bug is not None:
        assert source.count(bug.right) == 1
        line = source[: source.index(bug.right)].count("\n") + 1
        source = source.replace(bug.right, bug.wrong)
    path = folder / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, line
