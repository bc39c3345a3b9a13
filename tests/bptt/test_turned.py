"""Weights that the loop multiplies turned round are copied in one piece before it, where that pays."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, close, problem
from bptt.test_rows import source

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt import derived


def loop_of(text: str) -> str:
    return text.partition("def backward(")[2].partition("inside the loop")[2].partition("# after")[0]


def test_how_the_source_reads() -> None:
    text, before = source(problem("vanilla")), source(problem("vanilla"), "turned")
    assert "Wh_T[...] = Wh.T" in text and ", Wh_T, out=" in loop_of(text) and "Wh.T" not in loop_of(text)
    assert "Wh_T            Wh.T in one piece" in text
    assert "Wh_T" not in before and ", Wh.T, out=" in loop_of(before)


@pytest.mark.parametrize(("batch", "units", "done"), [(1, 64, True), (1, 128, False), (2, 128, True)])
def test_one_example_reads_a_large_weight_as_it_is(
    batch: int, units: int, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    U = tg.Variable(np.eye(units, dtype="float32"), name="U")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] @ U)
        return h, [h]

    x = np.zeros((batch, units), "float32")
    with tg.derived():  # for this batch size alone
        tg.scan(step, np.stack([x, x], axis=1), [x])
    (plan,) = derived._plans.values()
    assert ("U_T[...] = U.T" in plan.built.text) is done


def test_a_product_of_the_forward_loop() -> None:
    """PyTorch keeps weights as (out, in)."""
    W = tg.Variable(np.random.default_rng(0).standard_normal((4, 4)), name="W")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] @ W.T)
        return h, [h]

    x, h0 = np.ones((3, 5, 4)), np.zeros((3, 4))
    forward = str(tg.bptt_source(step, x[:, 0], [h0])).partition("def backward(")[0]
    assert "W_T[...] = W.T" in forward and "dot(h[t], W_T, out=" in forward
    found = []
    for derive in (True, False):
        y, _ = tg.scan(step, x, [h0], derive=derive)
        found.append([y, *tg.grad((y * y).sum(), [W])])
    close(*found)


def test_a_weight_that_changes_is_copied_at_every_call() -> None:
    layer = layers.SimpleRNN(4, return_sequences=True)
    x = tg.tensor(np.ones((2, 5, 3)), requires_grad=True)
    for k in range(3):
        found = []
        for mode in (tg.derived, tg.unrolled):
            with mode():
                y = layer(x)
            found.append([y, *tg.grad((y * y).sum(), [x, *layer.trainable_weights])])
        close(*found, rtol=1e-5)
        layer.set_weights([w + 0.1 * (k + 1) for w in layer.get_weights()])


@pytest.mark.parametrize("name", ["lstm", "gru_after", "two_layers", "attention_by_matmul"])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_equal_with_and_without(name: str, batch: int) -> None:
    found = [Result(problem(name, batch, 4), derive=True).everything()]
    with tg.bptt.without("turned"):
        found.append(Result(problem(name, batch, 4), derive=True).everything())
    close(*found)
