"""What runs loops: `calls.c`, if it was compiled when the package was installed; and the inner loops of ufuncs."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class _Ufunc(ctypes.Structure):
    """A ufunc as NumPy's C API declares it (`PyUFuncObject`), behind what all objects of CPython begin with."""

    _fields_ = [
        ("references", ctypes.c_ssize_t), ("kind", ctypes.c_void_p),
        ("nin", ctypes.c_int), ("nout", ctypes.c_int), ("nargs", ctypes.c_int), ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)), ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int), ("reserved", ctypes.c_int), ("name", ctypes.c_char_p),
    ]  # fmt: skip


class Call:
    """A call as `calls.c` reads it, in words of 8 bytes: where each part begins."""

    LOOP, ARRAYS, FIRST, BY_STEP, SIZES, STRIDES, OUTER, WAITS, WORDS = 0, 2, 3, 7, 11, 17, 26, 34, 35
    MOST_ARRAYS = 4
    OUTSIDE = 4  # of the sizes: those of the two axes outside the loop


class InnerLoop(NamedTuple):
    """Addresses of a function in C and of what it is called with."""

    function: int
    data: int


@functools.cache
def library() -> Any:
    """The compiled `calls.c`, None if there is none here, or NumPy is not laid out as expected.

    Nor is there one where the environment has `TINYGRAD_RNN_NATIVE=0`.
    """
    switched_off = os.environ.get("TINYGRAD_RNN_NATIVE") == "0"
    if switched_off or sys.implementation.name != "cpython" or not _is_laid_out(np.add):
        return None
    try:
        found = ctypes.CDLL(str(Path(__file__).with_name("calls.so")))
        found.run.argtypes = [ctypes.c_void_p, *[ctypes.c_ssize_t] * 5]
        found.share.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_ssize_t] * 5]
        found.run.restype = found.share.restype = None
        found.copy, found.choose  # noqa: B018
        return found if found.bytes_of_a_call() == 8 * Call.WORDS else None
    except (AttributeError, OSError):
        return None


def _is_laid_out(ufunc: np.ufunc) -> bool:
    """Whether a ufunc has in its memory what it says of itself."""
    try:
        found = _Ufunc.from_address(id(ufunc))
        said = (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes)
        same = (found.nin, found.nout, found.nargs, found.ntypes) == said
        return same and found.name == ufunc.__name__.encode()
    except (AttributeError, TypeError, ValueError):
        return False


@functools.cache
def inner_loop(ufunc: np.ufunc, types: str) -> InnerLoop | None:
    """That of a ufunc for types such as "ff->f", None if there is none."""
    if types not in ufunc.types or not _is_laid_out(ufunc):
        return None
    found, i = _Ufunc.from_address(id(ufunc)), ufunc.types.index(types)
    function = found.functions[i]
    return InnerLoop(function, found.data[i] or 0) if function else None


def own_loop(name: str, itemsize: int) -> InnerLoop:
    """`copy` or `choose`, for elements of a size."""
    function = ctypes.cast(getattr(library(), name), ctypes.c_void_p).value
    return InnerLoop(function or 0, itemsize)
