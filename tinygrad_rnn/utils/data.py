"""Data sets: the base class for batches made by the user's code, and cutting data in two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..config import generator


class PyDataset:
    """Base of a data set whose batches are made by code: `len` batches, `[i]` gives one, `(x, y)`.

    Subclasses define `__len__` and `__getitem__`, and `on_epoch_begin` or `on_epoch_end` if something has to
    happen between the epochs (shuffling). `workers`, `use_multiprocessing` and `max_queue_size` are accepted
    without effect: the batches are made one after the other.

    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         x = np.arange(3) + 3 * index
    ...         return x, x**2
    >>> [y.tolist() for x, y in Squares()]
    [[0, 1, 4], [9, 16, 25]]
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __len__(self) -> int:
        """Number of batches."""
        raise TypeError(f"{type(self).__name__} has no __len__(); define the number of batches")

    def __getitem__(self, index: int) -> Any:
        """The batch number `index`, a tuple `(x, y)` or `(x, y, sample_weight)`."""
        raise TypeError(f"{type(self).__name__} has no __getitem__(index); define what a batch is")

    def __iter__(self) -> Iterator[Any]:
        """The batches in order."""
        return (self[i] for i in range(len(self)))

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before an epoch."""

    def on_epoch_end(self) -> None:
        """Called after an epoch."""


Sequence = PyDataset  # its name in Keras 2


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Cut data in two, `(left, right)`: an array, a tuple, list or dict of arrays, or the items of an iterable.

    A size is a number of examples, or a float: a fraction in (0, 1); the other part gets the rest, or its
    own size. Raises `ValueError` for sizes that do not fit or arrays of different lengths, `TypeError` for
    what cannot be cut.

    >>> left, right = split_dataset((np.arange(10), np.arange(10) ** 2), left_size=0.7)
    >>> left[0].tolist(), right[1].tolist()
    ([0, 1, 2, 3, 4, 5, 6], [49, 64, 81])
    """
    parts, build = _columns(dataset)
    lengths = sorted({len(part) for part in parts})
    if len(lengths) != 1:
        raise ValueError(f"split_dataset: the arrays must have the same length, received {lengths}")
    n = lengths[0]
    left, right = _sizes(left_size, right_size, n)
    order = generator(seed).permutation(n) if shuffle else np.arange(n)
    halves = (order[:left], order[left : left + right])
    first, second = ([_rows(part, chosen) for part in parts] for chosen in halves)
    return build(first), build(second)


def _columns(dataset: Any) -> tuple[list[Any], Any]:
    """The arrays of a data set, and what puts parts of them together again."""
    if isinstance(dataset, dict):
        return [np.asarray(v) for v in dataset.values()], lambda parts: dict(zip(dataset, parts, strict=True))
    nested = isinstance(dataset, (list, tuple)) and dataset and all(hasattr(v, "shape") for v in dataset)
    if nested and all(np.ndim(v) for v in dataset):
        return [np.asarray(v) for v in dataset], type(dataset)
    if hasattr(dataset, "shape"):
        return [np.asarray(dataset)], lambda parts: parts[0]
    if hasattr(dataset, "__iter__") and not isinstance(dataset, (str, bytes)):
        return [list(dataset)], lambda parts: parts[0]
    raise TypeError(f"split_dataset: expected arrays or an iterable, received {type(dataset).__name__}")


def _rows(part: Any, chosen: Any) -> Any:
    return part[chosen] if isinstance(part, np.ndarray) else [part[i] for i in chosen]


def _sizes(left: float | None, right: float | None, n: int) -> tuple[int, int]:
    """Both sizes in examples."""
    if left is None and right is None:
        raise ValueError("split_dataset: give left_size, right_size, or both")
    counted: list[int | None] = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is None:
            counted.append(None)
            continue
        whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
        if not (whole and 0 < size < n) and not (isinstance(size, float) and 0 < size < 1):
            raise ValueError(
                f"split_dataset: {name} must be an integer from 1 to {n - 1} or a fraction in (0, 1), "
                f"received {size!r}"
            )
        counted.append(int(size) if whole else round(size * n))
    a, b = counted
    a = n - (b or 0) if a is None else a
    b = n - a if b is None else b
    if a + b > n:
        raise ValueError(f"split_dataset: {a} and {b} examples are more than the {n} there are")
    return a, b
