"""The pass over means of products: centred weights make centred sums, as in layer normalization."""

from __future__ import annotations

from typing import Any

from ..step.body import Value, equations
from ..step.tracer import Tracer
from ..step.walks import is_product
from .rewriting import Rewriting


def center(tracer: Tracer) -> None:
    """Take the mean out of the weights: `h W − mean(h W) = h (W − mean(W))`, over the columns.

    Neither the mean nor its gradient is left inside the loop. The products are rounded otherwise.
    """
    step = _Center(tracer)
    step.each(step.write)


class _Center(Rewriting):
    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        self.centred: dict[Value, Value] = {}

    def write(self, value: Value) -> None:
        """Write a difference from a mean without it, if that can be."""
        z = self._with_mean(value)
        if z is not None and self._possible(z, self.users[z]):
            value.eq = equations(value.eq, *[v.eq for v in self._terms_of(z)])
            value.become(z.op, *self._without(z))

    def _with_mean(self, value: Value) -> Value | None:
        """`z` of `z − mean(z)`, over the last axis, where nothing else needs it."""
        if value.op != "subtract" or value not in self.varying:
            return None
        z, mean = value.args
        total = mean.args[0] if isinstance(mean, Value) and mean.op == "divide" else None
        if not isinstance(z, Value) or not isinstance(total, Value) or total.op != "sum":
            return None
        columns = {"axis": (len(z.shape) - 1,), "keepdims": True}
        if total.args != (z,) or total.attrs != columns or mean.args[1] != z.shape[-1]:
            return None
        alone = self.users[mean] == [value] and self.users[total] == [mean]
        return z if alone and set(self.users[z]) == {value, total} else None

    def _possible(self, z: Value, users: list[Any]) -> bool:
        """Whether a value that only `users` need is a sum of products with weights."""
        if z not in self.varying:
            return True
        if self.users[z] != users:
            return False
        if z.op == "add":
            same = all(isinstance(a, Value) and a.shape[-1:] == z.shape[-1:] for a in z.args)
            return same and all(self._possible(a, [z]) for a in z.args)
        return is_product(z, self.varying)

    def _terms_of(self, z: Value) -> list[Value]:
        """A sum of products, and all that it is made of."""
        inner = [t for a in z.inputs if a in self.varying for t in self._terms_of(a)] if z.op == "add" else []
        return [*inner, z]

    def _without(self, z: Value) -> tuple[Value, ...]:
        """The arguments of `z` without its mean."""
        if z.op == "add":
            return tuple([self._term(a) for a in z.args])
        return z.args[0], self._weight(z.args[1])

    def _term(self, a: Value) -> Value:
        return self.computed(a.op, *self._without(a)) if a in self.varying else self._weight(a)

    def _weight(self, w: Value) -> Value:
        """A weight whose columns have the mean 0."""
        if w not in self.centred:
            total = self.computed("sum", w, axis=(len(w.shape) - 1,), keepdims=True)
            mean = self.computed("divide", total, float(w.shape[-1]))
            found = self.computed("subtract", w, mean)
            found.label = f"{w.label}_centred" if w.label else ""
            self.centred[w] = found
        return self.centred[w]
