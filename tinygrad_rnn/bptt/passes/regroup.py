"""The pass over products with a memory, as attention reads it: the weights around it go into it, before the loop."""

from __future__ import annotations

from typing import Any

from ..step.body import Value
from ..step.text import takes_all
from ..step.tracer import Tracer
from ..step.walks import is_product, needed
from .rewriting import Rewriting

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


class _Regroup(Rewriting):
    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        self.products: dict[Any, Value] = {}  # of memories and weights

    def run(self) -> None:
        for value in self.body.values:
            first = len(self.made)
            if value in self.carried and value.op == "matmul":
                self._ask(value)
                self._read(value)
            for new in self.made[first:]:
                new.eq = new.eq or value.eq
            self.made.append(value)
        self.body.values = needed(self.made, self.body.ends)

    def _ask(self, scores: Value) -> None:
        """`M (h Q)`: one entry of the memory after the other is multiplied with a query."""
        memory, column = scores.args
        query = self._seen(column, scores)
        asks = query is not None and column.shape == (*query.shape, 1) and self._is_weighted(query, column)
        if query is not None and asks and self._pays(memory, query.args[1], 0):
            h, weight = query.args
            turned = self.computed("reshape", h, shape=(*h.shape, 1))
            scores.args = (self._times(memory, weight, True), turned)

    def _read(self, found: Value) -> None:
        """`(a M) K`: the sum of the entries, weighted by how much they answer, is multiplied with a weight."""
        read, weight = found.args[0], found.args[-1]
        if not is_product(found, self.varying) or self.users.get(read) != [found]:
            return
        row = self._seen(read, found)
        if row is None or row.op != "matmul" or self.users.get(row) != [read]:
            return
        answers, memory = row.args
        shown = len(read.shape) == 2 and row.shape == (read.shape[0], 1, read.shape[1])
        if shown and self._pays(memory, weight, 1):
            new = self._times(memory, weight, False)
            product = self.computed("matmul", answers, new)
            self.users[product] = [found]
            found.become("reshape", product, shape=found.shape)

    def _pays(self, memory: Value, weight: Value, axis: int) -> bool:
        """Whether it is a stack of few entries for each example, the same at every step, and a step saves something.

        `axis` is that of the weight which remains.
        """
        if memory in self.varying or len(memory.shape) != 3:
            return False
        (_, entries, units), other = memory.shape, weight.shape[axis]
        saves = entries * other < units * (entries + other)
        fits = weight.shape[1 - axis] == units and memory.dtype == weight.dtype
        return bool(saves and entries <= ENTRIES and fits)

    def _is_weighted(self, query: Value, user: Value) -> bool:
        """Whether only `user` needs it, and it is a product with a weight."""
        alone = is_product(query, self.varying) and self.users.get(query) == [user]
        return alone and len(query.args[0].shape) == 2

    def _seen(self, view: Value, user: Value) -> Value | None:
        """What a view for `user` alone shows in full and in order."""
        shows = view.op == "reshape" or view.op == "getitem" and takes_all(view)
        return view.args[0] if shows and self.users.get(view) == [user] else None

    def _times(self, memory: Value, weight: Value, turned: bool) -> Value:
        """The memory, multiplied with a weight, or with it turned round."""
        key = memory, weight, turned
        if key not in self.products:
            if turned:
                weight = self.computed("transpose", weight, axes=(1, 0))
            self.products[key] = made = self.computed("matmul", memory, weight)
            made.label = f"{memory.label}_{key[1].label}" if memory.label and key[1].label else ""
        return self.products[key]
