"""Deep graphs do not recurse, and reference counts alone free them."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
from leaves import leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops


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


@tg.custom_gradient
def cube(x: Any) -> Any:
    return x**3, lambda *args, upstream=None: upstream * 3 * args[0] ** 2


def test_higher_order_graphs_are_freed_by_reference_counts() -> None:
    def once() -> Any:
        x = leaf([1.0, 2.0])
        y = (ops.tanh(x) * x).sum()
        g = tg.grad(y, x, create_graph=True)
        tg.grad((g * g).sum(), x)
        tg.hvp(lambda t: (t**3).sum(), np.ones(2), np.ones(2))
        tg.jacobian(lambda t: t * t)(np.ones(2))
        cube(x).sum().backward()
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
