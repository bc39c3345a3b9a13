"""The library that multiplies matrices for NumPy: how many threads it has, and what it does well."""

from __future__ import annotations

import functools
from typing import Any

AVX512 = ("SkylakeX", "Cooperlake", "SapphireRapids")  # names of OpenBLAS for processors that have it


@functools.cache
def libraries() -> Any:
    """The BLAS libraries of this process; to find them takes as long as a small model's prediction."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def threads() -> int:
    """How many threads a large product has now.

    >>> threads() >= 1
    True
    """
    return max([one.num_threads for one in libraries().lib_controllers], default=1)


def takes_small_matrices_as_they_are() -> bool:
    """Whether small matrices are multiplied as they lie in memory, as OpenBLAS does with AVX-512: others are packed."""
    return any(getattr(one, "architecture", "") in AVX512 for one in libraries().lib_controllers)
