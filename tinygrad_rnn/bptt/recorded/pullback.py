"""The backward pass of a recording: what the engine's walk does with one set of values, written down as steps.

The same functions run on the same values in the same order as in `core.autodiff.propagate`, so the gradients have
the same bits.
"""

from __future__ import annotations

from functools import reduce
from operator import add, iadd, methodcaller
from typing import Any

import numpy as np

from ...core.arrays import nothing
from ...core.autodiff import MOST_USES, collect, masked, sum_to
from ...core.op import LEAF, PORT, Node, Op
from ...core.tensor import Tensor
from .program import At


class Pullback:
    """Cotangents on their way from a loss to the leaves, as places of a `Recorder`."""

    def __init__(self, recorder: Any, loss: Tensor) -> None:
        assert loss._node is not None
        self.recorder, self.run = recorder, recorder.run
        seed = recorder.constant(np.ones(loss.shape, loss.dtype))
        self.cotangents: dict[Node, Any] = {loss._node: self.run(methodcaller("copy"), [seed])}
        self.owned: set[Node] = set()  # sums that are added to in place
        self.deferred: dict[Node, list[tuple[Op, tuple[Any, ...]]]] = {}
        self.found: dict[Node, At] = {}  # the gradients of leaves
        self.guarded = False
        for node in collect([(loss._node, None)]):
            self._visit(node)

    def _visit(self, node: Node) -> None:
        g = self.cotangents.pop(node, None)
        if node in self.deferred:
            g = self._plus(g, self._gathered(self.deferred.pop(node)))
        op, inputs = node.op, node.inputs or ()
        if g is None:
            return
        if op is LEAF:
            self.found[node] = g
            return
        if op is PORT:
            port: Any = node
            self.cotangents.setdefault(port.parent, [None] * len(port.parent.shape))[port.index] = g
            return
        saved, attrs = self.recorder.saved[node]
        self.guarded = self.guarded or op.name == "where"
        if op.inner:
            if self.guarded:
                self.run(methodcaller("pass_on", True), [saved[0]])
            self.guarded = self.recorder.values[saved[0]].pass_on(self.guarded)
        if not op.vjps:
            parts = self._all(node, g, saved, attrs)
        else:
            if op.gather is not None and inputs[-1] is not None:
                self._defer(inputs[-1], op, (g, *saved))
                inputs = inputs[:-1]
            pairs = zip(op.vjps, inputs)  # noqa: B905 - one less where the last is gathered
            parts = [None if p is None else self.run(vjp, [g, *saved], attrs) for vjp, p in pairs]
        for part, parent in zip(parts, inputs):  # noqa: B905
            if parent is not None and part is not None:
                self._arrive(node, g, part, parent)

    def _all(self, node: Node, g: Any, saved: list[At], attrs: dict[str, Any]) -> list[At | None]:
        """The gradients of all inputs at once; None where there is none."""
        if node.op.outputs != 1:
            g = [
                self.recorder.constant(nothing(s, node.dtype)) if p is None else p
                for p, s in zip(g, node.shape, strict=True)
            ]
        made = self.run(node.op.vjp_all, [g, *saved], attrs, parts=len(node.inputs or ()))
        places = [At(made + 1 + i) for i in range(len(node.inputs or ()))]
        return [None if self.recorder.values[place] is None else place for place in places]

    def _arrive(self, node: Node, g: Any, part: At, parent: Node) -> None:
        """Add what a node gives to the gradient of one of its inputs."""
        run = self.run
        if self.guarded and node.op.broadcasts:
            part = run(masked, [g, part])
        if node.op.broadcasts and node.shape != parent.shape:
            part = run(sum_to, [part, parent.shape])
        if self.recorder.values[part].dtype != parent.dtype:
            part = run(methodcaller("astype", parent.dtype), [part])
        total = self.cotangents.get(parent)
        if parent in self.owned:
            self.cotangents[parent] = run(iadd, [total, part])
        else:
            self.cotangents[parent] = self._plus(total, part)
            if total is not None:
                self.owned.add(parent)

    def _defer(self, parent: Node, op: Op, arguments: tuple[Any, ...]) -> None:
        """Keep a use of a weight, whose gradients are computed together."""
        uses = self.deferred.setdefault(parent, [])
        uses.append((op, arguments))
        if len(uses) == MOST_USES:
            part = self._gathered(self.deferred.pop(parent))
            self.cotangents[parent] = self._plus(self.cotangents.get(parent), part)

    def _gathered(self, uses: list[tuple[Op, tuple[Any, ...]]]) -> At:
        ops = dict.fromkeys(op for op, _ in uses)
        parts: list[At] = [self.run(op.gather, [[a for other, a in uses if other is op]]) for op in ops]
        return reduce(self._plus, parts)

    def _plus(self, total: At | None, part: At) -> At:
        """A sum in memory of its own; of what has not begun, the part itself."""
        made: At = part if total is None else self.run(add, [total, part])
        return made
