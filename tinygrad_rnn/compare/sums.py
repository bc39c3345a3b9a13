"""Whether a sum over the steps is meant to be in a variable of a hand-written backward pass."""

from __future__ import annotations

import ast
from typing import Any

from ..viz.sites import targets_of


def starts_from_zeros(value: ast.expr, scope: ast.AST) -> bool:
    """Whether a variable, or the container that it is in, is filled with zeros somewhere in the function."""
    wanted = {ast.unparse(value)}
    if isinstance(value, ast.Subscript):
        wanted.add(ast.unparse(value.value))
    pairs = [pair for node in ast.walk(scope) for pair in targets_of(node)]
    return any(ast.unparse(target) in wanted and "zeros" in ast.unparse(made) for target, made, _ in pairs)


def overwritten(value: ast.expr, scope: Any, call: ast.AST) -> bool:
    """Whether a variable is made before the loop around a call, which overwrites it and reads it for the call alone.

    Then what was made before the loop serves nothing, unless a sum was to begin with it.
    """
    first, last = _lines(call)
    loops = [n for n in ast.walk(scope) if isinstance(n, (ast.For, ast.While))]
    loop = max((n for n in loops if n.lineno <= first <= _lines(n)[1]), key=lambda n: n.lineno, default=None)
    if loop is None or not isinstance(value, (ast.Name, ast.Attribute)):
        return False
    wanted, inside, before = ast.unparse(value), False, 0
    for node in ast.walk(scope):
        for target, made, _ in targets_of(node):
            names = [ast.unparse(part) for part in getattr(target, "elts", [target])]
            if wanted not in names:
                continue
            if isinstance(node, ast.AugAssign):
                return False
            line = node.lineno  # type: ignore[attr-defined]
            inside = inside or loop.lineno <= line <= _lines(loop)[1]
            nothing = isinstance(made, ast.Constant) and made.value is None
            if (
                line < loop.lineno
                and not nothing
                and not any(n.lineno <= line <= _lines(n)[1] for n in loops)
            ):
                before = max(before, line)
    read = [n.lineno for n in ast.walk(scope) if isinstance(n, type(value)) and _reads(n, wanted)]
    used = any(before < line <= _lines(loop)[1] and not first <= line <= last for line in read)
    return inside and before > 0 and not used


def _lines(node: Any) -> tuple[int, int]:
    """First and last line of a piece of syntax."""
    return node.lineno, node.end_lineno


def _reads(node: Any, wanted: str) -> bool:
    """Whether an expression is a variable that is read."""
    return isinstance(node.ctx, ast.Load) and ast.unparse(node) == wanted
