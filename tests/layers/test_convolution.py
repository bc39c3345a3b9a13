"""Conv1D: values and gradients against Keras (in true float64), shapes, symbols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_twins import FLOAT64, check_config, check_keras, check_numerically, data, torch

import tinygrad_rnn as tg
from tinygrad_rnn import layers

CASES = [
    ({"kernel_size": 3}, 7),
    ({"kernel_size": 1, "activation": "relu"}, 4),
    ({"kernel_size": 3, "strides": 2, "padding": "same", "activation": "tanh"}, 8),
    ({"kernel_size": 4, "strides": 3, "padding": "same"}, 8),
    ({"kernel_size": 2, "strides": 3, "padding": "same"}, 9),
    ({"kernel_size": 3, "dilation_rate": 2, "padding": "causal", "use_bias": False}, 7),
    ({"kernel_size": 3, "strides": 2, "padding": "causal"}, 6),
    ({"kernel_size": 4, "groups": 2, "padding": "same"}, 7),
    ({"kernel_size": (3,), "strides": (3,), "data_format": "channels_last"}, 8),
    ({"kernel_size": 3, "padding": "SAME", "dilation_rate": 3, "groups": 2}, 5),
]


@pytest.mark.parametrize(("options", "length"), CASES)
def test_keras(options: dict[str, Any], length: int) -> None:
    options = {"filters": 4, **options}
    shapes = [(3, length, 6)]
    check_keras("Conv1D", options, shapes, {}, dtype="float64", rtol=FLOAT64)
    check_keras("Conv1D", options, shapes, {"training": True})


@pytest.mark.parametrize(("options", "length"), CASES)
def test_numeric_gradients_and_configuration(options: dict[str, Any], length: int) -> None:
    check_numerically(layers.Conv1D(4, **options, dtype="float64"), [(2, length, 2)])
    check_config(layers.Conv1D(4, **options))


@settings(max_examples=40)
@given(
    length=st.integers(1, 9),
    size=st.integers(1, 4),
    steps=st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)]),
    padding=st.sampled_from(["valid", "same", "causal"]),
)
def test_the_formula(length: int, size: int, steps: tuple[int, int], padding: str) -> None:
    """y[t] = Σ_k x[t · stride + k · dilation − left] W[k], with x = 0 outside."""
    stride, dilation = steps
    layer = layers.Conv1D(2, size, stride, padding, dilation_rate=dilation, dtype="float64")
    span = (size - 1) * dilation + 1
    (x,) = data([(2, length, 3)])
    if padding == "valid" and length < span:
        with pytest.raises(ValueError, match="does not fit"):
            layer(x)
        return
    y = layer(x).numpy()
    count = -(-length // stride)
    left = {"valid": 0, "causal": span - 1, "same": max((count - 1) * stride + span - length, 0) // 2}[
        padding
    ]
    assert y.shape[1] == ((length - span) // stride + 1 if padding == "valid" else count)
    kernel = layer.kernel.numpy()
    for t in range(y.shape[1]):
        places = [t * stride + k * dilation - left for k in range(size)]
        terms = [x[:, p] @ kernel[k] for k, p in enumerate(places) if 0 <= p < length]
        np.testing.assert_allclose(y[:, t], sum(terms, np.zeros((2, 2))), rtol=1e-10, atol=1e-12)


def test_unknown_lengths_in_models() -> None:
    """Windows that are longer, or further apart, than the lengths that symbols are tried with."""
    start = layers.Input((None, 3))
    y = layers.Conv1D(4, 5, strides=3)(start)
    assert y.shape == (None, None, 4)
    y = layers.MaxPooling1D(4)(layers.Conv1D(2, 9)(y))
    assert y.shape == (None, None, 2)
    inner = tg.Model(start, y)
    outer = inner(layers.Input((None, 3)))
    assert outer.shape == (None, None, 2)
    assert layers.Conv1D(4, 5)(layers.Input((8, 3))).shape == (None, 4, 4)
    model = tg.Sequential([layers.Input((None, 3)), inner, layers.GlobalAveragePooling1D(), layers.Dense(1)])
    model.compile("sgd", "mse")
    (x,) = data([(4, 60, 3)], "float32")
    before = model.layers[0].get_weights()[0]
    for _ in range(2):
        model.fit(x, np.ones((4, 1)), verbose=0)
    assert not np.array_equal(before, model.layers[0].get_weights()[0])


def test_a_mask_ends_here() -> None:
    x = layers.Embedding(5, 6, mask_zero=True)(np.array([[1, 2, 0]]))
    with pytest.warns(UserWarning, match=r"conv1d.* \(Conv1D\) does not support masking"):
        assert getattr(layers.Conv1D(2, 2)(x), "_mask", None) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.Conv1D(0, 3), "filters must be a positive integer, received 0"),
        (lambda: layers.Conv1D(2, 0), "size must be a positive integer, received 0"),
        (lambda: layers.Conv1D(2, (3, 3)), r"size.*received \(3, 3\)"),
        (lambda: layers.Conv1D(2, 3, padding="cusal"), "padding must be one of valid, same, causal.*'cusal'"),
        (
            lambda: layers.Conv1D(2, 3, data_format="channels_first"),
            "channels_last.*received 'channels_first'",
        ),
        (lambda: layers.Conv1D(2, 3, strides=2, dilation_rate=2), "exclude each other"),
        (lambda: layers.Conv1D(3, 3, groups=2), "2 groups do not divide 3 filters"),
        (lambda: layers.Conv1D(2, 3, groups=2, name="c")(np.ones((1, 4, 3))), "c: .*2 groups divide"),
        (lambda: layers.Conv1D(2, 5, name="c")(np.ones((1, 4, 3))), "c: a window of 5 steps.*into 4"),
        (
            lambda: layers.Conv1D(2, 5, name="c")(np.ones((1, 4))),
            r"c: expected inputs \(batch, time, features\)",
        ),
        (lambda: layers.Conv1D(2, 1, name="c")(np.ones((1, 0, 3))), r"c: expected.*\(1, 0, 3\)"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_other_features_than_at_first_are_refused() -> None:
    layer = layers.Conv1D(2, 2, name="c")
    layer(np.ones((1, 4, 3)))
    with pytest.raises(ValueError, match=r"c: expected 3 features, received shape \(1, 4, 2\)"):
        layer(np.ones((1, 4, 2)))


def test_causal_outputs_see_nothing_behind_them() -> None:
    (x,) = data([(1, 8, 2)])
    layer = layers.Conv1D(3, 3, padding="causal", dilation_rate=2, dtype="float64")
    whole = layer(x).numpy()
    np.testing.assert_allclose(layer(x[:, :5]), whole[:, :5], rtol=1e-12)
    assert torch.tensor(whole).shape == (1, 8, 3)
