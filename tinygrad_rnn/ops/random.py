"""Random tensors. `seed` is an int (the same numbers every time), a `SeedGenerator` (a stream), or None
(the package's stream, fixed by `set_random_seed`). Same distributions as Keras, NumPy's bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import SeedGenerator, floatx, generator
from ..core.op import Array
from ..core.record import repeatable
from ..core.tensor import Tensor
from .indexing import take

__all__ = [
    "SeedGenerator", "categorical", "dropout", "normal", "randint", "shuffle", "truncated_normal", "uniform",
]  # fmt: skip


def normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Normally distributed numbers.

    >>> normal((2, 3), seed=1).shape
    (2, 3)
    """
    return Tensor(_normal(shape, mean, stddev, dtype or floatx(), seed), None)


@repeatable
def _normal(shape: Any, mean: float, stddev: float, dtype: Any, seed: Any) -> Array:
    return np.asarray(generator(seed).standard_normal(shape) * stddev + mean, dtype)


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    """Normal numbers, those further than two `stddev` from `mean` drawn again.

    >>> bool((abs(truncated_normal((100,), seed=1)) <= 2).all())
    True
    """
    rng = generator(seed)
    values = np.asarray(rng.standard_normal(shape))
    while (far := np.abs(values) > 2).any():
        values[far] = rng.standard_normal(int(far.sum()))
    return _tensor(values * stddev + mean, dtype)


def uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Tensor:
    """Numbers spread evenly over `[minval, maxval)`.

    >>> bool((uniform((100,), seed=1) < 1).all())
    True
    """
    return _tensor(generator(seed).random(shape) * (maxval - minval) + minval, dtype)


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """Integers from `minval` up to but not including `maxval`.

    >>> bool((randint((100,), 0, 3, seed=1) < 3).all())
    True
    """
    return _tensor(generator(seed).integers(minval, maxval, shape), dtype)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Draw class numbers with probabilities `softmax(logits)`: (batch, classes) → (batch, num_samples).

    By the Gumbel trick: the largest of logit − ln(−ln u).

    >>> categorical(np.array([[-1e9, 0.0]]), 3, seed=1).tolist()
    [[1, 1, 1]]
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"categorical: expected logits (batch, classes), received shape {scores.shape}")
    if np.isnan(scores).any():
        position = tuple(int(i) for i in np.argwhere(np.isnan(scores))[0])
        raise ValueError(f"categorical: the logits are NaN at position {position}")
    noise = generator(seed).gumbel(size=(scores.shape[0], num_samples, scores.shape[1]))
    return _tensor(np.argmax(scores[:, None, :] + noise, axis=-1), dtype)


def dropout(x: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Set a share `rate` of the elements to 0 and divide the rest by 1 − rate (inverted dropout).

    Where `noise_shape` is 1 (or None) against the shape of `x`, one draw serves the whole axis.

    >>> dropout(np.ones(4), 0.0).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    mask = dropout_mask(x.shape, rate, noise_shape, x.dtype, seed)
    return x * (mask if isinstance(x, Tensor) else mask.numpy())


def dropout_mask(shape: Any, rate: float, noise_shape: Any, dtype: Any, seed: Any) -> Tensor:
    """What `dropout` multiplies by: 0 with probability `rate`, else 1 / (1 − rate)."""
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate must be in [0, 1], got {rate!r}")
    if noise_shape is not None:
        shape = tuple(n if s is None else s for n, s in zip(shape, noise_shape, strict=True))
    return Tensor(_mask(shape, rate, dtype or floatx(), seed), None)


@repeatable
def _mask(shape: Any, rate: float, dtype: Any, seed: Any) -> Array:
    keep = generator(seed).random(shape) >= rate
    share = 1.0 / (1.0 - rate) if rate < 1 else 0.0
    return np.asarray(np.multiply(keep, np.asarray(share, dtype)))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """The slices along `axis` in random order.

    >>> sorted(shuffle(np.arange(3), seed=1).tolist())
    [0, 1, 2]
    """
    return take(x, generator(seed).permutation(x.shape[axis]), axis=axis)


def _tensor(values: Any, dtype: Any) -> Tensor:
    return Tensor(np.asarray(values, dtype=dtype or floatx()), None)
