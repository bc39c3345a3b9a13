"""The library that multiplies matrices for NumPy: how many threads it has, and what it does well."""

from __future__ import annotations

import functools
import os
from typing import Any
from weakref import WeakSet

from .locks import new_lock

AVX512 = ("SkylakeX", "Cooperlake", "SapphireRapids")  # names of OpenBLAS for processors that have it


@functools.cache
def libraries() -> Any:
    """The BLAS libraries of this process; to find them takes as long as a small model's prediction."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def threads() -> int:
    """How many threads a large product may have; whether `OneThread` holds it at one does not matter.

    >>> threads() >= 1
    True
    """
    with _lock:
        found = [number for _, number in _before]
    return max(found or [one.num_threads for one in libraries().lib_controllers], default=1)


def is_held() -> bool:
    """Whether `OneThread` holds BLAS at one thread."""
    return bool(_before)


def takes_small_matrices_as_they_are() -> bool:
    """Whether small matrices are multiplied as they lie in memory, as OpenBLAS does with AVX-512: others are packed."""
    return any(getattr(one, "architecture", "") in AVX512 for one in libraries().lib_controllers)


_lock = new_lock()
_before: list[tuple[Any, int]] = []  # libraries that are held at one thread, and how many they had


class OneThread:
    """Holds BLAS at one thread from the first block that asks for it to the end of the last, in whatever threads.

    The number belongs to the process: if each block put back what it had found, the last one of two that overlap
    would put back the limit of the other.
    """

    def __enter__(self) -> None:
        with _lock:
            _holding.add(self)
            if not _before:
                _before.extend([(one, one.num_threads) for one in libraries().lib_controllers])
                for one, _ in _before:
                    one.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with _lock:
            _holding.discard(self)
            if not _holding:
                _restore()


# A block that was interrupted while it began is not among them for long.
_holding: WeakSet[OneThread] = WeakSet()


def _restore() -> None:
    while _before:
        one, number = _before.pop()
        one.set_num_threads(number)


def _after_fork() -> None:
    """The other threads, with their blocks, are not in this process."""
    _holding.clear()
    _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
