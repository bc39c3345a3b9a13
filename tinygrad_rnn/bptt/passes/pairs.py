"""The pass over sums of two products: one call multiplies neighbours in memory."""

from __future__ import annotations

import math
from typing import Any

from ..step.adjoint import Adjoint, users_in
from ..step.body import Body, Made, Value
from ..step.walks import ancestors, dependents

# Elements of a state up to which a call less is worth it: where gates and state lie in one buffer, the backward pass
# reads each of them in pieces. Forward and backward pass of an LSTM took, in parts of what they took without pairs, by
# (batch, steps, inputs, units) on one core: (1, 100, 65, 64) 0.96 to 1.00 in four runs, (4, 100, 65, 64) 0.99,
# (1, 100, 65, 256) 1.00, (8, 100, 65, 64) 1.00 and 1.01. Over the limit: (16, 50, 65, 64) 0.99 to 1.03,
# (8, 50, 65, 128) 1.01 to 1.02, (16, 50, 65, 128) 1.01.
SMALL = 2**9


def pairs(body: Body, adjoint: Adjoint) -> None:
    """Multiply neighbours in memory in one call: `i · g + f · c` is the sum over the pair `(i, f) · (g, c)`.

    Gates that were activated together are neighbours. A state becomes the neighbour of the last gate of a group: it
    lives behind that group, so nothing is copied. The results are the same to the bit.
    """
    users = users_in(body, adjoint)
    inside = dependents(body.values, body.states) & ancestors(body.new_states)  # of the loop
    neighbours = _Neighbours(body, users)
    made: list[Value] = []
    for value in body.values:
        if value in inside and _adds_products(value, users):
            together = neighbours.product(*value.args)
            made = [v for v in made if v not in together] + together
        made.append(value)
    body.values = made


def _adds_products(total: Value, users: dict[Value, list[Any]]) -> bool:
    """Whether a value is `a · b ± c · d` of small matrices of one shape, and nothing else reads the products."""
    return (
        total.op in ("add", "subtract")
        and len(total.shape) == 2
        and math.prod(total.shape) <= SMALL
        and all(isinstance(p, Value) and p.op == "multiply" and users[p] == [total] for p in total.args)
        and all(isinstance(v, Value) and v.shape == total.shape for p in total.args for v in p.args)
    )


class _Neighbours:
    """Values that lie one behind the other in memory, or can be put there."""

    def __init__(self, body: Body, users: dict[Value, list[Any]]) -> None:
        self.users = users
        self.after = dict(zip(body.states, body.new_states, strict=True))
        self.placed = {a for v in body.values if v.op == "rows" for a in v.inputs}  # what has its neighbours

    def product(self, p: Value, q: Value) -> list[Value]:
        """The ops that compute two products, which keep their identity, in one call; none if that cannot be."""
        c, d = q.args
        for a, b in (p.args, p.args[::-1]):
            for order, left, right in (((p, q), (a, c), (b, d)), ((q, p), (c, a), (d, b))):
                factors = [f for f in (self._pair(*left), self._pair(*right)) if f is not None]
                beside = [f for f in factors if f.op == "beside"]
                if len(factors) == 2 and len(beside) < 2:
                    self.placed.update(*[f.args for f in beside])
                    return [*factors, *_opened(factors, order)]
        return []

    def _pair(self, a: Value, b: Value) -> Value | None:
        """Two values as one, the first in front; None if they cannot be neighbours."""
        if a.op != "part" or a.args[0].op != "unstack" or a.args[0].attrs["axis"] != 0:
            return None
        opened, k, shape = a.args[0], a.attrs["index"], (2, *a.shape)
        if b.op == "part" and b.args[0] is opened and b.attrs["index"] == k + 1:
            index = {"index": slice(k, k + 2)}
            return Value("getitem", opened.args, index, shape, a.dtype, label=_label(a, b))
        if b.op == "state" and self._ends_group(a) and self._can_move(b) and self.placed.isdisjoint((a, b)):
            return Value("beside", (a, b), {}, shape, a.dtype)
        return None

    def _ends_group(self, gate: Value) -> bool:
        """Whether a gate is the last of those that one op writes into memory of their own."""
        group, last = gate.args[0].args[0], gate.attrs["index"] + 1 == len(gate.args[0].shape)
        if group.op == "part":  # of a group that is cut
            cut = group.args[0]
            last = last and group.attrs["index"] + 1 == len(cut.shape)
            group = cut.args[0]
        return last and "own" in group.attrs

    def _can_move(self, state: Value) -> bool:
        """Whether a state need not be in one piece with those of the other steps: nothing reshapes it."""
        readers = [*self.users.get(state, []), *self.users.get(self.after[state], [])]
        return not any(isinstance(u, Value) and u.op == "reshape" for u in readers)


def _opened(factors: list[Value], products: tuple[Value, Value]) -> list[Value]:
    """The product of two pairs, and its parts."""
    shape, made = products[0].shape, Made(products[0].dtype, products[0].eq)
    both = made.new("multiply", tuple(factors), {}, (2, *shape), "products")
    opened = made.new("unstack", (both,), {"axis": 0}, (shape, shape))
    for v in factors:
        v.eq = made.eq
    for k, part in enumerate(products):
        part.label = part.label or _label(*part.args)
        part.become("part", opened, index=k)
    return [*made, *products]


def _label(a: Value, b: Value) -> str:
    return f"{a.label}_{b.label}" if a.label and b.label else ""
