"""The pass over sums of gradients: terms that differ by a factor only become one term."""

from __future__ import annotations

from collections import Counter
from functools import partial, reduce
from typing import Any

import numpy as np

from ..step.adjoint import Adjoint
from ..step.body import Value, equations
from ..step.walks import add_up, dependents, is_term, terms_of, users_of
from .algebra import linear, number_apart
from .tidy import resolve

Term = tuple[Value, Any]  # base and factor; 1.0: the base itself


def terms(adjoint: Adjoint) -> None:
    """Add the factors of terms with one base: `dc · f + dc · (p · i) = dc · (f + p · i)`.

    So a state whose gradient comes in several products has one carry, and its factor is computed before the loop.
    """
    _Terms(adjoint).run()
    resolve(adjoint)


class _Terms:
    def __init__(self, adjoint: Adjoint) -> None:
        self.adjoint = adjoint
        self.linear = linear(adjoint)
        self.made: list[Value] = []

    def run(self) -> None:
        self._carry_fewer()
        values = list(self.adjoint.values)
        users = users_of(values, self.adjoint.ends)
        inner = {v for v in values if is_term(v, users)}
        for value in values:
            if value.op == "add" and value in self.linear and value not in inner:
                self._collect(value, inner)
            self.made.append(value)
        self.adjoint.values[:] = self.made

    def _carry_fewer(self) -> None:
        """Add up what goes to the step before in the step itself, and take the other carries out."""
        a = self.adjoint
        users = users_of(a.values, a.ends)
        self.made = list(a.values)
        for j, (carries, parts) in enumerate(zip(a.carries, a.states, strict=True)):
            if len(parts) != len(carries) or len(parts) < 2:
                continue
            first, *dropped = carries
            if not all(
                _is_sum(u) and not set(u.args) <= {*dropped} for c in dropped for u in users.get(c, [])
            ):
                continue
            whole = dependents([v for v in a.values if v.op == "add"], [first])
            # a product of the gradient itself can be written over it, so it comes first
            parts.sort(key=lambda v: self._term(v)[0] not in whole)
            total = reduce(partial(self._add, like=first), self._products(parts, first))
            a.states[j], a.carries[j] = [total], [first]
            for value in filter(_is_sum, self.made):
                left = [v for v in value.args if v not in dropped]
                if len(left) == 1:
                    value.become("alias", *left)
                    if _is_sum(left[0]):
                        left[0].label = value.label or left[0].label
        a.values[:] = self.made
        resolve(a)
        self.made = []

    def _collect(self, root: Value, inner: set[Value]) -> None:
        """Write an addition, and those that only it uses, with one term for each base."""
        flat = terms_of(root, inner.__contains__)
        if not all(isinstance(v, Value) and v.shape == root.shape for v in flat):
            return
        found = self._products(flat, root)
        if len(found) < len(flat):
            add_up(root, found, partial(self._add, like=root))

    def _term(self, v: Value) -> Term:
        if v.op == "multiply":
            linear = [isinstance(a, Value) and a in self.linear for a in v.args]
            if linear.count(True) == 1:
                base, factor = v.args if linear[0] else v.args[::-1]
                if base.shape == v.shape:
                    return base, factor
        return v, 1.0

    def _products(self, summands: list[Value], like: Value) -> list[Value]:
        """One product for each base, in the order in which they came; equal summands are counted."""
        found: dict[Value, tuple[Any, Value | None, str]] = {}  # its factor, the only summand, and equations
        for v, count in Counter(summands).items():
            summand = v if count == 1 else self._times(v, count)
            base, factor = self._term(summand)
            if base in found:
                before, _, eq = found[base]
                eq = equations(eq, v.eq)
                found[base] = (self._plus(before, factor, base, eq), None, eq)
            else:
                found[base] = (factor, summand, v.eq)
        return [v or self._product(base, factor, like, eq) for base, (factor, v, eq) in found.items()]

    def _times(self, v: Value, count: int) -> Value:
        """A multiple; of a product with a repeated value, that before it is repeated."""
        repeated = [a for a in v.inputs if a.op == "broadcast_to" and a in self.linear]
        if v.op != "multiply" or len(repeated) != 1:
            return self._new("multiply", (v, float(count)), v)
        base, factor = self._term(repeated[0].args[0])
        factor, number = number_apart(factor)
        times = number * count
        factor = self._new("multiply", (factor, times), base) if isinstance(factor, Value) else times
        few = self._product(base, factor, v)
        many = self._new("broadcast_to", (few,), v)
        many.shape, many.attrs = repeated[0].shape, repeated[0].attrs
        return self._new("multiply", tuple([many if a is repeated[0] else a for a in v.args]), v)

    def _plus(self, a: Any, b: Any, base: Value, eq: str) -> Any:
        if not isinstance(a, Value) and not isinstance(b, Value):
            return a + b
        return self._new("add", (a, b), base, eq)

    def _product(self, base: Value, factor: Any, like: Value, eq: str = "") -> Value:
        if isinstance(factor, Value) and not factor.label and base.label and like.label:
            factor.label = f"{like.label}_by_{base.label}"
        return self._new("multiply", (base, factor), base, eq)

    def _add(self, a: Value, b: Value, like: Value) -> Value:
        return self._new("add", (a, b), like)

    def _new(self, op: str, args: tuple[Any, ...], like: Value, eq: str = "") -> Value:
        values = [a for a in args if isinstance(a, Value)]
        eq = eq or next((v.eq for v in values if v.eq.startswith("∂")), like.eq)
        active = not self.linear.isdisjoint(values)
        value = Value(
            op, args, {}, np.broadcast_shapes(*[v.shape for v in values]), like.dtype, active, eq=eq
        )
        if active:
            self.linear.add(value)
        self.made.append(value)
        return value


def _is_sum(value: Any) -> bool:
    return isinstance(value, Value) and value.op == "add"
