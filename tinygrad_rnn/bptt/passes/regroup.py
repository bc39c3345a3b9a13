"""The pass over products with a memory, as attention reads it: the weights around it go into it, before the loop."""

from __future__ import annotations

import math
from typing import Any

from ..step.body import Value
from ..step.text import takes_all
from ..step.tracer import Tracer
from ..step.walks import ancestors, dependents, users_of
from .sums import computed

# The new memory costs as much as so many steps save as it has entries, or half of that, as it is one large product. A
# training step of attention over 8 entries, (batch, steps, units) as follows, took in parts of its time without:
# (1, 100, 64) 0.93, (16, 50, 128) 0.70, (32, 64, 256) 0.64.
ENTRIES = 16  # at most
STEPS = 12  # at least, of a recurrence that is given constants, see `scan`


def regroup(tracer: Tracer) -> None:
    """Multiply what is the same at every step first: `M (h Q) = (M Qᵀ) h`, and `(a M) K = a (M K)`.

    M is a memory, `(batch, entries, units)`; Q and K are weights. No product with them is left inside the loop. The
    products are rounded otherwise.
    """
    _Regroup(tracer).run()


class _Regroup:
    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        body = tracer.body
        self.varying = dependents(body.values, [*body.xs, *body.states])
        self.carried = dependents(body.values, body.states)
        self.users = users_of(body.values, body.ends)
        self.made: list[Value] = []
        self.products: dict[Any, Value] = {}  # of memories and weights

    def run(self) -> None:
        body = self.tracer.body
        for value in body.values:
            first = len(self.made)
            if value in self.carried and value.op in ("matmul", "einsum"):
                self._ask(value)
                self._read(value)
            for new in self.made[first:]:
                new.eq = new.eq or value.eq
            self.made.append(value)
        needed = ancestors(body.ends)
        body.values = [v for v in self.made if v in needed]

    def _ask(self, scores: Value) -> None:
        """`M (h Q)`: one entry of the memory after the other is multiplied with a query."""
        if len(scores.args) != 2 or not all(isinstance(a, Value) for a in scores.args):
            return
        if scores.op == "einsum":
            letters, sides = _letters(scores), scores.args
            for i, (memory, query) in enumerate((sides, sides[::-1])):
                of_memory, of_query = letters[i], letters[1 - i]
                k = of_query[-1:]
                asks = (
                    k == of_memory[-1:]
                    and k not in letters[2]
                    and of_query.count(k) == of_memory.count(k) == 1
                )
                if asks and self._is_weighted(query, scores) and self._pays(memory, query.args[1], 0):
                    new = (self._times(memory, query.args[1], True), query.args[0])
                    scores.args = new if i == 0 else new[::-1]
                    return
            return
        memory, column = scores.args
        query = self._seen(column, scores, lambda shape: (*shape, 1))
        if query is not None and self._is_weighted(query, column) and self._pays(memory, query.args[1], 0):
            h, weight = query.args
            turned = computed(self.tracer, self.made, "reshape", h, shape=(*h.shape, 1))
            scores.args = (self._times(memory, weight, True), turned)

    def _read(self, found: Value) -> None:
        """`(a M) K`: the sum of the entries, weighted by how much they answer, is multiplied with a weight."""
        read, weight = found.args[0], found.args[-1]
        if found.op != "matmul" or not isinstance(read, Value) or self.users.get(read) != [found]:
            return
        if not isinstance(weight, Value) or weight in self.varying or len(weight.shape) != 2:
            return
        if read.op == "einsum" and len(read.args) == 2:
            letters = _letters(read)
            for i, memory in enumerate(read.args):
                k = letters[i][-1:]
                reads = k == letters[2][-1:] and k not in letters[1 - i] and letters[i].count(k) == 1
                if reads and self._pays(memory, weight, 1):
                    new = self._times(memory, weight, False)
                    found.op, found.attrs = "einsum", read.attrs
                    found.args = tuple([new if j == i else a for j, a in enumerate(read.args)])
                    return
            return
        row = self._seen(read, found, lambda shape: (shape[0], shape[2])) if len(read.shape) == 2 else None
        if row is not None and row.op == "matmul" and self.users.get(row) == [read]:
            answers, memory = row.args
            if self._pays(memory, weight, 1):
                new = self._times(memory, weight, False)
                product = computed(self.tracer, self.made, "matmul", answers, new)
                self.users[product] = [found]
                found.op, found.args, found.attrs = "reshape", (product,), {"shape": found.shape}

    def _pays(self, memory: Any, weight: Value, axis: int) -> bool:
        """Whether it is a stack of few entries for each example, the same at every step, and a step saves something.

        `axis` is that of the weight which remains.
        """
        if not isinstance(memory, Value) or memory in self.varying or len(memory.shape) != 3:
            return False
        (_, entries, units), other = memory.shape, weight.shape[axis]
        saves = entries * other < units * (entries + other)
        fits = weight.shape[1 - axis] == units and memory.dtype == weight.dtype  # einsum repeats lengths of 1
        return bool(saves and entries <= ENTRIES and fits)

    def _is_weighted(self, query: Any, user: Value) -> bool:
        """Whether only `user` needs it, and it is a product with a weight."""
        if not isinstance(query, Value) or query.op != "matmul" or self.users.get(query) != [user]:
            return False
        left, right = query.args
        same = isinstance(right, Value) and right not in self.varying and len(right.shape) == 2
        return same and isinstance(left, Value) and len(left.shape) == 2

    def _seen(self, view: Any, user: Value, shape: Any) -> Value | None:
        """What a view shows in full and in order, in another shape."""
        if not isinstance(view, Value) or self.users.get(view) != [user]:
            return None
        if view.op != "reshape" and not (view.op == "getitem" and takes_all(view)):
            return None
        (whole,) = view.args
        ndim = 2 if len(view.shape) == 3 else 3
        fits = (
            isinstance(whole, Value)
            and len(whole.shape) == ndim
            and math.prod(whole.shape) == math.prod(view.shape)
        )
        return whole if fits and shape(whole.shape) == view.shape else None

    def _times(self, memory: Value, weight: Value, turned: bool) -> Value:
        """The memory, multiplied with a weight, or with it turned round."""
        key = memory, weight, turned
        if key not in self.products:
            if turned:
                weight = computed(self.tracer, self.made, "transpose", weight, axes=(1, 0))
            self.products[key] = made = computed(self.tracer, self.made, "matmul", memory, weight)
            made.label = f"{memory.label}_{key[1].label}" if memory.label and key[1].label else ""
        return self.products[key]


def _letters(value: Value) -> tuple[str, str, str]:
    """The letters of the axes of two arguments and of the result."""
    arguments, result = value.attrs["subscripts"].split("->")
    left, right = arguments.split(",")
    return left, right, result
