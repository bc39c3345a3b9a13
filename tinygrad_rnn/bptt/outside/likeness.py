"""What decides whether a step that was looked at once may be another one now."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ref

from ...core.tensor import Tensor
from .kinds import library
from .reached import foreign, globals_of, held_by, in_modules

DEPTH = 3  # attributes of attributes, and functions of functions
BARE = {int, float, complex, bytes, list, tuple, dict, set, frozenset}  # of which the type is enough


def kind_of(step: Any) -> Any:
    """The code that a step can reach, switches, and types; these weakly, as a class may hold anything.

    Two steps of one kind are taken for one another, such as functions that are made anew for each call.
    """
    return _Kinds().of(step, DEPTH)


class _Kinds:
    """Looks at each class and function once."""

    def __init__(self) -> None:
        self.seen: set[Any] = set()

    def of(self, value: Any, depth: int) -> Any:
        """What a value is made of."""
        kind = type(value)
        function = value.__func__ if kind is MethodType else value
        if type(function) is FunctionType:
            held = [value.__self__] if kind is MethodType else []
            held += [v for _, v in held_by(function)]
            if depth and function not in self.seen:
                self.seen.add(function)
                if not library(function.__globals__.get("__name__")):
                    held += [v for _, v in globals_of(function) + in_modules(function)]
            code = function.__code__  # equal to that of another cell of a notebook
            return (code, code.co_filename, tuple([self.of(v, depth - 1) for v in held]) if depth else ())
        if kind is partial:  # it costs no depth: what it calls is the step
            return (kind, *[self.of(v, depth) for v in (value.func, *value.args, *value.keywords.values())])
        if value is None or kind in (bool, str):
            return value
        if kind in BARE:
            return kind
        if issubclass(kind, type):
            return (ref(value), self._methods(value))
        if issubclass(kind, (Tensor, ModuleType)):
            return ref(kind)
        inner = _shown(value) if depth else None
        items = () if inner is None else tuple([self.of(v, depth - 1) for v in list(inner.values())])
        return (ref(kind), self._methods(kind), items)

    def _methods(self, kind: type) -> tuple[Any, ...]:
        """Those that a user wrote; that it was reached through attributes costs them no depth."""
        if kind in self.seen:
            return ()
        found: list[Any] = []
        for one in (one for one in kind.__mro__ if one not in self.seen):
            self.seen.add(one)
            if not foreign(one.__module__):
                found += [self.of(f, DEPTH - 1) for v in list(vars(one).values()) for f in _functions(v)]
        return tuple(found)


def _functions(member: Any) -> Iterator[FunctionType]:
    """The functions behind an entry of a class."""
    inner = (member.fget, member.fset) if type(member) is property else (getattr(member, "__func__", member),)
    yield from (one for one in inner if type(one) is FunctionType)


def _shown(value: Any) -> dict[str, Any] | None:
    """The attributes of an object; None if it has none, or does not show them."""
    try:
        inner = value.__dict__
    except Exception:
        return None
    return inner if isinstance(inner, dict) else None
