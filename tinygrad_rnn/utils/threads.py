"""How many threads BLAS gets: one, where matrix products are too small to gain from a second."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakSet

from ..blas import libraries
from ..locks import new_lock

# A product with a matrix of this many elements takes about as long on one core as handing it to two. Below,
# OpenBLAS still wakes its second thread, and waits for milliseconds if another process holds that core.
WORTH_A_SECOND_THREAD = 40_000

_lock = new_lock()
_limits: list[Any] = []  # the one that holds, if any


class OneThread:
    """Holds BLAS at one thread from the first block that asks for it to the end of the last, in whatever threads.

    The number belongs to the process: if each block put back what it had found, the last one of two that overlap
    would put back the limit of the other.
    """

    def __enter__(self) -> None:
        with _lock:
            _holding.add(self)
            if not _limits:
                _limits.append(libraries().limit(limits=1))

    def __exit__(self, *_: object) -> None:
        with _lock:
            _holding.discard(self)
            if not _holding:
                _restore()


# A block that was interrupted while it began is not among them for long.
_holding: WeakSet[OneThread] = WeakSet()


def _restore() -> None:
    while _limits:
        _limits.pop().restore_original_limits()


def _after_fork() -> None:
    """The other threads, with their blocks, are not in this process."""
    _holding.clear()
    _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def blas_threads_for(weights: list[Any]) -> AbstractContextManager[Any]:
    """Context manager that holds BLAS at one thread if every weight is small; else leaves it alone.

    >>> with blas_threads_for([]):
    ...     pass
    """
    return nullcontext() if any(w.size >= WORTH_A_SECOND_THREAD for w in weights) else OneThread()
