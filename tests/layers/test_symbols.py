"""Arithmetic on symbols: the shapes, the values in a functional model, and that such a model is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.layers.operation import Operation

SHAPE = (None, None, 4)
EXPRESSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "add number": lambda x, y: x + 1,
    "number adds": lambda x, y: 1.5 + x,
    "subtract": lambda x, y: (x - y) - 2,
    "number subtracts": lambda x, y: 1 - x,
    "multiply": lambda x, y: x * y * 2.0,
    "divide": lambda x, y: x / y + 1 / y,
    "floor and mod": lambda x, y: x // 0.3 + x % 0.3,
    "power": lambda x, y: (y * y) ** 0.5 + 2**x,
    "matmul": lambda x, y: x @ y.swapaxes(1, 2),
    "negative": lambda x, y: -x + abs(y),
    "compare": lambda x, y: (x > y).astype("float32") + (x <= 0).astype("float32"),
    "compare too": lambda x, y: (x < y).astype("float32") + (x >= 0).astype("float32"),
    "first step": lambda x, y: x[:, 0],
    "last feature": lambda x, y: x[..., -1],
    "slice": lambda x, y: x[:, ::2, 1:3],
    "part without comma": lambda x, y: x[1:],
    "new axis": lambda x, y: x[:, None] + y[:, :, None],
    "chosen": lambda x, y: x[:, :, [0, 2]],
    "mean": lambda x, y: x.mean(axis=1) + y.sum(axis=(1,)),
    "extremes": lambda x, y: x.max(axis=-1, keepdims=True) - y.min(axis=-1, keepdims=True),
    "spread": lambda x, y: x.std(axis=1) + y.var(axis=1),
    "reshape": lambda x, y: x.reshape(-1, 2, 2) + y.reshape((-1, 2, 2)),
    "transpose": lambda x, y: x.transpose(1, 0, 2) + y.transpose((1, 0, 2)),
    "reverse axes": lambda x, y: x.transpose(),
    "clip": lambda x, y: x.clip(-0.5, 0.5).flatten(),
    "argmax": lambda x, y: x.argmax(axis=-1),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_symbols_compute_what_tensors_compute(name: str, tmp_path: Any) -> None:
    expression = EXPRESSIONS[name]
    inputs = [tg.Input(SHAPE[1:], name="x"), tg.Input(SHAPE[1:], name="y")]
    output = expression(*inputs)
    model = tg.Model(inputs, [output, *inputs])
    model.save(tmp_path / "m.tgr")
    loaded = tg.models.load_model(tmp_path / "m.tgr")
    for steps in (3, 5):
        x, y = np.random.default_rng(steps).standard_normal((2, 2, steps, 4)).astype("float32")
        want = expression(tg.tensor(x), tg.tensor(y))
        for m in (model, loaded):
            np.testing.assert_array_equal(m([x, y])[0], want)
        assert output.dtype == want.dtype and len(output.shape) == want.ndim
        assert all(a in (None, b) for a, b in zip(output.shape, want.shape, strict=True))


def test_constants_take_part() -> None:
    x = tg.Input((4,))
    array, tensor = np.arange(4, dtype="float32"), tg.tensor([1.0, 2.0, 3.0, 4.0])
    model = tg.Model(x, [array * x, x * array, tensor - x, x @ np.ones((4, 2), "float32")])
    value = np.ones((3, 4), "float32")
    for got, want in zip(
        model(value), [array * value, value * array, tensor - value, value.sum(1)[:, None]], strict=True
    ):
        np.testing.assert_array_equal(got, np.broadcast_to(want, got.shape))


def test_gradients_pass_through_operations() -> None:
    x = tg.Input((5, 4))
    h = layers.Dense(4)(x)
    model = tg.Model(x, layers.Dense(1)((h * x)[:, -1] + h.mean(axis=1)))
    model.compile("sgd", "mse")
    data = np.random.default_rng(0).standard_normal((8, 5, 4)).astype("float32")
    first = model.evaluate(data, data[:, 0, :1], verbose=0)
    model.fit(data, data[:, 0, :1], epochs=3, verbose=0)
    assert model.evaluate(data, data[:, 0, :1], verbose=0) < first


def test_operations_have_names_of_their_own() -> None:
    x = tg.Input((4,))
    model = tg.Model(x, x + x * x)
    assert [layer.function for layer in model.layers] == ["multiply", "add"]
    assert len({layer.name for layer in model.layers}) == 2
    with pytest.raises(ValueError, match=r"no function tg.ops.tanhh"):
        Operation("tanhh")


@pytest.mark.parametrize("use", [np.asarray, bool, len, iter, tg.ops.zeros, float])
def test_a_symbol_has_no_value(use: Any) -> None:
    with pytest.raises(TypeError):
        use(tg.Input((4,)))
    with pytest.raises(TypeError, match=r"does not exist yet.*tg.ops.*Lambda\(f\)"):
        np.asarray(tg.Input((4,)))


def test_lengths_that_a_layer_needs_are_found() -> None:
    x = tg.Input((None, 4))
    assert layers.Cropping1D(5)(x).shape == (None, None, 4)
    assert x[:, 7].shape == (None, 4)
    assert layers.Reshape((-1, 5, 4))(x).shape == (None, None, 5, 4)
    with pytest.raises(ValueError, match="expected inputs"):
        layers.RepeatVector(2)(x)
