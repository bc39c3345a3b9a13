"""From call paths to source: the line that an op comes from, the expression that it stands for, and its variable."""

from __future__ import annotations

import ast
import dis
import functools
import linecache
import os
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

from ..core.trace import USER, Path, Traced, where

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_CORE, _OPS, _DRAWINGS, _LAYERS = (
    os.path.join(_HOME, part) + os.sep for part in ("core", "ops", "viz", "layers")
)
_AUTODIFF = f"{_CORE}autodiff.py"
_OPERATORS = (_CORE, f"{_OPS}__init__", f"{_OPS}protocols")  # on the way of an op that is called directly

Span = tuple[int, int, int, int]  # first and last line, first and last column, as in `code.co_positions()`


def origin(path: Path) -> tuple[CodeType, int] | None:
    """The user's line that an op comes from.

    That of the layer if the user's code is not on the way, or has only asked for the drawing of a model.
    """
    inner = ""
    for code, at in path:
        if where(code) == USER:
            if not inner.startswith(_DRAWINGS):
                return code, at
            break
        inner = code.co_filename
    return next(
        (frame for frame in path if frame[0].co_filename.startswith(_LAYERS)), path[0] if path else None
    )


def of_backward(kept: Traced) -> bool:
    """Whether an op was recorded by a backward pass with `create_graph=True`: the path says nothing about it."""
    return any([code.co_filename == _AUTODIFF for code, _ in kept.inner])


def composite(kept: Traced) -> Path:
    """The way inside a composite function, innermost frame first; () for an op that the path calls itself."""
    return tuple([frame for frame in kept.inner if not frame[0].co_filename.startswith(_OPERATORS)])


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):  # no Python file: there is nothing to be known about it
        return ast.Module([], [])


def parsed(file: str) -> ast.Module:
    """A file's syntax tree; empty if there is none."""
    return _parsed("".join(linecache.getlines(file)))


@functools.lru_cache(maxsize=256)
def tree_of(code: CodeType) -> ast.Module:
    """The parsed file that a function stands in; empty if there is none."""
    return parsed(code.co_filename)


@functools.lru_cache(maxsize=256)
def _positions(code: CodeType) -> tuple[Any, ...]:
    return tuple(code.co_positions())


