"""Denormal numbers become 0 in recurrences, backward passes and updates of weights, and there alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import denormals, layers

pytestmark = pytest.mark.skipif(not tg.set_flush_denormal(True), reason="the machine flushes no denormals")

TINY = np.finfo(np.float32).tiny
HALF = np.float32(0.5)  # of TINY is denormal


@pytest.fixture(autouse=True)
def _on_again() -> Iterator[None]:
    yield
    tg.set_flush_denormal(True)


def denormal(array: Any) -> int:
    """How many elements are denormal."""
    values = np.abs(np.asarray(array))
    return int(((values > 0) & (values < np.finfo(values.dtype).tiny)).sum())


def kept() -> bool:
    """Whether this thread keeps denormal numbers."""
    return bool((np.full(40, TINY, np.float32) * HALF).min() > 0)


def vanishing(derive: bool, dtype: Any = np.float32, **options: Any) -> Any:
    """The gradients of a sum of last outputs in all inputs of a long sequence, and in the weights."""
    tg.utils.set_random_seed(0)
    layer = layers.LSTM(4, dtype=np.dtype(dtype).name, **options)
    x = tg.tensor(np.random.default_rng(0).standard_normal((2, 600, 3)).astype(dtype), requires_grad=True)
    with tg.derived() if derive else tg.unrolled():
        return tg.grad(layer(x).sum(), [x, *layer.trainable_weights])


@pytest.mark.parametrize("derive", [True, False])
@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"checkpoint": "sqrt"}])
def test_gradients_that_vanish_become_zero(derive: bool, options: dict[str, Any]) -> None:
    flushed = vanishing(derive, **options)
    tg.set_flush_denormal(False)
    as_numpy = vanishing(derive, **options)
    assert denormal(as_numpy[0]) > 20 and denormal(flushed[0]) == 0
    np.testing.assert_allclose(flushed[0], as_numpy[0], rtol=1e-5, atol=10 * TINY)
    for a, b in zip(flushed[1:], as_numpy[1:], strict=True):
        assert np.array_equal(a, b)  # what is added is far too small to be seen


@pytest.mark.parametrize("derive", [True, False])
def test_states_that_vanish_become_zero(derive: bool) -> None:
    """As they do behind the end of a sequence, in padding."""

    def decay(x: Any, states: Any, constants: Any) -> Any:
        h = 0.5 * states[0] + x
        return h, [h]

    padding = np.zeros((1, 200, 40), np.float32)
    y, _ = tg.scan(decay, padding, [np.ones((1, 40), np.float32)], derive=derive)
    assert y.numpy()[0, 120].min() > 0 and denormal(y) == 0 and not np.any(y[0, 130:])


def test_slots_that_vanish_become_zero() -> None:
    """Those of Adam do so in a thousand steps, for words that do not come."""
    w = tg.Variable(np.ones(40, np.float32))
    optimizer = tg.optimizers.Adam()
    for gradient in (1.0, *[0.0] * 1000):
        optimizer.apply([np.full(40, gradient, np.float32)], [w])
    assert denormal(optimizer._arrays[id(w)]["m"]) == 0 and optimizer._arrays[id(w)]["v"].min() > 0


def test_training_is_the_same() -> None:
    """Also in recorded batches; what cannot be done here changes nothing."""
    x = np.random.default_rng(0).standard_normal((8, 300, 3))
    weights = []
    for flush in (True, False):
        tg.set_flush_denormal(flush)
        tg.utils.set_random_seed(1)
        model = tg.Sequential([layers.GRU(4, return_sequences=True), layers.LSTM(4), layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(x, np.ones((8, 1)), batch_size=2, epochs=3, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_recorded_batches_flush() -> None:
    """Seen by the gradients of words, each of which stands at one step."""
    seen = []

    class Looking(tg.optimizers.Optimizer):
        def update(self, w: Any, g: Any, lr: float, t: int) -> Any:
            seen.append(g)
            return w.copy()

    found = []
    for flush in (True, False):
        tg.set_flush_denormal(flush)
        tg.utils.set_random_seed(1)
        model = tg.Sequential([layers.Embedding(600, 4), layers.LSTM(4), layers.Dense(1)])
        model.compile(Looking(), "mse")
        for _ in range(4):
            seen.clear()
            model.train_on_batch(np.arange(600)[None], np.ones((1, 1)))
        assert next(iter(model._recordings.made.values())).runs > 0
        found.append(denormal(seen[0]))
    assert found[0] == 0 < found[1]


def test_where_it_is_not_possible_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denormals, "_functions", lambda: None)
    assert tg.set_flush_denormal(True) is False
    assert denormal(vanishing(True)[0]) > 20


def test_nothing_else_changes() -> None:
    """Not this thread, when a block is over, and not another one meanwhile."""
    begun, found = threading.Event(), []
    other = threading.Thread(target=lambda: found.append(begun.wait(10) and kept()))
    other.start()
    with denormals.flushed():
        with denormals.flushed():
            assert not kept()
        assert not kept()
        begun.set()
        other.join()
    assert kept() and found == [True]
    vanishing(True)
    assert kept()


def test_an_error_in_a_backward_pass_puts_it_back() -> None:
    @tg.custom_gradient
    def broken(x: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            assert not kept()
            raise ZeroDivisionError

        return x * 2.0, grad

    x = tg.tensor([1.0], requires_grad=True)
    with pytest.raises(ZeroDivisionError):
        broken(x).sum().backward()
    assert kept()
