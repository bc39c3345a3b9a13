"""Hand-written loops under `trace()`: which ops are one place of the source, and which pass of a loop each belongs to.

Nothing in the loop is marked: two ops are the same if they have the same call path, by the ranges in the source
that it leads through (instructions move while Python warms up, ranges do not). A loop begins its next pass when
something runs that stands before what ran last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.op import LEAF, Node, Op
from ..core.trace import USER, Path, where
from .sites import composite, of_backward, spot


class Paths:
    """The call paths of some nodes, each of them once: `paths`, and in `of` the number of each node's (−1: none).

    `whole` says which nodes are the value of their expression: of the ops of a composite function only the last.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.paths: list[Path] = []
        self.of: list[int] = []
        self.inner: list[Path] = []  # of every node, the way inside a composite function
        seen: dict[Any, int] = {}
        known: dict[Any, int] = {}  # by the objects that a path is put together from
        for node in nodes:
            kept = None if node.op is LEAF else getattr(node, "trace", None)
            if kept is None or kept.code is None or (kept.inner and of_backward(kept)):
                self.of.append(-1)
                self.inner.append(())
                continue
            key = id(kept.code), kept.at, id(kept.outer)
            if key not in known:
                path = kept.path
                known[key] = seen.setdefault(tuple([(id(code), at) for code, at in path]), len(self.paths))
                self.paths += [path] * (known[key] == len(self.paths))
            self.of.append(known[key])
            self.inner.append(composite(kept) if kept.inner else ())
        ahead = zip(self.inner, self.inner[1:], self.of, self.of[1:], strict=False)
        self.whole = [not a or a == b or k != n for a, b, k, n in ahead] + [True] * bool(nodes)


class Level(NamedTuple):
    """A loop around a place, and where the place stands in it."""

    loop: int
    user: bool  # not a loop of this package
    position: tuple[int, ...]
    inner: bool  # it stands in a loop inside this one


class Pass(NamedTuple):
    """One pass of a loop."""

    loop: int
    number: int  # of all passes of the loop
    run: int  # the number with which the loop was entered


class Walk:
    """Follows the nodes through the loops of the source.

    `place` is for every node the first one with the same op, layer and call path; −1 if it has no path of its own.
    `passes` has the passes of the user's loops around it, outermost first. Inside a recurrent layer the steps are
    known better than by the path. A loop inside this package is not the user's: what is repeated there stays apart.
    `hidden` are the loops in which nothing but one other loop was recorded: when they turn cannot be seen.
    """

    def __init__(self, paths: Paths, nodes: list[Node]) -> None:
        self.place = np.full(len(nodes), -1)
        self.passes: list[tuple[Pass, ...]] = [()] * len(nodes)
        self._loops: dict[Any, int] = {}
        self._positions: dict[int, set[Any]] = {}
        self._now: dict[int, _Now] = {}
        looped = [any(where(c) == USER and spot(c, at).loops for c, at in path) for path in paths.paths]
        own = [yes or where(path[0][0]) == USER for yes, path in zip(looped, paths.paths, strict=True)]
        routes: dict[Any, tuple[Any, list[Level]]] = {}
        first: dict[Any, int] = {}
        for i, (node, number, inner) in enumerate(zip(nodes, paths.of, paths.inner, strict=True)):
            if number < 0 or not own[number] or (node.scope.t is not None and node.scope.layer):
                continue
            key = (number, *[v for code, at in inner for v in (id(code), at)]) if inner else number
            if key not in routes:
                routes[key] = self._route(paths.paths[number], inner)
            source, levels = routes[key]
            around: list[Pass] = []
            theirs: tuple[int, ...] = ()
            outside = 0
            for level in levels:
                turn = self._enter(level, node.op, outside)
                outside = turn.number
                if level.user:
                    around.append(turn)
                else:
                    theirs += (turn.number - turn.run,)
            self.passes[i] = tuple(around)
            self.place[i] = first.setdefault((source, node.op.name, node.scope.layer, theirs), i)
        self.hidden = {
            loop for loop, seen in self._positions.items() if len(seen) == 1 and next(iter(seen))[1]
        }

    def _route(self, path: Path, inner: Path) -> tuple[Any, list[Level]]:
        """Where a call path leads through, and the loops on the way, outermost first."""
        way: list[tuple[int, int]] = []  # code and rank
        loops: list[tuple[int, bool]] = []  # how far along the way, and whether it is the user's
        for code, at in (*reversed(path), *reversed(inner)):
            here = spot(code, at)
            loops += [(len(way) + k, where(code) == USER) for k in range(len(here.loops))]
            way += [(id(code), rank) for rank in (*here.loops, here.rank)]
        levels = []
        ends = [*[k for k, _ in loops[1:]], len(way)]
        for (k, user), end in zip(loops, ends, strict=False):
            loop = self._loops.setdefault(tuple(way[: k + 1]), len(self._loops))
            position = tuple([rank for _, rank in way[k + 1 : end + 1]])
            levels.append(Level(loop, user, position, end < len(way)))
            self._positions.setdefault(loop, set()).add((position, end < len(way)))
        return tuple(way), levels

    def _enter(self, level: Level, op: Op, around: int) -> Pass:
        """The pass in which a place is reached; `around` is the pass of the loop outside."""
        now = self._now.get(level.loop)
        if now is None:
            now = self._now[level.loop] = _Now(Pass(level.loop, 0, 0), around)
        position, last, turn = level.position, now.position, now.turn
        again = position == last and not level.inner and op in now.ops
        if now.around != around:
            now.turn = Pass(level.loop, turn.number + 1, turn.number + 1)
        elif position < last or again:
            now.turn = Pass(level.loop, turn.number + 1, turn.run)
        elif position == last:
            now.ops.append(op)
            return turn
        now.position, now.around, now.ops = position, around, [op]
        return now.turn


class _Now:
    """Where a loop is."""

    def __init__(self, turn: Pass, around: int) -> None:
        self.turn, self.around = turn, around
        self.position: tuple[int, ...] = ()
        self.ops: list[Op] = []  # that ran there: `for x_t in f(x)` has two at one range of the source
