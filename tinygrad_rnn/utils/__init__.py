"""Small helpers around training: seeds, and objects by name."""

from __future__ import annotations

from ..config import set_random_seed

__all__ = ["set_random_seed"]
