"""Sums over steps and examples: as a product with ones, where a step is wide enough."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from bptt.problems import agree, every_cell, layer_agrees

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.writing import statements


@every_cell
def test_every_cell(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(statements, "WIDE", 0)
    agree(name, 3, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("units", "product"), [(64, True), (63, False)])
def test_wide_steps(units: int, product: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a GRU's recurrent bias; three calls."""
    monkeypatch.setattr(statements, "WIDE", 12 * 3 * 64)
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    layer = tg.layers.GRU(units, return_sequences=True, dtype=dtype)
    xs = np.random.default_rng(0).standard_normal((3, 12, 5, 4)).astype(dtype)
    layer(xs[0])
    for x in xs:
        layer_agrees(layer, x, rtol=1e-12 if dtype == "float64" else 1e-5)
    (text,) = [plan.built.text for plan in derived._plans.values()]
    assert ("= np.ones(T * 12, " in text) is product
