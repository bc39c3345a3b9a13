"""`inspect_graph`: the page, opened in a real browser, shows the arrays as they are and never fails."""

from __future__ import annotations

import numpy as np
import pytest
from viz.nets import NETS, bidirectional, lstm, network, scope, vanilla
from viz.pages import ODD, VIEWS, blocks, nodes, traced, wait

import tinygrad_rnn as tg
from tinygrad_rnn import Tensor, Variable, inspect_graph, ops, tensor
from tinygrad_rnn.datasets.text import Vocabulary
from tinygrad_rnn.models.characters import character_model


def test_a_report_of_gradients_stands_beside_the_graph(visit):
    w = tg.Variable([1.0, -2.0], name="w")

    def loss_fn():
        return (w * w).sum()

    report = tg.compare_gradients({"w": np.array([2.0, 4.0])}, {"w": w}, loss_fn=loss_fn)
    with tg.trace():
        loss = loss_fn()
    for _ in range(2):
        page = visit(inspect_graph(loss, compare=report))
        assert page.evaluate("tg.setView('compare')")
        text = page.locator("#view-compare").inner_text()
        assert report.title in text and "differs: w" in text


@pytest.mark.parametrize("net", ["lstm", "bidirectional", "network"])
def test_every_view_of_every_net(net, visit):
    loss = traced(NETS[net])
    page = visit(inspect_graph(loss, compare=network()))
    for view in VIEWS:
        shown = page.evaluate("view => tg.setView(view)", view)
        assert shown == (view != "text" and (net != "network" or view not in ("unrolled", "time")))
        if view == "compare" and net != "network":
            marks = page.locator("#view-compare g.edge.added, #view-compare g.edge.removed")
            assert marks.count() > 0
        if shown:
            assert page.locator(f"#view-{view}").is_visible()
            assert f"view={view}" in page.evaluate("location.hash")
            assert page.locator("section:visible").count() == 1
    for view in ("folded", "layers") + (("unrolled",) if net != "network" else ()):
        page.evaluate("view => tg.setView(view)", view)
        for colour in ("grad", "value", "layer", "kind"):
            page.locator("#colour").select_option(colour)
            assert nodes(page) == page.evaluate("tg.counts().shown") > 0
        assert page.evaluate("tg.counts().svg") <= 3000
        boxes = page.evaluate("""[...document.querySelectorAll('g.node > rect.box')].map(r => {
            const b = r.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })""")
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1


def test_the_panel_shows_the_arrays(visit):
    """Every number of the panel is the array's, to the last digit."""
    loss = traced(lstm, 3)
    graph = tg.graph(loss)
    page = visit(inspect_graph(loss, values="full"))
    fold = graph.fold()
    seen = 0
    for row in range(len(graph)):
        kept = graph.trace[row]
        if isinstance(kept.value, tuple) or np.size(kept.value) > 256:
            continue
        t = f"@t={graph.t[row]}" if graph.t[row] >= 0 else ""
        shown = page.evaluate(
            """id => { tg.select(id); return ["value", "grad"].map(what =>
                [...document.querySelectorAll(`#detail [data-what=${what}] td`)].map(cell => cell.dataset.value)); }""",
            f"n{fold.of[row]}{t}",
        )
        for cells, array in zip(shown, (kept.value, kept.grad), strict=True):
            assert [float(c) for c in cells] == np.ravel(array).tolist(), graph.op[row]
        seen += 1
    assert seen > 30
    page.evaluate("tg.select('n12@t=2')")
    words = page.locator("#detail").inner_text()
    assert "nets.py" in words and "Formula" in words and "Computed from" in words and "Used by" in words


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stepping_to_the_end_gives_the_gradients_bit_for_bit(dtype, visit):
    rng = np.random.default_rng(0)
    w, u = (Variable(rng.normal(size=s).astype(dtype), name=n) for s, n in (((3, 5), "W"), ((5, 5), "U")))
    xs = rng.normal(size=(40, 2, 3)).astype(dtype)
    with tg.trace():
        h: Tensor = ops.tanh(xs[0] @ w)
        for x in xs[1:]:
            h = ops.tanh(x @ w + h @ u)
        loss = (h * h).sum()
        loss.backward(retain_graph=True)
    page = visit(inspect_graph(loss))
    total = page.evaluate("tg.counts().backward")
    assert total == len(tg.graph(loss))
    for _ in range(2):
        page.locator("#step-last").click()
        assert page.evaluate("tg.counts().step") == total
        for weight in (w, u):
            shown = page.evaluate("name => tg.accumulated(name)", weight.name)
            np.testing.assert_array_equal(np.array(shown, dtype), weight.grad.ravel())
        page.evaluate("tg.step(0)")
        assert page.evaluate("tg.accumulated('W')") is None
    order = []
    for n in range(1, 12):
        page.locator("#step-next").click()
        order.append(page.locator("#step-text").inner_text().split(" ·")[0])
        assert f"{n} of" in page.locator("#step-count").inner_text()
    assert len(set(order)) > 3
    page.locator("#step-prev").click()
    assert page.evaluate("tg.counts().step") == 10
    half = page.evaluate("tg.step(Math.round(tg.counts().backward / 2)) || tg.accumulated('W')")
    assert not np.array_equal(np.array(half, dtype), w.grad.ravel())


