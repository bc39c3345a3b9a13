"""Recurrences of many kinds, for the drawings: nested and stacked loops, branches, tied weights, attention."""

from __future__ import annotations

from typing import Any

import numpy as np
from viz.nets import scope

import tinygrad_rnn as tg
from tinygrad_rnn import Tensor, Variable, layers, ops, tensor
from tinygrad_rnn.ops import tanh


def weight(name: str, *shape: int) -> Variable:
    return Variable(0.3 * np.random.default_rng(sum(shape)).normal(size=shape), name=name)


def leaf(name: str, *shape: int) -> Tensor:
    return tensor(np.random.default_rng(1).normal(size=shape), requires_grad=True, name=name)


def stacked_in_one_loop(steps: int = 4) -> Any:
    W, U = ([weight(f"{name}{k}", 4, 4) for k in range(3)] for name in "WU")
    x, h, loss = leaf("x", 2, steps, 4), [leaf(f"h{k}", 2, 4) for k in range(3)], 0.0
    for t in range(steps):
        v = x[:, t]
        for k in range(3):
            h[k] = v = tanh(v @ W[k] + h[k] @ U[k])
        loss = loss + (v * v).sum()
    return loss


def two_delays(steps: int = 5) -> Any:
    W, U, x = weight("W", 4, 4), weight("U", 4, 4), leaf("x", 2, steps, 4)
    h = [leaf("h0", 2, 4)] * 2
    for t in range(steps):
        with tg.step(t):
            h.append(tanh(x[:, t] @ W + h[-1] @ U + h[-2] @ W))
    return (h[-1] * h[-1]).sum()


def nested(steps: int = 3, inner: int = 2) -> Any:
    W, U, P = (weight(name, 4, 4) for name in "WUP")
    x, s, loss = leaf("x", 2, steps, inner, 4), leaf("s0", 2, 4), 0.0
    for t in range(steps):
        h = s @ P
        for k in range(inner):
            h = tanh(x[:, t, k] @ W + h @ U)
        s = ops.sigmoid(s @ U + h @ P) * s + h
        loss = loss + (s * h).mean()
    return loss


def nested_in_steps(steps: int = 3, inner: int = 2) -> Any:
    W, U, P = (weight(name, 4, 4) for name in "WUP")
    x, s = leaf("x", 2, steps, inner, 4), leaf("s0", 2, 4)
    for t in range(steps):
        with tg.step(t):
            h = s @ P
            for k in range(inner):
                h = tanh(x[:, t, k] @ W + h @ U)
                g = ops.sigmoid(h)
            s = ops.sigmoid(s @ U + h @ P) * s + h * g
    return s.sum()


def branches(steps: int = 6) -> Any:
    h = c = leaf("h0", 3)
    for t in range(steps):
        if t % 2:
            h = tanh(h * c)
        else:
            c = c + ops.exp(-h)
            h = h * c
        if t % 3 == 0:
            c = ops.sigmoid(c)
    return (h + c).sum()


def tied_weights_and_two_losses(steps: int = 3) -> Any:
    W, x, h, y, z = weight("E", 5, 4), leaf("x", 2, steps, 5), leaf("h0", 2, 4), 0.0, 0.0
    for t in range(steps):
        h = tanh(x[:, t] @ W + h)
        out = h @ W.T
        y = y + (out * out).sum()
        z = z + ops.logsumexp(out)
    return {"reconstruction": y, "penalty": z}


def attention(steps: int = 4) -> Any:
    x, W, U, Q, h, keys = (
        leaf("x", 2, steps, 4),
        *(weight(name, 4, 4) for name in "WUQ"),
        leaf("h0", 2, 4),
        [],
    )
    for t in range(steps):
        h = tanh(x[:, t] @ W + h @ U)
        keys.append(h)
    K, s, loss = ops.stack(keys, axis=1), h, 0.0
    for _ in range(steps):
        a = ops.softmax((K @ s.reshape((2, 4, 1)))[:, :, 0])
        s = tanh((a.reshape((2, steps, 1)) * K).sum(1) @ Q + s @ U)
        loss = loss + (s * s).sum()
    return loss


def bidirectional_stack(steps: int = 4) -> Any:
    model = tg.Sequential([
        tg.Input((None, 4)),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="one"),
        layers.Bidirectional(layers.GRU(3, return_sequences=True), name="two"),
        layers.TimeDistributed(layers.Dense(2), name="each"),
    ])  # fmt: skip
    return (model(np.ones((2, steps, 4), np.float32)) ** 2).sum()


def encoder_and_decoder(steps: int = 3) -> Any:
    x, y = (tensor(np.ones((2, steps, 4), np.float32), requires_grad=True, name=name) for name in "xy")
    _, *states = layers.LSTM(4, return_state=True, name="encoder")(x)
    return layers.LSTM(4, return_sequences=True, name="decoder")(y, initial_state=states).sum()


def gru(steps: int = 4) -> Any:
    W, U, x, h = weight("W", 4, 12), weight("U", 4, 12), leaf("x", 2, steps, 4), leaf("h0", 2, 4)
    for t in range(steps):
        a, b = x[:, t] @ W, h @ U
        z, r = ops.sigmoid(a[:, :4] + b[:, :4]), ops.sigmoid(a[:, 4:8] + b[:, 4:8])
        h = (1 - z) * tanh(a[:, 8:] + r * b[:, 8:]) + z * h
    return h.sum()


def both_directions_by_hand(steps: int = 4) -> Any:
    W, x, h = weight("W", 4, 4), leaf("x", 2, steps, 4), leaf("h0", 2, 4)
    there, back, g = [], [], h
    for t in range(steps):
        with tg.step(t):
            h = tanh(x[:, t] @ W + h)
            there.append(h)
    for t in reversed(range(steps)):
        with tg.step(t):
            g = ops.exp(x[:, t] @ W - g)
            back.append(g)
    return ops.stack([u * v for u, v in zip(there, reversed(back), strict=True)]).sum()


def feedback_between_layers(steps: int = 5) -> Any:
    h = leaf("h0", 1, 2)
    for t in range(steps):
        with scope("a", t):
            z = tanh(h)
        with scope("b", t):
            h = ops.exp(z) + z
    return h.sum()


def ops_between_the_steps(steps: int = 4) -> Any:
    h = leaf("h0", 1, 2)
    for t in range(steps):
        with scope("cell", t):
            h = tanh(h) * h
        h = h * 2.0
    return h.sum()


def long_skips(count: int = 60) -> Any:
    x = y = leaf("x", 3)
    kept: list[Any] = []
    for k in range(count):
        y = tanh(y + (kept[k // 2] if k % 5 == 4 else x))
        kept.append(y)
    return y.sum()


def dense_skips(count: int = 8) -> Any:
    y = [leaf("x", 3)]
    for _ in range(count):
        y.append(tanh(sum(y[1:], y[0])))
    return y[-1].sum()


def wide(count: int = 60) -> Any:
    x = leaf("x", 3)
    return ops.stack([tanh(x * float(k)) for k in range(count)]).sum()


ZOO = {
    f.__name__: f
    for f in (
        stacked_in_one_loop, two_delays, nested, nested_in_steps, branches, tied_weights_and_two_losses, attention,
        bidirectional_stack, encoder_and_decoder, gru, both_directions_by_hand, feedback_between_layers,
        ops_between_the_steps, long_skips, dense_skips, wide,
    )
}  # fmt: skip
