"""The page of `inspect_graph`: a report as a picture, buckets of time, print, saving, colours, names."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from compare.planted import BUGS, RNN, load
from viz.nets import bidirectional, scope, vanilla
from viz.pages import ODD, chain, nodes, traced, wait

import tinygrad_rnn as tg
from tinygrad_rnn import inspect_graph, ops, tensor

# --- a report of gradients ---


def test_the_picture_of_a_report_of_gradients(visit, tmp_path):
    bug = BUGS["factor 2"]
    module, _ = load(tmp_path, RNN, "wrong", bug)
    rec = tg.ManualRecorder()
    module.backward(rec)
    report = tg.compare_gradients(rec, module.P, loss_fn=module.loss_fn, inputs=[module.X])
    with tg.trace():
        loss = module.loss_fn()
    page = visit(inspect_graph(loss, compare=report), "#view=compare")
    cells = page.locator("#view-compare .cell")
    assert cells.count() == len(report.rows)
    texts = dict(
        zip(
            cells.locator("title").all_text_contents(), cells.locator("text").all_text_contents(), strict=True
        )
    )
    for row in report.rows:
        title = next(t for t in texts if t.startswith(f"{row.parameter} at t = {row.t}:"))
        number = float(re.search(r"[−\d.]+", texts[title])[0].replace("−", "-"))
        assert number == pytest.approx(np.log10(row.norm_rel), abs=0.051)
        assert ("✗" in texts[title]) == row.failed
    first = page.locator("#view-compare .first").bounding_box()
    marked = next(k for k, t in enumerate(texts) if t.startswith(f"{bug.quantity} at t = {bug.t}:"))
    cell = cells.nth(marked).locator("rect").bounding_box()
    assert abs(first["x"] - cell["x"]) < 4 and abs(first["y"] - cell["y"]) < 4
    page.locator("#view-compare li button", has_text="your line wrong.py").click()
    assert page.evaluate("tg.counts().t") == bug.t and page.locator("#detail h2").inner_text() == "z"
    assert page.evaluate("tg.setView('compare')")
    cells.nth(marked).click()
    assert page.locator("#detail h2").inner_text() == "z"


def test_a_report_with_everything_odd_in_it(visit):
    rows = {"w": np.array([2.0, np.nan]), "gone": np.ones(3), ODD: np.ones(2)}
    w = tg.Variable([1.0, -2.0], name="w")
    report = tg.compare_gradients(rows, {"w": w}, loss_fn=lambda: (w * w).sum())
    with tg.trace():
        loss = (w * w).sum()
    page = visit(inspect_graph(loss, compare=report), "#view=compare")
    assert "non-finite" in page.locator(".matrix").text_content()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- more steps than one axis shows ---


@pytest.fixture(scope="module")
def long():
    with tg.trace():
        h = tensor(np.full(1, 0.5, np.float32), requires_grad=True, name="h")
        for t in range(20_500):
            with tg.step(t):
                h = ops.tanh(h)
    return inspect_graph(h.sum(), values="none"), tg.graph(h.sum()).value, tg.graph(h.sum()).t


def test_many_steps_stand_in_buckets(long, visit):
    report, value, t = long
    page = visit(report, "#view=unrolled")
    titles = page.locator("g.bucket title").all_text_contents()
    assert len(titles) == 21 and nodes(page) == 0
    grads = page.locator("g.bucket").first.locator("title").text_content()
    assert "t = 0 to 999: largest" in grads.replace("\u202f", "")
    page.locator("#colour").select_option("value")
    titles = page.locator("g.bucket title").all_text_contents()
    for k in (0, 7, 20):
        most = np.nanmax(value[(t >= 1000 * k) & (t < 1000 * (k + 1))])
        assert float(titles[k].split()[-1]) == pytest.approx(most, rel=1e-3)
    page.locator("g.bucket").nth(7).locator(".back").click()
    assert page.evaluate("tg.counts().t") == 7000 and nodes(page) > 3
    assert page.locator('g.node[data-t="7000"]').first.is_visible()
    assert page.evaluate("document.getElementById('canvas').scrollWidth") < 10_000_000
    page.evaluate("document.getElementById('canvas').scrollLeft = 1e9")
    wait(page, "document.querySelector('g.node[data-t=\"7999\"]')")
    assert page.locator('g.node[data-t="8000"]').count() == 0
    again = visit(report, page.evaluate("location.hash"))
    assert again.locator('g.node[data-t="7000"]').first.is_visible()
    again.locator("#all").click()
    assert again.locator("g.bucket.chosen").get_attribute("data-from") == "7000"


def test_buckets_by_keyboard(long, visit):
    page = visit(long[0], "#view=unrolled&level=steps&t=500")
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("tg.counts().t") == 1000 and "largest" in page.locator("#status").inner_text()
    page.keyboard.press("Enter")
    assert page.locator('g.node[data-t="1000"]').first.is_visible()
    page.keyboard.press("ArrowLeft")  # over the edge of the bucket
    assert page.locator('g.node[data-t="999"]').first.is_visible()
    page.evaluate("tg.select('n1@t=20499')")
    assert page.locator('g.node.selected[data-t="20499"]').is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.locator("g.bucket").count() == 21 and page.evaluate("tg.counts().svg") <= 3000


def test_a_step_that_is_too_large_says_so(visit):
    with tg.trace():
        h = tensor(np.ones(2), requires_grad=True, name="h")
        for t in range(2):
            with scope("wide", t):
                h = sum((ops.tanh(h + k) for k in range(150)), start=h)
    report = inspect_graph(h.sum())
    assert "one step has more than 400 boxes, so its ops are not drawn one by one" in report.note
    page = visit(report, "#view=unrolled")
    assert "more than 400 boxes" in page.locator("#bar").inner_text() and nodes(page) > 0
    assert "more than 400" not in inspect_graph(vanilla()).note


# --- print, save, colours, names ---


@pytest.mark.parametrize("view", ["folded", "unrolled", "layers", "time"])
def test_in_print_the_view_is_seen(view, visit):
    page = visit(inspect_graph(traced(vanilla, 9)), f"#view={view}&node=n8")
    page.emulate_media(media="print")
    seen = page.locator(f"#view-{view}")
    assert seen.is_visible() and page.locator("section[id]:visible").count() == 1
    assert page.locator("#detail").is_visible() and page.locator("h1").is_visible()
    for hidden in ("#tabs", "#save", "#search", "#step-next", "#colour" if view != "time" else "#theme"):
        assert not page.locator(hidden).is_visible(), hidden
    side, main = page.locator("#detail").bounding_box(), seen.bounding_box()
    assert (
        side["y"] >= main["y"] + main["height"] - 1
    )  # the panel comes after the picture, nothing is covered
    if view in ("folded", "layers"):
        picture = page.locator("svg.graph").bounding_box()
        assert picture["x"] >= 0 and picture["x"] + picture["width"] <= 1300  # nothing is cut off


@pytest.mark.parametrize("view", ["folded", "unrolled", "layers", "compare"])
def test_the_saved_svg_is_the_view(view, visit, browser, tmp_path):
    page = visit(
        inspect_graph(traced(vanilla, 9), compare=vanilla(3)), f"#view={view}&color=grad", theme="dark"
    )
    with page.expect_download() as waiting:
        page.locator("#save").click()
    assert waiting.value.suggested_filename == f"{view}.svg"
    file = tmp_path / "saved.svg"
    waiting.value.save_as(file)
    root = ElementTree.parse(file).getroot()
    names = [g.get("data-id") for g in root.iter("{http://www.w3.org/2000/svg}g") if g.get("data-id")]
    assert names == page.evaluate("[...document.querySelectorAll('g.node')].map(g => g.dataset.id)")
    words = ["".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == page.locator(f"#view-{view} svg.graph text").all_text_contents()
    shot = page.locator("svg.graph").bounding_box()
    assert float(root.get("width")) == pytest.approx(shot["width"], abs=1)
    look = "g => { const s = getComputedStyle(g); return [s.fill, s.stroke]; }"
    before = page.locator("g.node > rect").first.evaluate(look)
    alone = browser.new_page()  # by itself, in a light browser, it looks the same
    alone.goto(file.as_uri())
    assert alone.locator("g.node > rect").first.evaluate(look) == before
    assert alone.locator("marker").count() == 2
    alone.close()


def luminance(colour):
    c = np.array([int(n) / 255 for n in re.findall(r"\d+", colour)[:3]])
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_of_a_box_can_be_read(theme, visit):
    page = visit(inspect_graph(traced(bidirectional)), theme=theme)
    for hash in ("view=layers&open=s1.l1", "view=unrolled&level=steps", "view=folded"):
        for colour in ("kind", "layer", "grad", "value", "time"):
            page.evaluate("hash => { location.hash = hash; }", f"{hash}&color={colour}")
            wait(page, f"location.hash.includes('color={colour}') || '{colour}' === 'kind'")
            pairs = page.evaluate(
                """[...document.querySelectorAll('g.node text:not(.halo)')].map(t =>
                    [t, t.parentElement.querySelector('rect')].map(e => getComputedStyle(e).fill))"""
            )
            assert len(pairs) > 10
            for ink, ground in set(map(tuple, pairs)):
                low, high = sorted((luminance(ink), luminance(ground)))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (hash, colour, ink, ground)


NAMES = ("<img src=x onerror=alert(1)>&lt;b&gt;", "\u05e9\u05dc\u05d5\u05dd\u202eabc")
SHOWN = """([name, selectors]) => Object.entries(selectors).flatMap(([place, selector]) =>
    [...document.querySelectorAll(selector)].filter(e => e.textContent.includes(name)).map(e =>
        [place, e.tagName === 'BDI' || e.closest('[dir=auto]') !== null]))"""


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_wherever_they_are_shown(name, visit):
    w = tg.Variable(np.ones((2, 2)), name=name + "/w")

    def loss_fn():
        h = tensor(np.ones((1, 2)), requires_grad=True, name=name)
        for t in range(3):
            with scope(name, t):
                h = ops.tanh(h @ w)
        return h.sum()

    report = tg.compare_gradients({name + "/w": np.ones((2, 2))}, {name + "/w": w}, loss_fn=loss_fn)
    with tg.trace():
        loss = loss_fn()
        loss.backward(retain_graph=True)
    page = visit(inspect_graph(loss, title=name, compare=report))
    page.locator("#list > summary").click()
    page.locator("#accumulated > summary").click()
    page.evaluate("tg.step(3)")
    places = {
        "heading": "h1", "panel": "#detail h2", "links": "#detail .links button", "table": "#table th button",
        "sums": "#sums th button", "step": "#step-text bdi", "time": "#view-time bdi",
        "compare": "#view-compare li button, #view-compare li bdi",
        "found": "#found button",
    }  # fmt: skip
    seen = set()
    for view in ("layers", "unrolled", "time", "compare", "folded"):
        page.evaluate("view => tg.setView(view)", view)
        page.evaluate("tg.select('n0')")
        page.locator("#search").fill(name[:4])
        page.wait_for_timeout(100)
        for place, selector in places.items():
            for element in page.locator(selector).all():
                if name in (element.text_content() or ""):
                    seen.add(place)
                    assert element.evaluate(
                        "e => e.tagName === 'BDI' || e.dir === 'auto' || e.closest('[dir=auto]') !== null"
                    )
        assert page.locator("img, svg b").count() == 0
        if view in ("layers", "folded"):
            assert any(name in text for text in page.locator("svg.graph text").all_text_contents())
            assert (
                page.locator("svg.graph text").first.evaluate("e => getComputedStyle(e).unicodeBidi")
                == "isolate"
            )
    assert seen >= {"heading", "panel", "links", "table", "sums", "time", "compare", "found"}, seen


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_new_views_are_accessible(theme, visit):
    package = pytest.importorskip("axe_playwright_python.sync_playwright")
    loss = chain(30)
    w = tg.Variable([1.0, -2.0], name="w")
    report = tg.compare_gradients({"w": np.array([2.0, 4.0])}, {"w": w}, loss_fn=lambda: (w * w).sum())
    for page in (
        visit(
            inspect_graph(traced(vanilla), compare=report, theme=theme),
            "#view=layers&open=s1.l1",
            theme=theme,
        ),
        visit(inspect_graph(loss, compare=report, theme=theme), "#view=compare", theme=theme),
        visit(
            inspect_graph(loss, theme=theme),
            "#view=unrolled&level=steps&node=n2&t=7&path=n2%40t%3D20",
            theme=theme,
        ),
    ):
        page.wait_for_timeout(100)
        found = package.Axe().run(page).response["violations"]
        serious = [
            (v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")
        ]
        assert serious == []
