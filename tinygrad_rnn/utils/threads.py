"""How many threads BLAS gets: one, where matrix products are too small to gain from a second."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

# A product with a matrix of this many elements takes about as long on one core as handing it to two. Below,
# OpenBLAS still wakes its second thread, and waits for milliseconds if another process holds that core.
WORTH_A_SECOND_THREAD = 40_000


def blas_threads_for(weights: list[Any]) -> AbstractContextManager[Any]:
    """Context manager that holds BLAS at one thread if every weight is small; else leaves it alone.

    >>> with blas_threads_for([]):
    ...     pass
    """
    if any(w.size >= WORTH_A_SECOND_THREAD for w in weights):
        return nullcontext()
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits
