"""How a statement is called in C: the inner loop of NumPy, its sizes and strides, for arrays that lie so."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...native.library import Call, InnerLoop, inner_loop, own_loop
from .operands import Operand, Unbindable, numbers_as_arrays, overlap
from .parsing import PRODUCTS, Statement

MOST_AXES = 3

Axes = list[tuple[int, list[int]]]  # size and strides of each, the innermost first


class Action(NamedTuple):
    """A statement with its operands, the last for the result; that of a reduction is the first, too."""

    function: np.ufunc | str
    operands: list[Operand]
    axes: tuple[int, ...] | None  # along which it reduces

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is computed; of what is reduced."""
        found: tuple[int, ...] = self.operands[-1 if self.axes is None else 1].found[0].shape
        return found

    @property
    def is_product(self) -> bool:
        """Whether it multiplies matrices or vectors."""
        return self.function in PRODUCTS


def action(statement: Statement, operands: list[Operand], kept: list[Any]) -> Action:
    """What a statement does to arrays; `kept` gets its numbers. Raises `Unbindable`."""
    function, axes = statement.function, statement.axes
    of = numbers_as_arrays(operands, function in ("copy", "choose"), kept)
    if function == "dot":
        if not all(_is_for_blas(o.found[0]) for o in of):
            raise Unbindable("a matrix is copied before it is multiplied")
        function = np.matmul
    if function in PRODUCTS and any(o.found[0].ndim < (2 if function is np.matmul else 1) for o in of[:2]):
        raise Unbindable("a product of a matrix with a vector")
    if axes is not None:
        of, axes = _reducing(of, axes)
    found = Action(function, of, axes)
    *inputs, out = of
    if out.given or not out.found[0].flags.writeable:
        raise Unbindable("what is given, or read-only, is written over")
    for o in inputs if axes is None else inputs[1:]:
        if overlap(o, out, axes is None and not found.is_product):
            raise Unbindable("a result overlaps with what it is computed from")
    return found


def _reducing(of: list[Operand], axes: tuple[int, ...]) -> tuple[list[Operand], tuple[int, ...]]:
    """Result, argument and result again, where the result does not move along some axes."""
    x, y = of
    ndim = x.found[0].ndim
    reduced = sorted({a % ndim for a in axes})
    if y.found[0].ndim != ndim:
        y = y.seen(tuple([None if a in reduced else slice(None) for a in range(ndim)]))
    return [y, x, y], tuple(reduced)


def lower(of: Action) -> Any:
    """A call but for where its arrays lie. Raises `Unbindable`."""
    row, views = np.zeros(Call.WORDS, np.int64), [o.found[0] for o in of.operands]
    row[Call.LOOP : Call.LOOP + 2] = _loop(of, [v.dtype for v in views])
    row[Call.ARRAYS] = len(views)
    row[Call.SIZES + Call.OUTSIDE : Call.SIZES + Call.OUTSIDE + 2] = 1
    if of.is_product:
        _product(views, 2 if of.function is np.matmul else 1, row)
    else:
        inner, *outer = _in_order(_axes(views, of.shape)) or [(1, [0] * len(views))]
        row[Call.SIZES], row[Call.STRIDES : Call.STRIDES + len(views)] = inner
        _outside(outer, row)
    return row


def _loop(of: Action, types: list[Any]) -> InnerLoop:
    if isinstance(of.function, str):
        if types[0] != types[-1] or types[1:-1] not in ([], [np.dtype(bool)]):
            raise Unbindable("a copy changes the type")
        return own_loop(of.function, types[-1].itemsize)
    chars = "".join([t.char for t in types])
    found = inner_loop(of.function, f"{chars[:-1]}->{chars[-1]}")
    if found is None or (chars[0] not in "fd" and (of.axes is not None or of.is_product)):
        raise Unbindable(f"{of.function.__name__} has no loop for these types")
    return found


def _product(views: list[Any], axes: int, row: Any) -> None:
    """A product of matrices, which have two axes, or of vectors, which have one."""
    a, b, y = views
    core = (*a.shape[-axes:], *b.shape[b.ndim - axes + 1 :])
    result = (core[0], core[-1]) if axes == 2 else ()
    stack = y.shape[: y.ndim - len(result)]
    if a.shape[-1] != b.shape[-axes] or y.shape[len(stack) :] != result:
        raise Unbindable("a product of other shapes")
    rests = [v[(..., *[0] * n)] for v, n in ((a, axes), (b, axes), (y, len(result)))]
    first, *outer = _merged(_axes(rests, stack)) or [(1, [0, 0, 0])]
    strides = [*first[1], *a.strides[-axes:], *b.strides[-axes:], *y.strides[len(stack) :]]
    row[Call.SIZES : Call.SIZES + 1 + len(core)] = first[0], *core
    row[Call.STRIDES : Call.STRIDES + len(strides)] = strides
    _outside(outer, row)


def _is_for_blas(matrix: Any) -> bool:
    """Whether BLAS takes a matrix as it lies: `dot` copies others, `matmul` multiplies them without BLAS."""
    (rows, columns), (down, along), size = matrix.shape, matrix.strides, matrix.itemsize
    by_rows = along == size and (down >= columns * size or rows == 1)
    by_columns = down == size and (along >= rows * size or columns == 1)
    return bool(by_rows or by_columns)


def _outside(axes: Axes, row: Any) -> None:
    if len(axes) > MOST_AXES - 1:
        raise Unbindable("too many axes")
    for i, (size, strides) in enumerate(axes):
        row[Call.SIZES + Call.OUTSIDE + i] = size
        start = Call.OUTER + Call.MOST_ARRAYS * i
        row[start : start + len(strides)] = strides


def _axes(views: list[Any], shape: tuple[int, ...]) -> Axes:
    """The axes of a result along which something moves, the last first."""
    made: Axes = []
    for i, size in enumerate(reversed(shape)):
        strides = []
        for v in views:
            own = v.shape[-1 - i] if i < v.ndim else 1
            if own not in (1, size):
                raise Unbindable("shapes that do not fit")
            strides.append(v.strides[-1 - i] if own > 1 else 0)
        if size > 1:
            made.append((size, strides))
    if any(v.ndim > len(shape) for v in views):
        raise Unbindable("more axes than the result")
    return made


def _in_order(axes: Axes) -> Axes:
    """The axes in the order in which NumPy goes along them: small strides inside, where the operands agree on it."""
    found: Axes = []
    for axis in axes:
        place = len(found)
        for i in range(len(found) - 1, -1, -1):
            pairs = [(abs(a), abs(b)) for a, b in zip(found[i][1], axis[1], strict=True) if a and b]
            if pairs and all(b < a for a, b in pairs):
                place = i
            elif pairs:
                break
        found.insert(place, axis)
    if any(min(strides) < 0 >= max(strides) for _, strides in found):  # which NumPy turns round
        raise Unbindable("an axis is gone along backwards")
    return _merged(found)


def _merged(axes: Axes) -> Axes:
    """Two axes as one where that is the same for all operands."""
    found: Axes = []
    for size, strides in axes:
        if found:
            inner, steps = found[-1]
            if all(s * inner == outer for s, outer in zip(steps, strides, strict=True)):
                found[-1] = inner * size, steps
                continue
        found.append((size, strides))
    return found
