"""A layered layout in plain Python: longest path, barycentre order, and heights by least squares.

Everything here flows from left to right; other directions are the same picture turned.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
Links = list[list[tuple[int, float]]]  # for every box its neighbours, and how much lower it wants to be
Path = list[Point]  # cubic Bézier curves in a row: start, then control, control, end, …
RANK_GAP, NODE_GAP, LANE = 36.0, 14.0, 13.0


@dataclass
class Flat:
    """A finished layout: centres of the boxes, a path per edge, and the size of the whole."""

    at: list[Point]
    paths: list[Path]
    size: Point


@dataclass
class Problem:
    """Boxes with sizes and edges `(i, j)` with i < j; `first` and `last` boxes go to the two ends.

    `side` is −1 for a box that should come first in its rank, +1 for one that should come last. `shift`
    gives, for an edge, how far from the middle of its boxes it starts and ends.
    """

    sizes: Sequence[Point]
    edges: Sequence[tuple[int, int]]
    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    side: dict[int, int] = field(default_factory=dict)
    shift: dict[int, Point] = field(default_factory=dict)


def layered(problem: Problem) -> Flat:
    """Place the boxes so that every edge goes right, edges cross little, and no two boxes overlap."""
    sizes, edges = list(problem.sizes), list(problem.edges)
    if not sizes:
        return Flat([], [], (0.0, 0.0))
    rank = _ranks(problem)
    n = len(sizes)
    long = sum(rank[j] - rank[i] - 1 for i, j in edges)
    chains: list[list[int]] = []
    heights = [h for _, h in sizes]
    for i, j in edges:
        chain = [i]
        if long <= 4000:
            for r in range(rank[i] + 1, rank[j]):
                chain.append(len(rank))
                rank.append(r)
                heights.append(2.0)
        chains.append([*chain, j])
    count = max(rank) + 1
    ranks: list[list[int]] = [[] for _ in range(count)]
    for i, r in enumerate(rank):
        ranks[r].append(i)
    before: Links = [[] for _ in rank]
    after: Links = [[] for _ in rank]
    for e, chain in enumerate(chains):
        out, into = problem.shift.get(e, (0.0, 0.0))
        for k, (a, b) in enumerate(zip(chain, chain[1:], strict=False)):
            drop = out * (k == 0) - into * (k == len(chain) - 2)
            before[b].append((a, drop))
            after[a].append((b, -drop))
    ranks = _order(ranks, before, after)
    if problem.side:
        for row in ranks:
            boxes = iter(sorted((i for i in row if i < n), key=lambda i: problem.side.get(i, 0)))
            row[:] = [next(boxes) if i < n else i for i in row]
    y = _heights(ranks, before, after, heights, n)
    widths = [max((sizes[i][0] for i in row if i < n), default=0.0) for row in ranks]
    x, left = [], 0.0
    for width in widths:
        x.append(left + width / 2)
        left += width + (RANK_GAP if width else RANK_GAP / 3)
    top = min(y[i] - heights[i] / 2 for i in range(len(y)))
    bottom = max(y[i] + heights[i] / 2 for i in range(len(y)))
    at = [(x[rank[i]], y[i] - top) for i in range(len(rank))]
    paths = _paths(chains, at, sizes, [widths[r] for r in rank], problem.shift)
    return Flat(at[:n], paths, (left - (RANK_GAP if widths[-1] else RANK_GAP / 3), bottom - top))


def _ranks(p: Problem) -> list[int]:
    """Longest path from the sources; sources then move next to the first box that reads them."""
    n = len(p.sizes)
    rank = [0] * n
    by_source = sorted(p.edges)
    for i, j in by_source:
        rank[j] = max(rank[j], rank[i] + 1)
    inputs = {j for _, j in p.edges}
    nearest: dict[int, int] = {}
    for i, j in by_source:
        nearest[i] = min(nearest.get(i, n), rank[j])
    for i in range(n):
        if i not in inputs and i in nearest:
            rank[i] = nearest[i] - 1
    inner = [rank[i] for i in range(n) if i not in p.first and i not in p.last]
    low, high = min(inner, default=1), max(inner, default=0)
    for i in range(n):
        rank[i] = low - 1 if i in p.first else high + 1 if i in p.last else rank[i]
    lowest = min(rank)
    return [r - lowest for r in rank]


def _order(ranks: list[list[int]], before: Links, after: Links) -> list[list[int]]:
    """Sort every rank by the mean place of its neighbours, back and forth; keep the best of all sweeps."""
    best, fewest = [list(row) for row in ranks], _crossings(ranks, after)
    place = [0.0] * len(before)
    for sweep in range(12):
        if not fewest:
            break
        forward = sweep % 2 == 0
        for row in ranks if forward else ranks[::-1]:
            for k, i in enumerate(row):
                place[i] = float(k)
            beside = before if forward else after
            row.sort(
                key=lambda i: (
                    sum(place[j] + drop / 1000 for j, drop in beside[i]) / len(beside[i])
                    if beside[i]
                    else place[i]
                )
            )
            for k, i in enumerate(row):
                place[i] = float(k)
        crossed = _crossings(ranks, after)
        if crossed < fewest:
            best, fewest = [list(row) for row in ranks], crossed
    return best


def _crossings(ranks: list[list[int]], after: Links) -> int:
    """How many pairs of edges between neighbouring ranks cross."""
    place = {i: k for row in ranks for k, i in enumerate(row)}
    total = 0
    for row in ranks:
        passed: list[int] = []
        for i in row:
            ends = sorted(place[j] for j, _ in after[i])
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _heights(
    ranks: list[list[int]], before: Links, after: Links, heights: list[float], n: int
) -> list[float]:
    """Move boxes towards their neighbours without changing the order in a rank."""
    y = [0.0] * len(heights)
    for row in ranks:
        _settle(row, [0.0] * len(row), [1.0] * len(row), heights, n, y)
    for sweep in range(24):
        for row in ranks if sweep % 2 else ranks[::-1]:
            wanted, weights = [], []
            for i in row:
                near = (
                    before[i] + after[i]
                    if sweep > 3
                    else (before[i] if sweep % 2 else after[i]) or after[i] + before[i]
                )
                wanted.append(sum(y[j] + drop for j, drop in near) / len(near) if near else y[i])
                weights.append(3.0 if i >= n else 1.0)
            _settle(row, wanted, weights, heights, n, y)
    return y


def _settle(
    row: list[int], wanted: list[float], weights: list[float], heights: list[float], n: int, y: list[float]
) -> None:
    """Least squares: as near to the wanted heights as possible, in order, without overlap."""
    offset, blocks = 0.0, []  # blocks: [weighted mean, weight, number of members], merged while out of order
    offsets = []
    for k, i in enumerate(row):
        if k:
            gap = NODE_GAP if i < n and row[k - 1] < n else NODE_GAP / 2
            offset += (heights[row[k - 1]] + heights[i]) / 2 + gap
        offsets.append(offset)
        blocks.append([wanted[k] - offset, weights[k], 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight, size = blocks.pop()
            total = blocks[-1][1] + weight
            blocks[-1] = [
                (blocks[-1][0] * blocks[-1][1] + mean * weight) / total,
                total,
                blocks[-1][2] + size,
            ]
    k = 0
    for mean, _, size in blocks:
        for _ in range(int(size)):
            y[row[k]] = mean + offsets[k]
            k += 1


def _paths(
    chains: list[list[int]], at: list[Point], sizes: list[Point], widths: list[float], shift: dict[int, Point]
) -> list[Path]:
    """Smooth curves through the places of each chain; arrows into one box arrive side by side."""
    arriving: dict[int, list[int]] = {}
    for e, chain in enumerate(chains):
        arriving.setdefault(chain[-1], []).append(e)
    end_y: dict[int, float] = {}
    for j, incoming in arriving.items():
        incoming.sort(key=lambda e: at[chains[e][-2]][1])
        room = min(sizes[j][1] - 12, 9.0 * (len(incoming) - 1))
        for k, e in enumerate(incoming):
            spread = room * (k / (len(incoming) - 1) - 0.5) if len(incoming) > 1 else 0.0
            end_y[e] = at[j][1] + (shift[e][1] if e in shift else spread)
    paths = []
    for e, chain in enumerate(chains):
        i, j = chain[0], chain[-1]
        x, y = at[i][0] + sizes[i][0] / 2, at[i][1] + shift.get(e, (0.0, 0.0))[0]
        path: Path = [(x, y)]
        edge = at[i][0] + widths[i] / 2
        if edge > x + 1:
            line(path, (edge, y))
        for k in chain[1:-1]:
            half = widths[k] / 2
            curve(path, (at[k][0] - half, at[k][1]))
            line(path, (at[k][0] + half, at[k][1]))
        curve(path, (at[j][0] - widths[j] / 2, end_y[e]))
        line(path, (at[j][0] - sizes[j][0] / 2, end_y[e]))
        paths.append(path)
    return paths


def line(path: Path, end: Point) -> None:
    """Go on straight."""
    (x, y), (u, v) = path[-1], end
    if (x, y) != end:
        path += [(x + (u - x) / 3, y + (v - y) / 3), (u - (u - x) / 3, v - (v - y) / 3), end]


def curve(path: Path, end: Point) -> None:
    """Go on in an S that starts and ends horizontally."""
    (x, y), (u, v) = path[-1], end
    path += [((x + u) / 2, y), ((x + u) / 2, v), end]


def bent(points: Sequence[Point], radius: float = 6.0) -> Path:
    """A polyline of horizontal and vertical pieces with round corners."""
    path: Path = [points[0]]
    for k in range(1, len(points) - 1):
        (ax, ay), (x, y), (bx, by) = points[k - 1], points[k], points[k + 1]
        reach_a, reach_b = abs(ax - x) + abs(ay - y), abs(bx - x) + abs(by - y)
        if not reach_a or not reach_b:
            continue
        a, b = min(radius, reach_a / 2) / reach_a, min(radius, reach_b / 2) / reach_b
        line(path, (x + (ax - x) * a, y + (ay - y) * a))
        out = (x + (bx - x) * b, y + (by - y) * b)
        path += [(x, y), (x, y), out]
    line(path, points[-1])
    return path
