"""What a function refers to: closures, defaults, globals, and the functions among these."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CellType, FunctionType, ModuleType
from typing import Any

from .kinds import library
from .tracer import PACKAGE


def function_of(step: Any) -> Any:
    """The function behind a method or a partial."""
    return getattr(getattr(step, "func", step), "__func__", getattr(step, "func", step))


def cells_of(step: Any) -> Iterator[tuple[str, CellType]]:
    """What it closes over, by name."""
    function = function_of(step)
    code = getattr(function, "__code__", None)
    yield from zip(
        getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=False
    )


def content(cell: CellType) -> Any:
    """What a closure holds; None if it was not assigned yet."""
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _installed(module: ModuleType) -> bool:
    """Whether a module comes with Python, or was installed: it is not the user's own."""
    path = str(vars(module).get("__file__"))
    return module.__name__.split(".")[0] in sys.stdlib_module_names or "site-packages" in path


def reached(step: Any, functions: list[Any]) -> Iterator[tuple[str, Any]]:
    """What the function refers to: its object, closure, defaults, and the globals that it names.

    Functions of the user's that it refers to are looked into as well; `functions` collects them.
    """
    owner = getattr(step, "__self__", None)
    if owner is not None:
        yield "self", owner
    function = function_of(step)
    code = getattr(function, "__code__", None)
    if code is None:
        yield "self", step
        function = function_of(getattr(step, "__call__", None))  # noqa: B004
        code = getattr(function, "__code__", None)
    if function in functions or len(functions) > 50 or (code and code.co_filename.startswith(PACKAGE)):
        return
    functions.append(function)
    for partial_name, value in getattr(step, "keywords", {}).items():
        yield partial_name, value
    yield from ((f"argument {i}", v) for i, v in enumerate(getattr(step, "args", ())))
    module = getattr(function, "__globals__", {})
    named = [("a default argument", value) for value in getattr(function, "__defaults__", None) or ()]
    named += (getattr(function, "__kwdefaults__", None) or {}).items()
    named += [(name, content(cell)) for name, cell in cells_of(function)]
    names = getattr(code, "co_names", ())
    named += [(name, module[name]) for name in names if name in module]
    for name, value in named[:]:
        if isinstance(value, ModuleType) and not library(value.__name__) and not _installed(value):
            named += [(f"{name}.{k}", vars(value)[k]) for k in names if k in vars(value)]
    for name, value in named:
        if isinstance(value, FunctionType):
            yield from reached(value, functions)
        else:
            yield name, value
