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


def rolled(x: Any, states: Any, constants: Any) -> Any:
    (h,) = states
    h = tg.ops.tanh(x + 0.5 * tg.ops.roll(h, h.shape[0] // 2, axis=0))
    return h, [h]


def first_three(x: Any, states: Any, constants: Any) -> Any:
    (h,) = states
    h = tg.ops.tanh(x + tg.ops.sum(h[: min(h.shape[0], 3)], axis=0))
    return h, [h]


def other_when_large(x: Any, states: Any, constants: Any) -> Any:
    (h,) = states
    h = tg.ops.tanh(x + (0.5 if h.shape[0] <= 20 else 2.0) * h)
    return h, [h]


@pytest.mark.parametrize("step", [rolled, first_three, other_when_large])
@pytest.mark.parametrize("batch", [2, 4])
def test_a_source_that_holds_for_one_batch_size_says_so(step: Any, batch: int) -> None:
    x, h = np.random.default_rng(0).standard_normal((batch, T, 4)), np.ones((batch, 4))
    module: dict[str, Any] = {}
    text = tg.bptt_source(step, x[:, 0], [h])
    exec(text, module)
    assert f"For batches of {batch} alone" in module["__doc__"]
    np.testing.assert_allclose(module["forward"](x, h)[0], tg.scan(step, x, [h])[0], rtol=1e-12)
    with pytest.raises(ValueError, match=f"this source is for batches of {batch}"):
        module["forward"](x[:1], h[:1])


def test_a_source_is_tried_out_before_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        tg.bptt.step.text.STATEMENTS, "tanh", lambda y, a, attrs, lead: [f"np.sin({a[0]}, out={y})"]
    )

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = tg.ops.tanh(x + states[0])
        return h, [h]

    with pytest.raises(ValueError, match="derived values differ from those of the recorded steps"):
        tg.bptt_source(step, np.ones((2, 4)), [np.ones((2, 4))])


@pytest.mark.parametrize("constants", [tuple, lambda memory: {"memory": memory[0]}], ids=["tuple", "dict"])
def test_constants_grow_with_the_batch(constants: Any) -> None:
    def step(x: Any, states: Any, given: Any) -> Any:
        memory = given["memory"] if isinstance(given, dict) else given[0]
        weights = tg.ops.softmax(tg.ops.einsum("nsk,nk->ns", memory, states[0]))
        h = tg.ops.tanh(x + tg.ops.einsum("ns,nsk->nk", weights, memory))
        return h, [h]

    x, memory = np.ones((2, 4)), np.random.default_rng(0).standard_normal((2, 3, 4))
    assert "alone" not in tg.bptt_source(step, x, [x], constants([memory]))
