"""Batches for `fit`, `evaluate` and `predict`: from arrays, lists or dicts of arrays, or an iterable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from ..config import floatx, generator
from ..layers.symbolic import flatten, map_nested
from ..ops.indexing import even
from ..utils.packing import pack_x_y_sample_weight, unpack_x_y_sample_weight

_NUMBERS = "fiub"  # kinds of types


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

    @property
    def data(self) -> Any:
        """What `train_step` gets."""
        return pack_x_y_sample_weight(self.x, self.y, self.sample_weight)


class ArrayData:
    """Arrays with the examples on the first axis, cut into batches.

    Raises `ValueError` if the lengths differ, or `x` is empty of arrays.
    """

    endless = True  # can be gone through again and again

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        empty: bool = False,
    ) -> None:
        self.batch_size = 32 if batch_size is None else int(batch_size)
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, received {batch_size}")
        given = _arrays(x, "x"), _arrays(y, "y"), _arrays(sample_weight, "sample_weight")
        sizes = {len(a) for a in flatten(given) if a is not None}
        if len(sizes) > 1:
            shapes = ", ".join(str(a.shape) for a in flatten(given) if a is not None)
            lists = (
                "; a list of arrays is one array per input"
                if isinstance(x, list) and len(given[0]) > 1
                else ""
            )
            raise ValueError(
                f"x, y and sample_weight must have the same number of examples, received shapes {shapes}{lists}"
            )
        self.n = sizes.pop()
        if self.n == 0 and not empty:
            raise ValueError("the data has no examples (the first axis has length 0)")
        self.examples = Batch(*given, rows=np.arange(self.n))
        self.whole_batches = False  # whether a short last batch is left out

    @property
    def rest(self) -> int:
        """Number of examples in a short last batch; 0 if there is none, or it is the only one."""
        return self.n % self.batch_size if self.n > self.batch_size else 0

    @property
    def steps(self) -> int:
        """Number of batches; the last one may be short."""
        return (
            self.n // self.batch_size if self.whole_batches and self.rest else -(-self.n // self.batch_size)
        )

    def weigh(self, weighted: Callable[[Batch], Batch]) -> None:
        """Give every example its weight."""
        self.examples = weighted(self.examples)

    def split(self, fraction: float) -> tuple[ArrayData, ArrayData]:
        """Hold out the last `fraction` of the examples (before any shuffling)."""
        if not 0 < fraction < 1:
            raise ValueError(f"validation_split must be in (0, 1), received {fraction}")
        at = int(np.floor(self.n * (1 - fraction)))
        if at == 0 or at == self.n:
            raise ValueError(f"validation_split={fraction} of {self.n} examples leaves nothing on one side")
        return self._with(slice(None, at)), self._with(slice(at, None))

    def padded(self) -> ArrayData:
        """The same data with the last example repeated until all batches are full."""
        if not self.rest:
            return self
        return self._with(np.minimum(np.arange(self.n + self.batch_size - self.rest), self.n - 1))

    def _with(self, chosen: Any) -> ArrayData:
        """These examples, cut in the same way; their places are those in the user's arrays."""
        other = copy(self)
        other.examples = _pick(self.examples, chosen)
        other.n = len(other.examples.rows)
        return other

    def batches(self, shuffle: bool = False) -> Iterator[Batch]:
        """One pass over the data."""
        order = generator(None).permutation(self.n) if shuffle else None
        for start in range(0, self.steps * self.batch_size, self.batch_size):
            chosen = slice(start, start + self.batch_size)
            yield _pick(self.examples, chosen if order is None else order[chosen])


