"""Functions of functions: value_and_grad, jacobian, hvp, stop_gradient, custom gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops

# --- functions of functions -------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "weights", [{"a": np.ones(2)}, [np.ones(2), np.ones(3)], (tg.Variable([1.0]), tg.Variable([1.0]))]
)
def test_value_and_grad_names_arguments_that_hold_several_tensors(weights: Any) -> None:
    kind = type(weights).__name__
    with pytest.raises(
        TypeError, match=f"argument 1 is a {kind} of tensors; give each as an argument of its"
    ):
        tg.value_and_grad(lambda x, w: x.sum(), argnums=-1)(np.ones(2), weights)


def test_value_and_grad_names_arguments_that_are_not_there() -> None:
    for argnums, given in ((3, (np.ones(2),)), (-2, (np.ones(2),)), (0, ())):
        with pytest.raises(TypeError, match=f"argnums has {argnums}, received {len(given)} arguments"):
            tg.value_and_grad(lambda x: x.sum(), argnums=argnums)(*given)
    rows = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]  # are a matrix
    close(tg.value_and_grad(lambda x: (x * x).sum())(rows)[1], 2 * np.array(rows))


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


# --- custom gradients -------------------------------------------------------------------------------


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