def test_the_hash_restores_the_state(visit):
    report = inspect_graph(traced(lstm, 30))
    page = visit(report)
    page.evaluate("tg.setView('unrolled'); tg.select('n12@t=17')")
    page.locator("#level").select_option("steps")
    page.locator("#colour").select_option("grad")
    hash, before = page.evaluate("location.hash"), page.evaluate("tg.counts()")
    assert "view=unrolled" in hash and "t=17" in hash and "node=n12" in hash
    assert page.locator("g.node.selected").get_attribute("data-t") == "17"
    again = visit(report, hash)
    assert again.evaluate("tg.counts()") == before and again.locator("#colour").input_value() == "grad"
    for broken in ("view=nothing&t=999&node=n99999", "t=NaN&node=<b>", "&&=%"):
        again.evaluate("hash => { location.hash = hash; }", broken)
        wait(again, "tg.counts().view === 'folded'")


def test_keyboard_tour(visit):
    page = visit(inspect_graph(traced(vanilla, 9)), "#view=unrolled&t=4&level=steps")

    def press(key):
        page.keyboard.press(key)
        return page.evaluate("tg.counts()")

    for _ in range(30):
        press("Tab")
        if page.evaluate("document.activeElement.id") == "canvas":
            break
    else:
        pytest.fail("Tab does not reach the graph")
    assert press("ArrowDown")["selected"]
    tanh = page.locator('g.node[data-op="tanh"][data-t="4"]').get_attribute("data-id")
    page.evaluate("id => tg.select(id)", tanh)
    assert press("ArrowRight")["t"] == 5 and press("ArrowLeft")["t"] == 4
    assert "t = 4" in page.locator("#status").inner_text()
    assert press("ArrowUp")["selected"] not in ("", tanh.split("@")[0])
    press("ArrowDown")
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail"
    press("/")
    page.keyboard.type("tanh")
    assert "tanh" in page.locator("#found").inner_text()
    assert press("Enter")["selected"] == tanh.split("@")[0]
    assert page.locator("#found").is_hidden()
    page.locator("#canvas").focus()
    press("Space")
    wait(page, "tg.counts().step > 0")
    press("Space")
    assert press("Escape")["selected"] == ""
    page.locator("#tab-unrolled").focus()
    assert press("ArrowRight")["view"] == "layers"
    layer = page.locator("g.node.layer").first.get_attribute("data-id")
    page.evaluate("id => tg.select(id)", layer)
    page.locator("#canvas").focus()
    assert press("Enter")["open"] == [layer]
    page.locator("#detail").get_by_role("button", name="Show its steps").click()
    assert press("Enter")["shown"] > 20  # a layer in one step → its ops


def test_what_is_visible_is_also_a_table(visit):
    page = visit(inspect_graph(traced(vanilla)))
    page.locator("#list > summary").click()
    wait(page, "document.querySelectorAll('#table tbody tr').length > 0")
    assert page.locator("#table tbody tr").count() == nodes(page)
    assert page.locator("#table th[scope=col]").count() == 7


def test_a_character_model_reads_a_text(visit):
    text = "hello hello\n"
    model = character_model(Vocabulary(text), "gru", units=4)
    report = inspect_graph(model, text=text)
    page = visit(report, "#view=text&t=3")
    letters = page.locator(".letter b").all_inner_texts()
    assert letters == list("hello␣hello")  # the last one is only a target
    influence = blocks(report)[1]["influence"].reshape(11, 11)  # output t depends on the characters up to t
    assert not np.triu(influence, 1).any() and np.all(np.diag(influence) > 0) and influence[10, 0] > 0
    page.locator("#what").select_option("grad")
    page.locator(".letter").nth(7).click()
    page.locator("#what").select_option("influence")
    assert page.locator(".letter small").nth(9).inner_text() == "0"
    assert page.evaluate("tg.counts().t") == 7
    page.keyboard.press("ArrowRight")
    assert page.evaluate("tg.counts().t") == 8 and all(v.grad is None for v in model.trainable_variables)


def test_nan_and_infinity_everywhere(visit):
    w = Variable(np.array([[np.nan, np.inf], [-np.inf, 1e300]]), name="w")
    with tg.trace():
        h = tensor(np.full((2, 2), np.inf), requires_grad=True, name="h")
        for t in range(4):
            with tg.step(t):
                h = ops.tanh(h @ w) * 1e308
        report = inspect_graph(ops.sum(h))
    page = visit(report, "#color=grad")
    for view in ("unrolled", "layers", "time", "folded"):
        assert page.evaluate("view => tg.setView(view)", view)
    page.locator("#jumps button", has_text="non-finite value").click()
    assert "non-finite" in page.locator("#detail").inner_text()
    page.locator("#jumps button", has_text="non-finite gradient").click()
    assert "NaN" in page.locator("#detail").inner_text()