class IterableData:
    """Batches `x`, `(x, y)` or `(x, y, sample_weight)` from an iterable, or from an object with `len` and `[i]`.

    A generator serves one pass only. An object with a length and indices (like Keras's PyDataset) is shuffled
    batch by batch, and its `on_epoch_end()` is called after each pass, if it has one.
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self.steps: int | None = len(source) if hasattr(source, "__len__") else None
        self.endless = not hasattr(source, "__next__")
        self.weighted: Callable[[Batch], Batch] | None = None

    def weigh(self, weighted: Callable[[Batch], Batch]) -> None:
        """Give every example its weight, batch by batch."""
        self.weighted = weighted

    def batches(self, shuffle: bool = False) -> Iterator[Batch]:
        """One pass over the source."""
        for item in self._items(shuffle):
            parts = zip(("x", "y", "sample_weight"), unpack_x_y_sample_weight(item), strict=True)
            batch = Batch(*(_arrays(part, name) for name, part in parts))
            yield batch if self.weighted is None else self.weighted(batch)

    def _items(self, shuffle: bool) -> Iterator[Any]:
        """The source itself, so that a generator which is not used up is not closed."""
        indexed = hasattr(self.source, "__getitem__") and not isinstance(self.source, (list, tuple))
        return self._by_index(shuffle) if indexed else iter(self.source)

    def _by_index(self, shuffle: bool) -> Iterator[Any]:
        n = len(self.source)  # may change at the end of an epoch
        for index in generator(None).permutation(n).tolist() if shuffle else range(n):
            yield self.source[index]
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()


Data = ArrayData | IterableData


def adapt(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
) -> Data:
    """`ArrayData` for arrays (and lists, tuples, dicts of them), `IterableData` for sources of batches.

    Arrays are cut into `steps` batches if no `batch_size` is given, else into batches of 32.
    Raises `TypeError` for anything else, and `ValueError` for targets beside a source of batches.
    """
    first = next(flatten(x), None)
    batches = y is None and isinstance(x, list) and bool(x) and isinstance(x[0], tuple)
    numbers_or_texts = isinstance(first, (int, float)) or (isinstance(first, str) and first is not x)
    if not batches and (hasattr(first, "__array__") or numbers_or_texts):
        data = ArrayData(x, y, sample_weight, batch_size)
        if batch_size is None and steps is not None:
            data.batch_size = -(-data.n // steps)
        return data
    indexed = hasattr(x, "__getitem__") and hasattr(x, "__len__")
    if isinstance(x, (str, bytes, dict)) or not (hasattr(x, "__iter__") or indexed):
        raise TypeError(f"x must be arrays or an iterable of batches, received {type(x).__name__}")
    if y is not None or sample_weight is not None:
        raise ValueError(
            f"x is {type(x).__name__}, a source of batches: it must give (x, y) or (x, y, sample_weight) itself; "
            "leave y and sample_weight out"
        )
    return IterableData(x)


def validation_parts(data: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of `validation_data`; a source of batches stands for all three."""
    if isinstance(data, tuple) or (isinstance(data, list) and data and not isinstance(data[0], tuple)):
        if not 1 <= len(data) <= 3:
            raise ValueError(
                f"fit: validation_data must be (x, y), (x, y, sample_weight) or (x,), received {len(data)} parts"
            )
        x, y, sample_weight = (*data, None, None)[:3]
        return x, y, sample_weight
    return data, None, None


def one_batch(x: Any, y: Any = None, sample_weight: Any = None) -> Batch:
    """All examples in one batch, which may be empty."""
    return ArrayData(x, y, sample_weight, empty=True).examples


def forever(data: Data, shuffle: bool) -> Iterator[Batch]:
    """Pass after pass, for a number of steps per epoch that is not a whole pass."""
    seen = True
    while seen:
        seen = False
        for batch in data.batches(shuffle):
            seen = data.endless
            yield batch


def weighted(batch: Batch, class_weight: Mapping[int, float], one_hot: bool | None = None) -> Batch:
    """The batch with the weight of each example's class, or of each step's; classes not named count 1.

    Targets are class numbers, with or without a last axis of 1, or rows with one number per class. Where the loss
    does not say which (`one_hot` is None), rows of zeros and a one are of the second kind. Raises `ValueError` for
    several outputs, or beside other sample weights.
    """
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"class_weight: expected a dict {{class: weight}}, received {class_weight!r}; for equal shares, "
            "n / (number of classes * np.bincount(y)) is the weight of each class"
        )
    if batch.sample_weight is not None:
        raise ValueError("class_weight and sample_weight cannot be given together; multiply them yourself")
    y = batch.y
    if not isinstance(y, np.ndarray):
        raise ValueError(
            f"class_weight needs targets that are one array, received {type(y).__name__}: with several outputs give "
            "sample_weight"
        )
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y[..., 0]
    elif y.ndim > 1 and one_hot is not False and (one_hot or _are_one_hot(y)):
        y = y.argmax(-1)
    weights = np.ones(y.shape, floatx())
    for label, weight in class_weight.items():
        weights[np.round(y) == label] = weight
    return batch._replace(sample_weight=weights)


def _are_one_hot(y: Any) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(-1) == 1).all())


def _arrays(value: Any, name: str) -> Any:
    """Arrays in the structure given; a list of numbers is one array."""
    if value is None or type(value) is np.ndarray and value.ndim and value.dtype.kind in _NUMBERS:
        return value
    if isinstance(value, list) and not any(v is None or hasattr(v, "__array__") for v in flatten(value)):
        value = even(value, name)
    made = map_nested(lambda v: v if v is None else np.asarray(v), value)
    for array in flatten(made):
        if array is None:
            continue
        if array.dtype.kind not in _NUMBERS and not (name == "x" and _are_texts(array)):
            rows = "; fill up rows of different lengths with utils.pad_sequences" if _are_rows(array) else ""
            raise TypeError(f"{name}: expected numbers, received an array of {array.dtype}{rows}")
        if array.ndim == 0:
            raise ValueError(
                f"{name}: expected arrays with the examples on the first axis, received a scalar"
            )
    return made


def _are_rows(array: Any) -> bool:
    """Whether an array holds lists or arrays."""
    return array.dtype.kind == "O" and any(hasattr(item, "__len__") for item in array.flat)


def _are_texts(array: Any) -> bool:
    """Whether these are texts, with which a model may begin."""
    return array.dtype.kind == "U" or (
        array.dtype.kind == "O" and all(isinstance(text, str) for text in array.flat)
    )


def _pick(data: Batch, chosen: Any) -> Batch:
    return Batch(*(map_nested(lambda a: None if a is None else a[chosen], part) for part in data))
