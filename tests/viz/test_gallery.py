"""The gallery is generated, complete, and its pictures are valid: docs/gallery.md."""

from __future__ import annotations

import importlib
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
FIGURES = {  # of the tutorials, and the pictures that show them
    "folded and unfolded RNN": "rnn_folded rnn_unrolled",
    "cell with dimensions": "rnn_cell",
    "five types": "type_one_to_one type_one_to_many type_many_to_one type_many_to_many type_synced_many_to_many",
    "gradients through time": "bptt_gradients",
    "deep and bidirectional": "deep_rnn bidirectional_rnn",
    "LSTM and GRU": "lstm_cell gru_cell",
    "hello": "hello_logits",
    "cost surface": "cost_surface cost_surface_near",
    "gradient over time": "gradient_over_time gradient_over_time_as_in_tutorial",
    "Rprop": "rprop_path",
    "the README": "lstm_folded lstm_unrolled",
}


@pytest.fixture
def maker(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.syspath_prepend(str(DOCS.parent / "examples"))
    return importlib.import_module("make_gallery")


def test_the_page_shows_every_figure_and_is_what_the_generator_writes(maker):
    text = maker.page()
    assert maker.PAGE.read_text(encoding="utf-8") == text, "run `python docs/make_gallery.py`"
    shown = re.findall(r"\(pictures/(\w+)\.svg\)", text)
    assert sorted(shown) == sorted(path.stem for path in maker.PICTURES.glob("*.svg"))
    assert set(" ".join(FIGURES.values()).split()) <= set(shown) and len(shown) == len(set(shown))


def test_every_picture_can_be_drawn_and_is_small(maker, tmp_path):
    matplotlib.use("agg")
    before = os.environ["PATH"], dict(matplotlib.rcParams)
    made = maker.draw(tmp_path)
    assert (os.environ["PATH"], dict(matplotlib.rcParams)) == before
    for path in made:
        for picture in (path, maker.PICTURES / path.name):
            root = ElementTree.parse(picture).getroot()
            assert root.tag == "{http://www.w3.org/2000/svg}svg" and picture.stat().st_size < 200_000
            assert len(list(root.iter())) > 10
