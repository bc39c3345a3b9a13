"""Small helpers around training: seeds, and objects by name."""

from __future__ import annotations

from ..config import set_random_seed
from .packing import pack_x_y_sample_weight, unpack_x_y_sample_weight

__all__ = ["pack_x_y_sample_weight", "set_random_seed", "unpack_x_y_sample_weight"]
