"""Passes over the ops of a step that change how a result is computed, not what it is.

They rewrite the list of `Value`s; `schedule` then decides where each op runs. Every pass can be switched off.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import numpy as np

from ...core.op import OPS
from ..step.adjoint import Adjoint
from ..step.body import Body, Value, parts_of
from ..step.schedule import IN_CACHE
from ..step.walks import ancestors, dependents, users_of
from .tidy import resolve, tidy


def guards(adjoint: Adjoint) -> None:
    """Leave out `where(g == 0, 0, x)`, which keeps `0 · ∞` out of a gradient.

    Only tests of a gradient `g` are meant: those that the step makes of its own values stay. If a gradient is not
    finite after all, the recorded steps decide (see `Plan.checked`).
    """
    gradients = linear(adjoint)
    for value in adjoint.values:
        if value.op == "where" and value.args[1] == 0 and isinstance(value.args[0], Value):
            test, _, kept = value.args
            if test.op == "equal" and test.args[0] in gradients and test.args[1] == 0:
                if isinstance(kept, Value) and kept.shape == value.shape:
                    value.op, value.args = "alias", (kept,)
    resolve(adjoint)


def linear(adjoint: Adjoint) -> set[Any]:
    """The gradients: what depends on those that arrive."""
    sources = [*[c for c in adjoint.cotangents if c], *adjoint.arriving]
    return dependents(adjoint.values, sources) | set(sources)


def factors(body: Body, adjoint: Adjoint) -> None:
    """Carry a gradient through elementwise ops as `base · factor`: `((dc · g) · i) · (1 − i) = dc · (g · i · (1 − i))`.

    The factors are made of saved values only, so they can be computed for all steps at once before the loop.
    Terms with one base are added by their factors: `dh · h − dh · n = dh · (h − n)`. What only gradients of weights
    are made of stays as it is: it comes after the loop anyway.
    """
    _Factors(adjoint).run()
    resolve(adjoint)
    tidy(body, adjoint)


class _Factors:
    def __init__(self, adjoint: Adjoint) -> None:
        self.adjoint = adjoint
        self.linear = linear(adjoint)
        self.users = users_of(adjoint.values, [])
        self.inside = ancestors(adjoint.sent)  # what the step before needs
        self.form: dict[Value, tuple[Value, Any]] = {}  # base and factor (1.0: none)
        self.joined: dict[Value, list[tuple[Value, Any, str]]] = {}  # a concatenation of such products
        self.made: list[Value] = []
        self.known: dict[Any, Value] = {}
        self.cuts: dict[Any, list[Value]] = {}  # the parts of factors, by the shapes of these
        self.eq = ""
        self.dtype: Any = None  # of the gradient that is rewritten

    def run(self) -> None:
        for value in self.adjoint.values:
            self.eq, self.dtype = value.eq, value.dtype
            split = value in self.linear and value in self.inside
            pieces = self._pieces(value) if split else None
            if pieces is not None:
                self.joined[value] = pieces
                continue
            form = self._form(value) if split else None
            if form is not None and form[0].shape == value.shape:
                if not self._summed(value):
                    self.form[value] = form
                    continue
                value.op, value.args = "multiply", form
            value.args = tuple([self._whole(a) for a in value.args])
            self.made.append(value)
        self.adjoint.replace(self._whole)
        self.adjoint.values[:] = self.made

    def _summed(self, value: Value) -> bool:
        """Whether others read a product too large to be computed before the loop, and one of them in a sum.

        There a factor saves nothing, and for the others it would be computed once more.
        """
        users = self.users.get(value, [])
        sums = [u for u in users if u.op == "multiply" and all(s.op == "sum" for s in self.users.get(u, []))]
        return value.op == "multiply" and bool(sums) and len(users) > 1 and math.prod(value.shape) >= IN_CACHE

    def _split(self, a: Any) -> tuple[Value, Any] | None:
        if not isinstance(a, Value) or a not in self.linear:
            return None
        if a in self.joined:
            a = self._whole(a)
        form: tuple[Value, Any] = self.form.get(a, (a, 1.0))
        return form

    def _pieces(self, value: Value) -> list[tuple[Value, Any, str]] | None:
        """The value as a concatenation of products, if it is one: what acts on all of it acts on each piece."""
        op, args = value.op, value.args
        if op == "concatenate" and value.attrs["axis"] == len(value.shape) - 1:
            if not all(isinstance(a, Value) and (a in self.linear or a.op == "zeros") for a in args):
                return None
            found: list[tuple[Value, Any, str]] = []
            for a in args:
                found += self.joined.get(a) or [(*self.form.get(a, (a, 1.0)), a.label)]
            return found
        sides = [self.joined.get(a) if isinstance(a, Value) else None for a in args]
        left, right = sides[0], sides[-1]
        others: list[Any] | None = None  # what each factor is combined with
        if left is None:
            return None
        if op == "negative":
            return [(b, self._op(op, f), _before(n)) for b, f, n in left]
        if op == "multiply" and right is None:
            others = self._cut(args[1], left, value)
        elif op in ("add", "subtract") and right and [b for b, *_ in left] == [b for b, *_ in right]:
            others = [f for _, f, _ in right]
        if others is None:
            return None
        return [(b, self._op(op, f, g), _before(n)) for (b, f, n), g in zip(left, others, strict=True)]

    def _cut(self, factor: Any, pieces: list[tuple[Value, Any, str]], value: Value) -> list[Any] | None:
        """A factor cut like the pieces that it multiplies."""
        if not isinstance(factor, Value):
            return [factor] * len(pieces)
        if factor in self.linear or factor.shape != value.shape:
            return None
        shapes = tuple([b.shape for b, *_ in pieces])
        if (factor, shapes) not in self.cuts:
            at = tuple(accumulate([shape[-1] for shape in shapes[:-1]]))
            split = Value("split", (factor,), {"at": at, "axis": len(value.shape) - 1}, shapes, factor.dtype)
            self.cuts[factor, shapes] = parts = parts_of(split)
            self.made += [split, *parts]
        return self.cuts[factor, shapes]

    def _form(self, value: Value) -> tuple[Value, Any] | None:
        """The value as base · factor, if it is one."""
        op, args = value.op, value.args
        if op not in ("multiply", "divide", "negative", "add", "subtract", "where"):
            return None
        left = self._split(args[0])
        right = self._split(args[1]) if len(args) > 1 else None
        if op == "multiply" and (side := left or right):
            return side[0], self._op("multiply", side[1], args[1] if left else args[0])
        if op == "divide" and left and not right:
            return left[0], self._op("divide", left[1], args[1])
        if op == "negative" and left:
            return left[0], self._op("negative", left[1])
        if op in ("add", "subtract") and left and right and left[0] is right[0]:
            return left[0], self._op(op, left[1], right[1])
        if op == "where" and not left:
            for pick, rest in ((1, 2), (2, 1)):
                form = self._split(args[pick])
                if form and not isinstance(args[rest], Value) and args[rest] == 0:
                    test, chosen = args[0], (form[1], 0.0) if pick == 1 else (0.0, form[1])
                    if chosen == (1.0, 0.0) and isinstance(test, Value) and test.dtype.kind == "b":
                        return form[0], self._make("cast", test)
                    return form[0], self._op("where", test, *chosen)
        return None

    def _whole(self, a: Any) -> Any:
        """The value itself, for those that cannot use base and factor."""
        if isinstance(a, Value) and a in self.joined:
            wholes = tuple([self._product(b, f, n) for b, f, n in self.joined[a]])
            for whole, (_, f, _) in zip(wholes, self.joined[a], strict=True):
                if isinstance(f, Value) and f.eq.startswith("∂"):
                    whole.eq = f.eq
            key = ("concatenate", wholes)
            if key not in self.known:
                attrs = {"axis": len(a.shape) - 1}
                self.known[key] = Value("concatenate", wholes, attrs, a.shape, a.dtype, True, a.label)
                self.made.append(self.known[key])
            return self.known[key]
        if not isinstance(a, Value) or a not in self.form:
            return a
        before, (self.eq, self.dtype) = (self.eq, self.dtype), (a.eq, a.dtype)
        made = self._product(*self.form[a], a.label)
        self.eq, self.dtype = before
        return made

    def _product(self, base: Value, factor: Any, label: str) -> Value:
        if factor == 1.0:
            return base
        whole = self._times(base, factor)
        whole.label = whole.label or label
        if label and isinstance(factor, Value) and not factor.label and base.label:
            factor.label = f"{label}_by_{base.label}"
        return whole

    def _op(self, name: str, *args: Any) -> Any:
        """A factor; numbers are computed now, and what is left of them comes last: `((−½ y) y) / 4 = (y y) · −⅛`."""
        if not any(isinstance(a, Value) for a in args):
            return float(OPS[name].fwd(*[np.float64(a) for a in args]))
        if name not in ("multiply", "divide", "negative"):
            return self._make(name, *args)
        values, numbers = zip(*[number_apart(a) for a in args], strict=True)
        number = float(OPS[name].fwd(*[np.float64(n) for n in numbers]))
        if not 1e-30 < abs(number) < 1e30:
            return self._make(name, *args)
        left = values[0]
        if name == "multiply" and left == 1.0:
            left = values[1]
        elif name != "negative" and values[1] != 1.0:
            left = self._make(name, *values)
        return left if number == 1.0 else self._times(left, number)

    def _times(self, value: Value, factor: Any) -> Value:
        if type(factor) is float and value.dtype == np.float32:
            factor = float(str(np.float32(factor)))  # 0.1134, not 0.11340000000000001
        return self._make("negative", value) if factor == -1.0 else self._make("multiply", value, factor)

    def _make(self, name: str, *args: Any) -> Value:
        if name == "add":  # −n + h = h − n
            for minus, other in (args, args[::-1]):
                negative = isinstance(minus, Value) and minus.op == "negative"
                if negative and minus.args[0].dtype == minus.dtype:
                    name, args = "subtract", (other, minus.args[0])
                    break
        values = [a for a in args if isinstance(a, Value)]
        dtype = np.result_type(*[v.dtype for v in values if v.dtype.kind in "fc"] or [self.dtype])
        key = (name, args, dtype)
        if key not in self.known:
            shape = np.broadcast_shapes(*[v.shape for v in values])
            self.known[key] = Value(name, args, {}, shape, dtype, eq=self.eq)
            self.made.append(self.known[key])
        return self.known[key]


def _before(label: str) -> str:
    """The name of the gradient of what a quantity is the activation of, from that of its own."""
    return label and f"dpre_{label.removeprefix('dpre_').removeprefix('d')}"


def number_apart(a: Any) -> tuple[Any, float]:
    """A factor and the number that it is multiplied by; 1.0 in place of what there is not."""
    if not isinstance(a, Value):
        return 1.0, float(a)
    if not a.inputs or a.inputs[0].dtype != a.dtype:  # the number makes floats of counts and flags
        return a, 1.0
    if a.op == "negative":
        return a.args[0], -1.0
    if a.op == "multiply" and isinstance(a.args[1], float):
        return a.args[0], a.args[1]
    return a, 1.0
