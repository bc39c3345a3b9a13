"""Colours for `color_by`: a palette for layers, and the cividis scale for quantities."""

from __future__ import annotations

import math
from typing import Any

from .columns import Graph
from .scene import Box, Chip, Scene
from .views import Style

PALETTE = ("#cfe3ff", "#ffe0b8", "#d3f0cd", "#f6d0e6", "#e3d7fa", "#fff0a8", "#c9eff0", "#f3cfc4")
CIVIDIS = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")
LEVELS = 16  # of the scale
DECADES = 8.0  # that it spans at most: what is smaller looks like nothing


def cividis(fraction: float) -> str:
    """Colour at a place from 0 to 1 of the scale, which colour-blind readers can tell apart."""
    place = min(max(fraction, 0.0), 1.0) * (len(CIVIDIS) - 1)
    k = min(int(place), len(CIVIDIS) - 2)
    pairs = zip(_rgb(CIVIDIS[k]), _rgb(CIVIDIS[k + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - k)):02x}" for a, b in pairs)


def paint(scene: Scene, graph: Graph, color_by: str, style: Style) -> list[tuple[str, str]]:
    """Fill the boxes, chips and edges; return the entries of the legend: colour and text."""
    if color_by == "layer":
        names = list(dict.fromkeys(box.layer for box in scene.boxes if box.layer))
        colour = {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}
        for box in scene.boxes:
            if box.kind in ("op", "output", "layer"):
                box.fill = colour.get(box.layer, "")
        return [(colour[name], name) for name in names[:12]]
    if color_by == "time":
        last = max(graph.steps - 1, 1)
        for box in scene.boxes:
            if box.t >= 0 and box.count == 1:
                box.fill = scale(box.t / last)
        if not any(box.fill for box in scene.boxes):
            raise ValueError(
                "draw_graph: color_by='time' needs boxes of single time steps; use view='unrolled'"
            )
        return [(scale(0.0), "t = 0"), (scale(1.0), f"t = {graph.steps - 1}")]
    column = style.grad if color_by == "grad" else style.value
    chips = [chip for box in scene.boxes for chip in [*box.before, *box.after] if chip.row >= 0]
    items: list[Box | Chip] = [*(box for box in scene.boxes if box.row >= 0), *chips]
    edges = scene.edges if color_by == "grad" else []
    numbers = [*(float(column[item.row]) for item in items), *(edge.flow for edge in edges)]
    logs = [_log(v) for v in numbers if v and math.isfinite(v)]  # what is not is at the end of the scale
    high = max(logs, default=0.0)
    low = max(min(logs, default=0.0), high - DECADES)
    every: list[Any] = [*items, *edges]
    for item, v in zip(every, numbers, strict=True):
        if not math.isnan(v):
            item.fill = scale((_log(v) - low) / (high - low or 1.0))
    what = "gradient" if color_by == "grad" else "value"
    count = 4 if high - low > 0.3 else 0
    marks = [(k / max(count, 1), low + (high - low) * k / max(count, 1)) for k in range(count + 1)]
    texts = [f"{10**v:.2g}" for _, v in marks]
    texts[0] = f"‖{what}‖ = {texts[0]}"
    return [(scale(place), text) for (place, _), text in zip(marks, texts, strict=True)]


def scale(fraction: float) -> str:
    """A place on the scale, as the name of the class that the style sheets colour."""
    return f"s{round(min(max(fraction, 0.0), 1.0) * LEVELS)}"


def hue(fill: str, dark: bool, line: bool = False) -> str:
    """The colour of a fill. Large is dark on a light page and light on a dark one; small fades into the page.

    A line keeps away from the colour of the page, so that it is seen.
    """
    if not fill.startswith("s"):
        return fill
    fraction = int(fill[1:]) / LEVELS
    if line:
        return cividis(0.45 + 0.55 * fraction if dark else 0.55 - 0.55 * fraction)
    if dark:
        return cividis(fraction)
    page = 0.7 * (1.0 - fraction) ** 2
    return "#" + "".join(f"{round(v + (255 - v) * page):02x}" for v in _rgb(cividis(1.0 - fraction)))


def ink_on(colour: str) -> str:
    """Black or white, whichever has more contrast with a colour: 4.5:1 at least."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21, as the Web Content Accessibility Guidelines 2.1 define it."""

    def luminance(colour: str) -> float:
        parts = [v / 255 for v in _rgb(colour)]
        r, g, b = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _log(value: float) -> float:
    """log10, with a floor for zero and a ceiling for infinity."""
    return math.log10(min(max(value, 1e-300), 1e300))
