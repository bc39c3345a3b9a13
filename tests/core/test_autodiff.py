"""What the engine promises: gradients and where they land, graphs and when they are freed, errors that name the cause."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.config import Scope, mode, switched


def leaf(value: Any, dtype: Any = "float64") -> tg.Tensor:
    return tg.tensor(value, dtype, requires_grad=True)


def close(got: Any, want: Any, rtol: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=rtol, atol=rtol)


# --- backward -----------------------------------------------------------------------------------------


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


# --- grad ---------------------------------------------------------------------------------------------


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


# --- functions of functions ---------------------------------------------------------------------------


def test_value_and_grad() -> None:
    def f(a: Any, b: Any, scale: float = 1.0) -> Any:
        return scale * (a * a * b).sum()

    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    value, g = tg.value_and_grad(f)(a, b)
    assert value.item() == 19.0 and not value.requires_grad
    close(g, 2 * a * b)
    _, g = tg.value_and_grad(f, argnums=1)(a, b, scale=2.0)
    close(g, 2 * a * a)
    _, (gb, ga) = tg.value_and_grad(f, argnums=(1, 0))(a, b)
    close(gb, a * a)
    close(ga, 2 * a * b)
    with tg.no_grad():
        close(tg.value_and_grad(f)(a, b)[1], 2 * a * b)
    _, g = tg.value_and_grad(lambda x, y: (y * 2).sum(), argnums=(0, 1))(a, b)
    close(g[0], [0.0, 0.0])
    with pytest.raises(ValueError, match="expected a scalar"):
        tg.value_and_grad(lambda x: x * x)(a)


def network(xp: Any, x: Any) -> Any:
    """The same text for tinygrad_rnn and torch."""
    return xp.tanh(x @ x) * xp.exp(0.3 * x[0]) + xp.sin(x).sum(-1)


def test_jacobian_against_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((3, 3))
    got = tg.jacobian(lambda t: network(ops, t))(x)
    want = torch.func.jacrev(lambda t: network(torch, t))(torch.tensor(x))
    assert got.shape == (3, 3, 3, 3)
    close(got, want)
    close(tg.jacobian(lambda t: t[0, 0] * 0 + 1)(x), np.zeros((3, 3)))
    assert tg.jacobian(lambda t: np.ones(2))(x).shape == (2, 3, 3)


def test_hvp_against_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x, v = rng.standard_normal((2, 3, 3))
    got = tg.hvp(lambda t: network(ops, t).sum(), x, v)
    t = torch.tensor(x, requires_grad=True)
    (first,) = torch.autograd.grad(network(torch, t).sum(), t, create_graph=True)
    close(got, torch.autograd.grad(first, t, torch.tensor(v))[0])
    close(tg.hvp(lambda t: t.sum(), x, v), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"hvp: v must have the shape of x, \(3, 3\), received \(3,\)"):
        tg.hvp(lambda t: t.sum(), x, v[0])


def test_stop_gradient_and_detach() -> None:
    x = leaf([1.0, 2.0])
    (x * tg.stop_gradient(x) + x.detach() * ops.stop_gradient(x) + x * 0).sum().backward()
    close(x.grad, [1.0, 2.0])
    assert tg.stop_gradient(3.0) == 3.0 and not x.detach().requires_grad


# --- switches -----------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad() -> None:
    x = leaf(2.0)
    with tg.no_grad():
        assert not (x * x).requires_grad
        with tg.enable_grad():
            assert (x * x).requires_grad
        assert not ops.sum(x).requires_grad
    assert (x * x).requires_grad

    @tg.no_grad()
    def decorated() -> tg.Tensor:
        return x * x

    assert not decorated().requires_grad
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert (x * x).requires_grad


def test_backward_works_under_no_grad() -> None:
    x = leaf(2.0)
    y = x * x
    with tg.no_grad():
        y.backward(retain_graph=True)
        g = tg.grad(y, x, create_graph=True)
    assert x.grad == 4.0 and tg.grad(g, x).item() == 2.0


def test_no_grad_does_not_leak_into_other_threads() -> None:
    barrier, lost = threading.Barrier(2), []
    rounds = 200

    def switching() -> None:
        for _ in range(rounds):
            with tg.no_grad():
                barrier.wait(10)
                lost.append((leaf(2.0) * 2).requires_grad)
                barrier.wait(10)

    def recording() -> None:
        for _ in range(rounds):
            barrier.wait(10)
            x = leaf(2.0)
            y = x * x
            lost.append(not y.requires_grad)
            y.backward()
            lost.append(x.grad != 4.0)
            barrier.wait(10)

    threads = [threading.Thread(target=f) for f in (switching, recording)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert len(lost) == 3 * rounds and not any(lost)
    assert mode().grad


def test_settings_are_validated() -> None:
    with pytest.raises(ValueError, match="float16, float32, float64, got 'int8'"):
        tg.set_floatx("int8")
    for wrong in (0, -1e-3, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            tg.config.set_epsilon(wrong)
    for wrong in (-1, 2**32, 1.5, "1", None, True):
        with pytest.raises(ValueError, match="set_random_seed: expected an integer"):
            tg.config.set_random_seed(wrong)
    assert (tg.floatx(), tg.epsilon()) == ("float32", 1e-7)


def test_floatx_is_the_type_of_python_floats(float64: None) -> None:
    assert tg.tensor(1.0).dtype == tg.tensor([1.5, 2]).dtype == tg.Variable([1, 2]).dtype == np.float64
    assert ops.zeros((2,)).dtype == ops.normal((2,)).dtype == np.float64
    assert tg.tensor(np.ones(2, "float32")).dtype == np.float32
    tg.set_floatx("float32")
    assert tg.tensor(1.0).dtype == np.float32 and tg.tensor(np.ones(2)).dtype == np.float64


# --- custom gradients ---------------------------------------------------------------------------------


@tg.custom_gradient
def stable_log1pexp(x: Any) -> Any:
    e = ops.exp(x)

    def grad(*args: Any, upstream: Any = None) -> Any:
        (x,) = args
        return upstream * (1 - 1 / (1 + ops.exp(x)))

    return ops.log(1 + e), grad


@tg.custom_gradient
def weighted(a: Any, b: Any) -> Any:
    """Not the true gradient, on purpose: whose is used must show."""
    return a * b, lambda *args, upstream=None: (upstream * 10 * args[1], upstream * 100 * args[0])


def test_custom_gradient_follows_keras() -> None:
    x = leaf([0.3, 80.0])
    y = stable_log1pexp(x)
    sigmoid = 1 / (1 + np.exp(-np.array([0.3, 80.0])))
    g = tg.grad(y, x, np.ones(2), create_graph=True)
    close(g, sigmoid)
    close(tg.grad(g, x, np.ones(2)), sigmoid * (1 - sigmoid))
    a, b = leaf(2.0), leaf(3.0)
    (weighted(a, b) * 2).backward()
    assert (a.grad, b.grad) == (60.0, 400.0)
    assert weighted(tg.tensor(2.0), 3.0).item() == 6.0 and weighted.__doc__
    (weighted(a, 3.0)).backward()
    assert a.grad == 90.0
    with tg.no_grad():
        assert not weighted(a, b).requires_grad


def test_custom_gradient_checks_what_it_gets() -> None:
    @tg.custom_gradient
    def too_many(x: Any) -> Any:
        return x * 1, lambda *args, upstream=None: (upstream, upstream)

    @tg.custom_gradient
    def wrong_shape(x: Any) -> Any:
        return x * 1, lambda *args, upstream=None: upstream.sum()

    @tg.custom_gradient
    def none(x: Any) -> Any:
        return x * 1, lambda *args, upstream=None: None

    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="too_many: grad returned 2 gradients for 1 arguments"):
        too_many(x).sum().backward()
    with pytest.raises(ValueError, match=r"wrong_shape: .*argument 0 must have shape \(2,\), received \(\)"):
        wrong_shape(x).sum().backward()
    none(x).sum().backward()
    close(x.grad, [0.0, 0.0])


# --- immutability -------------------------------------------------------------------------------------


def test_backward_over_an_assigned_variable_raises() -> None:
    w = tg.Variable([1.0, 2.0], name="w")
    y = (w * w).sum()
    w.assign([5.0, 6.0])
    with pytest.raises(RuntimeError, match="w was assigned.*compute the loss again"):
        y.backward()
    with pytest.raises(RuntimeError, match="assigned"):
        tg.grad(y, w)
    assert w.grad is None
    (w * w).sum().backward()
    close(w.grad, [10.0, 12.0])
    w.assign([1.0, 1.0])
    close(w.grad, [10.0, 12.0])
    w.zero_grad()
    assert w.grad is None


def test_assign_checks_and_copies() -> None:
    w = tg.Variable(np.array([1.0, 2.0]), name="w")
    with pytest.raises(ValueError, match=r"assign to 'w': expected shape \(2,\), received \(3,\)"):
        w.assign(np.ones(3))
    assert w.numpy().tolist() == [1.0, 2.0]
    source = np.array([3.0, 4.0], dtype="float32")
    assert w.assign(source) is w
    source[:] = 9
    assert w.numpy().tolist() == [3.0, 4.0] and w.dtype == np.float64


def test_trainable() -> None:
    w = tg.Variable([1.0], name="w")
    assert w.trainable and w.requires_grad and w.dtype == np.float32 and w.path == "w"
    y = w * 2
    w.trainable = False
    assert not w.requires_grad
    with pytest.raises(RuntimeError, match="trainable switch moved"):
        y.backward()
    w.trainable = True
    (w * 2).backward()
    close(w.grad, [2.0])
    assert not tg.Variable([1.0], trainable=False).requires_grad


def test_numpy_is_read_only() -> None:
    x = leaf([1.0, 2.0])
    for array in (x.numpy(), (x * x).numpy(), np.asarray(x), x.sum().numpy(), tg.Variable([1.0]).numpy()):
        assert isinstance(array, np.ndarray) and not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    np.array(x)[0] = 5
    assert x.numpy().tolist() == [1.0, 2.0]


def test_tensor_copies_its_data() -> None:
    source = np.array([1.0, 2.0])
    x, w = leaf(source), tg.Variable(source)
    y = (x * w).sum()
    source[:] = 7
    y.backward()
    close(x.grad, [1.0, 2.0])
    close(w.grad, [1.0, 2.0])


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda t, a: t + a,
    "rsub": lambda t, a: a - t,
    "mul": lambda t, a: t * a,
    "rmul": lambda t, a: a * t,
    "div": lambda t, a: t / a,
    "rdiv": lambda t, a: a / (t * t + 1),
    "pow": lambda t, a: (t * t + 1) ** a,
    "matmul": lambda t, a: t @ a,
    "rmatmul": lambda t, a: a @ t,
    "maximum": lambda t, a: ops.maximum(t, a),
    "where": lambda t, a: ops.where(a > 1.5, t, a * t),
    "where condition": lambda t, a: ops.where(a, t, 2 * t),
    "einsum": lambda t, a: ops.einsum("ij,jk->ik", t, a),
    "concatenate": lambda t, a: ops.concatenate([t, a], axis=0)[1:4],
    "logaddexp": lambda t, a: ops.logaddexp(a, t),
    "ufunc": lambda t, a: np.multiply(a, np.tanh(t)),
    "index": lambda t, a: t[a.astype(int) % 3, np.array([0, 1, 2])],
    "take": lambda t, a: ops.take(t, a[0].astype(int) % 3, axis=0),
    "cross-entropy": lambda t, a: ops.binary_crossentropy(a / 4, t, from_logits=True),
    "row": lambda t, a: t * a[0] + a[:, :1] * t,
    "0-d": lambda t, a: t * a[0, 0],
}


@given(st.lists(st.sampled_from(sorted(BINARY)), min_size=1, max_size=6), st.integers(0, 2**16))
def test_mutating_arrays_after_the_forward_pass_changes_nothing(names: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, constants = rng.uniform(0.5, 2, (3, 3)), [rng.uniform(1, 2, (3, 3)) for _ in names]

    def gradients(mutate: bool) -> tuple[Any, Any]:
        source, arrays = start.copy(), [c.copy() for c in constants]
        x = leaf(source)
        y = x
        for name, array in zip(names, arrays, strict=True):
            y = BINARY[name](y, array)
        if mutate:
            for array in [source, *arrays]:
                array[...] = -100
        g = tg.grad(y.sum(), x, create_graph=True)
        return np.asarray(g), np.asarray(tg.grad((g * g).sum(), x)) if g.requires_grad else None

    for plain, mutated in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_array_equal(plain, mutated)


def test_read_only_views_of_arrays_that_can_change() -> None:
    for view in (lambda a: np.broadcast_to(a, (3, 3)), lambda a: frozen(a[:1])):
        x, source = leaf(np.ones((3, 3))), np.array([1.0, 2.0, 3.0])
        y = (x * view(source)).sum()
        want = np.broadcast_to(view(source), (3, 3)).copy()
        source[:] = 7
        y.backward()
        close(x.grad, want)


def frozen(a: Any) -> Any:
    a.flags.writeable = False
    return a


def test_mutated_index_arrays_change_nothing() -> None:
    for use in (
        lambda t, i: t[i], lambda t, i: t[i, i], lambda t, i: ops.take(t, i, axis=0),
        lambda t, i: ops.segment_sum(t, i, 3) ** 2, lambda t, i: ops.take_along_axis(t, i[:, None], axis=0),
        lambda t, i: ops.sparse_categorical_crossentropy(i, t, from_logits=True),
        lambda t, i: ops.scatter(i[:, None], t[0], (3,)) ** 2,
    ):  # fmt: skip
        found = []
        for mutate in (False, True):
            x, index = leaf(np.arange(9.0).reshape(3, 3)), np.array([2, 1, 1])
            y = use(x, index).sum()
            if mutate:
                index[:] = 0
            y.backward()
            found.append(x.grad)
        np.testing.assert_array_equal(*found)


# --- kinks and infinities -----------------------------------------------------------------------------


def gradient_at(f: Callable[[Any], Any], value: Any) -> Any:
    x = leaf(value)
    f(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("f", "x", "want"),
    [
        (ops.abs, [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]),
        (ops.relu, [-2.0, 0.0, 2.0], [0.0, 0.0, 1.0]),
        (ops.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (ops.min, [1.0, 1.0, 3.0], [0.5, 0.5, 0.0]),
        (lambda x: ops.maximum(x, 0.0), [-1.0, 0.0, 1.0], [0.0, 0.5, 1.0]),
        (lambda x: ops.minimum(x, 0.0), [-1.0, 0.0, 1.0], [1.0, 0.5, 0.0]),
        (lambda x: ops.maximum(x, x), [1.0], [1.0]),
        (lambda x: ops.clip(x, 0.0, 1.0), [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
        (ops.sign, [-1.0, 2.0], None),
        (ops.norm, [0.0, 0.0], [0.0, 0.0]),
        (ops.norm, [3.0, 4.0], [0.6, 0.8]),
        (lambda x: x**2, [0.0, 3.0], [0.0, 6.0]),
        (lambda x: x**0, [0.0, 3.0], [0.0, 0.0]),
        (lambda x: x**1, [0.0, -3.0], [1.0, 1.0]),
        (lambda x: x**3, [0.0, -2.0], [0.0, 12.0]),
        (lambda x: 0.0**x, [1.0, 2.0], [0.0, 0.0]),
    ],
)
def test_kinks(f: Any, x: Any, want: Any) -> None:
    if want is None:
        assert not f(leaf(x)).requires_grad
    else:
        close(gradient_at(f, x), want)


GUARDED: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "sqrt": (lambda x: ops.where(x > 0, ops.sqrt(x), 0.0), [0.0, 4.0]),
    "sqrt of negative": (lambda x: ops.where(x > 0, ops.sqrt(x), x), [-1.0, 4.0]),
    "rsqrt": (lambda x: ops.where(x > 0, ops.rsqrt(x), 0.0), [0.0, 4.0]),
    "log": (lambda x: ops.where(x > 0, ops.log(x), 0.0), [0.0, 2.0]),
    "log2": (lambda x: ops.where(x > 0, ops.log2(x), 0.0), [0.0, 2.0]),
    "log10": (lambda x: ops.where(x > 0, ops.log10(x), 0.0), [0.0, 2.0]),
    "log1p": (lambda x: ops.where(x > -1, ops.log1p(x), 0.0), [-1.0, 2.0]),
    "reciprocal": (lambda x: ops.where(x != 0, ops.reciprocal(x), 0.0), [0.0, 2.0]),
    "1 / x": (lambda x: ops.where(x != 0, 1 / x, 0.0), [0.0, 2.0]),
    "x / x": (lambda x: ops.where(x != 0, x / x, 0.0), [0.0, 2.0]),
    "power": (lambda x: ops.where(x > 0, x**0.5, 0.0), [0.0, 4.0]),
    "negative power": (lambda x: ops.where(x != 0, x**-1.0, 0.0), [0.0, 4.0]),
    "x ** x": (lambda x: ops.where(x > 0, x**x, 0.0), [0.0, 2.0]),
    "arccos": (lambda x: ops.where(abs(x) < 1, ops.arccos(x), 0.0), [1.0, 0.5]),
    "arcsin": (lambda x: ops.where(abs(x) < 1, ops.arcsin(x), 0.0), [-1.0, 0.5]),
    "arctanh": (lambda x: ops.where(abs(x) < 1, ops.arctanh(x), 0.0), [1.0, 0.5]),
    "exp overflow": (lambda x: ops.where(x < 100, ops.exp(x), 0.0), [1e4, 1.0]),
    "expm1 overflow": (lambda x: ops.where(x < 100, ops.expm1(x), 0.0), [1e4, 1.0]),
    "exp of exp": (lambda x: ops.where(x < 1, ops.exp(ops.exp(x)), 0.0), [1e3, 0.5]),
    "sinh overflow": (lambda x: ops.where(x < 100, ops.sinh(x), 0.0), [1e4, 1.0]),
    "cosh overflow": (lambda x: ops.where(x < 100, ops.cosh(x), 0.0), [1e4, 1.0]),
    "sin of inf": (lambda x: ops.where(x < 100, ops.sin(ops.exp(x)), 0.0), [1e4, 1.0]),
    "cos of inf": (lambda x: ops.where(x < 100, ops.cos(ops.exp(x)), 0.0), [1e4, 1.0]),
    "mod by 0": (lambda x: ops.where(x != 0, ops.mod(5.0, x), 0.0), [0.0, 2.0]),
    "tan overflow": (lambda x: ops.where(x < 10, ops.tan(ops.exp(x)), 0.0), [1e4, 0.5]),
    "sqrt of square": (lambda x: ops.where(x != 0, ops.sqrt(x * x), 0.0), [0.0, 2.0]),
}


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_where_keeps_nan_of_the_other_branch_out(name: str) -> None:
    """The element in the branch not taken has gradient 0 (or the taken branch's), the other one its own."""
    f, x = GUARDED[name]
    got, alone = gradient_at(f, x), gradient_at(f, x[1:])
    assert np.isfinite(got).all() and got[1] == alone[0]
    assert got[0] == (1.0 if name == "sqrt of negative" else 0.0)
    if name in ("reciprocal", "rsqrt", "tan overflow"):
        return  # their second derivative multiplies 0 by the infinite y
    t = leaf(x)
    g = tg.grad(f(t).sum(), t, create_graph=True)
    second = np.zeros(2) if not g.requires_grad else np.asarray(tg.grad(g.sum(), t))
    assert np.isfinite(second).all()


def test_x_over_its_norm_at_zero() -> None:
    def unit(x: Any) -> Any:
        n = ops.norm(x)
        return ops.where(n > 0, x / n, 0.0)

    assert gradient_at(unit, [0.0, 0.0]) == [0.0, 0.0]
    close(gradient_at(lambda x: unit(x) * np.array([1.0, 0.0]), [3.0, 4.0]), [0.128, -0.096])


# --- size ---------------------------------------------------------------------------------------------


def test_a_million_ops_at_the_default_recursion_limit() -> None:
    assert sys.getrecursionlimit() <= 5000
    length, x = 1_000_000, leaf(1.0)
    y = x
    for _ in range(length // 2):
        y = y * 1.0 + 1e-6
    y.backward()
    assert x.grad == 1.0
    z = x
    for _ in range(length // 10):
        z = -z
    ref = weakref.ref(z._node)
    del z, y  # freeing must not recurse either: an unwalked graph and a walked one
    assert ref() is None


def train(steps: int) -> Any:
    rng = np.random.default_rng(0)
    w, u = tg.Variable(rng.standard_normal((4, 4)), name="w"), tg.Variable(np.zeros(4), name="u")
    for _ in range(steps):
        h = ops.zeros((2, 4), "float64")
        for x in rng.standard_normal((3, 2, 4)):
            a, b = ops.split(ops.concatenate([h @ w + u, tg.tensor(x)], axis=1), 2, axis=1)
            h = ops.tanh(a + b)
        loss = (h * h).mean()
        node = weakref.ref(loss._node)
        loss.backward()
        for v in (w, u):
            v.assign(v.numpy() - 0.1 * v.grad)
            v.zero_grad()
        del a, b, h, loss
        assert node() is None
    return w


def test_reference_counts_alone_free_the_graph() -> None:
    train(1)
    gc.collect()
    gc.disable()
    try:
        train(1000)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_higher_order_graphs_are_freed_by_reference_counts() -> None:
    def once() -> Any:
        x = leaf([1.0, 2.0])
        y = (ops.tanh(x) * x).sum()
        g = tg.grad(y, x, create_graph=True)
        tg.grad((g * g).sum(), x)
        tg.hvp(lambda t: (t**3).sum(), np.ones(2), np.ones(2))
        tg.jacobian(lambda t: t * t)(np.ones(2))
        stable_log1pexp(x).sum().backward()
        return weakref.ref(g._node), weakref.ref(y._node)

    once()
    gc.collect()
    gc.disable()
    try:
        assert all(r() is None for r in once())
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_backward_drops_what_it_saved() -> None:
    x = leaf(np.ones(1000))
    h = ops.exp(x)
    y = (h * h).sum()
    inner = weakref.ref((h * 2)._node)
    assert inner() is None
    y.backward()
    assert y._node.inputs is None and y._node.saved is None and h._node.saved is None


def test_only_the_way_to_the_targets_is_walked() -> None:
    called = []

    @tg.custom_gradient
    def spy(x: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            called.append(1)
            return upstream

        return x * 1, grad

    x, w = leaf(2.0), leaf(3.0)
    y = spy(x) * w
    tg.grad(y, w, retain_graph=True)
    assert not called
    tg.grad(y, x)
    assert called == [1]


# --- against torch: random graphs ---------------------------------------------------------------------

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "tanh": (ops.tanh, lambda torch, a: torch.tanh(a)),
    "sigmoid": (ops.sigmoid, lambda torch, a: torch.sigmoid(a)),
    "softplus": (ops.softplus, lambda torch, a: torch.nn.functional.softplus(a)),
    "sin": (ops.sin, lambda torch, a: torch.sin(a)),
    "exp": (lambda a: ops.exp(ops.sin(a)), lambda torch, a: torch.exp(torch.sin(a))),
    "softmax": (ops.softmax, lambda torch, a: torch.softmax(a, -1)),
    "transpose": (lambda a: a.T, lambda torch, a: a.T),
    "mean": (lambda a: a - a.mean(axis=0), lambda torch, a: a - a.mean(0)),
    "logsumexp": (lambda a: ops.logsumexp(a, axis=1, keepdims=True) + a, lambda torch, a: a.logsumexp(1, True) + a),
    "flip": (lambda a: ops.flip(a, 0), lambda torch, a: torch.flip(a, (0,))),
    "index": (lambda a: a[[0, 2, 2]], lambda torch, a: a[[0, 2, 2]]),
    "cumsum": (lambda a: ops.cumsum(a, axis=1), lambda torch, a: torch.cumsum(a, 1)),
    "reshape": (lambda a: a.reshape(9)[::-1].reshape(3, 3), lambda torch, a: a.reshape(9).flip(0).reshape(3, 3)),
    "norm": (lambda a: a / (1 + ops.norm(a)), lambda torch, a: a / (1 + a.norm())),
    "square": (lambda a: 0.1 * a**2, lambda torch, a: 0.1 * a**2),
}
PAIRS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any, Any], Any]]] = {
    "add": (lambda a, b: a + b, lambda torch, a, b: a + b),
    "subtract": (lambda a, b: a - b[0], lambda torch, a, b: a - b[0]),
    "multiply": (lambda a, b: a * b[:, :1], lambda torch, a, b: a * b[:, :1]),
    "divide": (lambda a, b: a / (1.5 + b * b), lambda torch, a, b: a / (1.5 + b * b)),
    "matmul": (lambda a, b: a @ b, lambda torch, a, b: a @ b),
    "einsum": (lambda a, b: ops.einsum("ij,kj->ik", a, b), lambda torch, a, b: torch.einsum("ij,kj->ik", a, b)),
    "where": (lambda a, b: ops.where(a > b, a, 2 * b), lambda torch, a, b: torch.where(a > b, a, 2 * b)),
    "concatenate": (
        lambda a, b: ops.concatenate([a, b], axis=1)[:, 1:4],
        lambda torch, a, b: torch.cat([a, b], 1)[:, 1:4],
    ),
    "stack": (lambda a, b: ops.stack([a, b], 1).sum(axis=1), lambda torch, a, b: torch.stack([a, b], 1).sum(1)),
    "split": (
        lambda a, b: ops.split(ops.concatenate([a, b], 0), 2)[1] * ops.unstack(a, axis=0)[2],
        lambda torch, a, b: torch.cat([a, b], 0).chunk(2)[1] * a.unbind(0)[2],
    ),
    "outer": (lambda a, b: ops.outer(a[0], b[:, 1]), lambda torch, a, b: torch.outer(a[0], b[:, 1])),
}
step = st.one_of(
    st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 20)),
    st.tuples(st.sampled_from(sorted(PAIRS)), st.integers(0, 20), st.integers(0, 20)),
)


