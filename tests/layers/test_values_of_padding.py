"""What masked steps hold counts for nothing, not even if it is, or becomes, NaN or infinity: `0 · NaN` is not 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import made

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 6, 3)).astype("float32")
MASK = np.array([[1] * 6, [1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 1, 1], [0] * 6], bool)
PADDINGS = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
LAYERS: dict[str, Callable[..., Any]] = {
    "rnn": lambda **o: layers.SimpleRNN(4, activation="relu", **o),
    "lstm": lambda **o: layers.LSTM(4, dropout=0.5, **o),
    "gru": lambda **o: layers.GRU(4, go_backwards=True, **o),
    "both ways": lambda **o: layers.Bidirectional(layers.GRU(2, **o)),
    "stack": lambda **o: layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(4)], **o),
}


def padded(value: float, mask: Any = MASK, x: Any = X) -> Any:
    return np.where(mask[..., None], x, np.float32(value))


@pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS)
@pytest.mark.parametrize("mode", [tg.derived, tg.unrolled, tg.bptt.without])
@pytest.mark.parametrize("name", LAYERS)
def test_padding_leaves_no_trace_in_a_layer(name: str, mode: Any, padding: float) -> None:
    layer = LAYERS[name](return_sequences=True)
    layer(X)
    found = []
    for value in (0.0, padding, 0.0, padding):
        with mode():
            y = layer(padded(value), mask=MASK)
            found.append([y, *tg.grad((y * y).sum(), layer.trainable_weights)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("derive", [True, False])
def test_padding_leaves_no_trace_in_a_scan(derive: bool) -> None:
    w = tg.Variable(RNG.standard_normal((3, 3)).astype("float32"))

    def step(x: Any, states: Any, constants: Any) -> Any:
        one, number = x
        h = ops.tanh(one @ w + states[0] + ops.cast(number, "float32"))
        return h, [h]

    def run(value: float) -> list[Any]:
        numbers = np.arange(24).reshape(4, 6, 1)
        first = [np.zeros((4, 3), "float32")]
        y, _ = tg.scan(step, (padded(value), numbers), first, derive=derive, mask=MASK)
        return [y, *tg.grad((y * y).sum(), [w])]

    for a, b in zip(run(0.0), run(np.nan), strict=True):
        np.testing.assert_array_equal(a, b)


def normed(x: Any) -> Any:
    return x / ops.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("function", [normed, ops.log, ops.reciprocal])
@pytest.mark.parametrize("derive", [True, False])
def test_what_a_step_makes_of_padding_leaves_no_trace(function: Any, derive: bool) -> None:
    """Of zeros, a norm to divide by and a logarithm make NaN and infinity."""
    w = tg.Variable(RNG.standard_normal((3, 3)).astype("float32"))
    x = np.abs(X) + 1

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(function(x) @ w + states[0])
        return h, [h]

    def run(value: float) -> list[Any]:
        y, _ = tg.scan(step, padded(value, x=x), [np.zeros((4, 3), "float32")], derive=derive, mask=MASK)
        return [y, *tg.grad((y * y).sum(), [w])]

    for _ in range(3):
        for a, b in zip(run(2.0), run(0.0), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_model_learns_from_padded_data_that_its_cell_divides_by() -> None:
    class Normed(layers.Layer):
        state_size = 3

        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight((3, 3), name="kernel")

        def call(self, inputs: Any, states: Any) -> Any:
            h = ops.tanh(normed(inputs) @ self.kernel + states[0])
            return h, [h]

    model = tg.Sequential([tg.Input((None, 3)), layers.Masking(), layers.RNN(Normed()), layers.Dense(1)])
    model.compile("adam", "mse")
    assert np.isfinite(model.fit(padded(0.0), X[:, 0, :1], epochs=3, verbose=0).history["loss"]).all()


def test_recorded_batches_look_for_it_each_time() -> None:
    def model() -> Any:
        tg.utils.set_random_seed(1)
        x, mask = tg.Input((None, 3)), tg.Input((None,), dtype="bool")
        made = tg.Model([x, mask], layers.Dense(1)(layers.LSTM(4)(x, mask=mask)))
        made.compile("adam", "mse")
        return made

    one, other = model(), model()
    for i, value in enumerate((0.0, 0.0, np.nan, 0.0, np.inf)):
        rng = np.random.default_rng(i)
        x, mask = rng.standard_normal(X.shape).astype("float32"), rng.random((4, 6)) < 0.5
        y = x.sum((1, 2))[:, None]
        losses = [m.train_on_batch([padded(v, mask, x), mask], y) for m, v in ((one, value), (other, 0.0))]
        assert losses[0] == losses[1]
    assert made(one) == [True]
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_valid_step_that_is_not_finite_is_seen() -> None:
    assert np.isnan(layers.GRU(4)(padded(np.nan), mask=np.ones((4, 6), bool)).numpy()[1:]).all()


def test_a_mask_of_another_shape_is_still_named() -> None:
    with pytest.raises(ValueError, match=r"expected a mask of shape \(4, 6\), received \(4, 5\)"):
        layers.GRU(4)(padded(np.nan), mask=MASK[:, :5])


def test_masking_of_what_is_no_number() -> None:
    """Keras compares with NaN, to which nothing is equal, and masks nothing."""
    np.testing.assert_array_equal(layers.Masking(np.nan).compute_mask(padded(np.nan)), MASK)
    some = np.array([[[1.0, np.nan], [np.nan, np.nan]]])
    assert layers.Masking(np.nan).compute_mask(some).tolist() == [[True, False]]
    found = []
    for value in (0.0, np.nan):
        tg.utils.set_random_seed(0)
        model = tg.Sequential([tg.Input((None, 3)), layers.Masking(value), layers.LSTM(4), layers.Dense(1)])
        model.compile("sgd", "mse")
        y = np.ones((4, 1), "float32")
        found.append([model.train_on_batch(padded(value), y) for _ in range(4)])
    assert np.isfinite(found).all() and found[0] == found[1]
    again = tg.Sequential.from_config(model.get_config())
    assert np.isnan(again.layers[0].mask_value)
