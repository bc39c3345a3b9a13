"""What a step function changes outside of itself: found out by looking at its surroundings before and after."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import CellType
from typing import Any

import numpy as np

from ..config import SeedGenerator, generator
from ..core.tensor import Tensor

Undo = Callable[[], None]


class Surroundings:
    """The lists, dicts, sets, random streams and counters that a step function can reach, as they are now.

    Attributes of the objects it is bound to or closes over are among them.
    """

    def __init__(self, step: Any) -> None:
        self.found: list[tuple[str, Any, Any, Callable[[Any], None]]] = []
        self.seen: set[int] = set()
        rng = generator()
        self._note("the package's random stream", lambda: rng.bit_generator.state, _state_setter(rng))
        for name, value in _reached(step):
            self._enter(name, value, 0)
        for cell_name, cell in _cells(step):
            if isinstance(content(cell), (int, float, str, Tensor, np.ndarray)):
                self._note(
                    f"the variable {cell_name!r}", functools.partial(content, cell), _cell_setter(cell)
                )

    def _note(self, name: str, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self.found.append((name, read, read(), write))

    def _enter(self, name: str, value: Any, depth: int) -> None:
        if id(value) in self.seen or depth > 4:
            return
        self.seen.add(id(value))
        if isinstance(value, (list, dict, set)):
            self._note(
                f"the {type(value).__name__} {name!r}", lambda: _copy(value), lambda old: _restore(value, old)
            )
            items = (
                value.items()
                if isinstance(value, dict)
                else enumerate(value)
                if isinstance(value, list)
                else ()
            )
            for key, item in list(items)[:100]:
                self._enter(f"{name}[{key!r}]", item, depth + 1)
        elif isinstance(value, SeedGenerator):
            self._note(
                f"the random stream {name!r}", lambda: value.state, lambda old: setattr(value, "state", old)
            )
        elif isinstance(value, np.random.Generator):
            self._note(f"the random stream {name!r}", lambda: value.bit_generator.state, _state_setter(value))
        elif (
            hasattr(value, "__dict__")
            and not isinstance(value, (type, Tensor))
            and not callable(getattr(value, "__code__", None))
        ):
            if type(value).__module__ in ("builtins", "numpy") or type(value).__name__ in (
                "module",
                "function",
            ):
                return
            inner = vars(value)
            if name != "self" or not isinstance(value, dict):
                self._note(f"an attribute of {name!r}", lambda: dict(inner), lambda old: _restore(inner, old))
            for key, item in list(inner.items()):
                if isinstance(item, (list, dict, set, SeedGenerator, np.random.Generator)) or hasattr(
                    item, "__dict__"
                ):
                    self._enter(f"{name}.{key}", item, depth + 1)

    def undo(self) -> str:
        """Put back what has changed since; say what it was, or nothing."""
        changed = ""
        for name, read, before, write in self.found:
            if not _same(read(), before):
                write(before)
                changed = changed or name
        return changed


def _state_setter(rng: np.random.Generator) -> Callable[[Any], None]:
    def write(state: Any) -> None:
        rng.bit_generator.state = state

    return write


def _cell_setter(cell: CellType) -> Callable[[Any], None]:
    def write(value: Any) -> None:
        cell.cell_contents = value

    return write


def _function(step: Any) -> Any:
    return getattr(getattr(step, "func", step), "__func__", getattr(step, "func", step))


def _cells(step: Any) -> Iterator[tuple[str, CellType]]:
    function = _function(step)
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


def _reached(step: Any) -> Iterator[tuple[str, Any]]:
    """What the function refers to: its object, its closure, and the globals that it names."""
    owner = getattr(step, "__self__", None)
    if owner is not None:
        yield "self", owner
    for name, cell in _cells(step):
        yield name, content(cell)
    function = _function(step)
    code = getattr(function, "__code__", None)
    module = getattr(function, "__globals__", {})
    for name in getattr(code, "co_names", ()):
        if isinstance(module.get(name), (list, dict, set, SeedGenerator, np.random.Generator)):
            yield name, module[name]


def _copy(value: Any) -> Any:
    return value.copy()


def _restore(value: Any, old: Any) -> None:
    if isinstance(value, list):
        value[:] = old
    else:
        value.clear()
        value.update(old)


def _same(a: Any, b: Any) -> bool:
    """Equal, where Tensors and arrays are equal if they are the same object."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (int, float, str, bool, set)):
        return bool(a == b)
    return False
