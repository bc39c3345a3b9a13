"""Gradients of a picture or a page come from the graph that it shows, not from another with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from viz.pages import blocks

import tinygrad_rnn as tg
from tinygrad_rnn import draw_graph, graph, inspect_graph, layers, ops
from tinygrad_rnn.bptt import plan
from tinygrad_rnn.viz.visits import overwritten

RAN = "the backward pass was run for this page"


@pytest.fixture
def loss():
    weight = tg.Variable(np.full((2, 2), 0.5), name="W")

    def compute(scale, trace=False, backward=False):
        if not trace:
            return (scale * ops.tanh(np.ones((3, 2)) @ weight)).sum()
        with tg.trace():
            result = compute(scale)
            if backward:
                result.backward(retain_graph=True)
        return result

    compute.weight = weight
    return compute


def gradient_of(page, name):
    """The norm that the page shows of the gradient of a leaf, and how many rows its backward pass visits."""
    header, arrays = blocks(page)
    role = [header["strings"][k] for k in arrays["role_name"]].index(name)
    norms = arrays["grad_stats"][: header["nodes"]]
    return float(norms[int(np.flatnonzero(arrays["role"] == role)[0])]), header["backward"]


def test_an_older_loss_lends_no_gradient_to_a_drawing(loss):
    loss(1.0, trace=True, backward=True)
    loss.weight.zero_grad()
    with pytest.raises(ValueError, match=r"call backward\(\) first"):
        draw_graph(loss(7.0), color_by="grad")
    with pytest.raises(ValueError, match=r"call backward\(\) first"):
        draw_graph(loss(7.0, trace=True), color_by="grad")
    later = loss(7.0)
    later.backward(retain_graph=True)
    drawing = draw_graph(later, show=("name", "grad"))
    assert f"‖∇‖ = {np.linalg.norm(loss.weight.grad):.3g}" in drawing.svg()


@pytest.mark.parametrize("traced", [False, True])
def test_every_page_runs_the_pass_of_its_own_loss(loss, traced):
    one, seven = loss(1.0, traced), loss(7.0, traced)
    for scale, target in ((1, one), (7, seven), (1, one), (1, one)):
        page = inspect_graph(target)
        norm, visited = gradient_of(page, "W")
        assert visited == len(graph(target)) == 5
        expected = 2 * 3 * scale * (1 - np.tanh(1.0) ** 2)
        assert norm == pytest.approx(expected, rel=1e-6)
    assert loss.weight.grad is None
    assert RAN not in page.note  # it is still that of the page before


def test_a_page_after_a_step_of_training_is_of_its_own_loss(loss):
    loss(1.0, trace=True, backward=True)
    page = inspect_graph(loss(7.0, trace=True))
    assert RAN in page.note and gradient_of(page, "W")[1] == 5


def test_a_later_pass_takes_the_gradients_of_shared_nodes_away(loss):
    """And of these nothing else is said: `.grad` may be of any loss."""
    with tg.trace():
        h = loss(1.0)
        one, two = h * 2.0, h * 3.0
        one.backward(retain_graph=True)
    whole = graph(one).grad
    assert not np.isnan(whole).any()
    with tg.trace():
        two.backward(retain_graph=True)
    assert np.flatnonzero(~np.isnan(graph(one).grad)).tolist() == [len(whole) - 1]
    np.testing.assert_allclose(graph(two).grad[:-1], whole[:-1] * 1.5)
    np.testing.assert_allclose(graph(h).grad, whole[:-1] * 1.5)
    both = graph((one, two))
    assert not np.isnan(both.grad).any() and (both.order > 0).all()


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
    assert not overwritten(g)
