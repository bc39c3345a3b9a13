"""Ops that bring numbers to one scale: normalization of layers, of lengths, and the moments that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import epsilon as fuzz
from ..core.operands import known
from .elementwise import maximum, rsqrt, square
from .linalg import norm
from .reduce import axes_of, mean, var
from .shape import ndim, reshape, shape


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
    return x / maximum(
        norm(x, None if order == 2 else order, axis, keepdims=True), fuzz() if epsilon is None else epsilon
    )


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
    y = y if gamma is None else y * along(gamma, x, axes)
    return y if beta is None else y + along(beta, x, axes)


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
    return y if scale is None else y * along(scale, x, axes)


def along(weight: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """A weight for these axes of x, in the shape in which it broadcasts over x."""
    n = ndim(x)
    if axes == tuple(range(n - len(axes), n)):
        return weight
    return reshape(weight, [size if i in axes else 1 for i, size in enumerate(shape(x))])
