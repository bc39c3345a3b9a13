"""Square matrices and parts of matrices: systems of equations, the inverse, diagonals and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.autodiff import sum_to
from ..core.op import Array
from ..core.operands import known
from ..core.record import kernel, primitive
from .elementwise import where
from .indexing import getitem, pad
from .reduce import sum
from .shape import expand_dims, moveaxis, ndim, shape, squeeze, swapaxes


@kernel
def _solve(a: Array, b: Array) -> Any:
    return np.linalg.solve(a, b)


solve_op: Any = primitive(
    "solve", _solve,
    lambda g, y, a, b: sum_to(-(solve_op(swapaxes(a, -1, -2), g) @ swapaxes(y, -1, -2)), a.shape),
    lambda g, y, a, b: sum_to(solve_op(swapaxes(a, -1, -2), g), b.shape),
    reads="0y", strict=True, doc="y with a @ y = b;  ∂b = (aᵀ)⁻¹ g,  ∂a = −∂b yᵀ",
)  # fmt: skip


def solve(a: Any, b: Any) -> Any:
    """The x with `a @ x = b`, for matrices `a` (..., M, M) and `b` (..., M) or (..., M, N).

    Raises `ValueError` for a singular matrix.

    >>> solve(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    size = _square(a, "solve")
    vectors = ndim(b) == ndim(a) - 1
    if shape(b)[-1:] != size if vectors else shape(b)[-2:-1] != size:
        raise ValueError(f"solve: b of shape {shape(b)} does not fit matrices of shape {shape(a)}")
    return squeeze(solve_op(a, expand_dims(b, -1)), -1) if vectors else solve_op(a, b)


def inv(x: Any) -> Any:
    """The inverse of square matrices (..., M, M). `solve(a, b)` takes less time and rounds less than `inv(a) @ b`.

    >>> inv(np.array([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    x = known(x)
    return solve(x, np.broadcast_to(np.eye(*_square(x, "inv"), dtype=x.dtype), shape(x)))


def _square(x: Any, name: str) -> tuple[int, ...]:
    if ndim(x) < 2 or shape(x)[-2] != shape(x)[-1]:
        raise ValueError(f"{name}: expected square matrices, received shape {shape(x)}")
    return shape(x)[-1:]


def diag(x: Any, k: int = 0) -> Any:
    """A matrix with the vector `x` on diagonal `k`, 0 elsewhere; of a matrix, its diagonal `k`.

    >>> diag(np.array([1.0, 2.0])).tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    x = known(x)
    if ndim(x) == 1:
        matrix, above, below = _where(np.eye(shape(x)[0], dtype=bool), x), max(k, 0), max(-k, 0)
        return pad(matrix, ((below, above), (above, below))) if k else matrix
    if ndim(x) != 2:
        raise ValueError(f"diag: expected a vector or a matrix, received shape {shape(x)}")
    return diagonal(x, k)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the matrices along two axes, as the last axis.

    >>> diagonal(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 4.0]
    """
    x = moveaxis(known(x), (axis1, axis2), (-2, -1))
    rows, columns = np.nonzero(_eye(x, offset))
    return getitem(x, (..., rows, columns))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of `diagonal`.

    >>> float(trace(np.array([[1.0, 2.0], [3.0, 4.0]])))
    5.0
    """
    x = moveaxis(known(x), (axis1, axis2), (-2, -1))
    return sum(_where(_eye(x, offset), x), axis=(-2, -1))


def tril(x: Any, k: int = 0) -> Any:
    """Matrices (..., M, N) with 0 above diagonal `k`.

    >>> tril(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 0.0], [3.0, 4.0]]
    """
    x = known(x)
    return _where(np.tri(*_matrix(x, "tril"), k, bool), x)


def triu(x: Any, k: int = 0) -> Any:
    """Matrices (..., M, N) with 0 below diagonal `k`.

    >>> triu(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 2.0], [0.0, 4.0]]
    """
    x = known(x)
    return _where(~np.tri(*_matrix(x, "triu"), k - 1, bool), x)


def _eye(x: Any, offset: int) -> Array:
    rows, columns = shape(x)[-2:]
    return np.eye(rows, columns, offset, dtype=bool)


def _where(mask: Array, x: Any) -> Any:
    return where(mask, x, np.zeros((), x.dtype))


def _matrix(x: Any, name: str) -> tuple[int, int]:
    if ndim(x) < 2:
        raise ValueError(f"{name}: expected at least 2 axes, received shape {shape(x)}")
    rows, columns = shape(x)[-2:]
    return rows, columns
