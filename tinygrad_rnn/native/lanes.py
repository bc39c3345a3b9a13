"""Two threads of our own in place of those of BLAS, which look for work for long, and cannot share a loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..blas import OneThread, is_held, threads
from .library import Call, inner_loop, library

MOST = 2
# Multiplications of a product that two threads share in less time than one takes.
WORTH_SHARING = 2**22
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


def product(a: Any, b: Any) -> Any:
    """`a @ b` of two matrices, shared by two threads if it is large.

    >>> product(np.ones((2, 3)), np.ones((3, 2)))
    array([[3., 3.],
           [3., 3.]])
    """
    fits = a.ndim == b.ndim == 2 and a.dtype == b.dtype and a.dtype.char in "fd" and a.shape[1] == b.shape[0]
    if fits and not small(a, b) and lanes() > 1:
        return _shared(a, b)
    return np.matmul(a, b)


def _shared(a: Any, b: Any) -> Any:
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)
    if b.shape[1] >= a.shape[0]:
        cut = b.shape[1] // 2 // ALIGNED * ALIGNED
        parts = [(a, b[:, s], y[:, s]) for s in (slice(cut), slice(cut, None))]
    else:
        cut = a.shape[0] // 2 // ALIGNED * ALIGNED
        parts = [(a[s], b, y[s]) for s in (slice(cut), slice(cut, None))]
    loop = inner_loop(np.matmul, "".join((a.dtype.char, b.dtype.char, "->", y.dtype.char)))
    if loop is None:
        return np.matmul(a, b)
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
    return y


def address(array: Any) -> int:
    """Where the first element of an array lies."""
    return int(array.__array_interface__["data"][0])
