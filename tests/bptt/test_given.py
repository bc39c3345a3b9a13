"""Gradients of outputs that the backward loop reads where they were given, without a copy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bptt.problems import problem
from bptt.test_rows import source

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.writing import sections

RNG = np.random.default_rng(0)


@pytest.fixture
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(sections, "AS_GIVEN", 0)
    yield


def test_how_the_source_reads(of_any_size: None) -> None:
    found = source(problem("lstm"))
    assert "all_dy = dY.swapaxes(0, 1)\n    dy = list(all_dy)\n" in found
    assert "all_dy = empty" not in found and "all_dy[...]" not in found


def test_small_ones_are_copied() -> None:
    assert "all_dy[...] = dY.swapaxes(0, 1)" in source(problem("lstm"))


@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_what_was_given_is_left_alone(make: Any) -> None:
    """In whatever order it lies in memory; twice, with other numbers."""
    layer = make(128, return_sequences=True, dtype="float64")
    x = RNG.standard_normal((16, 5, 3))
    layer(x)
    for turned in (False, True):
        g = RNG.standard_normal((5, 16, 128)).swapaxes(0, 1)
        g = np.ascontiguousarray(g) if turned else g
        before, found = g.copy(), []
        for mode in (tg.derived(), tg.unrolled()):
            with mode:
                found.append(tg.grad(layer(x), layer.trainable_weights, grad_outputs=g))
        np.testing.assert_array_equal(g, before)
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
