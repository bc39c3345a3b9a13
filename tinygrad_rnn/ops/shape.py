"""Ops that move elements without computing: reshape, transpose, stack, split, flip, roll, tile ...

`unstack` and `split` are single ops with several outputs. Cutting with slices instead would give every
piece a gradient of the full size, padded with zeros: quadratic work in the number of pieces.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..core.autodiff import sum_to
from ..core.record import kernel, primitive
from ..core.tensor import Tensor


def shape(x: Any) -> tuple[int, ...]:
    """Length of every axis, of anything array-like.

    >>> shape([[1, 2, 3]])
    (1, 3)
    """
    return x.shape if hasattr(x, "shape") else np.shape(x)


def ndim(x: Any) -> int:
    """Number of axes, of anything array-like.

    >>> ndim([[1, 2, 3]])
    2
    """
    return len(shape(x))


def size(x: Any) -> int:
    """Number of elements, of anything array-like.

    >>> size([[1, 2, 3]])
    3
    """
    return int(np.prod(shape(x)))


def _axis(axis: int, ndim: int, name: str) -> int:
    """A non-negative axis, or an error that says which are valid."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name}: axis {axis} is out of range for {ndim} axes (valid: {-ndim}..{ndim - 1})")
    return axis % ndim


def _axes(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """Non-negative axes, of one or several."""
    return tuple([_axis(int(a), ndim, name) for a in (axis if isinstance(axis, (tuple, list)) else (axis,))])


# --- one array in, one out ------------------------------------------------------------------------

reshape_op = primitive(
    "reshape", kernel(lambda x, shape: x.reshape(shape)), lambda g, y, x, shape: reshape(g, x.shape),
    reads="", view=True, doc="the same elements in another shape;  ∂x = g in the shape of x",
)  # fmt: skip
transpose_op = primitive(
    "transpose", kernel(lambda x, axes: x.transpose(axes)),
    lambda g, y, x, axes: transpose(g, [int(i) for i in np.argsort(axes)]),
    reads="", view=True, doc="axes permuted;  ∂x = g with the inverse permutation",
)  # fmt: skip
broadcast_op = primitive(
    "broadcast_to", kernel(lambda x, shape: np.broadcast_to(x, shape)),
    lambda g, y, x, shape: sum_to(g, x.shape),
    reads="", view=True, doc="x repeated to a larger shape;  ∂x = g summed over the repeats",
)  # fmt: skip
flip_op = primitive(
    "flip", kernel(lambda x, axis: np.flip(x, axis)), lambda g, y, x, axis: flip(g, axis),
    reads="", view=True, doc="order reversed along axes;  ∂x = g reversed",
)  # fmt: skip
roll_op = primitive(
    "roll", kernel(lambda x, shift, axis: np.roll(x, shift, axis)),
    lambda g, y, x, shift, axis: roll(g, tuple(-s for s in shift), axis),
    reads="", doc="elements moved round along axes;  ∂x = g moved back",
)  # fmt: skip


def reshape(x: Any, newshape: Any) -> Any:
    """The same elements, row by row, in `newshape` (one entry may be −1).

    >>> reshape(np.arange(6.0), (2, -1)).shape
    (2, 3)
    """
    return reshape_op(x, shape=(newshape,) if isinstance(newshape, (int, np.integer)) else tuple(newshape))


def ravel(x: Any) -> Any:
    """All elements in one axis.

    >>> ravel(np.ones((2, 3))).shape
    (6,)
    """
    return reshape(x, (-1,))


def transpose(x: Any, axes: Any = None) -> Any:
    """Permute the axes; reverse them if `axes` is None.

    >>> transpose(np.ones((2, 3, 4))).shape
    (4, 3, 2)
    """
    order = range(ndim(x))[::-1] if axes is None else [_axis(a, ndim(x), "transpose") for a in axes]
    return transpose_op(x, axes=tuple(order))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes.

    >>> swapaxes(np.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    order = list(range(ndim(x)))
    i, j = _axis(axis1, len(order), "swapaxes"), _axis(axis2, len(order), "swapaxes")
    order[i], order[j] = order[j], order[i]
    return transpose_op(x, axes=tuple(order))


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Move an axis, or several, to other places; the remaining ones stay in order.

    >>> moveaxis(np.ones((2, 3, 4)), 0, -1).shape, moveaxis(np.ones((2, 3, 4)), (0, 2), (1, 0)).shape
    ((3, 4, 2), (4, 2, 3))
    """
    origins, places = (_axes(axes, ndim(x), "moveaxis") for axes in (source, destination))
    if not len(origins) == len(places) == len({*origins}) == len({*places}):
        raise ValueError(f"moveaxis: {source} and {destination} are not as many axes, each named once")
    order = [a for a in range(ndim(x)) if a not in origins]
    for place, origin in sorted(zip(places, origins, strict=True)):
        order.insert(place, origin)
    return transpose_op(x, axes=tuple(order))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Drop axes of length 1: all of them, or those named.

    >>> squeeze(np.ones((1, 3, 1))).shape
    (3,)
    """
    sizes = shape(x)
    drop = [i for i, n in enumerate(sizes) if n == 1]
    if axis is not None:
        named = [_axis(a, len(sizes), "squeeze") for a in ((axis,) if isinstance(axis, int) else axis)]
        if not set(named) <= set(drop):
            raise ValueError(f"squeeze: axis {axis} of shape {sizes} is not of length 1")
        drop = named
    return reshape(x, [n for i, n in enumerate(sizes) if i not in drop])


def expand_dims(x: Any, axis: Any) -> Any:
    """Insert axes of length 1 at `axis` (places in the result).

    >>> expand_dims(np.ones(3), -1).shape
    (3, 1)
    """
    axes = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    total = ndim(x) + len(axes)
    places = {_axis(int(a), total, "expand_dims") for a in axes}
    rest = iter(shape(x))
    return reshape(x, [1 if i in places else next(rest) for i in range(total)])


def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeat along axes of length 1 (and new leading ones) up to `shape`.

    >>> broadcast_to(np.array([1.0, 2.0]), (3, 2)).shape
    (3, 2)
    """
    return broadcast_op(x, shape=tuple(shape))


def flip(x: Any, axis: Any = None) -> Any:
    """Reverse the order along `axis` (None: all axes).

    >>> flip(np.array([1.0, 2.0])).tolist()
    [2.0, 1.0]
    """
    return flip_op(x, axis=tuple(range(ndim(x))) if axis is None else _axes(axis, ndim(x), "flip"))


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Move elements by `shift` along `axis`, those at the end to the front (None: flattened).

    >>> roll(np.array([1.0, 2.0, 3.0]), 1).tolist()
    [3.0, 1.0, 2.0]
    """
    shifts = (shift,) if isinstance(shift, (int, np.integer)) else tuple(shift)
    if axis is None:
        return reshape(roll_op(ravel(x), shift=shifts, axis=(0,)), shape(x))
    axes = _axes(axis, ndim(x), "roll")
    return roll_op(x, shift=shifts * len(axes) if len(shifts) == 1 else shifts, axis=axes)


# --- several arrays -------------------------------------------------------------------------------

stack_op = primitive(
    "stack", lambda *xs, axis, out=None: np.stack(xs, axis, out=out),
    vjp_all=lambda g, y, *xs, axis: unstack(g, axis=axis),
    reads="", doc="arrays of one shape along a new axis;  ∂x_i = the i-th piece of g",
)  # fmt: skip
unstack_op = primitive(
    "unstack", lambda x, axis: tuple(np.moveaxis(x, axis, 0)),
    vjp_all=lambda g, y, x, axis: (stack_op(*g, axis=axis),),
    reads="", view=True, outputs=None, doc="the pieces along an axis, which goes away;  ∂x = the stacked g",
)  # fmt: skip


def _concat_vjps(g: Any, y: Any, *xs: Any, axis: int) -> Any:
    return split(g, [int(i) for i in np.cumsum([x.shape[axis] for x in xs])[:-1]], axis=axis)


concat_op = primitive(
    "concatenate", lambda *xs, axis, out=None: np.concatenate(xs, axis, out=out),
    vjp_all=_concat_vjps, reads="", doc="arrays one behind the other;  ∂x_i = that part of g",
)  # fmt: skip


@functools.lru_cache(maxsize=256)  # a cell splits the same way at every step
def _cuts(at: tuple[int, ...], axis: int) -> list[tuple[slice, ...]]:
    """The index of every part between the places `at` along `axis`."""
    return [(slice(None),) * axis + (slice(a, b),) for a, b in zip((0, *at), (*at, None), strict=True)]


split_op = primitive(
    "split", lambda x, at, axis: tuple([x[cut] for cut in _cuts(at, axis)]),
    vjp_all=lambda g, y, x, at, axis: (concat_op(*g, axis=axis),),
    reads="", view=True, outputs=None, doc="parts along an axis;  ∂x = the parts of g, joined",
)  # fmt: skip


def _tensors(xs: Any, name: str) -> list[Any]:
    if isinstance(xs, (Tensor, np.ndarray)):
        return list(unstack(xs, axis=0))
    if len(xs) == 0:
        raise ValueError(f"{name}: expected at least one array")
    return list(xs)


def stack(x: Any, axis: int = 0) -> Any:
    """Join arrays of one shape along a new axis.

    >>> stack([np.ones(3), np.zeros(3)]).shape
    (2, 3)
    """
    xs = _tensors(x, "stack")
    return stack_op(*xs, axis=_axis(axis, len(shape(xs[0])) + 1, "stack"))


def hstack(xs: Any) -> Any:
    """Join side by side: along the second axis, vectors along their only one.

    >>> hstack([np.ones((2, 1)), np.zeros((2, 2))]).tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    xs = [reshape(x, (1,)) if ndim(x) == 0 else x for x in xs]
    return concatenate(xs, axis=0 if ndim(xs[0]) == 1 else 1)


def vstack(xs: Any) -> Any:
    """Join one below the other: along the first axis; vectors are rows.

    >>> vstack([np.ones(2), np.zeros(2)]).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    return concatenate([reshape(x, (1, -1)) if ndim(x) < 2 else x for x in xs], axis=0)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> tuple[Any, ...]:
    """Cut into the pieces along `axis`, which goes away: a tuple.

    >>> [float(p) for p in unstack(np.array([1.0, 2.0]))]
    [1.0, 2.0]
    """
    axis = _axis(axis, ndim(x), "unstack")
    if num is not None and num != shape(x)[axis]:
        raise ValueError(f"unstack: num is {num}, but axis {axis} of shape {shape(x)} has {shape(x)[axis]}")
    if shape(x)[axis] == 0:
        return ()
    pieces: tuple[Any, ...] = unstack_op(x, axis=axis)
    return pieces


def concatenate(xs: Any, axis: int | None = 0) -> Any:
    """Join arrays along an axis that exists: the first by default, as in NumPy (None: flattened).

    >>> concatenate([np.ones((2, 1)), np.zeros((2, 2))], axis=-1).shape
    (2, 3)
    """
    xs = _tensors(xs, "concatenate")
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    return concat_op(*xs, axis=_axis(axis, len(shape(xs[0])), "concatenate"))


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> tuple[Any, ...]:
    """Cut along `axis` into equal sections (an int), or at the given indices: a tuple.

    >>> [p.shape for p in split(np.ones((2, 6)), 3, axis=1)]
    [(2, 2), (2, 2), (2, 2)]
    """
    axis = _axis(axis, ndim(x), "split")
    length = shape(x)[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        n = int(indices_or_sections)
        if n < 1 or length % n:
            raise ValueError(f"split: axis {axis} of length {length} does not divide into {n} equal sections")
        at = tuple(range(length // n, length, length // n)) if length else (0,) * (n - 1)
    else:
        at = tuple(int(i) for i in indices_or_sections)
        places = [min(i + length if i < 0 else i, length) for i in at]
        if places != sorted(places) or min(places, default=0) < 0:
            raise ValueError(f"split: the indices must not decrease, received {at} for length {length}")
    parts: tuple[Any, ...] = split_op(x, at=at, axis=axis)
    return parts


# --- copies ---------------------------------------------------------------------------------------


def tile(x: Any, repeats: Any) -> Any:
    """Lay copies side by side: `repeats[i]` times along axis i.

    >>> tile(np.array([1.0, 2.0]), 2).tolist()
    [1.0, 2.0, 1.0, 2.0]
    """
    times = [repeats] if isinstance(repeats, (int, np.integer)) else list(repeats)
    sizes = list(shape(x))
    times = [1] * (len(sizes) - len(times)) + times
    sizes = [1] * (len(times) - len(sizes)) + sizes
    spread = [d for n in sizes for d in (1, n)]
    full = [d for r, n in zip(times, sizes, strict=True) for d in (r, n)]
    return reshape(broadcast_to(reshape(x, spread), full), [r * n for r, n in zip(times, sizes, strict=True)])
