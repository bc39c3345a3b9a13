"""The passes over a step and its backward pass, one in a file: each a function that can be switched off."""

from __future__ import annotations

from typing import Any

from ..step import schedule
from . import (
    algebra,
    center,
    dots,
    einsum,
    folding,
    fronted,
    gates,
    gather,
    joins,
    lerp,
    pairs,
    pieces,
    powers,
    regroup,
    rows,
    share,
    spread,
    strips,
    sums,
    terms,
    turned,
)  # fmt: skip

PASSES: dict[str, Any] = {  # in the order in which they are applied; each can be switched off
    "share": share.share,
    "powers": powers.powers,
    "einsum": einsum.einsum,
    "regroup": regroup.regroup,
    "center": center.center,
    "sums": sums.sums,
    "gather": gather.gather,
    "lerp": lerp.lerp,
    "guards": algebra.guards,
    "factors": algebra.factors,
    "terms": terms.terms,
    "dots": dots.dots,
    "hoist": schedule.program,
    "defer": schedule.defer,
    "pieces": pieces.pieces,
    "rows": rows.rows,
    "merge": gates.merge,
    "fold": folding.Folding,
    "pairs": pairs.pairs,
    "joins": joins.joins,
    "fronted": fronted.fronted,
    "strips": strips.strips,
    "turned": turned.turned,
    "spread": spread.spread,
}

NATIVE = "native"  # loops without Python, which can be switched off as passes can: it changes no statement

NEED_HOIST = frozenset(
    ("regroup", "gather", "factors", "terms", "rows", "merge", "fold", "strips", "turned", "spread")
)
