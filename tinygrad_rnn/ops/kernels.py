"""The kernel of `erf`, which NumPy has not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.op import Array

_erf_of_each = np.frompyfunc(math.erf, 1, 1)
# Of float32: erf x / x as a quotient of polynomials in x², the highest coefficient first (Eigen's and XLA's).
_ERF_ABOVE = (
    0.00022905065861350646,
    0.0034082910107109506,
    0.050955695062380861,
    0.18520832239976145,
    1.128379143519084,
)
_ERF_BELOW = (
    -1.1791602954361697e-7, 0.000023547966471313185, 0.0010179625278914885, 0.014070470171167667, 0.11098505178285362,
    0.49746925110067538, 1.0,
)  # fmt: skip


def erf(x: Array) -> Any:
    """The error function: of float64 the C library's, element by element.

    >>> erf(np.zeros(2)).tolist()
    [0.0, 0.0]
    """
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    if dtype.itemsize > 4:
        return np.asarray(_erf_of_each(x), dtype)
    x = np.clip(x.astype(np.float32), -3.832506856900711, 3.832506856900711)  # it is 1 beyond
    square = x * x
    y = x * _polynomial(_ERF_ABOVE, square) / _polynomial(_ERF_BELOW, square)
    return np.clip(y, -1.0, 1.0).astype(dtype, copy=False)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Any:
    y = coefficients[0] * x
    for coefficient in coefficients[1:-1]:
        y += coefficient
        y *= x
    y += coefficients[-1]
    return y
