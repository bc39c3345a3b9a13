"""Gradients and where they land: `backward`, `grad`, and when a graph is freed."""

from __future__ import annotations

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops

# --- backward ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_backward_fills_grad_in_the_dtype_of_the_leaf(dtype: str) -> None:
    x = leaf([1.0, 2.0], dtype)
    assert x.grad is None
    (x * x).sum().backward()
    assert isinstance(x.grad, np.ndarray) and x.grad.dtype == dtype and x.grad.tolist() == [2.0, 4.0]


def test_gradients_accumulate_over_calls_until_they_are_forgotten() -> None:
    x = leaf([1.0, 2.0])
    for times in (1, 2, 3):
        (x * x).sum().backward()
        close(x.grad, [2.0 * times, 4.0 * times])
    x.zero_grad()
    assert x.grad is None
    (3 * x).sum().backward()
    close(x.grad, [3.0, 3.0])


def test_grad_is_the_users_own_array() -> None:
    """Clipping it in place must not reach the graph or another leaf's gradient."""
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = a + b
    y.backward(np.ones(2), retain_graph=True)
    a.grad *= 0
    close(b.grad, [1.0, 1.0])
    y.backward(np.ones(2))
    close(a.grad, [1.0, 1.0])
    close(b.grad, [2.0, 2.0])


def test_grad_can_be_set_and_its_shape_is_checked() -> None:
    for x in (leaf([1.0, 2.0]), tg.Variable(np.ones(2), name="w")):
        x.grad = [5.0, 6.0]
        close(x.grad, [5.0, 6.0])
        with pytest.raises(ValueError, match=r"expected shape \(2,\), received \(3,\)"):
            x.grad = np.ones(3)
    with pytest.raises(ValueError, match="only a leaf"):
        (leaf(1.0) * 2).grad = 1.0


def test_a_leaf_can_be_differentiated_by_itself() -> None:
    x = leaf(3.0)
    x.backward()
    assert x.grad == 1.0
    assert tg.grad(x, x).item() == 1.0


def test_same_tensor_twice_in_one_op_and_many_uses() -> None:
    x = leaf(3.0)
    (x * x + x / x + x - x + x * 2 + x).backward()
    assert x.grad == pytest.approx(9.0)


def test_second_backward_needs_retain_graph() -> None:
    x = leaf([1.0, 2.0])
    y = (ops.tanh(x) ** 2).sum()
    y.backward(retain_graph=True)
    first = x.grad.copy()
    y.backward()
    close(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        tg.grad(y, x)
    close(x.grad, 2 * first)


def test_a_freed_part_of_a_graph_raises_for_what_was_built_on_it() -> None:
    x = leaf(2.0)
    h = x * x
    (h * 3).backward()
    with pytest.raises(RuntimeError, match=r"op 'multiply'.*retain_graph"):
        (h * 5).backward()


def test_grad_keeps_the_graph_with_create_graph_only() -> None:
    x = leaf(2.0)
    y = x * x * x
    tg.grad(y, x, create_graph=True)
    tg.grad(y, x, retain_graph=True)
    tg.grad(y, x)
    with pytest.raises(RuntimeError, match="retain_graph"):
        tg.grad(y, x)


def test_backward_of_a_non_scalar_needs_its_cotangent() -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    with pytest.raises(ValueError, match=r"backward: expected a scalar, received shape \(2,\).*gradient="):
        y.backward()
    with pytest.raises(ValueError, match=r"backward: the cotangent must have shape \(2,\), received \(3,\)"):
        y.backward(np.ones(3))
    with pytest.raises(ValueError, match=r"must have shape \(2,\), received \(\)"):
        y.backward(1.0)
    y.backward([1.0, 10.0])
    close(x.grad, [2.0, 40.0])
    one = leaf([[3.0]])
    (one * 2).backward()
    close(one.grad, [[2.0]])


def test_backward_of_what_has_no_graph() -> None:
    with pytest.raises(ValueError, match="depends on nothing that requires a gradient"):
        tg.tensor(1.0).backward()
    with pytest.raises(TypeError, match="int64 has no gradient"):
        tg.tensor(1).backward()
    with tg.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(ValueError, match="no_grad"):
        y.backward()


def test_integers_have_no_gradient() -> None:
    with pytest.raises(TypeError, match="requires_grad needs floats, received int64"):
        tg.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="bool"):
        tg.tensor([True], requires_grad=True)
    with pytest.raises(TypeError, match="int64 has no gradient"):
        tg.grad(leaf(1.0) * 2, tg.tensor(1))
    assert not tg.Variable(np.arange(3)).requires_grad
    assert not (leaf([1.0]) > 0).requires_grad


