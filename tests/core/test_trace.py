"""`trace()`: call paths, values and names of variables, and nothing of it outside."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops


def cell(x: Any, h: Any) -> Any:
    z = x + h
    return ops.tanh(z)


def run(steps: int = 3) -> tuple[Any, Any]:
    x = tg.tensor(np.ones(2), requires_grad=True)
    h = x
    for _ in range(steps):
        h = cell(x, h)
    return h, h.sum()


def test_paths_values_and_names() -> None:
    for _ in range(2):
        with tg.trace():
            h, loss = run()
        first, second = h._node.trace, loss._node.trace
        assert [code.co_name for code, _ in first.path[:2]] == ["cell", "run"]
        assert second.path[0][0].co_name == "run"
        assert first.names == ("h",)  # what a function returned, seen in the one that called it
        assert np.array_equal(first.value, h.numpy())
        assert not any("tinygrad_rnn/core" in code.co_filename for code, _ in first.path)


def test_a_generator_has_the_path_of_whoever_asks_it() -> None:
    def powers(x: Any) -> Any:
        y = x
        while True:
            y = y * x
            yield y

    def third(made: Any) -> Any:
        return next(made)

    with tg.trace():
        x = tg.tensor(np.ones(2), requires_grad=True)
        made = powers(x)
        first, second, cube = next(made), next(made), third(made)
    paths = [[(code.co_name, at) for code, at in y._node.trace.path[:2]] for y in (first, second, cube)]
    assert [name for name, _ in paths[0]] == ["powers", "test_a_generator_has_the_path_of_whoever_asks_it"]
    assert paths[0][0] == paths[1][0] == paths[2][0] and paths[0][1] != paths[1][1]
    assert paths[2][1][0] == "third" and first._node.trace.names == ("y",)


def test_composite_functions_say_which_of_their_ops_it_was() -> None:
    with tg.trace():
        x = tg.tensor(np.ones((2, 3)), requires_grad=True)
        y = ops.mean(x, axis=0)
        z = y + x
    total = y._node.inputs[0]
    assert total.trace.path == y._node.trace.path and total.trace.inner != y._node.trace.inner
    assert z._node.trace.inner == ()


def test_nothing_is_kept_outside() -> None:
    with tg.trace():
        pass
    h, _ = run()
    assert not hasattr(h._node, "trace")
    assert tg.config.mode().monitor is None


def test_several_outputs_recurrences_and_custom_gradients() -> None:
    @tg.custom_gradient
    def double(x: Any) -> Any:
        return 2 * x, lambda *_, upstream=None: 2 * upstream

    with tg.trace():
        x = tg.tensor(np.ones((1, 2, 2)), requires_grad=True)
        left, _ = ops.split(x, 2, axis=-1)
        assert left._node.parent.trace.value[0].shape == (1, 2, 1)
        assert double(x)._node.trace.value.sum() == 8
        with tg.derived():
            y, _ = tg.scan(lambda x_t, s, _: (x_t + s[0],) * 2, x, [np.zeros((1, 2))])
        assert y._node.op.name == "stack"  # unrolled


def test_reference_counting_frees_what_was_traced() -> None:
    gc.disable()
    try:
        with tg.trace():
            h, loss = run()
        node = weakref.ref(h._node)
        del h, loss
        assert node() is None
    finally:
        gc.enable()


def test_traced_gradients_are_the_same() -> None:
    grads = []
    for context in (tg.enable_grad, tg.trace):
        with context():
            x = tg.Variable(np.linspace(0.1, 1, 4))
            loss = cell(x, x * x).sum()
        loss.backward()
        grads.append(x.grad.tobytes())
    assert grads[0] == grads[1]


def test_a_backward_pass_keeps_its_order_gradients_and_parts() -> None:
    """Adding the parts in the order of the visits gives every gradient bit for bit."""
    w = tg.Variable(np.random.default_rng(0).normal(size=(3, 3)), name="w")
    for _ in range(2):
        w.zero_grad()
        with tg.trace():
            h = tg.tensor(np.ones((2, 3)), requires_grad=True)
            for _ in range(4):
                left, right = ops.split(ops.concatenate([h @ w, h * h], axis=-1), 2, axis=-1)
                h = ops.tanh(left) + right * 0.1
            loss = (h * h).sum()
            loss.backward(retain_graph=True)
        seen, stack = {loss._node}, [loss._node]
        while stack:
            for parent in stack.pop().inputs:
                if parent is not None and parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
        visited = sorted((n for n in seen if n.op.name != "port"), key=lambda n: n.trace.order)
        assert [n.trace.order for n in visited] == list(range(1, len(visited) + 1))
        total: dict[Any, Any] = {loss._node: np.ones(())}
        for node in visited:
            arrived = node.trace.grad
            if isinstance(arrived, list):
                total[node] = [total[p] for p in sorted(seen, key=lambda n: n.seq) if p.inputs == (node,)]
                assert all(np.array_equal(a, b) for a, b in zip(arrived, total[node], strict=True))
            else:
                assert np.array_equal(total[node], arrived)
            for parent, part in zip(node.inputs, node.trace.parts, strict=True):
                if part is not None:
                    total[parent] = total[parent] + part if parent in total else part
        assert np.array_equal(w.grad, total[w._node]) and np.array_equal(w._node.trace.value, w.numpy())


def test_many_parts_are_kept_as_norms(monkeypatch: Any) -> None:
    monkeypatch.setattr("tinygrad_rnn.core.trace.MOST_PARTS", 0)
    x = tg.tensor(np.array([3.0, 4.0]), requires_grad=True)
    with tg.trace():
        y = (x * np.array([1.0, 1.0])).sum()
        y.backward(retain_graph=True)
    assert y._node.inputs[0].trace.parts == [np.sqrt(2.0), None]
