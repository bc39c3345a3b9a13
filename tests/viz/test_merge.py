"""The difference of two graphs in every view: what is new, changed and gone, and its arrows."""

from __future__ import annotations

import numpy as np
import pytest
from viz.hand import traced
from viz.nets import NETS, bidirectional, lstm, network, vanilla
from viz.pictures import SVG, check

from tinygrad_rnn import Variable, draw_graph, graph, layers, ops, tensor

VIEWS = ["folded", "unrolled", "layers"]


def marks(root):
    """How often each mark stands on a box, and on an arrow."""
    classes = [(g.get("class") or "").split() for g in root.iter(f"{SVG}g")]
    found = {"node": {}, "edge": {}}
    for first, *rest in filter(None, classes):
        for mark in {"added", "removed", "changed"} & set(rest):
            if first in found:
                found[first][mark] = found[first].get(mark, 0) + 1
    return found["node"], found["edge"]


def arrows(root, kind):
    """The ends of the marked arrows, by the words in their boxes."""
    words = {}
    for g in root.iter(f"{SVG}g"):
        if "node" in (g.get("class") or "").split():
            words[g.get("data-id")] = g.get("data-op") if g.get("data-op") != "leaf" else "x"
    return sorted(
        (words[g.get("data-from")], words[g.get("data-to")])
        for g in root.iter(f"{SVG}g")
        if g.get("data-from") and kind in g.get("class").split()
    )


def test_what_is_gone_has_its_arrows(engine):
    x = tensor([1.0, 2.0], requires_grad=True, name="x")
    old, new = ops.exp(x * x).sum(), ops.tanh(x * x).sum()
    for view in VIEWS:
        drawing = draw_graph(new, diff=old, view=view)
        root = check(drawing)
        assert drawing.view == view and drawing.note.endswith("; 1 added, 1 removed")
        assert marks(root) == ({"added": 1, "removed": 1}, {"added": 2, "removed": 2})
        assert arrows(root, "removed") == [("exp", "sum"), ("multiply", "exp")]
        assert arrows(root, "added") == [("multiply", "tanh"), ("tanh", "sum")]
        text = list(root.itertext())  # never colour alone
        assert text.count("+") == text.count("−") == 1 and {"+ added", "− removed"} <= set(text)


def test_an_arrow_between_boxes_that_stay(engine):
    def net(skip):
        x = tensor(np.ones((2, 3)), requires_grad=True, name="x")
        h = ops.tanh(x)
        return ops.exp(h * (x if skip else h)).sum()

    for view in VIEWS:
        drawing = draw_graph(net(True), diff=net(False), view=view)
        root = check(drawing)
        assert "1 arrow added" in drawing.note and arrows(root, "added") == [("x", "multiply")]
        assert "+" in list(root.itertext())
        drawing = draw_graph(net(False), diff=net(True), view=view)
        root = check(drawing)
        assert "1 arrow removed" in drawing.note and arrows(root, "removed") == [("x", "multiply")]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("net", NETS)
def test_nothing_differs_from_the_same(net, view, engine):
    drawing = draw_graph(NETS[net](), diff=graph(NETS[net]()), view=view, max_nodes=800)
    assert drawing.note.endswith("no difference") and marks(check(drawing)) == ({}, {})
    same = draw_graph(NETS[net](), view=view)
    assert (drawing.shown, drawing.view) == (same.shown, same.view)


@pytest.mark.parametrize(
    ("view", "lines"),
    [
        ("folded", ["(2, 8) → (2, 16)", "kernel (4, 8) → (4, 16)", "bias (8,) → (16,)"]),
        ("unrolled", ["(2, 8) → (2, 16)", "recurrent_kernel (8, 8) → (16, 16)", "2×8 → 2×16"]),
        ("layers", ["(2, 3, 8) → (2, 3, 16)", "104 parameters → 336 parameters"]),
    ],
)
def test_shapes_that_changed_say_from_what_to_what(view, lines, engine):
    drawing = draw_graph(vanilla(3, 16), diff=vanilla(3, 8), view=view)
    root = check(drawing)
    assert set(lines) <= set(root.itertext()) and set(marks(root)[0]) == {"changed"}
    titles = [t.text for t in root.iter(f"{SVG}title")]
    assert any("changed: " in t and lines[0] in t for t in titles)
    bare = draw_graph(vanilla(3, 16), diff=vanilla(3, 8), view=view, show=())
    assert lines[0] in list(check(bare).itertext())


