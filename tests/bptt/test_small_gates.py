"""Gates that are nearly closed: the digits of a small sigmoid count where it multiplies something large."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.passes import gates

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 3))


@pytest.fixture(autouse=True)
def fast_tanh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here tanh is the faster function, whatever the processor."""
    monkeypatch.setattr(gates, "_has_fast_tanh", lambda: True)
    monkeypatch.setattr(derived, "_plans", OrderedDict())


class Summed(layers.Layer):
    """Adds what a gate lets in: its inputs as they are, or what a function makes of them."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(**options)
        self.function, self.state_size = function, 4

    def build(self, input_shape: Any) -> None:
        for name, rows in (("w", input_shape[-1]), ("v", input_shape[-1]), ("u", 4)):
            setattr(self, name, self.add_weight((rows, 4), name=name))
        self.b = self.add_weight((4,), name="b")

    def call(self, inputs: Any, states: Any) -> Any:
        (h,) = states
        h = 0.5 * h + ops.sigmoid(inputs @ self.w + ops.tanh(h) @ self.u + self.b) * self.function(
            inputs @ self.v
        )
        return h, [h]


LAYERS = {
    "lstm": lambda **options: layers.LSTM(4, activation="relu", **options),
    "inputs": lambda dtype="float32": layers.RNN(Summed(lambda z: z, dtype=dtype)),
    "exponentials": lambda dtype="float32": layers.RNN(
        Summed(lambda z: ops.exp(14.0 + ops.tanh(z)), dtype=dtype)
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_closed_gate_before_something_large_has_its_digits(name: str) -> None:
    one, wide = LAYERS[name](), LAYERS[name](dtype="float64")
    one(X.astype("float32")), wide(X)
    weights = one.get_weights()
    weights[0] *= 1e-4  # of gates, where they are those of the inputs
    weights[-1] -= 15.0  # the biases: every gate is about 3e-7
    if name == "lstm":
        weights[0][:, 8:12] *= 1e4  # of what they let in
        weights[-1][8:12] += 15.0
    for scale in (1e4, 2e4, 1.5e4):
        x, found = (scale * X).astype("float32"), []
        for layer, inputs, mode in (one, x, tg.derived), (wide, x.astype("float64"), tg.unrolled):
            layer.set_weights(weights)
            with mode():
                y = layer(inputs)
                found.append([y, *tg.grad((y * y).sum(), layer.trainable_weights)])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(np.asarray(b)).max())


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
@pytest.mark.parametrize("activation", ["tanh", "softsign", "sigmoid", "hard_sigmoid"])
def test_gates_of_what_is_bounded_are_written_with_tanh(kind: Any, activation: str) -> None:
    layer = kind(4, activation=activation)
    layer(X.astype("float32"))
    text = str(layer.bptt_source())
    assert "half" in text and "exp(" not in text


SHARES = {
    "sum": lambda g: g / ops.sum(g, axis=-1, keepdims=True),
    "mean": lambda g: g / ops.mean(g, axis=-1, keepdims=True),
    "largest": lambda g: g / ops.max(g, axis=-1, keepdims=True),
    "norm": lambda g: g / ops.norm(g, axis=-1, keepdims=True),
    "root of squares": lambda g: g / ops.sqrt(ops.sum(g * g, axis=-1, keepdims=True)),
    "einsum": lambda g: g / ops.einsum("ij->i", g)[:, None],
    "so far": lambda g: g / ops.cumsum(g, axis=-1),
    "first": lambda g: g / ops.take(g, [0, 0, 0, 0], axis=1),
    "spread": lambda g: g / ops.repeat(ops.sum(g, axis=-1, keepdims=True), 4, axis=-1),
}


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
def test_shares_of_closed_gates_have_their_digits(share: Any) -> None:
    values, found = RNG.standard_normal((2, 4, 4)), []
    for dtype, derive in ("float32", True), ("float64", False):
        x = np.concatenate([X, X[..., :1]], axis=-1).astype(dtype)
        w, u = [tg.tensor(v.astype(dtype), requires_grad=True) for v in values]

        def step(x: Any, states: Any, constants: Any, w: Any = w, u: Any = u) -> Any:
            h = ops.tanh(share(ops.sigmoid(x @ w + states[0] @ u - 13.0)) - 0.1 * states[0])
            return h, [h]

        y, _ = tg.scan(step, x, [np.zeros((2, 4), dtype)], derive=derive)
        found.append([y, *tg.grad((y * y).sum(), [w, u])])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(np.asarray(b)).max())


@pytest.mark.parametrize("floor", [1e-12, 1e-5])
def test_a_normalization_needs_these_digits_without_a_floor(floor: float) -> None:
    """With one, the gates of a layer normalization LSTM are written with tanh."""
    values, found = RNG.standard_normal((2, 4, 8)), []
    for dtype, derive in ("float32", True), ("float64", False):
        x = np.concatenate([X, X[..., :1]], axis=-1).astype(dtype)
        w, u = [tg.tensor(v.astype(dtype), requires_grad=True) for v in values]

        def step(x: Any, states: Any, constants: Any, w: Any = w, u: Any = u) -> Any:
            i, g = ops.split(x @ w + states[0] @ u, 2, axis=1)
            c = ops.sigmoid(i - 13.0) * ops.tanh(g)
            h = ops.tanh(c * ops.rsqrt(ops.mean(c * c, axis=-1, keepdims=True) + floor))
            return h, [h]

        first = [np.zeros((2, 4), dtype)]
        if derive:
            assert ("half" in str(tg.bptt_source(step, x[:, 0], first))) == (floor == 1e-5)
        y, _ = tg.scan(step, x, first, derive=derive)
        found.append([y, *tg.grad((y * y).sum(), [w, u])])
    if floor == 1e-12:
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(np.asarray(b)).max())
    else:
        np.testing.assert_allclose(found[0][0], found[1][0], rtol=0, atol=1e-4)
