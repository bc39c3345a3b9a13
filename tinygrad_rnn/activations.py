"""Activation functions by name: ops, and compositions of ops."""

from __future__ import annotations

from typing import Any

from . import ops
from .ops import (
    absolute,
    clip,
    elu,
    exp,
    expm1,
    hard_sigmoid,
    leaky_relu,
    log_softmax,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    split,
    sqrt,
    tanh,
    where,
)  # fmt: skip
from .utils.registry import Registry

swish, exponential = silu, exp


def linear(x: Any) -> Any:
    """`x` itself: no activation.

    >>> linear(2.0)
    2.0
    """
    return x


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """`max(x, 0)`; in general x above `threshold`, `negative_slope · (x − threshold)` below.

    `max_value` limits the result from above.

    >>> import numpy as np
    >>> relu(np.array([-1.0, 2.0])).tolist(), relu(np.array([-1.0, 9.0]), 0.5, 6.0).tolist()
    ([0.0, 2.0], [-0.5, 6.0])
    """
    if threshold == 0 and negative_slope == 0:
        y = ops.relu(x)
    else:
        y = where(x > threshold, x, negative_slope * (x - threshold) if negative_slope else 0.0)
    return y if max_value is None else where(y > max_value, max_value, y)


def relu6(x: Any) -> Any:
    """`min(max(x, 0), 6)`.

    >>> import numpy as np
    >>> relu6(np.array([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return relu(x, max_value=6.0)


def gelu(x: Any, approximate: bool = False) -> Any:
    """`x Φ(x)`, with Φ the normal distribution; `approximate=True` takes the formula with tanh.

    >>> import numpy as np
    >>> gelu(np.array([1.0])).round(4).tolist()
    [0.8413]
    """
    return ops.gelu(x, approximate)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, `alpha (e^(x / alpha) − 1)` below: ELU with a slope of 1 at 0 (Barron 2017).

    >>> import numpy as np
    >>> celu(np.array([-1.0, 2.0])).round(3).tolist()
    [-0.632, 2.0]
    """
    above = x > 0
    return where(above, x, alpha * expm1(where(above, 0.0, x) / alpha))


def hard_silu(x: Any) -> Any:
    """`x · hard_sigmoid(x)` (Howard et al. 2019).

    >>> import numpy as np
    >>> hard_silu(np.array([-4.0, 3.0])).tolist()
    [-0.0, 3.0]
    """
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
    return -softplus(-x)


def mish(x: Any) -> Any:
    """`x · tanh(softplus x)` (Misra 2019).

    >>> import numpy as np
    >>> mish(np.array([1.0])).round(4).tolist()
    [0.8651]
    """
    return x * tanh(softplus(x))


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
    return where(absolute(x) > threshold, x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by `threshold`; 0 where |x| ≤ `threshold`.

    >>> import numpy as np
    >>> soft_shrink(np.array([-1.0, 0.5])).tolist()
    [-0.5, 0.0]
    """
    return where(x > threshold, x - threshold, where(x < -threshold, x + threshold, 0.0))


def tanh_shrink(x: Any) -> Any:
    """`x − tanh x`.

    >>> import numpy as np
    >>> tanh_shrink(np.array([1.0])).round(4).tolist()
    [0.2384]
    """
    return x - tanh(x)


def squareplus(x: Any, b: float = 4.0) -> Any:
    """`(x + √(x² + b)) / 2` (Barron 2021).

    >>> import numpy as np
    >>> squareplus(np.array([0.0])).tolist()
    [1.0]
    """
    return 0.5 * (x + sqrt(x * x + b))


def sparse_plus(x: Any) -> Any:
    """0 up to −1, `(x + 1)² / 4` up to 1, x above.

    >>> import numpy as np
    >>> sparse_plus(np.array([-2.0, 0.0, 3.0])).tolist()
    [0.0, 0.25, 3.0]
    """
    return where(x <= -1, 0.0, where(x < 1, 0.25 * (x + 1.0) ** 2, x))


def sparse_sigmoid(x: Any) -> Any:
    """`clip((x + 1) / 2, 0, 1)` (Blondel et al. 2019).

    >>> import numpy as np
    >>> sparse_sigmoid(np.array([-2.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return clip(0.5 * (x + 1.0), 0.0, 1.0)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it exceeds `threshold`, else `default_value`.

    >>> import numpy as np
    >>> threshold(np.array([1.0, 3.0]), 2.0, -1.0).tolist()
    [-1.0, 3.0]
    """
    return where(x > threshold, x, default_value)


hard_swish = hard_silu
FUNCTIONS = {
    "linear": linear, "tanh": tanh, "sigmoid": sigmoid, "hard_sigmoid": hard_sigmoid, "relu": relu,
    "leaky_relu": leaky_relu, "elu": elu, "selu": selu, "gelu": gelu, "silu": silu, "swish": silu,
    "softplus": softplus, "softsign": softsign, "softmax": softmax, "log_softmax": log_softmax,
    "exponential": exponential, "relu6": relu6, "celu": celu, "hard_silu": hard_silu, "hard_swish": hard_swish,
    "hard_tanh": hard_tanh, "log_sigmoid": log_sigmoid, "mish": mish, "glu": glu, "hard_shrink": hard_shrink,
    "soft_shrink": soft_shrink, "tanh_shrink": tanh_shrink, "squareplus": squareplus, "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
}  # fmt: skip
REGISTRY = Registry("activation", aliases=FUNCTIONS)
serialize = REGISTRY.serialize


def get(identifier: Any) -> Any:
    """The function that a name means; None is `linear`, a callable is itself.

    Raises `ValueError` with the nearest known name for an unknown one.

    >>> get(None) is linear, get("swish") is silu, serialize(tanh)
    (True, True, 'tanh')
    """
    return linear if identifier is None else REGISTRY.get(identifier)


def deserialize(config: Any) -> Any:
    """The function that `serialize` wrote down.

    >>> deserialize("tanh") is tanh
    True
    """
    return get(config)
