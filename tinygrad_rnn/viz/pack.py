"""Arrays for the page: statistics and histograms of many at once, exact values, and one compressed blob."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.op import Array

BINS = 16
WHOLE = 256  # elements up to which an array is shown in full; of a larger one the corners
PLAIN = 1_000_000  # bytes up to which data stays uncompressed
_TYPES = {"f4": "<f4", "f8": "<f8", "i4": "<i4", "u1": "|u1"}


def flat(value: Any) -> Array | None:
    """An array, or several (an op with several outputs), as one row of numbers."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return np.concatenate([np.ravel(v) for v in value]) if value else None
    return np.ravel(value)


def summaries(values: Sequence[Any], wide: bool) -> tuple[Array, Array, Array]:
    """Norm, mean, least and greatest (4, n), histograms (n, 16) and how many elements are not finite (n,).

    `values` are arrays, tuples of them, or None. The least and the greatest are those of the finite elements, NaN
    if there is none. Histograms have 16 bins between them, as shares of the fullest bin, 0 to 255. `wide` keeps
    float64.
    """
    n = len(values)
    stats = np.full((4, n), np.nan, np.float64 if wide else np.float32)
    bins, odd = np.zeros((n, BINS), np.uint8), np.zeros(n, np.int32)
    rows_of: dict[int, list[int]] = {}
    arrays = [flat(value) for value in values]
    for i, a in enumerate(arrays):
        if a is not None and a.size:
            rows_of.setdefault(a.size, []).append(i)
    for size, rows in rows_of.items():
        step = max(1, 2**19 // size)
        for k in range(0, len(rows), step):
            part = rows[k : k + step]
            block = np.stack([real(arrays[i]) for i in part])
            with np.errstate(all="ignore"):
                scale = np.abs(block).max(
                    axis=1
                )  # norms of tiny and of huge numbers neither vanish nor overflow
                safe = np.where((scale > 0) & np.isfinite(scale), scale, 1)[:, None]
                stats[0, part] = np.sqrt(np.square(block / safe).sum(axis=1)) * safe[:, 0]
                stats[1, part] = block.mean(axis=1)
                finite = np.isfinite(block)
                odd[part] = size - finite.sum(axis=1)
                if not finite.all():
                    low, high = (
                        np.where(finite, block, np.inf).min(1),
                        np.where(finite, block, -np.inf).max(1),
                    )
                else:
                    low, high = block.min(axis=1), block.max(axis=1)
                stats[2:, part] = np.where(finite.any(axis=1), (low, high), np.nan)
                span = np.where(high > low, high - low, 1)[:, None]
                place = np.where(finite, (block - low[:, None]) / span * BINS, 0)
                place = np.clip(np.nan_to_num(place), 0, BINS - 1).astype(np.int64)
                place += np.arange(len(part))[:, None] * BINS
                counts = np.bincount(place[finite], minlength=len(part) * BINS).reshape(-1, BINS)
                bins[part] = np.ceil(counts * (255 / np.maximum(counts.max(axis=1), 1))[:, None])
    return stats, bins, odd


def real(a: Any) -> Array:
    """Numbers that can be summed: complex ones become their size."""
    result: Array = np.asarray(np.abs(a) if a.dtype.kind == "c" else a, np.float64)
    return result


def shown(value: Any) -> Array | None:
    """What the page shows of a value: all of it up to 256 elements, else the corners.

    Of several outputs, as many as fit into 256 elements.
    """
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        ends = np.cumsum([v.size for v in value])
        parts = [np.ravel(v) for v, end in zip(value, ends.tolist(), strict=True) if end <= WHOLE]
        return np.concatenate(parts) if parts else None
    array = np.asarray(value)
    if array.size > WHOLE:
        for axis in range(array.ndim):
            n = array.shape[axis]
            if axis < array.ndim - 2:
                array = array.take([0], axis)
            elif n > 6:
                array = array.take([0, 1, 2, n - 3, n - 2, n - 1], axis)
    return np.ravel(real(array) if array.dtype.kind == "c" else array)


class Pack:
    """Typed arrays one after the other: `add` them, then take `index` and `blob`."""

    def __init__(self) -> None:
        self.index: dict[str, tuple[str, int, int]] = {}
        self._parts: list[bytes] = []
        self.nbytes = 0

    def add(self, name: str, array: Any, kind: str) -> None:
        """Append an array as "f4", "f8", "i4" or "u1"."""
        with np.errstate(over="ignore"):
            data = np.ascontiguousarray(array, dtype=_TYPES[kind]).tobytes()
        self.index[name] = (kind, self.nbytes, len(data) // int(kind[1]))
        data += bytes(-len(data) % 8)
        self._parts.append(data)
        self.nbytes += len(data)

    def exact(self, name: str, values: Sequence[Any]) -> None:
        """Append arrays so that every digit survives: floats of 32 bits as they are, all others as 64 bits.

        `name` gets the place of each in the pool `name4` or `name8`, −1 for None; a place in the pool of 64
        bits counts from −2 downwards.
        """
        at = np.full(len(values), -1, np.int32)
        pools: dict[str, list[Array]] = {"f4": [], "f8": []}
        length = {"f4": 0, "f8": 0}
        for i, value in enumerate(values):
            if value is not None:
                kind = "f4" if value.dtype in (np.float32, np.float16) else "f8"
                at[i] = length[kind] if kind == "f4" else -2 - length[kind]
                pools[kind].append(value)
                length[kind] += value.size
        self.add(name, at, "i4")
        for kind, pool in pools.items():
            self.add(name + kind[1], np.concatenate(pool) if pool else np.zeros(0), kind)

    def blob(self) -> bytes:
        """All arrays."""
        return b"".join(self._parts)


def script(id: str, data: Any) -> str:
    """A data block of the page: JSON, or bytes as base64; compressed above 1 MB."""
    raw = (
        data
        if isinstance(data, bytes)
        else json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    )
    if not isinstance(data, bytes) and len(raw) <= PLAIN:
        text = raw.decode()
    else:
        small = zlib.compress(raw, 6) if len(raw) > PLAIN else raw
        text = json.dumps(["deflate" if len(raw) > PLAIN else "base64", base64.b64encode(small).decode()])
    return f'<script type="application/json" id="{id}">{text.replace("<", chr(92) + "u003c")}</script>\n'
