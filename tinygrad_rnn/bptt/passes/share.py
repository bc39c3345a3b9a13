"""The pass over what a step computes twice."""

from __future__ import annotations

from typing import Any

from ..step.body import Value, hashable
from ..step.tracer import Tracer

EITHER_WAY = ("add", "multiply")  # the same bits with the arguments changed over


def share(tracer: Tracer) -> None:
    """Compute once what the step writes twice: `maximum(f + m, i)` and `exp(f + m − n)` share `f + m`."""
    body = tracer.body
    known: dict[Any, Value] = {}
    twins: dict[Value, Value] = {}
    made: list[Value] = []
    for value in body.values:
        value.args = tuple([twins.get(a, a) if isinstance(a, Value) else a for a in value.args])
        # what leaves the step stays by itself, but for a part of a split: passes change all parts of one number
        alone = value in body.ends and value.op != "part"
        twin = value if alone else known.setdefault(identity(value), value)
        if twin is value:
            made.append(value)
        else:
            twins[value] = twin
            twin.label = twin.label or value.label
    body.values = made
    body.outputs = [twins.get(v, v) for v in body.outputs]
    body.new_states = [twins.get(v, v) for v in body.new_states]
    tracer.known = {number: twins.get(v, v) for number, v in tracer.known.items()}


def identity(value: Value) -> Any:
    """What two values that are the same thing have in common."""
    args = tuple([a if isinstance(a, Value) else (type(a), repr(a)) for a in value.args])
    if value.op in EITHER_WAY:
        return value.op, frozenset(args), value.shape, value.dtype
    return value.op, args, hashable(value.attrs), value.shape, value.dtype
