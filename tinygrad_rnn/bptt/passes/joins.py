"""The pass over joined gradients of several examples: each is written in one piece, and one copy puts them together."""

from __future__ import annotations

import math
from typing import Any

from ..step.adjoint import Adjoint
from ..step.body import Made, Value
from ..step.walks import ancestors, joins_columns, preceded, users_of

# For how many examples, and up to how many elements of a gate. Columns of a matrix are written example by example,
# which takes two to four times as long as one piece. Training steps took, in parts of the time with columns, by
# (batch, steps, units) on one core: (16, 50, 128) LSTM 0.94 to 0.98, GRU 0.95 to 0.99, coupled gates 0.96;
# over the limit, (32, 64, 256), LSTM 0.99, GRU 0.98, coupled gates 1.03.
EXAMPLES, SMALL = 4, 2**12


def joins(adjoint: Adjoint) -> None:
    """Write the gradients of gates behind each other, then `dz = [di | df | dg | do]` in one copy."""
    users = users_of(adjoint.values, adjoint.ends)
    inside = ancestors(adjoint.sent)  # of the loop
    adjoint.values[:] = preceded(
        adjoint.values, lambda v: _copied(v) if v in inside and _joins_gates(v, users) else []
    )


def _joins_gates(value: Value, users: dict[Value, list[Any]]) -> bool:
    """Whether a value is three or more small products of one shape side by side, which nothing else reads."""
    if not joins_columns(value) or len(value.args) < 3:
        return False
    shape = value.args[0].shape
    alike = all(a.op == "multiply" and a.shape == shape and users[a] == [value] for a in value.args)
    return alike and shape[0] >= EXAMPLES and math.prod(shape) <= SMALL


def _copied(joined: Value) -> list[Value]:
    """The ops before a concatenation, which becomes a view of their result."""
    n, (batch, units) = len(joined.args), joined.args[0].shape
    names = [a.label for a in joined.inputs]
    made = Made(joined.dtype, joined.args[0].eq)
    stack = made.new("stack", joined.args, {"axis": 0}, (n, batch, units), "stack")
    by_example = made.new("transpose", (stack,), {"axes": (1, 0, 2)}, (batch, n, units))
    copy = made.new("copy", (by_example,), {}, (batch, n, units), "joined")
    joined.become("reshape", copy, shape=joined.shape)
    joined.label = joined.label or ("_".join(names) if all(names) else "")
    return made
