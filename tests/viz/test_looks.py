"""What a picture looks like: the same content in every format, contrast, and what is drawn darkest."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from viz.hand import traced
from viz.nets import bidirectional, lstm, network, vanilla
from viz.pictures import SVG, boxes

import tinygrad_rnn as tg
from tinygrad_rnn import draw_graph, layers
from tinygrad_rnn.viz import dot
from tinygrad_rnn.viz.colours import LEVELS, PALETTE, contrast, hue, ink_on
from tinygrad_rnn.viz.svg import COLOURS, INKS

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def words(root):
    """Everything that is written, without spaces, which formats break in different places."""
    text = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    return sorted(re.sub(r"\s", "", w) for t in text for w in t.split())


def pictures():
    loss = traced("hello", 4, backward=True)
    for view in ("folded", "unrolled", "layers"):
        yield draw_graph(loss, view=view, color_by="grad", theme="dark")
        yield draw_graph(lstm(20), view=view)
        yield draw_graph(vanilla(3, 16), diff=network(), view=view)
        yield draw_graph(bidirectional(6), view=view, color_by="layer", direction="TB")


@needs_dot
def test_every_format_says_the_same(tmp_path):
    for drawing in pictures():
        saved = drawing.save(tmp_path / "a.dot").read_text(encoding="utf-8")
        drawn, own = ET.fromstring(dot.run(saved, "svg")), ET.fromstring(drawing.svg())
        ours = words(own)
        assert [w for w in dict.fromkeys(ours) if w not in words(drawn)] == []
        for note in drawing.note.split():
            assert re.sub(r"\s", "", note) in words(drawn)
        stubs = [g for g in own.iter(f"{SVG}g") if g.get("class") == "edge carry" and not g.get("data-from")]
        heads = [g for g in stubs if g.find(f"{SVG}polygon") is not None]
        arrows = saved.count(" P 3 ")
        assert arrows == len(heads)  # those that go to steps that are not drawn


@needs_dot
def test_pictures_have_room_for_the_caption(tmp_path):
    for drawing in pictures():
        root = ET.fromstring(dot.run(drawing.save(tmp_path / "a.dot").read_text(encoding="utf-8"), "svg"))
        x, y, w, h = map(float, root.get("viewBox").split())
        down = float(re.search(r"translate\(\S+ (\S+)\)", root.find(f"{SVG}g").get("transform"))[1])
        for text in root.iter(f"{SVG}text"):
            assert y <= float(text.get("y")) + down <= y + h


def test_long_legends_are_broken_into_lines():
    root = ET.fromstring(draw_graph(bidirectional(3), view="layers", color_by="layer", direction="TB").svg())
    rows = [g for g in root.iter(f"{SVG}g") if g.get("class") == "legend"]
    assert len(rows) > 1 and len(boxes(root)) > 3


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_every_colour(dark):
    text, soft = (INKS[name][dark] for name in ("text", "soft"))
    for kind, colours in COLOURS.items():
        assert contrast(colours[2 * dark], text) >= 4.5 and contrast(colours[2 * dark], soft) >= 4.5, kind
    for fill in [*PALETTE, *(f"s{k}" for k in range(LEVELS + 1))]:
        assert contrast(hue(fill, dark), ink_on(hue(fill, dark))) >= 4.5, fill
    for ground in ("page", "frame", "cell"):
        for ink in ("text", "soft", "carry"):
            assert contrast(INKS[ground][dark], INKS[ink][dark]) >= 4.5, (ground, ink)


@pytest.mark.parametrize("dark", [False, True])
def test_lines_can_be_seen_and_the_largest_best(dark):
    for ground in ("page", "frame", "cell"):
        scale = [contrast(INKS[ground][dark], hue(f"s{k}", dark, line=True)) for k in range(LEVELS + 1)]
        assert min(scale) >= 3 and scale == sorted(scale)
        marks = [COLOURS[mark][2 * dark + 1] for mark in ("added", "removed", "changed")]
        assert min(contrast(INKS[ground][dark], colour) for colour in [INKS["edge"][dark], *marks]) >= 3
    fills = [contrast(INKS["page"][dark], hue(f"s{k}", dark)) for k in range(LEVELS + 1)]
    assert fills == sorted(fills)


def test_contrast_is_that_of_the_guidelines():
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#777777") == 1
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_carried_arrows_look_as_the_legend_says():
    for view, steps in (("folded", None), ("unrolled", [0, 3])):
        for color_by, look in ((None, "carry"), ("grad", "dash")):
            loss = traced("hello", 4, backward=True)
            drawing = draw_graph(loss, view=view, color_by=color_by, steps=steps)
            arrows = [
                g for g in ET.fromstring(drawing.svg()).iter(f"{SVG}g") if "edge" in g.get("class").split()
            ]
            dashed = [
                g.get("class").split()[1] for g in arrows if {"carry", "dash"} & {*g.get("class").split()}
            ]
            assert len(dashed) > 1 and set(dashed) == {look}  # the last one is that of the legend
            assert (INKS["carry"][0] in drawing.source) == (color_by is None)


def test_weights_have_their_names_whatever_else_is_shown():
    loss = traced("hello", 3, backward=True)
    for show in ((), "grad", ("shape", "grad")):
        root = ET.fromstring(draw_graph(loss, view="folded", show=show).svg())
        chips = [
            g.find(f"{SVG}text").text for g in root.iter(f"{SVG}g") if g.get("class") == "chip parameter"
        ]
        assert [text.split()[0] for text in chips] == ["w0", "w1", "w3", "w2", "w4"]
        assert all(("‖∇‖ = " in text) == ("grad" in show) for text in chips)


def test_inputs_of_a_model_have_their_names():
    left, right, one, two = (tg.Input((3,), name=name) for name in ("left", "right", None, None))
    x = np.ones((2, 3), "float32")
    for inputs, given, names in (
        ([left, right], [x, x], ["left", "right"]),
        ([right, one], (x, x), ["right", "x_1"]),
        ([one, two], [x, x], ["x_0", "x_1"]),
        ([left], x, ["left"]),
        ([one], x, ["x"]),
        ({"l": left, "r": right}, {"r": x, "l": x}, ["r", "l"]),
    ):
        symbols = list(inputs.values()) if isinstance(inputs, dict) else inputs
        output = layers.Add()(symbols) if len(symbols) > 1 else layers.ReLU()(symbols[0])
        g = draw_graph(tg.Model(inputs, output), given).graph
        assert g.name[g.kind == "input"].tolist() == names
