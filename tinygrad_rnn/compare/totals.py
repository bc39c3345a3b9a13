"""What is wrong with the total gradient of a parameter: which steps are missing, which value was taken instead."""

from __future__ import annotations

import numpy as np

from ..core.op import Array
from .mutations import alternatives
from .recorded import Recorded


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


def _steps(by_step: dict[int, Array], fits) -> list[str]:  # type: ignore[no-untyped-def]
    """Whether only some of the steps were added up."""
    times = sorted(by_step)
    found = []
    for t, name in ((times[0], "first"), (times[-1], "last")):
        if fits(by_step[t]):
            found.append(f"only the {name} step, t={t}: the sum over time is missing")
    if not found:
        late = np.zeros_like(by_step[times[-1]])
        for n, t in enumerate(reversed(times[1:]), 1):
            late = late + by_step[t]
            if n > 1 and fits(late):
                found.append(
                    f"the flow back in time is cut: only the last {n} of {len(times)} steps, from t={t} on"
                )
        whole = late + by_step[times[0]]
        found += [
            f"the step t={t} is missing" for t in times[:-1] if t != times[0] and fits(whole - by_step[t])
        ]
        if fits(whole - by_step[times[-1]]):
            found.append(f"the last step, t={times[-1]}, is missing")
    return found
