"""What is computed from what a loop has just made runs in the loop, if its steps are large."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bptt.problems import agree, every_cell
from bptt.test_passes import loop_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.step import schedule
from tinygrad_rnn.bptt.writing import sections

RNG = np.random.default_rng(0)


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every step counts as large, also for `sections`, which reads gradients of outputs where they are."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(schedule, "IN_CACHE", 1)
    monkeypatch.setattr(sections, "AS_GIVEN", 0)
    yield


@every_cell
def test_every_cell(name: str, all_large: None) -> None:
    agree(name, 3, 4)
    agree(name, 1, 2)


def source_of(batch: int) -> str:
    """A cell whose inputs are normalized: their gradient is no business of the carry."""
    kernel, recurrent = (tg.Variable(RNG.standard_normal((64, 64)) / 8, name=name) for name in "WU")
    gain = tg.Variable(np.ones(64), name="gain")

    def step(x: Any, states: Any, constants: Any) -> Any:
        z = x @ kernel
        centred = z - ops.mean(z, axis=-1, keepdims=True)
        variance = ops.mean(centred * centred, axis=-1, keepdims=True)
        h = ops.tanh(gain * centred / ops.sqrt(variance + 1e-5) + states[0] @ recurrent)
        return h, [h]

    x = RNG.standard_normal((batch, 64))
    text = str(tg.bptt_source(step, x, [np.zeros((batch, 64))]))
    return text.partition("def backward(")[2]


def test_where_the_gradient_of_a_normalized_input_is_computed() -> None:
    small, large = source_of(4), source_of(256)
    assert "sqrt_variance" not in "".join(loop_of(small)) and "sqrt_variance" in small.partition("# after")[2]
    inside, _, after = large.partition("return {")[0].partition("# after")
    assert "sqrt_variance" in "".join(loop_of(large)) and "sqrt_variance" not in after
    follows = "and what follows from it while it is in cache"
    assert follows in inside and follows not in small
