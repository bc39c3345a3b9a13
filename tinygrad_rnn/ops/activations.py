"""Activations that few layers ask for, as compositions of ops; those of `nn.py` are the usual ones."""

from __future__ import annotations

from typing import Any

from ..core.operands import known
from .elementwise import absolute, clip, expm1, sqrt, where
from .nn import hard_sigmoid, relu, sigmoid, softplus, tanh
from .shape import split


def celu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, `alpha (e^(x / alpha) − 1)` below: ELU with a slope of 1 at 0 (Barron 2017).

    >>> import numpy as np
    >>> celu(np.array([-1.0, 2.0])).round(3).tolist()
    [-0.632, 2.0]
    """
    x = known(x)
    above = x > 0
    return where(above, x, alpha * expm1(where(above, 0.0, x) / alpha))


def relu6(x: Any) -> Any:
    """`min(max(x, 0), 6)`.

    >>> import numpy as np
    >>> relu6(np.array([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    y = relu(x)
    return where(y > 6.0, 6.0, y)


def hard_silu(x: Any) -> Any:
    """`x · hard_sigmoid(x)` (Howard et al. 2019).

    >>> import numpy as np
    >>> hard_silu(np.array([-4.0, 3.0])).tolist()
    [-0.0, 3.0]
    """
    x = known(x)
    return x * hard_sigmoid(x)


def hard_tanh(x: Any) -> Any:
    """`clip(x, −1, 1)`.

    >>> import numpy as np
    >>> hard_tanh(np.array([-4.0, 0.5])).tolist()
    [-1.0, 0.5]
    """
    return clip(x, -1.0, 1.0)


def log_sigmoid(x: Any) -> Any:
    """`ln sigmoid(x) = −softplus(−x)`.

    >>> import numpy as np
    >>> log_sigmoid(np.array([-1e4])).tolist()
    [-10000.0]
    """
    x = known(x)
    return -softplus(-x)


def glu(x: Any, axis: int = -1) -> Any:
    """`a · sigmoid(b)`, with a and b the halves of x along `axis` (Dauphin et al. 2017).

    >>> import numpy as np
    >>> glu(np.array([4.0, 0.0])).tolist()
    [2.0]
    """
    a, b = split(x, 2, axis=axis)
    return a * sigmoid(b)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| > `threshold`, else 0.

    >>> import numpy as np
    >>> hard_shrink(np.array([-1.0, 0.5])).tolist()
    [-1.0, 0.0]
    """
    x = known(x)
    return where(absolute(x) > threshold, x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by `threshold`; 0 where |x| ≤ `threshold`.

    >>> import numpy as np
    >>> soft_shrink(np.array([-1.0, 0.5])).tolist()
    [-0.5, 0.0]
    """
    x = known(x)
    return where(x > threshold, x - threshold, where(x < -threshold, x + threshold, 0.0))


def tanh_shrink(x: Any) -> Any:
    """`x − tanh x`.

    >>> import numpy as np
    >>> tanh_shrink(np.array([1.0])).round(4).tolist()
    [0.2384]
    """
    x = known(x)
    return x - tanh(x)


def squareplus(x: Any, b: float = 4.0) -> Any:
    """`(x + √(x² + b)) / 2` (Barron 2021).

    >>> import numpy as np
    >>> squareplus(np.array([0.0])).tolist()
    [1.0]
    """
    x = known(x)
    return 0.5 * (x + sqrt(x * x + b))


def sparse_plus(x: Any) -> Any:
    """0 up to −1, `(x + 1)² / 4` up to 1, x above.

    >>> import numpy as np
    >>> sparse_plus(np.array([-2.0, 0.0, 3.0])).tolist()
    [0.0, 0.25, 3.0]
    """
    x = known(x)
    return where(x <= -1, 0.0, where(x < 1, 0.25 * (x + 1.0) ** 2, x))


def sparse_sigmoid(x: Any) -> Any:
    """`clip((x + 1) / 2, 0, 1)` (Blondel et al. 2019).

    >>> import numpy as np
    >>> sparse_sigmoid(np.array([-2.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    x = known(x)
    return clip(0.5 * (x + 1.0), 0.0, 1.0)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it exceeds `threshold`, else `default_value`.

    >>> import numpy as np
    >>> threshold(np.array([1.0, 3.0]), 2.0, -1.0).tolist()
    [-1.0, 3.0]
    """
    x = known(x)
    return where(x > threshold, x, default_value)


hard_swish = hard_silu
