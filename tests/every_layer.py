"""Every layer class, made with nothing but what it must be given."""

from __future__ import annotations

import inspect
from typing import Any

from tinygrad_rnn import layers
from tinygrad_rnn.layers import LAYERS

NAMES = sorted(set(LAYERS) - {"Layer"})

WITH_TENSORFLOW = {"IntegerLookup", "StringLookup", "TextVectorization"}
HERE_ALONE = {"Operation", "Layer"}


def double(x: Any, by: float = 2.0) -> Any:
    return x * by


# A value for every argument that a layer must be given.
REQUIRED: dict[str, Any] = {
    "units": 3, "rate": 0.5, "stddev": 0.5, "activation": "tanh", "function": double, "dims": (2, 1), "n": 2,
    "target_shape": (2, 2), "axes": 1, "input_dim": 5, "output_dim": 2, "filters": 2, "kernel_size": 3,
    "num_heads": 2, "key_dim": 3, "pool_size": 2, "scale": 0.5,
}  # fmt: skip


def required(name: str) -> dict[str, Any]:
    inside = {
        "Bidirectional": {"layer": layers.LSTM(2)}, "TimeDistributed": {"layer": layers.Dense(2)},
        "RNN": {"cell": layers.GRUCell(2)}, "StackedRNNCells": {"cells": [layers.GRUCell(2), layers.LSTMCell(3)]},
        "Operation": {"function": "tanh"}, "CategoryEncoding": {"num_tokens": 3},
        "Discretization": {"bin_boundaries": [0.0, 1.0]},
    }  # fmt: skip
    if name in inside:
        return inside[name]
    found = inspect.signature(LAYERS[name]).parameters.values()
    names = [p.name for p in found if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return {n: REQUIRED[n] for n in names}


def twin(keras: Any, value: Any) -> Any:
    """Arguments for Keras: layers among them are Keras's."""
    if isinstance(value, layers.Layer):
        given = {key: twin(keras, v) for key, v in value.arguments.items()}
        return getattr(keras.layers, type(value).__name__)(**given)
    return [twin(keras, v) for v in value] if isinstance(value, list) else value
