"""The loops of a hand-written backward pass: which of them goes over the time steps, and in which order."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ..viz.sites import label, parsed
from .names import bare_name
from .recorder import Entry
from .sites import function_at

Loop = ast.For | ast.While


class Made(NamedTuple):
    """What was computed in one pass of a loop, and the whole numbers that the loop assigns, as they were then."""

    number: int
    entry: Entry
    counters: dict[str, int]


@dataclass(eq=False)
class Run:
    """One run of a loop: how often it was passed, and what was computed inside."""

    loop: Loop
    frame: FrameType
    outer: tuple[Run, ...]
    passes: int = 0
    started: tuple[str, ...] = ()  # what flows back and is not zero when the loop begins
    made: list[Made] = field(default_factory=list)
    _last: int = 0  # the line that ran before
    _begins: bool = False  # the next line of the body begins a pass

    def left(self, frame: FrameType, event: str) -> bool:
        """Whether an event of a frame ends this run."""
        inside = self.loop.lineno <= frame.f_lineno <= (self.loop.end_lineno or 0)
        return frame is self.frame and (event == "return" or not inside)

    def follow(self) -> None:
        """Count the passes: called with every line of the frame."""
        line, first, last = self.frame.f_lineno, self.loop.body[0], self.loop.body[-1]
        back = line == first.lineno and self._last > (first.end_lineno or 0)  # `while True` has no test
        self._last = line
        if line == self.loop.lineno or back:
            self._begins = True
        if self._begins and first.lineno <= line <= (last.end_lineno or 0):
            self.passes, self._begins = self.passes + 1, False
            if self.passes == 1:
                names = sorted(carried(self.loop))
                names = [name for name in names if bare_name(name)[1]] or names
                self.started = tuple(name for name in names if _flows(self.frame.f_locals.get(name)))

    def end(self) -> None:
        """Called when it is left: passes at the end in which nothing was computed do not count.

        Of a loop in one line, the last one was but the question whether there is another.
        """
        if self.loop.body[0].lineno == self.loop.lineno:
            self.made = [made for made in self.made if made.number < self.passes - 1]
        self.passes = self.made[-1].number + 1 if self.made else 0

    def add(self, entry: Entry) -> None:
        """Note what was computed in this pass."""
        here = self.frame.f_locals
        counters = {name: int(here[name]) for name in _stored(self.loop) if _whole(here.get(name))}
        self.made.append(Made(self.passes - 1, entry, counters))

    @cached_property
    def text(self) -> str:
        """Its first line."""
        return ast.unparse(self.loop).splitlines()[0].rstrip(":")

    def at(self, steps: Sequence[int]) -> list[Entry]:
        """What was computed, with the step of every pass."""
        return [replace(made.entry, t=steps[made.number]) for made in self.made if made.number < len(steps)]

    def orders(self, length: int) -> list[tuple[int, ...]]:
        """The steps that its passes may be, the likeliest first: by what it counts, or from the last one down.

        A number that stands as an index, `x[t]`, is likelier to be the step than that the loop counts down.
        """
        down = tuple(length - 1 - i for i in range(self.passes))
        used = _indices(self.loop)
        likely: list[tuple[int, ...]] = []
        others: list[tuple[int, ...]] = []
        for name, values in self._counted():
            for shift, index in ((0, name), (1, f"{name} - 1")):
                steps = tuple(v - shift for v in values)
                if all(0 <= t < length for t in steps):
                    (likely if index in used else others).append(steps)
        if not likely and not others:
            up = tuple(range(self.passes))
            turned = isinstance(self.loop, ast.While) or _turns(self.frame.f_code.co_filename, self.loop)
            likely, others = ([], [up]) if turned else ([up], [])
        return [
            o for o in dict.fromkeys([*likely, down, *others]) if 0 <= min(o, default=-1) <= max(o) < length
        ]

    def _counted(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The variables that have one whole number in every pass, each another one."""
        for name in sorted(_stored(self.loop)):
            values: dict[int, set[int | None]] = {}
            for made in self.made:
                values.setdefault(made.number, set()).add(made.counters.get(name))
            single = [v for number in range(self.passes) for v in values.get(number, ())]
            if len(single) == len(set(single)) == self.passes and None not in single:
                yield name, tuple(v for v in single if v is not None)


def over_time(runs: Sequence[Run], length: int) -> list[Run]:
    """The runs of loops that go over the time steps, in the order in which they ran.

    Those that were passed once for every step, the outermost of them; and if none of these hands something on
    from pass to pass, the longest that does. A loop that ran several times, once for every example, is none.
    """
    found: list[Run] = []
    for run in runs:
        if run.passes == length and run.made and not set(run.outer) & set(found):
            found.append(run)
    if not any(carried(run.loop) for run in found):
        others = [run for run in runs if run.made and 1 < run.passes and carried(run.loop)]
        others = [run for run in others if not set(run.outer) & set(found)]
        found += sorted(others, key=lambda run: run.passes)[-1:]
    again = [run.loop for run in runs if run.passes]
    return [run for run in runs if run in found and again.count(run.loop) == 1]


@lru_cache(maxsize=64)
def carried(loop: Loop) -> frozenset[str]:
    """The variables that a loop reads before it assigns them: they hand something on to the next pass.

    Sums do not count (`dW += …`): every pass adds to them what it likes, in any order.
    """
    first_read: dict[str, int] = {}
    made: dict[str, list[int]] = {}
    for statement in _statements(loop.body):
        reads, stores = _names(statement, ast.Load), _names(statement, ast.Store)
        if isinstance(statement, ast.AugAssign):
            reads = reads | stores
        for name in reads:
            first_read.setdefault(name, statement.lineno)
        for name in stores - reads:
            made.setdefault(name, []).append(statement.lineno)
    later = frozenset(name for name, lines in made.items() if first_read.get(name, lines[0]) < lines[0])
    return later.union(*map(_same, _statements(loop.body)))


@lru_cache(maxsize=64)
def _indices(loop: Loop) -> frozenset[str]:
    """What stands in the brackets of what a loop reads: `t` and `t - 1` for `x[:, t] + y[t - 1]`."""
    read = [n for n in ast.walk(loop) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Load)]
    parts = [part for n in read for part in (n.slice.elts if isinstance(n.slice, ast.Tuple) else [n.slice])]
    return frozenset(ast.unparse(part) for part in parts)


def _same(statement: Any) -> frozenset[str]:
    """What a statement hands to a function and gets back, `dh = one(t, dh)`; but for sums, `dW = np.add(dW, …)`."""
    if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
        return frozenset()
    adds = label(statement.value.func) == "add"
    return frozenset() if adds else _names(statement, ast.Load) & _names(statement, ast.Store)


def _statements(body: Sequence[ast.stmt]) -> Iterator[Any]:
    """The simple statements and the headers of a body, in their order; without functions in it."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            continue
        inner = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
        if not any(inner):
            yield statement
        for part in inner:
            yield from _statements(part)


def _names(node: ast.AST, context: type[ast.expr_context]) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context))


@lru_cache(maxsize=64)
def _stored(loop: Loop) -> frozenset[str]:
    """The variables that a loop assigns."""
    return _names(loop, ast.Store)


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _flows(value: Any) -> bool:
    """Whether a value is an array that is not zero."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and bool(np.any(value))


def _turns(file: str, loop: Loop) -> bool:
    """Whether something is turned round in the function that a loop stands in."""
    text = ast.unparse(function_at(parsed(file), loop.lineno))
    return any(sign in text for sign in ("revers", "::-1", "pop(", "flip", "insert(0", "appendleft"))
