"""`check_gradients` leaves nothing behind: values, gradients, graphs, random streams, switches, states."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from compare.networks import Rnn

import tinygrad_rnn as tg
from tinygrad_rnn import config, layers, ops
from tinygrad_rnn.compare import check_gradients
from tinygrad_rnn.core.op import OPS


def footprint(tensors: Any) -> list[Any]:
    stream = config.generator(None)
    return [
        [(id(t._data), t._data.copy(), t._node, id(t.grad), t.grad.copy()) for t in tensors],
        stream, stream.bit_generator.state, np.random.get_state()[1], random.getstate(), np.geterr(),
        [(op.name, op.strict, op.fwd, op.vjps) for op in OPS.values()], config.mode(),
    ]  # fmt: skip


def assert_same(before: Any, after: Any) -> None:
    if isinstance(before, (list, tuple)):
        assert len(before) == len(after)
        for b, a in zip(before, after, strict=True):
            assert_same(b, a)
    elif isinstance(before, np.ndarray):
        assert before.tobytes() == after.tobytes()
    else:
        assert before is after or before == after


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fail_at", [None, 1, 2, 4, 9, 25])
@pytest.mark.parametrize("order", [1, 2])
def test_everything_is_restored(dtype: Any, fail_at: int | None, order: int) -> None:
    rnn = Rnn(3, steps=4, dtype=dtype)
    leaf = tg.tensor(np.array([0.3, 1.2], dtype), requires_grad=True, name="leaf")
    recorded = rnn.loss() + (leaf * leaf).sum()
    recorded.backward(retain_graph=True)
    tensors = [*rnn.params.values(), leaf]
    before = footprint(tensors)
    calls = 0

    def loss() -> Any:
        nonlocal calls
        calls += 1
        np.seterr(under="warn" if before[5]["under"] == "ignore" else "ignore")
        np.random.random(), random.random(), config.generator(None).random()
        if fail_at is not None and calls >= fail_at:  # complex steps that raise give way to real ones
            raise KeyError("on the way")
        if tensors[0].grad is not None:
            tensors[0].grad[...] = 7.0
        tensors[1].zero_grad()
        return rnn.loss() + (leaf * leaf).sum()

    if fail_at is None:
        assert check_gradients(loss, tensors, samples=3, order=order)
    else:
        with pytest.raises(KeyError):
            check_gradients(loss, tensors, samples=3, order=order)
    assert_same(before, footprint(tensors))
    recorded.backward()  # a graph recorded before is still valid


def test_states_and_streams_of_a_layer_are_restored() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    layer = layers.LSTM(4, stateful=True)
    layer(x)
    layer(x)
    again = [np.array(s) for s in layer.states]
    report = check_gradients(lambda: ops.square(layer(x)).sum(), layer, samples=4)
    assert all(row.verdict == "ok" for row in report.rows), str(report)
    assert_same(again, [np.array(s) for s in layer.states])


def test_dropout_is_named() -> None:
    layer = layers.LSTM(4, dropout=0.5)
    x = np.ones((2, 5, 3), np.float32)
    layer(x)
    before = [v.state for v in vars(layer.cell).values() if isinstance(v, config.SeedGenerator)]
    with pytest.raises(ValueError, match="not deterministic.*[dD]ropout"):
        check_gradients(lambda: ops.square(layer(x, training=True)).sum(), layer)
    after = [v.state for v in vars(layer.cell).values() if isinstance(v, config.SeedGenerator)]
    assert before == after
