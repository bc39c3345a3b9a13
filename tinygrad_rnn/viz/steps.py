"""The time step of every op in hand-written loops: which of the loops around it runs over time, and in which pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..core.op import Array, Leaf, Node
from .loops import Walk


class Edges(NamedTuple):
    """The arguments of all nodes: who reads it, what it is (−1: not recorded), which output, and which argument."""

    child: Array
    parent: Array
    port: Array
    argument: Array


class Loop:
    """The nodes inside one loop, and the pass that each belongs to, of all and since the loop was entered."""

    def __init__(self, passes: list[tuple[int, int, int, bool]], count: int) -> None:
        self.rows: Array
        self.number: Array
        self.start: Array
        self.rows, self.number, self.start, own = np.array(passes).T
        self.own = own.astype(bool)  # not in a loop inside this one
        self.at = np.full(count, -1)  # of every node its rank among the rows
        self.at[self.rows] = np.arange(len(passes))

    @property
    def t(self) -> Array:
        """The pass of each row since the loop was entered."""
        passed: Array = self.number - self.start
        return passed

    def repeats(self, place: Array) -> bool:
        """Whether the passes lead through the same places again; layers with names of their own do not."""
        _, first, inverse = np.unique(place, return_index=True, return_inverse=True)
        return bool(np.any(self.t != self.t[first[inverse]]))

    def enter_at(self, numbers: Array) -> None:
        """Say with which passes the loop was entered again."""
        starts = np.union1d(self.start, numbers)
        self.start = starts[np.searchsorted(starts, self.number, side="right") - 1]

    def turn_with(self, inner: Loop) -> None:
        """Begin a pass whenever the inner loop, which has the same rows, is entered."""
        _, self.number = np.unique(inner.start, return_inverse=True)
        _, first, run = np.unique(self.start, return_index=True, return_inverse=True)
        self.start = self.number[first[run]]


class Steps:
    """Gives every op in a hand-written loop its time step, `t`; −1 for what such a loop stands inside.

    Of nested loops the innermost one runs over time, but not one whose passes read different weights (it runs over
    layers), nor one that is fed by the recurrence of the loop outside; and if it reads no sequence (`x[:, t]`, an
    output of `unstack`) and one outside does, it is that one. If it reads a sequence, or the results of an earlier
    loop, in the same order or in the opposite one, their indices are the time steps.
    """

    def __init__(self, walk: Walk, t: Array, edges: Edges, nodes: list[Node]) -> None:
        self.walk, self.edges, self.nodes = walk, edges, nodes
        self.t = t.copy()
        uses = np.bincount(edges.parent[edges.parent >= 0], minlength=len(nodes))
        self.weight = np.array([isinstance(node, Leaf) for node in nodes], bool) & (uses > 1)
        self.loops = self._loops()
        self._find_hidden_turns()
        repeated = {k for k, loop in self.loops.items() if loop.repeats(walk.place[loop.rows])}
        chains: dict[tuple[int, ...], list[int]] = {}
        rows = np.flatnonzero((walk.place >= 0) & (t < 0)).tolist()
        for row in rows:
            chains.setdefault(tuple([p.loop for p in walk.passes[row]]), []).append(row)
        chosen = {chain: self._over_time([k for k in chain if k in repeated]) for chain in chains}
        outside = {k for chain, home in chosen.items() if home >= 0 for k in chain[: chain.index(home)]}
        members: dict[int, list[int]] = {}
        for chain, home in chosen.items():
            if home >= 0 and home not in outside:
                members.setdefault(home, []).extend(chains[chain])
            elif home < 0:
                self._count_recursion(np.array(chains[chain]))
        self._number(members)

    def _loops(self) -> dict[int, Loop]:
        found: dict[int, list[tuple[int, int, int, bool]]] = {}
        for row, passes in enumerate(self.walk.passes):
            for loop, number, start in passes:
                found.setdefault(loop, []).append((row, number, start, loop == passes[-1].loop))
        return {k: Loop(columns, len(self.nodes)) for k, columns in found.items()}

    # --- where loops were entered again -------------------------------------------------------------

    def _find_hidden_turns(self) -> None:
        """Find where an inner loop was entered again, although nothing beside it was recorded in the outer one."""
        for k, loop in self.loops.items():
            chain = [p.loop for p in self.walk.passes[loop.rows[0]]]
            outer = chain[chain.index(k) - 1] if chain.index(k) > 0 else -1
            if outer in self.walk.hidden and loop.own.any():
                found = self._indices_restart(loop)
                loop.enter_at(self._carry_breaks(loop) if found is None else found)
                self.loops[outer].turn_with(loop)

    def _indices_restart(self, loop: Loop) -> Array | None:
        """The passes that read the same element of a sequence as the first one; None if nothing is read so."""
        for rows, values in self._readings(loop):
            if loop.own[loop.at[rows[0]]] and values.min() < values.max():
                again: Array = loop.number[loop.at[rows[values == values[0]]]]
                return again
        return None

    def _carry_breaks(self, loop: Loop) -> Array:
        """The passes that, like the first one, do not read what others read from the pass before."""
        at = np.flatnonzero((loop.at[self.edges.child] >= 0) & loop.own[loop.at[self.edges.child]])
        number, parent = loop.number[loop.at[self.edges.child[at]]], self.edges.parent[at]
        inside = (parent >= 0) & (loop.at[parent] >= 0)
        carried = inside & (loop.number[loop.at[parent]] < number)
        found = [np.zeros(0, np.int64)]
        for slot in _grouped(np.arange(len(at)), self._slots(at)):
            if len(slot) > 1 and not carried[slot[0]] and carried[slot[1]]:
                found.append(number[slot[1:]][~carried[slot[1:]]])
        return np.concatenate(found)

    def _slots(self, at: Array) -> Array:
        """The same number for the same argument of the same place."""
        most = int(self.edges.argument.max(initial=0)) + 1
        return self.walk.place[self.edges.child[at]] * most + self.edges.argument[at]

    # --- which loop is the one over time ------------------------------------------------------------

    def _over_time(self, loops: list[int]) -> int:
        """One of nested loops; −1 for none."""
        if len(loops) < 2:
            return loops[0] if loops else -1
        inward = [k for k in loops if not self._varies(self.loops[k])] or loops
        *outer, chosen = inward
        for k in reversed(outer):
            if self._feeds(self.loops[k], self.loops[chosen]):
                chosen = k
        if self._reads(self.loops[chosen]):
            return chosen
        around = inward[: inward.index(chosen)]
        return next((k for k in reversed(around) if self._reads(self.loops[k])), chosen)

    def _feeds(self, outer: Loop, inner: Loop) -> bool:
        """Whether an inner loop reads what the outer one itself has computed from its earlier passes."""
        late = np.zeros(len(self.nodes), bool)
        first, last = np.searchsorted(self.edges.child, [outer.rows[0], outer.rows[-1] + 1])
        edges = zip(
            self.edges.child[first:last].tolist(), self.edges.parent[first:last].tolist(), strict=True
        )
        for child, parent in edges:
            if parent < 0 or outer.at[child] < 0 or outer.at[parent] < 0:
                continue
            a, b = outer.at[parent], outer.at[child]
            turned = outer.number[a] < outer.number[b] and outer.start[a] == outer.start[b]
            late[child] = late[child] or late[parent] or turned
            if late[child] and inner.at[child] >= 0 > inner.at[parent] and (late[parent] or turned):
                return True
        return False

    def _reads(self, loop: Loop) -> bool:
        return any(_agree(values, loop.t[loop.at[rows]]) for rows, values in self._readings(loop))

    def _varies(self, loop: Loop) -> bool:
        """Whether the passes read different weights: a loop over layers."""
        at = np.flatnonzero((loop.at[self.edges.child] >= 0) & self.weight[self.edges.parent])
        for slot in _grouped(at, self._slots(at)):
            place = loop.at[self.edges.child[slot]]
            passes = _grouped(slot, loop.number[place])
            starts = loop.start[loop.at[self.edges.child[[turn[0] for turn in passes]]]]
            read = [frozenset(self.edges.parent[turn].tolist()) for turn in passes]
            if any(a != b and s == t for a, b, s, t in zip(read, read[1:], starts, starts[1:], strict=False)):
                return True
        return False

    def _readings(self, loop: Loop, values: Array | None = None) -> Iterator[tuple[Array, Array]]:
        """Rows of one place, and the numbers by which they read a sequence: indices, outputs, or `values` of edges."""
        place = self.walk.place
        groups = {int(place[group[0]]): group for group in _grouped(loop.rows, place[loop.rows])}
        for group in groups.values() if values is None else ():
            yield from ((group, column) for column in self._indices(group))
        values = self.edges.port if values is None else values
        at = np.flatnonzero((loop.at[self.edges.child] >= 0) & (self.edges.parent >= 0) & (values >= 0))
        for chosen in _grouped(at, place[self.edges.child[at]]):
            rows = self.edges.child[chosen]
            if len(rows) == len(groups[int(place[rows[0]])]):  # one reading in every pass
                yield rows, values[chosen]

    def _indices(self, rows: Array) -> list[Array]:
        """The integers in `x[…]`, one array for every place in the brackets; a weight is no sequence."""
        nodes = [self.nodes[i] for i in rows]
        if any(n.op.name != "getitem" or getattr((n.inputs or (None,))[0], "variable", False) for n in nodes):
            return []
        found = [node.attrs["index"] for node in nodes]
        parts = [index if isinstance(index, tuple) else (index,) for index in found]
        if len({len(p) for p in parts}) != 1:
            return []
        columns = list(zip(*parts, strict=True))
        whole = [c for c in columns if all(isinstance(v, (int, np.integer)) and int(v) >= 0 for v in c)]
        return [np.array(c) for c in whole]

    # --- the numbers --------------------------------------------------------------------------------

    def _count_recursion(self, rows: Array) -> None:
        """A place that is passed again without a loop is passed in a recursion, or its source is not known."""
        for group in _grouped(rows, self.walk.place[rows]):
            if len(group) > 1:
                self.t[group] = np.arange(len(group))

    def _number(self, members: dict[int, list[int]]) -> None:
        """Set the time steps of the loops over time, the earliest loop first."""
        home = np.full(len(self.nodes), -1)
        order = sorted(members, key=lambda k: min(members[k]))
        for rank, k in enumerate(order):
            rows = np.array(sorted(members[k]))
            home[rows], self.t[rows] = rank, self.loops[k].t[self.loops[k].at[rows]]
        for rank, k in enumerate(order):
            rows = np.flatnonzero(home == rank)
            parent = self.edges.parent
            earlier = (parent >= 0) & (home[parent] >= 0) & (home[parent] < rank)
            results = np.where(earlier, self.t[parent], -1)
            for source in (None, results):
                agreed = (_agree(v, self.t[at]) for at, v in self._readings(self.loops[k], source))
                found = next((a for a in agreed if a and min(a[0] * self.t[rows] + a[1]) >= 0), None)
                if found:
                    self.t[rows] = found[0] * self.t[rows] + found[1]
                    break


def _grouped(items: Array, keys: Array) -> list[Array]:
    """The items with the same key, in their order."""
    order = np.argsort(keys, kind="stable")
    return np.split(items[order], np.flatnonzero(np.diff(keys[order])) + 1) if len(items) else []


def _agree(values: Array, t: Array) -> tuple[int, int] | None:
    """Sign and shift with which `values` count like `t`; None if they do not, or do not count at all."""
    for sign in (1, -1):
        shift: Any = values - sign * t
        if len(values) > 1 and values.min() < values.max() and np.all(shift == shift[0]):
            return sign, int(shift[0])
    return None
