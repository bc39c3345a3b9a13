"""Blocks of an array, read and written over."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.operands import known
from .elementwise import where
from .indexing import getitem, put_back_op
from .shape import shape as shape_of


def slice(inputs: Any, start_indices: Sequence[int], shape: Sequence[int]) -> Any:
    """The block of this `shape` that begins at `start_indices`, one for each axis.

    Raises `ValueError` if it does not lie inside.

    >>> slice(np.arange(6).reshape(2, 3), (0, 1), (2, 2)).tolist()
    [[1, 2], [4, 5]]
    """
    inputs = known(inputs)
    return getitem(inputs, _block("slice", shape_of(inputs), start_indices, shape))


def slice_update(inputs: Any, start_indices: Sequence[int], updates: Any) -> Any:
    """A copy in which the block at `start_indices` is `updates`.

    Raises `ValueError` if it does not lie inside.

    >>> slice_update(np.zeros(4), [1], np.ones(2)).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    inputs, updates = known(inputs), known(updates)
    sizes = shape_of(inputs)
    index = _block("slice_update", sizes, start_indices, shape_of(updates))
    inside = np.zeros(sizes, bool)
    inside[index] = True
    return where(inside, put_back_op(updates, shape=sizes, index=index), inputs)


def _block(
    name: str, sizes: Sequence[int], start: Sequence[int], shape: Sequence[int]
) -> tuple[builtins.slice, ...]:
    """Its index."""
    starts, lengths = [int(a) for a in start], [int(n) for n in shape]
    inside = len(starts) == len(lengths) == len(sizes) and all(
        0 <= a <= a + n <= size for a, n, size in zip(starts, lengths, sizes, strict=True)
    )
    if not inside:
        raise ValueError(
            f"{name}: a block of shape {(*lengths,)} at {(*starts,)} does not lie inside of shape {(*sizes,)}"
        )
    return tuple([builtins.slice(a, a + n) for a, n in zip(starts, lengths, strict=True)])
