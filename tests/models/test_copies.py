"""Copies of trained models, by `copy` and `pickle`: equal, and with a life of their own."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from bptt.remembered import OwnCell
from bptt.steps import N, inputs

import tinygrad_rnn as tg
from tinygrad_rnn import layers

# --- copies of models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: layers.GRU(4), lambda: layers.RNN(OwnCell()),
                                  lambda: layers.Bidirectional(layers.LSTM(3, dropout=0.2))],
                         ids=["GRU", "own", "Bidirectional"])  # fmt: skip
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
)
def test_copies_of_trained_models(make: Any, duplicate: Any) -> None:
    x, y = inputs(steps=6).astype("float32"), np.ones((N, 1), "float32")
    model = tg.Sequential([make(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=4, verbose=0, shuffle=False)
    other = duplicate(model)
    predicted = model.predict(x, verbose=0)
    np.testing.assert_array_equal(other.predict(x, verbose=0), predicted)
    found = [m.fit(x, y, epochs=4, verbose=0, shuffle=False).history["loss"] for m in (other, model)]
    np.testing.assert_allclose(*found, rtol=1e-5)
    for a, b in zip(model.weights, other.weights, strict=True):
        assert a is not b and a.path == b.path
