"""Colours for `color_by`: a palette for layers, and the cividis scale for quantities."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from .columns import Graph
from .scene import Box, Chip, Scene

PALETTE = ("#cfe3ff", "#ffe0b8", "#d3f0cd", "#f6d0e6", "#e3d7fa", "#fff0a8", "#c9eff0", "#f3cfc4")
CIVIDIS = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")


def cividis(fraction: float) -> str:
    """Colour at a place from 0 to 1 of the scale, which colour-blind readers can tell apart."""
    place = min(max(fraction, 0.0), 1.0) * (len(CIVIDIS) - 1)
    k = min(int(place), len(CIVIDIS) - 2)
    pairs = [(int(CIVIDIS[k][i : i + 2], 16), int(CIVIDIS[k + 1][i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * (place - k)):02x}" for a, b in pairs)


def paint(scene: Scene, graph: Graph, color_by: str) -> list[tuple[str, str]]:
    """Fill the boxes and chips; return the entries of the legend: colour and text."""
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
                box.fill = cividis(box.t / last)
        if not any(box.fill for box in scene.boxes):
            raise ValueError(
                "draw_graph: color_by='time' needs boxes of single time steps; use view='unrolled'"
            )
        return [(cividis(0.0), "t = 0"), (cividis(1.0), f"t = {graph.steps - 1}")]
    column = graph.grad if color_by == "grad" else graph.value
    chips = [chip for box in scene.boxes for chip in [*box.before, *box.after] if chip.row >= 0]
    rows = {box.row for box in scene.boxes if box.row >= 0} | {chip.row for chip in chips}
    low, high = _range(float(column[row]) for row in rows)
    items: list[Box | Chip] = [*scene.boxes, *chips]
    for item in items:
        if item.row >= 0 and not np.isnan(column[item.row]):
            item.fill = cividis((_log(float(column[item.row])) - low) / (high - low or 1.0))
    what = "gradient of parameters and inputs" if color_by == "grad" else "value, where it was kept"
    return [(cividis(0.0), f"‖{what}‖ = {10**low:.2g}"), (cividis(1.0), f"{10**high:.2g}")]


def _range(values: Iterable[float]) -> tuple[float, float]:
    logs = [_log(v) for v in values if not math.isnan(v)]
    return min(logs, default=0.0), max(logs, default=0.0)


def _log(value: float) -> float:
    """log10, with a floor for zero and a ceiling for infinity."""
    return math.log10(min(max(value, 1e-30), 1e30))
