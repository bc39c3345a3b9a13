"""`draw_graph`: the pictures are well formed, readable without `dot`, and say what they leave out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from viz.nets import NETS, bidirectional, lstm, network, scope, vanilla
from viz.pictures import SVG, check

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, draw_graph, graph, layers, no_grad, ops, step, tensor
from tinygrad_rnn.viz import Drawing, GraphvizNotFound, dot

ODD = 'a<b|{x}\\N"&é'
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


@pytest.mark.parametrize("direction", ["LR", "TB", "RL", "BT"])
@pytest.mark.parametrize("view", ["folded", "unrolled", "layers"])
@pytest.mark.parametrize("net", NETS)
def test_every_view_in_every_direction(net, view, direction, engine):
    drawing = draw_graph(NETS[net](), view=view, direction=direction)
    check(drawing)
    assert drawing.view == view and drawing.total == len(drawing.graph)
    assert drawing.layout == ("builtin" if view == "unrolled" else engine)
    assert drawing.svg() == draw_graph(NETS[net](), view=view, direction=direction).svg()


@pytest.mark.parametrize("params", ["chip", "node", "hide"])
@pytest.mark.parametrize("view", ["folded", "unrolled", "layers"])
def test_parameters_as_chips_nodes_or_not_at_all(view, params, engine):
    drawing = draw_graph(vanilla(3), view=view, params=params)
    root = check(drawing)
    names = [t for t in root.itertext() if t in ("kernel", "rnn/kernel")]
    expected = (
        {"chip": {"kernel"}, "node": {"rnn/kernel"}, "hide": set()}[params] if view != "layers" else set()
    )
    assert set(names) == expected


@pytest.mark.parametrize("net", ["vanilla", "lstm", "bidirectional"])
def test_the_folded_text_does_not_depend_on_the_number_of_steps(net):
    texts = {
        re.sub(r"×\d+", "×T", draw_graph(NETS[net](steps), view="folded", show=("name",)).source)
        for steps in (3, 9, 200)
    }
    assert len(texts) == 1
    assert "t−1" in texts.pop()


def test_folded_cell_shows_count_and_carried_values(engine):
    drawing = draw_graph(vanilla(7), view="folded")
    root = check(drawing)
    text = list(root.itertext())
    assert "every step ×7" in text and "t−1" in text
    assert "7 steps" in drawing.note and f"{drawing.shown} shown" in drawing.note
    assert (
        len([g for g in root.iter(f"{SVG}g") if g.get("class") == "edge carry" and g.get("data-from")]) == 1
    )
    both = draw_graph(bidirectional(4), view="folded")
    assert "t+1" in list(ET.fromstring(both.svg()).itertext())


def test_unrolled_shows_a_gap_and_the_chosen_steps():
    drawing = draw_graph(lstm(100), view="unrolled")
    root = check(drawing)
    text = list(root.itertext())
    assert [t for t in text if t.startswith("t = ")] == ["t = 0", "t = 1", "t = 98", "t = 99"]
    assert "96 steps" in text and "steps 0, 1, 98, 99 of 100" in drawing.note
    chosen = draw_graph(lstm(10), view="unrolled", steps=[0, 4, -1])
    text = list(check(chosen).itertext())
    assert [t for t in text if t.startswith("t = ")] == ["t = 0", "t = 4", "t = 9"]
    assert "3 steps" in text and "4 steps" in text
    ids = {g.get("data-id") for g in ET.fromstring(chosen.svg()).iter(f"{SVG}g")}
    assert any(i and i.endswith("@t=4") for i in ids)


def test_time_runs_from_left_to_right():
    root = check(draw_graph(bidirectional(4), view="unrolled"))
    groups = {}
    for g in root.iter(f"{SVG}g"):
        if (g.get("class") or "").startswith("group step"):
            groups.setdefault(g.find(f"{SVG}text").text, []).append(float(g.find(f"{SVG}rect").get("x")))
    left = [max(groups[f"t = {t}"]) for t in range(4)]
    assert left == sorted(left) and all(len(xs) == 4 for xs in groups.values())


def test_steps_cut_the_folded_view_too():
    assert draw_graph(vanilla(9), view="folded", steps=slice(0, 4)).graph.steps == 4
    with pytest.raises(ValueError, match="T = 9"):
        draw_graph(vanilla(9), view="unrolled", steps=[9])
    with pytest.raises(ValueError, match="at least one"):
        draw_graph(vanilla(9), view="unrolled", steps=[])


def test_auto_goes_from_everything_to_folded_to_layers():
    assert draw_graph(vanilla(3)).view == "unrolled"
    assert "all shown" in draw_graph(vanilla(3)).note
    assert "all shown" in draw_graph(network()).note
    folded = draw_graph(lstm(60))
    assert folded.view == "folded" and folded.shown < 30
    layers = draw_graph(bidirectional(3), max_nodes=30)
    assert layers.view == "layers" and layers.shown <= 30


def test_huge_graphs_without_steps_are_put_together_and_counted(engine):
    x = y = tensor([1.0], requires_grad=True, name="x")
    for _ in range(3000):
        y = ops.tanh(y + x)
    drawing = draw_graph(y)
    check(drawing)
    assert drawing.shown <= 5 and "6 001 nodes" in drawing.note and "tg.step(t)" in drawing.note
    assert sum(int(n) for n in re.findall(r">×(\d+)</text>", drawing.svg())) == 6000
    assert draw_graph(y, max_nodes=1).shown == 1
    with step(0):
        z = [ops.tanh(x * k) for k in range(60)]
    one = draw_graph(ops.stack(z), view="unrolled", max_nodes=50)
    assert one.shown <= 50 and "one step alone has more than 50 boxes" in one.note
    assert check(one) is not None  # the note stands in the picture


def test_labels_are_escaped_everywhere(engine, tmp_path):
    x = tensor([1.0, 2.0], requires_grad=True, name=ODD)
    w = Variable(np.ones(2, "float32"), name=ODD + "/" + ODD)
    for view in ("folded", "unrolled", "layers"):
        with scope(ODD, 0):
            h = ops.tanh(x * w)
        with scope(ODD, 1):
            h = ops.tanh(h * w)
        drawing = draw_graph(h, view=view, names={ODD: h, "\x01bad": h})
        root = check(drawing)
        assert drawing.layout == "builtin" or engine == "dot"
        assert ODD in list(root.itertext()) or f"{ODD} = tanh" in list(root.itertext())
        assert any(g.get("data-layer") == ODD for g in root.iter(f"{SVG}g"))
        drawing.save(tmp_path / "odd.html")
        if engine == "dot":
            ET.fromstring(dot.run(drawing.source, "svg"))
            text = "".join(ET.fromstring(dot.run(drawing.source, "svg")).itertext())
            assert "a<b|{x}\\N" in text


@needs_dot
@pytest.mark.parametrize("view", ["folded", "unrolled", "layers"])
@pytest.mark.parametrize("net", NETS)
def test_dot_reads_every_text_without_a_complaint(net, view):
    source = draw_graph(NETS[net](), view=view, show=("shape", "name", "dtype", "bytes")).source
    done = subprocess.run(["dot", "-Tsvg"], input=source.encode(), capture_output=True, timeout=20)
    assert done.returncode == 0 and done.stderr == b""
    nodes = done.stdout.count(b'class="node')
    assert nodes == draw_graph(NETS[net](), view=view).shown


def test_the_graphviz_object_has_the_same_text():
    graphviz = pytest.importorskip("graphviz")
    drawing = draw_graph(vanilla(3))
    assert isinstance(drawing.dot, graphviz.Digraph) and drawing.dot.source == drawing.source
    assert drawing.dot is drawing.dot


def test_without_the_python_package_graphviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    drawing = draw_graph(vanilla(3))
    assert drawing.source and drawing.svg()
    with pytest.raises(ImportError, match="pip install graphviz"):
        drawing.dot  # noqa: B018


def test_importing_loads_no_third_party_package():
    code = "import sys, tinygrad_rnn.viz; print({'graphviz', 'matplotlib', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_save(tmp_path, monkeypatch):
    drawing = draw_graph(vanilla(3), path=tmp_path / "first.svg")
    assert (tmp_path / "first.svg").read_text(encoding="utf-8") == drawing.svg()
    assert drawing.save(str(tmp_path / "a.dot")) == tmp_path / "a.dot"
    text = (tmp_path / "a.dot").read_text(encoding="utf-8")
    assert text.startswith(drawing.source.removesuffix("}\n")) and drawing.note in text
    page = drawing.save(tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and drawing.svg() in page
    assert drawing.save(tmp_path / "picture", format="svg").exists()
    with pytest.raises(ValueError, match="expected svg, dot, html, png or pdf, received 'jpg'"):
        drawing.save(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="no folder"):
        drawing.save(tmp_path / "missing" / "a.svg")
    monkeypatch.setenv("PATH", "")
    for kind in ("png", "pdf"):
        with pytest.raises(GraphvizNotFound, match=r"apt install graphviz .* SVG and HTML work without it"):
            drawing.save(tmp_path / f"a.{kind}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dot", "a.html", "first.svg", "picture"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    drawing = draw_graph(vanilla(3), path=tmp_path / "a.svg")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        draw_graph(lstm(3)).save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == drawing.svg()
    assert len(list(tmp_path.iterdir())) == 1


@needs_dot
@pytest.mark.parametrize("view", ["folded", "unrolled"])
def test_png_and_pdf(view, tmp_path):
    drawing = draw_graph(lstm(9), view=view)
    assert drawing.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert drawing.save(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_a_slow_or_broken_dot_is_replaced_with_a_warning(monkeypatch):
    for error in (TimeoutError("dot took longer than 20 s"), RuntimeError("dot failed: oops")):

        def run(source, format, error=error):
            raise error

        monkeypatch.setattr(dot, "run", run)
        with pytest.warns(UserWarning, match=f"built-in layout is used, because {error}"):
            drawing = draw_graph(network())
        assert drawing.layout == "builtin" and check(drawing) is not None


@needs_dot
def test_dot_is_stopped_after_its_time(monkeypatch):
    monkeypatch.setattr(dot, "TIMEOUT", 1e-6)
    with pytest.raises(TimeoutError, match="longer than"):
        dot.run("digraph {}", "svg")


def test_notebook_output_never_raises(monkeypatch):
    drawing = draw_graph(vanilla(3))
    bundle = drawing._repr_mimebundle_()
    assert bundle["image/svg+xml"] == drawing._repr_svg_() == drawing.svg()
    assert drawing.note in bundle["text/plain"]

    def broken(self):
        raise RuntimeError("no picture")

    monkeypatch.setattr(Drawing, "_repr_svg_", broken)
    assert drawing._repr_mimebundle_() == {"text/plain": "<Drawing: RuntimeError: no picture>"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "foldet"}, "did you mean 'folded'"),
        ({"view": None}, "expected 'auto', 'folded', 'unrolled', 'layers'"),
        ({"show": ("shape", "vlaue")}, "did you mean 'value'"),
        ({"show": "nmae"}, "did you mean 'name'"),
        ({"color_by": "gard"}, "did you mean 'grad'"),
        ({"direction": "UP"}, "expected 'LR', 'RL', 'TB', 'BT'"),
        ({"params": "chips"}, "did you mean 'chip'"),
        ({"theme": "drak"}, "did you mean 'dark'"),
        ({"max_nodes": 0}, "positive integer"),
        ({"depth": 0}, "positive integer"),
        ({"color_by": "grad"}, r"call backward\(\) first"),
        ({"color_by": "time", "view": "folded"}, "view='unrolled'"),
        ({"diff": None, "view": "layer"}, "did you mean 'layers'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        draw_graph(vanilla(3), **options)


def test_bad_targets():
    with pytest.raises(TypeError, match="ndarray; an array has no graph"):
        draw_graph(np.ones(3))
    with pytest.raises(TypeError, match="received str"):
        draw_graph("loss")
    with pytest.raises(TypeError, match="inputs are for a layer or model"):
        draw_graph(vanilla(3), np.ones(3))
    loss = vanilla(3)
    loss.backward()
    with pytest.raises(ValueError, match="retain_graph=True"):
        draw_graph(loss)


def test_a_leaf_and_an_unrecorded_tensor_are_one_node(engine):
    leaf = draw_graph(tensor([1.0], requires_grad=True, name="x"))
    assert check(leaf) is not None and leaf.shown == leaf.total == 1 and "a leaf" in leaf.note
    with no_grad():
        y = tensor([1.0], requires_grad=True) * 2
    drawing = draw_graph(y)
    assert check(drawing) is not None and drawing.shown == 1 and "not recorded" in drawing.note
    weight = draw_graph(Variable(1.0, name="layer/w"))
    assert weight.shown == 1 and "layer/w" in weight.svg()


def test_names_and_several_roots():
    x = tensor([1.0, 2.0], requires_grad=True)
    h = ops.tanh(x)
    i, f = ops.split(h, 2)
    loss = (i * f).sum()
    text = list(check(draw_graph({"loss": loss, "other": h}, names=locals())).itertext())
    assert {"x", "loss = Σ", "h = tanh", "i", "f"} <= set(text)
    plain = list(check(draw_graph([loss, h], names=locals(), show=())).itertext())
    assert "tanh" in plain and "h = tanh" not in plain and "(2,)" not in plain


def test_show_details():
    loss = vanilla(3)
    text = " ".join(check(draw_graph(loss, show=("shape", "dtype", "bytes", "name", "value"))).itertext())
    assert "float64" in text and "‖y‖ = " in text and " B" in text
    loss.backward(retain_graph=True)
    text = " ".join(check(draw_graph(loss, show=("name", "grad"))).itertext())
    assert "kernel ‖∇‖ = " in text


@pytest.mark.parametrize("color_by", ["layer", "time", "value", "grad"])
@pytest.mark.parametrize("view", ["folded", "unrolled"])
def test_colours(color_by, view, engine):
    loss = vanilla(3)
    loss.backward(retain_graph=True)
    if (color_by, view) == ("time", "folded"):
        return
    drawing = draw_graph(loss, view=view, color_by=color_by)
    root = check(drawing)
    fills = {r.get("style") or r.get("class") for r in root.iter(f"{SVG}rect")}
    assert len([f for f in fills if re.search(r"fill:#|s\d", f)]) >= 2
    text = " ".join(root.itertext())
    legend = {"layer": "dense", "time": "t = 2", "value": "‖value‖", "grad": "‖gradient‖"}
    assert legend[color_by] in text
    if color_by in ("value", "grad"):  # never colour alone
        assert "‖" in text and "= " in text


def test_values_need_tensors():
    with pytest.raises(ValueError, match="without values; hand over the tensors"):
        draw_graph(graph(vanilla(3)), show="value")


def test_themes():
    auto, light, dark = (draw_graph(network(), theme=t).svg() for t in ("auto", "light", "dark"))
    assert "@media (prefers-color-scheme:dark)" in auto
    assert "@media" not in light and "@media" not in dark and light != dark


class Toy:
    """Anything that can be called and has weights."""

    name = "toy"
    built = False

    def __init__(self):
        self.weights = []

    def __call__(self, x):
        if not self.built:
            self.weights, self.built = [Variable(np.ones((3, 2), "float32"), name="kernel")], True
            self.input_shape = (None, 3)
        with scope("toy"):
            return ops.relu(x @ self.weights[0])


def test_a_model_is_called_on_its_inputs(engine):
    toy = Toy()
    with pytest.raises(ValueError, match=r"'toy' has no graph without inputs: call draw_graph\(model, x\)"):
        draw_graph(toy)
    with no_grad():
        drawing = draw_graph(toy, np.ones((4, 3), "float32"), view="folded")
    text = list(check(drawing).itertext())
    assert {"x", "(4, 3)", "kernel", "relu"} <= set(text)
    assert drawing.graph.kind.tolist().count("parameter") == 1
    layers = draw_graph(toy, view="layers")  # built: the shape of the inputs is known
    assert {"toy", "(1, 2)", "6 parameters"} <= set(check(layers).itertext())
    mixed = draw_graph(toy, tensor(np.ones((1, 3), "float32"), requires_grad=True, name="mine"))
    assert "mine" in list(check(mixed).itertext())


def test_depth_joins_sublayers():
    drawing = draw_graph(bidirectional(3), view="layers", depth=1)
    text = set(check(drawing).itertext())
    assert {"bi_0", "bi_1"} <= text and "bi_0/forward" not in text
    assert "bi_0" in set(check(draw_graph(bidirectional(3), view="folded", depth=1)).itertext())


def test_many_parameters_stay_chips_when_unrolled():
    drawing = draw_graph(lstm(12), view="unrolled", params="node")
    assert check(drawing) is not None and "more than 120 nodes" in drawing.note


def test_feedback_between_layers_is_drawn(engine):
    """A decoder reads its own output: the two layers form a loop over time."""
    h = tensor(np.ones((1, 2)), requires_grad=True, name="h0")
    for t in range(5):
        with scope("a", t):
            z = ops.tanh(h)
        with scope("b", t):
            h = ops.exp(z)
    for view in ("folded", "unrolled", "layers"):
        drawing = draw_graph(h, view=view)
        check(drawing)
    assert "t−1" in list(ET.fromstring(draw_graph(h, view="folded").svg()).itertext())


def test_ops_between_the_steps_that_have_no_step(engine):
    h = tensor(np.ones((1, 2)), requires_grad=True, name="h0")
    for t in range(4):
        with scope("cell", t):
            h = ops.tanh(h)
        h = h * 2.0  # recorded outside
    for view in ("folded", "unrolled", "layers"):
        check(draw_graph(h, view=view))


def test_more_steps_than_there_is_room_for_are_cut_and_named():
    drawing = draw_graph(lstm(50), view="unrolled", steps=slice(None), max_nodes=100)
    check(drawing)
    assert drawing.view == "unrolled" and drawing.shown <= 100
    assert re.search(r"steps 0, 1, .*, 49 of 50", drawing.note)


def test_unrolled_to_a_depth_is_the_figure_of_the_tutorials():
    drawing = draw_graph(bidirectional(4), view="unrolled", depth=2)
    root = check(drawing)
    cells = [g for g in root.iter(f"{SVG}g") if (g.get("class") or "").startswith("node layer")]
    assert len(cells) == 4 * 4 and {g.get("data-t") for g in cells} == set("0123")
    carried = [g for g in root.iter(f"{SVG}g") if g.get("class") == "edge carry" and g.get("data-from")]
    assert len(carried) == 4 * 3


def test_a_recurrent_layer_has_a_loop():
    root = check(draw_graph(vanilla(4), view="layers"))
    loops = [g for g in root.iter(f"{SVG}g") if g.get("data-from") and g.get("data-from") == g.get("data-to")]
    assert len(loops) == 1 and "t−1" in list(root.itertext())


@pytest.mark.parametrize(("cell", "states"), [("SimpleRNNCell", 1), ("LSTMCell", 2), ("GRUCell", 1)])
def test_a_cell_is_drawn_with_its_states(cell, states):
    drawing = draw_graph(getattr(layers, cell)(3), np.ones((2, 4), "float32"))
    text = list(check(drawing).itertext())
    assert [name for name in ("h_prev", "c_prev") if name in text] == ["h_prev", "c_prev"][:states]


def test_derived_layers_are_drawn_by_their_steps():
    with tg.derived():
        y = layers.LSTM(3)(tensor(np.ones((2, 6, 4), "float32"), requires_grad=True, name="x"))
    drawing = draw_graph(y, view="folded")
    check(drawing)
    assert "every step ×6" in drawing.svg() and "t−1" in drawing.svg() and drawing.shown < 30
