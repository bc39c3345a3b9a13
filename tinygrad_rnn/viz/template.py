"""Templates of the page: each view is laid out once here, and the script only tiles, shows and hides.

A template lists boxes, edges and frames with their places. In the unrolled view it is one time step: boxes
and points marked as tiled move with the step, the others stay in the middle of what is visible.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.op import Array
from . import dot
from .columns import Fold, Graph
from .inside import insides
from .layered import Path, curve, line
from .layout import COLUMN_GAP, Placement, place
from .overview import overview
from .scene import Box, Edge, Scene, chip_width, shape_text, text_width
from .views import Style, folded, make_box

MOST = 400  # boxes of one template
Template = dict[str, Any]


def templates(graph: Graph, labels: Array, fold: Fold) -> dict[str, Template]:
    """The templates of a graph: "folded", "layers", "inside", and for a recurrence "cells" and "steps".

    "inside" has a template for each box of the layers that can be opened, by id; `in` and `out` are its boxes
    that are joined to others outside. "cells" and "steps" are one time step, with a box per layer and with a box
    per op. What has more than 400 boxes is left out.
    """
    style = plain(graph)
    whole = folded(graph, fold, style) if len(fold) <= 20 * MOST else None
    outer, parts, _ = overview(graph, labels, style, MOST)
    roles = _named(outer, _roles(outer, parts, fold), "l")
    result = {"layers": _template(outer, _placed(_clipped(outer)), roles)}
    result["inside"] = {
        part.id: _template(part.scene, place(_clipped(part.scene), "LR"), part.roles)
        | {"in": sorted(part.entries), "out": sorted(part.exits)}
        for part in (insides(graph, whole, outer, roles) if whole else ())
        if len(part.scene.boxes) <= MOST
    }
    result["folded"] = result["layers"]
    if whole and len(whole.boxes) <= MOST:
        result["folded"] = picture(whole, fold)
    if graph.steps:
        steps = _tile(graph, fold, fold, style)
        cells = _tile(graph, Fold(graph, _cells(graph, labels)), fold, style, crowded=steps is None)
        result |= {name: tile for name, tile in (("cells", cells), ("steps", steps)) if tile is not None}
    return result


def plain(graph: Graph) -> Style:
    """Boxes with shapes and names; the page adds the numbers."""
    return Style(frozenset(("shape", "name")), "chip", graph.value, graph.grad)


def picture(scene: Scene, fold: Fold) -> Template:
    """The template of a folded scene that was made and marked elsewhere."""
    return _template(scene, _placed(_clipped(scene)), _roles(scene, fold, fold))


def _cells(graph: Graph, labels: Array) -> Array:
    """Labels for `Fold` that put the ops of one layer in one time step together."""
    labels = labels.copy()
    first: dict[str, int] = {}
    for i in np.flatnonzero((graph.t >= 0) & (graph.kind == "op")).tolist():
        labels[i] = first.setdefault(graph.layer[i], labels[i])
    return labels


def _clipped(scene: Scene) -> Scene:
    """No text of a box is longer than 40 characters; titles and the panel have all of it."""

    def clip(text: str) -> str:
        return text if len(text) <= 40 else text[:24] + "…" + text[-15:]

    for box in scene.boxes:
        box.label, box.lines = clip(box.label), [clip(line) for line in box.lines]
        for chip in [*box.before, *box.after]:
            chip.text = clip(chip.text)
    for group in scene.groups:
        group.title = clip(group.title)
    for edge in scene.edges:
        edge.label = clip(edge.label)
    return scene


def _placed(scene: Scene) -> Placement:
    return dot.arrange(scene, "LR", dot.digraph(dot.body(scene, "LR")))[0]


def _roles(scene: Scene, parts: Fold, fold: Fold) -> list[list[int]]:
    """For every box the folded nodes that it stands for."""
    pairs = np.unique(np.stack([parts.of, fold.of]), axis=1)
    members: dict[int, list[int]] = {}
    for part, role in pairs.T.tolist():
        members.setdefault(part, []).append(role)
    return [members[int(parts.of[box.row])] if box.row >= 0 else [] for box in scene.boxes]


def _named(scene: Scene, roles: list[list[int]], prefix: str) -> list[list[int]]:
    """Number the boxes by the folded node that they show, or with a prefix if they stand for several."""
    for i, (box, own) in enumerate(zip(scene.boxes, roles, strict=True)):
        box.id = f"n{own[0]}" if len(own) == 1 and box.kind != "layer" else f"{prefix}{i}"
    return roles


def _tile(graph: Graph, parts: Fold, fold: Fold, style: Style, crowded: bool = False) -> Template | None:
    """One time step of the unrolled view with what lies outside the recurrences; None if it is too large.

    `crowded`: there is no tile of ops, for they are too many; the boxes of layers say so.
    """
    if len(parts) > 2 * MOST:
        return None
    scene = Scene(columns=[0], total_steps=1)
    box_of: dict[int, int] = {}
    roots = {int(parts.of[r]) for r in graph.roots}
    chips = set(style.chips)
    towards = np.sign(parts.high)
    side = dict(zip(parts.target[parts.carried].tolist(), (-towards[parts.carried]).tolist(), strict=True))
    side |= dict(zip(parts.source[parts.carried].tolist(), towards[parts.carried].tolist(), strict=True))
    merged = parts is not fold
    for i in range(len(parts)):
        row = int(parts.last[i])
        if row in chips and i not in roots:
            continue
        box = make_box(graph, row, f"n{i}", style, i in roots)
        if graph.t[row] >= 0:
            box.group = scene.group(f"t = {graph.steps - 1}", "step", layer=graph.layer[row], t=0)
            box.side = side.get(i, 0)
            if merged and graph.kind[row] == "op":
                _as_cell(box, graph, row)
                if crowded:
                    box.lines.append(f"{len(np.unique(fold.of[parts.of == i]))} ops, too many to draw")
        box_of[i] = len(scene.boxes)
        scene.boxes.append(box)
    if len(scene.boxes) > MOST:
        return None
    carried = []
    for e, (a, b, across) in enumerate(parts.edges):
        source, target = box_of.get(a), box_of.get(b)
        if source is None or target is None:
            continue
        port = int(parts.port_low[e])
        label = f"[{port}]" if port >= 0 and port == parts.port_high[e] and parts.counts[a] > 1 else ""
        if not across:
            scene.edges.append(Edge(source, target, label))
        else:
            delays = {int(parts.low[e]), int(parts.high[e])}
            carried += [Edge(source, target, "", True, delay) for delay in sorted(delays)]
    placed = place(_clipped(scene), "LR")
    result = _template(scene, placed, _named(scene, _roles(scene, parts, fold), "c"), tiled=True)
    frames = placed.frames.values()
    pitch = max((c - a for a, _, c, _ in frames), default=0.0) + COLUMN_GAP
    for edge in carried:
        way = _across(scene, placed, edge, pitch)
        result["edges"].append(_edge(edge, way))
    result["pitch"] = round(pitch, 1)
    result["left"] = round(min((a for a, _, _, _ in frames), default=0.0), 1)
    return result


def _as_cell(box: Box, graph: Graph, row: int) -> None:
    """A whole layer in one time step."""
    box.kind, box.label, box.before, box.after = "layer", graph.layer[row] or "step", [], []
    box.lines = [shape_text(graph.shape[row])]
    box.title = f"one time step of {graph.layer[row] or 'a loop'}"


def _across(scene: Scene, placed: Placement, edge: Edge, pitch: float) -> Path:
    """The way of a carried value from its tile to another one, `delay` steps further."""
    sign = 1.0 if edge.delay > 0 else -1.0

    def port(i: int, towards: float) -> tuple[float, float, float]:
        (x, y), width = placed.at[i], placed.sizes[i][0]
        frame = placed.frames[scene.boxes[i].group]
        return x + towards * width / 2, y, frame[2] if towards > 0 else frame[0]

    x, y, rim = port(edge.source, sign)
    x_end, y_end, rim_end = port(edge.target, -sign)
    way: Path = [(x, y)]
    line(way, (rim, y))
    curve(way, (rim_end + edge.delay * pitch, y_end))
    line(way, (x_end + edge.delay * pitch, y_end))
    return way


def _template(scene: Scene, placed: Placement, roles: list[list[int]], tiled: bool = False) -> Template:
    """Everything as plain lists and dicts; coordinates with one decimal."""
    boxes = []
    for i, box in enumerate(scene.boxes):
        (x, y), (w, h) = placed.at[i], placed.sizes[i]
        chips = [[[c.text, c.kind, c.title, round(chip_width(c), 1), c.row] for c in side]
                 for side in (box.before, box.after)]  # fmt: skip
        boxes.append({
            "id": box.id, "kind": box.mark or box.kind, "op": box.op, "layer": box.layer, "label": box.label,
            "width": round(text_width(box.label, 12.0), 1), "lines": box.lines, "badge": box.badge,
            "title": box.title, "before": chips[0], "after": chips[1], "roles": roles[i],
            "at": _numbers(x - w / 2, y - h / 2, w, h), "tile": int(tiled and box.group >= 0),
        })  # fmt: skip
    edges = []
    for e, path in sorted(placed.paths.items()):
        edge = scene.edges[e]
        item = _edge(edge, path)
        if tiled:
            item["tile"] = [int(scene.boxes[i].group >= 0) for i in (edge.source, edge.target)]
        if edge.label and e in placed.labels:
            item["place"] = _numbers(*placed.labels[e])
        edges.append(item)
    frames = [{"title": scene.groups[g].title, "kind": scene.groups[g].kind, "layer": scene.groups[g].layer,
               "at": _numbers(a, b, c - a, d - b), "from": _numbers(placed.titles.get(g, a + 10))[0]}
              for g, (a, b, c, d) in sorted(placed.frames.items())]  # fmt: skip
    corners = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
               for (x, y), (w, h) in ((placed.at[i], placed.sizes[i]) for i in placed.at)]  # fmt: skip
    corners += placed.frames.values()
    corners += [(x, y, x, y) for path in placed.paths.values() for x, y in path]
    low = [min((c[k] for c in corners), default=0.0) for k in (0, 1)]
    high = [max((c[k] for c in corners), default=0.0) for k in (2, 3)]
    return {"boxes": boxes, "edges": edges, "frames": frames, "box": _numbers(*low, *high)}


def _edge(edge: Edge, path: Path) -> dict[str, Any]:
    return {
        "from": edge.source, "to": edge.target, "label": edge.label, "carried": int(edge.carried),
        "delay": edge.delay, "mark": edge.mark, "tile": [1, 1], "path": _numbers(*(v for p in path for v in p)),
    }  # fmt: skip


def _numbers(*values: float) -> list[float]:
    return [round(float(v), 1) for v in values]
