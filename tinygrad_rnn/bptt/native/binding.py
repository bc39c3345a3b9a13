"""From the statements of a loop and its arrays to lists of calls for `calls.c`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...blas import OneThread
from ...native.lanes import address, lanes
from ...native.library import Call, library
from .lowering import Action, action, lower
from .operands import Given, Unbindable, operand
from .parsing import UFUNCS, Parsed
from .sharing import meetings, split, worth

AT_ONCE = 256  # steps between two looks at what Python has to do, such as interrupts
STEPS = 4  # the first ones, which say how arrays follow each other


class Bound:
    """A loop over certain arrays, which somebody else holds."""

    def __init__(
        self, calls: list[Any], turns: int, length: int, backwards: bool, given: list[Given], kept: Any
    ) -> None:
        self.calls = calls  # those of one thread, and those of each of two, if these would be faster
        self.turns, self.length, self.backwards = turns, length, backwards
        self.given, self.kept = given, kept  # what each run brings along; numbers and intermediate results
        self.lanes = lanes()

    def run(self, given: Sequence[Any]) -> bool:
        """Run all steps; False, and nothing is done, if it was bound with arrays that lie otherwise, or one thread."""
        if self.lanes < (available := lanes()) or not all(
            [known.is_like(a) for known, a in zip(self.given, given, strict=True)]
        ):
            return False
        for known, a in zip(self.given, given, strict=True):
            known.follow(a)
        alone, *shared = self.calls
        if shared and available > 1:
            with OneThread():
                self._run(library().share, *shared)
        else:
            self._run(library().run, alone)
        return True

    def _run(self, run: Any, *tables: Any) -> None:
        count = len(tables[0]) // self.turns
        arguments = *[address(t) for t in tables], count, self.turns
        for done in range(0, self.length, AT_ONCE):
            end = min(done + AT_ONCE, self.length)
            if self.backwards:
                run(*arguments, self.length - 1 - done, self.length - 1 - end, -1)
            else:
                run(*arguments, done, end, 1)


def bind(
    parsed: Parsed, names: dict[str, Any], length: int, backwards: bool, examples: int, given: Sequence[str]
) -> Bound:
    """A loop of so many steps; `given` are the names of arrays that each run brings along.

    Raises `Unbindable`.
    """
    if not all(isinstance(names[n], np.ndarray) for n in given):
        raise Unbindable("a list is given")
    brought = {n: Given(names[n]) for n in given}
    names = {**UFUNCS, "np": np, **names}
    kept: list[Any] = []
    for name, code in parsed.temporaries.items():
        names[name] = made = np.array(eval(code, names, {"t": 0}))
        kept.append(made)
    steps = sorted({*range(min(STEPS, length)), length - 1})
    actions = [
        action(s, [operand(e, names, brought, steps) for e in s.operands], kept) for s in parsed.statements
    ]
    turns = next((n for n in (1, 2) if all(o.is_regular(n) for a in actions for o in a.operands)), 0)
    if not turns:
        raise Unbindable("steps do not follow each other in memory")
    calls = [_table(actions, turns)]
    if lanes() > 1 and worth(actions, length):
        pairs = [split(a, examples) for a in actions]
        calls += [_table([pair[k] for pair in pairs], turns) for k in (0, 1)]
        for of_one in calls[1:]:
            of_one[:, Call.WAITS] = np.tile(meetings(pairs, backwards), turns)
    return Bound(calls, turns, length, backwards, list(brought.values()), kept)


def _table(actions: Sequence[Action | None], turns: int) -> Any:
    """The calls of some actions, for each turn; an empty one where there is nothing to do."""
    count = len(actions)
    table = np.zeros((turns * count, Call.WORDS), np.int64)
    for i, a in enumerate(actions):
        if a is None:
            continue
        row = lower(a)
        for turn in range(turns):
            call = table[turn * count + i]
            call[:] = row
            for k, o in enumerate(a.operands):
                call[Call.FIRST + k], call[Call.BY_STEP + k] = o.place(turn, turns)
                if o.given is not None:
                    o.given.words.append((call, Call.FIRST + k))
    return table
