"""Arrays made ready for a loss: classes as rows of zeros and a one, vectors of length 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import floatx


def to_categorical(x: Any, num_classes: int | None = None) -> NDArray[Any]:
    """Class numbers as rows with a single 1: (...) or (..., 1) → (..., num_classes), in the float type.

    `num_classes` defaults to the largest class + 1. Raises `ValueError` for a class outside
    0..num_classes-1, with its position, for numbers that are not whole, and for no classes at all.

    >>> to_categorical([0, 2, 1]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    given = np.asarray(x)
    if given.dtype.kind not in "fiub" or (given.dtype.kind == "f" and (given != np.trunc(given)).any()):
        raise ValueError(
            f"to_categorical: expected whole numbers, received {given.dtype}: {given.ravel()[:5]}"
        )
    if given.ndim > 1 and given.shape[-1] == 1:
        given = given[..., 0]
    if num_classes is None:
        if not given.size:
            raise ValueError("to_categorical: there are no classes to count; give num_classes")
        num_classes = int(given.max()) + 1
    wrong = (given < 0) | (given >= num_classes)  # compared in its own type: nothing is cut off
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"to_categorical: class {given[place]} at position {place} is outside 0..{num_classes - 1}"
        )
    return np.asarray(given[..., None] == np.arange(num_classes), floatx())


def normalize(x: Any, axis: int = -1, order: Any = 2) -> NDArray[Any]:
    """`x / ‖x‖` along an axis, with the norm of that order; rows of zeros stay zeros.

    >>> normalize([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    x = np.asarray(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    norm[norm == 0] = 1
    return np.asarray(x / norm)
