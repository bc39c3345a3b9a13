"""A loop of a compiled source that runs in C if it can, bound to the arrays of a cache when these are used first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ...native.lanes import lanes
from ...native.library import library
from ...ops.indexing import is_basic
from ..step.body import Value
from .binding import STEPS, Bound, Pattern
from .operands import Unbindable
from .parsing import parse

# In which a cache is bound: forwards and backwards, for gradients that lie in several ways.
WAYS = 8
# For which it is known how a loop is called: gradients that are read where they lie differ by the length.
LAYOUTS = 64

# Of these ops the statements are Python's.
IN_PYTHON = frozenset(
    "round erf cumsum solve einsum roll take scatter_add argmax argmin max min all any logsumexp".split()
)


def runs_in_c(values: Iterable[Value]) -> bool:
    """Whether loops with such ops run in C, as far as can be told before they are written."""
    return library() is not None and not any(
        v.op in IN_PYTHON or _picks_by_array(v) or _changes_type(v) for v in values
    )


def _picks_by_array(v: Value) -> bool:
    return v.op in ("getitem", "put_back") and not is_basic(v.attrs["index"])


def _changes_type(v: Value) -> bool:
    """Whether an op makes floats of flags or integers, or the other way round but for comparisons."""
    kinds = {a.dtype.kind for a in v.inputs}
    makes_floats = v.dtype.kind == "f" and not kinds <= {"f"} and v.op != "where"
    return v.op == "cast" or v.dtype.kind in "iu" or makes_floats


class NativeLoop:
    """The statements of one loop."""

    def __init__(self, body: list[str], backwards: bool, held: set[str], sequence: str) -> None:
        """Raises `Foreign` for statements that only Python can run.

        `held` are the names of what is in the cache, `sequence` that of an input, whose first axis are the examples.
        """
        self.parsed = parse(body)
        self.backwards, self.sequence = backwards, sequence
        self.given = [n for n in self.parsed.names if n not in held]  # arrays that each call brings along
        self.held = [n for n in self.parsed.names if n in held]
        self.patterns: dict[Any, Pattern | None] = {}
        self.meets: dict[int, list[bool]] = {}  # what `meetings` found, by the number of steps

    def run(
        self, bound: dict[Any, Bound | None], length: int, given: Sequence[Any], names: dict[str, Any]
    ) -> bool:
        """Whether all steps were run: not if the arrays lie in a way that only NumPy itself can compute with.

        `bound` is of the cache, whose arrays are among `names`, as are those that are `given`.
        """
        way = tuple([(a.shape, a.strides, a.dtype) if type(a) is np.ndarray else None for a in given])
        key = self.backwards, lanes(), way
        if key not in bound:
            if len(bound) >= WAYS:
                bound.clear()
            bound[key] = self._bound(names, length, key)
        known = bound[key]
        if known is not None:
            known.run(given)
        return known is not None

    def _bound(self, names: dict[str, Any], length: int, key: tuple[Any, ...]) -> Bound | None:
        # whether two threads share it depends on the length
        steps = length.bit_length() if lanes() > 1 else min(length, STEPS)
        objects = {id(o) for part in names["cache"][:-1] for o in part}
        if not all(id(names[n]) in objects for n in self.held):  # they may be gone before the cache is
            return None
        with suppress(Unbindable):
            if (steps, *key) not in self.patterns:
                if len(self.patterns) >= LAYOUTS:
                    self.patterns.clear()
                self.patterns[steps, *key] = self._pattern(names, length)
            pattern = self.patterns.get((steps, *key))
            return None if pattern is None else pattern.bound(names, length)
        return None

    def _pattern(self, names: dict[str, Any], length: int) -> Pattern | None:
        examples = len(names[self.sequence])
        with suppress(Unbindable):
            return Pattern(self.parsed, names, length, self.backwards, examples, self.given, self.meets)
        return None
