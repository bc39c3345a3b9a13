"""The total gradients of parameters: verdicts, and what is wrong with those that differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..core.op import Array
from .diagnose import diagnose
from .mutations import alternatives
from .recorded import Recorded
from .references import array_of, pair
from .report import Row
from .verdict import Reference, judge, size_of, tolerance

BY_TOTALS = "unexplained by the total alone"
STEPWISE = (
    "what totals do not explain, single steps do: rec(t, dz=dz, ...) of a tg.ManualRecorder in the loop of the "
    "derivation, or `tinygrad-rnn compare FILE` for an RNN, LSTM or GRU in a file, find the step and the line"
)


def compare_totals(
    ours: Mapping[str, Any],
    references: Mapping[str, Reference],
    mapping: Mapping[str, Any],
    runs: list[Recorded],
    partial: bool,
) -> list[Row]:
    """A row for every parameter (`partial`: of which there is a gradient by hand), and for what has no partner."""
    pairs, extra = pair(ours, list(references), mapping)
    peak = max([size_of(r.gradient) for r in references.values() if r.gradient is not None], default=0.0)
    rows: list[Row] = []
    unexplained: dict[int, tuple[Row, Array]] = {}
    for name, reference in references.items():
        if partial and name not in pairs:
            continue
        m, g = array_of(pairs.get(name)), reference.gradient
        row = judge(name, m, reference, peak)
        rows.append(row)
        if m is None and pairs.get(name) is not None and g is not None:
            what = type(pairs[name]).__name__
            row.diagnosis = f"the hand-written gradient is no array of real numbers but {what}"
        if row.verdict == "differs" and m is not None and g is not None:
            leaf = runs[0].leaf(name) if runs else None
            row.diagnosis = _why(m, reference, leaf, runs)
            if leaf is not None and row.diagnosis == "unexplained":
                unexplained[leaf] = row, m - g
    gaps = {leaf: gap for leaf, (_, gap) in unexplained.items()}
    steps = window(runs[0], gaps) if len(gaps) > 1 else None
    for row, _ in unexplained.values():
        if steps is not None:
            size = f"what is missing has the size of what flows back more than about {steps} steps"
            row.diagnosis = f"perhaps truncated: {size}"
    for row in rows if not partial else ():
        row.diagnosis = row.diagnosis.replace("unexplained", BY_TOTALS)
    return rows + extra


def _why(m: Array, reference: Reference, leaf: int | None, runs: list[Recorded]) -> str:
    """What is wrong with a gradient that differs: from the arrays, or else from the uses of the parameter."""
    assert reference.gradient is not None
    bar = tolerance(m, reference)
    cause = diagnose(m, reference.gradient, bar, runs[0].length if runs else None)
    if leaf is not None and cause in ("unexplained", "zero everywhere"):  # zeros may be what one step adds
        known = [] if cause == "unexplained" else [cause]
        cause = " or ".join([*known, *from_uses(runs[0], leaf, m, bar)]) or cause
    if m.dtype.kind != "f":
        cause += f" (it is an array of {m.dtype}: was the accumulator made of integers?)"
    return cause


@np.errstate(all="ignore")
def from_uses(recorded: Recorded, leaf: int, m: Array, tolerance: float) -> list[str]:
    """What turns the sum of what the uses of a parameter send back into `m`."""
    r = recorded.gradient(leaf)
    bar = min(tolerance, 1e-3 * float(np.abs(m - r).max()))
    by_step: dict[int, Array] = {}
    for use in recorded.uses[leaf]:
        t = recorded.times[use[0]]
        if t is not None:
            by_step[t] = by_step.get(t, 0) + recorded.part(use)

    def fits(candidate: Array) -> bool:
        return candidate.shape == m.shape and float(np.abs(m - candidate).max()) <= bar

    found = [*_steps(by_step, fits)] if len(by_step) > 1 else []
    changes: dict[str, Array] = {}
    for use in recorded.uses[leaf]:
        for label, delta in alternatives(recorded, use):
            if np.shape(delta) == r.shape:
                changes[label] = changes.get(label, 0) + delta
    found += [label for label, delta in changes.items() if fits(r + delta)]
    return found


def _steps(by_step: dict[int, Array], fits: Callable[[Array], bool]) -> list[str]:
    """Whether only some of the steps were added up."""
    times = sorted(by_step)
    found = []
    for t, name in ((times[0], "first"), (times[-1], "last")):
        if fits(by_step[t]):
            found.append(f"only the {name} step, t={t}: the sum over time is missing")
    if not found:
        late = np.zeros_like(by_step[times[-1]])
        for n, t in enumerate(reversed(times[2:]), 1):
            late = late + by_step[t]
            if n > 1 and fits(late):
                found.append(
                    f"the flow back in time is cut: only the last {n} of {len(times)} steps, from t={t} on"
                )
        whole = np.sum(list(by_step.values()), axis=0)
        found += [f"the step t={t} is missing" for t in times[:-1] if fits(whole - by_step[t])]
        if fits(whole - by_step[times[-1]]):
            found.append(f"the last step, t={times[-1]}, is missing")
    return found


def window(recorded: Recorded, missing: dict[int, Array]) -> int | None:
    """After how many steps a truncated flow back in time would leave out about as much as is missing.

    `missing` are the differences of several parameters, by row. One vector, that of the last step, is sent
    back through all the others; what it adds to a parameter k steps earlier, times the root of the number of
    such pairs of steps, is about what a window of k steps leaves out. None unless all parameters say the same.
    """
    reached = _from_the_last_step(recorded, set(missing))
    guesses = []
    for leaf, gap in missing.items():
        sizes = {k: np.linalg.norm(part) * np.sqrt(recorded.length - k) for k, part in reached[leaf].items()}
        sizes = {k: float(size) for k, size in sizes.items() if size > 0}
        if len(sizes) < 4:
            return None
        wanted = float(np.log(np.linalg.norm(gap)))
        guesses.append(min(sizes, key=lambda k: abs(np.log(sizes[k]) - wanted)))
    same = len(guesses) > 1 and max(guesses) - min(guesses) <= 2
    inside = min(guesses) > 2 and max(guesses) < recorded.length - 1
    return round(float(np.mean(guesses))) if same and inside else None


def _from_the_last_step(recorded: Recorded, leaves: set[int]) -> dict[int, dict[int, Array]]:
    """What the last step alone sends to parameters through earlier steps: by leaf, and by how much earlier."""
    last = recorded.length - 1
    moving: dict[int, Any] = {}
    found: dict[int, dict[int, Array]] = {leaf: {} for leaf in leaves}
    for row in reversed(range(len(recorded.nodes))):
        t, arrived = recorded.times[row], moving.pop(row, None)
        for k, parent in enumerate(recorded.nodes[row].inputs or ()):
            state = parent is not None and parent.shape != ()  # not the sum that the losses are added up in
            before = recorded.times[recorded.row[parent]] if parent is not None and state else None
            starts = t == last and before is not None and before < last
            if parent is None or (arrived is None and not starts):
                continue
            at = recorded.row[parent]
            part = recorded.part((row, k)) if starts else recorded.pull((row, k), arrived)
            if isinstance(part, list):
                old = moving.get(at, [0.0] * len(part))
                moving[at] = [a + b for a, b in zip(old, part, strict=True)]
            elif at not in leaves:
                moving[at] = moving.get(at, 0.0) + part
            elif t is not None and t < last:
                found[at][last - t] = found[at].get(last - t, 0.0) + part
    return found