@given(st.lists(step, min_size=1, max_size=12), st.integers(0, 2**16))
def test_random_graphs_against_torch(program: list[Any], seed: int) -> None:
    """Every step takes any earlier values; the last one is summed. Value, gradient and the gradient of its square."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    starts = [rng.standard_normal((3, 3)) for _ in range(2)]

    def build(values: list[Any], take: Callable[[str], Any]) -> Any:
        for name, *places in program:
            values.append(take(name)(*[values[p % len(values)] for p in places]))
        return values[-1].sum() + 0 * (values[0].sum() + values[1].sum())

    ours = [leaf(s) for s in starts]
    theirs = [torch.tensor(s, requires_grad=True) for s in starts]
    y = build(list(ours), lambda name: (UNARY.get(name) or PAIRS[name])[0])
    z = build(list(theirs), lambda name: lambda *xs: (UNARY.get(name) or PAIRS[name])[1](torch, *xs))
    scale = max(1.0, abs(z.item()))
    np.testing.assert_allclose(y.item(), z.item(), rtol=1e-10, atol=1e-10 * scale)
    first = tg.grad(y, ours, create_graph=True)
    reference = torch.autograd.grad(z, theirs, create_graph=True)
    compare(first, reference)
    second = tg.grad(sum((g * g).sum() for g in first) + 0 * y, ours)
    compare(second, torch.autograd.grad(sum((g * g).sum() for g in reference) + 0 * z, theirs))


def compare(got: Any, want: Any) -> None:
    want = [w.detach().numpy() for w in want]
    scale = max(float(np.abs(w).max()) for w in want)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(g), w, rtol=1e-10, atol=1e-10 * max(scale, 1.0))


# --- errors -------------------------------------------------------------------------------------------


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
    ("call", "error", "message"),
    [
        (lambda a, b: a + b, ValueError, r"add: .*\(2, 3\) float64, \(4,\) float64"),
        (lambda a, b: a @ b, ValueError, r"matmul: .*\(2, 3\) float64, \(4,\) float64"),
        (lambda a, b: a.reshape(4), ValueError, r"reshape: .*\(2, 3\) float64"),
        (lambda a, b: a[5], IndexError, r"getitem: .*5.*\(2, 3\)"),
        (lambda a, b: a[:, np.array([0, 7])], IndexError, r"getitem: .*7.*\(2, 3\)"),
        (lambda a, b: ops.concatenate([a, b]), ValueError, r"concatenate: .*\(2, 3\) float64, \(4,\) float64"),
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
        with pytest.raises(FloatingPointError, match=r"infinity in the forward pass of op 'log', .*shape \(2,\)"):
            ops.log(zero)
        with pytest.raises(FloatingPointError, match="NaN in the forward pass of op 'sqrt'"):
            ops.sqrt(zero - 1)
        with pytest.raises(FloatingPointError, match="NaN in the forward pass of op 'divide'"):
            zero / zero
        with pytest.raises(FloatingPointError, match="forward pass of op 'sum'"):
            tg.tensor([np.inf], requires_grad=True).sum()
        with switched(scope=Scope("lstm", 3)):
            y = ops.sqrt(zero).sum()
        with pytest.raises(FloatingPointError, match=r"infinity in the backward pass of op 'sqrt' \(layer 'lstm', step 3\)"):
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


def test_tensors_survive_copying_by_identity_of_hash() -> None:
    x = leaf([1.0, 2.0])
    assert hash(x) == hash(x) and x in {x} and copy.copy([x])[0] is x
