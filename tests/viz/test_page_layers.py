"""The page of `inspect_graph`: layers open one at a time, and a path is followed between two nodes."""

from __future__ import annotations

import numpy as np
import pytest
from viz.nets import bidirectional, lstm
from viz.pages import BOXES, apart, chain, click, nodes, traced

import tinygrad_rnn as tg
from tinygrad_rnn import inspect_graph
from tinygrad_rnn.datasets.text import Vocabulary
from tinygrad_rnn.models.characters import character_model

LOOSE = """[...document.querySelectorAll('g.edge')].map(g => {
    const path = g.querySelector('path'), box = path.getBBox();
    return !path.getAttribute('d').includes('NaN') && box.width + box.height > 0 ? 0 : 1;
}).reduce((a, b) => a + b, 0)"""


# --- layers open one at a time ---


def test_only_the_clicked_layer_opens(visit):
    report = inspect_graph(traced(bidirectional))
    page = visit(report, "#view=layers")
    before = page.evaluate(BOXES)
    first, second = [b["id"] for b in before if b["id"][0] == "l"][:2]
    click(page, first)
    assert page.evaluate("tg.counts().open") == [first]
    opened = page.evaluate(BOXES)
    assert [b["id"] for b in opened if b["open"]] == [first]
    assert {b["id"] for b in before} < {b["id"] for b in opened}
    apart(opened)
    click(page, "s" + first[1:])  # layer → step → operation
    inner = page.evaluate(BOXES)
    assert len(inner) > len(opened) + 10 and page.locator('g.node[data-op="sigmoid"]').count() == 3
    apart(inner)
    click(page, second)
    assert page.evaluate("tg.counts().open") == [first, "s" + first[1:], second]
    apart(page.evaluate(BOXES))
    assert page.evaluate(LOOSE) == 0 and page.evaluate("tg.counts().svg") <= 3000
    hash = page.evaluate("location.hash")
    again = visit(report, hash)
    assert again.evaluate("tg.counts()") == page.evaluate("tg.counts()")
    click(again, first)
    assert again.evaluate("tg.counts().open") == ["s" + first[1:], second]
    click(again, second)
    assert [b["id"] for b in again.evaluate(BOXES)] == [b["id"] for b in before]
    assert np.allclose([b["at"][2:] for b in again.evaluate(BOXES)], [b["at"][2:] for b in before], atol=1)


def test_an_open_layer_keeps_its_place_and_its_edges(visit):
    page = visit(inspect_graph(traced(bidirectional)), "#view=layers")
    start = next(b for b in page.evaluate(BOXES) if b["id"][0] == "l")
    click(page, start["id"])
    found = {b["id"]: b["at"] for b in page.evaluate(BOXES)}
    assert found[start["id"]][0] == pytest.approx(start["at"][0], abs=60)  # the picture is scaled
    ends = page.evaluate(  # where every edge between boxes begins and ends, on the screen
        """[...document.querySelectorAll('g.edge')].map(g => {
            const path = g.querySelector('path'), m = path.getScreenCTM(), ends = [0, path.getTotalLength()];
            return ends.map(n => path.getPointAtLength(n).matrixTransform(m)).map(p => [p.x, p.y]); })"""
    )
    assert len(ends) > 10
    for pair in ends:
        for x, y in pair:
            near = [a for a in found.values() if a[0] - 4 <= x <= a[2] + 4 and a[1] - 4 <= y <= a[3] + 4]
            assert near, (x, y)


def test_layers_open_by_keyboard_and_by_search(visit):
    page = visit(inspect_graph(traced(lstm)), "#view=layers")
    layer = page.locator("g.node.layer").first.get_attribute("data-id")
    page.evaluate("id => tg.select(id)", layer)
    page.locator("#canvas").focus()
    for expected in ([layer], []):
        page.keyboard.press("Enter")
        assert page.evaluate("tg.counts().open") == expected
        assert page.evaluate("document.activeElement.id") == "canvas"
        assert ("is open" if expected else "is closed") in page.locator("#status").inner_text()
    page.keyboard.press("/")
    page.keyboard.type("sigmoid")
    page.keyboard.press("Enter")  # what is found is shown where it is
    assert page.evaluate("tg.counts().view") == "layers"
    assert page.locator("g.node.selected[data-op=sigmoid]").is_visible()
    page.evaluate("id => tg.select(id)", layer)
    page.locator("#detail").get_by_role("button", name="Show its steps").click()
    assert page.evaluate("tg.counts().view") == "unrolled"


