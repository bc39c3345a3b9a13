"""Pooling over time: values and gradients against Keras, masks, paddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_twins import FLOAT64, check_config, check_formula, check_keras, check_numerically, data, torch

import tinygrad_rnn as tg
from tinygrad_rnn import layers

MASK = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
WINDOWS = [
    ({}, 7),
    ({"pool_size": 3, "strides": 2, "padding": "same"}, 8),
    ({"pool_size": 4, "strides": 3, "padding": "same"}, 8),
    ({"pool_size": 2, "strides": 3, "padding": "same"}, 8),
    ({"pool_size": (3,), "strides": 1}, 5),
    ({"pool_size": 3, "strides": 1, "padding": "same", "data_format": "channels_last"}, 5),
]
CASES = [(name, {"pool_size": 2} | o, n) for name in ("MaxPooling1D", "AveragePooling1D") for o, n in WINDOWS]
del CASES[len(WINDOWS) + 1]  # an odd padding: Keras on torch repeats the last step there, and averages it in
GLOBAL = [
    (f"Global{kind}Pooling1D", {"keepdims": k}, 4) for kind in ("Max", "Average") for k in (False, True)
]


@pytest.mark.parametrize(("name", "options", "length"), CASES + GLOBAL)
def test_keras(name: str, options: dict[str, Any], length: int) -> None:
    check_keras(name, options, [(3, length, 2)], {})
    check_config(getattr(layers, name)(**options))
    check_numerically(getattr(layers, name)(**options, dtype="float64"), [(2, length, 2)])
    if name != "GlobalAveragePooling1D":  # there Keras computes in float32
        check_keras(name, options, [(3, length, 2)], {"training": True}, dtype="float64", rtol=FLOAT64)


@pytest.mark.parametrize("keepdims", [False, True])
def test_global_average_of_masked_sequences(keepdims: bool) -> None:
    check_keras("GlobalAveragePooling1D", {"keepdims": keepdims}, [(3, 4, 5)], {"mask": MASK})
    layer = layers.GlobalAveragePooling1D(keepdims=keepdims, dtype="float64")
    valid = torch.tensor(MASK, dtype=torch.float64)[..., None]

    def mean(xs: Any, _: Any) -> Any:
        return (xs[0] * valid).sum(1, keepdim=keepdims) / valid.sum(1, keepdim=keepdims)

    check_formula(layer, mean, [(3, 4, 5)], {"mask": MASK})
    check_formula(layer, lambda xs, _: xs[0].mean(1, keepdim=keepdims), [(3, 4, 5)], {})
    check_numerically(layer, [(3, 4, 2)], mask=MASK)


def test_the_mean_over_nothing_is_zero_and_so_is_its_gradient() -> None:
    (x,) = data([(2, 3, 4)])
    x[0] = np.nan
    inputs = tg.tensor(x, requires_grad=True)
    mask = np.array([[False] * 3, [True, True, False]])
    layer = layers.GlobalAveragePooling1D(dtype="float64")
    for _ in range(2):
        y = layer(inputs, mask=mask)
        np.testing.assert_array_equal(y[0], np.zeros(4))
        np.testing.assert_allclose(y[1], x[1, :2].mean(0))
        g = tg.grad(y.sum(), inputs).numpy()
        np.testing.assert_array_equal(g[0], np.zeros((3, 4)))
        np.testing.assert_array_equal(g[1], np.repeat([[0.5], [0.5], [0.0]], 4, axis=1))


@pytest.mark.filterwarnings("ignore:.*does not support masking")
def test_masks_are_used_and_end() -> None:
    ids = np.array([[1, 2, 0], [3, 0, 0], [0, 0, 0]])
    x = layers.Embedding(5, 2, mask_zero=True)(ids)
    y = layers.GlobalAveragePooling1D()(x)
    table = np.asarray(x)
    np.testing.assert_allclose(y, [table[0, :2].mean(0), table[1, 0], [0.0, 0.0]], rtol=1e-6)
    for name, options, _ in CASES + GLOBAL:
        assert getattr(getattr(layers, name)(**options)(x), "_mask", None) is None
    start = layers.Input((None,), dtype="int32")
    embedded = layers.Embedding(5, 2, mask_zero=True)
    model = tg.Model(start, layers.GlobalAveragePooling1D()(embedded(start)))
    np.testing.assert_allclose(model.predict(ids)[2], [0.0, 0.0])


def test_the_average_leaves_padding_out() -> None:
    x = np.arange(6.0)[None, :, None]
    pool = layers.AveragePooling1D(3, 2, "same", dtype="float64")
    assert pool(x).numpy().ravel().tolist() == [1.0, 3.0, 4.5]  # as Keras on TensorFlow


def test_ties_share_the_gradient() -> None:
    x = tg.tensor(np.array([[[2.0], [2.0], [1.0], [3.0]]]), requires_grad=True)
    y = layers.MaxPooling1D(2, dtype="float64")(x)
    assert tg.grad(y.sum(), x).numpy().ravel().tolist() == [0.5, 0.5, 0.0, 1.0]


def test_integers_and_negative_values_behind_padding() -> None:
    x = -np.arange(1, 6)[None, :, None]
    pool = layers.MaxPooling1D(3, 1, "same")
    assert pool(x).numpy().ravel().tolist() == [-1, -1, -2, -3, -4]
    assert pool(x.astype("float32")).numpy().ravel().tolist() == [-1, -1, -2, -3, -4]


def test_aliases() -> None:
    for alias, name in [
        ("MaxPool1D", "MaxPooling1D"),
        ("AvgPool1D", "AveragePooling1D"),
        ("GlobalMaxPool1D", "GlobalMaxPooling1D"),
        ("GlobalAvgPool1D", "GlobalAveragePooling1D"),
        ("Convolution1D", "Conv1D"),
    ]:
        assert getattr(layers, alias) is getattr(layers, name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.MaxPooling1D(0), "MaxPooling1D: the window's size must be a positive integer"),
        (lambda: layers.AveragePooling1D(2, 0), "AveragePooling1D: strides must be a positive integer"),
        (lambda: layers.MaxPooling1D(2, padding="causal"), "padding must be one of valid, same"),
        (lambda: layers.MaxPooling1D(2, data_format="channels_first"), "data_format must be 'channels_last'"),
        (lambda: layers.GlobalMaxPooling1D("channels_first"), "GlobalMaxPooling1D: data_format"),
        (lambda: layers.MaxPooling1D(5, name="p")(np.ones((1, 4, 3))), "p: a window of 5 steps.*into 4"),
        (lambda: layers.GlobalMaxPooling1D(name="p")(np.ones((1, 0, 3))), r"p: expected.*\(1, 0, 3\)"),
        (lambda: layers.GlobalAveragePooling1D(name="p")(np.ones((1, 3))), r"p: expected.*\(1, 3\)"),
        (
            lambda: layers.GlobalAveragePooling1D(name="p")(np.ones((1, 2, 3)), mask=np.ones((1, 3))),
            r"p: expected a mask of shape \(1, 2\), received \(1, 3\)",
        ),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
