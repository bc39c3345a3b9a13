"""Small recorded graphs for the tests of the drawings: hand-written recurrences with scopes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import Tensor, Variable, ops, tensor
from tinygrad_rnn.config import Scope, switched


def scope(layer: str, t: int | None = None) -> Any:
    return switched(scope=Scope(layer, t))


def weights(layer: str, n: int, h: int, gates: int = 1) -> list[Variable]:
    rng = np.random.default_rng(n + h)
    shapes = {"kernel": (n, gates * h), "recurrent_kernel": (h, gates * h), "bias": (gates * h,)}
    return [Variable(0.1 * rng.normal(size=s), name=f"{layer}/{k}") for k, s in shapes.items()]


def sequence(steps: int, n: int = 4) -> Tensor:
    return tensor(np.random.default_rng(0).normal(size=(2, steps, n)), requires_grad=True, name="x")


def vanilla(steps: int = 5, h: int = 8) -> Tensor:
    """A vanilla RNN with a read-out and a loss."""
    w, u, b = weights("rnn", 4, h)
    with scope("rnn"):
        xs = ops.unstack(sequence(steps), axis=1)
    a, out = Tensor(np.zeros((2, h)), None), []
    for t in range(steps):
        with scope("rnn", t):
            a = ops.tanh(xs[t] @ w + a @ u + b)
            out.append(a)
    with scope("rnn"):
        y = ops.stack(out, axis=1)
    wy, by = Variable(np.ones((h, 4)), name="dense/kernel"), Variable(np.ones(4), name="dense/bias")
    with scope("dense"):
        z = y @ wy + by
    return ops.sparse_categorical_crossentropy(np.zeros((2, steps), int), z, from_logits=True).sum()


def lstm_steps(xs: Any, layer: str, n: int, h: int, reverse: bool = False) -> list[Tensor]:
    w, u, b = weights(layer, n, h, 4)
    hidden = c = Tensor(np.zeros((2, h)), None)
    out: list[Any] = [None] * len(xs)
    for t in reversed(range(len(xs))) if reverse else range(len(xs)):
        with scope(layer, t):
            i, f, g, o = ops.split(xs[t] @ w + hidden @ u + b, 4, axis=-1)
            c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
            hidden = out[t] = ops.sigmoid(o) * ops.tanh(c)
    return out


def lstm(steps: int = 20) -> Tensor:
    """An LSTM whose last state makes the loss."""
    with scope("lstm"):
        xs = ops.unstack(sequence(steps), axis=1)
    last = lstm_steps(xs, "lstm", 4, 8)[-1]
    return (last * last).sum()


def bidirectional(steps: int = 6) -> Tensor:
    """Two bidirectional LSTM layers."""
    y = sequence(steps)
    for k in range(2):
        halves = []
        for way in ("forward", "backward"):
            layer = f"bi_{k}/{way}"
            with scope(layer):
                xs = ops.unstack(y, axis=1)
            out = lstm_steps(xs, layer, y.shape[-1], 8, reverse=way == "backward")
            with scope(layer):
                halves.append(ops.stack(out, axis=1))
        with scope(f"bi_{k}"):
            y = ops.concatenate(halves, axis=-1)
    return (y * y).sum()


def network(steps: int = 0) -> Tensor:
    """Three dense layers with a skip connection and a penalty; nothing recurrent."""
    y = tensor(np.ones((8, 4)), requires_grad=True, name="x")
    for k, (n, m) in enumerate([(4, 16), (16, 16), (16, 3)]):
        w, b = Variable(np.ones((n, m)), name=f"d{k}/kernel"), Variable(np.ones(m), name=f"d{k}/bias")
        with scope(f"d{k}"):
            z = ops.relu(y @ w + b)
            y = z + y if k == 1 else z
    return ops.logsumexp(y) + 0.5 * ops.square(y).sum()


NETS = {"vanilla": vanilla, "lstm": lstm, "bidirectional": bidirectional, "network": network}
