"""Passes that make one call of several: gates side by side in memory, activated together.

They rewrite the forward pass when the backward pass is known, which keeps the user's weights and order of gates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..step.adjoint import Adjoint, users_in
from ..step.body import Body, Made, Value, equations
from ..step.walks import activation_of, dependents, in_order, inductive, only_user
from .folding import Folding
from .lerp import BOUNDED


def _has_fast_tanh() -> bool:
    """Whether tanh costs less than the exponential, division and two additions of a sigmoid: with AVX-512."""
    core: Any = np._core  # type: ignore[attr-defined]
    return bool(getattr(core._multiarray_umath, "__cpu_features__", {}).get("AVX512F"))


# ½ + ½ tanh(½ z) has no digits of a small sigmoid: these ops show it, products with what may be large, too, and
# those hand it on.
_SHOW = frozenset(
    "log log2 log10 log1p sqrt rsqrt reciprocal power equal not_equal greater greater_equal less less_equal".split()
)
_HAND_ON = frozenset(
    "multiply divide add subtract negative square absolute relu maximum minimum where split part unstack stack "
    "concatenate reshape transpose broadcast_to getitem flip roll stop copy cast "
    "clip take pad sum max min prod cumsum norm vecdot einsum".split()
)
FLOOR = 1e-6
_PRODUCTS = frozenset(("multiply", "matmul", "einsum"))
_SQUASH = BOUNDED | {"sigmoid", "softmax", "clip"}
_KEEP_SMALL = _HAND_ON - {"divide", "prod", "vecdot", "einsum"}


def _exact(body: Body) -> set[Value]:
    """Values that must keep all their digits, however small: a logarithm is taken of them, they divide, or leave.

    So must what multiplies inputs, or anything else that may be so large that the product of a small gate counts.
    """
    states = dict(zip(body.states, body.new_states, strict=True))
    moderate = _moderate(body)
    found: set[Value] = set()
    waiting = [a for v in body.values if v.op in _SHOW and not _has_floor(v) for a in v.inputs]
    waiting += [v.args[1] for v in body.values if v.op == "divide" and isinstance(v.args[1], Value)]
    for v in body.values:
        if v.op in _PRODUCTS:
            waiting += [a for a in v.inputs if not moderate.issuperset({*v.inputs} - {a})]
    while waiting:
        value = waiting.pop()
        if value not in found:
            found.add(value)
            waiting += value.inputs if value.op in _HAND_ON else [states[value]] if value in states else []
    return found | set(body.outputs)


def _has_floor(root: Value) -> bool:
    """Whether a root is taken of a sum with a number that leaves little of an error of 1e-8: `√(variance + 1e-5)`."""
    sums = [a.args for a in root.inputs if a.op == "add"] if root.op in ("sqrt", "rsqrt") else []
    return any(isinstance(a, float) and a >= FLOOR for args in sums for a in args)


def _moderate(body: Body) -> set[Value]:
    """What is as large as weights make it: neither inputs, nor what grows with them, nor with the number of steps."""
    varying = dependents(body.values, [*body.xs, *body.states])
    weights = {*body.constants, *body.values} - varying

    def stays(v: Value, found: set[Value]) -> bool:
        if v.op in _SQUASH or v.op == "rsqrt" and _has_floor(v):
            return True
        args = v.args[1:] if v.op == "where" else v.args  # a test is no part of the result
        return v.op in _KEEP_SMALL and (found | weights).issuperset(a for a in args if isinstance(a, Value))

    found = inductive(body, stays) | weights
    for v in body.values:  # a product with weights, but not again and again
        if v.op in _KEEP_SMALL or v.op in _PRODUCTS or v.op == "rows":
            if found.issuperset(v.inputs):
                found.add(v)
    return found


def merge(body: Body, adjoint: Adjoint, folded: bool) -> None:
    """Activate equal gates in one call: `(batch, 4 · units)` is kept as `(4, batch, units)`, gate after gate.

    The first op of an activation reads rows and writes these blocks, so that each gate lies in one piece. With
    `folded` the weights may be changed for it, see `Folding`.
    """
    users = users_in(body, adjoint)
    carried = dependents(body.values, body.states)
    varying = dependents(body.values, [*body.xs, *body.states])
    folding, exact = Folding(users, varying, folded), _exact(body)
    made: list[Value] = []
    for value in body.values:
        if value.op == "split" and value in carried and _equal_parts(value):
            made += _Gates(value, body, folding, exact).run()
        elif value.op == "sigmoid" and value in carried and value not in made:
            made += [*_negated(value, folding, exact), value]
        elif value not in made:
            made.append(value)
    body.values = made = in_order(made)
    for value in made if folded else ():
        if value.op == "sigmoid" and _by_tanh(value, exact):
            value.op = "sigmoid_by_tanh"


def _by_tanh(gate: Value, exact: set[Value]) -> bool:
    """Whether a sigmoid is to be written as a tanh."""
    return gate.dtype == np.float32 and _has_fast_tanh() and gate not in exact


def _negated(gate: Value, folding: Folding, exact: set[Value]) -> list[Value]:
    """The ops of a sum of products under a single sigmoid, with its change of sign in the weights."""
    (z,) = gate.args
    if _by_tanh(gate, exact) or z not in folding.varying or not z.shape or z.dtype != gate.dtype:
        return []
    made = Made(gate.dtype, z.eq, folding.varying)
    if folding.possible(z, gate, z.shape[-1], False):
        gate.args = (folding.fold(z, [0], [-1.0], z.shape[-1], made.new),)
        gate.op = "sigmoid_of_negative"
    return made


def _equal_parts(value: Value) -> bool:
    """Whether a split cuts the columns of a matrix into equal parts."""
    shapes = value.shape
    return len(shapes) > 1 and len(shapes[0]) == 2 and value.attrs["axis"] == 1 and len(set(shapes)) == 1


class _Gates:
    """The parts of one split, and the functions that activate them."""

    def __init__(self, split: Value, body: Body, folding: Folding, exact: set[Value]) -> None:
        self.split, self.folding = split, folding
        self.forward, self.states = {*body.values}, body.states
        self.users, self.varying = folding.users, folding.varying
        self.count, (self.batch, self.width) = len(split.shape), split.shape[0]
        self.parts: list[Value | None] = [None] * self.count
        for part in self.users.get(split, []):
            self.parts[part.attrs["index"]] = part
        self.kinds = [self._activation(p) for p in self.parts]
        gates = [self.users[p][0] if kind else p for p, kind in zip(self.parts, self.kinds, strict=True) if p]
        self.half = all(_by_tanh(gate, exact) for gate in gates)
        self.made = Made(split.dtype, split.eq, self.varying)
        self._new = self.made.new

    def _activation(self, part: Value | None) -> str:
        """The elementwise function that alone uses a part; empty if there is none."""
        user = activation_of(part, self.users) if part is not None else None
        return user.op if part is not None and user is not None and user.dtype == part.dtype else ""

    def run(self) -> list[Value]:
        """The ops that replace the split, its parts and their activations."""
        source = self.split.args[0]
        if self._opens(source):
            return self.made
        if not any(self.kinds):
            return [self.split]
        order = list(range(self.count))
        folding = self.folding
        moved = folding.possible(source, self.split, self.width)
        if moved:
            first = [self.kinds.index(k) if k else i for i, k in enumerate(self.kinds)]
            order.sort(key=lambda i: (self.half and self.kinds[i] != "sigmoid", first[i], self._rank(i)))
        if moved or folding.possible(source, self.split, self.width, False):
            scales = [(0.5 if self.half else -1.0) if self.kinds[i] == "sigmoid" else 1.0 for i in order]
            if order != sorted(order) or any(s != 1.0 for s in scales):
                source = folding.fold(source, order, scales, self.width, self._new)
            self.kinds = ["folded" if k == "sigmoid" else k for k in self.kinds]
        blocks = source.op in ("add", "matmul") and all(self.kinds)
        self._activate(self._gate_by_gate(source) if blocks else source, blocks, order)
        return self.made

    def _rank(self, i: int) -> int:
        """The place of a gate among those of its kind, so that pass `pairs` finds `[i | f | …]` and `[… | g]`."""
        gate, gates = self._gate(i), [self._gate(k) for k in range(self.count)]
        for user in self.users.get(gate, []) if gate is not None else ():
            total = only_user(user, self.users) if user in self.forward and user.op == "multiply" else None
            if total is not None and total.op == "add":
                others = [a for a in user.inputs if a is not gate]
                by_gate, by_state = (any(a in of for a in others) for of in (gates, self.states))
                return int(by_gate) if self.kinds[i] == "tanh" else 0 if by_gate else 1 if by_state else 2
        return 0 if self.kinds[i] == "tanh" else 2

    def _gate(self, i: int) -> Value | None:
        """What a part is after its activation, if it has one."""
        part = self.parts[i]
        return self.users[part][0] if part is not None and self.kinds[i] else part

    def _opens(self, source: Value) -> bool:
        """Gates that were activated together before they were split: only the sum is written in blocks."""
        if len(source.args) != 1 or not source.elementwise or self.users.get(source) != [self.split]:
            return False
        total = source.args[0]
        if not isinstance(total, Value) or self.users.get(total) != [source] or not self._adds(total):
            return False
        name, half = source.op, False
        if name == "sigmoid" and self.folding.possible(total, source, self.width):
            half = self.half
            order, scales = list(range(self.count)), [0.5 if half else -1.0] * self.count
            total = self.folding.fold(total, order, scales, self.width, self._new)
            name = "tanh" if half else "sigmoid_of_negative"
        views = tuple([self._gate_by_gate(a) for a in total.args])
        whole = self._new("add", views, {"own": True}, views[0].shape, total.label)
        done = self._new(name, (whole,), {}, whole.shape, source.label, source.eq)
        if half:
            done = self._new("half_plus_half", (done,), {}, whole.shape, source.label, source.eq)
        self._members(done, self.parts, "", True)
        return True

    # --- the gates ----------------------------------------------------------------------------------

    def _gate_by_gate(self, rows: Value) -> Value:
        """`(batch, gates · units)` seen as `(gates, batch, units)`: the activations write it down like that."""
        n, batch, width = self.count, self.batch, self.width
        cut = self._new("reshape", (rows,), {"shape": (batch, n, width), "rows": True}, (batch, n, width))
        return self._new("transpose", (cut,), {"axes": (1, 0, 2)}, (n, batch, width), rows.label)

    def _adds(self, total: Value) -> bool:
        """Whether a value is an addition that can write its sum gate by gate."""
        return total.op == "add" and all(
            isinstance(a, Value)
            and a.shape == total.shape
            and a.op in ("add", "matmul", "part")
            and a in self.varying
            for a in total.args
        )

    def _activate(self, whole: Value, blocks: bool, order: list[int]) -> None:
        written = kinds = [self.kinds[i] for i in order]
        if self.half:  # one tanh for those whose ½ is in the weights, and for a tanh behind them
            kinds = ["tanh" if k == "folded" else k for k in kinds]

        def begins(i: int) -> bool:
            """Whether the gate in this place is not activated together with the one before."""
            return not kinds[i] or kinds[i] != kinds[i - 1] or (written[i - 1] != written[i] == "folded")

        bounds = [0, *[i for i in range(1, self.count) if begins(i)], self.count]
        groups = self._cut(whole, bounds, blocks, self.split)
        for group, a, b in zip(groups, bounds, bounds[1:], strict=False):
            members = [self.parts[i] for i in order[a:b]]
            group.label = _names(members)
            if kinds[a]:
                op = "sigmoid_of_negative" if kinds[a] == "folded" else kinds[a]
                own = {"own": True} if blocks else {}
                group = self._new(op, (group,), own, group.shape, group.label, self._eq(members))
            folded = written[a:b].count("folded") if self.half else 0
            n = folded or b - a
            first, *tanhs = self._cut(group, sorted({0, n, b - a}), blocks) if folded else [group]
            if folded:
                label, eq = _names(members[:n]), self._eq(members[:n])
                first.label = label
                first = self._new("half_plus_half", (first,), {}, first.shape, label, eq)
            self._members(first, members[:n], kinds[a], blocks)
            for others in tanhs:
                self._members(others, members[n:], kinds[a], blocks)

    def _eq(self, members: list[Value | None]) -> str:
        """The equations in which gates are activated."""
        return equations(*[self.users[p][0].eq for p in members if p is not None])

    def _cut(self, whole: Value, bounds: list[int], blocks: bool, split: Value | None = None) -> list[Value]:
        """Cut gates at the bounds."""
        axis, unit = (0, 1) if blocks else (1, self.width)
        sizes = [b - a for a, b in zip(bounds, bounds[1:], strict=False)]
        shapes = tuple((n, self.batch, self.width) if blocks else (self.batch, n * self.width) for n in sizes)
        cut = split or Value("split", (), {}, shapes, whole.dtype)
        cut.args, cut.shape = (whole,), shapes
        cut.attrs = {"at": tuple(b * unit for b in bounds[1:-1]), "axis": axis}
        self.made.add(cut)
        return [self._new("part", (cut,), {"index": k}, shape) for k, shape in enumerate(shapes)]

    def _members(self, group: Value, members: list[Value | None], kind: str, blocks: bool) -> None:
        """The single gates of a group; they keep their identity, as the backward pass refers to them."""
        n, shape = len(members), (self.batch, self.width)
        attrs: dict[str, Any] = {"axis": 0}
        if not blocks:
            attrs = {"axis": 1, "at": tuple(range(self.width, n * self.width, self.width))}
        opened = self._new("unstack" if blocks else "split", (group,), attrs, (shape,) * n)
        self.users[group] = [opened]
        for j, part in enumerate(members):
            if part is not None:
                target = self.users[part][0] if kind else part
                target.label = target.label or part.label
                target.become("part", opened, index=j)
                self.made.append(target)


def _names(members: list[Value | None]) -> str:
    """The names of gates, joined."""
    return "_".join(p.label.removeprefix("pre_") for p in members if p is not None and p.label)
