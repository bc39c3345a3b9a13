"""Tensors in Python's and NumPy's own expressions: operators, functions, methods, conversions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from leaves import same_bits

import tinygrad_rnn as tg
from tinygrad_rnn import ops


@pytest.fixture
def t() -> tg.Tensor:
    return tg.tensor([[1.0, -2.0], [3.0, 4.0]], "float32", requires_grad=True)


def test_operators(t: tg.Tensor) -> None:
    a = t.numpy()
    for got, want in [
        (t + 1, a + 1),
        (1 + t, 1 + a),
        (t - 2.0, a - 2),
        (2.0 - t, 2 - a),
        (t * 3, a * 3),
        (3 * t, 3 * a),
        (t / 2, a / 2),
        (1 / t, 1 / a),
        (t**2, a**2),
        (2**t, np.float32(2) ** a),
        (-t, -a),
        (abs(t), abs(a)),
        (t // 2, a // 2),
        (5 // t, 5 // a),
        (t % 3, a % 3),
        (5 % t, 5 % a),
        (t @ t, a @ a),
        (t @ a, a @ a),
        (a @ t, a @ a),
        (t + t, a + a),
        (t * a, a * a),
        (a * t, a * a),
        (a - t, a - a),
        (a / t, a / a),
        (a**t, a**a),
        (t + [1, 2], a + np.array([1, 2], "float32")),
        ([1.0, 2.0] * t, np.array([1, 2], "float32") * a),
    ]:
        assert isinstance(got, tg.Tensor) and got.dtype == np.float32
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    for got, want in [
        (t < 0, a < 0),
        (t <= 3, a <= 3),
        (t > 0, a > 0),
        (t >= 3, a >= 3),
        (t == 3, a == 3),
        (t != 3, a != 3),
        (3 == t, a == 3),
        (0 < t, a > 0),
        (a < t, a < a),
        (t == a, a == a),
        ((t > 0) & (t < 4), (a > 0) & (a < 4)),
        ((t > 3) | (t < 0), (a > 3) | (a < 0)),
        (~(t > 0), ~(a > 0)),
    ]:
        assert isinstance(got, tg.Tensor) and got.dtype == bool and not got.requires_grad
        assert same_bits(got, want)


@pytest.mark.parametrize(
    "other",
    [
        2,
        2.5,
        True,
        np.float64(2.5),
        np.float32(2.5),
        np.int64(2),
        np.int8(2),
        np.bool_(True),
        np.array(2.5),
        np.array(3),
        [1, 2],
        [1.0, 2.0],
        (1.5, 2.5),
        np.array([1, 2]),
        np.array([True, False]),
        np.array([1, 2], "int8"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_and_integer_arrays_do_not_change_the_float_type(dtype: str, other: Any) -> None:
    t = tg.tensor([[1.0, -2.0], [3.0, 4.0]], dtype, requires_grad=True)
    for f in (
        lambda x, y: x + y,
        lambda x, y: y + x,
        lambda x, y: x * y,
        lambda x, y: y * x,
        lambda x, y: x - y,
        lambda x, y: y - x,
        lambda x, y: y / x,
        lambda x, y: ops.maximum(x, y),
        lambda x, y: ops.minimum(y, x),
        lambda x, y: ops.where(x > 0, x, y),
        lambda x, y: ops.where(x > 0, y, x),
        lambda x, y: ops.logaddexp(x, y),
        lambda x, y: x**2 * y,
    ):
        result = f(t, other)
        assert isinstance(result, tg.Tensor) and result.dtype == dtype
        (g,) = tg.grad(result, [t], np.ones(result.shape))
        assert g.dtype == dtype and g.shape == t.shape


def test_lists_meet_a_tensor_in_its_own_precision() -> None:
    x = tg.tensor([1.0, 1.0], "float64", requires_grad=True)
    for y in (x * [0.1, 0.2], [0.1, 0.2] * x, ops.where([True, True], [0.1, 0.2], x)):
        assert y.tolist() == [0.1, 0.2]


def test_integer_tensors() -> None:
    i = tg.tensor([1, 2, 3])
    assert i.dtype == np.int64 and (i * 2).dtype == np.int64 and (i + 1).tolist() == [2, 3, 4]
    assert (i / 2).dtype == np.float32 and (i * 0.5).dtype == np.float32 and ops.sqrt(i).dtype == np.float32
    assert ops.exp(i).dtype == np.float32 and i.sum().item() == 6 and ops.mean(i).item() == 2.0
    mixed = ops.where(np.array([True, False, True]), i, 0.5)
    assert mixed.dtype == np.float32 and mixed.tolist() == [1.0, 0.5, 3.0]
    assert ops.where(i > 1, i, 0).dtype == np.int64
    x = tg.tensor([1.0, 2.0, 4.0], requires_grad=True)
    y = x * i
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]
    assert [10, 20, 30, 40][tg.tensor(2)] == 30 and list(range(tg.tensor(2))) == [0, 1]


def test_numpy_functions_run_our_ops(t: tg.Tensor) -> None:
    u = tg.tensor(np.full((2, 2), 2.0, "float32"))
    for f in (
        np.tanh,
        np.exp,
        np.square,
        np.negative,
        np.abs,
        np.sin,
        lambda x: np.multiply(np.ones((2, 2), "float32"), x),
        lambda x: np.add(x, 1),
        lambda x: np.power(x, 2),
        np.sum,
        np.mean,
        np.max,
        np.min,
        np.std,
        np.var,
        np.prod,
        lambda x: np.sum(x, axis=0),
        lambda x: np.sum(x, 1, keepdims=True),
        lambda x: np.mean(x, axis=(0, 1)),
        lambda x: np.concatenate([x, u]),
        lambda x: np.concatenate((u, x), axis=1),
        lambda x: np.stack([x, u], axis=1),
        lambda x: np.where(np.ones((2, 2), bool), x, u),
        lambda x: np.reshape(x, (4,)),
        np.transpose,
        np.ravel,
        lambda x: np.matmul(x, u),
        lambda x: np.dot(x, x),
        lambda x: np.einsum("ij,kj->ik", x, u),
        lambda x: np.clip(x, -1, 1),
        lambda x: np.expand_dims(x, 0),
        lambda x: np.squeeze(x[None]),
        lambda x: np.take(x, [0, 1], axis=1),
        lambda x: np.split(x, 2)[1],
        lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.cumsum(x, axis=0),
        lambda x: np.tensordot(x, u, 1),
        lambda x: np.outer(x, u),
        lambda x: np.repeat(x, 2, axis=0),
        lambda x: np.tile(x, 2),
        lambda x: np.flip(x, 0),
        lambda x: np.pad(x, 1),
        lambda x: np.broadcast_to(x, (3, 2, 2)),
        lambda x: np.moveaxis(x, 0, 1),
        lambda x: np.maximum(x, u),
    ):
        got, want = f(t), f(t.numpy())
        assert isinstance(got, tg.Tensor) and got.requires_grad
        np.testing.assert_allclose(got.numpy(), np.asarray(want), rtol=1e-6)
    assert np.shape(t) == (2, 2) and np.ndim(t) == 2 and np.size(t) == 4
    assert np.argmax(t).item() == 3 and np.all(t > -9) and np.zeros_like(t).tolist() == [[0, 0], [0, 0]]


def test_numpy_functions_without_a_rule(t: tg.Tensor) -> None:
    plain = t.detach()
    assert (
        np.median(plain) == 2.0
        and np.add.reduce(plain).tolist() == [4.0, 2.0]
        and np.cbrt(plain).shape == (2, 2)
    )
    for call, name in [
        (lambda: np.median(t), "numpy.median"),
        (lambda: np.add.reduce(t), "numpy.add"),
        (lambda: np.cbrt(t), "numpy.cbrt"),
        (lambda: np.sort(t), "numpy.sort"),
        (lambda: np.tanh(t, out=np.zeros((2, 2))), "numpy.tanh"),
        (lambda: np.multiply.outer(t, t), "numpy.multiply"),
    ]:
        with pytest.raises(TypeError, match=rf"{name} has no gradient rule here.*t\.detach\(\)"):
            call()
    with pytest.raises(TypeError, match="numpy.subtract.*the nearest op is tg.ops.subtract"):
        np.subtract.accumulate(t)


def test_asarray(t: tg.Tensor) -> None:
    a = np.asarray(t)
    assert a.dtype == np.float32 and not a.flags.writeable and np.shares_memory(a, t.numpy())
    assert np.asarray(t, dtype="float64").dtype == np.float64
    copied = np.array(t)
    assert copied.flags.writeable and not np.shares_memory(copied, a)
    assert np.array([t, t]).shape == (2, 2, 2)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(t, dtype="float64", copy=False)


def test_unknown_operands(t: tg.Tensor) -> None:
    for wrong in ("a", None, object()):
        with pytest.raises(TypeError):
            t + wrong
        with pytest.raises(TypeError):
            wrong * t

    class Other:
        def __radd__(self, other: Any) -> str:
            return "mine"

    assert t + Other() == "mine"


def test_python_protocols(t: tg.Tensor) -> None:
    assert len(t) == 2 and [row.tolist() for row in t] == [[1, -2], [3, 4]]
    first, second = t
    (first * second).sum().backward()
    assert t.grad.tolist() == [[3, 4], [1, -2]]
    one = tg.tensor(2.5)
    assert (
        bool(one) and float(one) == 2.5 and int(one) == 2 and one.item() == 2.5 and not bool(tg.tensor(0.0))
    )
    assert f"{one:.2f}" == "2.50" and f"{one}" == str(one) and format(tg.tensor([1.5]), ".1f") == "1.5"
    assert repr(one) == "tensor(2.5, dtype=float32)"
    assert repr(tg.tensor([1, 2], name="ids")) == "tensor([1, 2], dtype=int64, name='ids')"
    assert "requires_grad=True" in repr(t) and "op='tanh'" in repr(ops.tanh(t))
    assert repr(tg.Variable([1.0], name="w")).startswith("<Variable 'w' shape=(1,) dtype=float32 value=[1.]")
    assert len(repr(tg.tensor(np.zeros(10_000)))) < 200
    assert t.tolist() == [[1, -2], [3, 4]] and t.name is None and tg.tensor(1.0, name="x").name == "x"
    assert (t.shape, t.ndim, t.size, t.dtype) == ((2, 2), 2, 4, np.float32)
    for call in (lambda: len(one), lambda: iter(one)):
        with pytest.raises(TypeError):
            call()
    for call in (lambda: bool(t), lambda: float(t), lambda: t.item()):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError):
        [1, 2][one]  # type: ignore[call-overload]


def test_methods(t: tg.Tensor) -> None:
    a = t.numpy()
    for got, want in [
        (t.T, a.T),
        (t.mT, a.mT),
        (t.reshape(4), a.reshape(4)),
        (t.reshape(4, 1), a.reshape(4, 1)),
        (t.reshape((1, 4)), a.reshape(1, 4)),
        (t.reshape([-1]), a.reshape(-1)),
        (t.flatten(), a.flatten()),
        (t.transpose(), a.T),
        (t.transpose(1, 0), a.T),
        (t.transpose((0, 1)), a),
        (t.transpose(None), a.T),
        (t.swapaxes(0, 1), a.T),
        (t[None].squeeze(), a),
        (t[None].squeeze(0), a),
        (t.sum(), a.sum()),
        (t.sum(axis=0), a.sum(0)),
        (t.sum(1, keepdims=True), a.sum(1, keepdims=True)),
        (t.mean(), a.mean()),
        (t.mean(0), a.mean(0)),
        (t.prod(), a.prod()),
        (t.max(), a.max()),
        (t.min(axis=1), a.min(1)),
        (t.var(), a.var()),
        (t.std(axis=0), a.std(0)),
        (t.all(), a.all()),
        (t.any(axis=0), a.any(0)),
        (t.argmax(), a.argmax()),
        (t.argmin(axis=1), a.argmin(1)),
        (t.cumsum(axis=1), a.cumsum(1)),
        (t.dot(t), a @ a),
        (t.round(), a.round()),
        (t.clip(0, 3), a.clip(0, 3)),
        (t.clip(x_max=1), a.clip(max=1)),
        (t.astype("float64"), a.astype("float64")),
        (t.astype("int64"), a.astype("int64")),
        (t[0], a[0]),
        (t[..., 1], a[..., 1]),
        (t[t > 0], a[a > 0]),
        (t[tg.tensor([1, 0, 1])], a[[1, 0, 1]]),
        (t[[0, 1], [1, 1]], a[[0, 1], [1, 1]]),
        (t[::-1, None, 1:], a[::-1, None, 1:]),
    ]:
        assert isinstance(got, tg.Tensor) and got.dtype == np.asarray(want).dtype
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert tg.tensor(np.ones((2, 3, 4))).mT.shape == (2, 4, 3) and tg.tensor(np.ones((2, 3, 4))).T.shape == (
        4,
        3,
        2,
    )
