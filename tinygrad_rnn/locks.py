"""Locks that are free in a forked process: the thread that held one is not there to let it go."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

_all: WeakSet[Any] = WeakSet()


def new_lock() -> Any:
    """A lock, which the thread that holds it may take again.

    >>> lock = new_lock()
    >>> with lock, lock:
    ...     pass
    """
    made = threading.RLock()
    _all.add(made)
    return made


def _let_go() -> None:
    """Free what another thread held; only the one that forked is in this process."""
    for lock in list(_all):
        if lock.acquire(blocking=False):
            lock.release()
        else:
            lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):  # where there is no fork, there is nothing to do
    os.register_at_fork(after_in_child=_let_go)
