"""The pass over weighted means: `a · x + (1 − a) · y` in three calls, not in four."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..step.body import Value
from ..step.tracer import Tracer
from ..step.walks import inductive
from .rewriting import Rewriting

BOUNDED = frozenset(
    "tanh softsign erf sin cos".split()
)  # by 1, and of either sign: no logarithm is taken of them
PARTS = frozenset("part split unstack getitem reshape transpose flip roll broadcast_to stop copy".split())


def lerp(tracer: Tracer) -> None:
    """Go from one value towards the other: `a · x + (1 − a) · y = y + a · (x − y)`, as for a gate that keeps a state.

    The backward pass needs the difference for the gradient of `a`, and gets `1 − a` before the loop. The sum is rounded
    otherwise: where `a` is 1 and `y` large, nothing is left of `x`. So `y` must be bounded, by a tanh for instance; a
    state is, if it begins with small values (`body.small`) and is such a mean itself.
    """
    step, body = Rewriting(tracer), tracer.body
    ends = {
        *body.new_states,
        *[a for v in body.new_states if v.op == "where" for a in _chosen(v, step.users)],
    }
    bounded = inductive(body, _stays_small)  # if states begin so

    def write(value: Value) -> None:
        found = _weighted_mean(value, step.carried, step.users)
        # a state: others may be read where rounding shows, by a logarithm or a test
        if found and found[2] in bounded and value in ends:
            a, x, y = found
            if y.op not in BOUNDED:  # it is, or is a part of, a state: of one that others keep bounded, maybe
                body.small |= {j for j, state in enumerate(body.states) if state in bounded}
            difference = step.computed("subtract", x, y)
            value.args = (y, step.computed("multiply", a, difference))

    step.each(write)


def _weighted_mean(value: Value, carried: set[Value], users: dict[Value, list[Any]]) -> Any:
    """`a`, `x` and `y` of `a · x + (1 − a) · y`, of one shape, where nothing else needs the terms and `1 − a`."""
    if value.op != "add" or value not in carried or not all(_product(v, value, users) for v in value.args):
        return None
    return _mean(value, lambda rest, other: rest in carried and users[rest] == [other])


def _mean(value: Value, fits: Callable[[Value, Value], bool] = lambda rest, other: True) -> Any:
    """`a`, `x` and `y` of `a · x + (1 − a) · y`, where `1 − a` and its product fit; None for anything else."""
    products = [v for v in value.args if isinstance(v, Value) and v.op == "multiply" and len(v.inputs) == 2]
    if value.op != "add" or len(products) < 2:
        return None
    for one, other in (products, products[::-1]):
        for rest, y in (other.args, other.args[::-1]):
            a = rest.args[1] if rest.op == "subtract" and rest.args[0] == 1.0 else None
            if a in one.args and fits(rest, other):
                x = one.args[1 - one.args.index(a)]
                return a, x, y
    return None


def _chosen(where: Value, users: dict[Value, list[Any]]) -> list[Value]:
    """The values from which a choice takes its elements, if nothing else reads them."""
    return [a for a in where.args[1:] if isinstance(a, Value) and users[a] == [where]]


def _stays_small(v: Value, found: set[Value]) -> bool:
    """Whether a value has no elements beyond ±1, if those found have none."""
    if v.op in BOUNDED or v.op in PARTS and v.inputs and found.issuperset(v.inputs):
        return True
    if v.op == "where":
        return all(a in found if isinstance(a, Value) else abs(a) <= 1 for a in v.args[1:])
    mean = _mean(v)
    return bool(mean and mean[0].op == "sigmoid" and found.issuperset(mean[1:]))


def _product(v: Any, total: Value, users: dict[Value, list[Any]]) -> bool:
    """Whether a term is a product of two values of the sum's shape, for the sum alone."""
    return (
        isinstance(v, Value)
        and v.op == "multiply"
        and users[v] == [total]
        and all(isinstance(a, Value) and (a.shape, a.dtype) == (total.shape, total.dtype) for a in v.args)
    )
