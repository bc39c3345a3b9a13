"""Windows that slide over a series, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import generator

Array = NDArray[Any]


class TimeseriesDataset:
    """Batches of windows, made when they are asked for; each pass starts anew, and can be shuffled anew.

    Made by `timeseries_dataset_from_array`; `len` is the number of batches (of windows, if `batch_size` is
    None).

    >>> windows = timeseries_dataset_from_array(np.arange(10), None, sequence_length=4, batch_size=2)
    >>> len(windows), next(iter(windows)).tolist()
    (4, [[0, 1, 2, 3], [1, 2, 3, 4]])
    """

    def __init__(
        self,
        data: Array,
        targets: Array | None,
        steps: Array,
        starts: Array,
        batch_size: int | None,
        rng: Any,
    ) -> None:
        self.data, self.targets = data, targets
        self.steps, self.starts = steps, starts  # places inside a window, and of its first element
        self.batch_size = batch_size
        self.rng = rng  # the generator that shuffles, or None

    def __len__(self) -> int:
        """Number of batches in one pass."""
        return -(-len(self.starts) // (self.batch_size or 1))

    def __iter__(self) -> Iterator[Any]:
        """One pass: windows (batch, time, ...), or `(windows, targets)`."""
        starts = self.starts if self.rng is None else self.rng.permutation(self.starts)
        size = self.batch_size or 1
        for i in range(0, len(starts), size):
            chosen = starts[i : i + size] if self.batch_size else starts[i]
            windows = self.data[np.add.outer(chosen, self.steps)]
            yield windows if self.targets is None else (windows, self.targets[chosen])


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> TimeseriesDataset:
    """Windows over a series (time, ...): `x[k] = data[i], data[i + r], ..., data[i + (n - 1) r]`, `y[k] = targets[i]`.

    `i = start_index + k · sequence_stride`, n is `sequence_length` and r `sampling_rate`; a target belongs to
    the window that starts at its place, so shift the targets to predict what follows. Only
    `data[start_index:end_index]` is read. `targets=None` gives the windows alone, `batch_size=None` one
    window at a time. The result can be passed to `fit` as `x`, again and again; with `shuffle` every pass has
    another order.

    Raises `ValueError` for options out of range and if no window fits.

    >>> series = np.arange(6.0)
    >>> batches = timeseries_dataset_from_array(series[:-3], series[3:], 3, batch_size=2)
    >>> [(x.tolist(), y.tolist()) for x, y in batches]
    [([[0.0, 1.0, 2.0]], [3.0])]
    """
    name = "timeseries_dataset_from_array"
    series = np.asarray(data)
    goals = None if targets is None else np.asarray(targets)
    if series.ndim == 0 or (goals is not None and goals.ndim == 0):
        raise ValueError(f"{name}: data and targets need a time axis, received a single value")
    counts = {
        "sequence_length": sequence_length,
        "sequence_stride": sequence_stride,
        "sampling_rate": sampling_rate,
        "batch_size": 1 if batch_size is None else batch_size,
    }
    for option, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: {option} must be a positive integer, received {value!r}")
    start, end = start_index or 0, len(series) if end_index is None else end_index
    if not 0 <= start < end <= len(series):
        raise ValueError(
            f"{name}: expected 0 <= start_index < end_index <= {len(series)} (the length of data), received "
            f"start_index={start_index}, end_index={end_index}"
        )
    steps = np.arange(sequence_length) * sampling_rate
    last = end - int(steps[-1])  # where no window can start any more
    if goals is not None:
        last = min(last, len(goals))
    if last <= start:
        raise ValueError(
            f"{name}: no window fits: one spans {steps[-1] + 1} of the {end - start} time steps"
            + ("" if goals is None else f", and there are {len(goals)} targets")
        )
    starts = np.arange(start, last, sequence_stride)
    return TimeseriesDataset(series, goals, steps, starts, batch_size, generator(seed) if shuffle else None)
