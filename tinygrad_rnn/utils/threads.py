"""How many threads BLAS gets: one, where matrix products are too small to gain from a second, or are shared by us."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..blas import OneThread
from ..native.lanes import lanes

# A product with a matrix of this many elements takes about as long on one core as handing it to two. Below,
# OpenBLAS still wakes its second thread, and waits for milliseconds if another process holds that core.
WORTH_A_SECOND_THREAD = 40_000


def blas_threads_for(weights: list[Any]) -> AbstractContextManager[Any]:
    """Context manager that holds BLAS at one thread if every weight is small, or large products are shared without it.

    The second thread of OpenBLAS looks for work for 0.13 seconds after each product that it had a part in, and takes
    half a core from one that has some.

    >>> with blas_threads_for([]):
    ...     pass
    """
    small = all(w.size < WORTH_A_SECOND_THREAD for w in weights)
    return OneThread() if small or lanes() > 1 else nullcontext()
