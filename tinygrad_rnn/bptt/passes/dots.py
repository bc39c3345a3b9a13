"""The pass over sums of products: `Σ_k a_k b_k` is one call, over the last axis, or of matrices and vectors."""

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
    if term.dtype.kind != "f" or term.dtype.itemsize < 4 or term.op not in ("multiply", "square"):
        return
    factors: tuple[Any, ...] = term.args * 2 if term.op == "square" else term.args
    if not all(isinstance(a, Value) and a.dtype == term.dtype for a in factors):
        return
    n = len(term.shape)
    full, other = sorted(factors, key=lambda a: a.shape != term.shape)
    if n > 2 and other.shape != term.shape and _multiplied(total, full, other, made, i):
        return
    if total.attrs["axis"] == (n - 1,) and full.shape[-1:] == other.shape[-1:]:
        total.become("vecdot", *factors, keepdims=total.attrs["keepdims"])


def _multiplied(total: Value, full: Value, other: Value, made: list[Value], i: int) -> bool:
    """Write `Σ_k a_jk b_k` and `Σ_j a_jk b_j` as products, if there is a matrix and a vector for each example."""
    *stack, rows, columns = full.shape
    by_row = total.attrs["axis"] == (len(stack) + 1,) and other.shape == (*stack, 1, columns)
    by_column = total.attrs["axis"] == (len(stack),) and other.shape == (*stack, rows, 1)
    if not (by_row or by_column):
        return False
    axes, common = (*range(len(stack)), len(stack) + 1, len(stack)), (full.dtype, total.active)
    shape = (*stack, *other.shape[:-3:-1])
    turned = Value("transpose", (other,), {"axes": axes}, shape, *common, eq=total.eq)
    args, shape = ((full, turned), (*stack, rows, 1)) if by_row else ((turned, full), (*stack, 1, columns))
    made[i:i] = [turned, Value("matmul", args, {}, shape, *common, eq=total.eq)]
    total.become("reshape", made[i + 1], shape=total.shape)
    return True
