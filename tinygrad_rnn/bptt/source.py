"""A scheduled program as Python: the functions `forward` and `backward`, which need NumPy only."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..core.op import OPS
from .body import Underivable, Value
from .layout import Layout, Names, Place, is_view
from .schedule import Program
from .text import STATEMENTS, UFUNCS, number, view_text

WIDTH = 110


def write(program: Program, title: str = "") -> str:
    """The source of a program."""
    return _Writer(program, title).module()


class _Writer:
    def __init__(self, program: Program, title: str) -> None:
        self.program, self.title = program, title
        self.body, self.adjoint = program.body, program.adjoint
        self.layout = Layout(program)
        self.names = Names(set(UFUNCS) | {"dot"})
        self.places: dict[Any, Place] = {}
        self.memory: list[str] = []  # statements that make the buffers, and the views of them
        self.held: list[str] = []  # the names in the cache
        self.listed: set[str] = set()
        self.literals: dict[float, str] = {}
        self.lead = 0
        self.dtype = self.body.states[0].dtype if self.body.states else self.body.xs[0].dtype
        self._name_inputs()

    # --- names ----------------------------------------------------------------------------------------

    def _name_inputs(self) -> None:
        body, letters = self.body, "hcsuvw"
        single = len(body.xs) == 1
        self.x_arguments = ["X" if single else f"X{i}" for i in range(len(body.xs))]
        self.names.taken |= set(self.x_arguments)
        self.state_names: list[str] = []
        for j, state in enumerate(body.states):
            label = state.label or body.new_states[j].label or (letters[j] if j < len(letters) else "s")
            self.state_names.append(self.names.new(label.rstrip("0123456789") or label))
        self.state_arguments = [self.names.new(f"{n}0") for n in self.state_names]
        self.constant_names = [self.names.new(c.label or "w") for c in body.constants]
        for x, i in zip(body.xs, range(len(body.xs)), strict=True):
            label = x.label if x.label and x.label not in ("X", "inputs") else "x"
            self.places[x] = Place(self.names.new(label if single else f"{label}"), "stack")
            self._hold(self.places[x].whole, f"np.empty({self._shape(('T', *x.shape))}, {self.x_arguments[i]}.dtype)")
        for c, name in zip(body.constants, self.constant_names, strict=True):
            self.places[c] = Place(name, "once")
        for j, state in enumerate(body.states):
            self._state_buffer(j, state)

    def _state_buffer(self, j: int, state: Value) -> None:
        name = self.state_names[j]
        members = [v for v, k in self.layout.state_of.items() if k == j]
        group = [u for u in self.layout.order if self.layout._buffer(u) in members] + members
        outside = [u for v in (state, *group) for u in self.layout._readers(v)]
        loops = {self.layout.region[u] for u in outside if u.op != "never"}
        kept = loops - {"f-loop"} or any(v in self.layout.stacked for v in group) or state in self.body.outputs
        kept = kept or state in self.layout.ends or any(is_view(u) for u in self.layout.users.get(state, []))
        if kept:
            self.places[state] = Place(name, "stack", long=True)
            self._hold(f"all_{name}", self._empty(state, "T + 1"))
        else:
            self.places[state] = Place(name, "ring")
            shape = self._shape(state.shape)
            self._hold(name, f"[np.empty({shape}, {self._type(state)}) for _ in range(2)] * (T // 2 + 1)")

    def _label(self, v: Value) -> str:
        if v.label:
            return v.label
        if len(v.args) == 1 and v.inputs and v.inputs[0].label and v.op in OPS and OPS[v.op].broadcasts:
            return f"{v.op}_{v.inputs[0].label}"
        return "tmp"

    def _hold(self, name: str, expression: str) -> None:
        self.memory.append(f"{name} = {expression}")
        self.held.append(name)

    # --- shapes and types ---------------------------------------------------------------------------

    def _shape(self, shape: Any) -> str:
        inner = ", ".join(str(n) for n in shape)
        return f"({inner},)" if len(shape) == 1 else f"({inner})"

    def _type(self, v: Value) -> str:
        return "dtype" if v.dtype == self.dtype else repr(str(v.dtype))

    def _empty(self, v: Value, steps: str = "") -> str:
        shape = (steps, *v.shape) if steps else v.shape
        return f"np.{'zeros' if v.op == 'zeros' else 'empty'}({self._shape(shape)}, {self._type(v)})"

    # --- places -----------------------------------------------------------------------------------------

    def place(self, v: Value) -> Place:
        """Where a value lives; buffers and views are made when they are first asked for."""
        if v not in self.places:
            self.places[v] = self._find(v)
        return self.places[v]

    def _find(self, v: Value) -> Place:
        lay = self.layout
        if v.op == "carry":
            return self._buffer(v, False)
        if v in lay.same:
            return self.place(lay.same[v])
        if v in lay.carry_of:
            return self.place(lay.carry_of[v])
        if v in lay.state_of:
            state = self.body.states[lay.state_of[v]]
            first = self.place(state)
            return Place(first.name, first.kind, 1, True, first.long)
        if v.op in ("split", "unstack"):
            return self.place(v.args[0])
        if v.op == "part":
            return self._view(v, v.args[0].args[0])
        if is_view(v):
            base = self.place(v.args[0])
            if v.op != "reshape" or base.contiguous or _cuts_rows(v):
                return self._view(v, v.args[0])
        if v in lay.blocks:
            rows = lay.blocks[v]
            base, (n, batch, width) = self.place(rows), v.shape
            name = self.names.new(f"{base.name}_blocks")
            if base.kind == "stack":
                self._hold(f"all_{name}", f"{base.whole}.reshape(T, {batch}, {n}, {width}).transpose(0, 2, 1, 3)")
            else:
                self._hold(name, f"{base.name}.reshape({batch}, {n}, {width}).transpose(1, 0, 2)")
            return Place(name, base.kind, base.shift, False, base.long)
        if v in lay.born:
            return self._inside(v, *lay.born[v])
        return self._buffer(v, v in lay.stacked or v.op in ("cotangent",))

    def _buffer(self, v: Value, stacked: bool) -> Place:
        name = self.names.new(self._label(v))
        kind = "once" if v in self.program.once or v.op == "zeros" else "stack" if stacked else "temp"
        if kind == "stack":
            self._hold(f"all_{name}", self._empty(v, "T"))
        elif not self._fresh(v):
            self._hold(name, self._empty(v))
        return Place(name, kind)

    def _fresh(self, v: Value) -> bool:
        """Whether the statement that computes a value makes a new array."""
        after = v in self.program.once and self.layout.region.get(v) == "b-after"
        return after and v.op in ("time_sum", "concatenate", "stack")

    def _view(self, v: Value, base_value: Value) -> Place:
        base = self.place(base_value)
        name = self.names.new(v.label or f"{base.name}_{'T' if v.op == 'transpose' else 'part'}")
        whole = v.op == "stop"
        if whole:
            return base
        if base.kind == "stack":
            shape = (lambda s: self._shape(["T + 1" if n == "T" else n for n in s])) if base.long else self._shape
            self._hold(f"all_{name}", view_text(v, base.whole, 1, shape) or "")
            return Place(name, "stack", base.shift, False, base.long)
        if base.kind == "ring":
            self._list(base.name)
            self._hold(name, f"[{view_text(v, 's', 0, self._shape)} for s in {base.name}]")
            self.listed.add(name)
            return Place(name, "ring", base.shift, False)
        text = view_text(v, base.name, 0, self._shape) or ""
        if base.kind == "once":
            return Place(text, "once", 0, False)
        self._hold(name, text)
        return Place(name, "temp", 0, False)

    def _inside(self, v: Value, joined: Value, k: int) -> Place:
        outer = self.place(joined)
        name = self.names.new(self._label(v))
        axis, sizes = joined.attrs["axis"], [a.shape[joined.attrs["axis"]] if joined.op == "concatenate" else 1 for a in joined.args]
        start = sum(sizes[:k])
        lead = 1 if outer.kind == "stack" else 0
        cut = f"{start}:{start + sizes[k]}" if joined.op == "concatenate" else f"{k}"
        index = ", ".join([":"] * (axis + lead) + [cut])
        source = outer.whole if lead else outer.name
        self._hold(f"all_{name}" if lead else name, f"{source}[{index}]")
        return Place(name, outer.kind, outer.shift, False, outer.long)

    def _list(self, name: str) -> None:
        """Make the list of steps of a stacked buffer."""
        if name not in self.listed and f"all_{name}" in self.held:
            self.listed.add(name)
            self._hold(name, f"list(all_{name})")

    def step(self, v: Any) -> str:
        """The text of a value inside the loop."""
        if not isinstance(v, Value):
            return self._literal(v)
        place = self.place(v)
        if place.kind in ("stack", "ring"):
            self._list(place.name)
            return f"{place.name}[t + 1]" if place.shift else f"{place.name}[t]"
        return place.name

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

    def _literal(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value in (np.inf, -np.inf):
            return number(value)
        known = {1.0: "one", 0.0: "zero", 0.5: "half"}
        if float(value) not in self.literals:
            self.literals[float(value)] = known.get(float(value)) or self.names.new(
                "c" + re.sub(r"\W", "_", repr(value))
            )
        return self.literals[float(value)]

    # --- statements -------------------------------------------------------------------------------------

    def statements(self, v: Value, inside: bool) -> list[str]:
        """What computes a value."""
        if v.op == "time_sum":
            return self._time_sum(v, inside)
        place = self.place(v)
        if v.op == "rows" or v.op == "zeros" or (is_view(v) and (v.op != "reshape" or place.name != "")) and self._is_aliased(v):
            return []
        once = v in self.program.once
        lead = 0 if inside or once else 1
        ref = self.step if inside else (lambda a: self.whole(a) if a in self.program.once or not isinstance(a, Value) else self.whole(a, len(v.shape) if v.op in OPS and OPS[v.op].broadcasts else None))
        if v.op == "reshape":
            return [f"{ref(v)}[...] = {view_text(v, ref(v.args[0]), lead, self._shape)}"]
        if v.op in ("concatenate", "stack"):
            return self._join(v, ref, lead)
        y = ref(v)
        if v.op == "matmul":
            return self._matmul(v, y, [ref(a) for a in v.args], lead, inside)
        if v.op not in STATEMENTS:
            raise Underivable(f"op {v.op!r} has no NumPy text")
        lines = STATEMENTS[v.op](y, [ref(a) for a in v.args], v.attrs, lead)
        text = "\n".join(lines)
        for name, value in (("one", 1.0), ("zero", 0.0), ("half", 0.5)):
            if re.search(rf"\b{name}\b", text):
                self._literal(value)
        if v.dtype != self.dtype or not inside:
            lines = [_spelled(line) for line in lines]
        if v.dtype != self.dtype or any(isinstance(a, Value) and a.dtype != self.dtype for a in v.args):
            for value, name in self.literals.items():
                lines = [re.sub(rf"\b{name}\b", number(value), line) for line in lines]
        return lines

    def _marked(self, v: Value, inside: bool) -> list[str]:
        """The statements of a value, the first with the number of its equation."""
        lines = self.statements(v, inside)
        if lines and v.eq and len(lines[0]) < 96:
            lines[0] = f"{lines[0]:<72}  # {v.eq}"
        return lines

    def _is_aliased(self, v: Value) -> bool:
        if v.op in ("split", "unstack", "part", "stop", "transpose", "broadcast_to", "flip", "getitem"):
            return True
        return self.place(v.args[0]).contiguous or _cuts_rows(v)

    def _join(self, v: Value, ref: Any, lead: int) -> list[str]:
        if v in self.program.once:
            axis = f"axis={v.attrs['axis']}"
            pieces = f"np.{v.op}(({', '.join(ref(a) for a in v.args)},), {axis}"
            if self.layout.region[v] == "b-after":
                return [f"{self.place(v).name} = {pieces})"]
            return [f"{pieces}, out={ref(v)})"]
        lines = []
        for k, a in enumerate(v.args):
            if self.layout.born.get(self.layout._buffer(a) if isinstance(a, Value) else a) == (v, k):
                self.place(a)
                continue
            inner = self._inside(Value("gap", (), {}, a.shape, a.dtype), v, k)
            self._list(inner.name) if not lead else None
            target = inner.whole if lead else self._step_of(inner)
            lines.append(f"{target}[...] = {ref(a)}")
        return lines

    def _step_of(self, place: Place) -> str:
        if place.kind in ("stack", "ring"):
            self._list(place.name)
            return f"{place.name}[t + 1]" if place.shift else f"{place.name}[t]"
        return place.name

    def _matmul(self, v: Value, y: str, a: list[str], lead: int, inside: bool) -> list[str]:
        left, right = v.inputs
        flat = len(left.shape) > 2 - lead and len(right.shape) == 2 and right in self.program.once
        if flat and (lead or len(left.shape) > 2) and left.shape[-1] == right.shape[0] and left not in self.program.once:
            place = self.place(v)
            rows = " * ".join((*("T",) * lead, *map(str, left.shape[:-1])))
            x = f"{a[0]}.reshape({rows}, {left.shape[-1]})"
            if place.contiguous:
                return [f"np.matmul({x}, {a[1]}, out={y}.reshape({rows}, {right.shape[1]}))"]
        two = len(left.shape) == len(right.shape) == 2 and inside and self.place(v).contiguous
        return [f"dot({a[0]}, {a[1]}, out={y})" if two and v.dtype.kind == "f" else f"np.matmul({a[0]}, {a[1]}, out={y})"]

    def _time_sum(self, v: Value, inside: bool) -> list[str]:
        name = self.place(v).name
        if inside:
            return [f"add({name}, {self.step(v.args[0])}, out={name})"]
        if v.attrs.get("product"):
            a, g = v.args
            x, d = (f"{self.whole(u)}.reshape(T * {u.shape[0]}, {u.shape[1]})" for u in (a, g))
            return [f"{name} = np.matmul({x}.T, {d})"]
        axis: Any = 0
        if "axis" in v.attrs:
            axis = (0, *[k + 1 for k in v.attrs["axis"]])
        keep = ""
        if v.attrs.get("keepdims"):
            keep = ", keepdims=True).reshape(" + self._shape(v.shape)
        return [f"{name} = np.add.reduce({self.whole(v.args[0])}, axis={axis}{keep})"]

    # --- functions --------------------------------------------------------------------------------------

    def module(self) -> str:
        """The whole text."""
        forward = self._forward()
        backward = self._backward() if self.adjoint else []
        used = sorted(n for n in (*UFUNCS, "dot") if re.search(rf"(?<![\w.]){n}\(", "\n".join((*forward, *backward))))
        head = [f'"""{self.title or "Back-propagation through time, derived from a traced step."}"""', ""]
        if "math.erf" in "\n".join(forward + backward):
            head += ["import math", ""]
        head += ["import numpy as np"]
        if used:
            head += _wrapped(f"from numpy import {', '.join(used)}")
        return "\n".join([*head, "", "", *forward, *(["", ""] if backward else []), *backward, ""])

    def _arguments(self) -> list[str]:
        return [*self.x_arguments, *self.state_arguments, *self.constant_names]

    def _sections(self, regions: Any, loop: str, ends: list[str], backward: bool) -> list[str]:
        lines: list[str] = []
        before = [s for v in regions.before for s in self._marked(v, False)]
        inner = [s for v in regions.loop for s in self._marked(v, True)]
        after = [s for v in regions.after for s in self._marked(v, False)]
        if backward:
            before = self._accumulators(regions) + before
        reason = "from what was saved, for all steps at once" if backward else "what does not need the states, for all steps at once"
        lines += ["", f"    # before the loop: {reason}", *(f"    {s}" for s in before)]
        why = "what the step before needs" if backward else "what the next step needs"
        lines += ["", f"    # inside the loop: {why}", f"    {loop}", *(f"        {s}" for s in [*inner, *ends] or ["pass"])]
        reason = "gradients that add up over the steps" if backward else "what no later step needs"
        lines += ["", f"    # after the loop: {reason}", *(f"    {s}" for s in after)]
        return lines

    def _accumulators(self, regions: Any) -> list[str]:
        found = [v for v in regions.loop if v.op == "time_sum"]
        if not self.program.deferred and self.adjoint:  # one sum for each constant, in the order of arrival
            for parts in self.adjoint.constants:
                for part in parts[1:]:
                    if part in found:
                        self.places[part] = self.place(parts[0])
        return list(dict.fromkeys(f"{self.place(v).name}[...] = 0" for v in found))

    def _forward(self) -> list[str]:
        body = self.body
        start = [f"{self.places[x].whole}[...] = {n}.swapaxes(0, 1)" for x, n in zip(body.xs, self.x_arguments, strict=True)]
        for state, name in zip(body.states, self.state_arguments, strict=True):
            place = self.place(state)
            self._list(place.name) if place.kind == "ring" else None
            first = f"{place.whole}[0]" if place.kind == "stack" else f"{place.name}[0]"
            start.append(f"{first}[...] = {name}")
        ends = []
        for j, (state, new) in enumerate(zip(body.states, body.new_states, strict=True)):
            if new is not state and self.layout.state_of.get(self.layout._buffer(new)) == j:
                continue
            place = self.place(state)
            ends.append(f"{self._step_of(Place(place.name, place.kind, 1))}[...] = {self.step(new)}")
        lines = self._sections(self.program.forward, "for t in range(T):", ends, False)
        results = []
        for o in body.outputs:
            results.append(f"{self.whole(o)}.swapaxes(0, 1).copy()")
        if any(o in self.program.once for o in body.outputs):
            raise Underivable("an output that is the same at every step")
        for state in body.states:
            place = self.place(state)
            last = f"{place.whole}[T]" if place.kind == "stack" else f"{place.name}[T]"
            results.append(f"{last}.copy()")
        lines += self._returned([*results, "cache"])
        if self.adjoint:
            self._prepare_backward()
        self.forward_lines = (start, lines)
        return self._assemble_forward(start, lines)

    def _prepare_backward(self) -> None:
        """Make the buffers of the backward pass: they are part of the cache."""
        self.backward_lines = self._backward_body()

    def _assemble_forward(self, start: list[str], lines: list[str]) -> list[str]:
        x = self.x_arguments[0]
        literals = [f"{n} = np.asarray({v}, dtype)" for v, n in self.literals.items()]
        memory = [*self.memory, *literals]
        self.held += self.literals.values()
        cache = ["cache = (", *(f"    {line}" for line in _fill(self.held)), ")"]
        unpack = ["(", *(f"    {line}" for line in _fill(self.held)), ") = cache"]
        return [
            f"def forward({', '.join(self._arguments())}, cache=None):",
            *self._doc(False),
            f"    T, dtype = {x}.shape[1], {self._dtype_text()}",
            "    if cache is None:  # memory for sequences of this shape; a cache of an earlier call is used again",
            *(f"        {m}" for m in (*memory, *cache)),
            "    else:",
            *(f"        {m}" for m in unpack),
            *(f"    {s}" for s in start),
            *lines,
        ]

    def _dtype_text(self) -> str:
        return f"{self.state_arguments[0]}.dtype" if self.state_arguments else f"{self.x_arguments[0]}.dtype"

    def _doc(self, backward: bool) -> list[str]:
        body = self.body
        shapes = {n: (v.shape[:1] + ("T", *v.shape[1:]) if v.shape else ("T",)) for n, v in zip(self.x_arguments, body.xs, strict=True)}
        shapes |= {n: v.shape for n, v in zip(self.state_arguments, body.states, strict=True)}
        shapes |= {n: v.shape for n, v in zip(self.constant_names, body.constants, strict=True)}
        lines = [f"        {n}: {self._shape(s)}" for n, s in shapes.items()]
        if not backward:
            first = "Run the recurrence over T time steps."
            outputs = self._outputs()
            ending = f"    Returns {', '.join([*outputs, *(f'last {n}' for n in self.state_names), 'cache'])}; outputs are (batch, T, ...)."
        else:
            first = "Back-propagation through time: the gradients of a loss from those of the outputs and last states."
            lines += [f"        {n}: the gradient of {what}" for n, what in self._cotangent_arguments()]
            lines += ["        cache: the last result of forward"]
            ending = f"    Returns a dict: {', '.join(self._gradient_names())}."
        if body.equations:
            first += "\n\n    One step:\n" + "\n".join(f"        {e}" for e in body.equations)
        return [f'    """{first}', "", "    Arguments:", *lines, "", *_wrapped(ending.strip(), "    "), '    """']

    def _outputs(self) -> list[str]:
        return ["Y"] if len(self.body.outputs) == 1 else [f"Y{i}" for i in range(len(self.body.outputs))]

    def _cotangent_arguments(self) -> list[tuple[str, str]]:
        assert self.adjoint is not None
        found = [(f"d{n}", n) for n, c in zip(self._outputs(), self.adjoint.cotangents, strict=True)]
        for n in self.state_names:
            found.append((f"d{n[0].upper() + n[1:]}", f"the last {n}"))
        return found

    def _gradient_names(self) -> list[str]:
        assert self.adjoint is not None
        names = [f"d{n}" for n, v in zip(self.x_arguments, self.adjoint.xs, strict=True) if v]
        names += [f"d{n}" for n, s in zip(self.state_arguments, self.body.states, strict=True) if s.active]
        return names + [f"d{n}" for n, p in zip(self.constant_names, self.adjoint.constants, strict=True) if p]

    def _backward_body(self) -> list[str]:
        adjoint, body = self.adjoint, self.body
        assert adjoint is not None
        arguments = [n for n, _ in self._cotangent_arguments()]
        start: list[str] = []
        for c, name in zip(adjoint.cotangents, arguments, strict=False):
            if c is not None:
                start.append(f"{self.place(c).whole}[...] = {name}.swapaxes(0, 1)")
        ends: list[str] = []
        hold: list[str] = []
        for j, (carries, parts) in enumerate(zip(adjoint.carries, adjoint.states, strict=True)):
            if not body.states[j].active:
                continue
            for k, carry in enumerate(carries):
                place = self.place(carry)
                start.append(f"{place.name}[...] = {arguments[len(adjoint.cotangents) + j] if k == 0 else 0}")
                if k >= len(parts):
                    ends.append(f"{place.name}[...] = 0")
                elif self.place(parts[k]).name != place.name:
                    source = self.step(parts[k])
                    if self._in_carry(parts[k]):
                        kept = self.names.new("kept")
                        self._hold(kept, self._empty(carry))
                        hold.append(f"{kept}[...] = {source}")
                        source = kept
                    ends.append(f"{place.name}[...] = {source}")
        lines = self._sections(self.program.backward, "for t in range(T - 1, -1, -1):", [*hold, *ends], True)
        results: list[str] = []
        for n, v in zip(self.x_arguments, adjoint.xs, strict=True):
            if v:
                results.append(f'"d{n}": {self.whole(v)}.swapaxes(0, 1).copy(),')
        for n, state, carries in zip(self.state_arguments, body.states, adjoint.carries, strict=True):
            if state.active:
                total = " + ".join(self.place(c).name for c in carries)
                results.append(f'"d{n}": {total if len(carries) > 1 else total + ".copy()"},')
        for n, parts in zip(self.constant_names, adjoint.constants, strict=True):
            if parts:
                names = list(dict.fromkeys(self.place(p).name for p in parts))
                root = parts[0]
                while is_view(root):
                    root = root.args[0]
                copied = len(names) == 1 and not self._fresh(root)
                results.append(f'"d{n}": {" + ".join(names)}{".copy()" * copied},')
        return [*(f"    {s}" for s in start), *lines, "    return {", *(f"        {r}" for r in results), "    }"]

    def _in_carry(self, v: Value) -> bool:
        while is_view(v):
            v = v.args[0]
        return self.layout._buffer(v).op == "carry" or self.layout._buffer(v) in self.layout.carry_of

    def _backward(self) -> list[str]:
        arguments = [*self._arguments(), *(n for n, _ in self._cotangent_arguments()), "cache"]
        unpack = ["(", *(f"    {line}" for line in _fill(self.held)), ") = cache"]
        x = self.x_arguments[0]
        return [
            *_wrapped(f"def backward({', '.join(arguments)}):"),
            *self._doc(True),
            f"    T = {x}.shape[1]",
            *(f"    {m}" for m in unpack),
            *self.backward_lines,
        ]

    def _returned(self, results: list[str]) -> list[str]:
        return ["    return (", *(f"        {r}," for r in results), "    )"]


def _cuts_rows(v: Value) -> bool:
    """Whether a reshape cuts the columns of a matrix, or of some columns of one: then it is a view of these too."""
    a = v.args[0]
    return bool(v.attrs.get("rows")) and len(a.shape) == 2 and (a.op == "part" or a.op not in OPS)


def _spelled(line: str) -> str:
    """Numbers in place of their names."""
    for name, value in (("one", "1.0"), ("zero", "0.0"), ("half", "0.5")):
        line = re.sub(rf"\b{name}\b", value, line)
    return line


def _fill(names: list[str]) -> list[str]:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) + 2 > WIDTH - 8:
            lines.append(line.rstrip())
            line = ""
        line += f"{name}, "
    return [*lines, line.rstrip()] if line else lines


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Break a long line at its commas."""
    if len(indent) + len(text) <= WIDTH:
        return [indent + text]
    lines, line = [], indent
    for word in text.split(", "):
        if len(line) + len(word) + 2 > WIDTH:
            lines.append(line.rstrip())
            line = indent + ("    " if text.startswith("def") else "")
        line += word + ", "
    lines.append(line.removesuffix(", "))
    return ["".join(lines)] if len(lines) == 1 else lines
