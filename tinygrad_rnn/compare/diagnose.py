"""Why two gradients differ: each diagnosis is one test with NumPy on the totals."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from ..core.op import Array


def diagnose(m: Array, r: Array, tolerance: float, steps: int | None = None) -> str:
    """Name what turns the right gradient `r` into `m`; several answers are joined by "or".

    An answer counts if it leaves at most `tolerance` (absolute) of the difference, and at most a
    thousandth of it. "unexplained" if nothing fits. `steps` is the number of time steps, if it is known.

    >>> r = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> diagnose(-r, r, 1e-12), diagnose(r.T, r, 1e-12), diagnose(r.clip(-2, 2), r, 1e-12)
    ('constant factor -1 (sign)', 'transposed', 'clipped at 2')
    """
    if m.shape != r.shape:
        return "unexplained"
    m, r = m.astype(np.float64), r.astype(np.float64)
    tolerance = min(tolerance, 1e-3 * float(np.abs(m - r).max()))
    found = []
    weight = float((r * r).sum())
    c = float((m * r).sum()) / weight if weight else 0.0
    if weight and np.abs(m - c * r).max() <= tolerance * max(1.0, abs(c)):
        found.append("zero everywhere" if c == 0 else f"constant factor {_factor(c, steps)}")
    if m.ndim == 2 and m.shape[0] == m.shape[1] and np.abs(m.T - r).max() <= tolerance:
        found.append("transposed")
    limit = float(np.abs(m).max())
    clipped = np.abs(m).min(initial=limit) < limit < np.abs(r).max()  # some, not all
    if clipped and np.abs(m - r.clip(-limit, limit)).max() <= tolerance:
        found.append(f"clipped at {limit:.6g}")
    return " or ".join(found + _permuted(m, r, tolerance) * (not found)) or "unexplained"


def _permuted(m: Array, r: Array, tolerance: float) -> list[str]:
    """Whether `m` is `r` with its three or four blocks of gates in another order, along one of the axes."""
    for axis in range(m.ndim):
        for count in (2, 3, 4):
            if m.shape[axis] % count:
                continue
            blocks = np.split(r, count, axis=axis)
            for order in permutations(range(count)):
                moved = np.concatenate([blocks[i] for i in order], axis=axis)
                if order != tuple(range(count)) and np.abs(m - moved).max(initial=0) <= tolerance:
                    return [
                        f"the {count} blocks of axis {axis} (gates?) permuted: by hand they stand as {list(order)}"
                    ]
    return []


def _factor(c: float, steps: int | None) -> str:
    """A factor as people write it, with what it often means."""
    sign = "-" if c < 0 else ""
    size = abs(c)
    if abs(size - round(size)) < 1e-6 * size:
        return f"{sign}{round(size)}" + (" (sign)" if round(c) == -1 else "")
    inverse = round(1 / size)
    if abs(size * inverse - 1) < 1e-6:
        over = f"a mean over the {inverse} time steps" if inverse == steps else f"a mean over {inverse}"
        what = ", of the batch or the time steps?" if steps is None else "?"
        return f"{sign}1/{inverse} ({over} instead of a sum{what})"
    return f"{c:.6g}"
