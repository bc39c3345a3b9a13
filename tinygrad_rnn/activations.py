"""Activation functions by name; most of them are ops."""

from __future__ import annotations

from typing import Any

from .ops import nn
from .ops.elementwise import exp, where
from .ops.nn import (
    elu,
    gelu,
    hard_sigmoid,
    leaky_relu,
    log_softmax,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
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
        y = nn.relu(x)
    else:
        y = where(x > threshold, x, negative_slope * (x - threshold))
    return y if max_value is None else where(y > max_value, max_value, y)


FUNCTIONS = {
    "linear": linear, "tanh": tanh, "sigmoid": sigmoid, "hard_sigmoid": hard_sigmoid, "relu": relu,
    "leaky_relu": leaky_relu, "elu": elu, "selu": selu, "gelu": gelu, "silu": silu, "swish": silu,
    "softplus": softplus, "softsign": softsign, "softmax": softmax, "log_softmax": log_softmax,
    "exponential": exponential,
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
