"""From the call path of a recorded op to the variable that its result was assigned to."""

from __future__ import annotations

import bisect
import dis
import functools
from types import CodeType
from typing import Any

from ..core.op import Node, Port
from ..core.trace import Path


def names_of(node: Node) -> tuple[str, ...]:
    """The variables to which the value of a node was assigned; none outside `trace()`."""
    return assigned_to(_path(node), node.index if isinstance(node, Port) else None)


def held_by(node: Node) -> tuple[str, ...]:
    """The variable in which `trace()` saw the value of a node later, if any."""
    seen = getattr(getattr(node, "trace", None), "name", None)
    return (seen,) if seen else ()


def place_of(node: Node) -> Any:
    """The place in the source where a node was made."""
    return tuple((code, _after(code, at)) for code, at in _path(node))


def _path(node: Node) -> Path:
    owner: Any = node.parent if isinstance(node, Port) else node
    return owner.trace.path if hasattr(owner, "trace") else ()


def assigned_to(path: Path, index: int | None = None) -> tuple[str, ...]:
    """The variables to which the result of a call path was assigned, innermost frame first.

    What a function returns at once is looked up where it was called: `h` in `h = cell(x, h)`. `index` is the
    number of the output of an op that has several: `f` is number 1 in `i, f = split(z, 2)`.

    >>> import sys
    >>> def cell():
    ...     return tuple((f.f_code, f.f_lasti) for f in (sys._getframe(), sys._getframe(1)))
    >>> h = cell(); assigned_to(h)
    ('h',)
    """
    for code, at in path:
        names: list[str] = []
        unpacked = False
        for instruction in _instructions(code)[_after(code, at) :]:
            kind, name = instruction.opname, instruction.argval
            if kind.startswith("STORE_") and isinstance(name, (str, tuple)):
                stores = kind.count("STORE_")  # Python 3.13 stores two at once, or stores and loads
                names += [name] if isinstance(name, str) else name[:stores]
            elif kind == "UNPACK_SEQUENCE":
                unpacked = True
            elif kind != "COPY":
                break
        if names or kind != "RETURN_VALUE":
            if unpacked != (index is not None):
                return ()
            return tuple(names if index is None else names[index : index + 1])
    return ()


@functools.lru_cache(maxsize=256)
def _instructions(code: CodeType) -> list[dis.Instruction]:
    return list(dis.get_instructions(code))


@functools.lru_cache(maxsize=256)
def _offsets(code: CodeType) -> list[int]:
    return [instruction.offset for instruction in _instructions(code)]


def _after(code: CodeType, at: int) -> int:
    """Number of the first instruction after an offset, which may lie in the cache of an instruction."""
    return bisect.bisect_right(_offsets(code), at)
