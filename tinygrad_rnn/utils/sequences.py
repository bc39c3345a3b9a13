"""Sequences of different lengths as one array."""

from __future__ import annotations

from reprlib import repr
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> NDArray[Any]:
    """Sequences (lists of numbers, or arrays (time, ...)) as one array (n, maxlen, ...).

    Short ones are filled with `value` before ("pre") or after ("post") their own values, of long ones the
    first ("pre") or the last values are cut off. `maxlen` defaults to the longest length. Use
    `dtype=object` for strings. Raises `ValueError` for an unknown option, for sequences whose elements have
    different shapes, and for integers that `dtype` cannot hold, with the number of the sequence.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2).tolist()
    [[0, 1], [2, 3], [5, 6]]
    >>> pad_sequences([[1], [2, 3]], padding="post").tolist()
    [[1, 0], [2, 3]]
    """
    for name, choice in (("padding", padding), ("truncating", truncating)):
        if choice not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name} must be 'pre' or 'post', received {choice!r}")
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"pad_sequences: expected a list of sequences, received {type(sequences).__name__}")
    for i, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise ValueError(f"pad_sequences: sequences[{i}] is {sequence!r}; expected a list or an array")
    maxlen = max((len(s) for s in sequences), default=0) if maxlen is None else maxlen
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind not in "OUS":
        raise ValueError(f"pad_sequences: value {value!r} is a text; give dtype=object instead of {dtype!r}")
    filled = [(i, _fitting(s, kind, f"sequences[{i}]")) for i, s in enumerate(sequences) if len(s)]
    inner = filled[0][1].shape[1:] if filled else ()
    result = np.full((len(sequences), maxlen, *inner), value, kind)
    for i, values in filled:
        if values.shape[1:] != inner:
            raise ValueError(
                f"pad_sequences: the elements of sequences[{i}] have shape {values.shape[1:]}, those of "
                f"sequences[{filled[0][0]}] {inner}"
            )
        kept = values[max(len(values) - maxlen, 0) :] if truncating == "pre" else values[:maxlen]
        start = maxlen - len(kept) if padding == "pre" else 0
        result[i, start : start + len(kept)] = kept
    return result


def _fitting(sequence: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """The sequence as an array of that type; integers are compared with its range before they are cast."""
    if dtype.kind == "O":
        array = np.empty(len(sequence), object)
        array[:] = list(sequence)
        return array
    try:
        array = np.asarray(sequence)
    except ValueError:
        raise ValueError(
            f"pad_sequences: the elements of {name} have different lengths: {repr(sequence)}"
        ) from None
    try:
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (0, 0)
        fits = low == high or array.dtype.kind not in "iuO" or (low <= array.min() and array.max() <= high)
        made = array.astype(dtype) if fits else array
    except (ValueError, TypeError):
        raise ValueError(
            f"pad_sequences: {name} is {repr(sequence)}, which {dtype} cannot hold; give dtype=object for texts"
        ) from None
    if not fits:
        raise ValueError(
            f"pad_sequences: {name} holds {array.min()} to {array.max()}, which {dtype} cannot; "
            "give a larger dtype"
        )
    return made
