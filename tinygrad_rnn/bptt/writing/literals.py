"""How an array that a step makes itself, such as an identity, is made in the source of the step."""

from __future__ import annotations

import numpy as np

from ...core.op import Array
from ..step.text import number, shape_text

LARGEST = 64  # elements that are written one by one


def literal(array: Array, dtype: str = "") -> str:
    """An expression for an array, of the type that `dtype` is the text of; "" for many elements without a rule.

    >>> literal(np.eye(3), "dtype"), literal(np.array([[0], [7]]), "'int64'"), literal(np.array([2, 1]))
    ('np.eye(3, dtype=dtype)', "np.arange(0, 14, 7, 'int64').reshape((2, 1))", 'np.array([2, 1])')
    """
    end, flat, shape = f", {dtype}" if dtype else "", array.reshape(-1).tolist(), shape_text(array.shape)
    texts = {number(n) for n in flat} or {"0"}
    if len(texts) == 1:
        (text,) = texts
        name = {"0.0": "zeros", "0": "zeros", "1.0": "ones", "1": "ones"}.get(text)
        return f"np.{name}({shape}{end})" if name else f"np.full({shape}, {text}{end})"
    if array.ndim == 2 and np.array_equal(array, np.eye(*array.shape)):
        columns = f", {array.shape[1]}" * (array.shape[0] != array.shape[1])
        return f"np.eye({array.shape[0]}{columns}{f', dtype={dtype}' * bool(dtype)})"
    if array.dtype.kind in "iu" and flat == [*range(flat[0], *_end_and_step(flat))]:
        stop, step = _end_and_step(flat)
        if array.size > LARGEST or flat[0] == 0 < step:  # as ids of examples, which may be more
            made = f"np.arange({flat[0]}, {stop}, {step}{end})"
            return made if array.ndim == 1 else f"{made}.reshape({shape})"
    return f"np.array({_listed(array.tolist())}{end})" if array.size <= LARGEST else ""


def _end_and_step(numbers: list[int]) -> tuple[int, int]:
    """Where a range that begins as these numbers would end, and its step."""
    step = numbers[1] - numbers[0] or 1
    return numbers[0] + step * len(numbers), step


def _listed(values: object) -> str:
    """Nested lists of numbers as they are written."""
    return f"[{', '.join(map(_listed, values))}]" if isinstance(values, list) else number(values)
