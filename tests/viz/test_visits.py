"""Gradients of a picture or a page come from the graph that it shows, not from another one that shares its weights."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import graph, inspect_graph, layers, ops
from tinygrad_rnn.bptt import plan


@pytest.mark.parametrize("within", [False, True])
def test_the_pass_of_a_page_goes_through_a_recurrence_that_is_one_op(within, monkeypatch):
    """Also `within` which a pass of its own walks the steps: that of infinities behind a `where`."""
    calls = []
    walk = plan.Call.unrolled
    monkeypatch.setattr(plan.Call, "unrolled", lambda *args: calls.append(args) or walk(*args))
    layer = layers.SimpleRNN(2, activation="linear", kernel_initializer="ones", dtype="float64")
    with tg.derived():
        y = layer(np.ones((1, 3, 2))).sum()
    target = ops.where(np.array(True), ops.exp(1000 * y), 0.0) if within else y
    inspect_graph(target)
    assert bool(calls) is within
    g = graph(target)
    weights = g.trace[g.kind == "parameter"]
    assert len(weights) == 3 and all(kept.order and kept.grad is not None for kept in weights)
