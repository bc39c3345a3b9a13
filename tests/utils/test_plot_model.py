"""`plot_model`: the boxes and arrows are the layers and calls, and the options put words into the boxes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.utils import plot_model
from tinygrad_rnn.utils.plotting import _Plan
from tinygrad_rnn.viz import GraphvizNotFound
from tinygrad_rnn.viz.layout import place


class Own(tg.Model):
    def __init__(self) -> None:
        super().__init__(name="own")
        self.first, self.second = layers.LSTM(3, name="first"), layers.Dense(1, name="second")

    def call(self, inputs: Any) -> Any:
        return self.second(self.first(inputs))


def stack(with_input: bool) -> Any:
    start = [tg.Input((None, 4), name="series")] if with_input else []
    model = tg.Sequential(
        [*start, layers.GRU(3, name="gru"), layers.Dense(2, "relu", name="out")], name="stack"
    )
    model(np.zeros((2, 5, 4), np.float32))
    return model


def wired(inner: Any = None) -> Any:
    """Two inputs, states handed on, a head that is called twice."""
    series, extra = tg.Input((None, 4), name="series"), tg.Input((3,), name="extra")
    y, h, c = layers.LSTM(8, return_sequences=True, return_state=True, name="enc")(series)
    z = layers.LSTM(8, name="dec")(y, initial_state=[h, c])
    if inner is None:
        x = tg.Input((8,))
        inner = tg.Model(x, layers.Dense(4, name="b")(layers.Dense(5, name="a")(x)), name="head")
    mixed = layers.Dense(8, name="mix")(extra)
    return tg.Model([series, extra], [inner(z), inner(mixed)], name="wired")


def arrows(model: Any, expand: bool = False) -> list[tuple[str, str]]:
    plan = _Plan({"names"}, expand)
    plan.model(model, None, -1)
    names = [box.label.split()[0] for box in plan.scene.boxes]
    return sorted((names[e.source], names[e.target]) for e in plan.scene.edges)


def test_arrows_are_the_calls() -> None:
    chain = [("gru", "out"), ("series", "gru")]
    assert arrows(stack(True)) == chain
    assert arrows(stack(False)) == [("gru", "out"), ("input", "gru")]
    body = [("enc", "dec"), ("extra", "mix"), ("series", "enc")]
    assert arrows(wired()) == sorted([*body, ("dec", "head"), ("mix", "head")])
    inside = [("a", "b"), ("a", "b"), ("dec", "a"), ("mix", "a")]
    assert arrows(wired(), expand=True) == sorted([*body, *inside])
    head = tg.Sequential([layers.Dense(5, name="a"), layers.Dense(4, name="b")], name="head")
    assert arrows(wired(head), expand=True) == sorted([*body, *inside])


def test_outputs_of_a_nested_model_keep_apart() -> None:
    x = tg.Input((4,), name="x")
    inner = tg.Model(x, [layers.Dense(2, name="left")(x), layers.Dense(3, name="right")(x)], name="inner")
    y = tg.Input((4,), name="y")
    left, right = inner(y)
    model = tg.Model(y, [layers.Dense(1, name="one")(left), layers.Dense(1, name="two")(right)])
    assert arrows(model) == [("inner", "one"), ("inner", "two"), ("y", "inner")]
    assert arrows(model, True) == [("left", "one"), ("right", "two"), ("y", "left"), ("y", "right")]


def test_a_nested_subclass_is_a_box() -> None:
    x = tg.Input((None, 4), name="series")
    outer = tg.Model(x, layers.Dense(2, name="out")(Own()(x)))
    assert arrows(outer, expand=True) == [("own", "out"), ("series", "own")]


def test_a_subclass_shows_its_layers_without_arrows() -> None:
    model = Own()
    with pytest.raises(ValueError, match="own is not built yet"):
        plot_model(model, None)
    model(np.zeros((2, 3, 4), np.float32))
    drawing = plot_model(model, None, show_layer_names=True, show_shapes=True)
    assert arrows(model) == [] and "own is a subclass" in drawing.note
    for words in ("first (LSTM)", "second (Dense)", "own (Own)", "out: (None, 1)"):
        assert words in drawing.svg(), words


OPTIONS = {
    "show_shapes": ["in: (None, None, 4)", "out: (None, 3)", "out: (None, 2)"],
    "show_dtype": ["float32"],
    "show_layer_names": ["gru (GRU)", "out (Dense)", ">series<"],
    "show_layer_activations": ["activation: tanh", "activation: relu"],
    "show_trainable": [">trainable<", ">frozen<"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options(option: str) -> None:
    model = stack(True)
    model.layers[0].trainable = False
    bare, drawn = plot_model(model, None).svg(), plot_model(model, None, **{option: True}).svg()
    for words in OPTIONS[option]:
        assert words in drawn and words not in bare, words
    assert ">GRU<" in bare and ">Input<" in bare


def test_outputs_are_listed_in_the_order_of_the_layer_not_of_their_use() -> None:
    x = tg.Input((5, 3))
    whole, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    last = layers.LSTM(2)(x, initial_state=[layers.Dense(2)(c), layers.Dense(2)(h)])
    model = tg.Model(x, layers.Concatenate()([last, layers.LSTM(2)(whole)]))
    drawing = plot_model(model, None, show_shapes=True)
    box = next(b for b in drawing.svg().split('<g id="') if "out: (None, 5, 4)" in b)
    assert re.findall(r"out: ([^<]+)<", box) == ["(None, 5, 4)", "(None, 4)", "(None, 4)"]


@given(st.sampled_from(["TB", "LR", "BT", "RL"]), st.booleans(), st.booleans())
def test_every_direction(rankdir: str, shapes: bool, expand: bool) -> None:
    drawing = plot_model(wired(), None, rankdir=rankdir, show_shapes=shapes, expand_nested=expand)
    assert f"rankdir={rankdir}" in drawing.source and drawing.svg().count("<svg") == 1
    assert drawing.shown == (9 if expand else 7)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stack(True)
    for ending in ("svg", "dot", "html"):
        assert plot_model(model, tmp_path / f"m.{ending}").shown == 3
        assert (tmp_path / f"m.{ending}").stat().st_size > 500
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.chdir(tmp_path)
    for target in ("model.png", "model.pdf", "model"):
        with pytest.raises(GraphvizNotFound, match=r"apt install graphviz.*SVG and HTML work without it"):
            plot_model(model, target)
        assert not Path(target).exists()
    asked: list[str] = []
    monkeypatch.setattr("tinygrad_rnn.viz.dot.run", lambda source, kind: asked.append(source) or b"picture")
    monkeypatch.setattr("tinygrad_rnn.viz.dot.arrange", lambda scene, way, _: (place(scene, way), "builtin"))
    plot_model(model, dpi=96)
    assert "graph [dpi=96]" in asked[0] and Path("model.png").read_bytes() == b"picture"


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(TypeError, match="expected a model, received Dense"):
        plot_model(layers.Dense(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rankdir must be one of TB, LR, BT, RL, received 'up'"):
        plot_model(stack(True), None, rankdir="up")


def test_names_are_escaped(tmp_path: Path) -> None:
    model = tg.Sequential([tg.Input((2,)), layers.Dense(1, name='<слой> & "é🙂"')])
    drawing = plot_model(model, tmp_path / "m.svg", show_layer_names=True)
    assert "&lt;слой&gt; &amp;" in drawing.svg() and "<слой>" not in drawing.svg()
    assert "слой" in (tmp_path / "m.svg").read_text(encoding="utf-8")
