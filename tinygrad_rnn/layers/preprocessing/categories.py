"""CategoryEncoding and Discretization: integers as zeros and ones, numbers as the bins they fall into."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Preprocessing
from .batches import Array, batches, check_mode, encode, refuse

_MODES = ("one_hot", "multi_hot", "count")


class CategoryEncoding(Preprocessing):
    """Integers 0..num_tokens-1 as zeros and ones, in the float type.

    "one_hot": (..., n) → (..., n, num_tokens), and (..., 1) → (..., num_tokens); "multi_hot": (..., n) →
    (..., num_tokens), 1 for those that occur; "count": how often, times `count_weights` of the shape of
    the inputs. Raises `ValueError` for integers out of range, with the position.

    >>> CategoryEncoding(4)(np.array([[0, 1], [3, 3]])).tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        refuse("CategoryEncoding", sparse=sparse)
        if not isinstance(num_tokens, (int, np.integer)) or num_tokens < 1:
            raise ValueError(
                f"CategoryEncoding: num_tokens must be a positive integer, received {num_tokens!r}; if the "
                "number is not known, use IntegerLookup"
            )
        self.num_tokens = int(num_tokens)
        self.output_mode = check_mode("CategoryEncoding", output_mode, _MODES)

    def call(self, inputs: Any, count_weights: Any = None) -> Array:
        """Encode."""
        ids = np.asarray(inputs)
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(f"{self.name}: count_weights are for output_mode='count'")
        if ids.dtype.kind not in "iub" and not (ids == np.trunc(ids)).all():
            raise ValueError(f"{self.name}: expected integers, received {ids.dtype}")
        wrong = (ids < 0) | (ids >= self.num_tokens)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{self.name}: {ids[place]} at position {place} is outside 0..{self.num_tokens - 1}"
            )
        weights = None if count_weights is None else np.asarray(count_weights)
        return encode(ids.astype(np.int64), self.output_mode, self.num_tokens, self.dtype, weights)


class Discretization(Preprocessing):
    """Numbers → the bin they fall into: (...) → (...), int64, or "one_hot", "multi_hot", "count".

    Bin 0 lies below the first of the `bin_boundaries`, bin i from boundary i-1 (included) to i. With
    `num_bins` instead, `adapt` chooses boundaries such that all bins hold about as many of the data; they
    are the exact quantiles, so `epsilon` (Keras's tolerance) has no effect. Raises `ValueError` before
    there are boundaries.

    >>> Discretization([0.0, 1.0, 2.0])(np.array([[-1.5, 1.0, 3.4, 0.5]])).tolist()
    [[0, 2, 3, 1]]
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        refuse("Discretization", sparse=sparse)
        if bin_boundaries is None and num_bins is None:
            raise ValueError("Discretization: give bin_boundaries, or num_bins and adapt the layer")
        if num_bins is not None and num_bins < 1:
            raise ValueError(f"Discretization: num_bins must be at least 1, received {num_bins}")
        self.output_mode = check_mode("Discretization", output_mode, ("int", *_MODES))
        self.num_bins, self.epsilon = num_bins, epsilon
        self.bin_boundaries = None if bin_boundaries is None else _increasing(bin_boundaries)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Take the boundaries from data: an array, or an iterable of batches, of which `steps` are taken.

        Boundary i is the quantile i / num_bins, interpolated between the sorted values. Raises `ValueError`
        without `num_bins`, and for no data or NaN; then the old boundaries stay.
        """
        if self.num_bins is None:
            raise ValueError(f"{self.name}: it was made with bin_boundaries; give num_bins to adapt it")
        parts = [np.asarray(b, np.float64).ravel() for b in batches(data, steps)]
        values = np.sort(np.concatenate(parts)) if parts else np.empty(0)
        if not values.size or not np.isfinite(values).all():
            raise ValueError(f"{self.name}.adapt: expected finite numbers, received {values.size} values")
        if len(values) < self.num_bins:
            self.bin_boundaries = values[:-1].tolist()
            return
        shares = np.arange(1, self.num_bins) / self.num_bins
        below = np.arange(1, len(values) + 1) / len(values)
        self.bin_boundaries = np.interp(shares, below, values).tolist()

    def call(self, inputs: Any) -> Array:
        """Find the bins."""
        if self.bin_boundaries is None:
            raise ValueError(f"{self.name} has no boundaries: call adapt(data), or give bin_boundaries")
        x = np.asarray(inputs)
        boundaries = np.asarray(self.bin_boundaries, x.dtype if x.dtype.kind == "f" else np.float64)
        bins: Array = np.digitize(x, boundaries)
        if self.output_mode == "int":
            return bins
        return encode(bins, self.output_mode, len(self.bin_boundaries) + 1, self.dtype)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, with the boundaries as they are now."""
        return {**super().settings(), "bin_boundaries": self.bin_boundaries}


def _increasing(boundaries: Any) -> list[float]:
    values = np.asarray(boundaries, np.float64)
    if values.ndim != 1 or not (np.diff(values) >= 0).all():
        raise ValueError(f"Discretization: bin_boundaries must increase, received {boundaries!r}")
    return [float(v) for v in values]
