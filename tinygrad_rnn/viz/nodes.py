"""Reading the engine's nodes: which ones a tensor depends on, with derived recurrences opened."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

import numpy as np

from ..bptt.derived import SCAN
from ..config import switched
from ..core.op import Leaf, Node, Port, Spec, tick


class Reader:
    """The nodes behind some tensors, parents first and without ports.

    A derived recurrence is one node in the engine. Its body is run again, op by op, and stands in its place.
    Raises `ValueError` if a backward pass has freed the graph.
    """

    def __init__(self, roots: list[Node]) -> None:
        self._opened: dict[Node, list[Node | None]] = {}
        self._start = tick()
        self._ends: list[tuple[int, int]] = []  # last number of an opened body, and that of its node
        self.roots = [self.source(root)[0] for root in roots]
        stack = [node for node in self.roots if node is not None]
        seen = set(stack)
        while stack:
            node = stack.pop()
            if node.inputs is None:
                raise freed(node)
            for parent in node.inputs:
                owner = parent if parent is None else self.source(parent)[0]
                if owner is not None and owner not in seen:
                    seen.add(owner)
                    stack.append(owner)
        self.nodes = sorted(seen, key=self._place)

    def source(self, node: Node) -> tuple[Node | None, int]:
        """The op that made a value, and which of its outputs it is (−1: the only one)."""
        made: Node | None = node
        while isinstance(made, Port):
            if made.inputs is None or made.inputs[0] is None:
                raise freed(made)
            owner = made.inputs[0]
            if owner.op is not SCAN:
                return owner, made.index
            made = self._open(owner)[made.index]
        return made, -1

    def _open(self, scan: Node) -> list[Node | None]:
        if scan not in self._opened:
            if scan.saved is None:
                raise freed(scan)
            with switched(scope=scan.scope, monitor=None):
                self._opened[scan] = [tensor._node for tensor in scan.saved[0].opened()]
            self._ends.append((tick(), scan.seq))
        return self._opened[scan]

    def _place(self, node: Node) -> tuple[int, int]:
        if node.seq < self._start:
            return node.seq, 0
        return self._ends[bisect_left(self._ends, (node.seq, 0))][1], node.seq


def freed(node: Node) -> ValueError:
    """What to say of a graph that is gone."""
    return ValueError(
        f"graph: the graph of this tensor was freed by an earlier backward pass (at op '{node.op.name}'); "
        "call backward(retain_graph=True), or take the graph before it"
    )


def size_of(shape: Any) -> int:
    """Number of elements of one shape, or of several (an op with several outputs)."""
    several = bool(shape) and isinstance(shape[0], tuple)
    return sum(map(size_of, shape)) if several else math.prod(shape)


def norm(value: Any) -> float:
    """Euclidean norm of an array, or of several; NaN for none. A Python float is a norm already.

    Squares beyond 1e308 overflow; who calls this many times silences NumPy once.
    """
    if value is None or type(value) is float:
        return np.nan if value is None else value
    if isinstance(value, (list, tuple)):
        return math.sqrt(sum(norm(v) ** 2 for v in value if v is not None))
    flat = np.asarray(value)
    flat = (np.abs(flat) if flat.dtype.kind == "c" else flat.astype(np.float64)).ravel()
    return math.sqrt(flat.dot(flat))


def constants_of(node: Node) -> tuple[tuple[int, tuple[int, ...] | None, str], ...]:
    """Position, shape and (if it is one number) text of the arguments that were not recorded.

    The shape is None where the op did not keep the value.
    """
    found: list[tuple[int, tuple[int, ...] | None, str]] = []
    saved = (node.saved or ())[1:]
    for i, parent in enumerate(node.inputs or ()):
        value: Any = saved[i] if i < len(saved) else None
        if parent is None and value is None:
            found.append((i, None, ""))
        elif parent is None:
            number = not isinstance(value, Spec) and np.size(value) == 1
            text = f"{np.asarray(value).item():.4g}" if number else ""
            found.append((i, value.shape if isinstance(value, Spec) else np.shape(value), text))
    return tuple(found)


def kind_of(node: Node, weight: bool) -> str:
    """ "op", "parameter" or "input"."""
    if not isinstance(node, Leaf):
        return "op"
    return "parameter" if weight or node.variable else "input"