def test_steps_that_are_new_or_gone():
    for new, old, mark in ((5, 3, "added"), (3, 5, "removed")):
        drawing = draw_graph(vanilla(new), diff=vanilla(old), view="unrolled")
        root = check(drawing)
        ids = [g.get("data-id") for g in root.iter(f"{SVG}g") if mark in (g.get("class") or "").split()]
        assert {i.split("@t=")[1] for i in ids if i and "@" in i} == {"3", "4"}
        assert sum("@t=3" in i for i in ids if i) == sum("@t=4" in i for i in ids if i) == 5
    folded = check(draw_graph(vanilla(5), diff=vanilla(3)))
    assert "every step ×3 → ×5" in list(folded.itertext())
    with pytest.raises(ValueError, match="T = 3"):
        draw_graph(vanilla(5), diff=vanilla(3), view="unrolled", steps=[4])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("direction", ["LR", "BT"])
def test_two_networks_with_nothing_in_common(view, direction, engine):
    for new, old in ((lstm(3), vanilla(3)), (network(), bidirectional(4)), (bidirectional(4), network())):
        drawing = draw_graph(new, diff=old, view=view, direction=direction)
        root = check(drawing)
        boxes, edges = marks(root)
        assert boxes["removed"] > 1 and boxes["added"] > 1 and edges["removed"] > 1
        assert drawing.graph is not None and drawing.total == len(drawing.graph)


def test_both_graphs_have_room():
    for most in (1, 20, 60, 400):
        drawing = draw_graph(bidirectional(6), diff=lstm(30), view="unrolled", max_nodes=most)
        assert check(drawing) is not None and drawing.shown <= max(most, 2)


def test_the_views_of_both_are_the_same():
    x = y = tensor([1.0], requires_grad=True, name="x")
    for _ in range(300):
        y = ops.tanh(y * x)
    for new, old in ((y, vanilla(3)), (vanilla(3), y)):
        drawing = draw_graph(new, diff=old, view="unrolled")
        assert check(drawing) is not None and drawing.view == "layers" and "removed" in drawing.note


def test_gradients_and_values_are_no_difference():
    drawing = draw_graph(
        traced("hello", 4, backward=True),
        diff=traced("hello", 4),
        color_by="grad",
        show=("grad", "value", "site"),
    )
    assert "no difference" in drawing.note and check(drawing) is not None


def test_parameters_as_boxes_are_compared():
    for params in ("node", "hide"):
        for view in ("folded", "unrolled"):
            drawing = draw_graph(vanilla(3, 16), diff=vanilla(3, 8), params=params, view=view)
            root = check(drawing)
            assert ("(4, 8) → (4, 16)" in list(root.itertext())) == (params == "node")


def test_a_weight_that_was_a_number():
    w, x = Variable(np.ones(2), name="w"), tensor(np.ones(2), requires_grad=True, name="x")
    drawing = draw_graph((x * w).sum(), diff=(x * 2.0).sum())
    assert "2 → w" in list(check(drawing).itertext()) and "1 changed" in drawing.note
    added = draw_graph(ops.clip(x, 0.0, 1.0), diff=ops.tanh(x))
    assert check(added) is not None and "1 added, 1 removed" in added.note


def test_models_are_compared():
    x = np.ones((2, 3, 4), "float32")
    for view in VIEWS:
        drawing = draw_graph(layers.GRU(8, name="r"), x, diff=layers.LSTM(8, name="r"), view=view)
        assert check(drawing) is not None and drawing.view == view


def test_arguments_are_compared_place_by_place():
    """Weights of other layers with one name say what differs; what became an arrow, or was one, is no weight."""
    x = np.ones((1, 3, 4), "float32")
    drawing = draw_graph(layers.GRU(5, name="r"), x, diff=layers.RNN(layers.SimpleRNNCell(3), name="r"))
    text = list(check(drawing).itertext())
    assert {"kernel (4, 3) → (4, 15)", "recurrent_kernel (3, 3) → (5, 15)"} <= set(text)
    w, u = (Variable(np.ones(4, k), name=f"{k}/w") for k in ("float32", "float64"))
    leaf = tensor(x, requires_grad=True, name="x")
    for new, old, line in (
        (leaf * w, x * w, "− 1×3×4"),
        (x * w, leaf * w, "+ 1×3×4"),
        (leaf * u, leaf * w, "w float32 → float64"),
        (leaf * w, leaf * Variable(np.ones(4, "float32"), name="other/w"), "other/w → float32/w"),
    ):
        titles = [t.text or "" for t in check(draw_graph(new, diff=old)).iter(f"{SVG}title")]
        assert any(line in t.splitlines()[-1] for t in titles if "changed: " in t), titles
