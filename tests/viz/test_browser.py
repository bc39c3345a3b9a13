"""The drawings in Chromium: every box is there, inside the picture, and covers no other."""

from __future__ import annotations

import shutil
from itertools import combinations

import pytest
from viz.hand import traced
from viz.nets import bidirectional, network, vanilla

from tinygrad_rnn import draw_graph

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

MEASURE = """() => [...document.querySelectorAll("svg g.node")].map(g => {
    const b = g.querySelector("rect").getBBox(), whole = g.getBBox();
    const texts = [...g.querySelectorAll("text:not(.halo)")].map(t => t.getBBox());
    return [b, whole, ...texts].map(r => [r.x, r.y, r.x + r.width, r.y + r.height]);
})"""


@pytest.fixture(scope="module")
def page():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def pictures():
    loss = traced("hello", 4, backward=True)
    yield draw_graph(loss, view="unrolled", color_by="grad", theme="dark")
    yield draw_graph(loss, view="folded", show=("name", "shape", "dtype", "value", "grad", "site", "bytes"))
    for view in ("folded", "unrolled", "layers"):
        yield draw_graph(bidirectional(8), view=view)
    yield draw_graph(vanilla(12), params="node", direction="TB")
    yield draw_graph(network(), direction="RL", diff=vanilla(2))


@pytest.mark.parametrize("installed", [True, False])
def test_every_box_is_seen(page, installed, monkeypatch):
    if not installed:
        monkeypatch.setenv("PATH", "")
    for drawing in pictures():
        page.set_content(f"<body style='margin:0'>{drawing.svg()}</body>")
        found = page.evaluate(MEASURE)
        assert len(found) == drawing.shown
        left, top, width, height = page.evaluate(
            "() => { const v = document.querySelector('svg').viewBox.baseVal; return [v.x, v.y, v.width, v.height] }"
        )
        for rect, whole, *texts in found:
            assert left <= whole[0] and top <= whole[1]
            assert whole[2] <= left + width and whole[3] <= top + height
            for text in texts:  # nothing is written over the edge of its box
                assert rect[0] - 1 <= text[0] and text[2] <= rect[2] + 1, (drawing, rect, text)
        for (a, *_), (b, *_) in combinations(found, 2):
            assert a[2] <= b[0] + 0.2 or b[2] <= a[0] + 0.2 or a[3] <= b[1] + 0.2 or b[3] <= a[1] + 0.2
