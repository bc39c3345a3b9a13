"""Weights move to Keras and back, for a trained model of every layer that has weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras_twins import keras

import tinygrad_rnn as tg
from tinygrad_rnn.layers import LAYERS, Layer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras hands NumPy arrays to torch

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4, 3)).astype(np.float32)
IDS = RNG.integers(0, 5, (6, 4))

# name -> the layer from `layers` of either world
CASES: dict[str, Callable[[Any], Any]] = {
    "Dense": lambda L: L.Dense(2, "tanh"),
    "Embedding": lambda L: L.Embedding(5, 3, mask_zero=True),
    "SimpleRNN": lambda L: L.SimpleRNN(3),
    "SimpleRNNCell": lambda L: L.RNN(L.SimpleRNNCell(3)),
    "LSTM": lambda L: L.LSTM(3, return_sequences=True),
    "LSTMCell": lambda L: L.RNN(L.LSTMCell(3, use_bias=False)),
    "GRU": lambda L: L.GRU(3),
    "GRU reset": lambda L: L.GRU(3, reset_after=False),
    "GRUCell": lambda L: L.RNN([L.GRUCell(3), L.LSTMCell(2)]),
    "RNN": lambda L: L.RNN(L.GRUCell(2), return_sequences=True),
    "StackedRNNCells": lambda L: L.RNN(L.StackedRNNCells([L.SimpleRNNCell(2), L.GRUCell(3)])),
    "Bidirectional": lambda L: L.Bidirectional(L.GRU(2, return_sequences=True)),
    "Bidirectional two": lambda L: L.Bidirectional(
        L.LSTM(2), backward_layer=L.LSTM(2, use_bias=False, go_backwards=True)
    ),
    "TimeDistributed": lambda L: L.TimeDistributed(L.Dense(2)),
    "Conv1D": lambda L: L.Conv1D(2, 3, padding="causal"),
    "BatchNormalization": lambda L: L.BatchNormalization(momentum=0.5),
    "LayerNormalization": lambda L: L.LayerNormalization(),
    "GroupNormalization": lambda L: L.GroupNormalization(3),
    "RMSNormalization": lambda L: L.RMSNormalization(),
    "PReLU": lambda L: L.PReLU(shared_axes=[1]),
    "Attention": lambda L: lambda x: L.Attention(use_scale=True, score_mode="concat")([x, x]),
    "AdditiveAttention": lambda L: lambda x: L.AdditiveAttention()([x, x]),
    "MultiHeadAttention": lambda L: lambda x: L.MultiHeadAttention(2, 3)(x, x),
    "Normalization": lambda L: L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
}


def model(world: Any, name: str) -> Any:
    x = world.Input((4,), dtype="int64") if name == "Embedding" else world.Input((4, 3))
    y = CASES[name](world.layers)(x)
    made = world.Model(x, world.layers.Dense(1)(y))
    made.compile(world.optimizers.Adam(0.05), "mse")
    return made


def test_every_layer_with_weights_is_here() -> None:
    cases = {LAYERS[name.split()[0]] for name in CASES}
    made = {cls for cls in LAYERS.values() if cls.build is not Layer.build}
    missing = [cls.__name__ for cls in made - cases]
    assert missing == []


@pytest.mark.parametrize("name", CASES)
def test_trained_weights_move_to_keras_and_back(name: str) -> None:
    x = IDS if name == "Embedding" else X
    ours, theirs = model(tg, name), model(keras, name)
    y = RNG.standard_normal(np.asarray(ours(x)).shape).astype(np.float32)
    for _ in range(2):
        ours.train_on_batch(x, y)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(theirs.predict(x, verbose=0), ours.predict(x), rtol=1e-4, atol=1e-5)
    for _ in range(2):
        theirs.train_on_batch(x, y)
    other = model(tg, name)
    before = other.predict(x)
    other.set_weights(theirs.get_weights())
    after = other.predict(x)
    np.testing.assert_allclose(after, theirs.predict(x, verbose=0), rtol=1e-4, atol=1e-5)
    assert np.abs(after - before).max() > 1e-3
