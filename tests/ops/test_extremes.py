"""Huge, tiny and absent numbers: finite, exact and without warnings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.core.arrays import choose
from tinygrad_rnn.ops import kernels, nn

HUGE = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]])
STABLE: dict[str, Callable[[Any], Any]] = {
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "softplus": ops.softplus,
    "silu": ops.silu,
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu tanh": ops.gelu,
    "elu": ops.elu,
    "selu": ops.selu,
    "softsign": ops.softsign,
    "softmax": ops.softmax,
    "log_softmax": ops.log_softmax,
    "logsumexp": lambda x: ops.logsumexp(x, axis=1),
    "sparse": lambda x: ops.sparse_categorical_crossentropy([1, 0], x, from_logits=True),
    "dense": lambda x: ops.categorical_crossentropy(np.eye(3)[[1, 0]].astype(x.dtype), x, from_logits=True),
    "binary": lambda x: ops.binary_crossentropy(np.eye(3)[[1, 0]].astype(x.dtype), x, from_logits=True),
    "probabilities": lambda x: ops.binary_crossentropy(np.eye(3)[[1, 0]].astype(x.dtype), ops.sigmoid(x)),
    "sparse probabilities": lambda x: ops.sparse_categorical_crossentropy([1, 0], ops.softmax(x)),
    "dense probabilities": lambda x: ops.categorical_crossentropy(
        np.eye(3)[[1, 0]].astype(x.dtype), ops.softmax(x)
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(STABLE))
def test_huge_logits_are_finite_and_silent(name: str, dtype: str) -> None:
    x = tg.tensor(HUGE, dtype, requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = STABLE[name](x)
        (g,) = tg.grad(y, [x], np.ones(y.shape), create_graph=True)
    assert y.dtype == g.dtype == dtype
    assert np.isfinite(y.numpy()).all() and np.isfinite(g.numpy()).all()


@pytest.mark.parametrize("derive", [False, True])
@pytest.mark.parametrize(
    "name", ["elu", "selu", "celu", "gelu", "silu", "softplus", "softsign", "mish", "relu"]
)
def test_slopes_at_zero_are_those_of_pytorch(name: str, derive: bool) -> None:
    """Where nothing has been added up yet, as at the first step of zeros."""
    functional = pytest.importorskip("torch").nn.functional
    zeros = np.array([[0.0, -0.0]])
    x = tg.tensor(zeros[:, None], requires_grad=True)
    activate = getattr(tg.activations, name)
    y, _ = tg.scan(lambda x, s, c: ((h := activate(x + s[0])), [h]), x, [np.zeros((1, 2))], derive=derive)
    (g,) = tg.grad(y.sum(), [x])
    other = pytest.importorskip("torch").tensor(zeros, requires_grad=True)
    getattr(functional, name)(other).sum().backward()
    np.testing.assert_allclose(g.numpy()[:, 0], other.grad.numpy(), rtol=1e-12)


def test_losses_from_logits_at_the_extremes() -> None:
    loss = ops.sparse_categorical_crossentropy([1, 0], HUGE, from_logits=True)
    assert loss.tolist() == [2e4, 2e4 + np.log(2)]
    assert ops.binary_crossentropy(
        np.array([1.0, 0.0]), np.array([-1e4, 1e4]), from_logits=True
    ).tolist() == [1e4, 1e4]
    assert ops.categorical_crossentropy(
        np.eye(2), np.array([[0.0, -np.inf], [-np.inf, 0.0]]), True
    ).tolist() == [0, 0]
    near = ops.sparse_categorical_crossentropy([0], np.array([[40.0, 0.0]]), from_logits=True)
    assert near[0] == pytest.approx(np.exp(-40), rel=1e-3) or near[0] == 0.0


def test_exactness_where_the_plain_formula_loses_digits() -> None:
    small = np.array([1e-12, -1e-12])
    np.testing.assert_allclose(ops.expm1(small), small, rtol=1e-11)
    np.testing.assert_allclose(ops.log1p(small), small, rtol=1e-11)
    np.testing.assert_allclose(ops.elu(-np.abs(small)), -np.abs(small), rtol=1e-11)
    np.testing.assert_allclose(ops.softplus(np.array([-700.0])), np.exp([-700.0]), rtol=1e-12)
    np.testing.assert_allclose(ops.log_softmax(np.array([0.0, -800.0]))[1], -800.0)
    np.testing.assert_allclose(ops.logsumexp(np.array([-np.inf, -np.inf])), -np.inf)


def test_erf_of_float32_takes_no_call_for_each_element(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.concatenate(
        [np.linspace(-7, 7, 20001), 10.0 ** np.linspace(-37, 0, 1000), [np.inf, -np.inf, -0.0]]
    )
    want, double = np.frompyfunc(math.erf, 1, 1)(x).astype(float), ops.erf(x)
    assert np.array_equal(double, want)
    monkeypatch.setattr(kernels, "_erf_of_each", None)
    single = ops.erf(x.astype(np.float32))
    assert single.dtype == np.float32 and abs(single).max() == 1.0 and np.signbit(single[-1])
    np.testing.assert_allclose(single, want, rtol=1e-6)
    half = ops.erf(x.astype(np.float16))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, want, rtol=1e-3, atol=1e-4)
    assert np.isnan(ops.erf(np.array([np.nan], np.float32))[0]) and ops.erf(np.float32(0.5)) == pytest.approx(
        math.erf(0.5)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "int64"])
@pytest.mark.parametrize("exponent", [3, 3.0, 4, 4.0, 5, -3])
def test_whole_powers_are_those_of_numpy(dtype: str, exponent: Any) -> None:
    """Also where they are products: values, types, signs, infinities and slopes."""
    special = [np.inf, -np.inf, np.nan, -0.0, 1e30, -1e-30] if dtype[:3] != "int" else [-7, 0]
    x = np.array([-2, -1, 1, 3, *special], dtype)
    if dtype == "int64" and exponent == -3:
        return
    with np.errstate(all="ignore"):
        want = np.power(x, exponent)
    for found in (ops.power(x, exponent), (tg.tensor(x) ** exponent).numpy()):
        np.testing.assert_allclose(found, want, rtol=1e-6 if dtype == "float32" else 1e-14)
        if dtype[:3] != "com":
            np.testing.assert_array_equal(np.signbit(found), np.signbit(want))
    assert ops.power(x, exponent).dtype == want.dtype
    if dtype[:5] == "float":
        t = tg.tensor(x[:4], requires_grad=True)
        slope = float(exponent) * x[:4].astype(float) ** (float(exponent) - 1)
        np.testing.assert_allclose(tg.grad((t**exponent).sum(), t), slope, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_choices_among_many_numbers(dtype: str, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 40, 50)).astype(dtype)
    a[0, :6] = np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40
    c = rng.random((40, 50)) < 0.5
    turned = np.asfortranarray(b)
    given = [
        (c, a, b),
        (c, a, 0),
        (c, 0, a),
        (c, 0, 0),
        (c, a, -0.0),
        (c, a, 1),
        (c[:, :1], a, b),
        (c, a[0], b),
        (c, a[:1], b),
        (c, a[:, :1], 0),
        (c, 0, a[:1]),
        (c, a[:1], b[:, :1]),
    ]
    given += [
        (c, a.astype("float16"), b),
        (c, a, np.float64(2)),
        (c.astype(int), a, b),
        (c, c.astype(int), 0),
    ]
    given += [
        (c[::2], a[::2], 0),
        (c.T, a.T, b.T),
        (c, turned, 0),
        (c, a, turned),
        (True, a, b),
        (c, a, np.zeros(())),
    ]
    for arguments in given:
        with np.errstate(invalid="ignore"):
            want, got = np.where(*arguments), choose(*arguments)
        assert got.dtype == want.dtype and got.shape == want.shape
        assert np.array_equal(got, want, equal_nan=want.dtype.kind == "f") and np.array_equal(
            np.signbit(got), np.signbit(want)
        )


def test_choices_among_many_numbers_make_no_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    x = tg.tensor(np.linspace(-1, 1, 2000, dtype=np.float32), requires_grad=True)
    monkeypatch.setattr(np, "where", None)
    g = tg.grad(ops.relu(x).sum(), x)
    assert float(g.sum()) == 1000.0
    g = tg.grad(ops.max(ops.reshape(x, (2, 1000)), axis=0).sum(), x)  # one gradient for several elements
    assert float(g.sum()) == 1000.0
    assert float(tg.grad(ops.leaky_relu(x).sum(), x).sum()) == pytest.approx(1200.0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 39.0, 41.0, 1e3])
@pytest.mark.parametrize("known", [False, True])
def test_cross_entropies_of_small_and_large_logits(
    known: bool, scale: float, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right to the last digits of 1, or of a larger loss; `known` labels are the largest."""
    x = (scale * rng.uniform(-1, 1, (3, 50, 9))).astype(dtype)
    x[0, 0], x[1, 1] = scale, [-scale] * 8 + [scale]
    ids = x.argmax(axis=-1) if known else rng.integers(0, 9, (3, 50))
    wide = x.astype(np.longdouble)
    e = np.exp(wide - wide.max(axis=-1, keepdims=True))
    total, hot = e.sum(axis=-1), np.eye(9)[ids]
    want = np.log(total) + wide.max(axis=-1) - (wide * hot).sum(axis=-1)
    ulp = np.finfo(dtype).eps * np.maximum(1.0, want.astype(float))
    slope = (e / total[..., None] - hot).astype(float)
    for moderate in (nn.MODERATE, -1):
        monkeypatch.setattr(nn, "MODERATE", moderate)
        t = tg.tensor(x, dtype, requires_grad=True)
        loss = ops.sparse_categorical_crossentropy(ids, t, from_logits=True)
        assert loss.dtype == dtype and np.all(np.abs(loss.numpy() - want) <= 8 * ulp)
        (g,) = tg.grad(loss.sum(), [t])
        np.testing.assert_allclose(g.numpy(), slope, rtol=0, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("few", [0, nn.FEW])
def test_moderate_logits_are_told_from_large_ones(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "FEW", few)
    for value in (40.0, -40.0, 0.0):
        assert nn._are_moderate(np.array([[1.0, value]], np.float32))
    for value in (40.1, -40.1, np.inf, -np.inf, np.nan):
        assert not nn._are_moderate(np.array([[1.0, value]], np.float32))
    assert nn._are_moderate(np.zeros((0, 3))) and not nn._are_moderate(np.zeros((2, 3), np.float16))


def test_reductions_over_nothing() -> None:
    empty = tg.tensor(np.ones((0, 3)), requires_grad=True)
    assert ops.mean(empty).item() == 0.0 and ops.sum(empty).item() == 0.0 and ops.prod(empty).item() == 1.0
    assert ops.mean(empty, axis=0).tolist() == [0.0] * 3 and ops.var(empty, axis=0).tolist() == [0.0] * 3
    ops.mean(empty).backward()
    assert empty.grad.shape == (0, 3)
    assert ops.split(np.ones(0), 3)[1].shape == (0,) and ops.unstack(np.ones((0, 2))) == ()
