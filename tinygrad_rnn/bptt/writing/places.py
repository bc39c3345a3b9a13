"""The buffers of a program by name: made when they are first asked for, as statements for the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..passes.pairs import blocks_of
from ..passes.rows import columns
from ..step.body import Underivable, Value
from ..step.schedule import Program
from ..step.text import is_view, number, shape_text, takes_all, view_text
from .layout import Layout, Place, is_only_part
from .literals import literal
from .memory import Memory
from .names import Names, Naming, unnamed

NUMBERS = {1.0: "one", 0.0: "zero", 0.5: "half", -1.0: "minus_one"}


class Places:
    """Names, buffers and views for the values of a program, and how each is written in the source."""

    def __init__(self, program: Program, names: Names) -> None:
        self.program = program
        self.body, self.adjoint = program.body, program.adjoint
        self.layout = Layout(program)
        self.names = names
        self.places: dict[Any, Place] = {}
        self.memory = Memory()
        # where parts of a gradient are added to it; "" if that is done already
        self.added: dict[Value, str] = {}
        self.new: set[Value] = set()  # gradients of all steps whose statement makes a new array
        self.scalars: set[str] = set()  # buffers whose steps have no axes
        self.within: dict[Value, str] = {}  # states and inputs that are part of a larger buffer
        self.dtype = self.body.states[0].dtype if self.body.states else self.body.xs[0].dtype
        self.naming = Naming(self.layout, self.names)
        self._name_inputs()

    # --- names ----------------------------------------------------------------------------------------

    def _name_inputs(self) -> None:
        body = self.body
        self.names.keep({*body.inputs, *self.layout.order})
        for v in self.layout.forward:
            if v.op == "rows":
                self._rows(v)
            elif v.op == "beside":
                self._beside(v)
        for x in body.xs:
            self.places[x] = Place(x.label, "stack", contiguous=x not in self.within)
            self.memory.made[self.places[x].whole] = self.within.get(x) or self.empty(x, "T")
        # those of the backward pass, too
        self.names.constants = [self.names.of(c, unnamed(c, body)) for c in body.constants]
        for c, name in zip(body.constants, self.names.constants, strict=True):
            self.places[c] = Place(name, "once")
            if body.is_made(c) and (text := literal(body.tensors[c]._data, self._type(c))):
                body.written.add(c)
                self.memory.fixed[name] = text
        for state in body.states:
            self._state_buffer(state)
            if state.shape == ():
                self.scalars.add(self.places[state].name)

    def _rows(self, v: Value) -> None:
        """The buffer in which states and inputs stand side by side, with a column of ones."""
        long = any(a.op == "state" for a in v.inputs)
        self.places[v] = Place(self.names.new("rows"), "stack", long=long)
        whole = self.places[v].whole
        self.memory.made[whole] = self.empty(v, "T + 1" if long else "T")
        for part, start, stop in columns(v):
            if not isinstance(part, Value):
                self.memory.filled.append(f"{whole}[:, :, {start}] = {part}")
            else:
                steps = ":-1" if long and part.op == "x" else ":"
                self.within[part] = f"{whole}[{steps}, :, {start}:{stop}]"

    def _beside(self, v: Value) -> None:
        """The buffer in which a state stands beside the gates of a step."""
        self.places[v] = Place(self.names.new(v.label or "beside"), "stack", long=True)
        whole = self.places[v].whole
        self.memory.made[whole] = self.empty(v, "T + 1")
        self.within |= {a: f"{whole}[:, {start}]" for a, start, _ in blocks_of(v.args) if a.op == "state"}

    def _state_buffer(self, state: Value) -> None:
        """The buffer of a state: for all steps and what comes after the last, or for two steps by turns."""
        name = state.label
        if state in self.within:
            self.places[state] = Place(name, "stack", contiguous=False, long=True)
            self.memory.made[f"all_{name}"] = self.within[state]
        elif self._is_kept(state):
            self.places[state] = Place(name, "stack", long=True)
            self.memory.made[f"all_{name}"] = self.empty(state, "T + 1")
        else:
            self.places[state] = Place(name, "ring")
            self.memory.made[name] = f"[{self.empty(state)} for _ in range(2)] * (T // 2 + 1)"

    def _is_kept(self, state: Value) -> bool:
        """Whether a state is read outside of the forward loop."""
        members = [v for v, k in self.layout.state_of.items() if self.body.states[k] is state]
        group = [u for u in self.layout.order if self.layout.root(u) in members] + members
        outside = [u for v in (state, *group) for u in self.layout.readers(v)]
        loops = {self.layout.region[u] for u in outside if u.op != "never"}
        views = [u for u in self.layout.users.get(state, []) if is_view(u)]
        read = loops - {"f-loop"} or not self.layout.stacked.isdisjoint(group)
        return bool(read or views or state in self.layout.ends)

    # --- shapes and types ---------------------------------------------------------------------------

    def _type(self, v: Value) -> str:
        return "dtype" if v.dtype == self.dtype else repr(str(v.dtype))

    def empty(self, v: Value, steps: str = "") -> str:
        """The expression that makes a buffer."""
        shape = (steps, *v.shape) if steps else v.shape
        return f"{'np.zeros' if v.op == 'zeros' else 'empty'}({shape_text(shape)}, {self._type(v)})"

    # --- places -----------------------------------------------------------------------------------------

    def place(self, v: Value) -> Place:
        """Where a value lives; buffers and views are made when they are first asked for."""
        if v not in self.places:
            self.places[v] = self._find(v)
            if v.shape == ():
                self.scalars.add(self.places[v].name)
        return self.places[v]

    def _find(self, v: Value) -> Place:
        lay = self.layout
        if v.op == "carry":
            return self._buffer(v, False)
        if v in lay.same:
            return self._renamed(v, lay.same[v])
        if v in lay.carry_of:
            return self.place(lay.carry_of[v])
        if v in lay.state_of:
            return replace(self.place(self.body.states[lay.state_of[v]]), shift=1)
        if v.op in ("split", "unstack"):
            return self.place(v.args[0])
        if is_view(v):
            base = self.place(v.args[0])
            if v.op != "reshape" or base.contiguous or cuts_rows(v):
                return self._view(v, v.args[0])
        if v in lay.born:
            return self.inside(v, *lay.born[v])
        return self._buffer(v, v in lay.stacked or v.op == "cotangent")

    def _renamed(self, v: Value, under: Value) -> Place:
        """The memory under a value; by another name where another region has computed what is written over."""
        place, here = self.place(under), self.layout.region[v] == self.layout.region.get(under)
        if here or place.kind != "stack" or place.shift or place.long:
            return place
        name = self.naming.of(v)
        if name == place.name:  # it is what the memory was named after
            return place
        self.memory.made[f"all_{name}"] = place.whole
        return replace(place, name=name)

    def _buffer(self, v: Value, stacked: bool) -> Place:
        once = v in self.program.once or v.op == "zeros"
        place = Place(self.naming.of(v), "once" if once else "stack" if stacked else "temp")
        # after the loop, the statement that computes a sum makes a new array
        after = once and self.layout.region.get(v) == "b-after"
        if not after or v.op not in ("time_sum", "concatenate", "stack"):
            self.memory.made[place.whole] = self.empty(v, "T" * (stacked and not once))
        return place

    def _view(self, v: Value, base_value: Value) -> Place:
        base = self.place(base_value)
        if v.op == "stop" or is_only_part(v):
            return base
        stacked = base.kind == "stack"
        if stacked:
            text = view_text(v, base.whole, "T + 1" if base.long else "T")
        elif base.kind == "ring":
            text = f"[{view_text(v, 's')} for s in {base.name}]"
        else:
            text = view_text(v, base.name)
        name = text
        if base.kind != "once":
            name = self.memory.view(lambda: self.naming.of_view(v, base), text, "all_" * stacked)
        whole = v.op == "reshape" or (v.op == "getitem" and not stacked and takes_all(v))
        contiguous = whole and base.kind in ("stack", "temp") and base.contiguous
        return replace(base, name=name, contiguous=contiguous)

    def tiles(self, product: Value) -> tuple[str, str, str]:
        """What a product that is cut reads and writes inside the loop: rows, strips, and pieces of its sum, if any."""
        parts, blocks, width = product.attrs["tiles"]
        left, place = product.args[0], self.place(product)
        (rows, columns), inner = product.shape, left.shape[1] // parts
        at, strips = self.place(left), (columns // width, width)
        if parts > 1:
            pieces = self.names.new(f"{place.name}_pieces")
            self.memory.made[pieces] = self.empty(
                Value("pieces", (), {}, (parts, rows, columns), product.dtype)
            )
            read = self._seen(at, "tiles", (blocks, -1, parts, 1, inner), (2, 0, 3, 1, 4))
            written = Place(pieces, "temp")
            return read, self._seen(written, "strips", (parts, blocks, -1, *strips), (0, 1, 3, 2, 4)), pieces
        if blocks > 1:
            read = self._seen(at, "tiles", (blocks, 1, -1, inner))
            return read, self._seen(place, "strips", (blocks, -1, *strips), (0, 2, 1, 3)), ""
        return self.step_of(at), self._seen(place, "strips", (rows, *strips), (1, 0, 2)), ""

    def _seen(self, place: Place, wish: str, shape: Sequence[int], axes: Sequence[int] = ()) -> str:
        """The text, inside the loop, of a place whose array is reshaped, and its axes put into another order."""
        steps = ["T + 1" if place.long else "T"] * (place.kind == "stack")
        order = ", ".join(map(str, (*range(len(steps)), *[axis + len(steps) for axis in axes])))

        def seen(array: str) -> str:
            reshaped = f"{array}.reshape({shape_text((*steps, *shape))})"
            return f"{reshaped}.transpose({order})" if axes else reshaped

        text = f"[{seen('s')} for s in {place.name}]" if place.kind == "ring" else seen(place.whole)
        name = self.memory.view(lambda: self.names.new(f"{place.name}_{wish}"), text, "all_" * len(steps))
        return self.step_of(replace(place, name=name))

    def inside(self, v: Value, joined: Value, k: int) -> Place:
        """The place of part k of a concatenation."""
        outer = self.place(joined)
        stacked = outer.kind == "stack"
        if joined.op == "beside":
            _, start, stop = blocks_of(joined.args)[k]
            place = Place(self.naming.of(v), "stack", contiguous=False)
            self.memory.made[place.whole] = f"{outer.whole}[:-1, {start}:{stop}]"
            return place
        rest = "" if v.shape or stacked else "..., "  # an array without axes, not a number
        index = rest + index_in(joined, k, stacked)
        place, ring = replace(outer, name=self.naming.of(v), contiguous=False), outer.kind == "ring"
        text = f"[s[{index}] for s in {outer.name}]" if ring else f"{outer.whole}[{index}]"
        self.memory.made[place.whole] = text
        if v.shape == ():
            self.scalars.add(place.name)
        return place

    def step(self, v: Any) -> str:
        """The text of a value inside the loop."""
        return self.step_of(self.place(v)) if isinstance(v, Value) else self.literal(v)

    def step_of(self, place: Place) -> str:
        """The text of a place inside the loop; the list of steps of a stacked buffer is made when it is asked for."""
        name, whole = place.name, place.whole
        if place.kind not in ("stack", "ring"):
            return name
        if name not in self.memory.made and whole in self.memory.made:
            scalars = (
                f"[{whole}[k : k + 1].reshape(()) for k in range(len({whole}))]"  # arrays, to write into
            )
            self.memory.made[name] = scalars if name in self.scalars else f"list({whole})"
        return f"{name}[t + 1]" if place.shift else f"{name}[t]"

    def whole(self, v: Any, ndim: int | None = None) -> str:
        """The text of a value outside the loop; per-step values get the axes that broadcasting needs."""
        if not isinstance(v, Value):
            return number(v)
        place = self.place(v)
        if place.kind != "stack":
            if place.kind in ("temp", "ring"):
                raise Underivable(f"{v!r} is needed for all steps, but is not kept")  # pragma: no cover
            return place.name
        text = place.whole
        if place.long:
            text += "[1:]" if place.shift else "[:-1]"
        missing = 0 if ndim is None else ndim - len(v.shape)
        return text if missing <= 0 else f"{text}[:{', None' * missing}]"

    def literal(self, value: Any) -> str:
        """A number inside the loop: the name of an array of one element, which NumPy takes faster."""
        finite = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < np.inf
        if not finite or repr(value) == "-0.0":
            return number(value)
        key, numbers = repr(float(value)), self.memory.numbers
        if key not in numbers:
            wish = f"c{value!r}" if value >= 0 else f"minus_{-value!r}"
            numbers[key] = NUMBERS.get(float(value)) or self.names.new(wish)
        return numbers[key]


def cuts_rows(v: Value) -> bool:
    """Whether a reshape cuts some columns of a matrix into gates: then it is a view of these, contiguous or not."""
    return "rows" in v.attrs and v.args[0].op == "part"


def index_in(joined: Value, k: int, lead: int) -> str:
    """The index of part k in a concatenation or stack."""
    axis, cut = joined.attrs["axis"], f"{k}"
    if joined.op == "concatenate":
        start = sum(a.shape[axis] for a in joined.args[:k])
        cut = f"{start}:{start + joined.args[k].shape[axis]}"
    return ", ".join([":"] * (axis + lead) + [cut])