def position(code: CodeType, offset: int) -> Span | None:
    """Where in the source an instruction comes from."""
    line, end, column, stop = _positions(code)[offset // 2]
    return None if None in (line, end, column, stop) else (line, end, column, stop)


def line_of(code: CodeType, offset: int) -> int:
    """The line of an instruction, or that of its function if it is not known."""
    found = position(code, offset)
    return found[0] if found else code.co_firstlineno


def span(node: Any) -> Span:
    """The range of a node of the syntax tree."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def text_of(code: CodeType, offset: int) -> str:
    """The expression that an instruction belongs to, in one line; "" if it is not known."""
    where = position(code, offset)
    found = where and expressions(tree_of(code)).get(where)
    return ast.unparse(found) if found else ""


@functools.lru_cache(maxsize=64)
def expressions(tree: ast.Module) -> dict[Span, ast.AST]:
    """Every expression by its range."""
    return {span(node): node for node in ast.walk(tree) if isinstance(node, (ast.expr, ast.AugAssign))}


@functools.lru_cache(maxsize=64)
def _names(tree: ast.Module) -> dict[Span, tuple[str, ...]]:
    """For every expression that is assigned: the name, or the names of its parts."""
    found: dict[Span, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        for target, value, whole in targets_of(node):
            names = [label(t) or "" for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
            for made in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
                found.setdefault(span(made), tuple(names))
            if whole:
                found.setdefault(span(node), tuple(names))
    return found


def targets_of(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """Target and value of what a statement assigns; whether its op has the span of the statement."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            pair = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            if pair and len(target.elts) == len(node.value.elts):  # type: ignore[attr-defined]
                for part in zip(target.elts, node.value.elts, strict=True):  # type: ignore[attr-defined]
                    yield *part, False
            else:
                yield target, node.value, False
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield node.target, node.value, isinstance(node, ast.AugAssign)


def label(target: ast.expr) -> str | None:
    """The name of a variable, an attribute, a container's key, or the container."""
    if isinstance(target, ast.Subscript):
        key = target.slice
        text = isinstance(key, ast.Constant) and isinstance(key.value, str)
        return key.value if text else label(target.value)  # type: ignore[attr-defined]
    return getattr(target, "id", None) or getattr(target, "attr", None)


def assigned(code: CodeType, offset: int) -> tuple[str, ...]:
    """The variables that the result of an instruction was assigned to; none if it was used otherwise."""
    if not tree_of(code).body:  # code from a prompt: the instructions know the names as well
        return _stored(code).get(offset, ())
    where = position(code, offset)
    return _names(tree_of(code)).get(where, ()) if where else ()


@functools.lru_cache(maxsize=256)
def _stored(code: CodeType) -> dict[int, tuple[str, ...]]:
    """For every instruction whose result goes into variables at once, their names; known without the source."""
    found: dict[int, tuple[str, ...]] = {}
    steps = [step for step in dis.get_instructions(code) if step.opname != "COPY"]  # as in a = b = f()
    for i, step in enumerate(steps[:-1]):
        unpacks = steps[i + 1].opname == "UNPACK_SEQUENCE"
        count = steps[i + 1].argval if unpacks else 1
        names: list[str] = []
        for after in steps[i + 1 + unpacks :]:
            if len(names) >= count or not after.opname.startswith(_STORES):
                break
            names += [after.argval] if isinstance(after.argval, str) else after.argval
        if names and len(names) >= count:
            inside = range(step.offset, steps[i + 1].offset, 2)  # a call stands at one of its caches
            found |= dict.fromkeys(inside, tuple(names[:count]))
    return found


_STORES = ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")


class Spot(NamedTuple):
    """Where an instruction stands: `rank` in the order of evaluation, and the ranks of the loops around it."""

    rank: int
    loops: tuple[int, ...]  # outermost first


@functools.lru_cache(maxsize=64)
def _outline(tree: ast.Module) -> tuple[dict[Span, Spot], dict[Span, Spot]]:
    """The spots of expressions and statements, and those where a loop asks for its next element."""
    spots: dict[Span, Spot] = {}
    turns: dict[Span, Spot] = {}
    around: list[int] = []
    stack: list[Any] = [tree]
    rank = 0
    while stack:
        item = stack.pop()
        rank += 1
        if isinstance(item, ast.AST):
            stack += reversed([*_evaluated(item), (_LEFT, item)])
        elif item[0] is _ENTER:
            spots.setdefault(span(item[1]), Spot(rank, tuple(around)))  # where the iterator is made
            rank += 1
            around.append(rank)
            for node in item[1:]:
                turns.setdefault(span(node), Spot(rank, tuple(around)))
        elif item[0] is _EXIT:
            around.pop()
        elif hasattr(item[1], "lineno"):  # all parts of the node have been evaluated
            turning = isinstance(item[1], ast.Call) and ast.unparse(item[1].func) in _TURNING
            spots.setdefault(span(item[1]), Spot(rank, (*around, rank) if turning else tuple(around)))
    return spots, turns


_TURNING = {"sum", "map", "list", "tuple", "reduce", "functools.reduce", "accumulate", "itertools.accumulate"}
_ENTER, _EXIT, _LEFT = "a loop begins", "a loop ends", "all parts of a node have been evaluated"


def _evaluated(node: Any) -> Iterator[Any]:
    """The parts of a node in the order in which Python evaluates them, and where loops begin and end."""
    if isinstance(node, (ast.For, ast.AsyncFor)):
        yield from (node.iter, (_ENTER, node, node.iter), *node.body, (_EXIT,), *node.orelse)
    elif isinstance(node, ast.While):
        yield from ((_ENTER, node), node.test, *node.body, (_EXIT,), *node.orelse)
    elif hasattr(node, "generators"):  # a comprehension
        for part in node.generators:
            yield from (part.iter, (_ENTER, node, part.iter), *part.ifs)
        yield from [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        yield from [(_EXIT,)] * len(node.generators)
    else:
        yield from ast.iter_child_nodes(node)


def spot(code: CodeType, offset: int) -> Spot:
    """Where an instruction stands among the others; without its source, outside of all loops."""
    where = position(code, offset)
    spots, turns = _outline(tree_of(code))
    next_element = code.co_code[offset] == dis.opmap["FOR_ITER"]
    found = (turns if next_element else spots).get(where) if where else None
    return found or Spot(offset, ())
