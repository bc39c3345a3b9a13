"""Models: Sequential and functional, with training, saving and loading."""

from __future__ import annotations

from .cloning import clone_model, model_from_json
from .model import Model
from .saving import load_model, save_model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
