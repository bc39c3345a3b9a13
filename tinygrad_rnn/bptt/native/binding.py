"""From the statements of a loop and its arrays to a list of calls for `calls.c`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .library import inner_loop, library, own_loop
from .parsing import PRODUCTS, UFUNCS, Expression, Parsed, Statement

# A call as `calls.c` reads it, in words of 8 bytes: where each part begins.
LOOP, ARRAYS, FIRST, BY_STEP, SIZES, STRIDES, OUTER, WORDS = 0, 2, 3, 7, 11, 17, 26, 34
MOST_ARRAYS = 4
OUTSIDE = 4  # of the sizes: those of the two axes outside the loop
MOST_AXES = 3
AT_ONCE = 256  # steps between two looks at what Python has to do, such as interrupts
LOOKED_FOR = 1000  # units of work in which NumPy looks for memory that two arrays share

Axes = list[tuple[int, list[int]]]  # size and strides of each, the innermost first


class Unbindable(ValueError):
    """Arrays lie in a way that inner loops do not take."""


class Bound:
    """A loop over certain arrays."""

    __slots__ = ("address", "backwards", "calls", "count", "given", "kept", "length", "turns")

    def __init__(
        self, calls: Any, turns: int, length: int, backwards: bool, given: list[Given], kept: Any
    ) -> None:
        self.calls, self.address, self.count = calls, _address(calls), len(calls) // turns
        self.turns, self.length, self.backwards = turns, length, backwards
        self.given, self.kept = given, kept  # what each run brings along; numbers as arrays

    def run(self, given: Sequence[Any]) -> bool:
        """Run all steps; False, and nothing is done, if what is given lies otherwise than what it was bound with."""
        if not all([known.is_like(a) for known, a in zip(self.given, given, strict=True)]):
            return False
        for known, a in zip(self.given, given, strict=True):
            known.follow(a, self.calls)
        run, length = library().run, self.length
        for done in range(0, length, AT_ONCE):
            end = min(done + AT_ONCE, length)
            if self.backwards:
                run(self.address, self.count, self.turns, length - 1 - done, length - 1 - end, -1)
            else:
                run(self.address, self.count, self.turns, done, end, 1)
        return True


class Given:
    """An array that may lie elsewhere the next time, and the words of the calls that say where."""

    __slots__ = ("address", "like", "words")

    def __init__(self, array: Any) -> None:
        self.like = array.shape, array.strides, array.dtype
        self.address = _address(array)
        self.words: list[tuple[int, int]] = []

    def is_like(self, array: Any) -> bool:
        """Whether an array has shape, strides and type of this one."""
        return (array.shape, array.strides, array.dtype) == self.like

    def follow(self, array: Any, calls: Any) -> None:
        """Let the calls read an array like this one."""
        address = _address(array)
        if address != self.address:
            by, self.address = address - self.address, address
            for word in self.words:
                calls[word] += by


class Operand(NamedTuple):
    """What an expression stands for: the arrays of some steps, or a number at all."""

    steps: list[int]
    found: list[Any]
    addresses: list[int]
    given: Given | None

    def place(self, turn: int, turns: int) -> tuple[int, int]:
        """Where it lies at step 0, and how far on at each, as the steps of one turn see it."""
        known = [(t, a) for t, a in zip(self.steps, self.addresses, strict=True) if t % turns == turn]
        if len(known) < 2:
            return (known[0][1], 0) if known else (self.addresses[0], 0)
        (t, here), (later, there) = known[:2]
        by = (there - here) // (later - t)
        return here - t * by, by

    def is_regular(self, turns: int) -> bool:
        """Whether that holds at all steps that are known."""
        places = [self.place(turn, turns) for turn in range(turns)]
        return all(
            places[t % turns][0] + t * places[t % turns][1] == a
            for t, a in zip(self.steps, self.addresses, strict=True)
        )


def bind(parsed: Parsed, names: dict[str, Any], length: int, backwards: bool, given: Sequence[str]) -> Bound:
    """The calls of a loop of so many steps; `given` are the names of arrays that each run brings along.

    Raises `Unbindable`.
    """
    if not all(isinstance(names[n], np.ndarray) for n in given):
        raise Unbindable("a list is given")
    arrays = {n: Given(names[n]) for n in given}
    names = {**UFUNCS, "np": np, **names}
    for name, code in parsed.temporaries.items():
        names[name] = np.array(eval(code, names, {"t": 0}))
    steps = sorted({*range(min(4, length)), length - 1})
    calls = [(s, [_operand(e, names, arrays, steps) for e in s.operands]) for s in parsed.statements]
    turns = next((n for n in (1, 2) if all(o.is_regular(n) for _, of in calls for o in of)), 0)
    if not turns:
        raise Unbindable("steps do not follow each other in memory")
    rows: list[Any] = []
    kept: list[Any] = []
    for turn in range(turns):
        for statement, of in calls:
            row = np.zeros(WORDS, np.int64)
            operands = _numbers_as_arrays(of, kept)
            if statement.axes is not None:
                operands = _reducing(operands, statement.axes)
            for k, operand in enumerate(operands):
                row[FIRST + k], row[BY_STEP + k] = operand.place(turn, turns)
                if operand.given is not None:
                    operand.given.words.append((len(rows), FIRST + k))
            _lower(statement, operands, row)
            rows.append(row)
    table = np.array(rows, np.int64).reshape(-1, WORDS)
    return Bound(table, turns, length, backwards, list(arrays.values()), kept)


def _operand(e: Expression, names: dict[str, Any], given: dict[str, Given], steps: list[int]) -> Operand:
    found = [eval(e.code, names, {"t": t}) for t in steps]
    if type(found[0]) is np.ndarray:
        return Operand(steps, found, [_address(a) for a in found], given.get(e.name))
    if isinstance(found[0], (bool, int, float, np.generic)):
        return Operand(steps, found, [0] * len(steps), None)
    raise Unbindable(f"an operand is a {type(found[0]).__name__}")


def _numbers_as_arrays(of: list[Operand], kept: list[Any]) -> list[Operand]:
    """Operands with numbers as arrays of the type of the others."""
    arrays = [o.found[0] for o in of if isinstance(o.found[0], np.ndarray)]
    for a in arrays:
        if not (a.flags.aligned and a.dtype.isnative and a.size):
            raise Unbindable("an array is not aligned, or empty")
    made = []
    for o in of:
        if not isinstance(o.found[0], np.ndarray):
            number = o.found[0]
            a = np.asarray(number, arrays[0].dtype)
            if a != number and number == number:
                raise Unbindable(f"{number} is no {a.dtype}")
            kept.append(a)
            o = Operand(o.steps, [a] * len(o.steps), [_address(a)] * len(o.steps), None)
        made.append(o)
    return made


def _reducing(of: list[Operand], axes: tuple[int, ...]) -> list[Operand]:
    """Result, argument and result again, where the result does not move along some axes."""
    x, y = of
    ndim = x.found[0].ndim
    reduced = {a % ndim for a in axes}
    if y.found[0].ndim != ndim:
        index = tuple([None if a in reduced else slice(None) for a in range(ndim)])
        y = y._replace(found=[v[index] for v in y.found])
    return [y, x, y]


def _lower(statement: Statement, of: list[Operand], row: Any) -> None:
    """Write the loop of a call with its sizes and strides."""
    function, reduces = statement.function, statement.axes is not None
    views = [o.found[0] for o in of]
    if function == "dot":
        if not all(map(_is_for_blas, views)):
            raise Unbindable("a matrix is copied before it is multiplied")
        function = np.matmul
    *inputs, out = of
    if out.given is not None:
        raise Unbindable("what is given is written over")
    for o in inputs[1:] if reduces else inputs:
        if _overlap(o, out, function not in PRODUCTS and not reduces):
            raise Unbindable("a result overlaps with what it is computed from")
    types = [v.dtype for v in views]
    if isinstance(function, str):
        if types[0] != types[-1] or types[1:-1] not in ([], [np.dtype(bool)]):
            raise Unbindable("a copy changes the type")
        loop = own_loop(function, out.found[0].itemsize)
    else:
        chars = [t.char for t in types]
        found = inner_loop(function, f"{''.join(chars[:-1])}->{chars[-1]}")
        if found is None or (chars[0] not in "fd" and (reduces or function in PRODUCTS)):
            raise Unbindable(f"{function.__name__} has no loop for these types")
        loop = found
    row[LOOP : LOOP + 2] = loop
    row[ARRAYS] = len(views)
    row[SIZES + OUTSIDE : SIZES + OUTSIDE + 2] = 1
    if function in PRODUCTS:
        _product(views, 2 if function is np.matmul else 1, row)
    else:
        shape = views[1 if reduces else -1].shape
        inner, *outer = _in_order(_axes(views, shape)) or [(1, [0] * len(views))]
        row[SIZES], row[STRIDES : STRIDES + len(views)] = inner
        _outside(outer, row)


def _product(views: list[Any], axes: int, row: Any) -> None:
    """A product of matrices, which have two axes, or of vectors, which have one."""
    a, b, y = views
    if min(a.ndim, b.ndim) < axes:
        raise Unbindable("a product of a matrix with a vector")
    core = (*a.shape[-axes:], *b.shape[b.ndim - axes + 1 :])
    result = (core[0], core[-1]) if axes == 2 else ()
    stack = y.shape[: y.ndim - len(result)]
    if a.shape[-1] != b.shape[-axes] or y.shape[len(stack) :] != result:
        raise Unbindable("a product of other shapes")
    rests = [v[(..., *[0] * n)] for v, n in ((a, axes), (b, axes), (y, len(result)))]
    first, *outer = _merged(_axes(rests, stack)) or [(1, [0, 0, 0])]
    strides = [*first[1], *a.strides[-axes:], *b.strides[-axes:], *y.strides[len(stack) :]]
    row[SIZES : SIZES + 1 + len(core)] = first[0], *core
    row[STRIDES : STRIDES + len(strides)] = strides
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
        row[SIZES + OUTSIDE + i] = size
        start = OUTER + MOST_ARRAYS * i
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
    if any(s < 0 for _, strides in found for s in strides):
        raise Unbindable("an axis is turned")
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


def _overlap(a: Operand, y: Operand, elementwise: bool) -> bool:
    """Whether a result shares memory with an argument, otherwise than element by element."""
    for one, other in zip(a.found, y.found, strict=True):
        if one.base is not other.base and a.given is None:
            continue
        same = one.shape == other.shape and one.strides == other.strides and _address(one) == _address(other)
        if (elementwise and same) or not np.may_share_memory(one, other):
            continue
        try:
            if np.shares_memory(one, other, max_work=LOOKED_FOR):  # type: ignore[arg-type]
                return True
        except np.exceptions.TooHardError:
            return True
    return False


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])
