"""Memory of derived recurrences that have ended, kept for the next ones, as long as it is not too much of it."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import numpy as np

OF_A_PLAN = 4  # sets of buffers of one structure, of whatever lengths
OF_ALL, BYTES = 16, 2**28  # of more sets than that, all together have no more than so many bytes

_ages = itertools.count()
_waiting: dict[int, _Set] = {}  # by age; those of a plan that is no more go with it


class _Set:
    """Where a set of buffers is, and its size if anybody asked."""

    def __init__(self, owner: Idle, age: int, steps: int) -> None:
        self.owner = weakref.ref(owner, lambda _: _waiting.pop(age, None))
        self.key = age, steps
        self.size: int | None = None


class Idle:
    """The sets of buffers of one plan that nobody uses.

    Without a lock, as each access to a dict is whole: garbage collection may give back in the middle of anything.
    """

    def __init__(self) -> None:
        self.sets: dict[tuple[int, int], Any] = {}  # by age and number of steps

    def take(self, length: int) -> Any:
        """Memory of an earlier call with as many steps, or None."""
        for age, steps in reversed(list(self.sets)):
            if steps == length and (found := self._pop(age, steps)) is not None:
                return found
        return None

    def give_back(self, length: int, buffers: Any) -> None:
        """Keep memory for later; the oldest goes, of this plan, and of others if there is much."""
        age = next(_ages)
        self.sets[age, length] = buffers
        _waiting[age] = _Set(self, age, length)
        if len(self.sets) > OF_A_PLAN:
            for oldest in list(self.sets)[:-OF_A_PLAN]:
                self._pop(*oldest)
        if len(_waiting) > OF_ALL:
            _let_go()

    def _pop(self, age: int, steps: int) -> Any:
        _waiting.pop(age, None)
        return self.sets.pop((age, steps), None)


def _let_go() -> None:
    """Let the oldest sets go, until the others are few or small."""
    total, waiting = (
        0,
        list(_waiting.values()),
    )  # which other threads, and garbage collection, may change meanwhile
    for one in waiting:
        if one.size is None:
            owner = one.owner()
            one.size = 0 if owner is None else size_of(owner.sets.get(one.key))
        total += one.size
    for one in waiting[:-OF_ALL]:
        if total <= BYTES:
            return
        total -= one.size or 0
        if (owner := one.owner()) is not None:
            owner._pop(*one.key)


def size_of(buffers: Any) -> int:
    """The bytes of all arrays in tuples of them; views, and lists of the steps of an array, are not counted.

    >>> size_of(((np.ones(3), [np.ones(9)]), (np.ones(2)[:1],)))
    24
    """
    arrays: dict[int, int] = {}
    parts = [buffers]
    while parts:
        part = parts.pop()
        if type(part) is tuple:
            parts.extend(part)
        elif type(part) is np.ndarray and part.base is None:
            arrays[id(part)] = part.nbytes
    return sum(arrays.values())
