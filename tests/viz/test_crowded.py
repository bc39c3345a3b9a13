"""A time step with more ops than can be drawn: the page and its unrolled picture say so."""

from __future__ import annotations

import json
import re

import numpy as np
from viz.nets import scope

from tinygrad_rnn import draw_graph, inspect_graph, ops, tensor


def crowd(width: int, steps: int = 2):
    h = tensor(np.ones(3), requires_grad=True, name="h0")
    for t in range(steps):
        with scope("crowd", t):
            h = ops.stack([ops.tanh(h * float(k)) for k in range(width)]).mean(0)
    return h.sum()


def test_the_page_says_that_a_step_has_no_picture_of_its_ops():
    for width, crowded in ((20, False), (250, True)):
        report = inspect_graph(crowd(width))
        assert ("more than 400 boxes in a step: the unrolled view has no ops" in report.note) == crowded
        data = json.loads(re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', report.html(), re.S)[1])
        assert ("steps" in data["views"]) != crowded and "cells" in data["views"]
        cells = [box for box in data["views"]["cells"]["boxes"] if box["kind"] == "layer"]
        said = [any("503 ops, too many to draw" in line for line in box["lines"]) for box in cells]
        assert cells and all(said) == any(said) == crowded


def test_a_drawing_says_it_too():
    drawing = draw_graph(crowd(250), view="unrolled")
    assert "one step alone has more than 400 boxes" in drawing.note and drawing.view == "layers"
    by_layers = draw_graph(crowd(250), view="unrolled", depth=1)
    assert by_layers.view == "unrolled" and by_layers.shown < 20
