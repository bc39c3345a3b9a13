"""Reductions: sum, mean, product, extremes, variance, log-sum-exp, cumulative sums, arg-extremes.

`axis` is None (all axes), an int or a tuple; `keepdims` keeps reduced axes with length 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.op import Array
from ..core.record import kernel, primitive, quiet
from ..core.tensor import Tensor
from .elementwise import exp, no_leak, sqrt, where
from .shape import _axis, broadcast_to, expand_dims, flip, moveaxis, ndim, reshape, shape

SMALL = 2**16  # elements up to which filling an array costs less than NumPy's view of one number


def axes_of(x: Any, axis: Any, name: str) -> tuple[int, ...]:
    """The reduced axes as non-negative numbers in order; `name` is the op, for the error."""
    if axis is None:
        return tuple(range(ndim(x)))
    named = (axis,) if isinstance(axis, (int, np.integer)) else axis
    return tuple(sorted({_axis(int(a), ndim(x), name) for a in named}))


def keep_axes(value: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """The result of a reduction with its reduced axes back, of length 1."""
    return reshape(value, [1 if i in axis else n for i, n in enumerate(x.shape)])


def _sum_vjp(g: Any, y: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    if len(axis) == x.ndim and not isinstance(g, Tensor) and x.size < SMALL:
        part = np.empty(x.shape, g.dtype)
        part[...] = g
        return part
    return broadcast_to(keep_axes(g, x, axis), x.shape)


def _extreme_vjp(g: Any, y: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    hit = x == keep_axes(y, x, axis)
    return where(hit, keep_axes(g, x, axis) / sum(hit, axis=axis, keepdims=True).astype(x.dtype), 0)


def _prod_vjp(g: Any, y: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Product of the others, written without a division: exact where elements are 0."""
    (along,) = axis
    last = moveaxis(x, along, -1)
    n = last.shape[-1]
    others = prod(where(np.eye(n, dtype=bool), 1, expand_dims(last, -2)), axis=-1)
    return keep_axes(g, x, axis) * moveaxis(others, -1, along)


def _reduction(ufunc: np.ufunc) -> Any:
    """A kernel from a ufunc; integers keep NumPy's type."""

    def reduce(x: Array, axis: tuple[int, ...], keepdims: bool, out: Array | None = None) -> Any:
        return ufunc.reduce(x, axis=axis, keepdims=keepdims, out=out)

    return reduce


sum_op = primitive(
    "sum", _reduction(np.add), _sum_vjp,
    reads="", doc="y = Σ x;  ∂x = g, repeated",
)  # fmt: skip
max_op = primitive(
    "max",
    _reduction(np.maximum),
    _extreme_vjp,
    analytic=False,
    doc="y = max x;  ∂x = g, shared by ties equally",
)
min_op = primitive(
    "min",
    _reduction(np.minimum),
    _extreme_vjp,
    analytic=False,
    doc="y = min x;  ∂x = g, shared by ties equally",
)
prod_op = primitive(
    "prod", _reduction(np.multiply), _prod_vjp, reads="x", doc="y = Π x;  ∂x = g · the product of the others"
)
cumsum_op = primitive(
    "cumsum", lambda x, axis, out=None: np.cumsum(x, axis, out=out),
    lambda g, y, x, axis: flip(cumsum(flip(g, axis), axis), axis),
    reads="", doc="y_i = Σ_{j ≤ i} x_j;  ∂x_i = Σ_{j ≥ i} g_j",
)  # fmt: skip


@kernel
@quiet
def _logsumexp(x: Array, axis: tuple[int, ...], keepdims: bool) -> Any:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


