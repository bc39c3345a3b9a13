"""Reading and writing by position: `t[...]`, take, take_along_axis, scatter-add, one-hot, pad, repeat.

Every read has a write as its vjp and the other way round. Positions that occur twice add up.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..config import floatx
from ..core.arrays import ValueAt, copy_unless_frozen
from ..core.op import Array
from ..core.record import kernel, primitive, repeatable, tracing
from ..core.tensor import Tensor
from .elementwise import cast, logical_or, where
from .shape import _axis, moveaxis, ndim, ravel, reshape, shape

AT_ONCE = 2**16  # numbers that are added up at once: their places take twice as much memory


def is_basic(index: Any) -> bool:
    """Whether an index takes a view: numbers, slices, `...` and None only.

    >>> is_basic((0, slice(None))), is_basic([0])
    (True, False)
    """
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, (int, np.integer, slice)) for p in parts)


@kernel
def _put_back(g: Array, shape: tuple[int, ...], index: Any) -> Array:
    result = np.zeros(shape, g.dtype)
    if is_basic(index):
        result[index] = g
        return result
    ids = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu" and g.shape == (*ids.shape, *shape[1:]):
        return _sums_by_id(g.reshape(ids.size, *shape[1:]), ids, shape[0])
    np.add.at(result, index, g)
    return result


getitem_op = primitive(
    "getitem", kernel(lambda x, index: x[index]),
    lambda g, y, x, index: put_back_op(g, shape=x.shape, index=index),
    reads="", view=True, doc="y = x[index];  ∂x = zeros with g added at index",
)  # fmt: skip
put_back_op: Any = primitive(
    "put_back", _put_back, lambda g, y, x, shape, index: getitem(g, index),
    reads="", doc="zeros with x added at index;  ∂x = g[index]",
)  # fmt: skip


def getitem(x: Any, index: Any) -> Any:
    """`x[index]` with NumPy's rules: integers, slices, `...`, None, integer and boolean arrays.

    Raises `IndexError` with the position and the shape. The gradient of an element taken twice adds up.

    >>> getitem(np.array([1.0, 2.0, 3.0]), [0, 2]).tolist()
    [1.0, 3.0]
    """
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple([_as_index(p) for p in parts])
    return getitem_op(x, index=parts if isinstance(index, tuple) else parts[0])


def _as_index(part: Any) -> Any:
    if isinstance(part, list):
        return np.asarray(part) if part else np.zeros(0, np.intp)
    if isinstance(part, Tensor):
        if part.dtype.kind not in "iub":
            raise IndexError(f"an index must be an integer or boolean tensor, received {part.dtype}")
        return part.numpy()
    return copy_unless_frozen(part)


# --- along one axis -------------------------------------------------------------------------------


@kernel
def _scatter_add(g: Array, ids: Array, axis: int, length: int) -> Array:
    """Sum the slices of `g` that have the same id; `ids` takes the place of `axis` in `g`."""
    rows = g.reshape(*g.shape[:axis], ids.size, *g.shape[axis + ids.ndim :])
    return np.moveaxis(_sums_by_id(np.moveaxis(rows, axis, 0), ids, length), 0, axis)


def _sums_by_id(rows: Array, ids: Array, length: int) -> Array:
    """Sum the rows with the same id, in their order: number by number, in a third of the time of row by row."""
    result = np.zeros((length, *rows.shape[1:]), rows.dtype)
    width = math.prod(rows.shape[1:])
    first, along = ids.reshape(-1, 1).astype(np.intp) * width, np.arange(width)
    some = max(AT_ONCE // max(width, 1), 1)
    for start in range(0, len(rows), some):
        chosen = slice(start, start + some)
        np.add.at(result.reshape(-1), (first[chosen] + along).reshape(-1), rows[chosen].reshape(-1))
    return result


take_op = primitive(
    "take", lambda x, ids, axis, out=None: np.take(x, ids, axis, out=out),
    lambda g, y, x, ids, axis: scatter_add_op(g, ids, axis=axis, length=x.shape[axis]), None,
    reads="1", doc="y = the slices of x at ids;  ∂x = the slices of g, summed by id",
)  # fmt: skip
scatter_add_op: Any = primitive(
    "scatter_add", _scatter_add, lambda g, y, x, ids, axis, length: take_op(g, ids, axis=axis), None,
    reads="1", doc="slices of x, summed by id;  ∂x = g at ids",
)  # fmt: skip


def even(rows: Any, what: str) -> Array:
    """Nested lists as one array; `ValueError` if their lengths differ.

    >>> even([[1, 2], [3]], "x")
    Traceback (most recent call last):
    ...
    ValueError: x: expected rows of one length, received lengths 1 to 2; fill them up with utils.pad_sequences
    """
    try:
        return np.asarray(rows)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
    lengths = sorted({len(row) if hasattr(row, "__len__") else 0 for row in rows})
    received = f", received lengths {lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else ""
    raise ValueError(f"{what}: expected rows of one length{received}; fill them up with utils.pad_sequences")


@repeatable
def check_ids(ids: Any, size: int, what: str, lowest: int = 0) -> Array:
    """Integer ids in `[lowest, size)`; otherwise an error with the first wrong value and its position."""
    array = even(ids, what)
    if array.dtype.kind == "f":
        whole = np.isfinite(array) & (array == np.floor(array))
        if not whole.all():
            position = tuple(int(i) for i in np.argwhere(~whole)[0])
            raise ValueAt(f"{what}: expected integers, received {array[position]} at position {{}}", position)
        array = array.astype(np.int64)
    elif array.dtype.kind not in "iub":
        raise TypeError(f"{what}: expected integers, received {array.dtype}")
    found: Array = array.astype(np.intp)
    first = 0 if array.dtype.kind == "u" else lowest
    distance = (found - first if first else found).view(np.uintp)  # of negative numbers it is large
    if found.size and np.maximum.reduce(distance, axis=None) >= size - first:
        wrong = (array < lowest) | (array >= size)
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueAt(
            f"{what}: value {array[position]} at position {{}} is out of range; valid are {lowest}..{size - 1}",
            position,
        )
    return found


@repeatable
def _from_the_start(indices: Any, length: int) -> Array:
    """Ids for `take`, where negative ones count from the end."""
    ids: Array = check_ids(indices, length, "take", -length)
    positive: Array = np.where(ids < 0, ids + length, ids)
    return positive


def is_traced(ids: Any) -> bool:
    """Whether ids are integers whose values are not known yet: `scan` is tracing its step."""
    return isinstance(ids, Tensor) and ids.dtype.kind in "iu" and tracing()


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The slices of `x` at `indices` along `axis` (None: flattened); negative ones count from the end.

    Raises `ValueError` with the first index out of range and its position.

    >>> take(np.array([10.0, 20.0, 30.0]), [2, 0], axis=0).tolist()
    [30.0, 10.0]
    """
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = _axis(axis, ndim(x), "take")
    length = shape(x)[axis]
    if is_traced(indices):  # NumPy will find those out of range
        return take_op(x, indices, axis=axis)
    return take_op(x, _from_the_start(indices, length), axis=axis)


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None) -> Any:
    """Sum the rows of `data` that have the same id (scatter-add): `y[k] = Σ data[i] over ids[i] = k`.

    >>> segment_sum(np.array([1.0, 2.0, 4.0]), [0, 1, 0], 3).tolist()
    [5.0, 2.0, 0.0]
    """
    if shape(segment_ids) != shape(data)[:1]:
        raise ValueError(f"segment_sum: {shape(segment_ids)} ids for data of shape {shape(data)}")
    if is_traced(segment_ids) and num_segments is not None:  # NumPy will find those out of range
        ids, length = cast(segment_ids, np.int64), int(num_segments)
        return scatter_add_op(data, where(ids < 0, length, ids), axis=0, length=length)
    ids = np.asarray(segment_ids)
    length = int(ids.max(initial=-1)) + 1 if num_segments is None else int(num_segments)
    return scatter_add_op(data, check_ids(ids, length, "segment_sum"), axis=0, length=length)


