"""The pass over `einsum`: with two factors it is a product like any other, which later passes know."""

from __future__ import annotations

import math

from ..step.body import Value
from ..step.tracer import Tracer
from .rewriting import Rewriting


def einsum(tracer: Tracer) -> None:
    """Write `einsum` of two as the product that it is: `nvk,nk->nv` is `S k`, `nv,nk->nvk` is `v kᵀ`.

    Products can be computed for all steps at once, and NumPy takes longer to plan an `einsum` than for a small one.
    """
    step = _Einsum(tracer)
    step.each(step.write)


class _Einsum(Rewriting):
    def write(self, value: Value) -> None:
        """Write a value as a product, if it is one."""
        if value.op == "einsum" and _is_product(value):
            self._write(value, *_letters(value))
            last = self.made.pop()
            value.become(last.op, *last.args, **last.attrs)

    def _write(self, value: Value, a: str, b: str, result: str) -> None:
        """Make the values of which the last one is the result."""
        shared = "".join([c for c in result if c in a and c in b])
        inner = "".join([c for c in a if c in b and c not in result])
        if inner and len(shared + inner) < max(len(a), len(b)):
            return self._matmul(value, a, b, result, shared, inner)
        x, y = (self._spread(arg, own, result + inner) for arg, own in zip(value.args, (a, b), strict=True))
        product = self.computed("multiply", x, y)
        if inner:
            axes = tuple(range(len(result), len(result) + len(inner)))
            self.computed("sum", product, axis=axes, keepdims=False)

    def _matmul(self, value: Value, a: str, b: str, result: str, shared: str, inner: str) -> None:
        """A product of matrices for each index in `shared`; a vector is a matrix of one column or row."""
        (x, y), sizes = value.args, _lengths(value)
        free_a, free_b = ("".join([c for c in own if c not in shared + inner]) for own in (a, b))
        as_given = (a == shared + free_a + inner) + (b == shared + inner + free_b)
        inner_b = "".join([c for c in b if c in inner])
        changed_over = (a == shared + inner + free_a) + (b == shared + free_b + inner_b)
        if changed_over > as_given:
            x, y, a, b, free_a, free_b, inner = y, x, b, a, free_b, free_a, inner_b
        several, rows = [sizes[c] for c in shared], [sizes[c] for c in free_a]
        if shared or not rows:
            rows = [math.prod(rows)]
        length, columns = math.prod(sizes[c] for c in inner), math.prod(sizes[c] for c in free_b)
        left = self._shaped(self._turned(x, a, shared + free_a + inner), (*several, *rows, length))
        right = self._shaped(self._turned(y, b, shared + inner + free_b), (*several, length, columns))
        product = self.computed("matmul", left, right)
        found = shared + free_a + free_b
        self._turned(self._shaped(product, tuple(sizes[c] for c in found)), found, result)

    def _turned(self, x: Value, letters: str, wanted: str) -> Value:
        """The axes in another order."""
        order = tuple(letters.index(c) for c in wanted)
        return x if order == tuple(range(len(order))) else self.computed("transpose", x, axes=order)

    def _shaped(self, x: Value, shape: tuple[int, ...]) -> Value:
        return x if x.shape == shape else self.computed("reshape", x, shape=shape)

    def _spread(self, x: Value, letters: str, wanted: str) -> Value:
        """The axes in another order, and axes of length 1 between and behind them."""
        x = self._turned(x, letters, "".join([c for c in wanted if c in letters]))
        missing = wanted[min(map(wanted.index, letters), default=len(wanted)) :]
        index = tuple(slice(None) if c in letters else None for c in missing)
        return self.computed("getitem", x, index=index) if None in index else x


def _is_product(value: Value) -> bool:
    """Whether an index that one of two factors does not have is in the result, and none occurs twice in one."""
    of_one_type = value.dtype.kind in "fc" and all(a.dtype == value.dtype for a in value.inputs)
    if len(value.inputs) != 2 or not of_one_type:
        return False
    a, b, result = _letters(value)
    once = all(len(set(own)) == len(own) for own in (a, b))
    return once and set(a) ^ set(b) <= set(result) and bool(_lengths(value))


def _letters(value: Value) -> tuple[str, str, str]:
    """The letters of the axes of two arguments and of the result."""
    arguments, result = value.attrs["subscripts"].split("->")
    left, right = arguments.split(",")
    return left, right, result


def _lengths(value: Value) -> dict[str, int]:
    """The length of the axis of every letter; none if `einsum` repeats one of length 1."""
    found: dict[str, int] = {}
    for letters, x in zip(_letters(value), value.inputs, strict=False):
        if any(found.setdefault(c, n) != n for c, n in zip(letters, x.shape, strict=True)):
            return {}
    return found
