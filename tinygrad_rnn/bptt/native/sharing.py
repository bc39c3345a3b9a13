"""How two threads share a loop: each makes a part of every result, and they meet where one reads the other's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...native.lanes import ALIGNED
from .lowering import Action
from .operands import shared

Pair = tuple[Action, Action | None]  # of one thread and of the other

# By these a step takes so many microseconds on one thread, about.
PRODUCTS, ELEMENTS = 50_000, 3_000
WORTH_A_STEP, WORTH_A_LOOP = 25, 500  # microseconds from which on it is shared


def worth(actions: Sequence[Action], length: int) -> bool:
    """Whether two threads take less time than one for so many steps."""
    step = sum(_microseconds(a) for a in actions)
    return bool(actions) and step >= WORTH_A_STEP and step * length >= WORTH_A_LOOP


def _microseconds(a: Action) -> float:
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
    """A stack by its matrices, such as strips of a weight; others by columns: each thread reads half a weight."""
    *stack, rows, columns = a.shape
    sizes = [i for i, size in enumerate(stack) if size > 1]
    if sizes:
        axis = next((i for i in sizes if stack[i] == examples), sizes[0])
        return _along(a, axis - len(a.shape), stack[axis])
    left, right, out = a.operands
    if columns >= 4 * ALIGNED:
        cut = columns // 2 // ALIGNED * ALIGNED
        parts = [[left, right.seen((..., s)), out.seen((..., s))] for s in (slice(cut), slice(cut, None))]
    elif rows > 1:
        cut = rows // 2
        parts = [
            [left.seen((..., s, slice(None))), right, out.seen((..., s, slice(None)))]
            for s in (slice(cut), slice(cut, None))
        ]
    else:
        return a, None
    return a._replace(operands=parts[0]), a._replace(operands=parts[1])


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


def meetings(pairs: Sequence[Pair], backwards: bool) -> list[bool]:
    """Before which calls the two threads have to meet, as one reads or writes what the other wrote or read."""
    steps = range(min(3, len(pairs[0][0].operands[-1].found)))
    order = [*reversed(steps)] if backwards else [*steps]
    meets = [False] * len(pairs)
    while True:
        before = list(meets)
        since: list[tuple[Pair, int]] = []  # the calls since they last met
        for k in order:
            for i, pair in enumerate(pairs):
                if meets[i] or any(_conflict(other, at, pair, k) for other, at in since):
                    meets[i] = True
                    since = []
                since.append((pair, k))
        if meets == before:
            return meets


def _conflict(first: Pair, k: int, second: Pair, later: int) -> bool:
    """Whether a call of one thread touches what an earlier one of the other wrote, or writes what it read."""
    for one, other in ((first[0], second[1]), (first[1], second[0])):
        if one is None or other is None:
            continue
        *reads, wrote = [o.found[k] for o in one.operands]
        *later_reads, writes = [o.found[later] for o in other.operands]
        if any(_common(wrote, v) for v in (*later_reads, writes)) or any(_common(v, writes) for v in reads):
            return True
    return False


def _common(a: Any, b: Any) -> bool:
    return a.base is b.base and shared(a, b)