@pytest.mark.parametrize("view", VIEWS[:4])
def test_odd_names_in_the_page(view, visit):
    with tg.trace():
        h = tensor(np.ones((2, 2)), requires_grad=True, name=ODD)
        w = Variable(np.ones((2, 2)), name=ODD + "w")
        for t in range(3):
            with scope(ODD, t):
                h = ops.tanh(h @ w)
        report = inspect_graph(h.sum(), title=ODD)
    page = visit(report, f"#view={view}&node=n1")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("b, script:not([id])").count() <= 1


def test_a_failed_model_a_leaf_and_an_unrecorded_tensor(visit):
    with tg.trace():
        h = tensor(np.ones(3), requires_grad=True)
        with pytest.raises(ValueError, match="broadcast"):
            for t in range(5):
                with tg.step(t):
                    h = ops.tanh(h * np.ones(3 if t < 3 else 4))
    for target in (tensor(1.0, requires_grad=True), tensor(1.0), tg.graph(h), {"a": h, "b": h.sum()}):
        page = visit(inspect_graph(target))
        assert nodes(page) >= 1
        page.evaluate("tg.step(1e9); tg.select('n0'); tg.setView('unrolled')")


def test_a_long_recurrence_stays_small_in_the_browser(visit):
    loss = traced(lstm, 200)
    page = visit(inspect_graph(loss, title="long"), "#view=unrolled&level=steps")
    for t in (0, 100, 199):
        page.evaluate("t => tg.select('n12@t=' + t)", t)
        assert page.locator(f'g.node.selected[data-t="{t}"]').count() == 1
        assert page.evaluate("tg.counts().svg") <= 3000
    for _ in range(5):
        page.get_by_label("Zoom out").click()
    assert page.evaluate("tg.counts().svg") <= 3000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible(theme, visit):
    package = pytest.importorskip("axe_playwright_python.sync_playwright")
    model = character_model(Vocabulary("hello"), "rnn", units=3, embedding=2)
    page = visit(inspect_graph(model, text="hello", compare=vanilla(), theme=theme), theme=theme)
    page.locator("#list > summary").click()
    page.locator("#accumulated > summary").click()
    for view in ("folded", "unrolled", "time", "text") if theme == "light" else ("folded", "text"):
        page.evaluate("view => { tg.setView(view); tg.select('n6@t=3'); }", view)
        page.wait_for_timeout(100)
        found = package.Axe().run(page).response["violations"]
        serious = [
            (v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], view


def test_two_directions(visit):
    page = visit(inspect_graph(traced(bidirectional)), "#view=unrolled&level=steps&t=3")
    starts = page.evaluate(
        """[...document.querySelectorAll('g.node[data-t=\"3\"]')].map(g => g.dataset.layer)"""
    )
    assert {"bi_0/forward", "bi_0/backward", "bi_1/forward", "bi_1/backward"} <= set(starts)


def test_only_the_last_step_of_a_running_sum_is_drawn_as_the_result(visit):
    with tg.trace():
        w, h, loss = Variable(np.eye(2), name="w"), np.ones((1, 2)), 0.0
        for _ in range(4):
            h = ops.tanh(h @ w)
            loss = loss + h.sum()
    page = visit(inspect_graph({"loss": loss}), "#view=unrolled&level=steps&t=3")
    outputs = page.locator("#view-unrolled g.node.output")
    drawing = tg.draw_graph(loss, view="unrolled").svg()
    assert [outputs.first.get_attribute("data-t"), outputs.count(), drawing.count("node output")] == [
        "3",
        1,
        1,
    ]
    assert nodes(page) == 16


def test_the_panel_leaves_out_what_is_not_known(visit):
    """Of a value that was not kept all but the norm, of NaN alone the least, the greatest and the histogram."""
    w = Variable(np.full((2, 3), 0.5), name="w")
    reports = [inspect_graph((w * 2.0).sum())]  # its pass runs inside trace(), where nothing was computed
    with tg.trace():
        loss = (w * tensor(np.full((2, 3), np.nan), requires_grad=True)).sum()
    reports.append(inspect_graph(loss))
    found = []
    for report, node in ((reports[0], "n0"), (reports[1], "n0"), (reports[1], "n1")):
        page = visit(report)
        page.evaluate("id => tg.select(id)", node)
        part = page.locator("#detail section[data-what=value]")
        words = part.locator(".stats").inner_text().split()
        found.append((" ".join(words), part.locator("svg.bars").count()))
    assert found == [
        ("norm 1.225", 0),
        ("norm 1.225 mean 0.5 min 0.5 max 0.5", 1),
        ("norm NaN 6 non-finite", 0),
    ]
