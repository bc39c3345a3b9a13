"""Passes that make one call of several: gates side by side in memory, equal ones activated together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.op import OPS
from .adjoint import Adjoint
from .algebra import _apply, _several, _users
from .body import Body, Tracer, Value, dependents


def gates(tracer: Tracer) -> None:
    """Put gates with the same activation side by side: `[i f g o] → [i f o g]`, by the columns of the weights.

    The weights are reordered once before the loop, and their gradients put back in order after it.
    """
    body = tracer.body
    users = _users(body.values, [*body.outputs, *body.new_states])
    carried = dependents(body.values, body.states)
    made: list[Value] = []
    for value in body.values:
        if value.op == "split" and value in carried and _equal_parts(value):
            parts = [u for u in users.get(value, []) if isinstance(u, Value)]
            order = _order(parts, users, len(value.shape))
            source = value.args[0]
            if order != sorted(order) and _permutable(source, value, users, carried):
                value.args = (_permuted(tracer, made, source, order, carried),)
                value.args[0].label = source.label
                for part in parts:
                    part.attrs = {"index": order.index(part.attrs["index"])}
        made.append(value)
    body.values = made


def _equal_parts(value: Value) -> bool:
    """Whether a split cuts the columns of a matrix into equal parts."""
    shapes = value.shape
    return len(shapes) > 1 and len(shapes[0]) == 2 and value.attrs["axis"] == 1 and len(set(shapes)) == 1


def _activation(part: Value, users: dict[Value, list[Any]]) -> str:
    """The elementwise function that alone uses a part; empty if there is none."""
    found = users.get(part, [])
    if len(found) == 1 and isinstance(found[0], Value) and len(found[0].args) == 1:
        op = OPS.get(found[0].op)
        if op is not None and op.broadcasts and found[0].dtype == part.dtype:
            return str(found[0].op)
    return ""


def _order(parts: Sequence[Value], users: dict[Value, list[Any]], count: int) -> list[int]:
    """The parts, those with equal activations together, in the order of their first."""
    kinds = [""] * count
    for part in parts:
        kinds[part.attrs["index"]] = _activation(part, users) or f"#{part.attrs['index']}"
    return sorted(range(count), key=lambda i: kinds.index(kinds[i]))


def _permutable(value: Value, user: Value, users: dict[Value, list[Any]], carried: set[Value]) -> bool:
    """Whether the columns of a sum of products can be reordered in the weights."""
    if value not in carried and not _varies(value):
        return bool(value.shape)
    if users.get(value) != [user]:
        return False
    if value.op == "add":
        return all(
            isinstance(a, Value) and a.shape and a.shape[-1] == value.shape[-1] and _permutable(a, value, users, carried)
            for a in value.args
        )
    right = value.args[1] if value.op == "matmul" else None
    return isinstance(right, Value) and len(right.shape) == 2 and not _varies(right)


def _varies(value: Value) -> bool:
    """Whether a value depends on inputs or states."""
    return value.op in ("x", "state") or any(_varies(a) for a in value.inputs)


def _permuted(tracer: Tracer, made: list[Value], value: Value, order: list[int], carried: set[Value]) -> Value:
    if not _varies(value):
        return _reordered(tracer, made, value, order)
    if value.op == "add":
        sides = [_permuted(tracer, made, a, order, carried) for a in value.args]
        return _apply(tracer, made, "add", *sides)
    left, right = value.args
    return _apply(tracer, made, "matmul", left, _reordered(tracer, made, right, order))


def _reordered(tracer: Tracer, made: list[Value], weight: Value, order: list[int]) -> Value:
    axis, width = len(weight.shape) - 1, weight.shape[-1] // len(order)
    at = tuple(range(width, weight.shape[-1], width))
    blocks = _several(tracer, made, "split", weight, at=at, axis=axis)
    joined = _apply(tracer, made, "concatenate", *[blocks[i] for i in order], axis=axis)
    joined.label = weight.label
    return joined


# --- when the backward pass is known ----------------------------------------------------------------


def merge(body: Body, adjoint: Adjoint | None) -> None:
    """Activate equal neighbours in one call, in blocks: gates `(batch, 4 · units)` are kept as `(4, batch, units)`.

    The addition that computes the pre-activations writes them into blocks, so that each gate lies in one piece.
    """
    values = [*body.values, *(adjoint.values if adjoint else [])]
    ends: list[Value] = [*body.outputs, *body.new_states]
    if adjoint:
        ends += [v for parts in (*adjoint.states, *adjoint.constants) for v in parts]
    users = _users(values, ends)
    carried = dependents(body.values, body.states)
    made: list[Value] = []
    for value in body.values:
        if value.op == "split" and value in carried and _equal_parts(value):
            made += _merged(value, users)
        elif value not in made:
            made.append(value)
    body.values = made
    if adjoint is not None:
        _spread(adjoint)


def _merged(split: Value, users: dict[Value, list[Any]]) -> list[Value]:
    """The split and what follows from it, with the parts of a group kept together."""
    count, (batch, width) = len(split.shape), split.shape[0]
    parts: list[Value | None] = [None] * count
    for part in users.get(split, []):
        parts[part.attrs["index"]] = part
    made: list[Value] = []
    source = split.args[0]
    blocks = (
        source.op == "add"
        and users.get(source) == [split]
        and all(isinstance(a, Value) and a.shape == source.shape and a.op in ("add", "matmul") for a in source.args)
    )
    if blocks:
        views = []
        for a in source.args:
            cut = Value("reshape", (a,), {"shape": (batch, count, width)}, (batch, count, width), a.dtype)
            views.append(Value("transpose", (cut,), {"axes": (1, 0, 2)}, (count, batch, width), a.dtype))
            made += [cut, views[-1]]
        total = Value("add", tuple(views), {}, (count, batch, width), source.dtype)
        total.label = source.label
        made.append(total)
        split.args = (total,)
    groups: list[list[Value]] = []
    kinds = ["" if p is None else _activation(p, users) for p in parts]
    bounds: list[int] = []
    for i in range(count):
        if i == 0 or not kinds[i] or kinds[i] != kinds[i - 1]:
            bounds.append(i)
    bounds.append(count)
    axis, unit = (0, 1) if blocks else (1, width)
    split.attrs = {"at": tuple(b * unit for b in bounds[1:-1]), "axis": axis}
    shapes = []
    made.append(split)
    for k, (a, b) in enumerate(zip(bounds, bounds[1:], strict=False)):
        shape = (b - a, batch, width) if blocks else (batch, (b - a) * width)
        shapes.append(shape)
        group = Value("part", (split,), {"index": k}, shape, source.dtype)
        group.label = "_".join(p.label for p in parts[a:b] if p is not None and p.label)
        made.append(group)
        whole = group
        if kinds[a]:
            whole = Value(kinds[a], (group,), {}, shape, source.dtype)
            whole.label = group.label
            made.append(whole)
        attrs: dict[str, Any] = {"axis": 0}
        if not blocks:
            attrs = {"axis": 1, "at": tuple(range(width, (b - a) * width, width))}
        opened = Value("unstack" if blocks else "split", (whole,), attrs, ((batch, width),) * (b - a), source.dtype)
        made.append(opened)
        for j, part in enumerate(parts[a:b]):
            if part is None:
                continue
            target = users[part][0] if kinds[a] else part
            target.label = target.label or part.label
            target.op, target.args, target.attrs = "part", (opened,), {"index": j}
            made.append(target)
    split.shape = tuple(shapes)
    groups.clear()
    return made


def _spread(adjoint: Adjoint) -> None:
    """Gradients of neighbouring gates with one base, as one product with their factors in a block."""
    sources = [c for cs in adjoint.carries for c in cs]
    carried = dependents(adjoint.values, sources)
    ends = [v for parts in (*adjoint.states, *adjoint.constants) for v in parts] + [v for v in adjoint.xs if v]
    users = _users(adjoint.values, ends)
    made: list[Value] = []
    for value in adjoint.values:
        if value.op == "concatenate" and value in carried and value.attrs["axis"] == 1 and len(value.shape) == 2:
            value.args = tuple(_grouped(value, users, carried, made))
        made.append(value)
    used = {a for v in made for a in v.inputs} | set(ends)
    adjoint.values[:] = [v for v in made if v in used]


def _grouped(
    joined: Value, users: dict[Value, list[Any]], carried: set[Value], made: list[Value]
) -> list[Any]:
    result: list[Any] = []
    late: list[Value] = []
    run: list[tuple[Any, Value, Value]] = []

    def flush() -> None:
        if len(run) < 2:
            result.extend(a for a, _, _ in run)
        else:
            n, (batch, width), dtype = len(run), run[0][0].shape, joined.dtype
            block = Value("stack", tuple(f for _, _, f in run), {"axis": 0}, (n, batch, width), dtype)
            block.label = "_".join(f"{a.label}" for a, _, _ in run if a.label) + f"_by_{run[0][1].label or 'base'}"
            product = Value("multiply", (run[0][1], block), {}, (n, batch, width), dtype, True)
            rows = Value("rows", (product,), {}, (batch, n * width), dtype, True)
            rows.label = "_".join(a.label for a, _, _ in run if a.label)
            made.extend([block, product, rows])
            result.append(rows)
            opened = Value("unstack", (product,), {"axis": 0}, ((batch, width),) * n, dtype)
            made.append(opened)
            for j, (a, _, _) in enumerate(run):  # for those who read it elsewhere
                a.op, a.args, a.attrs = "part", (opened,), {"index": j}
                late.append(a)
        run.clear()

    for a in joined.args:
        found = None
        if isinstance(a, Value) and a.op == "multiply" and _after(a, joined, users, made):
            for base, factor in (a.args, a.args[::-1]):
                if isinstance(base, Value) and base in carried and isinstance(factor, Value) and factor not in carried:
                    if base.shape == factor.shape == a.shape:
                        found = (a, base, factor)
        if found is None:
            flush()
            result.append(a)
            continue
        if run and (run[0][1] is not found[1] or run[0][0].shape != found[0].shape):
            flush()
        run.append(found)
    flush()
    for a in late:
        made.remove(a)
        made.append(a)
    return result


def _after(a: Value, joined: Value, users: dict[Value, list[Any]], made: list[Value]) -> bool:
    """Whether nobody needs a piece before the concatenation."""
    others = [u for u in users.get(a, []) if u is not joined]
    return "result" not in others and not any(u in made for u in others)
