"""A wrong gradient after a change of its data is impossible: assigned, mutated, read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaves import close, leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops


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


def test_assign_add_and_sub() -> None:
    w = tg.Variable(np.array([1.0, 2.0]), name="w")
    before = w.numpy()
    assert w.assign_add([0.5, 1.0]) is w and w.tolist() == [1.5, 3.0] and w.dtype == np.float64
    assert w.assign_sub(tg.tensor([1.0, 1.0])) is w and w.tolist() == [0.5, 2.0] and before.tolist() == [1, 2]
    count = tg.Variable(0, trainable=False, dtype="int32")
    assert count.assign_add(2).dtype == np.int32 and count.assign_sub(1).item() == 1
    for change in (w.assign_add, w.assign_sub):
        with pytest.raises(ValueError, match=r"assign to 'w': expected shape \(2,\), received \(3, 2\)"):
            change(np.ones((3, 2)))
    assert w.value is w and w.tolist() == [0.5, 2.0]
    y = (w * w).sum()
    w.assign_add(w)
    with pytest.raises(RuntimeError, match="w was assigned"):
        y.backward()


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
    "pow": lambda t, a: (t * t / (t * t + 1) + 1) ** a,
    "matmul": lambda t, a: ops.tanh(t @ a),
    "rmatmul": lambda t, a: ops.tanh(a @ t),
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
        lambda t, i: t[i],
        lambda t, i: t[i, i],
        lambda t, i: ops.take(t, i, axis=0),
        lambda t, i: ops.segment_sum(t, i, 3) ** 2,
        lambda t, i: ops.take_along_axis(t, i[:, None], axis=0),
        lambda t, i: ops.sparse_categorical_crossentropy(i, t, from_logits=True),
        lambda t, i: ops.scatter(i[:, None], t[0], (3,)) ** 2,
    ):
        found = []
        for mutate in (False, True):
            x, index = leaf(np.arange(9.0).reshape(3, 3)), np.array([2, 1, 1])
            y = use(x, index).sum()
            if mutate:
                index[:] = 0
            y.backward()
            found.append(x.grad)
        np.testing.assert_array_equal(*found)


def test_item_assignment_says_what_to_do() -> None:
    t = tg.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="immutable.*ops.where"):
        t[0] = 5.0
    assert t.tolist() == [1.0, 2.0]
