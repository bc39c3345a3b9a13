"""Weights that another thread moves while a step is derived: neither the plan nor the verdict is of the moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.step.tracer import Tracer

X = np.random.default_rng(0).standard_normal((4, 6, 3))


def moving(w: tg.Variable, number: int, forward: Callable[..., None] = Tracer.forward) -> Callable[..., None]:
    """A trace during which the weight moves once: after the product of this number, which has read it already."""
    products = []

    def moved(tracer: Tracer, op: Any, *args: Any) -> None:
        if op.name == "matmul":
            products.append(op)
            if len(products) == number:
                w.replace(1.0001 * w._data)
        forward(tracer, op, *args)

    return moved


def weight(seed: int) -> tg.Variable:
    return tg.Variable(np.random.default_rng(seed).standard_normal((3, 3)), name="w")


def gradient(w: tg.Variable, derive: bool) -> Any:
    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x @ w + ops.tanh(states[0] @ w))
        return h, [h]

    y, _ = tg.scan(step, X, [np.zeros((4, 3))], derive=derive)
    return tg.grad((y * y).sum(), w)


def right() -> None:
    """Also for other weights: a plan belongs to all steps of one structure."""
    for seed in (2, 3):
        w = weight(seed)
        np.testing.assert_allclose(gradient(w, True), gradient(w, False), rtol=1e-9)


@pytest.mark.parametrize("number", range(1, 7))
def test_while_it_is_traced(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    derived.forget()
    w = weight(1)
    with monkeypatch.context() as patch:
        patch.setattr(Tracer, "forward", moving(w, number))
        try:
            gradient(w, True)  # a warning that it is not derived would be an error
        except RuntimeError as error:
            assert "w was assigned" in str(error)
    right()


def test_between_the_trace_and_the_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    derived.forget()
    w, build = weight(1), derived.build

    def late(*args: Any) -> Any:
        w.replace(1.0001 * w._data)
        return build(*args)

    with monkeypatch.context() as patch:
        patch.setattr(derived, "build", late)
        gradient(w, True)
    right()
    assert not any(plan.built.static for plan in derived._plans.values() if not isinstance(plan, str))
