"""Keras as a float64 oracle for recurrent layers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def keras64(keras: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Keras whose layers are float64 throughout, if that is their dtype.

    Of the ops that recurrent layers use, two are not: `matmul` falls back to float32, and torch's
    `hardsigmoid` has 1/6 as a float32 constant.
    """
    import torch

    monkeypatch.setattr("keras.src.backend.torch.numpy.matmul", torch.matmul)
    monkeypatch.setattr(
        "keras.src.backend.torch.nn.hard_sigmoid", lambda x: torch.clamp(x / 6.0 + 0.5, 0.0, 1.0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield keras
