"""Which statements of a loop can be run without Python: calls of ufuncs and copies, between views of arrays."""

from __future__ import annotations

import ast
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

VIEWING = {"transpose", "swapaxes"}  # methods whose result is a view; that of `reshape` may be a copy
NUMBERS = {"t", "T", "N"}  # names that are numbers, also in indices


class Expression(NamedTuple):
    """A number, or a view of the array that has a name."""

    code: CodeType
    name: str


class Statement(NamedTuple):
    """One call: of a ufunc, or "copy" or "choose"."""

    function: np.ufunc | str
    operands: list[Expression]  # the last for the result


class Foreign(ValueError):
    """A statement is none of these."""


def parse(body: list[str]) -> tuple[list[Statement], list[str]]:
    """The statements of a loop over `t`, and the names that they read; raises `Foreign` for others."""
    trees = [_only(ast.parse(statement).body, statement) for statement in body]
    names = {n.id: None for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name)}
    statements = [s for tree, text in zip(trees, body, strict=True) for s in _statements(tree, text)]
    called = {n for n in names if isinstance(getattr(np, n, None), np.ufunc) or n == "dot"}
    return statements, [n for n in names if n not in {*NUMBERS, *called, "np"}]


def _only(found: list[ast.stmt], text: str) -> ast.stmt:
    if len(found) != 1:
        raise Foreign(text)
    return found[0]


def _statements(tree: ast.stmt, text: str) -> list[Statement]:
    match tree:
        case ast.Pass():
            return []
        case ast.Assign(targets=[ast.Subscript() as target], value=value):
            return [_statement("copy", [value, target], text)]
        case ast.Expr(ast.Call(func=ast.Name(id=name), args=args, keywords=[ast.keyword("out", out)])):
            return [_statement(_ufunc(name, text), [*args, out], text)]
        case ast.Expr(
            ast.Call(
                func=ast.Attribute(ast.Name("np"), name), args=args, keywords=[ast.keyword("out", out)]
            )
        ):
            return [_statement(_ufunc(name, text), [*args, out], text)]
        case ast.Expr(ast.Call(func=ast.Attribute(ast.Name("np"), "copyto"), args=[out, value], keywords=[])):
            return [_statement("copy", [value, out], text)]
        case ast.Expr(
            ast.Call(
                func=ast.Attribute(ast.Name("np"), "copyto"),
                args=[out, value],
                keywords=[ast.keyword("where", where)],
            )
        ):
            return [_statement("choose", [value, where, out], text)]
    raise Foreign(text)


def _ufunc(name: str, text: str) -> np.ufunc:
    found = np.matmul if name == "dot" else getattr(np, name, None)
    if not isinstance(found, np.ufunc) or found.nout != 1 or found.nin > 2:
        raise Foreign(text)
    if found.signature is not None and found is not np.matmul:
        raise Foreign(text)
    return found


def _statement(function: Any, operands: list[ast.expr], text: str) -> Statement:
    arrays = 1 if function == "copy" else 2 if function == "choose" else function.nin
    if len(operands) != arrays + 1 or not all(map(_is_view, operands)):
        raise Foreign(text)
    return Statement(function, [_expression(o) for o in operands])


def _expression(node: ast.expr) -> Expression:
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in NUMBERS]
    code = compile(ast.unparse(node), "<an operand>", "eval")
    return Expression(code, names[0] if names else "")


def _is_view(node: ast.expr) -> bool:
    """Whether an expression is a number, an array, or what may be a view of one."""
    match node:
        case ast.Name() | ast.Constant(bool() | int() | float()):
            return True
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float())):
            return True
        case ast.Attribute(value, "T"):
            return _is_view(value)
        case ast.Subscript(value, index):
            return _is_view(value) and _is_index(index)
        case ast.Call(ast.Attribute(value, method), args, []):
            return method in VIEWING and _is_view(value) and all(map(_is_index, args))
    return False


def _is_index(node: ast.expr) -> bool:
    """Whether an expression is made of numbers and slices, so that what it picks is a view."""
    known = ast.Tuple | ast.Slice | ast.Constant | ast.UnaryOp | ast.USub | ast.BinOp | ast.operator | ast.Load
    return all(
        n.id in NUMBERS if isinstance(n, ast.Name) else isinstance(n, known) for n in ast.walk(node)
    )
