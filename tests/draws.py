"""A sample of an op, and how its values are drawn: away from kinks and from the borders of the domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Rng = np.random.Generator
Draw = Callable[[Rng, tuple[int, ...]], np.ndarray]


class Sample(NamedTuple):
    """Positional arrays and static attributes of one call of an op."""

    args: list[np.ndarray]
    attrs: dict[str, Any] = {}


# --- values -----------------------------------------------------------------------------------------


def between(low: float, high: float) -> Draw:
    return lambda rng, shape: np.asarray(rng.uniform(low, high, shape))


def anything(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def signed(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Both signs, never near 0."""
    return np.asarray(rng.uniform(0.3, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


def truth(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.integers(0, 2, shape), dtype=bool)


def small_integers(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Few different values, so that comparisons meet equal ones."""
    return np.asarray(rng.integers(-2, 3, shape), dtype=np.float64)


def halves(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.integers(-5, 6, shape) / 2.0)


def with_nonfinite(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.choice([1.0, np.nan, np.inf, -np.inf], shape))


def in_between(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Never equal to, nor near, a small integer."""
    return np.asarray(small_integers(rng, shape) + 0.5)


positive = between(0.3, 2.0)
inner = between(-0.8, 0.8)
