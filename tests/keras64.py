"""Keras on torch as a float64 oracle for whole models."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np


@contextlib.contextmanager
def true_float64(keras: Any) -> Iterator[None]:
    """Inside, Keras computes in float64 throughout.

    `set_floatx` is not enough: its rule for the type of a result answers float32 for float64 and a number, and so do
    matmul, maximum, the division of every mean loss ...; and torch's hardsigmoid has 1/6 as a float32 constant.
    """
    import torch
    from keras.src.backend.common import dtypes

    rule = dtypes.result_type

    def result_type(*types: Any) -> str:
        return "float64" if any(str(t).endswith("float64") for t in types) else rule(*types)

    before = keras.config.floatx()
    with contextlib.ExitStack() as stack:
        for path, function in {
            "keras.src.backend.common.dtypes.result_type": result_type,
            "keras.src.backend.result_type": result_type,
            "keras.src.backend.torch.nn.hard_sigmoid": lambda x: torch.clamp(x / 6.0 + 0.5, 0.0, 1.0),
        }.items():
            stack.enter_context(mock.patch(path, function))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")  # once asked for, the policy no longer follows floatx
        try:
            yield
        finally:
            keras.config.set_floatx(before)
            keras.config.set_dtype_policy(before)


def array(value: Any) -> np.ndarray:
    """A NumPy array of a tensor or variable of either library."""
    value = getattr(value, "value", value) if type(value).__module__.startswith("keras") else value
    return value.detach().numpy() if hasattr(value, "detach") and hasattr(value, "cpu") else np.asarray(value)
