"""Errors name op, shapes, direction and place, and leave no trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.config import Scope, mode, switched


def test_an_error_in_backward_leaves_every_gradient_untouched() -> None:
    @tg.custom_gradient
    def broken(x: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            raise KeyError("broken")

        return x * 1, grad

    a, b = leaf(1.0), leaf(2.0)
    b.grad = 7.0
    y = broken(a) + b * 3
    for _ in range(2):
        with pytest.raises(KeyError, match="broken"):
            y.backward()
        assert a.grad is None and b.grad == 7.0
    assert mode() == tg.config.Mode()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda y: y, "received (Tensor|ndarray)"),  # of two elements, which could be taken for a pair
        (lambda y: (y, 3), "received a tuple of (Tensor|ndarray), int"),
        (lambda y: (y, min, max), "received a tuple of (Tensor|ndarray), builtin_function_or_method, "),
    ],
)
def test_a_custom_gradient_that_returns_no_pair(returned: Any, message: str) -> None:
    def half(x: Any) -> Any:
        return returned(ops.tanh(x))

    for x in (leaf(np.ones(2)), np.ones(2)):
        with pytest.raises(TypeError, match=rf"half: .*returns \(y, grad\), {message}"):
            tg.custom_gradient(half)(x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a, b: a + b, ValueError, r"add: .*\(2, 3\) float64, \(4,\) float64"),
        (
            lambda a, b: a @ b,
            ValueError,
            r"^matmul: 3 columns do not fit 4 rows; received \(2, 3\) float64, \(4,\) float64",
        ),
        (lambda a, b: a.reshape(4), ValueError, r"reshape: .*\(2, 3\) float64"),
        (lambda a, b: a[5], IndexError, r"getitem: .*5.*\(2, 3\)"),
        (lambda a, b: a[:, np.array([0, 7])], IndexError, r"getitem: .*7.*\(2, 3\)"),
        (
            lambda a, b: ops.concatenate([a, b]),
            ValueError,
            r"concatenate: .*\(2, 3\) float64, \(4,\) float64",
        ),
        (lambda a, b: ops.stack([a, b]), ValueError, r"stack: .*\(2, 3\) float64, \(4,\) float64"),
        (lambda a, b: ops.where(b > 0, a, a), ValueError, r"where: .*\(4,\) bool, \(2, 3\) float64"),
        (lambda a, b: ops.einsum("ij,j->i", a, b), ValueError, r"einsum: .*\(2, 3\) float64, \(4,\) float64"),
        (lambda a, b: ops.maximum(a, np.ones(4)), ValueError, r"maximum: .*\(2, 3\) float64, \(4,\) float64"),
    ],
)
def test_shape_errors_name_op_shapes_and_place(call: Any, error: Any, message: str) -> None:
    a, b = leaf(np.ones((2, 3))), leaf(np.ones(4))
    with pytest.raises(error, match=message):
        call(a, b)
    with switched(scope=Scope("lstm", 3)), pytest.raises(error, match=message + r".*layer 'lstm', step 3"):
        call(a, b)


def test_float_types_do_not_mix_in_matrix_products() -> None:
    a, b = leaf(np.ones((2, 2)), "float32"), leaf(np.ones((2, 2)))
    for product in (lambda: a @ b, lambda: b.numpy() @ a, lambda: ops.einsum("ij,jk->ik", a, b)):
        with pytest.raises(TypeError, match=r"float32 and float64 do not mix; cast one, e\.g\. x\.astype"):
            product()
    with (
        switched(scope=Scope("rnn", 1)),
        pytest.raises(
            TypeError, match=r"received \(2, 2\) float32, \(2, 2\) float64.*NumPy.*layer 'rnn', step 1"
        ),
    ):
        a @ b
    (a.astype("float64") @ b).sum().backward()
    assert a.grad.dtype == np.float32


def test_float_types_mix_elsewhere_and_gradients_come_back_in_their_own() -> None:
    a, b = leaf([1.0, 2.0], "float32"), leaf([3.0, 4.0])
    y = a * b
    assert y.dtype == np.float64
    y.sum().backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64
    close(a.grad, [3.0, 4.0])
    close(b.grad, [1.0, 2.0])


def test_debug_nans_names_op_direction_and_place() -> None:
    zero = leaf([0.0, 1.0])
    with tg.debug_nans():
        with pytest.raises(
            FloatingPointError, match=r"infinity in the forward pass of op 'log', .*shape \(2,\)"
        ):
            ops.log(zero)
        with pytest.raises(FloatingPointError, match="NaN in the forward pass of op 'sqrt'"):
            ops.sqrt(zero - 1)
        with pytest.raises(FloatingPointError, match="NaN in the forward pass of op 'divide'"):
            zero / zero
        with pytest.raises(FloatingPointError, match="forward pass of op 'sum'"):
            tg.tensor([np.inf], requires_grad=True).sum()
        with switched(scope=Scope("lstm", 3)):
            y = ops.sqrt(zero).sum()
        with pytest.raises(
            FloatingPointError, match=r"infinity in the backward pass of op 'sqrt' \(layer 'lstm', step 3\)"
        ):
            y.backward()
    assert zero.grad is None
    assert np.isinf(ops.log(zero).numpy()[0])
    ops.sqrt(zero).sum().backward()
    assert np.isinf(zero.grad[0])


def test_scopes_are_stamped_and_inherited_by_recorded_gradients() -> None:
    x = leaf(2.0)
    with switched(scope=Scope("lstm", 3)):
        y = ops.tanh(x) * x
    assert y._node.scope == Scope("lstm", 3) and str(Scope()) == ""
    g = tg.grad(y, x, create_graph=True)
    seen, stack = set(), [g._node]
    while stack:
        node = stack.pop()
        seen.add(node.scope if node.op.name != "leaf" else Scope("lstm", 3))
        stack += [p for p in node.inputs if p is not None]
    assert Scope("lstm", 3) in seen


def test_a_frozen_variable_is_named() -> None:
    lstm = tg.layers.LSTM(2)
    lstm(np.ones((1, 3, 2)))
    kernel, loss = lstm.weights[0], lstm(np.ones((1, 3, 2))).sum()
    lstm.trainable = False
    with pytest.raises(ValueError, match=rf"grad: '{kernel.path}' is frozen; set trainable = True"):
        tg.grad(loss, kernel)
    lstm.trainable = True
    assert tg.grad(lstm(np.ones((1, 3, 2))).sum(), kernel).shape == kernel.shape
