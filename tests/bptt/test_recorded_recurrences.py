"""Recurrences in a recorded batch give the bits of calls, and nothing that a later batch writes over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from leaves import same_bits

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt.recorded.recording import Recorder, Recording
from tinygrad_rnn.config import switched
from tinygrad_rnn.core.autodiff import leaf_gradients
from tinygrad_rnn.core.tensor import Tensor

BATCH, STEPS, UNITS = 3, 4, 5
RNG = np.random.default_rng(0)
X = [RNG.standard_normal((BATCH, STEPS, UNITS)).astype("float32") for _ in range(3)]
LABELS = [RNG.integers(0, UNITS, (BATCH, STEPS)) for _ in range(3)]


class Network:
    """Recurrences and a read-out, and of what they compute the results that are asked for."""

    def __init__(self, recurrences: list[Any], results: Callable[[Any, Any], Any] | None = None) -> None:
        self.recurrences, self.dense = recurrences, layers.Dense(UNITS)
        self.results = results or (lambda y, logits: [logits])
        self(Tensor(X[0], None), Tensor(LABELS[0], None))
        self.variables = [w for layer in (*recurrences, self.dense) for w in layer.trainable_weights]

    def __call__(self, x: Any, labels: Any) -> list[Any]:
        for layer in self.recurrences:
            x = layer(x)
        logits = self.dense(x)
        loss = ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        return [loss, *self.results(x, logits)]

    def recording(self) -> Recording:
        recorder = Recorder([X[0], LABELS[0]], self.variables)
        with switched(monitor=recorder, derive=True):
            loss, *results = self(Tensor(X[0], None), Tensor(LABELS[0], None))
        return recorder.finish(loss, results)

    def check(self) -> None:
        """A recording gives what calling gives, and keeps it."""
        with switched(derive=True):
            self(Tensor(X[0], None), Tensor(LABELS[0], None))  # it is traced, and from now on known
        recording, pairs = self.recording(), []
        for x, labels in [*zip(X, LABELS, strict=True)] * 2:
            values, gradients = recording([x, labels])
            with switched(derive=True):
                results = self(Tensor(x, None), Tensor(labels, None))
                want = leaf_gradients(results[0])
            assert gradients.keys() == want.keys()
            pairs += [(v, r._data) for v, r in zip(values, results, strict=True)]
            pairs += [(gradients[node], g) for node, g in want.items()]
        assert all(same_bits(a, b) for a, b in pairs)  # also those of earlier runs


def recurrence(make: Any = layers.SimpleRNN, **options: Any) -> Any:
    return make(UNITS, return_sequences=True, **options)


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_recurrences_behind_each_other(make: Any, count: int) -> None:
    Network([recurrence(make) for _ in range(count)]).check()


def test_both_directions() -> None:
    Network([layers.Bidirectional(recurrence(layers.GRU))] * 1).check()


@pytest.mark.parametrize(
    "results",
    [
        lambda y, logits: [y],
        lambda y, logits: [logits, y[:, -1]],
        lambda y, logits: [ops.reshape(ops.swapaxes(y, 0, 1), (STEPS * BATCH, UNITS))],
        lambda y, logits: [ops.split(y, 5, axis=2)[2]],
    ],
    ids=["outputs", "last", "reshaped", "split"],
)
def test_outputs_that_leave_the_batch(results: Any) -> None:
    Network([recurrence(), recurrence()], results).check()


def test_the_gradient_of_a_sequence_leaves_the_batch() -> None:
    layer, x = recurrence(), tg.Variable(X[0])
    layer(x)
    recorder = Recorder([X[1]], [x])

    def loss_of(scale: Any) -> Any:
        return ops.sum(layer(x) * scale)

    with switched(derive=True):
        loss_of(X[1])
        with switched(monitor=recorder):
            loss = loss_of(Tensor(X[1], None))
    recording = recorder.finish(loss, [])
    found = [recording([scale])[1][x._node] for scale in X]
    with switched(derive=True):
        want = [leaf_gradients(loss_of(scale))[x._node] for scale in X]
    assert all(same_bits(a, b) for a, b in zip(found, want, strict=True))


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU])
@pytest.mark.parametrize(("units", "classes"), [(3, 1), (1, 2), (7, 1)])
@pytest.mark.parametrize("sequences", [False, True])
def test_products_with_vectors_are_rounded_as_in_a_call(
    make: Any, units: int, classes: int, sequences: bool
) -> None:
    """BLAS adds up in another order if a matrix stands in rows of something larger, where the other is a vector."""
    layer, dense = make(units, return_sequences=sequences), layers.Dense(classes)
    x = list(RNG.standard_normal((40, 4, 6, 2)).astype("float32"))
    dense(layer(x[0]))
    variables = [*layer.trainable_weights, *dense.trainable_weights]

    def loss_of(batch: Any) -> Any:
        return ops.mean(ops.square(dense(layer(batch)) - 0.5))

    with switched(derive=True):
        loss_of(Tensor(x[0], None))
        recorder = Recorder([x[1]], variables)
        with switched(monitor=recorder):
            loss = loss_of(Tensor(x[1], None))
        recording = recorder.finish(loss, [])
        for batch in x:
            want = leaf_gradients(loss_of(Tensor(batch, None)))
            (_, found) = recording([batch])
            assert all(same_bits(found[v._node], want[v._node]) for v in variables)


# --- arrays whose steps stand one after another -------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1), (0, 4, 5), (3, 0, 5)]
)
@pytest.mark.parametrize("gaps", [False, True])
def test_products_and_cross_entropy_in_the_order_of_time(shape: tuple[int, int, int], gaps: bool) -> None:
    batch, time, width = shape
    whole = RNG.standard_normal((time, batch, width + 2 * gaps))
    x = whole[:, :, :width].swapaxes(0, 1)
    kernel, g = RNG.standard_normal((width, 6)), RNG.standard_normal((batch, time))
    labels = RNG.integers(0, 6, (batch, time))

    def run(x: Any) -> list[Any]:
        x, w = tg.Variable(x), tg.Variable(kernel)
        x._data = data  # as it stands in memory
        logits = x @ w
        losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        first = tg.grad(ops.sum(losses * g), [x, w], create_graph=True)
        second = tg.grad(ops.sum(first[0] * first[0]) + ops.sum(first[1]), [x, w])
        return [a.numpy() for a in (logits, losses, *first, *second)]

    data = x
    found = run(x)
    data = np.ascontiguousarray(x)
    for a, b in zip(found, run(data), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    if batch > 1 and time > 1:
        strides = found[0].strides
        assert strides[0] < strides[1]  # the result stands as x does
