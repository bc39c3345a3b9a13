"""The backward pass of a recording: what the engine's walk does with one set of values, written down as steps.

The same functions run on the same values in the same order as in `core.autodiff.propagate`, so the gradients have
the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add, iadd, methodcaller
from typing import Any

import numpy as np

from ...core.arrays import nothing
from ...core.autodiff import MOST_USES, collect, masked, sum_to
from ...core.op import LEAF, PORT, Node, Op, Spec
from ...core.tensor import Tensor
from .program import At, places

SMALL = 2**14  # elements of a constant that is kept: making a larger one again is little beside what reads it


class Unseen(Spec):
    """In place of an array that must not be read: it has a shape and a type, and raises when anything else is asked."""

    __array_ufunc__ = None

    def __init__(self, array: Any) -> None:
        super().__init__(array.shape, array.dtype)

    def _raise(self, *_: Any, **__: Any) -> Any:
        raise TypeError("this value must not be read")

    __array__ = __bool__ = __eq__ = _raise


class Pullback:
    """Cotangents on their way from a loss to the leaves, as places of a `Recorder`."""

    def __init__(self, recorder: Any, loss: Tensor) -> None:
        assert loss._node is not None
        self.recorder, self.run = recorder, recorder.run
        seed = recorder.constant(np.ones(loss.shape, loss.dtype))
        self.cotangents: dict[Node, Any] = {loss._node: seed}
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
            self.found[node] = self._own(g)
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
            parts = [None if p is None else self._once(vjp, [g, *saved], attrs) for vjp, p in pairs]
        for part, parent in zip(parts, inputs):  # noqa: B905
            if parent is not None and part is not None:
                self._arrive(node, g, part, parent)

    def _once(self, function: Any, args: Sequence[Any], attrs: dict[str, Any] | None = None) -> At:
        """As `run`, but what depends on constants and shapes alone is computed now, and is a constant."""
        recorder = self.recorder
        made: At = self.run(function, args, attrs)
        if recorder.values[made].size <= SMALL and self._is_constant(function, args, attrs or {}):
            recorder.steps.pop()
            recorder.constants[made] = recorder.values[made]
        return made

    def _is_constant(self, function: Any, args: Sequence[Any], attrs: dict[str, Any]) -> bool:
        """Whether a function gives the same at every run: it must do without seeing what is not constant."""
        recorder, constants = self.recorder, self.recorder.constants
        if args[0] not in constants or not all([place in constants for place in places([*attrs.values()])]):
            return False
        try:
            hidden = [type(a) is At and a not in constants for a in args]
            seen = [Unseen(v) if hide else v for v, hide in zip(recorder.filled(args), hidden, strict=True)]
            function(*seen, **{name: recorder.filled(value) for name, value in attrs.items()})
        except Exception:  # it looked
            return False
        return True

    def _own(self, g: At) -> At:
        """A gradient in memory of its own at every run, as users may change it."""
        value, constants = self.recorder.values[g], self.recorder.constants.values()
        shared = any([np.may_share_memory(value, c) for c in constants if isinstance(c, np.ndarray)])
        return self.run(methodcaller("copy"), [g]) if shared else g

    def _all(self, node: Node, g: Any, saved: list[At], attrs: dict[str, Any]) -> list[At | None]:
        """The gradients of all inputs at once; None where there is none."""
        if node.op.outputs != 1:
            g = [
                self.recorder.constant(nothing(s, node.dtype)) if p is None else p
                for p, s in zip(g, node.shape, strict=True)
            ]
        made = self.run(node.op.vjp_all, [g, *saved], attrs, parts=len(node.inputs or ()))
        parts = [At(made + 1 + i) for i in range(len(node.inputs or ()))]
        return [None if self.recorder.values[part] is None else part for part in parts]

    def _arrive(self, node: Node, g: Any, part: At, parent: Node) -> None:
        """Add what a node gives to the gradient of one of its inputs."""
        run = self._once
        if self.guarded and node.op.broadcasts:
            part = run(masked, [g, part])
        if node.op.broadcasts and node.shape != parent.shape:
            part = run(sum_to, [part, parent.shape])
        if self.recorder.values[part].dtype != parent.dtype:
            part = run(methodcaller("astype", parent.dtype), [part])
        total = self.cotangents.get(parent)
        if parent in self.owned:
            self.cotangents[parent] = self.run(iadd, [total, part])
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
