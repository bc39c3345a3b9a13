"""What the processor does faster than others, on which it depends how some passes write a step."""

from __future__ import annotations

from typing import Any

import numpy as np


def has_avx512() -> bool:
    """Whether NumPy computes with AVX-512, as OpenBLAS then does, too."""
    core: Any = np._core  # type: ignore[attr-defined]
    return bool(getattr(core._multiarray_umath, "__cpu_features__", {}).get("AVX512F"))
