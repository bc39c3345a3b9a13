"""Ops that bring numbers to one scale: normalization of layers, of lengths, and the moments that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import epsilon as fuzz
from .elementwise import maximum, rsqrt, square
from .linalg import norm
from .nn import known
from .reduce import axes_of, mean, var
from .shape import reshape, shape


def moments(x: Any, axes: Any, keepdims: bool = False) -> tuple[Any, Any]:
    """Mean and variance over `axes`.

    >>> [float(m) for m in moments([1.0, 3.0], 0)]
    [2.0, 1.0]
    """
    x = known(x)
    axes = tuple(axes) if isinstance(axes, (list, tuple)) else axes
    return mean(x, axes, keepdims), var(x, axes, keepdims)


def normalize(x: Any, axis: int = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """Vectors along `axis` divided by their norm of this `order` (1, 2, infinity), or by `epsilon`, if that is larger.

    `epsilon` is `tg.config.epsilon()`, if none is given.

    >>> normalize([0.0, 4.0]).tolist()
    [0.0, 1.0]
    """
    x = known(x)
    return x / maximum(norm(x, order, axis, keepdims=True), fuzz() if epsilon is None else epsilon)


def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: int | Sequence[int] = -1, epsilon: float | None = None
) -> Any:
    """`gamma · (x − mean) / √(variance + epsilon) + beta`, with mean and variance over `axis` (one, or several).

    `gamma` and `beta` have the lengths of these axes; without them x has mean 0 and variance 1 there. `epsilon` is
    `tg.config.epsilon()`, if none is given.

    >>> layer_normalization([1.0, 3.0]).round(4).tolist()
    [-1.0, 1.0]
    """
    x = known(x)
    axes = axes_of(x, axis if isinstance(axis, int) else tuple(axis), "layer_normalization")
    centred = x - mean(x, axes, keepdims=True)
    variance = mean(square(centred), axes, keepdims=True)
    y = centred * rsqrt(variance + (fuzz() if epsilon is None else epsilon))
    y = y if gamma is None else y * _along(gamma, x, axes)
    return y if beta is None else y + _along(beta, x, axes)


def rms_normalization(
    x: Any, scale: Any = None, axis: int | Sequence[int] = -1, epsilon: float | None = None
) -> Any:
    """`scale · x / √(mean of x² + epsilon)`, with the mean over `axis` (one, or several).

    `scale` has the lengths of these axes. `epsilon` is `tg.config.epsilon()`, if none is given.

    >>> rms_normalization([3.0, -3.0]).round(4).tolist()
    [1.0, -1.0]
    """
    x = known(x)
    axes = axes_of(x, axis if isinstance(axis, int) else tuple(axis), "rms_normalization")
    y = x * rsqrt(mean(square(x), axes, keepdims=True) + (fuzz() if epsilon is None else epsilon))
    return y if scale is None else y * _along(scale, x, axes)


def _along(weight: Any, x: Any, axes: Sequence[int]) -> Any:
    """A weight for these axes of x, with the axes that it is stretched over."""
    sizes = [n if i in axes else 1 for i, n in enumerate(shape(x))]
    return weight if len(axes) == 1 and axes[0] == len(sizes) - 1 else reshape(weight, sizes)
