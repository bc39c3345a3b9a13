"""Tensors from values, sizes and ranges: convert_to_tensor, zeros, ones, full, eye, arange."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import floatx
from ..core.arrays import to_array
from ..core.op import Array
from ..core.tensor import Tensor
from .elementwise import cast


def convert_to_tensor(x: Any, dtype: Any = None) -> Tensor:
    """`x` as a Tensor: itself if it is one (cast if `dtype` differs), else a copy.

    >>> convert_to_tensor([1.0]).dtype.name
    'float32'
    """
    from_user = x if isinstance(x, Tensor) else Tensor(to_array(x, dtype), None)
    return from_user if dtype is None else cast(from_user, dtype)


def convert_to_numpy(x: Any) -> Array:
    """`x` as a NumPy array (read-only if it comes from a Tensor).

    >>> convert_to_numpy(convert_to_tensor([1.0]))
    array([1.], dtype=float32)
    """
    return np.asarray(x)


def zeros(shape: Any, dtype: Any = None) -> Tensor:
    """Tensor of zeros.

    >>> zeros((2,)).tolist()
    [0.0, 0.0]
    """
    return Tensor(np.zeros(shape, dtype or floatx()), None)


def ones(shape: Any, dtype: Any = None) -> Tensor:
    """Tensor of ones.

    >>> ones((2,)).tolist()
    [1.0, 1.0]
    """
    return Tensor(np.ones(shape, dtype or floatx()), None)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """Tensor of one value.

    >>> full((2,), 3.0).tolist()
    [3.0, 3.0]
    """
    return Tensor(np.full(shape, np.asarray(fill_value), dtype or floatx()), None)


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros of the shape and dtype of `x`.

    >>> zeros_like([1.0, 2.0]).tolist()
    [0.0, 0.0]
    """
    array = x if isinstance(x, Tensor) else to_array(x)
    return Tensor(np.zeros(array.shape, dtype or array.dtype), None)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Ones of the shape and dtype of `x`.

    >>> ones_like(zeros((2,))).tolist()
    [1.0, 1.0]
    """
    array = x if isinstance(x, Tensor) else to_array(x)
    return Tensor(np.ones(array.shape, dtype or array.dtype), None)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """One value in the shape and dtype of `x`.

    >>> full_like(zeros((2,)), 3.0).tolist()
    [3.0, 3.0]
    """
    array = x if isinstance(x, Tensor) else to_array(x)
    return full(array.shape, fill_value, dtype or array.dtype)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """`N` rows and `M` (default: as many) columns with 1 on diagonal `k`, 0 elsewhere: the identity matrix.

    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return Tensor(np.eye(N, M, k, dtype=dtype or floatx()), None)


def identity(n: int, dtype: Any = None) -> Tensor:
    """The identity matrix with `n` rows and columns.

    >>> identity(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return eye(n, dtype=dtype)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`, which is the last of them if `endpoint`.

    With `retstep` also their distance. Both ends may be arrays; the numbers then stand along `axis`.

    >>> linspace(0, 1, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    dtype = dtype or floatx()
    values, step = np.linspace(start, stop, num, endpoint=endpoint, retstep=True, dtype=dtype, axis=axis)
    made = Tensor(values, None)
    return (made, Tensor(np.asarray(step, floatx()), None)) if retstep else made


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """Evenly spaced values; integers stay integers, Python floats become `floatx()`.

    >>> arange(3).tolist()
    [0, 1, 2]
    """
    values = np.arange(start, stop, step) if stop is not None else np.arange(0, start, step)
    return Tensor(to_array(values.tolist() if values.dtype.kind == "f" else values, dtype), None)
