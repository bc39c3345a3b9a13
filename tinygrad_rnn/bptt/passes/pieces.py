"""The pass over joined gradients: what stands in one matrix already is not copied into a second one."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from ..step.adjoint import Adjoint
from ..step.body import Value
from ..step.schedule import OVER_EXAMPLES
from ..step.walks import add_up, ancestors, in_order, joins_columns
from .tidy import resolve


def pieces(adjoint: Adjoint) -> None:
    """Use gradients where they stand: `xᵀ [a | b | c] = [xᵀ [a | b] | xᵀ c]` if the loop fills `[a | b | …]`.

    A product with a weight becomes a sum in the same way: `[a | b | c] W = [a | b] W₁ + c W₂`.
    """
    resolve(adjoint)
    inside = ancestors(adjoint.sent)
    joined = [v for v in adjoint.values if joins_columns(v)]
    homes: dict[Value, tuple[Value, int]] = {}  # in which matrix a gradient stands, and from which column on
    for matrix in joined:
        for a, start in zip(matrix.args, _starts(matrix.args), strict=True) if matrix in inside else ():
            homes.setdefault(a, (matrix, start))
    new = _Maker(adjoint.values)
    for matrix in reversed(joined):  # first those that others are joined into
        columns = _columns_of(matrix)
        users = [v for v in adjoint.values if matrix in v.inputs]
        if matrix in inside or matrix in adjoint.ends or homes.keys().isdisjoint(columns):
            continue
        if all(_separable(user, matrix) for user in users):
            parts = _standing(columns, homes, new)
            for user in users:
                _separate(user, parts, new)
            adjoint.values.remove(matrix)
    _sum_once(adjoint, homes, new)
    adjoint.values[:] = in_order(adjoint.values)
    resolve(adjoint)


def _sum_once(adjoint: Adjoint, homes: dict[Value, tuple[Value, int]], new: _Maker) -> None:
    """Let sums over steps and examples of several columns of a matrix be columns of one sum."""
    found: dict[Value, list[Value]] = {}
    for value in adjoint.values:
        if value.op == "time_sum" and value.attrs == OVER_EXAMPLES:
            (term,) = value.args
            found.setdefault(homes[term][0] if term in homes else term, []).append(value)
    for home, sums in found.items():
        for value in [v for v in sums if v.args[0] in homes] if len(sums) > 1 else ():
            start = homes[value.args[0]][1]
            value.become("alias", _columns_of_sum(home, slice(start, start + value.shape[0]), value, new))


class _Maker:
    """Makes ops, each once."""

    def __init__(self, values: list[Value]) -> None:
        self.values = values
        self.known: dict[Any, Value] = {}

    def __call__(
        self, op: str, args: tuple[Any, ...], attrs: dict[str, Any], shape: Any, like: Value
    ) -> Value:
        key = (op, args, repr(attrs), shape)
        if key not in self.known:
            self.known[key] = Value(op, args, attrs, shape, like.dtype, True, eq=like.eq)
            self.values.append(self.known[key])
        return self.known[key]


def _starts(parts: Any) -> list[int]:
    """The first column of each of some matrices side by side."""
    return [0, *accumulate([v.shape[1] for v in parts[:-1]])]


def _columns_of(matrix: Value) -> list[Value]:
    """What stands side by side, also where that is joined itself."""
    return [p for a in matrix.args for p in (_columns_of(a) if joins_columns(a) else [a])]


def _standing(columns: list[Value], homes: dict[Value, tuple[Value, int]], new: _Maker) -> list[Value]:
    """The columns as few matrices that need no copy."""
    runs: list[list[Value]] = []
    for a in columns:
        home, start = homes.get(a, (None, 0))
        before, end = homes.get(runs[-1][-1], (None, 0)) if runs else (a, 0)
        if runs and home is before and (home is None or start == end + runs[-1][-1].shape[1]):
            runs[-1].append(a)
        else:
            runs.append([a])
    parts = []
    for run in runs:
        shape = (run[0].shape[0], sum(a.shape[1] for a in run))
        home, start = homes.get(run[0], (None, 0))
        if home is None:
            whole = run[0] if len(run) == 1 else new("concatenate", tuple(run), {"axis": 1}, shape, run[0])
        elif shape == home.shape:
            whole = home
        else:
            index = (slice(None), slice(start, start + shape[1]))
            whole = new("getitem", (home,), {"index": index}, shape, run[0])
        parts.append(whole)
    return parts


def _separable(user: Value, matrix: Value) -> bool:
    """Whether what an op does to some columns does not depend on the others."""
    if user.args.count(matrix) != 1:
        return False
    if user.op == "matmul":
        return user.args[0] is matrix and len(user.args[1].shape) == 2
    sums = user.attrs.get("product") or user.attrs == OVER_EXAMPLES
    return user.op == "time_sum" and bool(sums) and user.args[-1] is matrix


def _sum_of(part: Value, left: list[Value], user: Value, new: _Maker) -> Value:
    """What a sum over the steps, or a product, gives for some columns: without a product, columns of the whole sum.

    Adding up columns of a larger matrix takes three times as long as adding up all of it.
    """
    shape = (*user.shape[:-1], part.shape[1])
    if part.op == "zeros":
        return new("zeros", (), {}, shape, user)
    if left or part.op != "getitem" or part not in new.known.values():
        return new("time_sum", (*left, part), user.attrs, shape, user)
    return _columns_of_sum(part.args[0], part.attrs["index"][1], user, new)


def _columns_of_sum(home: Value, columns: slice, user: Value, new: _Maker) -> Value:
    """Some columns of the sum of a matrix over the steps."""
    sums = [v for v in new.values if (v.op, v.args, v.attrs) == ("time_sum", (home,), user.attrs)]
    whole = sums[0] if sums else new("time_sum", (home,), user.attrs, home.shape[1:], user)
    whole.label = whole.label or "sums"
    return new("getitem", (whole,), {"index": columns}, (columns.stop - columns.start,), user)


def _separate(user: Value, parts: list[Value], new: _Maker) -> None:
    """Let an op act on matrices that stand side by side, one by one."""
    *left, _ = user.args
    if user.op == "time_sum":
        sums = [_sum_of(p, left, user, new) for p in parts]
        if len(parts) == 1:
            user.become("alias", *sums)
        else:
            user.become("concatenate", *sums, axis=len(user.shape) - 1)
        return
    weight = user.args[1]
    terms = []
    for part, start in zip(parts, _starts(parts), strict=True):
        width = part.shape[1]
        index = {"index": slice(start, start + width)}
        rows = new("getitem", (weight,), index, (width, weight.shape[1]), user)
        terms.append(new("matmul", (part, rows), {}, user.shape, user))
    if len(parts) == 1:
        user.args = (parts[0], weight)
    else:
        add_up(user, terms, lambda a, b: new("add", (a, b), {}, user.shape, user))
