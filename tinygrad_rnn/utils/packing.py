"""Inputs, targets and sample weights of a batch as the one value that `train_step` gets, and back."""

from __future__ import annotations

from typing import Any


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """`x`, `(x, y)` or `(x, y, sample_weight)`, as much as there is; `(x,)` if `x` is itself a tuple or list.

    >>> pack_x_y_sample_weight(1), pack_x_y_sample_weight(1, 2), pack_x_y_sample_weight([1])
    (1, (1, 2), ([1],))
    """
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (tuple, list)) else x


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets and sample weights from `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    A list counts as a tuple, as some loaders give lists. Raises `ValueError` for more than three parts.

    >>> unpack_x_y_sample_weight((1, 2)), unpack_x_y_sample_weight(1)
    ((1, 2, None), (1, None, None))
    """
    if not isinstance(data, (tuple, list)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(f"a batch is x, (x, y) or (x, y, sample_weight), received {len(data)} parts")
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight
