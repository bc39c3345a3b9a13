"""The pass over sums of products: `Σ_k a_k b_k` over the last axis is one call."""

from __future__ import annotations

from typing import Any

from ..step.adjoint import Adjoint, users_in
from ..step.body import Body, Value


def dots(body: Body, adjoint: Adjoint) -> None:
    """Multiply and add up in one call: `Σ_k a_k b_k`, and `Σ_k (−a_k) = −Σ_k a_k`."""
    users = users_in(body, adjoint)
    for made in (body.values, adjoint.values):
        for i, value in reversed(list(enumerate(made))):
            if value.op == "sum" and len(users.get(value.args[0], [])) == 1:
                _contract(value, made, i)


def _contract(total: Value, made: list[Value], i: int) -> None:
    """Rewrite the sum at place `i`; its argument has no other user."""
    term = total.args[0]
    if term.op == "negative" and term.dtype.kind == "f":
        made.insert(
            i, Value("sum", term.args, total.attrs, total.shape, total.dtype, total.active, eq=total.eq)
        )
        total.become("negative", made[i])
        return
    if total.attrs["axis"] != (len(term.shape) - 1,) or term.dtype.kind != "f" or term.dtype.itemsize < 4:
        return
    factors: tuple[Any, ...] = term.args * 2 if term.op == "square" else term.args
    if term.op in ("multiply", "square") and all(
        isinstance(a, Value) and (a.shape, a.dtype) == (term.shape, term.dtype) for a in factors
    ):
        total.become("vecdot", *factors, keepdims=total.attrs["keepdims"])
