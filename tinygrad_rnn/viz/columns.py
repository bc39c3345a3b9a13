"""The columns of a recorded graph, `Graph`, and its partition into drawn nodes, `Fold`."""

from __future__ import annotations

import heapq
import linecache
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

import numpy as np

from ..core.op import Array
from .diff import GraphDiff, compare
from .sites import line_of, origin

ROW_COLUMNS = (
    "op", "layer", "t", "slot", "shape", "dtype", "name", "kind", "nbytes", "grad", "value", "order", "place",
    "label", "site", "trace",
)  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Graph:
    """Immutable columns of a recorded graph, one row per op or leaf, parents before children.

    `t` is −1 outside a recurrence. `slot` is the rank of an op within its (layer, t); leaves have −1. A leaf
    that a single step reads belongs to that step. `kind` is "op", "parameter" (a Variable), "input" (another
    leaf) or "constant" (a tensor that was not recorded). The outputs of an op with several (split, unstack)
    are not rows: they are numbers on the edges, so `len(graph)` counts ops and leaves.

    The arguments of row `i` are `parents[start[i]:start[i + 1]]`, in order and with repetition; −1 is an
    argument that was not recorded (see `constants`). `port` gives, per argument, the output it reads, or −1.
    `grad` holds the norms of the gradients, `value` those of the values, both NaN where unknown.

    What was recorded under `trace()` tells more: `label` is the user's expression, such as "h @ U", `site` the
    line, as "file.py:12", `trace` all that was kept (`core.trace.Traced`), `place` the first row with the same
    call path (−1 without one), and `t` the iteration of a hand-written loop. After a backward pass inside,
    `order` numbers the rows as it visited them (0: not), and `flow` holds, per argument, the norm of what it
    added to the gradient of that argument.
    """

    op: Array
    layer: Array
    t: Array
    slot: Array
    shape: Array
    dtype: Array
    name: Array
    kind: Array
    nbytes: Array
    grad: Array
    value: Array
    order: Array
    place: Array
    label: Array
    site: Array
    trace: Array
    start: Array
    parents: Array
    port: Array
    flow: Array
    constants: Mapping[int, tuple[tuple[int, tuple[int, ...] | None, str], ...]]
    port_names: Mapping[tuple[int, int], str]
    roots: tuple[int, ...]

    def __len__(self) -> int:
        """Number of ops and leaves."""
        return len(self.op)

    @property
    def steps(self) -> int:
        """Number of time steps, T: one more than the largest `t`; 0 without a recurrence."""
        return int(self.t.max(initial=-1)) + 1

    def __repr__(self) -> str:
        """`<Graph: 41 nodes, 3 steps>`."""
        return f"<Graph: {len(self)} nodes, {self.steps} steps>"

    def fold(self) -> Fold:
        """Fold over time: ops of the same layer and place in different steps become one node with a count.

        Within a layer, the most frequent sequence of ops is the pattern. Steps that differ are aligned
        with it, and what has no counterpart becomes a node of its own. The counts always sum to
        `len(graph)`, and the number of nodes does not depend on the number of steps.
        """
        return Fold(self, same_step(self))

    def select(self, steps: Any = None, layers: str | Iterable[str] | None = None) -> Graph:
        """The part of the graph at the given time steps and in the given layers, with the leaves it reads.

        `steps` is an int, a slice or several ints (negative ones count from the end), `layers` a path or
        several; sublayers are included. Raises `ValueError` for a step that is out of range or a layer
        that is not there.
        """
        keep = np.ones(len(self), bool)
        if steps is not None:
            keep &= np.isin(self.t, chosen_steps(steps, self.steps))
        if layers is not None:
            paths = [layers] if isinstance(layers, str) else list(layers)
            known = sorted(set(self.layer) - {""})
            for path in paths:
                if not any(inside(layer, path) for layer in known):
                    raise ValueError(f"select: no layer {path!r}; the graph has {', '.join(known) or 'none'}")
            keep &= np.array([any(inside(layer, path) for path in paths) for layer in self.layer], bool)
        child = self.children()
        read = self.parents[keep[child] & (self.parents >= 0)]
        leaves = np.zeros(len(self), bool)
        leaves[read] = self.kind[read] != "op"
        return self._rows(np.flatnonzero(keep | leaves))

    def diff(self, other: Graph) -> GraphDiff:
        """What `other` has more, less or changed, after folding; falsy if nothing."""
        return compare(self.fold(), other.fold())

    def source(self, row: int) -> tuple[str, int, str] | None:
        """File, line and text of the line that made a row; None unless it was recorded under `trace()`."""
        found = origin(self.trace[row].path) if self.trace[row] else None
        if found is None:
            return None
        file, line = found[0].co_filename, line_of(*found)
        return file, line, linecache.getline(file, line).strip()

    def children(self) -> Array:
        """For every entry of `parents`, the row that reads it."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def _rows(self, rows: Array) -> Graph:
        """The graph of some of the rows; other parents become −1."""
        new = np.full(len(self) + 1, -1)  # the last entry is for parent −1
        new[rows] = np.arange(len(rows))
        counts = np.diff(self.start)[rows]
        start = np.concatenate([[0], np.cumsum(counts)])
        edges = np.repeat(self.start[:-1][rows] - start[:-1], counts) + np.arange(start[-1])
        columns = {name: getattr(self, name)[rows] for name in ROW_COLUMNS}
        at = {int(row): i for i, row in enumerate(rows)}
        result = replace(
            self, **columns, start=start, parents=new[self.parents[edges]], port=self.port[edges],
            flow=self.flow[edges],
            constants={at[i]: c for i, c in self.constants.items() if i in at},
            port_names={(at[i], k): n for (i, k), n in self.port_names.items() if i in at},
            roots=tuple(at[r] for r in self.roots if r in at),
        )  # fmt: skip
        return result


def inside(layer: str, path: str) -> bool:
    """Whether `layer` is `path` or lies below it."""
    return layer == path or layer.startswith(path + "/")


def chosen_steps(steps: Any, total: int) -> list[int]:
    """Time steps as sorted numbers in [0, total); raises `ValueError` that states T."""
    if isinstance(steps, slice):
        return list(range(total))[steps]
    wanted = [steps] if isinstance(steps, (int, np.integer)) else list(steps)
    for t in wanted:
        if not isinstance(t, (int, np.integer)) or not -total <= t < total:
            raise ValueError(f"steps: {t!r} is out of range; the graph has T = {total} time steps")
    if not wanted:
        raise ValueError(f"steps: expected at least one time step; the graph has T = {total}")
    return sorted({int(t) % total for t in wanted})


class Fold:
    """A partition of the rows of a graph into folded nodes, numbered along the flow of data.

    `of[row]` is the folded node of a row, `counts` the number of rows of each (they sum to `len(graph)`),
    `first` and `last` the earliest and latest row of each. The edges are columns as well: from `source` to
    `target`, standing for `uses` recorded edges; an edge is `carried` if it goes from one time step to
    another, by `low` to `high` steps. `flow` is the norm of all gradients that went back along it.
    """

    def __init__(self, graph: Graph, labels: Array) -> None:
        self.graph = graph
        _, first, of = np.unique(labels, return_index=True, return_inverse=True)
        child = graph.children()
        real = graph.parents >= 0
        parent, child, port = graph.parents[real], child[real], graph.port[real]
        timed = (graph.t[parent] >= 0) & (graph.t[child] >= 0)
        alike = (graph.t[parent] >= 0) == (graph.t[child] >= 0)
        delay = np.where(timed, graph.t[child] - graph.t[parent], 0)
        order = along_the_flow(of[parent][delay == 0], of[child][delay == 0], first)
        self.of: Array = order[of]
        self.counts: Array = np.bincount(self.of, minlength=len(first))
        self.first: Array = np.zeros(len(first), np.int64)
        self.first[order] = first
        self.last: Array = np.zeros(len(first), np.int64)
        np.maximum.at(self.last, self.of, np.arange(len(graph)))
        source, target = self.of[parent], self.of[child]
        inner = (source == target) & (delay == 0)  # inside one folded node (a layer drawn as one box)
        source, target, delay, port = source[~inner], target[~inner], delay[~inner], port[~inner]
        step = np.maximum(graph.t[parent], graph.t[child])[~inner]
        outputs = int(port.max(initial=-1)) + 2  # outputs read side by side are edges of their own
        which = np.where(alike[~inner], port + 1, 0)
        code = ((source * len(first) + target) * 2 + (delay != 0)) * outputs + which
        by_code = np.argsort(code, kind="stable")
        code, start, uses = np.unique(code[by_code], return_index=True, return_counts=True)

        def span(values: Array) -> tuple[Array, Array]:
            if not len(start):
                return start, start
            return np.minimum.reduceat(values[by_code], start), np.maximum.reduceat(values[by_code], start)

        self.carried: Array = code // outputs % 2 == 1
        self.source: Array = code // outputs // 2 // max(len(first), 1)
        self.target: Array = code // outputs // 2 % max(len(first), 1)
        self.uses: Array = uses
        self.low, self.high = span(delay)
        self.port_low, self.port_high = span(port)
        flows = graph.flow[real][~inner][by_code] ** 2
        self.flow: Array = np.sqrt(np.add.reduceat(flows, start)) if len(start) else flows
        self.step_low, self.step_high = span(step)

    def __len__(self) -> int:
        """Number of folded nodes."""
        return len(self.counts)

    def __repr__(self) -> str:
        """`<Fold: 41 nodes into 12>`."""
        return f"<Fold: {len(self.graph)} nodes into {len(self)}>"

    def norms(self, column: Array) -> Array:
        """For every row the norm over all rows of its folded node, of `graph.grad` or `graph.value`."""
        known = ~np.isnan(column)
        squares = np.bincount(self.of[known], column[known] ** 2, len(self))
        seen = np.bincount(self.of[known], minlength=len(self))
        return np.where(seen > 0, np.sqrt(squares), np.nan)[self.of]

    @property
    def edges(self) -> list[tuple[int, int, bool]]:
        """The folded edges: source, target, and whether they are carried from step to step."""
        return list(zip(self.source.tolist(), self.target.tolist(), self.carried.tolist(), strict=True))

    @cached_property
    def described(self) -> list[str]:
        """Op, layer and name of every folded node, as text."""
        g, rows = self.graph, self.first
        timed = np.where(g.t[rows] >= 0, " in every step", "")
        parts = zip(g.op[rows], g.layer[rows], timed, g.name[rows], strict=True)
        return [op + (f" {name!r}" if name else "") + (f" of layer {layer!r}" if layer else "") + when
                for op, layer, when, name in parts]  # fmt: skip


def same_step(graph: Graph) -> Array:
    """Labels for `Fold`: rows with the same label do the same in different time steps."""
    labels = np.arange(len(graph))
    pathed = graph.place >= 0
    _, at, group = np.unique(graph.place[pathed], return_index=True, return_inverse=True)
    labels[pathed] = np.flatnonzero(pathed)[at][group]
    groups: dict[tuple[str, int], list[int]] = {}
    for i in np.flatnonzero((graph.t >= 0) & (graph.kind == "op") & ~pathed).tolist():
        groups.setdefault((graph.layer[i], int(graph.t[i])), []).append(i)
    patterns: dict[str, dict[tuple[str, ...], list[list[int]]]] = {}
    for (layer, _), rows in groups.items():
        patterns.setdefault(layer, {}).setdefault(tuple(graph.op[rows]), []).append(rows)
    for variants in patterns.values():
        main = max(variants, key=lambda ops: (len(variants[ops]), len(ops)))
        for ops, steps in variants.items():
            roles = variants[main][0] if ops == main else list(steps[0])
            if ops != main and len(variants) <= 50 and len(ops) + len(main) <= 2000:
                for a, b, size in SequenceMatcher(None, main, ops, autojunk=False).get_matching_blocks():
                    roles[b : b + size] = variants[main][0][a : a + size]
            for rows in steps:
                labels[rows] = roles
    child = graph.children()
    seen: dict[tuple[int, int], int] = {}
    read, at = np.unique(graph.parents, return_index=True)  # where each row is read for the first time
    for leaf, edge in zip(read.tolist(), at.tolist(), strict=True):
        if leaf >= 0 and graph.kind[leaf] != "op" and graph.t[leaf] >= 0:
            place = (int(labels[child[edge]]), int(edge - graph.start[child[edge]]))
            labels[leaf] = seen.setdefault(place, leaf)
    return labels


def by_layer(graph: Graph, labels: Array, depth: int | None = None, by_op: bool = False) -> Array:
    """Labels for `Fold`: one per layer, cut to `depth` parts of its path; ops outside layers keep theirs.

    With `by_op` the latter are put together by name.
    """
    labels = labels + len(graph)
    seen: dict[Any, int] = {}
    for i, (layer, kind, op) in enumerate(zip(graph.layer, graph.kind, graph.op, strict=True)):
        if layer and kind == "op":
            labels[i] = seen.setdefault(("layer", cut(layer, depth)), i)
        elif by_op:
            labels[i] = seen.setdefault((kind, op), i)
    return labels


def cut(layer: str, depth: int | None) -> str:
    """The first `depth` parts of a layer path."""
    return layer if depth is None else "/".join(layer.split("/")[:depth])


def along_the_flow(source: Array, target: Array, first: Array) -> Array:
    """New numbers for nodes: parents before children, otherwise by first row; loops are cut."""
    n = len(first)
    by_first = np.argsort(first, kind="stable")
    if np.all(first[source] <= first[target]):
        order = np.empty(n, np.int64)
        order[by_first] = np.arange(n)
        return order
    pairs = set(zip(source.tolist(), target.tolist(), strict=True))
    waiting = Counter(b for a, b in pairs if a != b)
    after: dict[int, list[int]] = {}
    for a, b in pairs:
        if a != b:
            after.setdefault(a, []).append(b)
    order, done = np.full(n, -1), 0
    heap = [(int(first[i]), i) for i in range(n) if not waiting[i]]
    heapq.heapify(heap)
    rest = iter(by_first.tolist())
    while done < n:
        i = heapq.heappop(heap)[1] if heap else next(rest)
        if order[i] >= 0:
            continue
        order[i], done = done, done + 1
        for j in after.get(i, ()):
            waiting[j] -= 1
            if not waiting[j] and order[j] < 0:
                heapq.heappush(heap, (int(first[j]), j))
    return order
