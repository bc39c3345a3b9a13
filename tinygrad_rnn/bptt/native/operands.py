"""What the expressions of a loop stand for at its steps: arrays that follow each other in memory, and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.arrays import owner
from ...native.lanes import address
from .parsing import Expression

LOOKED_FOR = 1000  # units of work in which NumPy looks for memory that two arrays share


class Unbindable(ValueError):
    """Arrays lie in a way that inner loops do not take."""


class Operand(NamedTuple):
    """What an expression stands for: the arrays of some steps, or parts of them; or a number at all steps."""

    steps: list[int]
    found: list[Any]
    addresses: list[int]
    expression: Expression | None = None  # none for a number
    whole: Any = None  # its array at the first step
    given: bool = False  # by whoever runs the loop

    def place(self, turn: int, turns: int) -> tuple[int, int]:
        """Where it lies at step 0, and how far on at each, as the steps of one turn see it."""
        known = [(t, a) for t, a in zip(self.steps, self.addresses, strict=True) if t % turns == turn]
        if len(known) < 2:
            return (known[0][1], 0) if known else (self.addresses[0], 0)
        (t, here), (later, there) = known[:2]
        by = (there - here) // (later - t)
        return here - t * by, by

    def seen(self, index: Any) -> Operand:
        """A part of it, or with other axes."""
        found = [a[index] for a in self.found]
        return self._replace(found=found, addresses=[address(a) for a in found])

    def is_regular(self, turns: int) -> bool:
        """Whether that holds at all steps that are known."""
        places = [self.place(turn, turns) for turn in range(turns)]
        return all(
            places[t % turns][0] + t * places[t % turns][1] == a
            for t, a in zip(self.steps, self.addresses, strict=True)
        )


def operand(e: Expression, names: dict[str, Any], given: Sequence[str], steps: list[int]) -> Operand:
    """What an expression stands for."""
    found = [eval(e.code, names, {"t": t}) for t in steps]
    if type(found[0]) is np.ndarray:
        named = names[e.name]
        memory = {id(owner(a)) for a in (named[:2] if isinstance(named, list) else [named])}  # two, by turns
        if not all(id(owner(a)) in memory for a in found):
            raise Unbindable("an array is copied to be seen in another way")
        return Operand(steps, found, [address(a) for a in found], e, found[0], e.name in given)
    if isinstance(found[0], (bool, int, float, np.generic)):
        return Operand(steps, found, [0] * len(steps))
    raise Unbindable(f"an operand is a {type(found[0]).__name__}")


def numbers_as_arrays(of: Sequence[Operand], copied: bool, kept: list[Any]) -> list[Operand]:
    """Operands with numbers as arrays: of the type of the result, if they are `copied`, else of other arguments."""
    arrays = [o.found[0] for o in (reversed(of) if copied else of) if isinstance(o.found[0], np.ndarray)]
    if not isinstance(of[-1].found[0], np.ndarray):
        raise Unbindable("a result is no array")
    for a in arrays:
        if not (a.flags.aligned and a.dtype.isnative and a.size and a.dtype.kind in "biufc"):
            raise Unbindable("an array is not aligned, or empty, or does not hold numbers")
    made = []
    for o in of:
        if not isinstance(o.found[0], np.ndarray):
            number = o.found[0]
            a = np.asarray(number, arrays[0].dtype)
            if a != number and number == number:
                raise Unbindable(f"{number} is no {a.dtype}")
            kept.append(a)
            o = Operand(o.steps, [a] * len(o.steps), [address(a)] * len(o.steps))
        made.append(o)
    return made


def overlap(a: Operand, y: Operand, elementwise: bool) -> bool:
    """Whether a result shares memory with an argument, otherwise than element by element."""
    for one, other in zip(a.found, y.found, strict=True):
        same = one.shape == other.shape and one.strides == other.strides and address(one) == address(other)
        if not (elementwise and same) and shared(one, other):
            return True
    return False


def shared(one: Any, other: Any) -> bool:
    """Whether two arrays may have an element in common."""
    if not np.may_share_memory(one, other):
        return False
    try:
        return np.shares_memory(one, other, max_work=LOOKED_FOR)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
