"""`ManualRecorder`: what a hand-written backward loop computes, step by step, and on which line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from .references import array_of
from .sites import Source, computed


@dataclass(frozen=True)
class Entry:
    """One recorded quantity of one time step; `t` is None for a total."""

    t: int | None
    name: str
    value: Any
    source: Source


class ManualRecorder:
    """Collects the quantities of a hand-written backward loop: call it inside the loop, once per step.

        rec = ManualRecorder()
        for t in reversed(range(T)):
            ...
            rec(t, dz=dz, dWaa=dWaa, da_prev=da)
        rec(None, dWaa=dWaa, db=db)          # optional: totals, after the loop

    `compare_gradients(rec, …)` compares every quantity of every t with autodiff. A leading `d` marks the
    gradient of a variable of the loss function, `_prev` the value of step t − 1 (`da_prev` is what step t
    sends back to `a` of step t − 1), a name without `d` the variable itself. The gradient of a parameter may
    be what step t contributes, or the sum so far. Arrays are copied. Raises `TypeError` unless `t` is an
    integer or None.

    >>> rec = ManualRecorder()
    >>> rec(3, dz=np.ones(2))
    >>> rec.entries[0].t, rec.entries[0].name
    (3, 'dz')
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._sources: dict[Any, Source] = {}  # a loop makes the same call again and again

    def __call__(self, t: int | None, /, **quantities: Any) -> None:
        """Record the quantities of step `t` (None: totals)."""
        if t is not None and (isinstance(t, bool) or not isinstance(t, (int, np.integer))):
            raise TypeError(f"ManualRecorder: the first argument is the time step, received {t!r}")
        frame = sys._getframe(1)
        found = [
            Entry(None if t is None else int(t), name, _copy(value), self._source(frame, name))
            for name, value in quantities.items()
        ]
        self.entries += sorted(found, key=lambda entry: entry.source.order)  # as they were produced

    def totals(self) -> dict[str, Any]:
        """The quantities recorded without a step."""
        return {entry.name: entry.value for entry in self.entries if entry.t is None}

    def __iter__(self) -> Iterator[Any]:
        """The values of all recorded quantities."""
        return iter([entry.value for entry in self.entries])

    def _source(self, frame: FrameType, name: str) -> Source:
        key = frame.f_code, frame.f_lasti, name
        if key not in self._sources:
            self._sources[key] = computed(frame, name)
        return self._sources[key]

    def __len__(self) -> int:
        """Number of recorded quantities."""
        return len(self.entries)

    def __repr__(self) -> str:
        """`<ManualRecorder: 60 quantities, 12 steps>`."""
        steps = {entry.t for entry in self.entries} - {None}
        return f"<ManualRecorder: {len(self)} quantities, {len(steps)} steps>"


def _copy(value: Any) -> Any:
    """A copy of an array, also of another library's; anything else as it is."""
    array = array_of(value)
    return value if array is None else array.copy()


def by_steps(quantities: Any) -> ManualRecorder:
    """A recorder from `per_step`: a dict of name → array with the time steps first, or a list of them."""
    if not isinstance(quantities, Mapping):
        raise TypeError(
            "compare_gradients: per_step must be a dict of name -> array with the time steps first, "
            f"received {type(quantities).__name__}"
        )
    recorder = ManualRecorder()
    steps = {name: list(values) for name, values in quantities.items()}
    for t in reversed(range(max(map(len, steps.values()), default=0))):
        for name, values in steps.items():
            if t < len(values):
                recorder.entries.append(Entry(t, name, _copy(values[t]), Source("", 0, "")))
    return recorder
