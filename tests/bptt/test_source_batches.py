"""A printed source holds for any batch size, also where the batch size in it is as large as something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.layers.symbolic import flatten

T, F = 3, 2
MADE: dict[str, Callable[[int], Any]] = {
    "SimpleRNN": lambda units: tg.layers.SimpleRNN(units, return_sequences=True),
    "LSTM": lambda units: tg.layers.LSTM(units, return_sequences=True),
    "GRU": lambda units: tg.layers.GRU(units, return_sequences=True),
    "GRU before": lambda units: tg.layers.GRU(units, reset_after=False, return_sequences=True),
    "stacked": lambda units: tg.layers.RNN(
        [tg.layers.LSTMCell(units), tg.layers.SimpleRNNCell(units - 1 or 1)], return_sequences=True
    ),
}


@pytest.mark.parametrize("units", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", MADE)
def test_the_source_of_a_layer_for_other_batch_sizes(kind: str, units: int) -> None:
    layer = MADE[kind](units)
    layer(np.ones((1, T, F), np.float32))
    module: dict[str, Any] = {}
    exec(layer.bptt_source(), module)
    for batch in (1, 2, 7):
        x = np.random.default_rng(batch).standard_normal((batch, T, F)).astype(np.float32)
        states = [np.asarray(s) for s in flatten(layer.get_initial_state(batch))]
        names = module["forward"].__code__.co_varnames[: module["forward"].__code__.co_argcount]
        length = 2 if kind == "stacked" else 1
        weights = {"_".join(w.path.split("/")[-length:]): w.numpy() for w in layer.weights}
        given = [weights[n] for n in names[1 + len(states) : -1]]
        y, *_, cache = module["forward"](x, *states, *given)
        np.testing.assert_allclose(y, layer(x), rtol=1e-5, atol=1e-6)
        zeros = [np.zeros_like(s) for s in states]
        found = module["backward"](x, *states, *given, np.ones_like(y), *zeros, cache)
        wanted = tg.grad(layer(x).sum(), layer.weights)
        for name, gradient in zip(weights, wanted, strict=True):
            np.testing.assert_allclose(found[f"d{name}"], gradient, rtol=1e-4, atol=1e-5)
