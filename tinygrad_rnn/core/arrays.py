"""Arrays on their way in: fresh, read-only, or copied if others could change them; zeros nobody reads; choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import floatx
from .op import Array

_ZERO = bytes(16)  # the memory of one number of any type
MANY = 1024  # elements, from which on `choose` makes no jumps


def to_array(data: Any, dtype: Any = None) -> Array:
    """A fresh array: dtype as given, or the array's own, or `floatx()` for Python floats."""
    if dtype is None and not hasattr(data, "dtype"):
        try:
            data = np.asarray(data)
        except ValueError as error:
            raise ValueError(f"tensor: expected rows of equal length ({error})") from None
        if data.dtype == np.float64:
            dtype = floatx()
    array = np.array(data, dtype=dtype)
    if array.dtype.kind not in "fciub":
        raise TypeError(f"tensor: expected numbers, received {type(data).__name__} of dtype {array.dtype}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def freeze(array: Array) -> Array:
    """Mark an array read-only and return it."""
    array.flags.writeable = False
    return array


def copy_unless_frozen(value: Any) -> Any:
    """What will be read later is copied, unless nobody can change it, not even as a view of another array."""
    owner = value
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return freeze(value.copy())
        owner = owner.base
    if isinstance(value, np.ndarray) and not (owner is None or isinstance(owner, bytes)):
        return freeze(value.copy())  # memory of something else (a buffer, as_strided): who knows
    return value


def time_major(x: Any) -> bool:
    """Whether an array `(batch, time, features)` stands step after step in memory, as what a recurrence gives does.

    Its rows are then read in that order: in the other one they would have to be copied together first.

    >>> time_major(np.zeros((5, 2, 3)).swapaxes(0, 1)), time_major(np.zeros((2, 5, 3)))
    (True, False)
    """
    if type(x) is not np.ndarray or x.ndim != 3:
        return False
    batch, time, _ = x.strides
    return bool(batch < time == batch * x.shape[0])


def owner(array: Any) -> Any:
    """The object that has the memory of an array; anything else itself.

    >>> a = np.zeros((2, 3))
    >>> owner(a[1:].T) is a
    True
    """
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


class ValueAt(ValueError):
    """A wrong value at a position of an array; `text` says so, with `{}` for the position."""

    def __init__(self, text: str, position: tuple[int, ...]) -> None:
        super().__init__(text.replace("{}", str(position)))
        self.text, self.position = text, position

    def among(self, rows: Any) -> ValueAt:
        """The same error where `rows[i]` is the place of example i in the user's arrays."""
        if rows is None or not self.position or self.position[0] >= len(rows):
            return self
        return ValueAt(self.text, (int(rows[self.position[0]]), *self.position[1:]))


def nothing(shape: Any, dtype: Any) -> Any:
    """The cotangent of an output that nothing uses: zeros, all in one place.

    >>> nothing((2, 3), np.float32).tolist(), is_nothing(nothing((2, 3), np.float32))
    ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], True)
    """
    return np.ndarray(shape, dtype, _ZERO, strides=(0,) * len(shape))


def is_nothing(g: Any) -> bool:
    """Whether a cotangent is that of an output that nothing uses."""
    return g.base is _ZERO


def choose(condition: Any, x1: Any, x2: Any) -> Any:
    """`np.where`, bit for bit. A processor cannot foresee conditions such as `x > 0`: for many, there are no jumps.

    >>> choose(np.array([True, False]), np.ones(2), 0).tolist()
    [1.0, 0.0]
    """
    if type(condition) is not np.ndarray or condition.size < MANY or condition.dtype.kind != "b":
        return np.where(condition, x1, x2)
    if type(x1) is int and x1 == 0:
        x1, x2, condition = x2, x1, ~condition
    zero = type(x2) is int and x2 == 0
    if not (_fits(condition, x1) and (zero or _fits(condition, x2) and x1.dtype == x2.dtype)):
        return np.where(condition, x1, x2)
    bits = condition.astype(f"u{x1.itemsize}")
    np.negative(bits, out=bits)  # all bits where it holds
    a = x1.view(bits.dtype)
    if zero:
        bits &= a
    else:
        b = x2.view(bits.dtype)
        bits &= a ^ b
        bits ^= b
    return bits.view(x1.dtype)


def _fits(condition: Array, x: Any) -> bool:
    """Whether an array of floats has the shape of the condition, or is stretched to it along some axes."""
    if type(x) is not np.ndarray or x.dtype.char not in "fd":
        return False
    pairs = zip(x.shape, condition.shape, strict=False)
    return x.shape == condition.shape or x.ndim == condition.ndim and all([n in (1, m) for n, m in pairs])