def test_no_numbers_no_tensor() -> None:
    with pytest.raises(TypeError, match="expected numbers"):
        tg.tensor(["a"])


# --- grad -------------------------------------------------------------------------------------------


def test_grad_gives_one_for_one() -> None:
    x, y, unused = leaf(2.0), leaf(3.0), leaf(4.0)
    z = x * x * y
    single = tg.grad(z, x, retain_graph=True)
    assert isinstance(single, tg.Tensor) and single.item() == 12.0
    several = tg.grad(z, [y, unused, x, x], retain_graph=True)
    assert isinstance(several, list) and several[1] is None
    assert [g.item() for g in several if g is not None] == [4.0, 12.0, 12.0]
    assert [g.item() for g in tg.grad(z, (x,))] == [12.0]
    assert x.grad is y.grad is unused.grad is None


def test_grad_of_intermediate_results() -> None:
    x = leaf([1.0, 2.0])
    h = x * 3
    k = ops.tanh(h)
    y = (k * k).sum()
    gh, gk, gy, gx = tg.grad(y, [h, k, y, x])
    close(gk, 2 * np.tanh([3.0, 6.0]))
    close(gh, 2 * np.tanh([3.0, 6.0]) * (1 - np.tanh([3.0, 6.0]) ** 2))
    close(gx, 3 * np.asarray(gh))
    assert gy.item() == 1.0


def test_grad_of_one_output_of_several() -> None:
    x = leaf(np.arange(6.0))
    a, b, c = ops.split(x, 3)
    gb, gx = tg.grad((b * b).sum() + c.sum(), [b, x], retain_graph=True)
    close(gb, [4.0, 6.0])
    close(gx, [0, 0, 4, 6, 1, 1])
    assert tg.grad(b.sum(), a) is None


def test_grad_outputs() -> None:
    x = leaf([1.0, 2.0])
    y = x * x
    with pytest.raises(ValueError, match=r"grad: expected a scalar, received shape \(2,\).*grad_outputs="):
        tg.grad(y, x)
    with pytest.raises(ValueError, match=r"must have shape \(2,\), received \(2, 1\)"):
        tg.grad(y, x, np.ones((2, 1)))
    close(tg.grad(y, x, [[1.0, 10.0]], retain_graph=True), [2.0, 40.0])
    close(tg.grad(y, x, np.array([1.0, 10.0]), retain_graph=True), [2.0, 40.0])
    close(tg.grad([y, x.sum(), y], x, [np.ones(2), None, tg.tensor([0.0, 1.0])]), [3.0, 9.0])


def test_a_cotangent_can_be_differentiated() -> None:
    x, v = leaf([1.0, 2.0]), leaf([5.0, 7.0])
    g = tg.grad(x * x, x, v, create_graph=True)
    close(tg.grad(g.sum(), v), [2.0, 4.0])


def test_what_grad_is_not_given() -> None:
    x = leaf(1.0)
    with pytest.raises(TypeError, match="xs must be Tensors, received float"):
        tg.grad(x * 2, [1.0])
    with pytest.raises(TypeError, match="expected a Tensor to differentiate, received float"):
        tg.grad(2.0, x)
    with pytest.raises(ValueError, match="not recorded; make it with requires_grad=True"):
        tg.grad(x * 2, tg.tensor(1.0))


def test_create_graph_to_third_order() -> None:
    x = leaf(0.7)
    y, orders = ops.sin(x) * ops.exp(x), []
    for _ in range(3):
        y = tg.grad(y, x, create_graph=True)
        orders.append(y.item())
    s, c, e = np.sin(0.7), np.cos(0.7), np.exp(0.7)
    close(orders, [e * (s + c), 2 * e * c, 2 * e * (c - s)], 1e-12)
    y = tg.grad(y, x)
    close(y, -4 * e * s)
    assert not y.requires_grad


def test_first_order_gradients_carry_no_graph() -> None:
    x = leaf(2.0)
    assert not tg.grad(x * x, x).requires_grad
    assert tg.grad(x * x, x, create_graph=True).requires_grad
