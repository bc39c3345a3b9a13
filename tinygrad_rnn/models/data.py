"""Batches for `fit`, `evaluate` and `predict`: from arrays, lists or dicts of arrays, or an iterable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..config import generator
from ..core.tensor import Tensor
from ..layers.symbolic import flatten, map_nested


class Batch(NamedTuple):
    """Inputs, targets and weights of some examples; `rows` are their places in the user's arrays."""

    x: Any
    y: Any = None
    sample_weight: Any = None
    rows: Any = None

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(next(flatten(self.x)))


class ArrayData:
    """Arrays with the examples on the first axis, cut into batches.

    Raises `ValueError` if the lengths differ, or `x` is empty of arrays.
    """

    def __init__(
        self, x: Any, y: Any = None, sample_weight: Any = None, batch_size: int | None = None
    ) -> None:
        self.batch_size = 32 if batch_size is None else int(batch_size)
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, received {batch_size}")
        self.data = Batch(_arrays(x, "x"), _arrays(y, "y"), _arrays(sample_weight, "sample_weight"))
        sizes = {len(a) for a in flatten(tuple(self.data)) if a is not None}
        if len(sizes) > 1:
            shapes = ", ".join(str(a.shape) for a in flatten(tuple(self.data)) if a is not None)
            raise ValueError(
                f"x, y and sample_weight must have the same number of examples, received shapes {shapes}"
            )
        self.n = sizes.pop()
        if self.n == 0:
            raise ValueError("the data has no examples (the first axis has length 0)")
        self.data = self.data._replace(rows=np.arange(self.n))

    @property
    def steps(self) -> int:
        """Number of batches; the last one may be short."""
        return -(-self.n // self.batch_size)

    def split(self, fraction: float) -> tuple[ArrayData, ArrayData]:
        """Hold out the last `fraction` of the examples (before any shuffling)."""
        if not 0 < fraction < 1:
            raise ValueError(f"validation_split must be in (0, 1), received {fraction}")
        at = int(np.floor(self.n * (1 - fraction)))
        if at == 0 or at == self.n:
            raise ValueError(f"validation_split={fraction} of {self.n} examples leaves nothing on one side")
        made = []
        for chosen in (slice(None, at), slice(at, None)):
            part = _pick(self.data, chosen)
            made.append(ArrayData(part.x, part.y, part.sample_weight, self.batch_size))
            made[-1].data = part  # with the rows of the whole
        return made[0], made[1]

    def batches(self, shuffle: bool = False) -> Iterator[Batch]:
        """One pass over the data."""
        order = generator(None).permutation(self.n) if shuffle else None
        for start in range(0, self.n, self.batch_size):
            chosen = slice(start, start + self.batch_size)
            yield _pick(self.data, chosen if order is None else order[chosen])


class IterableData:
    """Batches `(x, y)` or `(x, y, sample_weight)` from an iterable; a generator serves one pass only."""

    steps: int | None = None

    def __init__(self, source: Any) -> None:
        self.source = source

    def batches(self, shuffle: bool = False) -> Iterator[Batch]:
        """One pass over the source."""
        for item in self.source:
            parts = item if isinstance(item, tuple) else (item,)
            yield Batch(*(_arrays(p, "batch") for p in parts))


def adapt(x: Any, y: Any = None, sample_weight: Any = None, batch_size: int | None = None) -> Any:
    """`ArrayData` for arrays (and lists, tuples, dicts of them), `IterableData` for other iterables."""
    first = next(flatten(x), None)
    batches = y is None and isinstance(x, list) and bool(x) and isinstance(x[0], tuple)
    if not batches and isinstance(first, (np.ndarray, Tensor, int, float, np.generic)):
        return ArrayData(x, y, sample_weight, batch_size)
    if y is None and hasattr(x, "__iter__"):
        return IterableData(x)
    raise TypeError(f"x must be arrays or an iterable of batches, received {type(x).__name__}")


def _arrays(value: Any, name: str) -> Any:
    """Arrays in the structure given; a list of numbers is one array."""
    if value is None:
        return None
    if isinstance(value, list) and not any(isinstance(v, (np.ndarray, Tensor)) for v in value):
        value = np.asarray(value)
    made = map_nested(np.asarray, value)
    for array in flatten(made):
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name}: expected numbers, received an array of {array.dtype}")
        if array.ndim == 0:
            raise ValueError(
                f"{name}: expected arrays with the examples on the first axis, received a scalar"
            )
    return made


def _pick(data: Batch, chosen: Any) -> Batch:
    return Batch(*(map_nested(lambda a: None if a is None else a[chosen], part) for part in data))
