"""What a function refers to: closures, defaults, globals, and the functions among these."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

from ...core.trace import USER, where
from .kinds import library

MISSING = object()  # what is not there
STORES = frozenset(dis.opmap[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR"))


def function_of(step: Any) -> Any:
    """The function behind a method or a partial."""
    called = getattr(step, "func", step)
    return getattr(called, "__func__", called)


def cells_of(function: FunctionType) -> Iterator[tuple[str, CellType]]:
    """What it closes over, by name."""
    return zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)


def content(cell: CellType, otherwise: Any = None) -> Any:
    """What a closure holds; `otherwise` if it was not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return otherwise


@lru_cache(1024)
def names_in(code: CodeType) -> tuple[list[str], list[str]]:
    """The globals and attributes that code names, and those that it assigns to; of functions inside it, too."""
    names, assigned = list(code.co_names), []
    if not STORES.isdisjoint(code.co_code[::2]):
        assigned = [one.argval for one in dis.get_instructions(code) if one.opcode in STORES]
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more, also = names_in(inner)
            names, assigned = names + more, assigned + also
    return list(dict.fromkeys(names)), list(dict.fromkeys(assigned))


def foreign(module: Any) -> bool:
    """Whether the module of this name comes with Python, or belongs to a library that nobody changes.

    >>> foreign("logging.handlers"), foreign("__main__")
    (True, False)
    """
    return library(module) or str(module).split(".")[0] in sys.stdlib_module_names


def _own(module: ModuleType) -> bool:
    """Whether a module is the user's: it was not installed, either."""
    return not foreign(module.__name__) and "site-packages" not in str(vars(module).get("__file__"))


def held_by(function: Any) -> list[tuple[str, Any]]:
    """The closure of a function, and its defaults."""
    found = [("a default argument", value) for value in function.__defaults__ or ()]
    found += (function.__kwdefaults__ or {}).items()
    return found + [(name, content(cell)) for name, cell in cells_of(function)]


def globals_of(function: Any) -> list[tuple[str, Any]]:
    """The globals that a function names."""
    module = function.__globals__
    return [(name, module[name]) for name in names_in(function.__code__)[0] if name in module]


def modules(function: Any) -> list[ModuleType]:
    """The user's modules that a function can use: it names them, or could take them out of these."""
    found: list[ModuleType] = []
    names = names_in(function.__code__)[0]
    waiting = [value for _, value in held_by(function) + globals_of(function)]
    for value in waiting:
        if issubclass(type(value), ModuleType) and value not in found and _own(value):
            found.append(value)
            waiting += [vars(value)[name] for name in names if name in vars(value)]
    return found


def in_modules(function: Any) -> list[tuple[str, Any]]:
    """What a function can take out of the user's modules, by the names that stand in it."""
    spaces = [(own.__name__, vars(own)) for own in modules(function)]
    names = names_in(function.__code__)[0]
    return [(f"{of}.{name}", inner[name]) for of, inner in spaces for name in names if name in inner]


def reached(step: Any, functions: list[Any]) -> Iterator[tuple[str, Any]]:
    """What the function refers to: its object, closure, defaults, and the globals that it names.

    Functions of the user's that it refers to are looked into as well; `functions` collects them.
    """
    owner = getattr(step, "__self__", None)
    if owner is not None:
        yield "self", owner
    function = function_of(step)
    if getattr(function, "__code__", None) is None:
        yield "self", step
        function = function_of(getattr(step, "__call__", None))  # noqa: B004
    if type(function) is not FunctionType or function in functions or len(functions) > 50:
        return
    if where(function.__code__) != USER:
        return
    functions.append(function)
    yield from (getattr(step, "keywords", None) or {}).items()  # of a partial
    yield from ((f"argument {i}", value) for i, value in enumerate(getattr(step, "args", ())))
    for name, value in held_by(function) + globals_of(function) + in_modules(function):
        if type(value) is FunctionType:
            yield from reached(value, functions)
        else:
            yield name, value
