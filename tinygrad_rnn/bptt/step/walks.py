"""Walks over the ops of a step: what a value was computed from, what is computed from it, who uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

from .body import Body, Value


def ancestors(values: Iterable[Value]) -> set[Value]:
    """The values and everything that they were computed from."""
    found: set[Value] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if value not in found:
            found.add(value)
            stack.extend(value.inputs)
    return found


def dependents(values: Sequence[Value], sources: Sequence[Value]) -> set[Value]:
    """The sources, and those of the values (in order) that were computed from them."""
    found = set(sources)
    for value in values:
        if any(a in found for a in value.inputs):
            found.add(value)
    return found


def in_order(values: Sequence[Value]) -> list[Value]:
    """The values, each after those of them that it was computed from, otherwise as they stand."""
    waiting, found = set(values), []
    for value in values:
        stack = [value]
        while stack:
            before = [a for a in stack[-1].inputs if a in waiting]
            if before:
                stack += before[::-1]
                continue
            last = stack.pop()
            if last in waiting:
                waiting.remove(last)
                found.append(last)
    return found


def inductive(body: Body, holds: Callable[[Value, set[Value]], bool]) -> set[Value]:
    """States and values with a property that states have as long as no step takes it from them.

    `holds(value, found)` says whether a value has it, if those found do.
    """
    states = dict(zip(body.states, body.new_states, strict=True))
    found = set(states)
    while True:
        for value in body.values:
            if holds(value, found):
                found.add(value)
        wrong = {state for state, new in states.items() if state in found and new not in found}
        if not wrong:
            return found
        found = {state for state in states if state in found and state not in wrong}


def preceded(values: Iterable[Value], before: Callable[[Value], list[Value]]) -> list[Value]:
    """The values, each behind the ops that are made for it."""
    return [new for value in values for new in (*before(value), value)]


def needed(values: Iterable[Value], ends: Iterable[Value]) -> list[Value]:
    """Those of the values that the ends were computed from, or are."""
    found = ancestors(ends)
    return [v for v in values if v in found]


def is_product(value: Any, varying: set[Value]) -> bool:
    """Whether a value is `x W` with a weight, a matrix that is not among the varying values."""
    right = value.args[1] if isinstance(value, Value) and value.op == "matmul" else None
    return isinstance(right, Value) and len(right.shape) == 2 and right not in varying


def add_up(total: Value, terms: Sequence[Any], add: Callable[[Any, Any], Any]) -> None:
    """Let a value be the sum of some terms, in their order; `add` makes the sums before it."""
    *before, last = terms
    if before:
        total.become("add", reduce(add, before), last)
    else:
        total.become("alias", last)


def joins_columns(value: Value) -> bool:
    """Whether a value is matrices side by side."""
    return value.op == "concatenate" and len(value.shape) == 2 and value.attrs["axis"] == 1


def terms_of(total: Value, inner: Callable[[Value], bool]) -> list[Any]:
    """The terms of an addition, with those of inner additions in their places."""
    found: list[Any] = []
    stack = list(total.args[::-1])
    while stack:
        a = stack.pop()
        if isinstance(a, Value) and inner(a):
            stack += a.args[::-1]
        else:
            found.append(a)
    return found


def only_user(value: Value, users: dict[Value, list[Any]]) -> Value | None:
    """The value that alone uses another one, once; None if there are more, or it is a result."""
    found = users.get(value, [])
    return found[0] if len(found) == 1 and isinstance(found[0], Value) else None


def activation_of(value: Value, users: dict[Value, list[Any]]) -> Value | None:
    """The function of single elements that alone uses a value, if there is one."""
    user = only_user(value, users)
    return user if user is not None and user.elementwise and len(user.args) == 1 else None


def is_term(value: Value, users: dict[Value, list[Any]]) -> bool:
    """Whether a value is an addition and only a term of another one, of its shape and type."""
    only = only_user(value, users)
    if only is None or value.op != "add" or only.op != "add":
        return False
    return (only.shape, only.dtype) == (value.shape, value.dtype)


def users_of(values: Iterable[Value], ends: Iterable[Value]) -> dict[Value, list[Any]]:
    """Who uses each value; "result" for those that leave."""
    users: dict[Value, list[Any]] = {}
    for value in values:
        for a in value.inputs:
            users.setdefault(a, []).append(value)
    for end in ends:
        users.setdefault(end, []).append("result")
    return users
