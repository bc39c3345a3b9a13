"""The pass over the forward ops: what does not depend on the states is added up before them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.op import OPS
from ...core.record import apply
from ..step.body import Value
from ..step.tracer import Tracer
from ..step.walks import ancestors, dependents, is_term, users_of


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
    for value in body.values:
        if value.op == "add" and value.dtype.kind == "f" and value in carried and not is_term(value, users):
            terms = _terms(value, users, carried)
            free, bound = [t for t in terms if t not in carried], [t for t in terms if t in carried]
            if len(terms) > 2 and free and all(t.shape == value.shape for t in bound):
                free = _same_first(free, users, varying)
                total = free[0]
                for term in free[1:]:
                    numbers = not isinstance(total, Value) and not isinstance(term, Value)
                    total = total + term if numbers else computed(tracer, made, "add", total, term)
                for term in bound[:-1]:
                    total = computed(tracer, made, "add", total, term)
                value.args = (total, bound[-1])
        made.append(value)
    needed = ancestors(body.ends)
    body.values = [v for v in made if v in needed]


def _same_first(terms: list[Any], users: dict[Value, list[Any]], varying: set[Value]) -> list[Any]:
    """The terms, with those before the others that are the same at every step, if there are several."""
    same: list[Any] = []
    others: list[Any] = []
    for term in terms:
        split = isinstance(term, Value) and term in varying and is_term(term, users)
        for t in term.args if split else (term,):
            (others if isinstance(t, Value) and t in varying else same).append(t)
    return [*same, *others] if len(same) > 1 else terms


def _terms(value: Value, users: dict[Value, list[Any]], carried: set[Value]) -> list[Any]:
    found: list[Any] = []
    for a in value.args:
        inner = isinstance(a, Value) and a in carried and is_term(a, users)
        found += _terms(a, users, carried) if inner else [a]
    return found


def _unjoin(tracer: Tracer) -> None:
    body = tracer.body
    carried = dependents(body.values, body.states)
    made: list[Value] = []
    for value in body.values:
        left = value.args[0] if value.op == "matmul" else None
        right = value.args[1] if value.op == "matmul" else None
        if (
            isinstance(left, Value)
            and left.op == "concatenate"
            and len(left.args) > 1
            and isinstance(right, Value)
            and len(right.shape) == 2
            and len(left.shape) == 2
            and left.attrs["axis"] == 1
            and right not in carried
            and any(isinstance(a, Value) and a not in carried for a in left.args)
            and all(isinstance(a, Value) and a.shape[0] == left.shape[0] for a in left.args)
        ):
            cuts = [int(n) for n in np.cumsum([a.shape[1] for a in left.args])[:-1]]
            first = len(made)
            blocks = _several(tracer, made, "split", right, at=tuple(cuts), axis=0)
            products = [
                computed(tracer, made, "matmul", a, w) for a, w in zip(left.args, blocks, strict=True)
            ]
            products.sort(key=lambda p: p.args[0] in carried)
            total = products[0]
            for p in products[1:-1]:
                total = computed(tracer, made, "add", total, p)
            for v in made[first:]:
                v.eq = value.eq
            value.op, value.args = "add", (total, products[-1])
        made.append(value)
    body.values = made


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
    whole = Value(name, (x,), attrs, tuple(p.shape for p in pieces), x.dtype, x.active)
    made.append(whole)
    parts = []
    for i, piece in enumerate(pieces):
        part = Value("part", (whole,), {"index": i}, piece.shape, piece.dtype, x.active)
        tracer.bind(piece._data, part)
        made.append(part)
        parts.append(part)
    return parts
