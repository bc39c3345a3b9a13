"""Functions of `tg.ops` given symbols of a functional model make layers, which do the same of tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import activations, layers, ops

OF_SIZES = {  # make tensors from sizes, or ask for those of one
    "arange", "convert_to_numpy", "eye", "full", "identity", "linspace", "ndim", "normal", "ones", "randint", "random",
    "shape", "size", "truncated_normal", "uniform", "zeros",
}  # fmt: skip
Call = Callable[[Any, Any, Any], Any]
ids = np.array([[2, 0, 1], [1, 1, 0]])
CALLS: dict[str, Call] = {  # x and y are (batch, 3, 4); the others are called with as many as they need
    "broadcast_to": lambda f, x, y: f(x[:1], (2, 3, 4)),
    "cast": lambda f, x, y: f(x, "float64"),
    "categorical": lambda f, x, y: f(x[:, 0], 5, seed=1),
    "clip": lambda f, x, y: f(x, 0.3, x_max=0.6),
    "concatenate": lambda f, x, y: f([x, y], axis=-1),
    "ctc_decode": lambda f, x, y: f(x, [3, 3])[1],
    "ctc_loss": lambda f, x, y: f([[1], [2]], x, [1, 1], [3, 3]),
    "diag": lambda f, x, y: f(x[0]),
    "dot": lambda f, x, y: f(x, np.ones((4, 2), "float32")),
    "dropout": lambda f, x, y: f(x, 0.5, seed=1),
    "einsum": lambda f, x, y: f("btf,bsf->bts", x, y),
    "expand_dims": lambda f, x, y: f(x, axis=-1),
    "getitem": lambda f, x, y: f(x, 0),
    "inv": lambda f, x, y: f(x[:, :, :3] + 2.0 * np.eye(3, dtype="float32")),
    "matmul": lambda f, x, y: f(x, y.swapaxes(1, 2)),
    "moments": lambda f, x, y: f(x, axes=[1, 2]),
    "moveaxis": lambda f, x, y: f(x, 1, -1),
    "one_hot": lambda f, x, y: f(ops.argmax(x, axis=-1), 4),
    "outer": lambda f, x, y: f(x[0, 0], y[0, 0]),
    "pad": lambda f, x, y: f(x, ((0, 0), (1, 2), (0, 0))),
    "repeat": lambda f, x, y: f(x, 2, axis=1),
    "reshape": lambda f, x, y: f(x, (-1, 2, 6)),
    "roll": lambda f, x, y: f(x, 1, axis=1),
    "scatter": lambda f, x, y: f([[0], [2]], x[0, :2], (5, 4)),
    "segment_sum": lambda f, x, y: f(x[0], [0, 0, 1]),
    "shuffle": lambda f, x, y: f(x, axis=1, seed=1),
    "slice": lambda f, x, y: f(x, (0, 1, 0), (2, 2, 3)),
    "slice_update": lambda f, x, y: f(x, (0, 1, 0), y[:, :2]),
    "solve": lambda f, x, y: f(x[:, :, :3] + 2.0 * np.eye(3, dtype="float32"), y),
    "sparse_categorical_crossentropy": lambda f, x, y: f(ops.argmax(x, axis=-1), y, from_logits=True),
    "split": lambda f, x, y: f(x, 2, axis=-1),
    "squeeze": lambda f, x, y: f(x[:, :1], axis=1),
    "stack": lambda f, x, y: f([x, y], axis=1),
    "swapaxes": lambda f, x, y: f(x, 1, 2),
    "take": lambda f, x, y: f(x, [2, 0], axis=1),
    "take_along_axis": lambda f, x, y: f(x, ops.argmax(y, axis=-1, keepdims=True), axis=-1),
    "tensordot": lambda f, x, y: f(x, np.ones((4, 2), "float32"), axes=1),
    "threshold": lambda f, x, y: f(x, 0.5, 0.1),
    "tile": lambda f, x, y: f(x, (1, 2, 1)),
    "unstack": lambda f, x, y: f(x, axis=1),
    "where": lambda f, x, y: f(x > y, x1=x, x2=0.0),
}


def called(name: str, f: Any, x: Any, y: Any) -> Any:
    if name in CALLS:
        return CALLS[name](f, x, y)
    needed = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty]
    return f(*[x, y][: len(needed)])


def values(seed: int = 0) -> list[Any]:
    return [v.astype("float32") for v in np.random.default_rng(seed).uniform(0.1, 0.9, (2, 2, 3, 4))]


def agrees(make: Callable[[Any, Any], Any], tmp_path: Any, names: list[str] | None = None) -> None:
    """A model of it, also when it was saved, computes what it does of tensors."""
    inputs = [tg.Input((3, 4), batch_size=2, name=n) for n in "xy"]
    made = make(*inputs)
    outputs = list(made) if isinstance(made, (list, tuple)) else [made]
    model = tg.Model(inputs, outputs)
    if names is not None:
        assert {layer.function for layer in model.layers if hasattr(layer, "function")} >= set(names)
    model.save(tmp_path / "m.tgr")
    data = values()
    want = make(*map(tg.tensor, data))
    for m in (model, tg.models.load_model(tmp_path / "m.tgr")):
        for a, b, symbol in zip(
            m(data), want if isinstance(made, (list, tuple)) else [want], outputs, strict=True
        ):
            assert symbol.shape == a.shape and symbol.dtype == a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", sorted({*ops.__all__} - OF_SIZES))
def test_a_function_of_symbols_is_a_layer(name: str, tmp_path: Any) -> None:
    f = getattr(ops, name)
    agrees(lambda x, y: called(name, f, x, y), tmp_path, [f.__name__] if name != "getitem" else None)


@pytest.mark.parametrize("name", sorted(OF_SIZES - {"random", "shape", "ndim"}))
def test_what_needs_sizes_or_values_says_so(name: str) -> None:
    needed = {"randint": (0, 2), "full": (1.0,), "linspace": (1.0,)}.get(name, ())
    with pytest.raises(TypeError):
        getattr(ops, name)(tg.Input((3, 4)), *needed)


def test_shapes_of_symbols() -> None:
    assert ops.shape(tg.Input((3, 4))) == (None, 3, 4) and ops.ndim(tg.Input((3, 4))) == 3


@pytest.mark.parametrize("name", sorted(activations.FUNCTIONS))
def test_activations_take_symbols(name: str, tmp_path: Any) -> None:
    extra = (0.5, 0.0) if name == "threshold" else ()
    agrees(lambda x, y: getattr(activations, name)(x - y, *extra), tmp_path)


def test_arguments_by_name_and_a_missing_one() -> None:
    x = tg.Input((3, 4))
    assert ops.add(x1=x, x2=x).shape == ops.add(x2=1.0, x1=x).shape == (None, 3, 4)
    with pytest.raises(TypeError, match="'x2'"):
        ops.add(x)
    with pytest.raises(ValueError, match=r"\(None, 3, 4\)|concatenate"):
        ops.concatenate([x, tg.Input((2, 5))], axis=-1)


def test_errors_of_tensors_stay_what_they_are() -> None:
    with pytest.raises(ValueError, match="matmul"):
        ops.matmul(tg.tensor(np.ones((2, 3))), tg.tensor(np.ones((2, 3))))


def test_such_a_model_trains() -> None:
    x = tg.Input((5, 4))
    h = layers.LSTM(4, return_sequences=True)(ops.concatenate([x, ops.tanh(x)], axis=-1))
    weights = ops.softmax(layers.Dense(1)(h), axis=1)
    model = tg.Model(x, ops.sum(weights * h, axis=1))
    model.compile("adam", "mse")
    data = np.random.default_rng(0).standard_normal((8, 5, 4)).astype("float32")
    first = model.evaluate(data, data[:, 0], verbose=0)
    model.fit(data, data[:, 0], epochs=5, verbose=0)
    assert model.evaluate(data, data[:, 0], verbose=0) < first
