"""What the preprocessing layers take: batches to adapt to, texts, and categories written as zeros and ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.tensor import Tensor

Array = NDArray[Any]
MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")


def batches(data: Any, steps: int | None = None) -> Iterator[Any]:
    """The batches of `adapt(data, steps)`: an array, or a list without arrays in it, is one.

    Of other iterables at most `steps` batches are taken, and of a batch `(x, y)` the `x`.
    """
    listed = isinstance(data, (list, tuple)) and not any(hasattr(item, "shape") for item in data)
    if listed or isinstance(data, (np.ndarray, Tensor, str)):
        if steps is not None:
            raise ValueError("adapt: steps is for an iterable of batches, not for arrays and lists")
        return iter([data])
    if not hasattr(data, "__iter__"):
        raise TypeError(f"adapt: expected an array or an iterable of batches, received {type(data).__name__}")
    return (b[0] if isinstance(b, tuple) else b for b in itertools.islice(data, steps))


def texts(inputs: Any, name: str, encoding: str = "utf-8") -> Array:
    """Texts as an array of Python strings; bytes are decoded.

    Two halves of a surrogate pair become the character that they stand for, since a saved file cannot tell
    these apart. Raises `ValueError` for rows of different lengths, `TypeError` for what is no text.
    """
    array = np.asarray(inputs, None if isinstance(inputs, (np.ndarray, Tensor)) else object)
    flat = [item.decode(encoding) if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    for i, item in enumerate(flat):
        if isinstance(item, (list, tuple)):
            raise ValueError(
                f"{name}: expected rows of equal length, received row {i} with {len(item)} texts"
            )
        if not isinstance(item, str):
            raise TypeError(
                f"{name}: expected texts, received {item!r} ({type(item).__name__}) at position {i}"
            )
    result = np.empty(len(flat), object)
    result[:] = [_whole(text) for text in flat]
    return result.reshape(array.shape)


def _whole(text: str) -> str:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text


def check_mode(name: str, mode: str, allowed: tuple[str, ...] = MODES) -> str:
    """The output mode, also by its older names; raises `ValueError` for another one."""
    mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(mode, mode)
    if mode not in allowed:
        raise ValueError(f"{name}: output_mode must be one of {', '.join(allowed)}, received {mode!r}")
    return mode


def refuse(name: str, **options: Any) -> None:
    """Raise `ValueError` for options of Keras that need sparse or ragged arrays."""
    for option, value in options.items():
        if value:
            raise ValueError(f"{name}: {option}={value!r} is not supported; results are dense arrays")


def encode(ids: Array, mode: str, depth: int, dtype: str, weights: Array | None = None) -> Array:
    """Integers as zeros and ones, or counts; those below 0 are left out.

    "one_hot": (..., n) → (..., n, depth), (..., 1) → (..., depth). "multi_hot" (which of them occur) and
    "count" (how often, times `weights`): (..., n) → (..., depth).

    >>> encode(np.array([[0, 2, 2]]), "count", 3, "float32").tolist()
    [[1.0, 0.0, 2.0]]
    """
    ids = np.atleast_1d(ids)
    if mode == "one_hot":
        ids = ids[..., 0] if ids.ndim > 1 and ids.shape[-1] == 1 else ids
        return np.asarray(ids[..., None] == np.arange(depth), dtype)
    rows = ids.reshape(math.prod(ids.shape[:-1]), ids.shape[-1])
    result = np.zeros((len(rows), depth), dtype)
    row, place = np.nonzero(rows >= 0)
    amounts = 1 if weights is None else np.reshape(weights, rows.shape)[row, place]
    np.add.at(result, (row, rows[row, place]), amounts)
    if mode == "multi_hot":
        result = (result > 0).astype(dtype)
    return result.reshape(*ids.shape[:-1], depth)
