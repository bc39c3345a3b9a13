"""How two threads share a loop: each makes a part of every result, and they meet where one reads the other's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.arrays import owner
from ...native.lanes import ALIGNED, address
from .lowering import Action
from .operands import shared

# Elements of a weight that both threads may read whole: it stays in the cache of each, and they need not meet.
SMALL_WEIGHT = 2**19

Pair = tuple[Action, Action | None]  # of one thread and of the other

# By these a step takes so many microseconds on one thread, about.
PRODUCTS, ELEMENTS = 50_000, 3_000
WORTH_A_STEP, WORTH_A_LOOP = 8, 500  # microseconds from which on it is shared


def worth(step: float, length: int) -> bool:
    """Whether two threads take less time than one for so many steps of so many microseconds."""
    return step >= WORTH_A_STEP and step * length >= WORTH_A_LOOP


def microseconds(a: Action) -> float:
    """What a call takes on one thread, about."""
    size = a.operands[-1].found[0].size
    if a.function is np.matmul:
        return float(size * a.operands[0].found[0].shape[-1] / PRODUCTS)
    return float(max(o.found[0].size for o in a.operands) / ELEMENTS)


def split(a: Action, examples: int) -> Pair:
    """The two parts of a call; the second is None if one thread does it all."""
    if a.function is np.matmul:
        return _product(a, examples)
    for axis, size in enumerate(a.shape):
        if size == examples > 1 and axis not in (a.axes or ()):
            return _along(a, axis - len(a.shape), size)
    return a, None


def _product(a: Action, examples: int) -> Pair:
    """By its rows, if the weight is small, or of each example; else by columns: each thread reads half a weight."""
    left, right, _ = (o.found[0] for o in a.operands)
    *stack, rows, columns = a.shape
    ndim = len(a.shape)
    moves = [axis for axis in range(-ndim, -2) if stack[axis + 2] > 1]  # of the stack
    of_right = [axis for axis in moves if right.ndim >= -axis and right.shape[axis] > 1]
    by_rows = [axis for axis in moves if axis not in of_right]  # some examples at a time
    if any(stack[axis + 2] == examples for axis in of_right):
        return _along(a, next(x for x in of_right if stack[x + 2] == examples), examples)
    if right.size <= SMALL_WEIGHT or not (of_right or columns >= 4 * ALIGNED):
        if by_rows:
            return _along(a, by_rows[0], stack[by_rows[0] + 2])
        if rows > 1:
            return _cut(a, rows // 2, lambda s: ((..., s, slice(None)), ..., (..., s, slice(None))))
    if of_right:
        return _along(a, of_right[-1], stack[of_right[-1] + 2])
    if columns >= 4 * ALIGNED:
        return _cut(a, columns // 2 // ALIGNED * ALIGNED, lambda s: (..., (..., s), (..., s)))
    return (_along(a, moves[0], stack[moves[0] + 2])) if moves else (a, None)


def _cut(a: Action, at: int, indices: Callable[[slice], tuple[Any, Any, Any]]) -> Pair:
    """Two parts of a product, with what belongs to each of its operands."""
    made = []
    for s in (slice(at), slice(at, None)):
        operands = [o.seen(index) for o, index in zip(a.operands, indices(s), strict=True)]
        made.append(a._replace(operands=operands))
    return made[0], made[1]


def _along(a: Action, axis: int, size: int) -> Pair:
    """Two parts along an axis, counted from the last one of the result."""
    more = 1 if a.function is np.vecdot else 0  # axes that the factors have besides
    made = []
    for s in (slice(size // 2), slice(size // 2, None)):
        operands = []
        for k, o in enumerate(a.operands):
            own = axis - more * (k < 2)
            moves = o.found[0].ndim >= -own and o.found[0].shape[own] == size
            operands.append(o.seen((..., s, *[slice(None)] * (-own - 1))) if moves else o)
        made.append(a._replace(operands=operands))
    return made[0], made[1]


def meetings(pairs: Sequence[Pair], steps: int, backwards: bool) -> list[bool]:
    """Before which calls the two threads have to meet, as one reads or writes what the other wrote or read.

    So many `steps` stand for all.
    """
    order = [*range(steps)][:: -1 if backwards else 1]
    touched = {k: [tuple([a and _Touched(a, k) for a in pair]) for pair in pairs] for k in order}
    meets = [False] * len(pairs)
    known: dict[Any, bool] = {}
    while True:
        before = list(meets)
        since: list[Any] = []  # what the calls touched since the threads last met
        for k in order:
            for i, (mine, theirs) in enumerate(touched[k]):
                if meets[i] or any(
                    _conflict(a, theirs, known) or _conflict(b, mine, known) for a, b in since
                ):
                    meets[i] = True
                    since = []
                since.append((mine, theirs))
        if meets == before:
            return meets


class _Touched:
    """What a call of one thread reads and writes at a step: whose memory that is, and where in it."""

    def __init__(self, a: Action, k: int) -> None:
        *self.reads, self.writes = [_View(o.found[k]) for o in a.operands]


class _View:
    """An array; two that say the same of themselves are the same."""

    def __init__(self, array: Any) -> None:
        self.array, self.owner = array, id(owner(array))
        self.key = address(array), array.shape, array.strides


def _conflict(first: _Touched | None, second: _Touched | None, known: dict[Any, bool]) -> bool:
    """Whether a call touches what an earlier one of the other thread wrote, or writes what that read."""
    if first is None or second is None:
        return False
    return any(_common(first.writes, v, known) for v in (*second.reads, second.writes)) or any(
        _common(v, second.writes, known) for v in first.reads
    )


def _common(a: _View, b: _View, known: dict[Any, bool]) -> bool:
    if a.owner != b.owner:
        return False
    pair = a.key, b.key
    if pair not in known:
        known[pair] = shared(a.array, b.array)
    return known[pair]
