"""Two threads of our own in place of those of BLAS, which look for work for long, and cannot share a loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blas import OneThread, is_held, threads
from .library import Call, InnerLoop, inner_loop, library

MOST = 2
# Multiplications of a product that two threads share in less time than one takes: below, the helper may sleep.
WORTH_SHARING = 2**25
ALIGNED = 16  # columns: a part of a matrix begins at a multiple of so many


def lanes() -> int:
    """In how many threads this package computes: in two, where BLAS may have as many, and `calls.c` is compiled.

    >>> lanes() in (1, 2)
    True
    """
    return MOST if library() is not None and threads() >= MOST else 1


def threads_in_loops() -> int:
    """How many threads a product inside a loop has."""
    return 1 if is_held() or library() is not None else threads()


def small(a: Any, b: Any) -> bool:
    """Whether two threads would not multiply two matrices in less time than one."""
    return bool(a.size * b.shape[-1] < WORTH_SHARING)


def product(a: Any, b: Any, out: Any = None) -> Any:
    """`np.matmul(a, b, out)`, shared by two threads if these are two large matrices.

    >>> product(np.ones((2, 3)), np.ones((3, 2)))
    array([[3., 3.],
           [3., 3.]])
    """
    if a.ndim == b.ndim == 2 and not small(a, b) and a.shape[1] == b.shape[0] and lanes() > 1:
        loop = inner_loop(np.matmul, f"{a.dtype.char}{b.dtype.char}->{a.dtype.char}")
        y = np.empty((a.shape[0], b.shape[1]), a.dtype) if out is None else out
        if loop is not None and a.dtype.char in "fd" and _takes(a, b, y):
            _share(loop, a, b, y)
            return y
    return np.matmul(a, b, out=out)


def _takes(a: Any, b: Any, y: Any) -> bool:
    """Whether a product can be written into an array as it is computed."""
    if y.shape != (a.shape[0], b.shape[1]) or y.dtype != a.dtype:
        return False
    return not np.may_share_memory(y, a) and not np.may_share_memory(y, b)


def _share(loop: InnerLoop, a: Any, b: Any, y: Any) -> None:
    if b.shape[1] >= a.shape[0]:
        cut = b.shape[1] // 2 // ALIGNED * ALIGNED
        parts = [(a, b[:, s], y[:, s]) for s in (slice(cut), slice(cut, None))]
    else:
        cut = a.shape[0] // 2 // ALIGNED * ALIGNED
        parts = [(a[s], b, y[s]) for s in (slice(cut), slice(cut, None))]
    calls = np.zeros((2, Call.WORDS), np.int64)
    for row, views in zip(calls, parts, strict=True):
        row[Call.LOOP : Call.LOOP + 2] = loop
        row[Call.ARRAYS] = 3
        row[Call.FIRST : Call.FIRST + 3] = [address(v) for v in views]
        row[Call.SIZES : Call.SIZES + 6] = 1, *views[0].shape, views[1].shape[1], 1, 1
        row[Call.STRIDES + 3 : Call.STRIDES + 9] = [s for v in views for s in v.strides]
    at = address(calls)
    with OneThread():
        library().share(at, at + calls.strides[0], 1, 1, 0, 1, 1)


def address(array: Any) -> int:
    """Where the first element of an array lies."""
    return int(array.__array_interface__["data"][0])
