"""What computes one value: the statements of an op, inside the loop or for all steps at once."""

from __future__ import annotations

import math
import re
from typing import Any

from ...core.op import OPS
from ...ops import nn
from ...ops.linalg import planned
from ..step.body import Underivable, Value
from ..step.text import STATEMENTS, is_view, number, row_by_row, shape_text, view_text
from .places import NUMBERS, Places, cuts_rows, index_in

# Elements from which on einsum multiplies columns with rows in 0.5 to 0.8 of the time: it takes one row at a time.
MANY = 2**14
# And elements of a step from which on a sum over steps and examples takes half the time as a product.
WIDE = 2**10
AXES = "tnijklmopqrsuvwxyz"  # of a contraction: time, examples, and the others


class Statements(Places):
    """Writes the statements of values, one by one."""

    def statements(self, v: Value, inside: bool) -> list[str]:
        """What computes a value."""
        if v in self.added and v.op == "put_back":
            return [f"{self.added[v]} += {self.whole(v.args[0])}"] if self.added[v] else []
        if v.op == "time_sum":
            return self._time_sum(v, inside)
        self.place(v)
        if v.op in ("zeros", "rows", "beside") or (is_view(v) and self._is_aliased(v)):
            return []
        once = v in self.program.once
        lead = 0 if inside or once else 1
        ndim = len(v.shape) if v.op in OPS and OPS[v.op].broadcasts else None
        ref = self.step if inside else lambda a: self.whole(a, ndim)
        if v.op == "reshape":
            return [f"{ref(v)}[...] = {view_text(v, ref(v.args[0]), *['T'] * lead)}"]
        if v.op in ("concatenate", "stack"):
            return self._join(v, ref, lead)
        y = ref(v)
        if inside and not (v.elementwise and self._of_main_type(v)):  # numbers, such as ids, as they are
            ref = self._number_or_step
        if v.op == "matmul":
            return self._matmul(v, y, [ref(a) for a in v.args], lead, inside)
        if v.op == "where" and (copies := self._copies(v, y, [ref(a) for a in v.args])):
            return copies
        if v.op not in STATEMENTS:
            raise Underivable(f"{v.site or 'its gradient'}: op {v.op!r} has no NumPy text")
        args = [ref(a) for a in v.args]
        if _makes_floats(v):  # NumPy would compute as narrow as the integers are
            args = [
                f"{a}.astype('{v.dtype}')" if isinstance(w, Value) else a
                for w, a in zip(v.args, args, strict=True)
            ]
        attrs = v.attrs
        if v.op == "einsum":
            shapes = tuple([getattr(a, "shape", ()) for a in v.args])
            attrs = attrs | {"optimize": planned(attrs["subscripts"], shapes)}
        work = args[0] if self.layout.works_in_argument(v) else y
        *lines, last = STATEMENTS[_form(v)](work, args, attrs, lead)
        lines.append(last if work == y else last.replace(f"out={work})", f"out={y})"))
        text = "\n".join(lines)
        for value, name in NUMBERS.items():
            if re.search(rf"\b{name}\b", text):
                self.literal(value)
        if not self._of_main_type(v) or not inside:
            lines = [_spelled(line, v.dtype.kind in "iu") for line in lines]
        return lines

    def _shares(self, a: Any, v: Value) -> bool:
        return isinstance(a, Value) and self.layout.memory(a) is self.layout.memory(v)

    def _copies(self, v: Value, y: str, texts: list[str]) -> list[str]:
        """A choice of two as copies, in half the time; none where one would destroy the other, or the test."""
        test, a, b = v.args
        over = self._shares(b, v)
        if not isinstance(test, Value) or test.dtype != bool or self._shares(test, v) or self._shares(a, v):
            return []
        if over and self.place(b) != self.place(v):
            return []
        first = [] if over else [f"np.copyto({y}, {texts[2]})"]
        return [*first, f"np.copyto({y}, {texts[1]}, where={texts[0]})"]

    def _of_main_type(self, v: Value) -> bool:
        """Whether a value and all that it is computed from have the type of the first state, one of floats."""
        return (
            self.dtype.kind == "f" and v.dtype == self.dtype and all(a.dtype == self.dtype for a in v.inputs)
        )

    def _number_or_step(self, a: Any) -> str:
        return self.step(a) if isinstance(a, Value) else number(a)

    def _marked(self, v: Value, inside: bool = False) -> list[str]:
        """The statements of a value with the number of its equation."""
        equation = v.eq or next((a.eq for a in v.inputs if a.eq), "")
        return [f"{line}  # {equation}" if equation else line for line in self.statements(v, inside)]

    def _is_aliased(self, v: Value) -> bool:
        return v.op != "reshape" or self.place(v.args[0]).contiguous or cuts_rows(v)

    def _join(self, v: Value, ref: Any, lead: int) -> list[str]:
        if v in self.program.once:
            axis = f"axis={v.attrs['axis']}"
            parts = ", ".join(ref(a) for a in v.args) + "," * (len(v.args) == 1)
            pieces = f"np.{v.op}(({parts}), {axis}"
            if self.layout.region[v] == "b-after":
                to = f"{self.added[v]} +=" if v in self.added else f"{self.place(v).name} ="
                return [f"{to} {pieces})"]
            return [f"{pieces}, out={ref(v)})"]
        lines = []
        for k, a in enumerate(v.args):
            if self.layout.born.get(self.layout.root(a) if isinstance(a, Value) else a) == (v, k):
                self.place(a)
                continue
            outer = self.place(v)
            if lead:
                lines.append(f"{outer.whole}[{index_in(v, k, lead)}] = {ref(a)}")
                continue
            gap = Value("gap", (), {}, a.shape, a.dtype)
            gap.label = f"{a.label}_in_{outer.name}" if a.label else ""
            lines.append(f"{self.step_of(self.inside(gap, v, k))}[...] = {ref(a)}")
        return lines

    def _matmul(self, v: Value, y: str, a: list[str], lead: int, inside: bool) -> list[str]:
        if "tiles" in v.attrs:
            rows, out, pieces = self.tiles(v)
            total = [f"np.add.reduce({pieces}, axis=0, out={y})"] if pieces else []
            return [f"np.matmul({rows}, {a[1]}, out={out})", *total]
        left, right = v.inputs
        contiguous = self.place(v).contiguous
        if contiguous and self._of_all_rows(v, lead):
            rows = " * ".join((*("T",) * lead, *map(str, left.shape[:-1])))
            product = f"np.matmul({a[0]}.reshape({rows}, {left.shape[-1]}), {a[1]}"
            if v in self.new:
                return [f"{y} = {product}).reshape{shape_text(('T', *v.shape))}"]
            return [f"{product}, out={y}.reshape({rows}, {right.shape[1]}))"]
        matrices = min(len(left.shape), len(right.shape)) > 1
        if matrices and left.shape[-1] == 1 and len(v.shape) > 2:  # columns and rows: not BLAS for each
            if math.prod(v.shape) < MANY:
                return [f"multiply({a[0]}, {a[1]}, out={y})"]
            return [f'np.einsum("...ij,...jk->...ik", {a[0]}, {a[1]}, out={y})']
        two = len(left.shape) == len(right.shape) == 2 and inside and contiguous and v.dtype.kind == "f"
        return [f"{'dot' if two else 'np.matmul'}({a[0]}, {a[1]}, out={y})"]

    def _of_all_rows(self, v: Value, lead: int) -> bool:
        """Whether a product multiplies rows with a weight, those of all steps as one matrix."""
        left, right = v.inputs
        once = self.program.once
        return len(left.shape) > 2 - lead and len(right.shape) == 2 and right in once and left not in once

    def _time_sum(self, v: Value, inside: bool) -> list[str]:
        name = self.added.get(v) or self.place(v).name
        sign = "+=" if v in self.added else "="
        if inside:
            return [f"add({name}, {self.step(v.args[0])}, out={name})"]
        if v.attrs.get("product"):
            a, g = v.args
            x, d = (f"{self.whole(u)}.reshape(T * {u.shape[0]}, {u.shape[1]})" for u in (a, g))
            return [f"{name} {sign} np.matmul({x}.T, {d})"]
        if v.attrs.get("products"):
            return self._products(v, name)
        if v.attrs.get("scatter"):
            g, ids = (self.whole(u) for u in v.args)
            return [
                f"{name} = np.zeros({shape_text(v.shape)}, {g}.dtype)",
                f"np.add.at({name}, {ids}, {g})",
            ]
        axis = (0, *[k + 1 for k in v.attrs.get("axis", ())])
        if v.attrs.get("contracts"):
            axes = AXES[: len(v.args[0].shape) + 1]
            stay = "".join([name for i, name in enumerate(axes) if i not in axis])
            keep = f".reshape({shape_text(v.shape)})" if v.attrs["keepdims"] else ""
            a, g = map(self.whole, v.args)
            return [f'{name} {sign} np.einsum("{axes},{axes}->{stay}", {a}, {g}){keep}']
        term = v.args[0]
        leading = axis == (*range(len(term.shape)),) and v.shape == term.shape[-1:]
        if leading and math.prod(term.shape) >= WIDE and self._in_one_piece(term):
            rows = " * ".join(map(str, ("T", *term.shape[:-1])))
            terms = self.whole(term)
            found = f"np.ones({rows}, {terms}.dtype) @ {terms}.reshape({rows}, {term.shape[-1]})"
            return [f"{name} {sign} {found}"]
        keep = f", keepdims=True).reshape({shape_text(v.shape)}" if v.attrs.get("keepdims") else ""
        summed = axis if "axis" in v.attrs else 0
        return [f"{name} {sign} np.add.reduce({self.whole(v.args[0])}, axis={summed}{keep})"]

    def _in_one_piece(self, v: Value) -> bool:
        """Whether all steps of a value lie one behind the other, in a type that BLAS has."""
        place = self.place(v)
        return place.kind == "stack" and place.contiguous and not place.long and v.dtype.char in "fd"

    def _products(self, v: Value, name: str) -> list[str]:
        """A sum over time of products of stacks: one product of each stack's matrices, side by side and stacked."""
        a, g = v.args
        n = len(a.shape)  # of all steps, the axes are: time, those of the stack, rows, columns
        stack = ", ".join(map(str, range(1, n - 1)))
        beside, stacked = self.names.new("beside"), self.names.new("stacked")
        left = f"{self.whole(a)}.transpose({stack}, {n - 1}, 0, {n})"
        right = f"{self.whole(g)}.transpose({stack}, 0, {n - 1}, {n})"
        return [
            f"{beside} = {left}.reshape{shape_text((*a.shape[:-1], -1))}",
            f"{stacked} = {right}.reshape{shape_text((*g.shape[:-2], -1, g.shape[-1]))}",
            f"{name} = np.matmul({beside}, {stacked})",
        ]


def _form(v: Value) -> str:
    """The op, or what it is for this type or number."""
    if v.op == "power" and v.dtype.kind in "fc" and [a.dtype for a in v.inputs] == [v.dtype]:
        return {3.0: "third_power", 4.0: "fourth_power"}.get(v.args[1], v.op)
    if v.op == "erf" and v.dtype.itemsize <= 4:
        return "erf_by_quotient"
    if v.op == "softmax" and v.dtype.itemsize >= 4 and math.prod(v.shape) >= nn.MANY:
        return "softmax_of_many"
    return "zero_minus" if v.op == "negative" and v.dtype.kind == "u" else v.op


def _spelled(line: str, whole: bool) -> str:
    """Numbers in place of their names, without a point among `whole` ones."""
    for value, name in NUMBERS.items():
        text = repr(int(value)) if whole and value == int(value) else repr(value)
        line = re.sub(rf"\b{name}\b", text, line)
    return line


def _makes_floats(v: Value) -> bool:
    """Whether an op that takes floats makes some of integers or flags alone."""
    return (
        (row_by_row(v) and v.op not in ("where", "cast") or v.op == "logsumexp")
        and v.dtype.kind == "f"
        and all(a.dtype.kind in "iub" for a in v.inputs)
    )
