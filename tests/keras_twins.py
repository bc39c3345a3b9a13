"""A layer against its Keras twin, or against a formula in PyTorch, on the same numbers: values and gradients."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers

os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    keras = pytest.importorskip("keras")

FLOAT32 = 3e-6  # relative to the largest element of what is compared
FLOAT64 = 1e-9


def data(shapes: Any, dtype: str = "float64", seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def assert_close(got: list[Any], want: list[Any], rtol: float) -> None:
    """Relative to the largest element of all arrays; None only against None."""
    assert [g is None for g in got] == [w is None for w in want]
    pairs = [(np.asarray(g), np.asarray(w)) for g, w in zip(got, want, strict=True) if g is not None]
    scale = max([1e-3, *[float(np.abs(w).max(initial=0.0)) for _, w in pairs]])
    for g, w in pairs:
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=0, atol=rtol * scale)


def agree(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    xs: list[np.ndarray],
    weights: Any,
    twins: Any,
    rtol: float,
) -> None:
    """Both functions of `xs` give the same outputs, and the same gradients of inputs and weights."""
    mine = [tg.tensor(x, requires_grad=True) for x in xs]
    twin = [torch.tensor(x, requires_grad=True) for x in xs]
    got, want = as_list(ours(*mine)), as_list(theirs(*twin))
    pulls = data([tuple(y.shape) for y in want], str(xs[0].dtype), 2)
    loss = sum((torch.tensor(p) * y).sum() for p, y in zip(pulls, want, strict=True))
    wanted = torch.autograd.grad(loss, [*twin, *twins], allow_unused=True)
    total = sum([(p * y).sum() for p, y in zip(pulls, got, strict=True)], tg.tensor(0.0))
    assert {y.dtype for y in got} == {xs[0].dtype}
    assert_close(got, [y.detach() for y in want], rtol)
    assert_close(tg.grad(total, [*mine, *weights]), list(wanted), rtol)


def call_all(layer: Any, xs: Any, joined: bool, **call: Any) -> Any:
    return layer(list(xs), **call) if joined else layer(*xs, **call)


def to_torch(value: Any) -> Any:
    if isinstance(value, list):
        return [to_torch(v) for v in value]
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


def pair(name: str, options: dict[str, Any], xs: list[np.ndarray], joined: bool = False) -> tuple[Any, Any]:
    """Our layer and Keras's, built on `xs`, with the same weights, none of which is 0 or 1."""
    dtype = str(xs[0].dtype)
    ours = getattr(layers, name)(**options, dtype=dtype)
    theirs = getattr(keras.layers, name)(**options, dtype=dtype)
    call_all(ours, xs, joined)
    with torch.no_grad():
        call_all(theirs, [torch.tensor(x) for x in xs], joined)
    for attribute in ("name", "shape", "trainable"):
        assert [getattr(w, attribute) for w in ours.weights] == [
            tuple(v) if attribute == "shape" else v for v in [getattr(w, attribute) for w in theirs.weights]
        ]
    values = [np.abs(v) + 0.5 for v in data([w.shape for w in ours.weights], dtype, 1)]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs


def check_keras(
    name: str,
    options: dict[str, Any],
    shapes: list[tuple[int, ...]],
    call: dict[str, Any],
    joined: bool = False,
    dtype: str = "float32",
    rtol: float = FLOAT32,
) -> None:
    """Twice: outputs, gradients, and the weights afterwards are those of Keras."""
    xs = data(shapes, dtype)
    ours, theirs = pair(name, options, xs, joined)
    for _ in range(2):
        agree(
            lambda *x: call_all(ours, x, joined, **call),
            lambda *x: call_all(theirs, x, joined, **{k: to_torch(v) for k, v in call.items()}),
            xs,
            ours.trainable_weights,
            [w.value for w in theirs.trainable_weights],
            rtol,
        )
        assert_close(ours.weights, [w.value.detach() for w in theirs.weights], rtol)


def check_formula(
    layer: Any,
    formula: Callable[..., Any],
    shapes: list[tuple[int, ...]],
    call: dict[str, Any],
    joined: bool = False,
) -> None:
    """Twice: in float64 the layer is `formula(inputs, weights)`, written in PyTorch."""
    xs = data(shapes)
    call_all(layer, xs, joined)
    layer.set_weights([np.abs(v) + 0.5 for v in data([w.shape for w in layer.weights], seed=1)])
    for _ in range(2):
        twins = [torch.tensor(w, requires_grad=True) for w in layer.get_weights()]
        learned = [t for t, w in zip(twins, layer.weights, strict=True) if w.trainable]
        agree(
            lambda *x: call_all(layer, x, joined, **call),
            lambda *x, twins=twins: formula(list(x), twins),
            xs,
            layer.trainable_weights,
            learned,
            FLOAT64,
        )


def check_numerically(layer: Any, shapes: list[tuple[int, ...]], joined: bool = False, **call: Any) -> None:
    """Gradients of the weights, and of the inputs, against finite differences."""
    xs = [tg.tensor(x, requires_grad=True, name=f"x{i}") for i, x in enumerate(data(shapes))]
    pull = np.asarray(call_all(layer, xs, joined))
    pull = data([pull.shape], seed=3)[0]

    def loss() -> Any:
        return (pull * call_all(layer, xs, joined, **call)).sum()

    report = tg.check_gradients(loss, [*layer.trainable_weights, *xs], samples=4)
    assert report, str(report)
    before = layer.get_weights()
    if layer.trainable_weights:
        assert tg.check_gradients(loss, layer, samples=1)
        for a, b in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def check_config(layer: Any) -> None:
    """The layer made from its configuration has the same configuration, of plain values."""
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert type(again) is type(layer)