def _logsumexp_vjp(g: Any, y: Any, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    g, y = keep_axes(g, x, axis), keep_axes(y, x, axis)
    return no_leak(g, g * exp(x - y))


logsumexp_op = primitive(
    "logsumexp", _logsumexp, _logsumexp_vjp, analytic=False, doc="y = ln Σ eˣ, stable;  ∂x = g · e^(x − y)"
)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum of the elements over `axis`.

    >>> sum(np.ones((2, 3)), axis=0).tolist()
    [2.0, 2.0, 2.0]
    """
    return sum_op(x, axis=axes_of(x, axis, "sum"), keepdims=keepdims)


def _count(x: Any, axes: tuple[int, ...]) -> int:
    """Number of elements that a reduction over `axes` joins."""
    return int(np.prod([shape(x)[a] for a in axes]))


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Arithmetic mean over `axis`; the mean of nothing is 0, not NaN.

    >>> float(mean(np.array([1.0, 2.0])))
    1.5
    """
    axes = axes_of(x, axis, "mean")
    return sum(x, axes, keepdims) / float(np.maximum(_count(x, axes), 1))


def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """Mean over `axis`, with `weights` of the shape of `x`, or of its length along one axis.

    >>> float(average(np.array([1.0, 3.0]), weights=np.array([3.0, 1.0])))
    1.5
    """
    if weights is None:
        return mean(x, axis)
    if shape(weights) != shape(x):
        along = axes_of(x, axis, "average")
        if len(along) != 1 or shape(weights) != (shape(x)[along[0]],):
            raise ValueError(
                f"average: weights of shape {shape(weights)} fit neither x of shape {shape(x)} nor axis {axis}"
            )
        weights = reshape(weights, [-1 if i in along else 1 for i in range(ndim(x))])
        weights = broadcast_to(weights, shape(x))
    return sum(x * weights, axis) / sum(weights, axis)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Variance over `axis`: the mean squared distance from the mean (divided by n, as NumPy and Keras).

    >>> float(var(np.array([1.0, 3.0])))
    1.0
    """
    centred = x - mean(x, axis, keepdims=True)
    return mean(centred * centred, axis, keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Standard deviation over `axis`: the root of `var`.

    >>> float(std(np.array([1.0, 3.0])))
    1.0
    """
    square = var(x, axis, keepdims)
    still = square == 0  # the gradient is 0 there, as that of `norm`, not 0 · inf
    return where(still, 0, sqrt(where(still, 1, square)))


def _nonempty(x: Any, axis: Any, name: str) -> tuple[int, ...]:
    axes = axes_of(x, axis, name)
    if _count(x, axes) == 0:
        raise ValueError(f"{name}: no elements to choose from along axis {axis} of shape {shape(x)}")
    return axes


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Largest element over `axis`; the gradient is shared equally by ties.

    >>> float(max(np.array([1.0, 3.0])))
    3.0
    """
    return max_op(x, axis=_nonempty(x, axis, "max"), keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Smallest element over `axis`; the gradient is shared equally by ties.

    >>> float(min(np.array([1.0, 3.0])))
    1.0
    """
    return min_op(x, axis=_nonempty(x, axis, "min"), keepdims=keepdims)


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Product over `axis`. The gradient is exact at zeros, at quadratic cost in the length.

    >>> float(prod(np.array([2.0, 3.0])))
    6.0
    """
    for a in reversed(axes_of(x, axis, "prod")):
        x = prod_op(x, axis=(a,), keepdims=keepdims)
    return x


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`ln Σ eˣ` over `axis`, without overflow.

    >>> round(float(logsumexp(np.array([1e4, 1e4]))), 3)
    10000.693
    """
    return logsumexp_op(x, axis=axes_of(x, axis, "logsumexp"), keepdims=keepdims)


def cumsum(x: Any, axis: Any = None) -> Any:
    """Running sums along `axis` (None: flattened).

    >>> cumsum(np.array([1.0, 2.0, 3.0])).tolist()
    [1.0, 3.0, 6.0]
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if not isinstance(axis, int):
        (axis,) = axis
    return cumsum_op(x, axis=_axis(axis, ndim(x), "cumsum"))


# --- without gradient -----------------------------------------------------------------------------

argmax_op = primitive(
    "argmax", kernel(lambda x, axis: np.argmax(x, axis)), None, reads="", doc="where the max is"
)
argmin_op = primitive(
    "argmin", kernel(lambda x, axis: np.argmin(x, axis)), None, reads="", doc="where the min is"
)
all_op = primitive("all", kernel(lambda x, axis, keepdims: np.all(x, axis, keepdims=keepdims)), None, reads="", doc="every element is true")  # noqa: E501  # fmt: skip
any_op = primitive("any", kernel(lambda x, axis, keepdims: np.any(x, axis, keepdims=keepdims)), None, reads="", doc="some element is true")  # noqa: E501  # fmt: skip


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the first largest element along `axis` (None: flattened).

    >>> int(argmax(np.array([1.0, 3.0, 3.0])))
    1
    """
    return _place(argmax_op(x, axis=axis), x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the first smallest element along `axis` (None: flattened).

    >>> argmin(np.array([[1.0, 0.0]]), axis=1, keepdims=True).tolist()
    [[1]]
    """
    return _place(argmin_op(x, axis=axis), x, axis, keepdims)


def _place(found: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    if not keepdims:
        return found
    return reshape(found, (1,) * ndim(x)) if axis is None else expand_dims(found, axis)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element over `axis` is true.

    >>> bool(all(np.array([True, False])))
    False
    """
    return all_op(x, axis=axes_of(x, axis, "all"), keepdims=keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether some element over `axis` is true.

    >>> bool(any(np.array([True, False])))
    True
    """
    return any_op(x, axis=axes_of(x, axis, "any"), keepdims=keepdims)


amax, amin = max, min
