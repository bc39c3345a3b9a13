"""Where each op runs: before the loop for all steps at once, inside it, or after it.

What does not depend on the carry does not belong inside the loop.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .adjoint import Adjoint
from .body import Body, Value
from .text import batchable, is_view
from .walks import ancestors, dependents, in_order

# Elements of a step from which on its factors, and what follows from it, are computed in the loop. Where a call costs
# next to nothing, as in C, all are: training steps of LSTM, GRU and others took 0.92 to 0.97 of the time without that
# for 16 examples and 128 units, and 0.93 to 1.0 for one example and 64 (AVX-512, one thread).
IN_CACHE = 2**13
OVER_EXAMPLES = {"axis": (0,), "keepdims": False}  # of a sum over steps and examples
LARGE = 8  # a value this many times larger than inputs, outputs and kept states is not kept for all steps


@dataclass
class Regions:
    """One direction: its ops in order, by place."""

    before: list[Value] = field(default_factory=list)
    loop: list[Value] = field(default_factory=list)
    after: list[Value] = field(default_factory=list)
    at_hand: set[Value] = field(default_factory=set)  # those of the loop that no other step needs

    def all(self) -> list[Value]:
        """Every op, in the order in which they run."""
        return [*self.before, *self.loop, *self.after]


@dataclass
class Program:
    """A body and its backward pass, scheduled."""

    body: Body
    adjoint: Adjoint
    forward: Regions
    backward: Regions
    once: set[Value]  # the same at every step: weights, and what is made of them alone
    deferred: bool


def program(
    body: Body, adjoint: Adjoint, hoist: bool, deferred: bool, in_cache: int | None = None
) -> Program:
    """Run before the loop, for all steps at once, what does not depend on the carry; then what it does not need.

    With steps of `in_cache` elements the loop computes what it could be spared, as its arrays are in cache.
    """
    in_cache = IN_CACHE if in_cache is None else in_cache
    keeping = bool(adjoint.values)
    limit = largest(body, keeping)
    once = set(body.constants)
    known = {*body.inputs, *body.values}
    reads = [a for v in adjoint.values for a in v.inputs] + adjoint.ends
    read = ancestors([*body.ends, *[a for a in reads if a in known]])
    values = [v for v in body.values if v in read]
    sort = partial(_regions, once=once, hoist=hoist, limit=limit, keeping=keeping, in_cache=in_cache)
    forward = sort(values, body.xs, body.states, body.new_states, deferred=False)
    saved = [c for c in adjoint.cotangents if c] + list(read - once)
    backward = sort(adjoint.values, saved, adjoint.arriving, adjoint.sent, deferred=deferred)
    _keep_carries(adjoint, backward)
    return Program(body, adjoint, forward, backward, once, deferred)


def _keep_carries(adjoint: Adjoint, regions: Regions) -> None:
    """What arrives from the step after is overwritten in the loop: where it is read outside, it is copied first."""
    views: list[Value] = []  # of what arrives
    for v in regions.loop:
        if is_view(v) and (v.args[0].op == "carry" or v.args[0] in views):
            views.append(v)
    for region in (regions.before, regions.after):  # parts of such a view are views of the loop, too
        parts = [v for v in region if v.op == "part" and v.args[0] in views]
        region[:] = [v for v in region if v not in parts]
        views += parts
    copies: dict[Value, Value] = {}

    def kept(a: Any) -> Any:
        if not isinstance(a, Value) or (a.op != "carry" and a not in views):
            return a
        if a not in copies:
            copies[a] = Value("copy", (a,), {}, a.shape, a.dtype, True, a.label)
        return copies[a]

    for v in (*regions.before, *regions.after):
        v.args = tuple([kept(a) for a in v.args])
    adjoint.xs = [kept(v) for v in adjoint.xs]
    regions.loop = [*views, *copies.values(), *[v for v in regions.loop if v not in views]]


def largest(body: Body, keeping: bool = True) -> int:
    """How many elements a value may have that is kept for all steps.

    States are, if a backward pass is to come. Else what is larger than inputs and outputs stays in the loop, from the
    size on at which a call costs little beside it.
    """
    states = body.states if keeping else []
    size: int = LARGE * max([math.prod(v.shape) for v in (*body.xs, *states, *body.outputs)])
    return size if keeping else max(size, IN_CACHE)


def _regions(
    values: Sequence[Value],
    given: Iterable[Value],
    carries: Sequence[Value],
    ends: Sequence[Value],
    once: set[Value],
    hoist: bool,
    limit: int,
    keeping: bool,
    in_cache: int,
    deferred: bool,
) -> Regions:
    """Sort ops into regions. `given` are there for all steps from the beginning; `ends` are the next carries."""
    result = Regions()
    sums = dependents(values, [v for v in values if v.op == "time_sum"]) - set(given)
    if not hoist:
        for v in values:
            behind = v in sums and (deferred or v.op != "time_sum")
            (result.after if behind else result.loop).append(v)
        once |= sums
        return result
    carried = dependents(values, carries)
    ready = {*given, *once}
    moved: set[Value] = set()

    def per_step(a: Any) -> bool:
        return isinstance(a, Value) and a not in once

    def together(v: Value) -> bool:
        sizes = v.shape if v.op in ("split", "unstack") else (v.shape,)
        return batchable(v, per_step) and max(math.prod(s) for s in sizes) <= limit

    def streamed(v: Value) -> bool:
        """A factor so large that computing it where it is used beats keeping it for all steps in memory."""
        return v.elementwise and v.dtype.kind == "f" and math.prod(v.shape) >= in_cache

    for v in values:  # what is the same at every step, then what the carry does not reach
        if v in sums:
            continue
        if once.issuperset(v.inputs):
            once.add(v)
            ready.add(v)
        elif v not in carried and ready.issuperset(v.inputs) and together(v):
            ready.add(v)

    def heavy(v: Value) -> bool:
        """Whether it reads something of the loop that is not to be kept for all steps."""
        read = [a for a in v.inputs if (a in carried or a in carries) and a.op not in ("split", "unstack")]
        return not keeping and any(math.prod(a.shape) > limit for a in read)

    inside = ancestors(ends)
    for v in values:
        follows = any(a in moved for a in v.inputs)
        if v in ready and v not in once and (follows or (v in inside and streamed(v))):
            moved.add(v)
    ready -= moved

    for v in reversed(values):
        if not (v in ready or v in sums or v in inside or (together(v) and not heavy(v))):
            inside |= ancestors([v])
    known = {*given, *ready, *once, *carries, *inside}
    result.at_hand = _at_hand(values, inside - {*carries}, known, sums | ready, in_cache)
    inside |= result.at_hand
    if not deferred:
        inside |= ancestors([v for v in values if v.op == "time_sum"])
    once |= sums
    for v in values:
        if v.op == "time_sum":
            # an op of its own, or one of parts that are small enough
            whole = not v.attrs.keys().isdisjoint(("product", "products", "scatter", "axis"))
            big = math.prod(v.args[0].shape) > limit and not whole
            (result.loop if not deferred or big else result.after).append(v)
        else:
            (result.before if v in ready else result.loop if v in inside else result.after).append(v)
    return result


def _at_hand(
    values: Sequence[Value], inside: set[Value], known: set[Value], others: set[Value], in_cache: int
) -> set[Value]:
    """What is computed, row by row, from what the loop has just made: of large steps it is still in cache then."""
    found: set[Value] = set()
    for v in values:
        rows = v.elementwise or is_view(v) or v.op in ("vecdot", "sum")
        if rows and v not in others and not (inside | found).isdisjoint(v.inputs):
            if (known | found).issuperset(v.inputs) and v not in inside:
                found.add(v)
    large = [v for v in found if not is_view(v) and max(_size(a) for a in (v, *v.inputs)) >= in_cache]
    return found & ancestors(large)


def _size(v: Value) -> int:
    """The elements of a step, if they are floats."""
    return math.prod(v.shape) if isinstance(v.dtype, np.dtype) and v.dtype.kind == "f" else 0


def defer(adjoint: Adjoint, once: set[Value], limit: int) -> None:
    """One product over all steps in place of one per step: `Σ_t a_tᵀ g_t = [a_1; …; a_T]ᵀ [g_1; …; g_T]`.

    Stacks of matrices likewise, `Σ_t a_t g_t = [a_1, …, a_T] [g_1; …; g_T]` for each of the stack. Sums over the
    batch and over time become one sum, `Σ_t Σ_n a_tn g_tn` one contraction, and reshapes move behind it, as do sums by
    ids that are the same at every step.
    """
    made: list[Value] = []
    uses = Counter([*[a for v in adjoint.values for a in v.inputs], *adjoint.ends])
    fixed = set(once)  # and what the backward pass makes of that alone
    for value in adjoint.values:
        if value.inputs and fixed.issuperset(value.inputs):
            fixed.add(value)
        elif value.op == "time_sum":
            _push(value, made, fixed, limit, uses)
        made.append(value)
    adjoint.values[:] = made


def _push(total: Value, made: list[Value], once: set[Value], limit: int, uses: Counter[Value]) -> None:
    term = total.args[0]
    same = term.op == "scatter_add" and once.issuperset(term.inputs[1:])  # ids at every step
    if same or term.op in ("reshape", "transpose", "negative"):
        inner = Value("time_sum", (term.args[0],), {}, term.args[0].shape, term.dtype, True)
        _push(inner, made, once, limit, uses)
        made.append(inner)
        total.become(term.op, inner, *term.args[1:], **term.attrs)
    elif term.op == "matmul" and once.isdisjoint(term.args):
        left, right = term.args
        turned = left.op == "transpose" and tuple(left.attrs["axes"]) == (1, 0)
        if turned and len(right.shape) == 2 and left.args[0] not in once:
            total.become("time_sum", left.args[0], right, product=True)
        elif len(left.shape) == len(right.shape) > 2 and left.shape[:-2] == right.shape[:-2]:
            total.become("time_sum", left, right, products=True)
    elif term.op == "scatter_add" and term.attrs["axis"] == 0:
        total.become("time_sum", *term.args, scatter=True)
    elif term.op == "sum" and math.prod(term.args[0].shape) <= limit:
        inner, axes = term.args[0], {"axis": term.attrs["axis"], "keepdims": term.attrs["keepdims"]}
        if uses[term] == uses[inner] == 1 and _contracts(inner, axes["axis"], once):
            total.become("time_sum", *inner.args, contracts=True, **axes)
        else:
            total.become("time_sum", inner, **axes)


def _contracts(product: Value, axis: tuple[int, ...], once: set[Value]) -> bool:
    """Whether a product can be added up along with being computed, in half the time: if the last axis stays."""
    width = product.shape[-1] if product.op == "multiply" and product.shape else 0
    return (
        width > 1
        and len(product.shape) - 1 not in axis
        and product.dtype.kind == "f"
        and product.dtype.itemsize >= 4
        and all(
            isinstance(a, Value) and a not in once and (a.shape, a.dtype) == (product.shape, product.dtype)
            for a in product.args
        )
    )


def copy_before(program: Program, let_read: Callable[[Value, set[Value], dict[Any, Value]], None]) -> None:
    """Run copies of what is the same at every step before each loop.

    `let_read(op, once, copies)` lets an op of the loop read copies, and makes those that are not there yet.
    """
    directions = (program.forward, program.body.values), (program.backward, program.adjoint.values)
    for regions, values in directions:
        copies: dict[Any, Value] = {}
        for op in regions.loop:
            let_read(op, program.once, copies)
        values[:] = in_order([*copies.values(), *values])
        regions.before += copies.values()
        program.once.update(copies.values())


def order_carries(program: Program) -> None:
    """Inside the loop, what only the step before needs comes last, so that it can overwrite what it is made of."""
    adjoint = program.adjoint
    loop = program.backward.loop
    used = {a for v in program.backward.all() for a in v.inputs}
    late = [v for v in loop if v in adjoint.sent and v not in used and v.op == "multiply"]
    program.backward.loop = [v for v in loop if v not in late] + late
