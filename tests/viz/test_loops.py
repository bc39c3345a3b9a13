"""Hand-written loops of every kind under `trace()`: they fold exactly, and the time step is that of the right loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from viz.nests import CELLS, NESTS, branches, recursion, sequences, start, tree, while_loop
from viz.nets import network

import tinygrad_rnn as tg
from tinygrad_rnn import graph, layers, ops, tensor
from tinygrad_rnn.viz.inspect import _record


def recorded(function: Any, steps: int) -> Any:
    with tg.trace():
        loss = function(steps)
    return graph(loss)


def same(fold: Any, other: Any) -> bool:
    labels = [f.graph.label[f.first].tolist() for f in (fold, other)]
    return fold.edges == other.edges and fold.described == other.described and labels[0] == labels[1]


@pytest.mark.parametrize("name", [*NESTS, "while_loop", "recursion"])
def test_the_fold_does_not_depend_on_the_number_of_steps(name):
    function = {"while_loop": while_loop, "recursion": recursion}.get(name) or NESTS[name][0]
    folds = [recorded(function, steps).fold() for steps in (6, 9, 9, 300)]
    for fold in folds:
        assert fold.counts.sum() == len(fold.graph)
        assert same(fold, folds[0])


@pytest.mark.parametrize("name", NESTS)
def test_the_time_step_is_the_pass_of_the_loop_over_time(name):
    function, op, times = NESTS[name]
    for steps in (3, 7):
        g = recorded(function, steps)
        assert g.steps == steps
        assert np.bincount(g.t[g.op == op], minlength=steps).tolist() == [times] * steps


def test_what_stands_around_the_loop_over_time_has_no_time_step():
    g = recorded(sequences, 5)
    fold = g.fold()
    assert fold.counts[fold.of[g.op == "subtract"]].tolist() == [CELLS] * CELLS
    assert set(g.t[g.op == "subtract"]) == {-1}
    assert sorted(set(fold.counts)) == [1, CELLS, 5 * CELLS]


def test_a_branch_with_a_loop_of_its_own_stays_in_its_step():
    g = recorded(branches, 4)
    halves = g.t[g.op == "multiply"].tolist()
    assert halves == [0] * CELLS + [2] * CELLS and g.t[g.op == "matmul"].tolist() == [1, 3]


def test_the_first_pass_belongs_to_step_0():
    for first in (0.0, np.zeros(3)):
        h, loss = tensor(np.ones(3), requires_grad=True), first
        with tg.trace():
            for _ in range(4):
                h = ops.tanh(h)
                loss = loss - h.sum()
            total = loss.sum()
        g = graph(total)
        assert g.t[g.op == "subtract"].tolist() == [0, 1, 2, 3]


def test_a_tree_is_no_loop():
    for depth in (3, 7):
        g = recorded(tree, depth)
        fold = g.fold()
        assert fold.counts.sum() == len(g) and (g.op == "tanh").sum() == 2**depth - 1
    assert len(fold) < len(g) / 3 or fold.counts.max() > 1


def test_a_pass_that_failed_half_way_leaves_a_graph():
    made = []
    with pytest.raises(ValueError, match="broadcast"), tg.trace():
        h = start()
        for t in range(5):
            h = ops.tanh(h * h) if t < 4 else h + np.ones(9)
            made.append(h)
    g = graph(made[-1].sum())
    assert g.t[g.op == "tanh"].tolist() == [0, 1, 2, 3]
    with tg.trace():
        again = ops.tanh(made[-1] * 2.0)  # what was traced before keeps its steps
    g = graph(again)
    assert g.t[g.op == "tanh"].tolist()[:4] == [0, 1, 2, 3] and g.fold().counts.sum() == len(g)


def test_second_derivatives_of_a_loop():
    x = tensor(np.ones(3), requires_grad=True)
    with tg.trace():
        h = x
        for _ in range(5):
            h = ops.tanh(h * h)
        (first,) = tg.grad(h.sum(), [x], create_graph=True)
        total = (first * first).sum()
        total.backward(retain_graph=True)
    g = graph(total)
    fold = g.fold()
    assert fold.counts.sum() == len(g) and g.steps == 5
    assert np.bincount(g.t[(g.op == "tanh") & (g.t >= 0)]).tolist() == [1] * 5
    assert not np.isnan(g.grad[g.order > 0]).any()


def test_a_loop_whose_source_is_not_known_still_folds():
    scope: dict[str, Any] = {}
    exec("def run(h, tanh):\n    for t in range(6):\n        h = tanh(h * h)\n    return h", scope)
    with tg.trace():
        y = scope["run"](tensor(np.ones(3), requires_grad=True), ops.tanh)
    g = graph(y)
    assert g.t[g.op == "tanh"].tolist() == list(range(6)) and len(g.fold()) == 3


def test_cells_in_a_loop_of_the_users_own():
    cells = layers.StackedRNNCells([layers.SimpleRNNCell(4), layers.SimpleRNNCell(4)])
    x = np.ones((2, 6, 4), "float32")
    folds = []
    for steps in (3, 6):
        states = cells.get_initial_state(batch_size=2)
        with tg.trace():
            for t in range(steps):
                y, states = cells(x[:, t], states)
        g = graph(y)
        folds.append(g.fold())
        assert g.t[g.op == "tanh"].tolist() == [t for t in range(steps) for _ in range(2)]
        assert sorted(set(folds[-1].counts)) in ([1, steps], [1, steps - 1, steps])
    assert len(folds[0]) == len(folds[1])


def test_a_derived_layer_that_runs_backwards_carries_to_the_step_before():
    x = tensor(np.ones((2, 5, 4), "float32"), requires_grad=True)
    layer = layers.SimpleRNN(3, go_backwards=True, return_sequences=True)
    folds = []
    for context in (tg.derived, tg.unrolled):
        with context():
            fold = graph(layer(x)).fold()
        assert set(fold.low[fold.carried]) == set(fold.high[fold.carried]) == {-1}
        folds.append(fold)
    assert folds[0].graph.t[folds[0].graph.op == "tanh"].tolist() == [4, 3, 2, 1, 0]


def test_weights_of_stacked_cells_have_the_path_of_their_ops():
    rnn = layers.RNN([layers.LSTMCell(3), layers.GRUCell(3)], name="rnn")
    for _ in range(2):
        with tg.unrolled():
            g = graph(rnn(np.ones((2, 4, 3), "float32")))
        reader = dict(zip(g.parents.tolist(), g.children().tolist(), strict=True))
        for row in np.flatnonzero(g.kind == "parameter").tolist():
            assert g.name[row].startswith(g.layer[reader[row]] + "/")
    cells = layers.StackedRNNCells([layers.GRUCell(3)], name="cells")
    y, _ = cells(np.ones((2, 4), "float32"), cells.get_initial_state(batch_size=2))
    assert {layer.rpartition("/")[0] for layer in graph(y).layer} <= {"", "cells"}


def test_ops_of_a_model_that_is_only_drawn_come_from_the_lines_of_its_layers():
    model = tg.Sequential([tg.Input((4, 2)), layers.LSTM(3), layers.Dense(1)])
    x = np.ones((1, 4, 2), "float32")
    g = _record(model, x, None).graph
    where = {g.site[row]: g.source(row) for row in np.flatnonzero(g.kind == "op")}
    assert {site.rpartition(":")[0] for site in where} <= {
        f"layers/{n}.py" for n in ("lstm", "cell", "core", "rnn")
    }
    assert any("self.activation(c)" in text for _, _, text in where.values())
    with tg.trace():
        y = model(x)  # the user's own line
    g = graph(y)
    assert {g.source(row)[2] for row in np.flatnonzero(g.kind == "op")} == {
        "y = model(x)  # the user's own line"
    }


def test_a_loop_over_layers_with_names_is_no_loop_over_time():
    with tg.trace():
        y = network()
    assert graph(y).steps == 0
