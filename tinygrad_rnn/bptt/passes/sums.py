"""The pass over the forward ops: what does not depend on the states is added up before them."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import Any

from ...core.op import OPS
from ...core.record import apply
from ..step.body import Value, parts_of
from ..step.tracer import Tracer
from ..step.walks import add_up, dependents, is_product, is_term, joins_columns, needed, terms_of, users_of


def sums(tracer: Tracer) -> None:
    """Add what does not depend on the states first: `(a_t + h U) + b = (a_t + b) + h U`.

    Before that come those that are the same at every step: `(a_t + b) + (h U + c) = (a_t + (b + c)) + h U`. A product
    with joined inputs is taken apart for the same reason: `[h, x] W = h W₁ + x W₂`. What is left inside the loop is
    what needs the state.
    """
    body = tracer.body
    _unjoin(tracer)
    carried = dependents(body.values, body.states)
    varying = dependents(body.values, [*body.xs, *body.states])
    users = users_of(body.values, body.ends)
    made: list[Value] = []

    def add(a: Any, b: Any) -> Any:
        numbers = not isinstance(a, Value) and not isinstance(b, Value)
        return a + b if numbers else computed(tracer, made, "add", a, b)

    for value in body.values:
        if value.op == "add" and value.dtype.kind == "f" and value in carried and not is_term(value, users):
            terms = terms_of(value, lambda v: v in carried and is_term(v, users))
            free, bound = [t for t in terms if t not in carried], [t for t in terms if t in carried]
            if len(terms) > 2 and free and all(t.shape == value.shape for t in bound):
                add_up(value, [*_same_first(free, users, varying), *bound], add)
        made.append(value)
    body.values = needed(made, body.ends)


def _same_first(terms: list[Any], users: dict[Value, list[Any]], varying: set[Value]) -> list[Any]:
    """The terms, with those before the others that are the same at every step, if there are several."""
    same: list[Any] = []
    others: list[Any] = []
    for term in terms:
        split = isinstance(term, Value) and term in varying and is_term(term, users)
        for t in term.args if split else (term,):
            (others if isinstance(t, Value) and t in varying else same).append(t)
    return [*same, *others] if len(same) > 1 else terms


def _unjoin(tracer: Tracer) -> None:
    body = tracer.body
    carried = dependents(body.values, body.states)
    made: list[Value] = []
    for value in body.values:
        if is_product(value, carried) and _joins_inputs(value.args[0], carried):
            left, right = value.args
            cuts = tuple(accumulate([a.shape[1] for a in left.args[:-1]]))
            first = len(made)
            blocks = _several(tracer, made, "split", right, at=cuts, axis=0)
            products = [
                computed(tracer, made, "matmul", a, w) for a, w in zip(left.args, blocks, strict=True)
            ]
            products.sort(key=lambda p: p.args[0] in carried)
            add_up(value, products, partial(computed, tracer, made, "add"))
            for v in made[first:]:
                v.eq = value.eq
        made.append(value)
    body.values = made


def _joins_inputs(row: Value, carried: set[Value]) -> bool:
    """Whether a value is several matrices side by side, and not all of them come from states."""
    return (
        joins_columns(row)
        and len(row.args) > 1
        and any(isinstance(a, Value) and a not in carried for a in row.args)
        and all(isinstance(a, Value) and a.shape[0] == row.shape[0] for a in row.args)
    )


def computed(tracer: Tracer, made: list[Value], name: str, *args: Any, **attrs: Any) -> Value:
    """A new value, computed like a traced one."""
    tensors = tracer.body.tensors
    data = apply(OPS[name], tuple([tensors[a].detach() if isinstance(a, Value) else a for a in args]), attrs)
    active = any(isinstance(a, Value) and a.active for a in args)
    value = Value(name, args, attrs, data.shape, data.dtype, active)
    value.eq = next((a.eq for a in args[::-1] if isinstance(a, Value) and a.eq), "")
    tracer.bind(data._data, value)
    made.append(value)
    return value


def _several(tracer: Tracer, made: list[Value], name: str, x: Value, **attrs: Any) -> list[Value]:
    pieces = apply(OPS[name], (tracer.body.tensors[x].detach(),), attrs)
    whole = Value(name, (x,), attrs, tuple([p.shape for p in pieces]), x.dtype, x.active)
    parts = parts_of(whole)
    made += [whole, *parts]
    return [tracer.bind(piece._data, part) for piece, part in zip(pieces, parts, strict=True)]
