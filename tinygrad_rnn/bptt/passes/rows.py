"""The pass over sums of products with states and inputs: these stand side by side in one row, for one product."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate
from typing import Any

from ..step.adjoint import Adjoint, users_in
from ..step.body import Body, Made, Value, equations
from ..step.schedule import OVER_EXAMPLES
from ..step.walks import add_up, dependents, is_term

ONE = 1.0  # in a row: what the bias is multiplied with

# How many features of inputs times features of states may stand in a row, for √batch = 1. The weights of the inputs
# are read at every step, in place of once for all steps: that costs little where they stay in cache, and less per
# example in a large batch. Forward and backward pass of an LSTM (RNN) took, in parts of what they took without rows,
# by (batch, steps, inputs, units) on one core: (1, 100, 65, 64) 0.94 (0.92), (16, 50, 65, 128) 0.96 (0.99),
# (32, 64, 128, 256) 0.95 (1.00), (64, 50, 128, 256) 0.96 (1.00). Over the limit: (1, 100, 65, 256) 1.02 (1.07),
# (8, 50, 256, 128) 1.08 (1.09), (64, 100, 256, 512) 1.04 (1.00).
FEATURES = 10_000

# Examples up to which a state may stand in a row although the step reads it element by element, too. With rows, a GRU
# took 0.98 of its time at batch 1 and 1.01 at 16 and 32, a minimal gated unit 1.07 at 16 and 1.04 at 32. An LSTM and an
# RNN with a mask, which only keeps states, took 0.93 to 0.98 with 8 to 128 examples.
FEW = 4

# Features of inputs for each example up to which these stand in a row with 1 where the states do not: so many rows of
# weights are copied at every call, and one addition per example less is needed at every step. An LSTM of 256 inputs and
# units took, in parts of its time without, with 50 steps 0.94 to 0.98 for 2 to 32 examples; with 10 steps 1.05 for 4
# (over the limit), 0.96 for 16 (over it, too), 1.00 for 32.
PER_EXAMPLE = 8


def rows(body: Body, adjoint: Adjoint) -> None:
    """Let states, 1 and inputs stand in one row per example: `h U + b + x W = [h | 1 | x] [U; b; W]`.

    One buffer holds the rows of all steps; states and inputs are columns of it, so nothing is copied. Inside the loop
    one product is left of products and additions, and after it all weights get their gradients from one:
    `[dU; db; dW] = Σ_t [h_t | 1 | x_t]ᵀ dz_t`. Where that is too large, only 1 and inputs stand in a row, for one
    product before the loop.
    """
    users = users_in(body, adjoint)
    varying = dependents(body.values, [*body.xs, *body.states])
    carried = dependents(body.values, body.states)
    known: dict[tuple[Any, ...], Value] = {}  # the rows, by what stands in them
    made: list[Value] = []
    for value in body.values:
        made.append(value)
        for kinds in (("state", "x"), ("x",)):
            found = _Sum(value, users, varying, kinds, set())
            if found.parts not in known:  # a state or input can stand in one row only
                found = _Sum(value, users, varying, kinds, {a for row in known.values() for a in row.inputs})
            if found.fits(carried):
                made = [v for v in made if v not in found.replaced]
                made += found.joined(known)
                break
    body.values = made
    for row in known.values():
        _gradients(row, adjoint.values)


@dataclass
class _Sum:
    """A sum with products of states and inputs among its terms."""

    total: Value
    users: dict[Value, list[Any]]
    varying: set[Value]
    kinds: tuple[str, ...]  # of what may stand in a row
    taken: set[Value]  # what stands in another row
    weights: dict[Any, Value] = field(default_factory=dict)  # by what they are multiplied with
    biases: list[Value] = field(default_factory=list)
    rest: list[Any] = field(default_factory=list)  # the terms that are something else
    replaced: list[Value] = field(default_factory=list)

    def __post_init__(self) -> None:
        total = self.total
        matrix = len(total.shape) == 2 and total.dtype.kind == "f"
        if total.op == "add" and matrix and total in self.varying and not is_term(total, self.users):
            self._collect(total)

    @property
    def parts(self) -> tuple[Any, ...]:
        """States, 1, inputs, in the order in which they stand in a row."""
        states = [a for a in self.weights if a.op == "state"]
        return (*states, *[ONE] * bool(self.biases), *[a for a in self.weights if a.op == "x"])

    def fits(self, carried: set[Value]) -> bool:
        """Whether one product takes the place of several ops of the loop, and is faster."""
        of_states, of_inputs = (sum(a.shape[1] for a in self.weights if a.op == op) for op in ("state", "x"))
        if len(self.parts) < 2:
            return False
        if not of_states:  # the product is computed before the loop
            return bool(of_inputs <= PER_EXAMPLE * self.total.shape[0])
        if of_states * of_inputs > FEATURES * self.total.shape[0] ** 0.5:
            return False
        if self.total.shape[0] > FEW and any(self._read_by_parts(a) for a in self.weights if a.op == "state"):
            return False
        return not self.rest or len(self.rest) == 1 and self.rest[0] in carried

    def _read_by_parts(self, state: Value) -> bool:
        """Whether the step reads a state element by element, which is slower where it is columns of a row.

        A mask, with which a state is kept, copies whole rows.
        """
        return any(u in self.varying and u.op not in ("matmul", "where") for u in self.users.get(state, []))

    def _collect(self, value: Value) -> None:
        """Sort the terms of an addition."""
        self.replaced.append(value)
        for a in value.args:
            if isinstance(a, Value) and a in self.varying and is_term(a, self.users):
                self._collect(a)
            elif self._is_product(a):
                self.weights[a.args[0]] = a.args[1]
                self.replaced.append(a)
            elif isinstance(a, Value) and a not in self.varying and a.shape == value.shape[1:]:
                self.biases.append(a)
            else:
                self.rest.append(a)

    def _is_product(self, a: Any) -> bool:
        """Whether a term is a state or input times a weight, and nothing else reads it."""
        if not isinstance(a, Value) or a.op != "matmul" or len(self.users.get(a, [])) != 1:
            return False
        left, right = a.args
        batch, width = self.total.shape
        return (
            left.op in self.kinds
            and left not in self.taken
            and left not in self.weights
            and right not in self.varying
            and left.shape[:-1] == (batch,)
            and right.shape == (*left.shape[1:], width)
        )

    def joined(self, known: dict[tuple[Any, ...], Value]) -> list[Value]:
        """The ops that take the place of the sum, which keeps its identity."""
        total = self.total
        total.eq = equations(*[v.eq for v in (*self.replaced, total)])
        made = Made(total.dtype, total.eq)
        new = made.new
        parts, (batch, width) = self.parts, total.shape
        if parts not in known:
            size = sum(a.shape[1] if isinstance(a, Value) else 1 for a in parts)
            known[parts] = new("rows", parts, {}, (batch, size), "rows")
        below = dict(self.weights)
        if self.biases:
            bias = reduce(lambda a, b: new("add", (a, b), {}, (width,)), self.biases)
            below[ONE] = new("getitem", (bias,), {"index": (None,)}, (1, width))
        shape = (known[parts].shape[1], width)
        weights = new("concatenate", tuple([below[a] for a in parts]), {"axis": 0}, shape, "weights")
        product: tuple[Any, ...] = (known[parts], weights)
        if self.rest:
            terms = [new("matmul", product, {}, total.shape), *self.rest]
            add_up(total, terms, lambda a, b: new("add", (a, b), {}, total.shape))
        else:
            total.become("matmul", *product)
        return [*made, total]


def columns(row: Value) -> list[tuple[Any, int, int]]:
    """What stands in a row: each part, from which column to which."""
    ends = [0, *accumulate([a.shape[1] if isinstance(a, Value) else 1 for a in row.args])]
    return list(zip(row.args, ends, ends[1:], strict=False))


def _gradients(row: Value, values: list[Value]) -> None:
    """The gradients of all weights that a row is multiplied with: rows of one product over all steps."""
    sums: dict[Value, dict[Any, list[Value]]] = {}  # by the gradient that they are made of, then by part
    for value in values:
        if value.op != "time_sum":
            continue
        part, dz = value.args if value.attrs.get("product") else (None, value.args[0])
        if value.attrs == OVER_EXAMPLES and dz.shape[:-1] == row.shape[:1]:
            part = ONE
        if part in row.args:
            sums.setdefault(dz, {}).setdefault(part, []).append(value)
    for dz, found in sums.items():
        if len(found) < 2 or any(a not in found for a in row.inputs):
            continue
        first = min(values.index(v) for same in found.values() for v in same)
        made = Made(dz.dtype, equations(*[v.eq for same in found.values() for v in same]))
        shape = row.shape[1], dz.shape[1]
        total = made.new("time_sum", (row, dz), {"product": True}, shape, "dweights")
        values.insert(first, total)
        for part, a, b in columns(row):
            for value in found.get(part, ()):
                value.become("getitem", total, index=a if part is ONE else slice(a, b))
