"""The columns of a recorded graph, folding over time, selection and difference."""

from __future__ import annotations

import re

import numpy as np
import pytest
from viz.nets import NETS, bidirectional, lstm, scope, sequence, vanilla, weights

import tinygrad_rnn as tg
from tinygrad_rnn import Tensor, Variable, draw_graph, graph, layers, no_grad, ops, step, tensor


def test_columns_of_a_small_graph():
    x = tensor([[1.0, 2.0]], requires_grad=True, name="x")
    w = Variable(np.ones((2, 3), "float32"), name="layer/w")
    with scope("layer", 2):
        y = ops.tanh(x @ w)
    g = graph({"loss": (y * y).sum()})
    assert g.op.tolist() == ["leaf", "leaf", "matmul", "tanh", "multiply", "sum"]
    assert g.name.tolist() == ["x", "layer/w", None, None, None, "loss"]
    assert g.layer.tolist() == ["layer", "layer", "layer", "layer", "", ""]
    assert g.t.tolist() == [2, 2, 2, 2, -1, -1]  # a leaf that one step reads belongs to it
    assert g.slot.tolist() == [-1, -1, 0, 1, 0, 1]
    assert g.shape.tolist() == [(1, 2), (2, 3), (1, 3), (1, 3), (1, 3), ()]
    assert g.nbytes.tolist() == [8, 24, 12, 12, 12, 4]
    assert g.kind.tolist() == ["input", "parameter", "op", "op", "op", "op"]
    assert g.parents.tolist() == [0, 1, 2, 3, 3, 4] and g.start.tolist() == [0, 0, 0, 2, 3, 5, 6]
    assert g.roots == (5,) and len(g) == 6 and g.steps == 3
    with pytest.raises(ValueError, match="read-only"):
        g.t[0] = 1


def test_outputs_of_split_are_numbers_on_edges():
    x = tensor(np.ones((2, 6)), requires_grad=True)
    a, b, c = ops.split(x, 3, axis=-1)
    g = graph(a * c, c)
    assert g.op.tolist() == ["leaf", "split", "multiply"]
    assert g.parents.tolist() == [0, 1, 1] and g.port.tolist() == [-1, 0, 2]
    assert g.roots == (2, 1)
    assert graph(b).op.tolist() == ["leaf", "split"]


def test_constants_and_gradients():
    x = tensor(np.array([3.0, 4.0]), requires_grad=True)
    y = (2.0 * x + np.ones(2)).sum()
    y.backward(retain_graph=True)
    g = graph(y)
    assert g.constants == {1: ((0, (), "2"),), 2: ((1, None, ""),)}
    assert graph(x * np.ones(2)).constants == {1: ((1, (2,), ""),)}
    assert g.parents.tolist() == [-1, 0, 1, -1, 2]
    np.testing.assert_allclose(g.grad[0], np.sqrt(8.0))
    assert np.isnan(g.grad[1:]).all() and np.isnan(g.value).all()


def test_several_roots_and_unrecorded_tensors():
    x = tensor([1.0], requires_grad=True)
    with no_grad():
        z = x * 2
    g = graph([x * x, (x, z)])
    assert g.op.tolist() == ["leaf", "multiply", "constant"] and g.roots == (1, 0, 2)
    assert graph(z).kind.tolist() == ["constant"]


def test_what_is_no_tensor():
    with pytest.raises(TypeError, match="expected a Tensor, or several, received int"):
        graph(3)
    with pytest.raises(TypeError, match=r"ndarray; an array has no graph.*requires_grad=True"):
        graph(np.ones(3))
    with pytest.raises(ValueError, match="at least one Tensor"):
        graph([])


def test_a_freed_graph_names_retain_graph():
    x = tensor([1.0, 2.0], requires_grad=True)
    a, b = ops.split(x, 2)
    y = (a * b).sum()
    y.backward()
    for root in (y, a):
        with pytest.raises(ValueError, match="freed.*retain_graph=True"):
            graph(root)


@pytest.mark.parametrize("net", ["vanilla", "lstm", "bidirectional"])
def test_folding_does_not_depend_on_the_number_of_steps(net):
    folds = [graph(NETS[net](steps)).fold() for steps in (3, 9, 200)]
    for fold, steps in zip(folds, (3, 9, 200), strict=True):
        assert fold.counts.sum() == len(fold.graph)
        assert set(fold.counts) == {1, steps}
        assert fold.edges == folds[0].edges and fold.described == folds[0].described
    assert len(folds[0]) <= {"vanilla": 20, "lstm": 30, "bidirectional": 120}[net]


def test_carried_edges_point_through_time():
    fold = graph(lstm(4)).fold()
    carried = [(fold.described[a], fold.described[b]) for a, b, c in fold.edges if c]
    assert len(carried) == 2  # c and h
    assert set(fold.low[fold.carried]) == set(fold.high[fold.carried]) == {1}
    assert {a.split()[0] for a, _ in carried} == {"add", "multiply"}
    backward = graph(bidirectional(4)).select(layers="bi_0/backward").fold()
    assert set(backward.low[backward.carried]) == {-1}


def hand_loop(steps: int) -> Tensor:
    w, u, _ = weights("hand", 3, 3)
    h = tensor(np.ones((1, 3)), requires_grad=True, name="h0")
    total = 0.0
    for t in range(steps):
        with step(t):
            x = tensor(np.ones((1, 3)), requires_grad=True, name="x")
            h = ops.tanh(x @ w + h @ u)
            total = h.sum() + total if t else h.sum()
    return total


