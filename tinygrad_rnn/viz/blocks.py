"""Blocks of boxes: laid out by themselves, framed, and put beside one another with ways in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .layered import LANE, Path, Point, Problem, bent, layered, line
from .scene import Scene, text_width

Rect = tuple[float, float, float, float]
Turn = Callable[[float, float], Point]
PAD, TITLE = 10.0, 18.0


@dataclass
class Block:
    """Boxes that are placed relative to one another, and the ways in and out."""

    size: Point = (0.0, 0.0)
    at: dict[int, Point] = field(default_factory=dict)
    frames: dict[int, Rect] = field(default_factory=dict)
    paths: dict[int, Path] = field(default_factory=dict)
    labels: dict[int, Point] = field(default_factory=dict)
    out: dict[int, Path] = field(default_factory=dict)  # box -> way to the right edge
    into: dict[int, Path] = field(default_factory=dict)  # edge -> way from the left edge to its target


def lay_out(
    scene: Scene, sizes: list[Point], boxes: list[int], groups: dict[int, Block],
    through: Callable[[int], bool] = lambda e: True, leaving: frozenset[int] = frozenset(),
) -> Block:  # fmt: skip
    """Lay out boxes and finished blocks side by side, with ways in and out for the other edges.

    `through(edge)` says whether an edge that leaves or enters gets such a way; the boxes in `leaving` get a
    way out in any case.
    """
    members: list[tuple[int, int]] = [(i, -1) for i in boxes] + [
        (min(b.at), g) for g, b in groups.items() if b.at
    ]
    members.sort()
    owner: dict[int, int] = {}
    for k, (i, g) in enumerate(members):
        owner.update(dict.fromkeys(groups[g].at if g >= 0 else [i], k))
    flow: list[int] = []
    lanes: list[int] = []
    entries: list[int] = []
    exits = dict.fromkeys(sorted(leaving & owner.keys()), -1)
    for e, edge in enumerate(scene.edges):
        a, b = owner.get(edge.source), owner.get(edge.target)
        if a is not None and b is not None:
            if a == b and members[a][1] >= 0:
                continue
            (lanes if edge.carried or a >= b else flow).append(e)
        elif a is not None and through(e):
            exits.setdefault(edge.source, e)
        elif b is not None and through(e):
            entries.append(e)

    base, n = len(entries), len(entries) + len(members)
    size_of = [(0.0, 2.0)] * base + [groups[g].size if g >= 0 else sizes[i] for i, g in members]
    links: list[tuple[int, int]] = []
    shift: dict[int, Point] = {}

    def link(a: int, b: int, box: int = -1, edge: int = -1) -> None:
        starts = groups[members[a - base][1]] if base <= a < n and members[a - base][1] >= 0 else None
        ends = groups[members[b - base][1]] if base <= b < n and members[b - base][1] >= 0 else None
        if starts or ends:
            out = starts.out[box][-1][1] - starts.size[1] / 2 if starts else 0.0
            into = ends.into[edge][0][1] - ends.size[1] / 2 if ends else 0.0
            shift[len(links)] = (out, into)
        links.append((a, b))

    for e in flow:
        source, target = scene.edges[e].source, scene.edges[e].target
        link(base + owner[source], base + owner[target], source, e)
    for k, e in enumerate(entries):
        link(k, base + owner[scene.edges[e].target], edge=e)
    for k, source in enumerate(exits):
        link(base + owner[source], n + k, source)
    sides = {
        base + k: scene.boxes[i].side for k, (i, g) in enumerate(members) if g < 0 and scene.boxes[i].side
    }
    size_of += [(0.0, 2.0)] * len(exits)
    ends = frozenset(range(base)), frozenset(range(n, n + len(exits)))
    flat = layered(Problem(size_of, links, *ends, sides, shift))

    result = Block()
    corner: dict[int, Point] = {}
    for k, (i, g) in enumerate(members):
        x, y = flat.at[base + k]
        if g < 0:
            result.at[i] = (x, y)
            continue
        dx, dy = corner[k] = x - groups[g].size[0] / 2, y - groups[g].size[1] / 2
        result.at |= {j: (px + dx, py + dy) for j, (px, py) in groups[g].at.items()}
        result.paths |= {e: _moved(path, dx, dy) for e, path in groups[g].paths.items()}
        result.frames |= {f: (a + dx, b + dy, c + dx, d + dy) for f, (a, b, c, d) in groups[g].frames.items()}
        result.labels |= {e: (px + dx, py + dy) for e, (px, py) in groups[g].labels.items()}

    def leave(source: int) -> Path:
        k = owner[source]
        if members[k][1] >= 0:
            return _moved(groups[members[k][1]].out[source], *corner[k])
        return [(result.at[source][0] + sizes[source][0] / 2, result.at[source][1])]

    def arrive(e: int) -> Path:
        k = owner[scene.edges[e].target]
        if members[k][1] >= 0:
            return _moved(groups[members[k][1]].into[e], *corner[k])
        return []

    paths = iter(flat.paths)
    for e in flow:
        result.paths[e] = _joined(leave(scene.edges[e].source), next(paths), arrive(e))
    for e in entries:
        result.into[e] = _joined(next(paths), arrive(e))
    for source in exits:
        result.out[source] = _joined(leave(source), next(paths))

    width, height = flat.size
    left, right = 0.0, width
    spans = [(flat.at[base + k][0], size_of[base + k][0] / 2) for k in range(len(members))]

    def ways(e: int) -> tuple[int, int]:
        return owner[scene.edges[e].source], owner[scene.edges[e].target]

    lanes.sort(key=lambda e: spans[ways(e)[0]][0] - spans[ways(e)[1]][0])
    for k, e in enumerate(lanes):
        a, b = ways(e)
        rank_end = max(x + half for x, half in spans if abs(x - spans[a][0]) < 1)
        rank_start = min(x - half for x, half in spans if abs(x - spans[b][0]) < 1)
        x_out, x_in, low = rank_end + 9 + 3 * (k % 5), rank_start - 11 - 3 * (k % 5), height + LANE * (k + 1)
        start, rest = leave(scene.edges[e].source), arrive(e)
        target = scene.edges[e].target
        end = (
            rest[0]
            if rest
            else (result.at[target][0] - sizes[target][0] / 2, result.at[target][1] + sizes[target][1] / 4)
        )
        way = bent([start[-1], (x_out, start[-1][1]), (x_out, low), (x_in, low), (x_in, end[1]), end])
        result.paths[e] = _joined(start, way, rest)
        result.labels[e] = ((x_out + x_in) / 2, low)
        left, right = min(left, x_in - 4), max(right, x_out + 4)
    result.size = (right - left, height + LANE * len(lanes) + (2 if lanes else 0))
    for path in result.into.values():
        path[:0] = [(left, path[0][1])] * (3 if path[0][0] > left else 0)
    for path in result.out.values():
        line(path, (right, path[-1][1]))
    return shifted(result, -left, 0.0)


def framed(scene: Scene, g: int, block: Block, turn: Turn) -> Block:
    """Room for a frame and its title, which is always on top of the finished picture."""
    up_u, up_v = -turn(1.0, 0.0)[1], -turn(0.0, 1.0)[1]  # does u or v grow upwards?
    left = PAD + (TITLE if up_u < 0 else 0.0)
    right = PAD + (TITLE if up_u > 0 else 0.0)
    top = PAD + (TITLE if up_v < 0 else 0.0)
    bottom = PAD + (TITLE if up_v > 0 else 0.0)
    need = text_width(scene.groups[g].title, 11.0) + 16
    width, height = block.size[0] + left + right, block.size[1] + top + bottom
    if up_u:  # the flow is vertical: the title runs along v, and what leaves or enters there passes beside it
        passing = (
            [path[-1] for path in block.out.values()]
            if up_u > 0
            else [path[0] for path in block.into.values()]
        )
        mirrored = turn(0.0, 1.0)[0] < 0
        beside = [bottom + block.size[1] - v if mirrored else top + v for _, v in passing]
        extra = max(0.0, (need - height) / 2, need - min(beside, default=need))
        top, bottom, height = top + extra, bottom + extra, height + 2 * extra
    else:
        width = max(width, need)
        right = width - block.size[0] - left
    result = shifted(block, left, top)
    for path in result.into.values():
        first = path[0]
        path[:0] = [(0.0, first[1]), (first[0] / 3, first[1]), (first[0] * 2 / 3, first[1])]
    for path in result.out.values():
        line(path, (width, path[-1][1]))
    result.size = (width, height)
    result.frames[g] = (0.0, 0.0, width, height)
    return result


def _moved(path: Path, dx: float, dy: float) -> Path:
    return [(x + dx, y + dy) for x, y in path]


def shifted(block: Block, dx: float, dy: float) -> Block:
    """The same block, further right and down."""

    def each(paths: dict[int, Path]) -> dict[int, Path]:
        return {k: _moved(path, dx, dy) for k, path in paths.items()}

    at = {i: (x + dx, y + dy) for i, (x, y) in block.at.items()}
    frames = {g: (a + dx, b + dy, c + dx, d + dy) for g, (a, b, c, d) in block.frames.items()}
    labels = {e: (x + dx, y + dy) for e, (x, y) in block.labels.items()}
    return Block(block.size, at, frames, each(block.paths), labels, each(block.out), each(block.into))


def _joined(*parts: Path) -> Path:
    """One path after the other, with straight pieces where they do not touch."""
    pieces: Iterable[Path] = (p for p in parts if p)
    whole: Path = []
    for piece in pieces:
        if whole:
            line(whole, piece[0])
            whole += piece[1:]
        else:
            whole = list(piece)
    return whole
