"""The pass over sums of two products of gates and a state: what is multiplied stands side by side, for one call."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

from ..step.adjoint import Adjoint, users_in
from ..step.body import Body, Made, Value, equations
from ..step.walks import only_user

# Elements of a state up to which one call pays. The forward loop of an LSTM took, in parts of its time with two, by
# (batch, units) on one core: (1, 64) 0.91, (16, 128) 1.00, (32, 256) 1.00; a whole training step, by (batch, steps,
# inputs, units), (1, 100, 65, 64) 0.90 to 0.95, (1, 100, 16, 32) 0.95, (8, 50, 32, 128) 0.99.
SMALL = 2**10


def pairs(body: Body, adjoint: Adjoint) -> None:
    """Multiply `[i | f] · [g | c]` in one call, in place of `i · g` and `f · c`, whose sum is wanted.

    The gates i and f are neighbours in memory already; the state c stands in one buffer with the gates of which g is
    the last, or the first. There is one where the states of all steps are kept.
    """
    if not adjoint.values:
        return
    users = users_in(body, adjoint)
    taken = {a for v in body.values if v.op == "rows" for a in v.inputs}
    before: dict[Value, list[Value]] = {}  # what is made for a sum
    buffers: dict[Value, list[Value]] = {}  # behind what is written there
    replaced: set[Value] = set()
    for total in body.values:
        pair = _pair(total, users)
        if pair is not None and taken.isdisjoint(pair.beside):
            taken |= {*pair.beside}
            replaced |= {*total.inputs}
            buffer, *before[total] = _as_one(total, pair)
            buffers |= {a: [buffer] for a in pair.beside if a.op != "state"}
    kept = [v for v in body.values if v not in replaced]
    body.values[:] = [w for v in kept for w in (*before.get(v, ()), v, *buffers.get(v, ()))]


class _Pair(NamedTuple):
    """The two products of a sum, in the order in which their factors stand in memory."""

    products: list[Value]
    left: list[Value]  # their factors: two gates
    right: list[Value]  # and a gate and a state
    gates: Value  # the blocks of which those on the left are two
    at: int  # from this one on
    beside: tuple[Value, Value]  # the blocks that end, or begin, with the gate on the right, and the state


class _Block(NamedTuple):
    """A gate as one of several blocks of memory."""

    whole: Value
    at: int


def _pair(total: Value, users: dict[Value, list[Any]]) -> _Pair | None:
    """The two products of which a value is the sum, if they can be one."""
    products = total.inputs
    if total.op != "add" or len(products) != 2 or math.prod(total.shape) > SMALL:
        return None
    if any(p.op != "multiply" or only_user(p, users) is not total or len(p.inputs) != 2 for p in products):
        return None
    if any(a.shape != total.shape or a.dtype != total.dtype for p in products for a in p.inputs):
        return None
    for order in (products, products[::-1]):
        for left, right in product(*[zip(p.inputs, p.inputs[::-1], strict=True) for p in order]):
            if found := _side_by_side(order, *map(list, zip(left, right, strict=True))):
                return found
    return None


def _side_by_side(products: list[Value], left: list[Value], right: list[Value]) -> _Pair | None:
    """The pair, if two gates on the left follow each other, and a state and a gate on the right can do so."""
    first, second = map(_block, left)
    if first is None or second is None or first.whole is not second.whole or second.at != first.at + 1:
        return None
    behind = right[1].op == "state"
    state, gate = right[behind], _written(right[not behind])
    if state.op != "state" or gate is None or gate.at != (gate.whole.shape[0] - 1 if behind else 0):
        return None
    beside = (gate.whole, state) if behind else (state, gate.whole)
    return _Pair(products, left, right, first.whole, first.at, beside)


def _block(gate: Value) -> _Block | None:
    """Where a gate stands, if it is a block."""
    opened = gate.args[0] if gate.op == "part" else gate
    if opened.op != "unstack" or opened.attrs["axis"] != 0:
        return None
    return _Block(opened.args[0], gate.attrs["index"])


def _written(gate: Value) -> _Block | None:
    """Where a gate stands among all blocks that one op writes."""
    block = _block(gate)
    while block is not None and block.whole.op == "part":
        part, at = block
        split = part.args[0]
        starts = (0, *split.attrs.get("at", ()))
        cut = split.op == "split" and split.attrs["axis"] == 0
        block = _Block(split.args[0], at + starts[part.attrs["index"]]) if cut else None
    return block if block is not None and "own" in block.whole.attrs else None


def _as_one(total: Value, pair: _Pair) -> list[Value]:
    """The buffer, and the ops before the sum, which keeps its identity."""
    one = total.shape
    made = Made(total.dtype, equations(*[v.eq for v in (*pair.products, total)]))
    (_, _, middle), (_, _, count) = blocks_of(pair.beside)
    buffer = made.new("beside", pair.beside, {}, (count, *one), _names(pair.beside))
    both = [
        made.new("getitem", (of,), {"index": slice(at, at + 2)}, (2, *one), _names(side))
        for of, at, side in ((pair.gates, pair.at, pair.left), (buffer, middle - 1, pair.right))
    ]
    products = made.new("multiply", tuple(both), {}, (2, *one), "products")
    cut = made.new("unstack", (products,), {"axis": 0}, (one, one))
    factors = zip(pair.left, pair.right, strict=True)
    labels = [p.label or _names(of) for p, of in zip(pair.products, factors, strict=True)]
    total.become("add", *[made.new("part", (cut,), {"index": k}, one, labels[k]) for k in range(2)])
    return made


def _names(values: Iterable[Value]) -> str:
    """The names of gates and states, joined: that of `sigmoid_f` is `f`."""
    labels = [re.sub("^(sigmoid|tanh)_", "", v.label) for v in values]
    return "_".join(labels) if all(labels) else ""


def blocks_of(beside: Iterable[Value]) -> list[tuple[Value, int, int]]:
    """What stands side by side: each part, from which block to which; a state is one."""
    found: list[tuple[Value, int, int]] = []
    for a in beside:
        start = found[-1][2] if found else 0
        found.append((a, start, start + (1 if a.op == "state" else a.shape[0])))
    return found