def test_a_hand_written_loop_folds():
    for steps in (3, 9, 100):
        fold = graph(hand_loop(steps)).fold()
        assert fold.counts.sum() == len(fold.graph)
        ops_ = fold.graph.op[fold.first].tolist()
        assert dict(zip(ops_[:4], fold.counts.tolist()[:4], strict=True))
        assert len(fold) == 10
        assert sorted(fold.counts.tolist()) == [1, 1, 1, *[steps - 1], *[steps] * 6]


def test_the_first_step_may_differ():
    w, u, _ = weights("rnn", 4, 4)
    for steps in (4, 30):
        h = None
        for t, x in enumerate(ops.unstack(sequence(steps), axis=1)):
            with scope("rnn", t):
                h = ops.tanh(x @ w) if h is None else ops.tanh(x @ w + h @ u)
        fold = graph(h).fold()
        assert fold.counts.sum() == len(fold.graph)
        assert sorted(fold.counts.tolist()) == [1, 1, 1, 1, steps - 1, steps - 1, steps, steps]


def test_a_branch_in_the_loop_has_its_own_nodes():
    sizes = set()
    for steps in (4, 10, 100):
        h = tensor(np.ones(3), requires_grad=True)
        for t in range(steps):
            with step(t):
                h = ops.tanh(h * h)
                h = ops.exp(h) if t % 3 == 0 else h
        fold = graph(h).fold()
        sizes.add(len(fold))
        assert sorted(fold.counts.tolist()) == sorted([1, steps, steps, -(-steps // 3)])
    assert sizes == {4}


def test_flow_inside_a_step_goes_forward_in_a_fold():
    """A node that appears first in a later step is still numbered before what it feeds."""
    w, u, _ = weights("rnn", 4, 4)
    h = None
    for t, x in enumerate(ops.unstack(sequence(5), axis=1)):
        with scope("rnn", t):
            h = ops.tanh(x @ w) if h is None else ops.tanh(h @ u + x @ w)
    fold = graph(h).fold()
    assert all(a < b for a, b, carried in fold.edges if not carried)


def test_select_steps_and_layers():
    g = graph(vanilla(6))
    part = g.select(steps=[0, -1], layers="rnn")
    assert set(part.t.tolist()) == {-1, 0, 5}
    assert set(part.name[part.kind == "parameter"]) == {"rnn/kernel", "rnn/recurrent_kernel", "rnn/bias"}
    assert (part.parents < len(part)).all() and len(part.children()) == len(part.parents)
    assert len(g.select(steps=slice(1, 3)).select(steps=1)) == len(g.select(steps=1))
    assert g.select() is not g and len(g.select()) == len(g)
    for bad in (6, -7, [0, 99]):
        with pytest.raises(ValueError, match="T = 6"):
            g.select(steps=bad)
    with pytest.raises(ValueError, match="no layer 'nope'; the graph has dense, rnn"):
        g.select(layers="nope")


def test_diff():
    assert not graph(vanilla(4)).diff(graph(vanilla(4)))
    longer = graph(vanilla(4)).diff(graph(vanilla(5)))
    assert longer and not longer.added and not longer.removed and "×4 → ×5" in str(longer)
    x = tensor([1.0, 2.0], requires_grad=True, name="x")
    old, new = graph((x * x).sum()), graph(ops.tanh(x * x).sum())
    found = old.diff(new)
    assert list(found.added.values()) == ["tanh"] and not found.removed
    assert str(new.diff(old)).startswith("− tanh")
    assert len(found) == 2  # sum reads something else


def test_deep_and_long_graphs_need_no_recursion():
    x = y = tensor([1.0], requires_grad=True)
    for _ in range(50_000):
        y = y + x
    g = graph(y)
    assert len(g) == 50_001 and len(g.fold()) == 50_001 and not g.diff(g)


def test_step_wants_a_number():
    for bad in (-1, 1.5, True, "0"):
        with pytest.raises(ValueError, match="expected a time step"):
            step(bad)
    with scope("outer"), step(np.int64(3)):
        assert tg.config.mode().scope == ("outer", 3)


def test_numbers_in_sums_are_kept_although_no_gradient_reads_them():
    x = tensor(np.array([3.0, 4.0]), requires_grad=True)
    g = graph((1 - x) + 0.25)
    assert g.constants == {1: ((0, (), "1"),), 2: ((1, (), "0.25"),)}
    assert graph(x + np.ones(2)).constants == {1: ((1, None, ""),)}


def test_numbers_are_drawn_unless_the_steps_differ():
    x = tensor(np.array([3.0, 4.0]), requires_grad=True)
    drawn = draw_graph(((1 - x) / 4 - np.ones(2)) * np.array([[5.0]])).svg()
    assert chips(drawn) == ["1", "4", "const", "1×1"]
    with tg.trace():
        y = x
        for t in range(3):
            y = ops.multiply(ops.multiply(y, float(t + 2)), 7.0)
    alike = draw_graph(y, view="folded", show=("shape",)).svg()
    assert chips(alike) == ["const", "7"] and "not the same in every step" in alike
    assert chips(draw_graph(y, view="unrolled", show=("shape",)).svg()) == ["2", "7", "3", "7", "4", "7"]


def test_the_cells_show_their_numbers():
    for cell in (layers.GRUCell(4), layers.LayerNormalization()):
        drawn = draw_graph(cell, np.ones((2, 4), np.float32)).svg()
        assert "const" not in chips(drawn) and set(chips(drawn)) >= ({"1"} if "GRU" in repr(cell) else {"4"})


def chips(drawn):
    return re.findall(r'class="chip constant">.*?<text[^>]*>([^<]*)<', drawn)
