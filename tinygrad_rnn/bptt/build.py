"""From a step function to its source: examined, traced, derived, and written."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import mode
from ..core.op import Array
from . import (
    algebra,
    center,
    dots,
    folding,
    fronted,
    gates,
    joins,
    lerp,
    pairs,
    pieces,
    regroup,
    rows,
    schedule,
    share,
    source,
    spread,
    sums,
    terms,
)
from .adjoint import derive, nothing
from .body import Body, Underivable
from .equations import number_equations
from .names import Names
from .purity import Surroundings, kind_of
from .replay import Tape, tape
from .tidy import resolve
from .tracer import Tracer, trace
from .walks import dependents

PASSES: dict[str, Any] = {  # in the order in which they are applied; each can be switched off
    "share": share.share,
    "regroup": regroup.regroup,
    "center": center.center,
    "sums": sums.sums,
    "lerp": lerp.lerp,
    "guards": algebra.guards,
    "factors": algebra.factors,
    "terms": terms.terms,
    "dots": dots.dots,
    "hoist": schedule.program,
    "defer": schedule.defer,
    "pieces": pieces.pieces,
    "rows": rows.rows,
    "merge": gates.merge,
    "fold": folding.Folding,
    "pairs": pairs.pairs,
    "joins": joins.joins,
    "fronted": fronted.fronted,
    "spread": spread.spread,
}


NEED_HOIST = frozenset(("regroup", "factors", "terms", "rows", "merge", "fold", "spread"))


@dataclass
class Built:
    """What is known about one structure."""

    text: str
    outputs: int
    several_out: bool
    recorded: list[bool]  # which results have gradients
    gradients: list[tuple[str, int]]  # in the order of backward's results: of which input
    guarded: bool  # `0 · ∞` was taken for granted not to happen
    static: list[Any]  # arrays that the backward pass made up
    tape: Tape  # the ops of the step, for second derivatives
    small: list[int]  # the arguments that must be small: first states that were taken for bounded


# What was found about steps: the structures that are free of side effects, as keys, or the reason why not.
_examined: OrderedDict[Any, Any] = OrderedDict()
EXAMINED_KEPT = 512
STRUCTURES_KEPT = 64  # of one kind of step: a number may be another one at every call
LOOKS = 3  # what has changed every time was changed by the step, and not by another thread


def examine(step: Any, inputs: Any, constants: Any, several_in: bool) -> Tracer:
    """Trace a step; the first time, make sure that it depends on its inputs alone and changes nothing else.

    Raises `Underivable` with the reason, also for whatever the step itself raises: unrolled, it says where.
    """
    shapes = tuple([(a.shape, a.dtype) for group in inputs for a, _ in group])
    key = (kind_of(step), shapes, mode().training)
    known = _examined.setdefault(key, {})
    if isinstance(known, str):
        raise Underivable(known)
    surroundings = Surroundings(step, constants)
    try:
        tracer = trace(step, inputs[0], inputs[1], constants, several_in)
        if surroundings.built():  # it has its weights now: look again
            return examine(step, inputs, constants, several_in)
        structure = tracer.body.key()
        # the same ops may come about in another way: a chance that was 0 is none now
        if structure not in known or surroundings.changed(tracer):
            _check_pure(step, inputs, constants, several_in, tracer, surroundings)
            known[structure] = None
            while len(known) > STRUCTURES_KEPT:
                known.pop(next(iter(known)), None)
    except Exception as error:
        if not surroundings.built():  # weights that were made stay
            surroundings.undo()
            surroundings.rewind()
        if not isinstance(error, Underivable):
            raise Underivable(f"the step raised {type(error).__name__}: {error}") from error
        _examined[key] = str(error)
        raise
    finally:
        while len(_examined) > EXAMINED_KEPT:
            _examined.popitem(last=False)
    return tracer


def build(tracer: Tracer, saving: bool) -> Built:
    """Derive what `examine` traced, and write it for the batch size that it was traced with."""
    body = tracer.body
    recorded_ops = tape(body)
    given = len(body.bound)
    text, gradients, guarded = compose(tracer, saving)
    static = body.bound[given:]
    recorded = _recorded(body)
    small = [len(body.xs) + j for j in sorted(body.small)]
    return Built(
        text, len(body.outputs), body.several_out, recorded, gradients, guarded, static, recorded_ops, small
    )


def _recorded(body: Body) -> list[bool]:
    """Which outputs and last states depend on what has a gradient, also through the states of earlier steps."""
    sources = [v for v in body.inputs if v.wanted]
    while True:
        reached = dependents(body.values, sources)
        more = [
            s
            for s, new in zip(body.states, body.new_states, strict=True)
            if new in reached and s not in reached
        ]
        if not more:
            return [v in reached and v.active for v in body.ends]
        sources += more


def _check_pure(
    step: Any, inputs: Any, constants: Any, several_in: bool, tracer: Tracer, around: Surroundings
) -> None:
    """Run the step on other values: what it does must not depend on them, nor on how often it was called."""
    rng = np.random.default_rng(0)
    other = [[(_other(a, rng), w) for a, w in group] for group in inputs]
    again = trace(step, other[0], other[1], constants, several_in, before=tracer)
    if again.body.key() != tracer.body.key():
        raise Underivable("the step does something else when it is called again, or with other values")
    for value, a, b in zip(tracer.body.constants, tracer.body.bound, again.body.bound, strict=True):
        if a is not b and not np.array_equal(
            np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind in "fc"
        ):
            site = next((v.site for v in tracer.body.values if value in v.args), "")
            raise Underivable(
                f"{site or 'the step'} uses an array that is random, as dropout is, or depends on values that "
                "are no longer Tensors"
            )
    if drawn := around.drawn(tracer):
        raise Underivable(f"the step draws from {drawn}")
    changed, drawn, looks, first = around.undo(), around.moved(), 1, around
    while changed or drawn:
        if looks == LOOKS:
            first.rewind()
            raise Underivable(f"the step changes {changed}" if changed else f"the step draws from {drawn}")
        around = Surroundings(step, constants)
        trace(step, other[0], other[1], constants, several_in)
        changed, drawn, looks = around.undo(), around.moved(), looks + 1
    outside = {id(getattr(b, "_data", b)) for b in again.body.bound}
    arrays = [(v.site, t._data) for v, t in again.body.tensors.items() if id(t._data) not in outside]
    computed = [(site, weakref.ref(a)) for site, a in arrays if isinstance(a, np.ndarray)]
    del again, arrays
    _check_forgotten(computed)


def _check_forgotten(computed: list[tuple[str, weakref.ref[Array]]]) -> None:
    """Make sure that nothing holds what a step computed, now that its trace is gone."""
    if any(array() is not None for _, array in computed):
        gc.collect()  # the step may have left a cycle
    for site, array in reversed(computed):
        if array() is not None:
            raise Underivable(f"{site or 'the step'} keeps a tensor outside of the step")


def _other(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype.kind not in "fc":
        return array
    return rng.standard_normal(array.shape).astype(array.dtype)


def compose(tracer: Tracer, saving: bool) -> tuple[str, list[tuple[str, int]], bool]:
    """Passes, schedule and text; with the inputs that get gradients, in order."""
    off = mode().passes
    if "hoist" in off:
        off |= NEED_HOIST

    def apply(name: str, *given: Any) -> None:
        """Apply a pass, unless it is off."""
        if name not in off:
            PASSES[name](*given)

    body = tracer.body
    names = Names(body)
    body.equations = number_equations(body, names)
    for name in ("share", "regroup", "center", "sums", "lerp"):
        apply(name, tracer)
    fixed = {*body.constants, *set(body.values) - dependents(body.values, [*body.xs, *body.states])}
    once = set(body.constants) if "hoist" in off else fixed
    masked = saving and any(v.op == "where" for v in body.values)
    adjoint = derive(tracer, once, masked and "guards" in off) if saving else nothing(body)
    guarded = masked or any(v.op == "where" for v in adjoint.values)  # those of relu, clip or maximum
    apply("guards", adjoint)
    apply("factors", body, adjoint)
    apply("terms", adjoint)
    apply("dots", body, adjoint)
    apply("defer", adjoint, fixed, schedule.largest(body))
    apply("pieces", adjoint)
    resolve(adjoint)
    apply("rows", body, adjoint)
    apply("merge", body, adjoint, "fold" not in off)
    apply("pairs", body, adjoint)
    apply("joins", adjoint)
    apply("fronted", adjoint)
    program = schedule.program(body, adjoint, "hoist" not in off, "defer" not in off)
    if "factors" not in off:
        schedule.order_carries(program)
    apply("spread", program)
    sent = [*adjoint.xs, *[s.active for s in body.states], *adjoint.constants] if saving else []
    gradients = [(body.inputs[i].op, i) for i, parts in enumerate(sent) if parts]
    return source.write(program, names, saving), gradients, guarded
