"""Layers that make numbers ready for a network: text and categories as integers, numbers scaled and binned."""

from __future__ import annotations

from .categories import CategoryEncoding, Discretization
from .lookup import IntegerLookup, StringLookup
from .scaling import Normalization, Rescaling
from .text_vectorization import TextVectorization

__all__ = [
    "CategoryEncoding", "Discretization", "IntegerLookup", "Normalization", "Rescaling", "StringLookup",
    "TextVectorization",
]  # fmt: skip
