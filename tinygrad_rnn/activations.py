"""Activation functions by name: ops, and compositions of ops."""

from __future__ import annotations

from typing import Any

from . import ops
from .ops import (
    celu,
    elu,
    exp,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    tanh,
    tanh_shrink,
    where,
)  # fmt: skip
from .utils.registry import Registry

swish, exponential, threshold = silu, exp, ops.threshold


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


def gelu(x: Any, approximate: bool = False) -> Any:
    """`x Φ(x)`, with Φ the normal distribution; `approximate=True` takes the formula with tanh.

    >>> import numpy as np
    >>> gelu(np.array([1.0])).round(4).tolist()
    [0.8413]
    """
    return ops.gelu(x, approximate)


def mish(x: Any) -> Any:
    """`x · tanh(softplus x)` (Misra 2019).

    >>> import numpy as np
    >>> mish(np.array([1.0])).round(4).tolist()
    [0.8651]
    """
    return x * tanh(softplus(x))


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
