"""What was recorded under `trace()`: loops fold without a mark, expressions, lines, gradients and their way back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from viz.hand import LOOPS, traced
from viz.pictures import SVG, check, within

import tinygrad_rnn as tg
from tinygrad_rnn import draw_graph, graph, layers, ops, tensor


@pytest.mark.parametrize("name", LOOPS)
def test_hand_written_loops_fold_without_a_mark(name):
    folds = [graph(traced(name, steps)).fold() for steps in (3, 9, 9, 1000)]
    for fold in folds:
        assert fold.counts.sum() == len(fold.graph)
        assert len(fold) == len(folds[0]) and fold.edges == folds[0].edges
        assert fold.described == folds[0].described
        assert fold.graph.label[fold.first].tolist() == folds[0].graph.label[folds[0].first].tolist()
    _, nodes, edges = LOOPS[name]
    assert not nodes or (len(folds[0]), len(folds[0].edges)) == (nodes, edges)


@pytest.mark.parametrize("name", LOOPS)
def test_the_folded_text_of_a_loop_does_not_depend_on_its_length(name):
    texts = set()
    for steps in (3, 9, 60):
        source = draw_graph(traced(name, steps), view="folded", show="name").source
        texts.add(re.sub(r"×\d+", "×T", source))
    assert len(texts) == 1 and "×T" in texts.pop()


def test_without_trace_a_loop_does_not_fold_and_the_note_says_how():
    loss = LOOPS["hello"][0](60)
    assert "tg.trace()" in draw_graph(loss, max_nodes=50).note


def test_iterations_are_the_time_steps():
    for name in ("lstm", "hello"):
        g = graph(traced(name, 6))
        assert g.steps == 6
        counts = np.bincount(g.t[g.t >= 0])
        assert len(set(counts)) == 1
        assert set(g.fold().low[g.fold().carried]) == {1}
    g = graph(traced("branch", 7))
    assert g.t[g.op == "exp"].tolist() == [1, 4]
    fold = graph(traced("both_ways", 5)).fold()
    assert sorted(fold.low[fold.carried]) == [-1, 1, 1]  # backward, forward, the sum of the losses
    g = graph(traced("both_ways", 5)).select(steps=-1)
    assert set(g.t.tolist()) == {-1, 4} and (g.op == "tanh").sum() == 2


def test_branches_at_the_same_line_and_composite_functions_stay_apart():
    x = tensor(np.ones((2, 3)), requires_grad=True)
    with tg.trace():
        y = x
        for _ in range(4):
            y = ops.tanh(y) * ops.tanh(y * 2.0) + ops.mean(y, axis=0)
    fold = graph(y).fold()
    assert sorted(fold.counts) == [1] + [4] * (len(fold) - 1)
    assert fold.graph.op[fold.first].tolist().count("tanh") == 2
    means = fold.first[fold.graph.layer[fold.first] == ""]
    labels = dict(zip(fold.graph.op[means], fold.graph.label[means], strict=True))
    assert labels["sum"] is None and labels["divide"] == "ops.mean(y, axis=0)"  # a part, and the whole


def test_expressions_names_and_lines():
    g = graph(traced("lstm", 3))
    step = g.t == 1
    assert {"h @ U", "x[:, t] @ W", "z[:, 8:16]", "f * c + i * g", "o * tanh(c)"} <= set(g.label[step])
    assert set(g.name[step]) >= {"z", "c", "h"}
    row = int(np.flatnonzero(g.label == "h @ U")[0])
    file, line, text = g.source(row)
    assert g.site[row] == f"hand.py:{line}" and Path(file).name == "hand.py"
    assert text == "z = x[:, t] @ W + h @ U + b"
    assert g.source(0) is None and g.label[0] is None
    drawing = draw_graph(traced("lstm", 3), view="folded", show=("name", "site"))
    text = list(check(drawing).itertext())
    assert "h @ U" in text and "c = f * c + i * g" in text and g.site[row] in text


def test_lines_are_known_inside_trace_only():
    with pytest.raises(ValueError, match=r"inside tg\.trace\(\)"):
        draw_graph(tensor([1.0], requires_grad=True) * 2.0, show="site")


def test_gradients_inside_and_the_order_of_the_way_back():
    loss = traced("lstm", 4, backward=True)
    g = graph(loss)
    assert sorted(g.order) == list(range(1, len(g) + 1)) and g.order[-1] == 1
    real = g.parents >= 0
    assert np.all(g.order[g.parents[real]] > g.order[g.children()[real]])
    assert not np.isnan(g.grad).any() and not np.isnan(g.value).any()
    assert g.grad[-1] == 1.0
    weight = int(np.flatnonzero(g.name == "w1")[0])  # U: what the steps add, and their sum
    uses = np.flatnonzero(g.parents == weight)
    assert len(uses) == 4
    total = np.zeros((8, 32))
    for edge in sorted(uses, key=lambda e: g.order[g.children()[e]]):
        row = g.children()[edge]
        part = g.trace[row].parts[edge - g.start[row]]
        assert g.flow[edge] == pytest.approx(np.linalg.norm(part))
        total = total + part
    np.testing.assert_array_equal(total, g.trace[weight].grad)


def test_the_backward_graph_turns_the_arrows_round():
    loss = traced("hello", 5, backward=True)
    for view in ("folded", "unrolled"):
        forward, back = (draw_graph(loss, view=view, color_by=c) for c in (None, "grad"))
        check(back)
        for drawing, end in ((forward, "data-to"), (back, "data-from")):
            root = check(drawing)
            rects = {}
            for g in root.iter(f"{SVG}g"):
                if g.get("data-id"):
                    r = g.find(f"{SVG}rect")
                    x, y, w, h = (float(r.get(k)) for k in ("x", "y", "width", "height"))
                    rects[g.get("data-id")] = (x, y, x + w, y + h)
            arrows = [g for g in root.iter(f"{SVG}g") if g.get("data-from")]
            assert len(arrows) > 10
            for g in arrows:
                x, y = map(float, g.find(f"{SVG}polygon").get("points").split(" ")[0].split(","))
                assert within((x, y, x, y), rects[g.get(end)], 2.0)
        assert "dir=back" in back.source and "dir=back" not in forward.source
        assert re.search(r'class="edge[ carry]* s\d+"', back.svg())
        assert "inside tg.trace()" not in back.note
        assert len(re.findall("‖∇‖ = ", back.svg())) >= back.shown


def test_numbers_of_a_folded_node_are_the_norm_over_all_steps():
    g = graph(traced("hello", 5, backward=True))
    rows = np.flatnonzero(g.label == "a @ Wya")
    drawing = draw_graph(g, view="folded", show=("name", "grad"))
    assert f"‖∇‖ = {np.sqrt((g.grad[rows] ** 2).sum()):.3g}" in drawing.svg()


def test_derived_recurrences_are_opened():
    model = tg.Sequential(
        [tg.Input((None, 4)), layers.LSTM(3, return_sequences=True), layers.GRU(3), layers.Dense(2)]
    )
    folds = []
    for steps in (5, 5, 8):
        x = tensor(np.ones((2, steps, 4), "float32"), requires_grad=True, name="x")
        with tg.derived():
            y = model(x)
        g = graph(y)
        assert (
            "scan" not in g.op
            and g.steps == steps
            and (g.parents < np.repeat(np.arange(len(g)), np.diff(g.start))).all()
        )
        folds.append(g.fold())
        assert folds[-1].counts.sum() == len(g) and set(folds[-1].counts) <= {1, steps}
        assert {"lstm", "gru", "dense"} == {name.split("_")[0] for name in set(g.layer) - {""}}
    assert folds[0].edges == folds[1].edges == folds[2].edges
    check(draw_graph(y, view="folded"))
    y.sum().backward()
    with pytest.raises(ValueError, match="retain_graph=True"):
        graph(y)


def test_names_of_expressions_that_are_markup(tmp_path):
    code = "def f(x):\n    for t in range(3):\n        x = x * len('<b>&\"\\\\N{}|')\n    return x\n"
    file = tmp_path / "odd<&>.py"
    file.write_text(code, encoding="utf-8")
    scope: dict = {}
    exec(compile(code, str(file), "exec"), scope)
    with tg.trace():
        y = scope["f"](tensor([1.0], requires_grad=True))
    root = check(draw_graph(y, view="folded", show=("name", "site")))
    assert "odd<&>.py:3" in list(root.itertext())


def test_the_recorded_backward_pass_is_no_loop():
    x = tensor(2.0, requires_grad=True)
    with tg.trace():
        (g,) = tg.grad(x * x * x, [x], create_graph=True)
    assert graph(g).steps == 0 and "t = " not in draw_graph(g).svg()


def test_an_inner_loop_in_a_marked_step_has_its_own_boxes():
    h = tensor(np.ones(3), requires_grad=True)
    with tg.trace():
        for t in range(4):
            with tg.step(t):
                for _ in range(2):
                    h = ops.tanh(h)
    fold = graph(h).fold()
    assert sorted(fold.counts) == [1, 8]
    drawing = draw_graph(h, view="unrolled")
    check(drawing)
    assert drawing.shown == 9


def test_a_model_is_recorded_with_the_lines_of_its_layers():
    model = tg.Sequential([tg.layers.LSTM(3), tg.layers.Dense(2)])
    drawing = tg.draw_graph(model, np.zeros((1, 4, 2), "float32"), show=("name", "site"))
    assert re.search(r"layers/lstm\.py:\d+", drawing.source) and re.search(
        r"layers/core\.py:\d+", drawing.source
    )
