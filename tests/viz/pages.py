"""Helpers of the tests of the page of `inspect_graph`."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops, tensor

ODD = "</script><b>&\"'\\u202e{@@DATA@@}\n\u202e\u05d0\u05d1 <!-- \u2028" + "x" * 10_000
VIEWS = ("folded", "unrolled", "layers", "time", "text", "compare")
BOXES = """[...document.querySelectorAll('g.node')].map(g => {
    const b = g.querySelector('rect').getBoundingClientRect();
    return {id: g.dataset.id, open: g.classList.contains('open'), at: [b.left, b.top, b.right, b.bottom]};
})"""


def traced(build, *arguments):
    with tg.trace():
        loss = build(*arguments)
        loss.backward(retain_graph=True)
    return loss


def blocks(report):
    """The data of a page: its header and its arrays, by name."""
    found = dict(
        re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', report.html(), re.S)
    )

    def read(text):
        how, data = json.loads(text)
        return zlib.decompress(b64decode(data)) if how == "deflate" else b64decode(data)

    head = found["data"]
    header = json.loads(read(head) if head.startswith("[") else head)
    raw = read(found["arrays"])
    kinds = {"f4": np.float32, "f8": np.float64, "i4": np.int32, "u1": np.uint8}
    return header, {k: np.frombuffer(raw, kinds[t], n, at) for k, (t, at, n) in header["arrays"].items()}


def wait(page, expression):
    """Until an expression holds; Playwright's own way needs `eval`, which the page forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(expression)


def nodes(page):
    return page.locator("g.node[data-id][data-op][data-layer][data-t]").count()


def apart(boxes):
    """Closed boxes do not overlap; an open one holds every box that it touches, or lies inside of it."""
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            p, q = a["at"], b["at"]
            beside = p[2] <= q[0] + 1 or q[2] <= p[0] + 1 or p[3] <= q[1] + 1 or q[3] <= p[1] + 1
            assert beside or (b["open"] and holds(q, p)) or (a["open"] and holds(p, q)), (a, b)


def holds(outer, inner):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def click(page, id, **options):
    page.locator(f'g.node[data-id="{id}"] > rect').click(position={"x": 5, "y": 5}, **options)


def chain(steps=9, factor=0.5):
    """h_t = factor · h_{t−1} with a branch beside it in every step; the gradient grows by `factor` per step."""
    with tg.trace():
        h = side = tensor(np.ones(2), requires_grad=True, name="h0")
        for t in range(steps):
            with tg.step(t):
                side = side + ops.exp(h)
                h = factor * h
        loss = h.sum() + 0 * side.sum()
        loss.backward(retain_graph=True)
    return loss
