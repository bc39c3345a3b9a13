"""From the statements of a loop and its arrays to lists of calls for `calls.c`."""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from ...blas import OneThread
from ...native.lanes import address, lanes
from ...native.library import Call, library
from .lowering import Action, action, lower
from .operands import Operand, Unbindable, operand
from .parsing import UFUNCS, Expression, Parsed
from .sharing import meetings, microseconds, split, worth

AT_ONCE = 256  # steps between two looks at what Python has to do, such as interrupts
STEPS = 4  # the first ones, which say how arrays follow each other in memory


class Bound:
    """A loop over certain arrays, which somebody else holds."""

    def __init__(
        self, pattern: Pattern, tables: list[Any], length: int, given: list[_Given], kept: Any
    ) -> None:
        self.tables = tables  # the calls of one thread, or of each of two
        self.turns, self.backwards, self.length = pattern.turns, pattern.backwards, length
        self.given = given  # what each run brings along
        self.kept = pattern.numbers, kept  # to which the calls point: numbers, and intermediate results

    def run(self, given: Sequence[Any]) -> None:
        """Run all steps, with arrays that lie as those that it was bound with."""
        for known, a in zip(self.given, given, strict=True):
            known.follow(a)
        if len(self.tables) > 1:
            with OneThread():
                self._run(library().share)
        else:
            self._run(library().run)

    def _run(self, run: Any) -> None:
        count = len(self.tables[0]) // self.turns
        arguments = *[address(table) for table in self.tables], count, self.turns
        for done in range(0, self.length, AT_ONCE):
            end = min(done + AT_ONCE, self.length)
            if self.backwards:
                run(*arguments, self.length - 1 - done, self.length - 1 - end, -1)
            else:
                run(*arguments, done, end, 1)


class _Given:
    """An array that may lie elsewhere the next time, and the words that say where."""

    def __init__(self, array: Any) -> None:
        self.address = address(array)
        self.words: list[tuple[Any, Any, Any]] = []  # a table, its calls, and the places in them

    def follow(self, array: Any) -> None:
        """Let the calls read an array like the one before."""
        here = address(array)
        if here != self.address:
            by, self.address = here - self.address, here
            for table, calls, places in self.words:
                table[calls, places] += by


class Slot(NamedTuple):
    """An expression at the steps of one turn, and where calls say how it lies."""

    code: CodeType
    name: str
    turn: int
    like: tuple[Any, ...]  # shape, strides and type
    by: int  # bytes from one step to the next
    words: list[tuple[int, int, int, int]]  # table, call, word, and how far from the first element


class Pattern:
    """The calls of a loop but for where its arrays lie: for sequences of any length, and any memory."""

    def __init__(
        self,
        parsed: Parsed,
        names: dict[str, Any],
        length: int,
        backwards: bool,
        examples: int,
        given: Sequence[str],
        meets: dict[int, list[bool]],
    ) -> None:
        """`given` are the names of arrays that each run brings along, `meets` is for those to come.

        Raises `Unbindable`.
        """
        if not all(isinstance(names[n], np.ndarray) for n in given):
            raise Unbindable("a list is given")
        self.backwards = backwards
        names = _with_functions(names)
        self.numbers: list[Any] = []  # as arrays
        for name, code in parsed.temporaries.items():
            made = np.asarray(eval(code, names, {"t": 0}))
            names[name] = np.empty(made.shape, made.dtype)
        self.temporaries = {n: (names[n].shape, names[n].dtype) for n in parsed.temporaries}
        steps = sorted({*range(min(STEPS, length)), length - 1})
        known: dict[str, Operand] = {}
        for e in {e.text: e for s in parsed.statements for e in s.operands}.values():
            known[e.text] = operand(e, names, given, steps)
        actions = [action(s, [known[e.text] for e in s.operands], self.numbers) for s in parsed.statements]
        turns = next((n for n in (1, 2) if all(o.is_regular(n) for a in actions for o in a.operands)), 0)
        if not turns:
            raise Unbindable("steps do not follow each other in memory")
        self.turns = turns
        self.slots: dict[tuple[str, int], Slot] = {}
        if lanes() > 1 and worth(sum(microseconds(a) for a in actions), length):
            pairs = [split(a, examples) for a in actions]
            self.tables = [self._table([pair[k] for pair in pairs], k) for k in (0, 1)]
            seen = min(len(steps), turns + 1)  # from one step to the next, in each turn
            if seen not in meets:  # what is given is read alone
                meets[seen] = meetings(pairs, seen, backwards)
            for table in self.tables:
                table[:, Call.WAITS] = np.tile(meets[seen], turns)
        else:
            self.tables = [self._table(actions, 0)]
        slots = [*self.slots.values()]
        self.words = [
            np.array([(k, *w[1:]) for k, slot in enumerate(slots) for w in slot.words if w[0] == n], np.intp)
            .reshape(-1, 4)
            .T
            for n in range(len(self.tables))
        ]
        self.given = {name: [k for k, slot in enumerate(slots) if slot.name == name] for name in given}

    def _table(self, actions: Sequence[Action | None], number: int) -> Any:
        """The calls of some actions, for each turn; an empty one where there is nothing to do."""
        count = len(actions)
        table = np.zeros((self.turns * count, Call.WORDS), np.int64)
        for i, a in enumerate(actions):
            if a is None:
                continue
            row = lower(a)
            for turn in range(self.turns):
                at = turn * count + i
                table[at] = row
                for k, o in enumerate(a.operands):
                    table[at, Call.FIRST + k], table[at, Call.BY_STEP + k] = o.place(turn, self.turns)
                    if o.expression is not None:
                        self._enter(o, o.expression, turn, (number, at, Call.FIRST + k))
        return table

    def _enter(self, o: Operand, e: Expression, turn: int, word: tuple[int, int, int]) -> None:
        key, a = (e.text, turn), o.whole
        if key not in self.slots:
            by = o.place(turn, self.turns)[1]
            self.slots[key] = Slot(e.code, e.name, turn, (a.shape, a.strides, a.dtype), by, [])
        self.slots[key].words.append((*word, address(o.found[0]) - address(a)))

    def bound(self, names: dict[str, Any], length: int) -> Bound:
        """The loop over the arrays with these names. Raises `Unbindable` for those that lie otherwise."""
        names = _with_functions(names)
        for name, (shape, dtype) in self.temporaries.items():
            names[name] = np.empty(shape, dtype)
        firsts = np.array([_first(slot, names, length, self.turns) for slot in self.slots.values()], np.int64)
        tables = [t.copy() for t in self.tables]
        brought = [_Given(names[name]) for name in self.given]
        for table, (slots, calls, places, offsets) in zip(tables, self.words, strict=True):
            table[calls, places] = firsts[slots] + offsets
            for known, own in zip(brought, self.given.values(), strict=True):
                found = np.isin(slots, own)
                known.words.append((table, calls[found], places[found]))
        return Bound(self, tables, length, brought, [names[n] for n in self.temporaries])


def _first(slot: Slot, names: dict[str, Any], length: int, turns: int) -> int:
    """Where an expression lies at step 0, or would, if that were among the steps of its turn."""
    last = length - 1 - (length - 1 - slot.turn) % turns
    a, b = (eval(slot.code, names, {"t": t}) for t in (slot.turn, last))
    first = address(a) - slot.turn * slot.by
    if (a.shape, a.strides, a.dtype) != slot.like or address(b) != first + last * slot.by:
        raise Unbindable("arrays lie otherwise")
    return first


def _with_functions(names: dict[str, Any]) -> dict[str, Any]:
    return {**UFUNCS, "np": np, **names}
