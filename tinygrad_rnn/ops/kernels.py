"""The kernels of `power`, for which NumPy can take very long, and of `erf`, which it has not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.op import Array


def power(a: Any, b: Any) -> Any:
    """`np.power`, but a³ and a⁴ as products: with AVX-512 it takes a hundred times as long for negative numbers.

    >>> power(np.array([-2.0]), 3).tolist(), power(np.array([-2.0]), 4).tolist()
    ([-8.0], [16.0])
    """
    if np.ndim(b) or b not in (3, 4) or type(a) is not np.ndarray or a.dtype.kind not in "fc":
        return np.power(a, b)
    if np.result_type(a, b) != a.dtype:
        return np.power(a, b)
    square = a * a
    return square * (a if b == 3 else square)


_erf_of_each = np.frompyfunc(math.erf, 1, 1)
# Of float32: erf x / x as a quotient of polynomials in x², the highest coefficient first (Eigen's and XLA's).
ERF_ABOVE = [0.00022905066, 0.003408291, 0.050955694, 0.18520832, 1.1283792]
ERF_BELOW = [-1.1791603e-7, 2.3547966e-5, 0.0010179626, 0.01407047, 0.11098505, 0.49746925, 1.0]
ERF_END = 3.8325069  # it is 1 beyond


def erf(x: Array) -> Any:
    """The error function: of float64 the C library's, element by element.

    >>> erf(np.zeros(2)).tolist()
    [0.0, 0.0]
    """
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    if dtype.itemsize > 4:
        return np.asarray(_erf_of_each(x), dtype)
    near: Any = np.clip(x.astype(np.float32), -ERF_END, ERF_END)
    above, below = (np.polyval(np.array(c, near.dtype), near * near) for c in (ERF_ABOVE, ERF_BELOW))
    return np.clip(near * above / below, -1.0, 1.0).astype(dtype, copy=False)
