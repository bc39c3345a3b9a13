"""Where labels and titles stand: clear of one another, and of the arrows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import numpy as np
import pytest
from viz.hand import traced, weights
from viz.pages import wait
from viz.pictures import SVG, check
from viz.zoo import ZOO

import tinygrad_rnn as tg
from tinygrad_rnn import draw_graph, inspect_graph, layers
from tinygrad_rnn.datasets.text import Vocabulary
from tinygrad_rnn.models.characters import character_model
from tinygrad_rnn.viz.scene import SMALL, text_width


def labels(root):
    """Text, left, right and baseline of the labels of arrows."""
    found = []
    for g in root.iter(f"{SVG}g"):
        if "edge-label" in g.get("class").split():
            text = g.find(f"{SVG}text")
            half = text_width(text.text, SMALL) / 2
            found.append(
                (text.text, float(text.get("x")) - half, float(text.get("x")) + half, float(text.get("y")))
            )
    return found


def test_labels_of_an_unrolled_gru_do_not_overlap():
    model = tg.Sequential([tg.Input((3, 3)), layers.GRU(4), layers.Dense(1)])
    loss = (model(np.ones((2, 3, 3), np.float32)) ** 2).sum()
    for direction in ("LR", "TB"):
        found = labels(ET.fromstring(draw_graph(loss, view="unrolled", direction=direction).svg()))
        assert len(found) > 20
        for (_, a, b, y), (_, c, d, z) in combinations(found, 2):
            assert b <= c or d <= a or abs(y - z) >= SMALL


@pytest.mark.parametrize("name", ["bidirectional_stack", "encoder_and_decoder", "gru", "attention"])
def test_labels_seldom_overlap(name):
    found = labels(ET.fromstring(draw_graph(ZOO[name](), view="unrolled", max_nodes=400).svg()))
    over = [
        1 for (_, a, b, y), (_, c, d, z) in combinations(found, 2) if a < d and c < b and abs(y - z) < SMALL
    ]
    assert len(over) <= len(found) / 20


HANDED = {(0, 0): "last t → first t", (0, 1): "last t → last t", (1, 0): "first t → first t"}  # backwards?


@pytest.mark.parametrize("ways", HANDED)
def test_a_state_that_a_decoder_takes_over_is_not_carried_over_a_number_of_steps(ways):
    x, y = (tg.tensor(np.ones((2, n, 4), np.float32), requires_grad=True) for n in (4, 3))
    _, *states = layers.LSTM(4, return_state=True, name="encoder", go_backwards=ways[0])(x)
    decoder = layers.LSTM(4, return_sequences=True, name="decoder", go_backwards=ways[1])
    drawing = draw_graph(decoder(y, initial_state=states).sum(), view="folded")
    root = ET.fromstring(drawing.svg())
    found = [text for text, *_ in labels(root)]
    assert found.count(HANDED[ways]) == 2 and {text for text in found if text[:2] == "t+"} <= {"t+1"}
    assert "folded over 4 and 3 steps" in drawing.note
    carried = [g for g in root.iter(f"{SVG}g") if g.get("class") == "edge carry" and g.get("data-from")]
    assert len(carried) == 4  # h and c of both


def test_two_steps_of_a_loop_between_layers_stay_carried():
    drawing = draw_graph(ZOO["feedback_between_layers"](2), view="folded")
    found = [text for text, *_ in labels(ET.fromstring(drawing.svg()))]
    assert found == ["t−1", "last t"] and "folded over 2 steps" in drawing.note


CROSSED = """() => {
    const found = [], texts = [...document.querySelectorAll('svg.graph .group text')];
    const titles = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    for (const path of document.querySelectorAll('svg.graph .edge path')) {
        const place = path.getScreenCTM(), length = path.getTotalLength();
        for (let k = 0; k <= 60; k++) {
            const {x, y} = path.getPointAtLength(length * k / 60).matrixTransform(place);
            const under = ([, r]) => r.left < x && x < r.right && r.top < y && y < r.bottom;
            found.push(...titles.filter(under).map(([text]) => text));
        }
    }
    return [titles.length, found];
}"""


def test_arrows_pass_beside_the_titles_of_the_columns(visit):
    text = "hello hello\n"
    model = character_model(Vocabulary(text), "lstm", units=4)
    page = visit(inspect_graph(model, text=text), "#view=unrolled")
    for show in (0, 1):
        page.locator("select").first.select_option(index=show)
        wait(page, "document.querySelectorAll('g.node').length > 6")
        count, crossed = page.evaluate(CROSSED)
        assert count > 3 and crossed == []
    assert "“e”" in page.locator("svg.graph .group text.end").all_text_contents()


def test_titles_stand_beside_the_arrows_that_dot_leads_past_them(visit, tmp_path):
    """The arrow to the next step comes back above the first box, where the title of the frame would be."""
    U, W, b, V = weights((4, 4), (4, 4), (4, 1), (4, 4))
    x = np.ones((4, 2, 5))
    with tg.trace():
        a, loss = np.zeros((4, 2)), 0.0
        for t in range(5):
            a = tg.ops.tanh(U @ a + W @ x[:, :, t] + b)
            loss = loss + (V @ a).sum()
    page = visit(inspect_graph(loss))
    assert page.evaluate(CROSSED) == [1, []]
    picture = draw_graph(loss, view="folded").save(tmp_path / "picture.svg").read_text()
    page.evaluate("svg => { document.body.innerHTML = svg.replace('tg-graph', 'graph tg-graph'); }", picture)
    assert page.evaluate(CROSSED) == [1, []]


@pytest.mark.parametrize("direction", ["LR", "RL"])
def test_arrows_of_a_drawing_pass_beside_the_titles_too(direction):
    drawing = draw_graph(ZOO["bidirectional_stack"](12), view="unrolled", depth=1, direction=direction)
    root = ET.fromstring(drawing.svg())
    titles = [
        t for g in root.iter(f"{SVG}g") if "step" in g.get("class").split() for t in g.iter(f"{SVG}text")
    ]
    for g in root.iter(f"{SVG}g"):
        if "edge" in g.get("class").split() and g.get("data-from"):
            numbers = re.findall(r"(-?[\d.]+),(-?[\d.]+)", g.find(f"{SVG}path").get("d"))
            for (u, v), (x, y) in pairwise([(float(x), float(y)) for x, y in numbers]):
                for title in titles:
                    left, line = float(title.get("x")), float(title.get("y")) - 4
                    if u == x and min(v, y) < line < max(v, y):
                        assert not left < x < left + text_width(title.text, 11), (
                            title.text,
                            g.get("data-from"),
                        )


@pytest.mark.parametrize("name", ["hello", "lstm", "both_ways"])
def test_carried_arrows_of_a_loop_say_the_delay_in_every_view(name, engine):
    for view in ("folded", "layers"):
        root = ET.fromstring(draw_graph(traced(name, 5), view=view).svg())
        delays = [text for text, *_ in labels(root) if re.fullmatch(r"t[−+]\d", text)]
        carried = [g for g in root.iter(f"{SVG}g") if {"carry", "edge"} <= set(g.get("class").split())]
        assert len(delays) == sum(g.get("data-from") is not None for g in carried) > 0


def test_how_often_an_op_ran_stands_inside_its_box(engine):
    root = check(draw_graph(traced("hello", 5), view="layers"))
    counts = 0
    for g in root.iter(f"{SVG}g"):
        if "node" in (g.get("class") or "").split():
            box = g.find(f"{SVG}rect")
            top, height = float(box.get("y")), float(box.get("height"))
            lines = [float(t.get("y")) for t in g.iter(f"{SVG}text") if t.text == "×5"]
            counts += len(lines)
            assert all(top < y < top + height for y in lines)
    assert counts == 11
