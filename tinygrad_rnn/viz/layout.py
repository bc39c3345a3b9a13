"""Where everything goes: frames in one another (folded, layers), or a column per time step (unrolled)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .blocks import Block, Rect, Turn, framed, lay_out, shifted
from .columns import along_the_flow
from .labels import settle
from .layered import Path, Point, bent, curve
from .scene import Scene, text_width
from .ways import Ways
from .words import legible

COLUMN_GAP, ROW_GAP = 46.0, 44.0

# (u along the flow, v across it) -> (x, y)
TURNS: dict[str, Turn] = {
    "LR": lambda u, v: (u, v),
    "RL": lambda u, v: (-u, v),
    "TB": lambda u, v: (v, u),
    "BT": lambda u, v: (v, -u),
}
TIME_TURNS: dict[str, Turn] = {  # time runs along v, ops within a step along u
    "LR": lambda u, v: (v, -u),
    "RL": lambda u, v: (-v, -u),
    "TB": lambda u, v: (u, v),
    "BT": lambda u, v: (u, -v),
}


@dataclass
class Text:
    """A text that belongs to no box."""

    at: Point
    lines: list[str]
    kind: str  # "row" | "gap"
    anchor: str = "middle"


@dataclass
class Placement:
    """Centres and sizes of the boxes, paths of the edges, and rectangles of the groups."""

    at: dict[int, Point] = field(default_factory=dict)
    sizes: list[Point] = field(default_factory=list)
    paths: dict[int, Path] = field(default_factory=dict)
    stubs: list[Path] = field(default_factory=list)
    frames: dict[int, Rect] = field(default_factory=dict)
    texts: list[Text] = field(default_factory=list)
    labels: dict[int, Point] = field(default_factory=dict)  # where labels of edges go, if it matters
    titles: dict[int, float] = field(default_factory=dict)  # where they begin, if not at the left

    def turned(self, turn: Turn) -> Placement:
        """The same picture, turned."""
        frames = {g: (*turn(a, b), *turn(c, d)) for g, (a, b, c, d) in self.frames.items()}
        return Placement(
            {i: turn(*p) for i, p in self.at.items()},
            self.sizes,
            {e: [turn(*p) for p in path] for e, path in self.paths.items()},
            [[turn(*p) for p in path] for path in self.stubs],
            {g: (min(a, c), min(b, d), max(a, c), max(b, d)) for g, (a, b, c, d) in frames.items()},
            [Text(turn(*text.at), text.lines, text.kind, text.anchor) for text in self.texts],
            {e: turn(*p) for e, p in self.labels.items()},
        )


def place(scene: Scene, direction: str) -> Placement:
    """Lay out a scene without any help from outside."""
    unrolled = scene.columns is not None
    turn = (TIME_TURNS if unrolled else TURNS)[direction]
    upright = turn(1.0, 0.0)[0] == 0  # the flow is vertical
    real = [box.size for box in scene.boxes]
    sizes = [(h, w) for w, h in real] if upright else real
    result = _grid(scene, sizes, turn) if unrolled else _nested(scene, sizes, turn)
    result = result.turned(turn)
    result.sizes = real
    settle(scene, result.labels, result.paths, [(at, real[i]) for i, at in result.at.items()])
    return result


def _nested(scene: Scene, sizes: list[Point], turn: Turn) -> Placement:
    """Groups from the inside out: each becomes one block of its surroundings."""
    blocks: dict[int, Block] = {}
    for g in [*reversed(range(len(scene.groups))), -1]:  # children have larger numbers than their parents
        boxes = [i for i, box in enumerate(scene.boxes) if box.group == g]
        groups = [k for k, group in enumerate(scene.groups) if group.parent == g]
        block = lay_out(scene, sizes, boxes, {k: blocks[k] for k in groups})
        if g >= 0:
            block = framed(scene, g, block, turn)
        blocks[g] = block
    top = blocks[-1]
    return Placement(top.at, sizes, top.paths, frames=top.frames, labels=top.labels)


def _grid(scene: Scene, sizes: list[Point], turn: Turn) -> Placement:
    """Rows of tiles, one per layer and step; between the rows what lies outside the recurrences."""
    columns = scene.columns or []
    tile_of = {(g.layer, g.row, g.t): k for k, g in enumerate(scene.groups)}

    def through(e: int) -> bool:
        return not scene.edges[e].carried

    outward = {scene.boxes[e.source].role for e in scene.edges
               if not e.carried and scene.boxes[e.source].group != scene.boxes[e.target].group}  # fmt: skip
    leaving = frozenset(
        i for i, box in enumerate(scene.boxes) if box.role in outward
    )  # in every column alike
    levels = _levels(scene)
    rows = sorted(
        {(g.layer, g.row): levels[g.layer, g.row] for g in scene.groups}.items(), key=lambda r: r[1]
    )
    bands = sorted({levels[i] for i, box in enumerate(scene.boxes) if box.group < 0})
    tiles = {}
    for k, _ in enumerate(scene.groups):
        boxes = [i for i, box in enumerate(scene.boxes) if box.group == k]
        tiles[k] = framed(scene, k, lay_out(scene, sizes, boxes, {}, through, leaving), turn)
    result = Placement(sizes=sizes)
    v, at_column, width_of, gaps = 0.0, {}, {}, []
    for k, t in enumerate(columns):
        if k and t > columns[k - 1] + 1 or not k and t:
            hidden = t - (columns[k - 1] + 1 if k else 0)
            text = ["…", f"{hidden} step{'s' * (hidden > 1)}", "…"]
            wide = text_width(text[1], 12.0) + 34
            gaps.append((v + wide / 2 - COLUMN_GAP / 2, text))
            v += wide
        width = max(b.size[1] for i, b in tiles.items() if scene.groups[i].t == t) if tiles else 0.0
        at_column[t], width_of[t] = v + width / 2, width
        v += width + COLUMN_GAP
    if columns and columns[-1] < scene.total_steps - 1:
        hidden = scene.total_steps - 1 - columns[-1]
        gaps.append((v + 30, ["…", f"{hidden} step{'s' * (hidden > 1)}", "…"]))
        v += 90
    total, u = v - COLUMN_GAP, 0.0
    blocks: list[tuple[Block, Point]] = []
    heights: list[tuple[float, float]] = []
    strips: list[tuple[float, float]] = []
    for level in sorted({*bands, *(level for _, level in rows)}):
        for layer, row in [key for key, where in rows if where == level]:
            mine = [(t, tiles[k]) for t in columns if (k := tile_of.get((layer, row, t), -1)) >= 0]
            tall = max(b.size[0] for _, b in mine)
            for t, b in mine:
                blocks.append((b, (u, at_column[t] - b.size[1] / 2)))
            heights.append((u, u + tall))
            strips.append((u, u + tall))
            if layer:
                sideways = turn(0.0, 1.0)[0] != 0
                anchor = "middle" if not sideways else "end" if turn(0.0, 1.0)[0] > 0 else "start"
                result.texts.append(Text((u + tall / 2, -14.0), [legible(layer)], "row", anchor))
            u += tall + ROW_GAP
        boxes = [i for i, box in enumerate(scene.boxes) if box.group < 0 and levels[i] == level]
        if boxes:
            b = lay_out(scene, sizes, boxes, {})
            ends = [(e.source, e.target) for e in scene.edges]
            near = [_column(scene, you) for pair in ends for me, you in (pair, pair[::-1]) if me in b.at]
            near = [t for t in near if t >= 0]
            middle = sum(at_column[t] for t in near) / len(near) if near else total / 2
            start = min(max(middle - b.size[1] / 2, 0.0), max(0.0, total - b.size[1]))
            blocks.append((b, (u, start)))
            strips.append((u, u + b.size[0]))
            u += b.size[0] + ROW_GAP
    result.texts += [Text(((a + b) / 2, v), text, "gap") for a, b in heights for v, text in gaps]
    whole = Block()
    home: dict[int, Block] = {}
    for b, (du, dv) in blocks:
        moved = shifted(b, du, dv)
        moved.size = (du + b.size[0], dv + b.size[1])
        home |= dict.fromkeys(moved.at, moved)
        whole.at |= moved.at
        whole.paths |= moved.paths
        whole.frames |= moved.frames
    result.at, result.paths, result.frames = whole.at, whole.paths, whole.frames
    edges_of = [(at_column[t] - width_of[t] / 2, at_column[t] + width_of[t] / 2) for t in columns]
    rims = [-COLUMN_GAP, *(v for pair in edges_of for v in pair), total + COLUMN_GAP]
    ways = Ways(
        {i: (v, u) for i, (u, v) in result.at.items()},
        [(b, a) for a, b in sizes],
        {i: columns.index(t) for i in result.at if (t := _column(scene, i)) in at_column},
        list(zip(rims[::2], rims[1::2], strict=True)),
    )
    for e, edge in enumerate(scene.edges):
        if edge.carried and e not in result.paths:
            result.paths[e] = [(u, v) for v, u in ways.way(edge.source, edge.target, edge.delay)]
        elif e not in result.paths:
            t = max(_column(scene, edge.source), _column(scene, edge.target))
            rim = (at_column[t] - width_of[t] / 2, at_column[t] + width_of[t] / 2) if t >= 0 else (0.0, 0.0)
            out, into = home[edge.source].out[edge.source], home[edge.target].into[e]
            result.paths[e] = _between(out, into, strips, rim, ways)
    for i, delay, out_of in scene.loose:
        way = ways.way(i if out_of else -1, -1 if out_of else i, delay)
        result.stubs.append([(u, v) for v, u in way])
    return result


def _between(out: Path, into: Path, strips: list[Point], rim: Point, ways: Ways) -> Path:
    """The way from row to row; what stands between them is passed beside the column, whose two rims are given."""
    way, (u, v), (goal, side) = list(out), out[-1], into[0]
    passed = [(a, b) for a, b in strips if a >= u and b <= goal]
    if u > goal:  # what is fed back goes down again
        start = 12 + next(b for a, b in strips if a <= u <= b)
        end, gutter = next(a for a, b in strips if a <= goal <= b) - 12, rim[0] - COLUMN_GAP / 2
        corners = [(y, x) for x, y in ways.detour(gutter, start, end)]
        way += bent(
            [(u, v), (start, v), (start, gutter), *corners, (end, gutter), (end, side), (goal, side)]
        )[1:]
        return way + into[1:]
    if passed:
        start, end, gutter = passed[0][0] - 12, passed[-1][1] + 12, rim[1] + COLUMN_GAP / 2 - 5
        curve(way, (start, gutter))
        corners = [(y, x) for x, y in ways.detour(gutter, start, end)]
        way += bent([way[-1], *corners, (end, gutter)])[1:]
    curve(way, into[0])
    return way + into[1:]


def _column(scene: Scene, box: int) -> int:
    group = scene.boxes[box].group
    return scene.groups[group].t if group >= 0 else -1


def _levels(scene: Scene) -> dict[Any, int]:
    """How many rows of the grid lie below each row (layer, pass), and each box outside of them; loops are cut."""
    groups = [scene.groups[box.group] if box.group >= 0 else None for box in scene.boxes]
    keys: list[Any] = [(g.layer, g.row) if g else i for i, g in enumerate(groups)]
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    ends = [(number[keys[e.source]], number[keys[e.target]], e.carried) for e in scene.edges]
    source, target, _ = np.array([e for e in ends if not e[2] and e[0] != e[1]], int).reshape(-1, 3).T
    order = along_the_flow(source, target, np.arange(len(number))).tolist()
    before: list[set[int]] = [set() for _ in number]
    after: list[set[int]] = [set() for _ in number]
    for a, b, _ in ends:
        if order[a] < order[b]:
            before[b].add(a)
            after[a].add(b)
    single = [isinstance(key, int) for key in number]
    level = [0] * len(number)
    for k in sorted(range(len(number)), key=order.__getitem__):
        level[k] = max((level[p] + (not single[p] or not single[k]) for p in before[k]), default=0)
    for k, alone in enumerate(single):
        if alone and not before[k] and after[k]:
            level[k] = min(level[c] - (not single[c]) for c in after[k])
    return {key: level[k] for key, k in number.items()}
