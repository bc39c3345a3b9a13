"""Which statements of a loop can be run without Python: calls of ufuncs, reductions and copies, between views."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from types import CodeType
from typing import NamedTuple

import numpy as np
from numpy._core import umath

NUMBERS = {"t", "T", "N"}  # names that are numbers, also in indices
_VIEWING = {"reshape", "transpose", "swapaxes"}  # methods whose result is a view, or may be one
_OPERATORS = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}
_INITIAL: dict[np.ufunc, int] = {np.add: 0, np.multiply: 1}
PRODUCTS = (np.matmul, np.vecdot)
UFUNCS = {n: f for n in dir(np) if isinstance(f := getattr(np, n), np.ufunc)}


class Expression(NamedTuple):
    """A number, or a view of the array that has a name; it may be a copy, if that cannot be seen so."""

    text: str
    code: CodeType
    name: str


class Statement(NamedTuple):
    """One call: of a ufunc, or "dot", "copy" or "choose"; `axes` are those along which a ufunc reduces."""

    function: np.ufunc | str
    operands: list[Expression]  # the last for the result
    axes: tuple[int, ...] | None = None


class Foreign(ValueError):
    """A statement is none of these."""


class Parsed(NamedTuple):
    """The statements of a loop, the names that they read, and what gives arrays for their intermediate results."""

    statements: list[Statement]
    names: list[str]
    temporaries: dict[str, CodeType]


def parse(body: list[str]) -> Parsed:
    """What the statements of a loop over `t` are; raises `Foreign` for others."""
    parser = _Parser()
    trees = [tree for text in body for tree in ast.parse(text).body]
    for tree in trees:
        try:
            parser.statement(tree)
        except Foreign as error:
            raise Foreign(ast.unparse(tree)) from error
    nodes = [node for tree in trees for node in ast.walk(tree)]
    called = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    names = {n.id: None for n in nodes if isinstance(n, ast.Name) and id(n) not in called}
    made = {*NUMBERS, *parser.temporaries, *parser.known_as, "np"}
    return Parsed(parser.statements, [n for n in names if n not in made], parser.temporaries)


class _Parser:
    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.temporaries: dict[str, CodeType] = {}
        self.known_as: dict[str, str] = {}  # names that the loop assigns to

    def statement(self, tree: ast.stmt) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                node.id = self.known_as.get(node.id, node.id)
        match tree:
            case ast.Pass():
                return
            case ast.Assign([ast.Name(name)], value) if not _is_view(value):
                result = self.temporary(value)
                self.known_as[name] = result.id
                return self.compute(value, result)
            case ast.Assign([ast.Subscript() as out], value):
                return self.compute(value, out)
            case ast.Expr(ast.Call(function, args, keywords)):
                words = {k.arg: k.value for k in keywords}
                if ast.unparse(function) == "np.copyto" and words.keys() <= {"where"}:
                    return self.copy(args[1], args[0], words.get("where"))
                if "out" in words:
                    call = ast.Call(function, args, [k for k in keywords if k.arg != "out"])
                    return self.compute(call, words["out"])
        raise Foreign

    def compute(self, node: ast.expr, out: ast.expr) -> None:
        """The statements that leave the value of an expression in a view."""
        if _is_view(node):
            return self.copy(node, out)
        match node:
            case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
                return self.call(_OPERATORS[type(operator)], [left, right], out)
            case ast.UnaryOp(ast.USub(), value):
                return self.call(np.negative, [value], out)
            case ast.Call(ast.Attribute(ast.Name("np"), "where"), [where, a, b], []):
                name = self.temporary(node)
                self.copy(b, name)
                self.copy(a, name, where)
                return self.copy(name, out)
            case ast.Call(ast.Attribute(function, "reduce"), [value], keywords):
                return self.reduce(_ufunc(function), value, out, {k.arg: k.value for k in keywords})
            case ast.Call(ast.Attribute(ast.Name("np"), "sum"), [value], keywords):
                return self.reduce(np.add, value, out, {k.arg: k.value for k in keywords})
            case ast.Call(ast.Name("dot"), [a, b], []):
                self.statements.append(Statement("dot", [self.operand(a), self.operand(b), _view(out)]))
                return
            case ast.Call(function, args, []):
                return self.call(_ufunc(function), args, out)
        raise Foreign

    def call(self, function: np.ufunc, args: Sequence[ast.expr], out: ast.expr) -> None:
        if (
            function.nin != len(args)
            or function.nout != 1
            or (function.signature and function not in PRODUCTS)
        ):
            raise Foreign
        self.statements.append(Statement(function, [*map(self.operand, args), _view(out)]))

    def copy(self, value: ast.expr, out: ast.expr, where: ast.expr | None = None) -> None:
        if where is None:
            self.statements.append(Statement("copy", [self.operand(value), _view(out)]))
        else:
            self.statements.append(
                Statement("choose", [self.operand(value), self.operand(where), _view(out)])
            )

    def reduce(
        self, function: np.ufunc, value: ast.expr, out: ast.expr, words: dict[str | None, ast.expr]
    ) -> None:
        try:
            found = {k: eval(ast.unparse(v), {"np": np}) for k, v in words.items()}
        except NameError:
            raise Foreign from None
        axis, initial = found.pop("axis", None), found.pop("initial", _INITIAL.get(function))
        found.pop("keepdims", None)
        if axis is None or initial is None or found:  # of a largest element the first is taken: not so easily
            raise Foreign
        axes = tuple([int(a) for a in np.atleast_1d(axis)])
        x, y = self.operand(value), _view(out)
        self.statements.append(Statement("copy", [_view(ast.Constant(initial)), y]))
        self.statements.append(Statement(function, [x, y], axes))

    def operand(self, node: ast.expr) -> Expression:
        if _is_view(node):
            return _view(node)
        name = self.temporary(node)
        self.compute(node, name)
        return _view(name)

    def temporary(self, node: ast.expr) -> ast.Name:
        name = f"intermediate_{len(self.temporaries)}"
        self.temporaries[name] = _code(node)
        return ast.Name(name)


def _ufunc(node: ast.expr) -> np.ufunc:
    match node:
        case ast.Name("clip") | ast.Attribute(ast.Name("np"), "clip"):
            return umath.clip  # type: ignore[attr-defined,no-any-return]
        case ast.Name(name) | ast.Attribute(ast.Name("np"), name) if name in UFUNCS:
            return UFUNCS[name]
    raise Foreign


def _code(node: ast.expr) -> CodeType:
    return compile(ast.unparse(node), "<a view>", "eval")


def _view(node: ast.expr) -> Expression:
    if not _is_view(node):
        raise Foreign
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in {*NUMBERS, "np"}]
    return Expression(ast.unparse(node), _code(node), names[0] if names else "")


def _is_view(node: ast.expr) -> bool:
    """Whether an expression is a number, an array, or a view of one."""
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
            return method in _VIEWING and _is_view(value) and all(map(_is_index, args))
    return False


def _is_index(node: ast.expr) -> bool:
    """Whether an expression is made of numbers and slices, so that what it picks is a view."""
    known = (
        ast.Tuple | ast.Slice | ast.Constant | ast.UnaryOp | ast.USub | ast.BinOp | ast.operator | ast.Load
    )
    return all(n.id in NUMBERS if isinstance(n, ast.Name) else isinstance(n, known) for n in ast.walk(node))
