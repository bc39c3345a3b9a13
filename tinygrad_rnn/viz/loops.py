"""Hand-written loops under `trace()`: which ops are one place of the source, and which iteration each belongs to.

Nothing in the loop is marked: two ops are the same if they have the same call path, by the ranges in the source
that it leads through (instructions move while Python warms up, ranges do not).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.op import LEAF, Array, Node
from ..core.sites import position, repeats
from ..core.trace import USER, Path, composite, of_backward, where

MOST_PLACES = 2000  # places that are looked at together to find the iterations


class Paths:
    """The call paths of some nodes, each of them once: `paths`, and in `of` the number of each node's (−1: none).

    `whole` says which nodes are the value of their expression: of the ops of a composite function only the last.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.paths: list[Path] = []
        self.of: list[int] = []
        seen: dict[Any, int] = {}
        for node in nodes:
            kept = None if node.op is LEAF else getattr(node, "trace", None)
            path = () if kept is None or of_backward(kept) else kept.path
            number = -1
            if path:
                key = tuple([v for code, at in path for v in (id(code), at)])
                number = seen.setdefault(key, len(self.paths))
                if number == len(self.paths):
                    self.paths.append(path)
            self.of.append(number)
        inner = [composite(node.trace) if k >= 0 else None for node, k in zip(nodes, self.of, strict=True)]
        ahead = zip(inner, inner[1:], self.of, self.of[1:], strict=False)
        self.whole = [a is None or a == b or k != n for a, b, k, n in ahead] + [True] * bool(nodes)

    def places(self, nodes: list[Node]) -> Array:
        """For every node the first one with the same op, layer and call path; −1 if it has no path of its own.

        Inside a recurrent layer the steps are known better than by the path. A loop inside this package is not
        the user's: what is repeated there stays apart.
        """
        result = np.full(len(nodes), -1)
        spans = [tuple([(id(code), position(code, at) or at) for code, at in path]) for path in self.paths]
        own = [
            where(path[0][0]) == USER or any(where(code) == USER and repeats(code, at) for code, at in path)
            for path in self.paths
        ]
        seen: dict[Any, int] = {}  # by the path as it was recorded
        first: dict[Any, int] = {}  # by the ranges of the source
        for i, (node, number) in enumerate(zip(nodes, self.of, strict=True)):
            if number >= 0 and own[number] and (node.scope.t is None or not node.scope.layer):
                key = (number, node.op.name, node.scope.layer, composite(node.trace))
                if key not in seen:
                    seen[key] = first.setdefault((spans[number], *key[1:]), i)
                result[i] = seen[key]
        return result


def iterations(place: Array, t: Array, edges: tuple[Array, Array, Array], nodes: list[Node]) -> Array:
    """The time steps, with those of hand-written loops: the iteration, as the indices that it reads count it.

    `edges` are reader, parent and port of every argument. A place that is passed as often as its loop counts
    the iterations; the others are put between its passes. If the loop reads `x[:, t]`, an output of `unstack`, or
    the results of an earlier loop, in the same order or in the opposite one, their count is taken over.
    """
    result = t.copy()
    rows = np.flatnonzero((place >= 0) & (t < 0))
    rows = rows[np.argsort(place[rows], kind="stable")]
    labels, start, counts = np.unique(place[rows], return_index=True, return_counts=True)
    if np.sum(counts > 1) > MOST_PLACES or not np.any(counts > 1):
        return result
    groups = [rows[start[k] : start[k] + counts[k]] for k in range(len(counts))]
    groups.sort(key=lambda group: (-len(group), group[0]))
    loops: list[list[Array]] = []
    for group in groups:
        for loop in loops:
            between = np.searchsorted(loop[0], group, side="right")
            once = len(group) == 1 and (not 0 < between[0] < len(loop[0]) or len(loop[0]) < 2)
            if not once and len(np.unique(between)) == len(group):
                result[group] = between - (between[0] > 0)
                loop.append(group)
                break
        else:
            if len(group) > 1:
                result[group] = np.arange(len(group))
                loops.append([group])
    home = np.full(len(nodes), -1)
    loops.sort(key=lambda loop: loop[0][0])
    for k, loop in enumerate(loops):
        home[np.concatenate(loop)] = k
    for k, loop in enumerate(loops):
        _count_as(loop, k, home, result, edges, nodes)
    return result


def _count_as(
    loop: list[Array], k: int, home: Array, t: Array, edges: tuple[Array, Array, Array], nodes: list[Node]
) -> None:
    """Shift or turn the count of a loop to that of the first thing that it reads step by step."""
    child, parent, port = edges
    members = np.concatenate(loop)
    inside = np.zeros(len(nodes), bool)
    inside[members] = True
    known = inside[child] & (parent >= 0)
    earlier = known & (t[np.maximum(parent, 0)] >= 0) & (home[np.maximum(parent, 0)] < k)
    for group in loop:
        mine = np.zeros(len(nodes), bool)
        mine[group] = True
        indices = _indices([nodes[i] for i in group])
        readings = [(group, column) for column in indices]
        for at, values in ((known & (port >= 0), port), (earlier, t[np.maximum(parent, 0)])):
            at = at & mine[child]
            if np.sum(at) == len(group):  # one reading in every pass
                readings.append((child[at], values[at]))
        for at, values in readings:
            for sign in (1, -1):
                shift = values - sign * t[at]
                if len(values) > 1 and np.all(shift == shift[0]) and (values[0] != values[-1]):
                    moved = shift[0] + sign * t[members]
                    if moved.min() >= 0:
                        t[members] = moved
                        return


def _indices(nodes: list[Node]) -> list[Array]:
    """The integers in `x[…]`, one array for every place in the brackets."""
    found = [node.attrs.get("index") if node.op.name == "getitem" else None for node in nodes]
    parts = [index if isinstance(index, tuple) else (index,) for index in found]
    if len({len(p) for p in parts}) != 1:
        return []
    columns = list(zip(*parts, strict=True))
    return [np.array(c) for c in columns if all(isinstance(v, (int, np.integer)) and int(v) >= 0 for v in c)]
