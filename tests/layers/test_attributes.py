"""What layers show of themselves, as Keras's layers do."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from every_layer import HERE_ALONE, NAMES, WITH_TENSORFLOW, required, twin

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.layers import LAYERS

# Refused, so that there is nothing to show; and statistics that nobody gave.
LEFT_OUT = {"lora_rank", "lora_alpha", "quantization_config", "sparse", "mean", "variance"}
OTHER_VALUES = {"axes", "shared_axes", "name"}  # one number for both, no axes


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITH_TENSORFLOW - HERE_ALONE))
def test_arguments_that_keras_keeps_are_kept(keras: Any, name: str) -> None:
    ours = LAYERS[name](**required(name))
    theirs = getattr(keras.layers, name)(**{k: twin(keras, v) for k, v in required(name).items()})
    names = {*inspect.signature(LAYERS[name]).parameters, "compute_dtype", "variable_dtype", "dtype_policy"}
    for key in sorted(names - LEFT_OUT):
        if hasattr(theirs, key):
            want, own = getattr(theirs, key), getattr(ours, key)
            if isinstance(want, (bool, int, float, str, tuple, type(None))) and key not in OTHER_VALUES:
                assert own == want, key
            elif hasattr(want, "get_config") and not isinstance(own, (str, layers.Layer)):
                assert type(own).__name__ == type(want).__name__, key


def test_a_subclass_writes_down_what_it_was_told() -> None:
    class Own(layers.Dense):
        def get_config(self) -> dict[str, Any]:
            config = super().get_config()
            config["kernel_initializer"] = tg.initializers.serialize(self.kernel_initializer)
            config["bias_regularizer"] = tg.regularizers.serialize(self.bias_regularizer)
            return config

    layer = Own(3, kernel_initializer="ones", bias_regularizer=tg.regularizers.L2(0.5))
    again = Own.from_config(layer.get_config())
    assert type(again.kernel_initializer) is tg.initializers.Ones and again.bias_regularizer.l2 == 0.5
    assert again.kernel_constraint is None
    assert again(np.ones((1, 2)))[0, 0].item() == 2.0


def test_an_lstm_shows_the_initializer_that_it_was_given() -> None:
    """The ones of the forget gate are put on top of it."""
    layer = layers.LSTM(2, bias_initializer=tg.initializers.Constant(3.0))
    layer(np.ones((1, 2, 2), np.float32))
    assert type(layer.bias_initializer) is tg.initializers.Constant
    assert layer.bias.tolist() == [3.0] * 2 + [1.0] * 2 + [3.0] * 4


def test_projections_of_attention_differ_though_one_initializer_is_given() -> None:
    x = np.ones((1, 2, 4), np.float32)
    for given in ("he_normal", tg.initializers.HeNormal()):
        layer = layers.MultiHeadAttention(2, 2, kernel_initializer=given)
        layer(x, x)
        query, key, value = (np.asarray(w) for w in layer.weights[:6:2])
        assert not np.array_equal(query, key) and not np.array_equal(key, value)


@pytest.mark.parametrize("shape", [(None, 6, 4), [None, 6, 4], (2, 6, 4)])
@pytest.mark.parametrize(
    "name", ["UpSampling1D", "Cropping1D", "LSTM", "Dense", "Flatten", "Conv1D", "RepeatVector"]
)
def test_the_shape_of_outputs_is_a_tuple(name: str, shape: Any) -> None:
    """Of a shape in a tuple, or in a list, as JSON gives it back."""
    if name == "RepeatVector":
        shape = shape[:2]
    found = LAYERS[name](**required(name)).compute_output_shape(shape)
    assert type(found) is tuple and all(n is None or isinstance(n, int) for n in found)
    both = layers.Add().compute_output_shape([shape, shape])
    assert both == tuple(shape)
