"""Padding at both ends of a masked recurrence: steps at which no example is valid are not run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..core.arrays import is_nothing, nothing
from ..core.op import Array

SHARES = 8  # the steps that are run are so many eighths of all, as each number of steps has memory of its own


class Span(NamedTuple):
    """The time steps that are run, of so many: before them all states are the first ones, behind them the last.

    >>> padding = np.ones((2, 16), bool)
    >>> padding[0, 5:8] = False
    >>> Span.of(padding), Span.of(~padding)
    (Span(first=5, end=9, steps=16), None)
    """

    first: int
    end: int
    steps: int

    @staticmethod
    def of(padding: Array) -> Span | None:
        """From the first step at which an example is valid to the last, and some more; None for all."""
        steps = padding.shape[1]
        valid = np.flatnonzero(~padding.all(axis=0))
        first, last = (valid[0], valid[-1]) if valid.size else (0, 0)
        share = -(-steps // SHARES)
        length = min(-(-(last + 1 - first) // share) * share, steps)
        end = min(first + length, steps)
        return Span(int(end - length), int(end), steps) if length < steps else None

    def inside(self, x: Array) -> Array:
        """The steps of an array `(batch, time, ...)` that are run."""
        return x[:, self.first : self.end]

    def arrays(self, arrays: Sequence[Array], sequences: int) -> list[Array]:
        """Arrays of which the first ones are so many sequences, cut to the steps that are run."""
        return [*map(self.inside, arrays[:sequences]), *arrays[sequences:]]

    def outputs(self, y: Array) -> Array:
        """Outputs of all steps from those that were run: 0 before them, and the last one behind."""
        whole = np.empty((self.steps, y.shape[0], *y.shape[2:]), y.dtype)  # step after step, as `y` is
        whole[: self.first] = 0
        whole[self.first : self.end] = y.swapaxes(0, 1)
        whole[self.end :] = y[:, -1]
        return whole.swapaxes(0, 1)

    def cotangent(self, g: Array) -> Array:
        """Of the outputs that were run, from that of all: the last one was repeated."""
        inner = self.inside(g)
        if is_nothing(g):
            return nothing(inner.shape, g.dtype)  # type: ignore[no-any-return]
        if self.end == self.steps:
            return inner
        inner = inner.swapaxes(0, 1).copy().swapaxes(0, 1)
        inner[:, -1] += g[:, self.end :].sum(axis=1)
        return inner

    def gradient(self, g: Array) -> Array:
        """Of an input at all steps, from that at those that were run."""
        whole = np.zeros((self.steps, g.shape[0], *g.shape[2:]), g.dtype)
        whole[self.first : self.end] = g.swapaxes(0, 1)
        return whole.swapaxes(0, 1)