def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros of `shape` with `values` added at `indices` (one row of coordinates per value), as Keras.

    >>> scatter([[0], [2], [0]], np.array([1.0, 5.0, 2.0]), (3,)).tolist()
    [3.0, 0.0, 5.0]
    """
    coordinates = np.moveaxis(np.asarray(indices), -1, 0)
    columns = []
    for i, (column, size) in enumerate(zip(coordinates, shape, strict=False)):
        try:
            columns.append(check_ids(column, size, "scatter"))
        except ValueAt as error:
            raise ValueAt(error.text, (*error.position, i)) from None
    return put_back_op(values, shape=tuple(shape), index=tuple(columns))


def _grid(ids: Array, axis: int) -> tuple[Array, ...]:
    grid: list[Array] = list(np.indices(ids.shape, sparse=True))
    grid[axis] = ids
    return tuple(grid)


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """`y[i, j] = x[i, indices[i, j]]` (for axis 1): one position per element (None: in the flattened x).

    >>> take_along_axis(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1).tolist()
    [[2.0], [3.0]]
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = _axis(axis, ndim(x), "take_along_axis")
    length = shape(x)[axis]
    if is_traced(indices) and np.delete(shape(indices), axis).tolist() == np.delete(shape(x), axis).tolist():
        return moveaxis(_along_last(moveaxis(x, axis, -1), moveaxis(indices, axis, -1)), -1, axis)
    ids = check_ids(indices, length, "take_along_axis", -length)
    if ids.ndim != ndim(x):
        raise ValueError(f"take_along_axis: indices of shape {ids.shape} for x of shape {shape(x)}")
    return getitem_op(x, index=_grid(ids, axis))


