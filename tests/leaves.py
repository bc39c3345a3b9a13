"""Small helpers of the tests: make a leaf, compare arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg


def leaf(value: Any, dtype: Any = "float64") -> tg.Tensor:
    return tg.tensor(value, dtype, requires_grad=True)


def close(got: Any, want: Any, rtol: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=rtol, atol=rtol)


def same_bits(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
