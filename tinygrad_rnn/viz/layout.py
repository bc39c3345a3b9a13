"""Where everything goes: frames in one another (folded, layers), or a column per time step (unrolled)."""

from __future__ import annotations

from dataclasses import dataclass, field

from .blocks import Block, Rect, Turn, framed, lay_out, shifted
from .layered import Path, Point, curve, line
from .scene import Scene, text_width

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
    tile_of = {g.layer + "\0" + str(g.t): k for k, g in enumerate(scene.groups)}

    def through(e: int) -> bool:
        return not scene.edges[e].carried

    outward = {scene.boxes[e.source].role for e in scene.edges
               if not e.carried and scene.boxes[e.source].group != scene.boxes[e.target].group}  # fmt: skip
    leaving = frozenset(
        i for i, box in enumerate(scene.boxes) if box.role in outward
    )  # in every column alike
    levels = _levels(scene)
    rows = sorted({g.layer: levels["row", g.layer] for g in scene.groups}.items(), key=lambda item: item[1])
    bands = sorted({level for (kind, _), level in levels.items() if kind == "box"})
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
    heights: dict[str, tuple[float, float]] = {}
    strips: list[tuple[float, float]] = []
    for level in sorted({*bands, *(level for _, level in rows)}):
        for layer in [name for name, where in rows if where == level]:
            mine = [(t, tiles[tile_of[f"{layer}\0{t}"]]) for t in columns if f"{layer}\0{t}" in tile_of]
            tall = max(b.size[0] for _, b in mine)
            for t, b in mine:
                blocks.append((b, (u, at_column[t] - b.size[1] / 2)))
            heights[layer] = (u, u + tall)
            strips.append((u, u + tall))
            if layer:
                sideways = turn(0.0, 1.0)[0] != 0
                anchor = "middle" if not sideways else "end" if turn(0.0, 1.0)[0] > 0 else "start"
                result.texts.append(Text((u + tall / 2, -14.0), [layer], "row", anchor))
            u += tall + ROW_GAP
        boxes = [
            i for i, box in enumerate(scene.boxes) if box.group < 0 and levels.get(("box", str(i))) == level
        ]
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
    result.texts += [Text(((a + b) / 2, v), text, "gap") for a, b in heights.values() for v, text in gaps]
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
    for e, edge in enumerate(scene.edges):
        if e in result.paths:
            continue
        if edge.carried:
            result.paths[e] = _sideways(scene, result, edge.source, edge.target, edge.delay)
        else:
            way, into = list(home[edge.source].out[edge.source]), home[edge.target].into[e]
            between = [(a, b) for a, b in strips if a >= way[-1][0] and b <= into[0][0]]
            if between:  # pass the rows between them in the gutter of the column
                t = max(_column(scene, edge.source), _column(scene, edge.target))
                gutter = at_column.get(t, -COLUMN_GAP) + (width_of.get(t, COLUMN_GAP) + COLUMN_GAP) / 2 - 5
                curve(way, (between[0][0] - 6, gutter))
                line(way, (between[-1][1] + 6, gutter))
            curve(way, into[0])
            result.paths[e] = way + into[1:]
    for i, delay, out in scene.loose:
        result.stubs.append(_sideways(scene, result, i if out else -1, -1 if out else i, delay))
    return result


def _sideways(scene: Scene, placed: Placement, a: int, b: int, delay: int) -> Path:
    """The way of a carried value across the columns; −1 stands for a step that is not drawn."""
    sign = 1.0 if delay > 0 else -1.0

    def port(i: int, towards: float) -> tuple[Point, float]:
        u, v = placed.at[i]
        frame = placed.frames.get(scene.boxes[i].group)
        edge = v if frame is None else (frame[3] if towards > 0 else frame[1])
        return (v + towards * placed.sizes[i][1] / 2, u), edge

    if b < 0:
        start, edge = port(a, sign)
        way: Path = [start]
        line(way, (edge + sign * 24, start[1]))
    else:
        end, rim = port(b, -sign)
        if a < 0:
            way = [(rim - sign * 24, end[1])]
        else:
            start, edge = port(a, sign)
            way = [start]
            line(way, (edge, start[1]))
            curve(way, (rim, end[1]))
        line(way, end)
    return [(u, v) for v, u in way]


def _column(scene: Scene, box: int) -> int:
    group = scene.boxes[box].group
    return scene.groups[group].t if group >= 0 else -1


def _levels(scene: Scene) -> dict[tuple[str, str], int]:
    """How many rows of the grid lie below each row and each box outside it; loops are ignored."""

    def entity(i: int) -> tuple[str, str]:
        group = scene.boxes[i].group
        return ("row", scene.groups[group].layer) if group >= 0 else ("box", str(i))

    first: dict[tuple[str, str], int] = {}
    for i in range(len(scene.boxes)):
        first.setdefault(entity(i), i)
    before: dict[tuple[str, str], set[tuple[str, str]]] = {e: set() for e in first}
    after: dict[tuple[str, str], set[tuple[str, str]]] = {e: set() for e in first}
    for edge in scene.edges:
        a, b = entity(edge.source), entity(edge.target)
        if a != b and first[a] < first[b]:
            before[b].add(a)
            after[a].add(b)

    def above(a: tuple[str, str], b: tuple[str, str]) -> int:
        return 1 if "row" in (a[0], b[0]) else 0

    level: dict[tuple[str, str], int] = {}
    for e in first:  # in order of appearance
        level[e] = max((level[p] + above(p, e) for p in before[e]), default=0)
    for e in first:
        if e[0] == "box" and not before[e] and after[e]:
            level[e] = min(level[c] - above(e, c) for c in after[e])
    return level
