"""Layers that act while training only: Dropout and its relatives, noise, and penalties on activities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import regularizers
from ..config import SeedGenerator, mode
from ..ops import dropout
from ..ops.random import normal
from .arguments import switches_training
from .layer import Layer


class Dropout(Layer):
    """Set a share `rate` of the inputs to 0 while training and divide the rest by 1 − rate.

    `noise_shape`: the shape that is drawn, one draw for a whole axis where it is 1, as the input where it is
    None. Srivastava et al. 2014, in the inverted form.

    >>> Dropout(0.5)(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    supports_masking = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.rate = _between_0_and_1(self, "rate", rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        if any(n is not None and (not isinstance(n, int) or n < 1) for n in self.noise_shape or ()):
            raise ValueError(
                f"Dropout: noise_shape holds positive integers and None, received {noise_shape!r}"
            )
        self.seed, self.seed_generator = seed, SeedGenerator(seed)

    def check_input(self, inputs: Any) -> None:
        """Inputs that `noise_shape` broadcasts to."""
        if self.noise_shape is not None and (
            len(self.noise_shape) != inputs.ndim
            or any(n not in (None, 1, m) for n, m in zip(self.noise_shape, inputs.shape, strict=True))
        ):
            raise ValueError(
                f"{self.name}: noise_shape {self.noise_shape} does not fit inputs of shape {inputs.shape}"
            )

    @switches_training
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs."""
        if not mode().training or self.rate == 0:
            return inputs
        return dropout(inputs, self.rate, self.noise_shape, self.seed_generator)


class SpatialDropout1D(Dropout):
    """`Dropout` of whole features: (batch, time, features) with one draw for all time steps (Tompson 2014).

    >>> SpatialDropout1D(0.5)(np.ones((1, 2, 3))).shape
    (1, 2, 3)
    """

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, (None, 1, None), seed, name=name, dtype=dtype)

    def check_input(self, inputs: Any) -> None:
        """Three axes."""
        if inputs.ndim != 3:
            raise ValueError(
                f"{self.name}: expected inputs (batch, time, features), received shape {inputs.shape}"
            )


class GaussianNoise(Layer):
    """Add normal numbers of standard deviation `stddev` (0 to 1) while training.

    >>> GaussianNoise(0.1)(np.ones(2)).tolist()
    [1.0, 1.0]
    """

    supports_masking = True

    def __init__(self, stddev: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.stddev = _between_0_and_1(self, "stddev", stddev)
        self.seed, self.seed_generator = seed, SeedGenerator(seed)

    @switches_training
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs."""
        if not mode().training or self.stddev == 0:
            return inputs
        return inputs + normal(inputs.shape, 0.0, self.stddev, inputs.dtype, self.seed_generator)


class GaussianDropout(Layer):
    """Multiply by normal numbers of mean 1 and standard deviation `√(rate / (1 − rate))` while training.

    >>> GaussianDropout(0.1)(np.ones(2)).tolist()
    [1.0, 1.0]
    """

    supports_masking = True

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.rate = _between_0_and_1(self, "rate", rate)
        if self.rate == 1:
            raise ValueError("GaussianDropout: rate must be below 1, where the noise becomes infinite")
        self.seed, self.seed_generator = seed, SeedGenerator(seed)

    @switches_training
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs."""
        if not mode().training or self.rate == 0:
            return inputs
        spread = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * normal(inputs.shape, 1.0, spread, inputs.dtype, self.seed_generator)


class ActivityRegularization(Layer):
    """Hand the inputs on, and add `(l1 Σ |x| + l2 Σ x²) / batch` to the loss.

    >>> layer = ActivityRegularization(l1=1.0)
    >>> y = layer(np.array([[1.0, -2.0], [0.0, 1.0]]))
    >>> layer.losses[0].item()
    2.0
    """

    supports_masking = True

    unlisted = Layer.unlisted | {"activity_regularizer"}  # it is made of l1 and l2

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **options)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Any) -> Any:
        """Compute the outputs."""
        return inputs


def _between_0_and_1(layer: Layer, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ValueError(f"{type(layer).__name__}: {name} must be in [0, 1], received {value!r}")
    return float(value)
