"""A recorded quantity that was compared with autodiff, and why it differs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core.op import Array
from .diagnose import diagnose
from .mutations import explanations
from .recorded import Quantity, Recorded
from .recorder import Entry
from .report import Row
from .verdict import Reference, tolerance


@dataclass
class Judged:
    """A recorded entry, what it was compared with, and the verdict."""

    entry: Entry
    row: Row
    quantity: Quantity | None = None
    m: Array | None = None
    reference: Reference | None = None
    label: str = ""
    others: list[Judged] = field(default_factory=list)  # what else its name may mean


def cause(base: Recorded, first: int, found: list[Judged], judged: Judged, right: set[int]) -> str:
    """What is wrong with one quantity; `first` is the number of the first step, `right` are rows that agree."""
    m, quantity, reference = judged.m, judged.quantity, judged.reference
    assert m is not None and quantity is not None and reference is not None and reference.gradient is not None
    r, bar = np.asarray(reference.gradient), tolerance(m, reference)
    if quantity.kind == "value":
        return "the forward pass differs already"
    t = (judged.entry.t or 0) - first
    uses = quantity.uses if quantity.kind == "part" else tuple(base.uses[quantity.row])
    if judged.label.startswith("so far"):
        own = tuple(use for use in quantity.uses if base.times[use[0]] == t)
        earlier = [j for j in found if j.entry.name == judged.entry.name and j.label == judged.label]
        before = earlier[: next((i for i, j in enumerate(earlier) if j.entry is judged.entry), 0)][-1:]
        step = base.evaluate(quantity._replace(uses=own))
        if m.shape == step.shape and np.abs(m - step).max(initial=0) <= bar:
            return f"the sum over time is missing: this is what step t={judged.entry.t} alone contributes"
        if before and before[0].m is not None and own and before[0].m.shape == m.shape:
            m = m - before[0].m
        r, uses = step, own
    general = diagnose(m, r, bar, base.length)
    searched = uses and not quantity.path
    special: list[str] = []
    for known in (
        right - {quantity.row},
        set[int](),
    ):  # a line may have passed by a right one that it should read
        if searched and not special:
            special = explanations(base, uses, m, r, bar, known)
    if general == "zero everywhere":
        cut = judged.label in ("carried", "arrived")
        general = (
            "zero everywhere: the flow back in time is cut here"
            if cut
            else "unexplained"
            if special
            else general
        )
    if general.startswith("transposed"):
        special = []
    value = base.value(quantity.row) if quantity.row >= 0 and quantity.kind == "gradient" else None
    if value is not None and np.shape(value) == m.shape:
        special += _without_label(np.asarray(value), m, bar)
    causes = list(dict.fromkeys([*([] if general == "unexplained" else [general]), *special]))
    return " or ".join(causes[:4]) or "unexplained"


def _without_label(scores: Array, m: Array, bar: float) -> list[str]:
    """Whether the gradient of a softmax cross-entropy lacks its label."""
    for axis in range(m.ndim):
        p = np.exp(scores - scores.max(axis=axis, keepdims=True))
        p /= p.sum(axis=axis, keepdims=True)
        if np.abs(p - m).max(initial=0) <= bar:
            return ["the label is not subtracted: the probabilities alone"]
    return []
