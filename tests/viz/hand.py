"""Hand-written loops, with nothing in them for the drawings: they fold by call path under `trace()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import Tensor, Variable, ops, tensor
from tinygrad_rnn.ops import sigmoid, tanh


def weights(*shapes: tuple[int, ...]) -> list[Variable]:
    rng = np.random.default_rng(len(shapes))
    return [Variable(0.3 * rng.normal(size=s), name=f"w{k}") for k, s in enumerate(shapes)]


def sequence(steps: int) -> Tensor:
    return tensor(np.random.default_rng(0).normal(size=(2, steps, 4)), requires_grad=True, name="x")


def lstm(steps: int) -> Tensor:
    W, U, b = weights((4, 32), (8, 32), (32,))
    x, h, c = sequence(steps), np.zeros((2, 8)), np.zeros((2, 8))
    for t in range(steps):
        z = x[:, t] @ W + h @ U + b
        i, g = sigmoid(z[:, 0:8]), tanh(z[:, 16:24])
        f, o = sigmoid(z[:, 8:16]), sigmoid(z[:, 24:32])
        c = f * c + i * g
        h = o * tanh(c)
    return (h * h).sum()


def hello(steps: int) -> Tensor:
    """The seeds' vanilla RNN with its loss."""
    Wax, Waa, Wya, ba, by = weights((4, 3), (3, 3), (3, 4), (3,), (4,))
    x, a, loss = sequence(steps), tensor(np.zeros((2, 3))), 0.0
    for t in range(steps):
        a = tanh(x[:, t] @ Wax + a @ Waa + ba)
        y = a @ Wya + by
        loss = loss + ops.sparse_categorical_crossentropy([1, 2], y, from_logits=True).sum()
    return loss


def branch(steps: int) -> Tensor:
    h = tensor(np.ones(3), requires_grad=True, name="h0")
    for t in range(steps):
        h = tanh(h * h)
        if t % 3 == 1:
            h = ops.exp(h)
        h = h + 1.0
    return h.sum()


def cell(x: Any, h: Any, W: Any, U: Any) -> Any:
    return tanh(x @ W + h @ U)


def both_ways(steps: int) -> Tensor:
    """A bidirectional RNN through one shared function."""
    W, U, V, R = weights((4, 8), (8, 8), (4, 8), (8, 8))
    xs = ops.unstack(sequence(steps), axis=1)
    h = k = tensor(np.zeros((2, 8)))
    there, back = [], {}
    for t in range(steps):
        h = cell(xs[t], h, W, U)
        there.append(h)
    for t in reversed(range(steps)):
        k = cell(xs[t], k, V, R)
        back[t] = k
    return sum([(there[t] * back[t]).sum() for t in range(steps)], 0.0)


def nested(steps: int) -> Tensor:
    """Two layers by an inner loop, weights tied."""
    W, U = weights((4, 4), (4, 4))
    x, states = sequence(steps), [tensor(np.zeros((2, 4)))] * 2
    for t in range(steps):
        y = x[:, t]
        for n in range(2):
            y = states[n] = tanh(y @ W + states[n] @ U)
    return states[0].sum() + states[1].sum()


LOOPS: dict[str, tuple[Callable[[int], Tensor], int, int]] = {  # and how many nodes and edges it folds into
    "lstm": (lstm, 24, 28),
    "hello": (hello, 17, 18),
    "branch": (branch, 6, 7),
    "both_ways": (both_ways, 17, 20),
    "nested": (nested, 0, 0),
}


def traced(name: str, steps: int, backward: bool = False) -> Tensor:
    with tg.trace():
        loss = LOOPS[name][0](steps)
        if backward:
            loss.backward(retain_graph=True)
    return loss
