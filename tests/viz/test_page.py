"""`inspect_graph`: one file that loads nothing, holds every digit, and says what it left out."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from viz.nets import NETS, lstm, scope, vanilla
from viz.pages import ODD, blocks, traced

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, inspect_graph, ops, tensor
from tinygrad_rnn.datasets.text import Vocabulary
from tinygrad_rnn.models.characters import character_model


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


@pytest.mark.parametrize("net", NETS)
def test_one_file_that_loads_nothing(net, tmp_path):
    report = inspect_graph(traced(NETS[net]), tmp_path / "page.html")
    assert report.path == tmp_path / "page.html" and report.nbytes == report.path.stat().st_size
    assert report.path.read_text(encoding="utf-8") == report.html()
    parser = Tags()
    parser.feed(report.html())
    assert not [a for _, a in parser.tags if {"src", "href", "srcset", "data"} & a.keys()]
    policy = next(a["content"] for tag, a in parser.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert (
        policy == "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    )
    header, arrays = blocks(report)
    assert header["nodes"] == len(arrays["role"]) and arrays["role_count"].sum() == header["nodes"]


def test_names_cannot_become_markup():
    with tg.trace():
        with scope(ODD):
            y = tensor([1.0, 2.0], requires_grad=True, name=ODD) * Variable(np.ones(2, np.float32), name=ODD)
        report = inspect_graph(y.sum(), title=ODD)
    parser = Tags()
    parser.feed(report.html())
    assert [tag for tag, _ in parser.tags].count("script") == 3 and "b" not in [tag for tag, _ in parser.tags]
    header, _ = blocks(report)
    assert header["title"] == ODD and ODD in header["strings"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_every_digit_survives(dtype):
    x = np.array([0.1, 1 / 3, -1e-7, 6e4, np.nan, np.inf, -0.0, 5e-8], dtype)
    with tg.trace():
        report = inspect_graph((tensor(x, requires_grad=True, name="x") * 3).sum())
    _, arrays = blocks(report)
    at = arrays["value"][0]
    pool = arrays["value8"][-2 - at :] if at < -1 else arrays["value4"][at:]
    np.testing.assert_array_equal(pool[: len(x)], x.astype(pool.dtype))
    assert pool.dtype == (np.float64 if dtype == np.float64 else np.float32)


def test_over_max_bytes_the_note_says_what_is_left_out():
    loss = traced(lstm, 40)
    full = inspect_graph(loss, values="full")
    assert "left out" not in full.note
    sizes, before = [full.nbytes], full
    for dropped in ("values in full", "values in full and histograms"):
        report = inspect_graph(loss, values="full", max_bytes=before.nbytes - 100)
        assert report.note.endswith(dropped) and report.nbytes < before.nbytes
        sizes.append(report.nbytes)
        before = report
    header, arrays = blocks(report)
    assert np.isfinite(arrays["grad_stats"]).all() and len(arrays["grad_stats"]) == header["nodes"]
    with pytest.raises(ValueError, match=r"takes .* MB, more than max_bytes = 1000; allow more"):
        inspect_graph(loss, max_bytes=1000)


def test_values_none_keeps_norms_and_no_array():
    _, arrays = blocks(inspect_graph(traced(vanilla), values="none"))
    assert "value4" not in arrays and "value_bins" not in arrays and "flow" in arrays


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"values": "ful"}, ValueError, "values='ful' is unknown.*did you mean 'full'"),
        ({"theme": "drak"}, ValueError, "did you mean 'dark'"),
        ({"max_bytes": 0}, ValueError, "positive integer, received 0"),
        ({"inputs": np.ones(3)}, TypeError, "inputs are for a layer or model"),
        ({"text": "abc"}, ValueError, "text has 3 characters, but the graph has T = 5"),
        ({"path": "no/such/folder/page.html"}, FileNotFoundError, "there is no folder 'no/such/folder'"),
    ],
)
def test_bad_options(options, error, words):
    with pytest.raises(error, match=words):
        inspect_graph(vanilla(), **options)


def test_bad_targets():
    with pytest.raises(TypeError, match="an array has no graph"):
        inspect_graph(np.ones(3))
    freed = vanilla()
    freed.backward()
    with pytest.raises(ValueError, match="retain_graph"):
        inspect_graph(freed)
    with pytest.raises(ValueError, match="has no graph without inputs"):
        inspect_graph(tg.layers.LSTM(3))
    model = character_model(Vocabulary("hello"), units=3)
    with pytest.raises(ValueError, match="does not know the character 'x'"):
        inspect_graph(model, text="hex")
    with pytest.raises(ValueError, match="at least two characters"):
        inspect_graph(model, text="h")
    with pytest.raises(ValueError, match="holds no vocabulary"):
        inspect_graph(tg.layers.Dense(3), text="hello")


def test_leaf_gradients_of_the_user_are_left_alone():
    w = Variable(np.ones(3), name="w")
    loss = ops.sum(w * w)
    assert "the backward pass was run for this page" in inspect_graph(loss).note
    inspect_graph(loss)
    assert w.grad is None
    loss.backward()
    np.testing.assert_array_equal(w.grad, 2 * np.ones(3))


def test_a_notebook_gets_a_frame_that_cannot_reach_out():
    html = inspect_graph(vanilla())._repr_html_()
    parser = Tags()
    parser.feed(html)
    ((tag, attributes),) = parser.tags
    assert tag == "iframe" and attributes["sandbox"] == "allow-scripts allow-downloads"
    assert attributes["srcdoc"].startswith("<!DOCTYPE html>")
