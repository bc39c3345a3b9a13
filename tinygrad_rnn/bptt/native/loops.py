"""A loop of a compiled source that runs in C if it can, bound to the arrays of a cache when these are used first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .binding import Bound, bind
from .operands import Unbindable
from .parsing import Foreign, parse


class NativeLoop:
    """The statements of one loop."""

    def __init__(self, body: list[str], backwards: bool, held: set[str], sequence: str) -> None:
        """Raises `Foreign` for statements that only Python can run.

        `held` are the names of what is in the cache, `sequence` that of an input, whose first axis are the examples.
        """
        self.parsed = parse(body)
        self.backwards, self.sequence = backwards, sequence
        self.given = [n for n in self.parsed.names if n not in held]  # arrays that each call brings along

    def run(
        self, bound: dict[bool, Bound | None], length: int, given: Sequence[Any], names: dict[str, Any]
    ) -> bool:
        """Whether all steps were run: not if the arrays lie in a way that only NumPy itself can compute with."""
        key = self.backwards
        if key in bound:
            known = bound[key]
            if known is None or known.run(given):
                return known is not None
        try:
            made = bind(self.parsed, names, length, key, len(names[self.sequence]), self.given)
        except Unbindable:
            bound[key] = None
            return False
        bound[key] = made
        return made.run(given)


__all__ = ["Foreign", "NativeLoop"]