def test_a_character_model_opens_its_layers(visit):
    model = character_model(Vocabulary("hello"), "lstm", units=3, embedding=2)
    page = visit(inspect_graph(model, text="hello"), "#view=layers")
    layers = page.evaluate("[...document.querySelectorAll('g.node.layer')].map(g => g.dataset.id)")
    for layer in layers:
        before = nodes(page)
        click(page, layer)
        assert nodes(page) >= before
        apart(page.evaluate(BOXES))


# --- the path between two nodes ---


def between(graph, first, last):
    """Rows on a way from one row to another, by plain search."""
    down, up = {first}, {last}
    for row in range(first + 1, len(graph)):
        if set(graph.parents[graph.start[row] : graph.start[row + 1]].tolist()) & down:
            down.add(row)
    for row in range(last, -1, -1):
        if row in up:
            up |= set(graph.parents[graph.start[row] : graph.start[row + 1]].tolist())
    return down & up


def test_the_path_between_two_chosen_nodes(visit):
    loss = chain()
    graph, report = tg.graph(loss), inspect_graph(loss)
    fold = graph.fold()
    a, b = (int(np.flatnonzero((graph.op == "multiply") & (graph.t == t))[0]) for t in (2, 7))
    one, other = (f"n{fold.of[row]}@t={graph.t[row]}" for row in (a, b))
    page = visit(report, "#view=unrolled&level=steps")
    page.evaluate("id => tg.select(id)", one)
    page.locator("#path").click()
    page.evaluate("id => tg.select(id)", other)
    expected = {f"n{fold.of[row]}@t={graph.t[row]}" for row in between(graph, a, b)}
    bright = "[...document.querySelectorAll('g.node:not(.away)')].map(g => g.dataset.id)"
    assert set(page.evaluate(bright)) == {
        id for id in expected if page.locator(f'g.node[data-id="{id}"]').count()
    }
    assert page.locator("g.node.away").count() > 0 and page.locator("g.edge.away").count() > 0
    assert float(page.locator("#growth").inner_text()) == pytest.approx(0.5**5, rel=1e-3)
    assert (
        page.locator("#way tbody tr").count() == 6
        and "0.5 per time step" in page.locator("#way").inner_text()
    )
    hash = page.evaluate("location.hash")
    again = visit(report, hash)
    assert again.evaluate("tg.counts()") == page.evaluate("tg.counts()") and again.locator("#growth").count()
    again.evaluate("tg.setView('folded')")
    shown = {id.split("@")[0] for id in again.evaluate(bright)}
    assert shown == {id.split("@")[0] for id in expected} and again.locator("g.node.away").count() > 0
    again.keyboard.press("Escape")
    assert again.locator("g.node.away").count() == 0 and again.locator("#way").count() == 0


def test_the_path_by_mouse_and_by_keyboard(visit):
    page = visit(inspect_graph(chain()), "#view=folded")
    ids = page.evaluate("[...document.querySelectorAll('g.node')].map(g => g.dataset.id)")
    click(page, ids[0])
    click(page, ids[-1], modifiers=["Shift"])
    assert page.evaluate("tg.counts().path").split("@")[0] == ids[0] and page.locator("#way").is_visible()
    page.locator("#canvas").focus()
    page.keyboard.press("p")
    assert page.evaluate("tg.counts().path") == "" and "gone" in page.locator("#status").inner_text()
    page.keyboard.press("p")
    assert page.evaluate("tg.counts().path").startswith(ids[-1])
    exp, loss = (
        page.locator(f'g.node[data-op="{op}"]').first.get_attribute("data-id") for op in ("exp", "multiply")
    )
    page.evaluate("([a, b]) => { tg.select(''); tg.select(a + '@t=8'); }", [exp, loss])
    page.locator("#path").click()
    page.locator("#path").click()
    page.evaluate("([a, b]) => tg.select(b + '@t=8')", [exp, loss])
    assert "No value goes from" in page.locator("#way").inner_text()
