"""Passes that make one call of several: gates side by side in memory, activated together.

They rewrite the forward pass when the backward pass is known, which keeps the user's weights and order of gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.op import OPS
from .adjoint import Adjoint, users_in
from .body import Body, Value
from .walks import dependents


def _has_fast_tanh() -> bool:
    """Whether tanh costs less than the exponential, division and two additions of a sigmoid: with AVX-512."""
    core: Any = np._core  # type: ignore[attr-defined]
    return bool(getattr(core._multiarray_umath, "__cpu_features__", {}).get("AVX512F"))


def merge(body: Body, adjoint: Adjoint | None, folded: bool) -> None:
    """Activate equal gates in one call: `(batch, 4 · units)` is kept as `(4, batch, units)`, gate after gate.

    The first op of an activation reads rows and writes these blocks, so that each gate lies in one piece. With
    `folded` the weights may be changed for it, see `fold`.
    """
    users = users_in(body, adjoint)
    carried = dependents(body.values, body.states)
    varying = dependents(body.values, [*body.xs, *body.states])
    made: list[Value] = []
    for value in body.values:
        if value.op == "split" and value in carried and _equal_parts(value):
            made += _Gates(value, users, varying, folded).run()
        elif folded and value.op == "sigmoid" and value in carried and value not in made:
            made += [*_negated(value, users, varying), value]
        elif value not in made:
            made.append(value)
    body.values = made
    for value in made if folded and _has_fast_tanh() else ():
        if value.op == "sigmoid" and value.dtype == np.float32:
            value.op = "sigmoid_by_tanh"


def _negated(gate: Value, users: dict[Value, list[Any]], varying: set[Value]) -> list[Value]:
    """The ops of a sum of products under a single sigmoid, with its change of sign in the weights."""
    (z,) = gate.args
    made: list[Value] = []

    def new(op: str, args: tuple[Any, ...], attrs: dict[str, Any], shape: Any, label: str = "") -> Value:
        value = Value(op, args, attrs, shape, gate.dtype)
        value.label, value.eq = label, z.eq
        made.append(value)
        return value

    by_tanh = gate.dtype == np.float32 and _has_fast_tanh()
    if isinstance(z, Value) and z.dtype == gate.dtype and z in varying and not by_tanh:
        if _permutable(z, gate, users, varying):
            gate.args = (fold(z, [0], [-1.0], new, varying, z.shape[-1]),)
            gate.op = "sigmoid_of_negative"
    return made


def _equal_parts(value: Value) -> bool:
    """Whether a split cuts the columns of a matrix into equal parts."""
    shapes = value.shape
    return len(shapes) > 1 and len(shapes[0]) == 2 and value.attrs["axis"] == 1 and len(set(shapes)) == 1


class _Gates:
    """The parts of one split, and the functions that activate them."""

    def __init__(
        self, split: Value, users: dict[Value, list[Any]], varying: set[Value], folded: bool
    ) -> None:
        self.split, self.users, self.varying, self.folded = split, users, varying, folded
        self.count, (self.batch, self.width) = len(split.shape), split.shape[0]
        self.parts: list[Value | None] = [None] * self.count
        for part in users.get(split, []):
            self.parts[part.attrs["index"]] = part
        self.kinds = [self._activation(p) for p in self.parts]
        self.half = split.dtype == np.float32 and _has_fast_tanh()
        self.made: list[Value] = []

    def _activation(self, part: Value | None) -> str:
        """The elementwise function that alone uses a part; empty if there is none."""
        found = self.users.get(part, []) if part is not None else []
        if len(found) == 1 and isinstance(found[0], Value) and len(found[0].args) == 1:
            op = OPS.get(found[0].op)
            if op is not None and op.broadcasts and part is not None and found[0].dtype == part.dtype:
                return str(found[0].op)
        return ""

    def run(self) -> list[Value]:
        """The ops that replace the split, its parts and their activations."""
        source = self.split.args[0]
        if self._opens(source):
            return self.made
        free = self.folded and _permutable(source, self.split, self.users, self.varying)
        order = list(range(self.count))
        if free:
            first = [self.kinds.index(k) if k else i for i, k in enumerate(self.kinds)]
            order.sort(key=lambda i: (self.half and self.kinds[i] != "sigmoid", first[i]))
            scales = [(0.5 if self.half else -1.0) if self.kinds[i] == "sigmoid" else 1.0 for i in order]
            if order != sorted(order) or any(s != 1.0 for s in scales):
                source = fold(source, order, scales, self._new, self.varying, self.width)
            self.kinds = ["folded" if k == "sigmoid" else k for k in self.kinds]
        whole = source
        blocks = source.op in ("add", "matmul") and all(self.kinds)
        if blocks:
            whole = self._gate_by_gate(source)
        self._activate(whole, blocks, order)
        return self.made

    def _opens(self, source: Value) -> bool:
        """Gates that were activated together before they were split: only the sum is written in blocks."""
        op = OPS.get(source.op)
        if len(source.args) != 1 or op is None or not op.broadcasts or self.users.get(source) != [self.split]:
            return False
        total = source.args[0]
        if not isinstance(total, Value) or total.op != "add" or self.users.get(total) != [source]:
            return False
        whole, blocks = self._blocks(total, source)
        if not blocks:
            return False
        done = self._new(source.op, (whole,), {}, whole.shape, source.label)
        done.eq = source.eq
        self._members(done, self.parts, "", True)
        return True

    def _new(
        self, op: str, args: tuple[Any, ...], attrs: dict[str, Any], shape: Any, label: str = ""
    ) -> Value:
        value = Value(op, args, attrs, shape, self.split.dtype)
        value.label, value.eq = label, self.split.eq
        self.made.append(value)
        return value

    # --- the gates ----------------------------------------------------------------------------------

    def _gate_by_gate(self, rows: Value) -> Value:
        """`(batch, gates · units)` seen as `(gates, batch, units)`: the activations write it down like that."""
        n, batch, width = self.count, self.batch, self.width
        cut = self._new("reshape", (rows,), {"shape": (batch, n, width), "rows": True}, (batch, n, width))
        return self._new("transpose", (cut,), {"axes": (1, 0, 2)}, (n, batch, width), rows.label)

    def _blocks(self, source: Value, user: Value | None = None) -> tuple[Value, bool]:
        """The pre-activations as `(gates, batch, units)`, where an addition can write them so."""
        n, batch, width = self.count, self.batch, self.width
        user = user or self.split
        summed = source.op == "add" and (self.users.get(source, [user]) == [user])
        if not summed or not all(
            isinstance(a, Value) and a.shape == source.shape and a.op in ("add", "matmul", "part")
            for a in source.args
        ):
            return source, False
        views = []
        for a in source.args:
            cut = self._new("reshape", (a,), {"shape": (batch, n, width), "rows": True}, (batch, n, width))
            views.append(self._new("transpose", (cut,), {"axes": (1, 0, 2)}, (n, batch, width)))
        return self._new("add", tuple(views), {"own": True}, (n, batch, width), source.label), True

    def _activate(self, whole: Value, blocks: bool, order: list[int]) -> None:
        kinds = [self.kinds[i] for i in order]
        if self.half:  # one tanh for those whose ½ is in the weights, and those that are a tanh anyway
            kinds = ["tanh" if k == "folded" else k for k in kinds]
        bounds = [i for i in range(self.count) if i == 0 or not kinds[i] or kinds[i] != kinds[i - 1]]
        bounds.append(self.count)
        groups = self._cut(whole, bounds, blocks, self.split)
        for group, a, b in zip(groups, bounds, bounds[1:], strict=False):
            members = [self.parts[order[i]] for i in range(a, b)]
            group.label = "_".join(p.label for p in members if p is not None and p.label)
            done = group
            if kinds[a]:
                op = "sigmoid_of_negative" if kinds[a] == "folded" else kinds[a]
                done = self._new(op, (group,), {"own": True} if blocks else {}, group.shape, group.label)
                done.eq = self._eq(members)
            folded = sum(self.kinds[order[i]] == "folded" for i in range(a, b)) if self.half else 0
            if folded:
                first, *rest = self._cut(done, sorted({0, folded, b - a}), blocks)
                first.label = "_".join(p.label for p in members[:folded] if p is not None and p.label)
                half = self._new("half_plus_half", (first,), {}, first.shape, first.label)
                half.eq = self._eq(members[:folded])
                self._members(half, members[:folded], kinds[a], blocks)
                if rest:
                    self._members(rest[0], members[folded:], kinds[a], blocks)
            else:
                self._members(done, members, kinds[a], blocks)

    def _eq(self, members: list[Value | None]) -> str:
        """The equations in which gates are activated."""
        users = [self.users[p][0].eq for p in members if p is not None]
        return ", ".join(dict.fromkeys(e for e in users if e))

    def _cut(self, whole: Value, bounds: list[int], blocks: bool, split: Value | None = None) -> list[Value]:
        """Cut gates at the bounds."""
        axis, unit = (0, 1) if blocks else (1, self.width)
        sizes = [b - a for a, b in zip(bounds, bounds[1:], strict=False)]
        shapes = tuple((n, self.batch, self.width) if blocks else (self.batch, n * self.width) for n in sizes)
        cut = split or Value("split", (), {}, shapes, whole.dtype)
        cut.args, cut.shape = (whole,), shapes
        cut.attrs = {"at": tuple(b * unit for b in bounds[1:-1]), "axis": axis}
        self.made.append(cut)
        return [self._new("part", (cut,), {"index": k}, shape) for k, shape in enumerate(shapes)]

    def _members(self, group: Value, members: list[Value | None], kind: str, blocks: bool) -> None:
        """The single gates of a group; they keep their identity, as the backward pass refers to them."""
        n, shape = len(members), (self.batch, self.width)
        attrs: dict[str, Any] = {"axis": 0}
        if not blocks:
            attrs = {"axis": 1, "at": tuple(range(self.width, n * self.width, self.width))}
        opened = self._new("unstack" if blocks else "split", (group,), attrs, (shape,) * n)
        for j, part in enumerate(members):
            if part is not None:
                target = self.users[part][0] if kind else part
                target.label = target.label or part.label
                target.op, target.args, target.attrs = "part", (opened,), {"index": j}
                self.made.append(target)


def _permutable(value: Value, user: Value, users: dict[Value, list[Any]], varying: set[Value]) -> bool:
    """Whether the columns of a sum of products can be reordered and scaled in the weights."""
    if value not in varying:
        return bool(value.shape)
    if users.get(value) != [user]:
        return False
    if value.op == "add":
        width = value.shape[-1]
        return all(
            isinstance(a, Value)
            and a.shape
            and a.shape[-1] == width
            and _permutable(a, value, users, varying)
            for a in value.args
        )
    right = value.args[1] if value.op == "matmul" else None
    return isinstance(right, Value) and len(right.shape) == 2 and right not in varying


def fold(
    value: Value,
    order: list[int],
    scales: list[float],
    new: Callable[..., Value],
    varying: set[Value],
    width: int,
) -> Value:
    """Put gates with the same activation side by side, and its inner factor into the weights: `½ (x W) = x (½ W)`.

    `σ(z) = ½ + ½ tanh(½ z)` then needs one tanh for all gates of an LSTM (float32, where tanh is fast), and
    `σ(z) = 1 / (1 + exp(−z))` no change of sign. The factors ½ and −1 are exact. `value` is a sum of products.
    """
    if value not in varying:
        attrs = {"order": tuple(order), "scales": tuple(scales), "width": width}
        return new("fold", (value,), attrs, value.shape, f"{value.label}_folded" if value.label else "folded")
    if value.op == "add":
        sides = tuple([fold(a, order, scales, new, varying, width) for a in value.args])
        return new("add", sides, {}, value.shape, value.label)
    left, right = value.args
    right = fold(right, order, scales, new, varying, width)
    return new("matmul", (left, right), {}, value.shape, value.label)
