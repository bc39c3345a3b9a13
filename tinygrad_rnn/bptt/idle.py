"""Memory of derived recurrences that have ended, kept for the next ones, as long as it is not too much of it."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import numpy as np

OF_A_PLAN = 4  # sets of buffers of one structure, of whatever lengths
OF_ALL, BYTES = 16, 2**28  # of more sets than that, or beside a new one, all have no more than so many bytes
LENGTHS = 1000  # of which a plan knows the size of a set
OFTEN = 1024  # sets given back, after which all that wait are looked at, though they should be small

_ages = itertools.count()
_waiting: dict[int, tuple[weakref.ref[Idle], int, int]] = {}  # by age: whose a set is, its steps and bytes
_bytes = [0]  # of all that wait: more, if plans have gone with theirs; exact whenever all are looked at


class Idle:
    """The sets of buffers of one plan that nobody uses.

    Without a lock, as each access to a dict is whole: garbage collection may give back in the middle of anything.
    """

    def __init__(self) -> None:
        self.sets: dict[tuple[int, int], Any] = {}  # by age and number of steps
        self.sizes: dict[int, int] = {}  # bytes of a set, by number of steps

    def take(self, length: int) -> Any:
        """Memory of an earlier call with as many steps, or None; then the oldest goes if there is much."""
        for age, steps in reversed(list(self.sets)):
            if steps == length and (found := self._pop(age, steps)) is not None:
                return found
        if _bytes[0] > BYTES:  # the new set comes beside all that wait
            _let_go(0)
        return None

    def give_back(self, length: int, buffers: Any) -> None:
        """Keep memory for later; the oldest goes, of this plan, and of others if there is much."""
        age, size = next(_ages), self._size(length, buffers)
        self.sets[age, length] = buffers
        _waiting[age] = weakref.ref(self), length, size
        _bytes[0] += size
        if len(self.sets) > OF_A_PLAN:
            for oldest in list(self.sets)[:-OF_A_PLAN]:
                self._pop(*oldest)
        much = _bytes[0] > BYTES or age % OFTEN == 0  # not each time: there may be many
        if much and len(_waiting) > OF_ALL:
            _let_go(OF_ALL)

    def _size(self, length: int, buffers: Any) -> int:
        if length not in self.sizes:
            if len(self.sizes) >= LENGTHS:
                self.sizes.clear()
            self.sizes[length] = size_of(buffers)
        return self.sizes.get(length, 0)

    def _pop(self, age: int, steps: int) -> Any:
        *_, size = _waiting.pop(age, (0,))
        _bytes[0] -= size
        return self.sets.pop((age, steps), None)


def _gone() -> None:
    """What stands for a plan that is no more."""


def _let_go(few: int) -> None:
    """Let the oldest sets go, until the others are so few, or small."""
    alive = []
    for age in list(_waiting):  # which other threads, and garbage collection, may change meanwhile
        reference, steps, size = _waiting.get(age, (_gone, 0, 0))
        owner = reference()
        if owner is None or (age, steps) not in owner.sets:  # it went with its plan, or was taken just now
            _waiting.pop(age, None)
        else:
            alive.append((age, steps, size, owner))
    total = _bytes[0] = sum([size for _, _, size, _ in alive])
    for age, steps, size, owner in alive[: max(len(alive) - few, 0)]:
        if total <= BYTES:
            return
        total -= size
        owner._pop(age, steps)


def size_of(buffers: Any) -> int:
    """The bytes of all arrays in tuples, or under views in them, and of lists of steps, the most if steps are small.

    >>> a = np.ones((100, 2))
    >>> size_of((a, a.T)), size_of((a[1:],)), 1600 + 100 * 8 < size_of((list(a),))
    (1600, 1600, True)
    """
    sizes: dict[int, int] = {}
    parts = [buffers]
    while parts:
        part = parts.pop()
        if type(part) is tuple:
            parts.extend(part)
        elif type(part) is list:  # all are views of one array, or two arrays by turns
            view = 0 if part[0].base is None else part[0].__sizeof__()
            sizes[id(part)] = len(part) * (view + np.intp(0).nbytes)
            parts.append(tuple(part[:2]))
        elif type(part) is np.ndarray:
            owner = part if part.base is None else part.base
            sizes[id(owner)] = owner.nbytes
    return sum(sizes.values())
