"""Odd names, values that are not finite, and a `dot` that hangs or fails: every format of every view holds."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from viz.nets import network, scope, vanilla
from viz.pictures import SVG, boxes, check

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, draw_graph, ops, tensor
from tinygrad_rnn.viz import dot
from tinygrad_rnn.viz.words import legible

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
VIEWS = ["folded", "unrolled", "layers"]
NAMES = {
    "right to left": "שלום مرحبا",
    "turning": "a\u202eb\u2066c\u2069\u200fd",
    "not closed": "x\u2067y",
    "quotes": "a\"b'c`",
    "markup": "</svg><script>alert(1)</script>&amp;]]>",
    "data": "<![CDATA[x]]>",
    "long": "n" * 10_000,
    "long right to left": "ש" * 10_000,
    "controls": "a\x00b\x0bc\x85d\x7f",
    "surrogate": "a\ud800b",
    "no characters": "a\ufffe\uffffb",
    "emoji": "👩‍👩‍👧🇩🇪",
    "marks": "a" + "\u0301" * 50,
    "lines": "a\nb\r\nc\td",
    "escapes": "%s {0} \\N \\G \\l $x$",
    "empty": "",
    "spaces": "   ",
}


def named(name):
    """A recurrence of two steps whose tensors, weights and layer have a name."""
    h, w = tensor([1.0, 2.0], requires_grad=True, name=name), Variable(np.ones(2), name=f"{name}/w")
    for t in range(2):
        with scope(name, t):
            h = ops.tanh(h * w)
    return h.sum()


@pytest.mark.parametrize("key", NAMES)
def test_names_of_every_kind(key, engine, tmp_path):
    name = NAMES[key]
    for view in VIEWS:
        drawing = draw_graph(named(name), view=view, names={name: 1}, color_by="layer")
        root = check(drawing)
        assert drawing.layout == ("builtin" if view == "unrolled" else engine)
        check(draw_graph(named(name), view=view, diff=named(name[:50] + "2"), direction="TB"))
        texts = [t for t in root.iter() if t.tag in (f"{SVG}text", f"{SVG}title")]
        assert all(len(t.text or "") <= 305 for t in texts if t.tag == f"{SVG}text")
        assert not any(tag in drawing.svg() for tag in ("<script", "<![CDATA"))
        for text in texts:  # what turns a text is gone, or closed again
            assert not re.search("[\u200e\u200f\u202a-\u202e\u2066\u2067]", text.text or "")
            assert (text.text or "").count("\u2068") == (text.text or "").count("\u2069")
        bundle = drawing._repr_mimebundle_()
        assert ET.fromstring(bundle["image/svg+xml"]) is not None and bundle["text/plain"] == repr(drawing)
        for ending in ("svg", "html", "dot"):
            assert drawing.save(tmp_path / f"a.{ending}").read_text(encoding="utf-8")
        if engine == "dot":
            assert ET.fromstring(dot.run((tmp_path / "a.dot").read_text(encoding="utf-8"), "svg")) is not None
            assert drawing.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
            assert view != "folded" or drawing.save(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_right_to_left_parts_keep_to_themselves():
    assert legible("שלום = tanh 3") == "\u2068שלום\u2069 = tanh 3"
    assert legible("a שלום, مرحبا b ש1") == "a \u2068שלום, مرحبا\u2069 b \u2068ש\u20691"
    assert legible("a\u202eb") == "a�b" and legible("plain → text") == "plain → text"
    assert legible("x" * 100, 11) == "xxxxxx…xxxx" and len(legible("ש" * 100, 11)) == 13
    assert ".light text{direction:ltr;unicode-bidi:isolate}" in draw_graph(vanilla(2), theme="light").svg()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e300, 1e-300])
def test_values_of_every_size(value, engine):
    with tg.trace(), np.errstate(all="ignore"):
        x = tensor([value, 1.0], requires_grad=True, name="x")
        h = x
        for t in range(3):
            with scope("rnn", t):
                h = h * x
        loss = h.sum()
        loss.backward(retain_graph=True)
    for view in VIEWS:
        for colour in ("grad", "value", None):
            drawing = draw_graph(loss, view=view, color_by=colour, show=("name", "value", "grad"))
            root = check(drawing)
            assert drawing.layout == ("builtin" if view == "unrolled" else engine)
            assert not [r for r in root.iter(f"{SVG}rect") if "nan" in (r.get("class") or "")]
            assert np.isfinite([float(v) for v in root.get("viewBox").split()]).all()
        text = " ".join(root.itertext())
        assert ("‖ not finite" in text) == (
            not np.isfinite(value) or value == 1e300
        ) and "‖ = inf" not in text


@needs_dot
def test_a_nan_in_one_step_is_seen_after_folding():
    with tg.trace(), np.errstate(all="ignore"):
        h = tensor([1.0], requires_grad=True, name="h0")
        for t in range(9):
            with scope("rnn", t):
                h = h * (np.nan if t == 5 else 0.5)
        (h * h).backward(retain_graph=True)
    for colour in ("grad", "value"):
        root = check(draw_graph(h, view="folded", color_by=colour))
        assert "not finite" in " ".join(root.itertext())


BROKEN = {
    "hangs": "sleep 30",
    "fails": "echo oops >&2; exit 1",
    "dies": "kill -9 $$",
    "says nothing": "exit 0",
    "no JSON": "echo hello",
    "a list": "echo '[]'",
    "a number": "echo 3",
    "no boxes": """echo '{"bb": "0,0,10,10"}'""",
    "a wrong box": """echo '{"bb": "0,0,1,1", "objects": [{"name": "x", "id": "zz", "pos": "1,1"}]}'""",
    "no size": """echo '{"bb": "0,0"}'""",
    "another encoding": "printf '\\377\\376'",
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_dot_that_does_not_work(way, tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\n{BROKEN[way]}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(dot, "TIMEOUT", 0.3 if way == "hangs" else 20.0)
    for view in VIEWS:
        if view == "unrolled":
            drawing = draw_graph(vanilla(3), view=view)
        else:
            with pytest.warns(UserWarning, match="built-in layout is used, because"):
                drawing = draw_graph(vanilla(3), view=view, color_by="layer")
        assert drawing.layout == "builtin" and check(drawing) is not None
        assert "image/svg+xml" in drawing._repr_mimebundle_()
    if way in ("hangs", "fails", "dies", "says nothing"):
        with pytest.raises((TimeoutError, RuntimeError), match="dot (took longer|failed)"):
            drawing.save(tmp_path / "a.png")
        assert not (tmp_path / "a.png").exists()


def test_a_dot_that_may_not_be_run(tmp_path, monkeypatch):
    (tmp_path / "dot").write_bytes(b"\x7fELF nothing")
    (tmp_path / "dot").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.warns(UserWarning, match="built-in layout is used"):
        drawing = draw_graph(network())
    assert check(drawing) is not None


@needs_dot
def test_more_arrows_to_hidden_steps_than_one_line_of_dot_takes(tmp_path):
    h = [tensor(np.ones(2), requires_grad=True, name=f"h{k}") for k in range(60)]
    for t in range(9):
        with scope("wide", t):
            h = [ops.tanh(v) for v in h]
    drawing = draw_graph(ops.stack(h), view="unrolled", steps=[0, 4, 8])
    assert len(boxes(check(drawing))) == drawing.shown
    assert drawing.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
