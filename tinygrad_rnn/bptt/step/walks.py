"""Walks over the ops of a step: what a value was computed from, what is computed from it, who uses it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .body import Value


def ancestors(values: Iterator[Value] | Sequence[Value]) -> set[Value]:
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


def is_term(value: Value, users: dict[Value, list[Any]]) -> bool:
    """Whether a value is an addition and only a term of another one, of its shape and type."""
    found = users.get(value, [])
    only = found[0] if len(found) == 1 and isinstance(found[0], Value) else value
    same = only is not value and (only.shape, only.dtype) == (value.shape, value.dtype)
    return same and value.op == only.op == "add"


def users_of(values: Iterable[Value], ends: Iterable[Value]) -> dict[Value, list[Any]]:
    """Who uses each value; "result" for those that leave."""
    users: dict[Value, list[Any]] = {}
    for value in values:
        for a in value.inputs:
            users.setdefault(a, []).append(value)
    for end in ends:
        users.setdefault(end, []).append("result")
    return users
