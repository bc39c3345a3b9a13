"""The preprocessing layers, and Keras's older places for sequences and windows."""

from __future__ import annotations

from functools import partial

from ..absent import missing
from ..layers.preprocessing import (
    CategoryEncoding,
    Discretization,
    IntegerLookup,
    Normalization,
    Rescaling,
    StringLookup,
    TextVectorization,
)
from ..utils.timeseries import timeseries_dataset_from_array
from . import sequence

__all__ = [
    "CategoryEncoding", "Discretization", "IntegerLookup", "Normalization", "Rescaling", "StringLookup",
    "TextVectorization", "sequence", "timeseries_dataset_from_array",
]  # fmt: skip

__getattr__ = partial(missing, __name__)  # only for what is missing
