"""Twins that are layers: Keras's weights as they are; inputs, states and outputs in columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import layers
from ..core.op import Array
from ..layers.symbolic import flatten
from ..manual import bidirectional as hand_bidirectional
from ..manual import dense as hand_dense
from ..manual import gru as hand_gru
from ..manual import lstm as hand_lstm
from ..manual import simple_rnn as hand_simple
from ..ops import moveaxis
from .twin import N_A, N_X, ByHand, Gradients, M, T, Twin, Values, leaves, part, weighted

_OPTIONS: dict[str, Any] = {"dtype": "float64", "name": "layer"}
_SEQUENCE: dict[str, Any] = {"return_sequences": True}
_WEIGHTS = ("kernel", "recurrent_kernel", "bias")


def dense(seed: int = 0) -> Twin:
    """`layers.Dense` on every time step. Variables: kernel (n_x, n_a), bias (n_a,), X (n_x, m, T).

    >>> dense().variables["kernel"].shape
    (3, 4)
    """

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        Y, cache = hand_dense.forward(p["X"], {"W": p["kernel"].T, "b": p["bias"][:, np.newaxis]})
        g = hand_dense.backward(d[0], cache)
        return [Y], {"kernel": g["dW"].T, "bias": g["db"][:, 0], "X": g["dX"]}

    return _layer_twin("dense", layers.Dense(N_A, **_OPTIONS), ("kernel", "bias"), (), by_hand, seed)


def simple_rnn(seed: int = 0) -> Twin:
    """`layers.SimpleRNN`, all outputs and the last state. Variables: kernel, recurrent_kernel, bias, X, a0.

    >>> simple_rnn().variables["kernel"].shape
    (3, 4)
    """

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        A, cache = hand_simple.forward(p["X"], p["a0"], _to_seed(p))
        g = hand_simple.backward(d[0], cache, d[1])
        return [A, A[:, :, -1]], {**_to_keras(g), "X": g["dx"]}

    layer = layers.SimpleRNN(N_A, **_OPTIONS, **_SEQUENCE, return_state=True)
    return _layer_twin("simple_rnn", layer, _WEIGHTS, ("a0",), by_hand, seed)


def lstm(seed: int = 0) -> Twin:
    """`layers.LSTM`, all outputs and the last states. Variables: kernel, recurrent_kernel, bias, X, h0, c0.

    >>> lstm().variables["recurrent_kernel"].shape
    (4, 16)
    """

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        H, cache = hand_lstm.forward(p["X"], p["h0"], p["c0"], p)
        return [H, H[:, :, -1], cache.C[:, :, -1]], hand_lstm.backward(d[0], cache, d[1], d[2])

    layer = layers.LSTM(N_A, **_OPTIONS, **_SEQUENCE, return_state=True)
    return _layer_twin("lstm", layer, _WEIGHTS, ("h0", "c0"), by_hand, seed)


def gru(seed: int = 0, reset_after: bool = True) -> Twin:
    """`layers.GRU`, all outputs and the last state. Variables: kernel, recurrent_kernel, bias, X, h0.

    >>> gru().variables["bias"].shape, gru(reset_after=False).variables["bias"].shape
    ((2, 12), (12,))
    """

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        H, cache = hand_gru.forward(p["X"], p["h0"], p)
        return [H, H[:, :, -1]], hand_gru.backward(d[0], cache, d[1])

    layer = layers.GRU(N_A, **_OPTIONS, **_SEQUENCE, return_state=True, reset_after=reset_after)
    name = "gru" if reset_after else "gru_reset_before"
    return _layer_twin(name, layer, _WEIGHTS, ("h0",), by_hand, seed)


def bidirectional_layer(seed: int = 0, merge: str = "concat") -> Twin:
    """`layers.Bidirectional(SimpleRNN)`, merged by "concat" or "sum". Variables: forward/…, backward/…, X.

    >>> bidirectional_layer().variables["backward/kernel"].shape
    (3, 4)
    """
    sides = ("forward", "backward")

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        params = {side: _to_seed(part(p, side)) for side in sides}
        starts = p["forward/a0"], p["backward/a0"]
        A, cache = hand_bidirectional.merge_forward(p["X"], params, *starts, merge=merge)
        g = hand_bidirectional.merge_backward(d[0], cache)
        found = {f"{side}/{k}": value for side in sides for k, value in _to_keras(g[side]).items()}
        return [A], {**found, "X": g["dx"]}

    pattern = layers.SimpleRNN(N_A, **_OPTIONS, **_SEQUENCE)
    layer = layers.Bidirectional(pattern, merge_mode=merge, **_OPTIONS)
    weights = [f"{side}/{weight}" for side in sides for weight in _WEIGHTS]
    states = [f"{side}/a0" for side in sides]
    return _layer_twin(f"bidirectional_{merge}", layer, weights, states, by_hand, seed)


def _layer_twin(
    name: str, layer: Any, weights: Iterable[str], states: Iterable[str], by_hand: ByHand, seed: int
) -> Twin:
    """The twin of a layer: its own weights under the names given, and X (n_x, m, T), and states (n_a, m)."""
    rng = np.random.default_rng(seed)
    layer.build_at(layer.name, (None, None, N_X))
    v = dict(zip(weights, layer.weights, strict=True))
    for weight in v.values():
        weight.assign(rng.normal(size=weight.shape) * 0.6)
    initial = leaves(rng, **{state: (N_A, M) for state in states})
    v |= {**leaves(rng, X=(N_X, M, T)), **initial}

    def outputs() -> list[Any]:
        given = {"initial_state": [moveaxis(s, 0, -1) for s in initial.values()]} if initial else {}
        return [moveaxis(y, -1, 0) for y in flatten(layer(moveaxis(v["X"], 0, -1), **given))]

    return weighted(name, v, outputs, by_hand, rng)


def _to_seed(p: Values) -> Gradients:
    """Keras's weights as the hand derivations have them."""
    return {"Wax": p["kernel"].T, "Waa": p["recurrent_kernel"].T, "ba": p["bias"][:, np.newaxis]}


def _to_keras(g: Values) -> Gradients:
    """The gradients of a tanh recurrence, in the shapes of Keras's weights."""
    return {"kernel": g["dWax"].T, "recurrent_kernel": g["dWaa"].T, "bias": g["dba"][:, 0], "a0": g["da0"]}
