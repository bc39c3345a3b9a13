"""Normalization and Rescaling: numbers brought to a common scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...config import epsilon
from ...core.tensor import Tensor
from .base import Preprocessing
from .batches import Array, batches


class Rescaling(Preprocessing):
    """`y = scale · x + offset`, in the float type; integers may come in.

    >>> Rescaling(1 / 255)(np.array([0, 51], np.uint8)).numpy().round(3).tolist()
    [0.0, 0.2...]
    """

    autocast = True
    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset = np.asarray(scale, self.dtype), np.asarray(offset, self.dtype)

    def prepare(self, inputs: Any) -> Any:
        """Numbers and lists as arrays of floats."""
        return _floats(inputs, self.dtype)

    def call(self, inputs: Any) -> Any:
        """Scale and shift."""
        return inputs * self.scale + self.offset


class Normalization(Preprocessing):
    """`y = (x - mean) / max(√variance, ε)`, per position on `axis` (None: one mean for all); `invert` goes back.

    Mean and variance are given, or `adapt` takes them from data; then they are weights that training leaves
    alone (`mean`, `variance`, and `count`, which holds the number of values that they were taken from),
    and are saved with the model. `axis` counts the batch axis. Until it is adapted the layer hands its inputs
    on. Raises `ValueError` for axes that do not exist or have no known length, and for a mean and variance of
    unlike shapes.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0, 7.0], [2.0, 9.0], [0.0, 7.0], [2.0, 9.0]]))
    >>> layer(np.array([[0.0, 9.0]])).tolist()
    [[-1.0, 1.0]]
    """

    autocast = True
    supports_masking = True

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: give both mean and variance, or none of them")
        if np.shape(mean) != np.shape(variance):
            raise ValueError(
                f"Normalization: mean {np.shape(mean)} and variance {np.shape(variance)} differ in shape"
            )
        if np.ndim(mean) > len(self.axis):
            raise ValueError(
                f"Normalization: mean has shape {np.shape(mean)}, but there are {len(self.axis)} axes to keep"
            )
        self.invert = bool(invert)
        self._given = None if mean is None else (np.asarray(mean), np.asarray(variance))

    def build(self, input_shape: Any) -> None:
        """Create mean and variance, one for each position on the kept axes, and the count."""
        ndim = len(input_shape)
        if any(not -ndim <= a < ndim for a in self.axis):
            raise ValueError(f"{self.name}: axis {self.axis} does not exist in inputs of shape {input_shape}")
        self._kept = tuple(sorted(a % ndim for a in self.axis))
        if any(input_shape[a] is None for a in self._kept):
            raise ValueError(f"{self.name}: axis {self.axis} has no known length in shape {input_shape}")
        self._broadcast = tuple(input_shape[a] if a in self._kept else 1 for a in range(ndim))
        shape = tuple(input_shape[a] for a in self._kept)
        if self._given is None:
            self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", "int64", trainable=False, name="count")
        else:
            self.mean, self.variance = (  # type: ignore[assignment]
                np.broadcast_to(v, shape).astype(self.dtype) for v in self._given
            )

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Take mean and variance (of the population) from an array, or an iterable of batches.

        Of an iterable at most `steps` batches are taken. Raises `ValueError` for batches of unlike shapes, for
        data that holds nothing or NaN, and if mean and variance were given; then the old ones stay.
        """
        if self._given is not None:
            raise ValueError(f"{self.name}: mean and variance were given; leave them out to adapt the layer")
        total, mean, spread = 0, np.float64(0), np.float64(0)  # spread: sum of squares around the mean
        for batch in batches(data, steps):
            values = np.asarray(batch, np.float64)
            if not self.built:
                self.build_at(
                    self.path, (None, *values.shape[1:]) if 0 not in self._axes(values) else values.shape
                )
            self._check(values)
            rest = tuple(a for a in range(values.ndim) if a not in self._kept)
            n = math.prod(values.shape[a] for a in rest)
            if n == 0:
                continue
            gap = values.mean(axis=rest) - mean
            spread = spread + values.var(axis=rest) * n + gap**2 * (total * n / (total + n))
            total, mean = total + n, mean + gap * (n / (total + n))
        if not total or not np.isfinite(mean).all():
            raise ValueError(f"{self.name}.adapt: expected finite numbers, received {total} values")
        for weight, value in ((self.mean, mean), (self.variance, spread / total), (self.count, total)):
            weight.assign(np.asarray(value, weight.dtype))

    def _axes(self, values: Array) -> tuple[int, ...]:
        return tuple(a % values.ndim for a in self.axis if -values.ndim <= a < values.ndim)

    def _check(self, values: Any) -> None:
        shape = tuple(values.shape[a] if a in self._kept else 1 for a in range(values.ndim))
        if shape != self._broadcast:
            raise ValueError(
                f"{self.name}: it was built for positions {self._broadcast}, received shape {values.shape}"
            )

    def prepare(self, inputs: Any) -> Any:
        """Numbers and lists as arrays of floats."""
        return _floats(inputs, self.dtype)

    def call(self, inputs: Any) -> Any:
        """Normalize, or undo it."""
        self._check(inputs)
        mean, variance = (np.asarray(v).reshape(self._broadcast) for v in (self.mean, self.variance))
        scale = np.maximum(np.sqrt(variance), np.asarray(epsilon(), self.dtype))
        return inputs * scale + mean if self.invert else (inputs - mean) / scale


def _floats(inputs: Any, dtype: str) -> Any:
    values = inputs if isinstance(inputs, Tensor) else np.asarray(inputs)
    return values if values.dtype.kind == "f" else values.astype(dtype)
