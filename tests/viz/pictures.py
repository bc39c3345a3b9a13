"""What must hold for every drawing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np

from tinygrad_rnn.viz import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def boxes(root, kind="node"):
    """Rectangles (x0, y0, x1, y1) of the nodes, chips or groups of a picture."""
    found = []
    for g in root.iter(f"{SVG}g"):
        if kind in (g.get("class") or "").split():
            r = g.find(f"{SVG}rect")
            x, y, w, h = (float(r.get(k)) for k in ("x", "y", "width", "height"))
            found.append((x, y, x + w, y + h))
    return found


def within(inner, outer, slack=0.6):
    return all(i >= o - slack for i, o in zip(inner[:2], outer[:2], strict=True)) and all(
        i <= o + slack for i, o in zip(inner[2:], outer[2:], strict=True)
    )


def check(drawing: Drawing) -> ET.Element:
    """Everything that must hold for every picture."""
    root = ET.fromstring(drawing.svg())
    nodes = boxes(root)
    assert len(nodes) == drawing.shown
    x, y, w, h = map(float, root.get("viewBox").split())
    for box in [*nodes, *boxes(root, "chip"), *boxes(root, "group")]:
        assert within(box, (x, y, x + w, y + h))
    for a, b in combinations(nodes, 2):
        apart = a[2] <= b[0] + 0.2 or b[2] <= a[0] + 0.2 or a[3] <= b[1] + 0.2 or b[3] <= a[1] + 0.2
        assert apart, (a, b)
    for chip in boxes(root, "chip"):
        assert any(within(chip, node) for node in nodes)
    ids = [g.get("data-id") for g in root.iter(f"{SVG}g") if "node" in (g.get("class") or "").split()]
    assert len(set(ids)) == len(ids)
    ends = [e.get(k) for e in root.iter(f"{SVG}g") for k in ("data-from", "data-to") if e.get(k)]
    assert set(ends) <= set(ids)
    numbers = re.findall(r'(?:d|points|x|y)="([^"]*)"', drawing.svg())
    assert not any("nan" in n or "inf" in n for n in numbers)
    for path in root.iter(f"{SVG}path"):  # the curves stay inside as well
        points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", path.get("d"))
        assert all(within((float(u), float(v)) * 2, (x, y, x + w, y + h)) for u, v in points)
    assert crossings(root) == []
    assert root.get("role") == "img" and root.get("aria-label")
    assert drawing.note in root.find(f"{SVG}title").text  # and in the picture, broken into lines:
    words = [t.text for t in root.iter(f"{SVG}text") if "note" in (t.get("class") or "")]
    assert " ".join(words) == drawing.note
    return root


def crossings(root: ET.Element) -> list[tuple[str, str, str]]:
    """Arrows that pass over a box which is neither their start nor their end: from, to, over."""
    names = [g.get("data-id") for g in root.iter(f"{SVG}g") if "node" in (g.get("class") or "").split()]
    left, top, right, bottom = np.array(boxes(root)).T[:, :, None]
    found, t = [], np.linspace(0, 1, 25)
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    for g in root.iter(f"{SVG}g"):
        if "edge" in (g.get("class") or "").split() and g.find(f"{SVG}polygon") is not None:
            numbers = re.findall(r"(-?[\d.]+),(-?[\d.]+)", g.find(f"{SVG}path").get("d"))
            points = np.array(numbers, float)
            ways = np.stack([points[k : len(points) - 3 + k : 3] for k in range(4)], axis=1)
            x, y = np.einsum("pkc,kt->cpt", ways, weights).reshape(2, -1)
            over = (left + 1 < x) & (x < right - 1) & (top + 1 < y) & (y < bottom - 1)
            ends = g.get("data-from"), g.get("data-to")
            found += [(*ends, names[k]) for k in np.flatnonzero(over.any(axis=1)) if names[k] not in ends]
    return found