def _along_last(x: Any, indices: Any) -> Any:
    """`take_along_axis` with positions that are not known yet; NumPy will find those out of range."""
    length, size = shape(x)[-1], math.prod(shape(x))
    rows = (np.arange(math.prod(shape(x)[:-1])) * length).reshape(*shape(x)[:-1], 1)
    ids = cast(indices, np.int64)
    wrong = logical_or(ids < -length, ids >= length)
    return take_op(reshape(x, (-1,)), where(wrong, size, rows + where(ids < 0, ids + length, ids)), axis=0)


def of_labels(x: Any, ids: Array) -> Any:
    """`y[i, j] = x[i, j, ids[i, j]]`: the entry of each row that its label names.

    >>> of_labels(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 0])).tolist()
    [2.0, 3.0]
    """
    return getitem_op(x, index=(*np.indices(ids.shape, sparse=True), ids))


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None) -> Any:
    """Indicator vectors: 1 at position `x` along a new axis of length `num_classes`.

    Raises `ValueError` with value and position for a class out of range.

    >>> one_hot([1, 0], 3).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    if is_traced(x):
        x = cast(x, np.int64)
        hot = take_op(np.eye(num_classes, dtype=dtype or floatx()), where(x < 0, num_classes, x), axis=0)
        return moveaxis(hot, -1, axis) if axis != -1 else hot  # NumPy will find those out of range
    hot = _indicators(x, num_classes, dtype or floatx())
    hot = moveaxis(hot, -1, axis) if axis != -1 else hot
    return Tensor(hot, None) if isinstance(x, Tensor) else hot


@repeatable
def _indicators(x: Any, num_classes: int, dtype: Any) -> Array:
    ids = check_ids(x, num_classes, "one_hot")
    hot = np.zeros((*ids.shape, num_classes), dtype)
    np.put_along_axis(hot, ids[..., None], 1, axis=-1)
    return hot


# --- padding and repeating ------------------------------------------------------------------------

pad_op = primitive(
    "pad", kernel(lambda x, widths, value: np.pad(x, widths, constant_values=value)),
    lambda g, y, x, widths, value: g[tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True))],
    reads="", doc="x with a border of a constant;  ∂x = g without the border",
)  # fmt: skip


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """Add a border. `pad_width`: one int, one pair, or a pair per axis. `mode`: "constant", "edge",
    "reflect", "symmetric" or "wrap", as in NumPy.

    >>> pad(np.ones(2), 1).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    pairs = np.broadcast_to(np.asarray(pad_width, dtype=int), (ndim(x), 2))
    if (pairs < 0).any():
        raise ValueError(f"pad: widths must not be negative, received {pad_width}")
    widths = tuple((int(a), int(b)) for a, b in pairs)
    if mode == "constant":
        return pad_op(x, widths=widths, value=0 if constant_values is None else constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"pad: mode must be constant, edge, reflect, symmetric or wrap, received {mode!r}")
    for axis, width in enumerate(widths):  # every other mode copies elements: where from is NumPy's rule
        if width != (0, 0):
            x = take(x, np.pad(np.arange(shape(x)[axis]), width, mode=mode), axis=axis)  # type: ignore[call-overload]
    return x


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Repeat every element along `axis` (None: flattened), `repeats` times or a count for each.

    >>> repeat(np.array([1.0, 2.0]), 2).tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    if axis is None:
        x, axis = ravel(x), 0
    axis = _axis(axis, ndim(x), "repeat")
    return take(x, np.repeat(np.arange(shape(x)[axis]), np.asarray(repeats)), axis=axis)
