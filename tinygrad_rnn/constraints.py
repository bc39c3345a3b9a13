"""Projections of weights, applied to their arrays after every update: norms and signs kept in bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from .config import epsilon
from .core.op import Array
from .utils.registry import Registry, Serializable


class Constraint(Serializable):
    """Base: an object that turns the array of a weight into the nearest allowed one, of the same shape.

    >>> class Clipped(Constraint):
    ...     def __call__(self, w):
    ...         return np.clip(w, -1, 1)
    >>> Clipped()(np.array([3.0, 0.5])).tolist()
    [1.0, 0.5]
    """

    def __call__(self, w: Any) -> Array:
        """The allowed array for the weight `w`."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, w)")


def _lengths(w: Array, axis: Any) -> Array:
    axes = tuple(axis) if isinstance(axis, list) else axis
    norms: Array = np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True))
    return norms


class MinMaxNorm(Constraint):
    """Bring the length n of the vectors along `axis` into `[min_value, max_value]`.

    `w · (rate · clip(n, min, max) + (1 − rate) · n) / (ε + n)`; a `rate` below 1 goes part of the way.

    >>> MinMaxNorm(1.0, 2.0)(np.array([[3.0], [4.0]])).round(3).tolist()
    [[1.2], [1.6]]
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        """The allowed array for the weight `w`."""
        w = np.asarray(w)
        n = _lengths(w, self.axis)
        desired = self.rate * np.clip(n, self.min_value, self.max_value) + (1 - self.rate) * n
        allowed: Array = w * (desired / (epsilon() + n))
        return allowed


class MaxNorm(MinMaxNorm):
    """Shorten the vectors along `axis` that are longer than `max_value`: `w · clip(n, 0, max) / (ε + n)`.

    >>> MaxNorm(2)(np.array([[3.0], [4.0]])).round(3).tolist()
    [[1.2], [1.6]]
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        super().__init__(max_value=max_value, axis=axis)


class UnitNorm(Constraint):
    """Give the vectors along `axis` length 1: `w / (ε + n)`.

    >>> UnitNorm()(np.array([[3.0], [4.0]])).round(3).tolist()
    [[0.6], [0.8]]
    """

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Array:
        """The allowed array for the weight `w`."""
        w = np.asarray(w)
        allowed: Array = w / (epsilon() + _lengths(w, self.axis))
        return allowed


class NonNeg(Constraint):
    """Set negative elements to 0.

    >>> NonNeg()(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __call__(self, w: Any) -> Array:
        """The allowed array for the weight `w`."""
        allowed: Array = np.maximum(np.asarray(w), 0)
        return allowed


max_norm, min_max_norm, unit_norm, non_neg = MaxNorm, MinMaxNorm, UnitNorm, NonNeg  # Keras's second names
REGISTRY = Registry("constraint", [MaxNorm, MinMaxNorm, UnitNorm, NonNeg])
get, deserialize, serialize = REGISTRY.get, REGISTRY.get, REGISTRY.serialize
