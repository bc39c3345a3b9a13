"""The pass over the forward ops: what does not depend on the states is added up before them."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import Any

from ..step.body import Value
from ..step.tracer import Tracer
from ..step.walks import add_up, is_product, is_term, joins_columns, needed, terms_of
from .rewriting import Rewriting


def sums(tracer: Tracer) -> None:
    """Add what does not depend on the states first: `(a_t + h U) + b = (a_t + b) + h U`.

    Before that come those that are the same at every step: `(a_t + b) + (h U + c) = (a_t + (b + c)) + h U`. A product
    with joined inputs is taken apart for the same reason: `[h, x] W = h W₁ + x W₂`. What is left inside the loop is
    what needs the state.
    """
    step = Rewriting(tracer)
    step.each(partial(_unjoin, step=step))
    step = Rewriting(tracer)
    carried, users = step.carried, step.users

    def add(a: Any, b: Any) -> Any:
        return step.computed("add", a, b) if isinstance(a, Value) or isinstance(b, Value) else a + b

    for value in step.body.values:
        if value.op == "add" and value.dtype.kind == "f" and value in carried and not is_term(value, users):
            terms = terms_of(value, lambda v: v in carried and is_term(v, users))
            free, bound = [t for t in terms if t not in carried], [t for t in terms if t in carried]
            if len(terms) > 2 and free and all(t.shape == value.shape for t in bound):
                add_up(value, [*_same_first(free, users, step.varying), *bound], add)
        step.made.append(value)
    step.body.values = needed(step.made, step.body.ends)


def _same_first(terms: list[Any], users: dict[Value, list[Any]], varying: set[Value]) -> list[Any]:
    """The terms, with those before the others that are the same at every step, if there are several."""
    same: list[Any] = []
    others: list[Any] = []
    for term in terms:
        split = isinstance(term, Value) and term in varying and is_term(term, users)
        for t in term.args if split else (term,):
            (others if isinstance(t, Value) and t in varying else same).append(t)
    return [*same, *others] if len(same) > 1 else terms


def _unjoin(value: Value, step: Rewriting) -> None:
    if is_product(value, step.carried) and _joins_inputs(value.args[0], step.carried):
        left, right = value.args
        cuts = tuple(accumulate([a.shape[1] for a in left.args[:-1]]))
        blocks = step.several("split", right, at=cuts, axis=0)
        products = [step.computed("matmul", a, w) for a, w in zip(left.args, blocks, strict=True)]
        products.sort(key=lambda p: p.args[0] in step.carried)
        add_up(value, products, partial(step.computed, "add"))


def _joins_inputs(row: Value, carried: set[Value]) -> bool:
    """Whether a value is several matrices side by side, and not all of them come from states."""
    return joins_columns(row) and len(row.args) > 1 and not carried.issuperset(row.args)
