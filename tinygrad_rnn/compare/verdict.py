"""The verdict on one gradient: rounding, a difference, or nothing that could be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.op import Array
from .numeric import FLOORS
from .report import Row, measure, number

CHAOTIC = 1e-3  # a noise floor above this share of the gradient decides nothing
EPS = float(np.finfo(np.float64).eps)
_UNMEASURED = {  # rounding unit -> norm_rel up to which two gradients count as "rounding" and as "close"
    EPS: (1e-12, 1e-7),
    float(np.finfo(np.float32).eps): (2e-6, 1e-4),
    float(np.finfo(np.float16).eps): (2e-2, 1e-1),
}


@dataclass
class Reference:
    """The gradient of autodiff for one parameter, and the noise floor under it where it was measured."""

    gradient: Array | None
    floor: float | None = None


def size_of(array: Array) -> float:
    """`max |array|`, 0 if it is empty."""
    return float(np.abs(array).max(initial=0))


def eps_of(*arrays: Array) -> float:
    """The coarsest rounding unit among arrays, at least that of float64."""
    return max([EPS, *[float(np.finfo(a.dtype).eps) for a in arrays if a.dtype.kind == "f"]])


def floor_of(g: Array, runs: Sequence[Array], coarsest: float = EPS) -> float:
    """How far two right derivations of `g` may differ: as far as changes of one ulp moved it, or 4 ulp.

    Denormal numbers are 0 in autodiff, but not by hand.
    """
    eps = max(coarsest, eps_of(g))
    tiny = float(np.finfo(g.dtype if g.dtype.kind == "f" else np.float64).smallest_normal)
    moves = [size_of(np.subtract(run, g)) if run.shape == g.shape else np.inf for run in runs]
    return float(np.max([4 * max(eps * size_of(g), 16 * tiny), *moves]))


def judge(
    name: str,
    m: Array | None,
    reference: Reference,
    peak: float = 0.0,
    t: int | None = None,
    pair: tuple[str, str] | None = None,
) -> Row:
    """The row of a hand-written gradient `m`; `peak` is the size of the largest gradient of all.

    `pair` holds its name by hand and that in the loss, as in `map=`; else `name` is the one in the loss.
    What is wrong with a gradient that differs is left to be said.
    """
    g = reference.gradient
    if g is None:
        why = "autodiff has no gradient here (.grad is None): call backward first, or give loss_fn"
        return Row(name, () if m is None else m.shape, verdict="missing", diagnosis=why, t=t)
    if m is None:
        return Row(name, g.shape, verdict="missing", diagnosis="there is no hand-written gradient of it", t=t)
    if m.shape != g.shape:
        hint, (given, meant) = "", pair or ("...", name)
        if m.ndim == 2 and m.T.shape == g.shape:
            hint = f'; transposed it fits: map={{"{given}": ({meant!r}, "T")}}'
        elif m.size == g.size:
            hint = f'; reshaped it fits: map={{"{given}": ({meant!r}, lambda m: m.reshape{g.shape})}}'
        why = f"by hand {m.shape}, by autodiff {g.shape}{hint}"
        return Row(name, g.shape, verdict="shape", diagnosis=why, t=t)
    for who, array in (("the hand-written gradient", m), ("autodiff", g)):
        if not np.isfinite(array).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            when = "" if t is None else f"non-finite at t={t}: "
            why = f"{when}{who} is {array[at]} at {at}"
            return Row(name, g.shape, verdict="non-finite", diagnosis=why, t=t)
    row = measure(name, m, g, t=t)
    bar, size = tolerance(m, reference), size_of(g)
    row.verdict = "rounding" if row.max_abs <= bar else "differs"
    if reference.floor is None:
        rounding, close = _UNMEASURED[eps_of(m, g)]
        row.verdict = (
            "rounding" if row.norm_rel <= rounding else "close" if row.norm_rel <= close else "differs"
        )
        return row
    zero = (
        row.verdict == "rounding" and size <= 64 * eps_of(m, g) * peak
    )  # nothing but rounding on both sides
    if row.max_abs > 0 and size > 0 and not reference.floor <= CHAOTIC * size and not zero:
        row.verdict = "inconclusive"
        share = number(reference.floor / size)
        row.diagnosis = f"chaotic: changes of one ulp move this gradient by {share} of its size"
    return row


def tolerance(m: Array, reference: Reference) -> float:
    """The largest difference that says nothing."""
    if reference.floor is not None:
        return FLOORS * reference.floor
    g = reference.gradient
    return 0.0 if g is None else _UNMEASURED[eps_of(m, g)][1] * size_of(g)
