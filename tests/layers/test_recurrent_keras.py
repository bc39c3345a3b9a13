"""Recurrent layers against Keras on torch, in true float64: values, states, and every gradient by torch's autograd."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from layers.keras_cases import Case, case

import tinygrad_rnn as tg
from tinygrad_rnn.layers.symbolic import flatten

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's

CASES = 208


def keras_results(made: Case, layer: Any, pull: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Outputs and states; gradients of the weights, the inputs and the initial states."""
    x = torch.tensor(made.x, requires_grad=True)
    starts: list[Any] = []

    def leaf(s: np.ndarray) -> Any:
        starts.append(torch.tensor(s, requires_grad=True))
        return starts[-1]

    options = {"mask": None if made.mask is None else torch.tensor(made.mask)}
    if made.states:
        options["initial_state"] = made.initial_state(leaf)
    results = list(flatten(layer(x, **options)))
    loss = sum((torch.tensor(p) * r).sum() for p, r in zip(pull(results), results, strict=True))
    leaves = [*(w.value for w in layer.weights), x, *starts]
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    gradients = [torch.zeros_like(v) if g is None else g for g, v in zip(found, leaves, strict=True)]
    return [r.detach().numpy() for r in results], [g.numpy() for g in gradients]


def our_results(made: Case, layer: Any, pull: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The same from this package."""
    x = tg.tensor(made.x, requires_grad=True)
    starts: list[Any] = []

    def leaf(s: np.ndarray) -> Any:
        starts.append(tg.tensor(s, requires_grad=True))
        return starts[-1]

    options: dict[str, Any] = {"mask": made.mask}
    if made.states:
        options["initial_state"] = made.initial_state(leaf)
    results = list(flatten(layer(x, **options)))
    loss = tg.tensor(0.0, dtype="float64")
    for p, r in zip(pull(results), results, strict=True):
        loss = loss + (p * r).sum()
    leaves = [*layer.weights, x, *starts]
    found = tg.grad(loss, leaves)
    gradients = [
        np.zeros(v.shape) if g is None else np.asarray(g) for g, v in zip(found, leaves, strict=True)
    ]
    return [r.numpy() for r in results], gradients


def cotangents(results: list[Any]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.standard_normal(tuple(r.shape)) for r in results]


@pytest.mark.parametrize("seed", range(CASES))
def test_values_states_and_gradients_equal_keras(keras64, seed):
    made = case(seed)
    theirs = made.layer(keras64.layers)
    theirs(torch.tensor(made.x))
    rng = np.random.default_rng(seed)
    theirs.set_weights([0.7 * rng.standard_normal(w.shape) for w in theirs.weights])
    values, gradients = keras_results(made, theirs, cotangents)
    assert all(v.dtype == np.float64 for v in values)
    ours = made.layer(tg.layers)
    ours(made.x)
    ours.set_weights(theirs.get_weights())
    derived = seed // 8 % 8 == 0  # the eight kinds in turn; writing and compiling a loop takes a while
    for switch in (tg.unrolled, tg.derived) if derived else (tg.unrolled, tg.unrolled):
        with switch():
            got, found = our_results(made, ours, cotangents)
        for a, b in zip([*got, *found], [*values, *gradients], strict=True):
            assert a.dtype == np.float64
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


LAYERS = {
    "SimpleRNN": lambda layers: layers.SimpleRNN(3),
    "LSTM": lambda layers: layers.LSTM(3),
    "LSTM no bias": lambda layers: layers.LSTM(3, use_bias=False),
    "GRU": lambda layers: layers.GRU(3),
    "GRU before": lambda layers: layers.GRU(3, reset_after=False),
    "RNN": lambda layers: layers.RNN(layers.GRUCell(3)),
    "stack": lambda layers: layers.RNN([layers.LSTMCell(3), layers.SimpleRNNCell(2)]),
    "Bidirectional": lambda layers: layers.Bidirectional(layers.GRU(3)),
    "Bidirectional pair": lambda layers: layers.Bidirectional(
        layers.LSTM(3), backward_layer=layers.SimpleRNN(2, go_backwards=True)
    ),
    "TimeDistributed": lambda layers: layers.TimeDistributed(layers.Dense(2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_weights_move_both_ways(keras, name):
    x = np.random.default_rng(0).standard_normal((2, 4, 5)).astype(np.float32)
    ours, theirs = LAYERS[name](tg.layers), LAYERS[name](keras.layers)
    ours(x), theirs(x)
    for source, target in ((ours, theirs), (theirs, ours)):
        source.set_weights(
            [np.random.default_rng(len(w)).standard_normal(w.shape) for w in source.get_weights()]
        )
        target.set_weights(source.get_weights())
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(ours(x), theirs(x).detach().numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "SimpleRNN",
        "LSTM",
        "GRU",
        "SimpleRNNCell",
        "LSTMCell",
        "GRUCell",
        "RNN",
        "Bidirectional",
        "StackedRNNCells",
    ],
)
def test_arguments_stand_in_keras_order_with_its_defaults(keras, name):
    def arguments(layers: Any) -> dict[str, inspect.Parameter]:
        found = inspect.signature(getattr(layers, name).__init__).parameters
        return {k: p for k, p in found.items() if k != "self"}

    theirs = {k: p for k, p in arguments(keras.layers).items() if p.kind is not p.VAR_KEYWORD}
    ours = arguments(tg.layers)
    assert list(ours)[: len(theirs)] == list(theirs)
    for k, p in theirs.items():
        assert ours[k].default == p.default, k
        assert ours[k].kind is p.kind, k


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU", "GRU before"])
@pytest.mark.parametrize("options", [{"dropout": 0.4}, {"dropout": 0.4, "recurrent_dropout": 0.3}])
def test_dropout_masks_act_as_those_of_keras(keras64, name, options):
    options = {**options, "dtype": "float64", "return_sequences": True, "seed": 3}
    if name.startswith("GRU"):
        options["reset_after"] = name == "GRU"
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    cls = name.removesuffix(" before")
    ours, theirs = getattr(tg.layers, cls)(5, **options), getattr(keras64.layers, cls)(5, **options)
    ours(x), theirs(x)
    theirs.set_weights(ours.get_weights())
    for switch in (tg.unrolled, tg.derived):
        with switch():
            y = ours(x, training=True)
        masks = [
            None if m is None else [torch.tensor(part) for part in m.numpy()] for m in ours.dropout_masks
        ]
        assert {len(m) for m in masks if m} == {1 if ours.implementation == 2 else ours.cell.gates}
        single = ours.implementation == 2 or ours.cell.gates == 1
        theirs.cell._dropout_mask, theirs.cell._recurrent_dropout_mask = (
            m[0] if m and single else m for m in masks
        )
        np.testing.assert_allclose(y, theirs(x, training=True).detach().numpy(), rtol=1e-9, atol=1e-12)


def test_penalties_equal_those_of_keras(keras64):
    options = {
        "kernel_regularizer": "l1", "recurrent_regularizer": "l2", "bias_regularizer": "l1",
        "activity_regularizer": "l2", "dtype": "float64", "bias_initializer": "ones",
    }  # fmt: skip
    x = np.random.default_rng(0).standard_normal((4, 3, 2))
    for name in ("LSTM", "GRU"):
        ours, theirs = getattr(tg.layers, name)(3, **options), getattr(keras64.layers, name)(3, **options)
        ours(x), theirs(x)
        theirs.set_weights(ours.get_weights())
        for _ in range(2):
            ours(x), theirs(x)
            assert len(ours.losses) == len(theirs.losses) == 4
            assert float(sum(ours.losses)) == pytest.approx(float(sum(theirs.losses)), rel=1e-6)
    ours = tg.layers.SimpleRNN(3, **options)  # Keras forgets the activity there
    y = ours(x)
    assert len(ours.losses) == 4
    assert float(ours.losses[-1]) == pytest.approx(0.01 * float((y * y).sum()) / 4)
