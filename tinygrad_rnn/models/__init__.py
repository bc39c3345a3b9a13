"""Models: Sequential and functional, with training, saving and loading."""

from __future__ import annotations

from .model import Model
from .saving import load_model, save_model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "load_model", "save_model"]
