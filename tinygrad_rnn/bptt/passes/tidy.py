"""What the passes leave behind: things computed twice or for nothing, and values that stand for others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..step.adjoint import Adjoint
from ..step.body import Body, Value
from ..step.text import takes_all
from ..step.walks import needed
from .share import identity


def _whole_splits(body: Body) -> dict[Any, Value]:
    """The splits of which all parts are read, and these: a part of a split that `merge` rewrites must not be missed."""
    count = Counter(v.args[0] for v in body.values if v.op == "part")
    whole = {split for split, n in count.items() if n == len(split.shape)}
    return {identity(v): v for v in body.values if v in whole or v.op == "part" and v.args[0] in whole}


def tidy(body: Body, adjoint: Adjoint) -> None:
    """Compute the same thing once: `h · hᵀ` used twice is one op, and where `1 − z` is known, `a − a z = a (1 − z)`."""
    known = _whole_splits(body)  # views cost nothing to keep
    read = {a for v in adjoint.values for a in v.inputs}
    kept = read | {*body.ends}
    known |= {identity(v): v for v in body.values if v.op == "multiply" and v in kept}
    complements = {v.args[1]: v for v in body.values if _is_complement(v) and v in read}
    for value in adjoint.values:
        value.args = tuple([_final(a) for a in value.args])
        if value.op in ("alias", "time_sum"):
            continue
        if value.op == "subtract" and isinstance(value.args[1], Value):
            a, product = value.args
            if product.op == "multiply" and isinstance(a, Value) and a in product.args:
                (z,) = [v for v in product.args if v is not a] or [a]
                if z in complements:
                    value.op, value.args = "multiply", (a, complements[z])
        if _is_complement(value):
            complements.setdefault(value.args[1], value)
        if value.op in ("put_back", "getitem") and takes_all(value):
            value.become("reshape", *value.args, shape=value.shape)
        same = _does_nothing(value)
        if same is None:
            same = known.setdefault(identity(value), value)
            same.label = same.label or value.label
        if same is not value:
            value.become("alias", same)
    resolve(adjoint)


def _is_complement(value: Value) -> bool:
    """Whether it is `1 − z`."""
    return value.op == "subtract" and value.args[0] == 1.0


def _does_nothing(value: Value) -> Value | None:
    """What an op gives back as it is: `x ** 1`, `where` of a number, a reshape to the same, what is turned twice."""
    same: Any = None
    if value.op == "power" and value.args[1] == 1.0:
        same = value.args[0]
    elif value.op == "where" and not isinstance(value.args[0], Value):
        same = value.args[1 if value.args[0] else 2]
    elif value.op in ("reshape", "broadcast_to"):
        same = value.args[0]
    elif value.op == "transpose" and value.args[0].op == "transpose":
        first = value.args[0].attrs["axes"]
        undone = [first[i] for i in value.attrs["axes"]] == [*range(len(first))]
        same = value.args[0].args[0] if undone else None
    fits = isinstance(same, Value) and (same.shape, same.dtype) == (value.shape, value.dtype)
    return same if fits else None


def _final(a: Any) -> Any:
    while isinstance(a, Value) and a.op == "alias":
        a = a.args[0]
    return a


def resolve(adjoint: Adjoint) -> None:
    """Take out aliases and what nobody uses."""
    for value in adjoint.values:
        if value.op != "alias":
            value.args = tuple([_final(a) for a in value.args])
    adjoint.replace(_final)
    adjoint.values[:] = [v for v in needed(adjoint.values, adjoint.ends) if v.op != "alias"]
