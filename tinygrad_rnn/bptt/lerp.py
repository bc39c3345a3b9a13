"""The pass over weighted means: `a · x + (1 − a) · y` in three calls, not in four."""

from __future__ import annotations

from typing import Any

from .body import Value
from .sums import computed
from .tracer import Tracer
from .walks import ancestors, dependents, users_of


def lerp(tracer: Tracer) -> None:
    """Go from one value towards the other: `a · x + (1 − a) · y = y + a · (x − y)`, as for a gate that keeps a state.

    The backward pass needs the difference for the gradient of `a`, and gets `1 − a` before the loop. The sum is rounded
    otherwise, and where `x − y` is not finite, it is not finite.
    """
    body = tracer.body
    carried = dependents(body.values, body.states)
    users = users_of(body.values, [*body.outputs, *body.new_states])
    made: list[Value] = []
    for value in body.values:
        found = _weighted_mean(value, carried, users)
        if found:
            a, x, y = found
            difference = computed(tracer, made, "subtract", x, y)
            step = computed(tracer, made, "multiply", a, difference)
            difference.eq = step.eq = value.eq
            value.args = (y, step)
        made.append(value)
    needed = ancestors([*body.outputs, *body.new_states])
    body.values = [v for v in made if v in needed]


def _weighted_mean(value: Value, carried: set[Value], users: dict[Value, list[Any]]) -> Any:
    """`a`, `x` and `y` of `a · x + (1 − a) · y`, of one shape, where nothing else needs the terms and `1 − a`."""
    if value.op != "add" or value not in carried:
        return None
    if not all(_product(v, value, users) for v in value.args):
        return None
    for one, other in (value.args, value.args[::-1]):
        for rest, y in (other.args, other.args[::-1]):
            a = rest.args[1] if rest.op == "subtract" and rest.args[0] == 1.0 else None
            if a in one.args and rest in carried and users[rest] == [other]:
                x = one.args[1 - one.args.index(a)]
                return a, x, y
    return None


def _product(v: Any, total: Value, users: dict[Value, list[Any]]) -> bool:
    """Whether a term is a product of two values of the sum's shape, for the sum alone."""
    return (
        isinstance(v, Value)
        and v.op == "multiply"
        and users[v] == [total]
        and all(isinstance(a, Value) and (a.shape, a.dtype) == (total.shape, total.dtype) for a in v.args)
    )
