"""A scheduled program as Python: the functions `forward` and `backward`, which need NumPy only."""

from __future__ import annotations

import re
from typing import Any

from .body import Underivable, Value
from .layout import Place
from .schedule import Program
from .statements import Statements
from .text import UFUNCS

WIDTH = 110


def write(program: Program) -> str:
    """The source of a program."""
    return _Writer(program).module()


class _Writer(Statements):
    def module(self) -> str:
        """The whole text."""
        forward = self._forward()
        backward = self._backward() if self.adjoint else []
        called = set(re.findall(r"(?<![\w.])([a-z]\w*)\(", "\n".join((*forward, *backward))))
        used = sorted(called & {*UFUNCS, "dot"})
        head = ['"""Back-propagation through time, derived from a traced step."""', ""]
        if "math.erf" in "\n".join(forward + backward):
            head += ["import math", ""]
        head += ["import numpy as np"]
        if used:
            names = _fill(used)
            line = f"from numpy import {', '.join(used)}"
            head += (
                [line] if len(line) <= WIDTH else ["from numpy import (", *(f"    {n}" for n in names), ")"]
            )
        return "\n".join([*head, "", "", *forward, *(["", ""] if backward else []), *backward, ""])

    def _arguments(self) -> list[str]:
        return [*self.x_arguments, *self.state_arguments, *self.constant_names]

    def _sections(self, regions: Any, loop: str, ends: list[str], backward: bool) -> list[str]:
        lines: list[str] = []
        zeroed = self._accumulators(regions) if backward else []
        before = zeroed + [s for v in regions.before for s in self._marked(v, False)]
        inner = [s for v in regions.loop for s in self._marked(v, True)]
        after = [s for v in regions.after for s in self._marked(v, False)]
        reason = (
            "from what was saved, for all steps at once"
            if backward
            else "what does not need the states, for all steps at once"
        )
        lines += ["", f"    # before the loop: {reason}", *(f"    {s}" for s in before)]
        why = "what the step before needs" if backward else "what the next step needs"
        lines += [
            "",
            f"    # inside the loop: {why}",
            f"    {loop}",
            *(f"        {s}" for s in [*inner, *ends] or ["pass"]),
        ]
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
        start = [
            f"{self.places[x].whole}[...] = {n}.swapaxes(0, 1)"
            for x, n in zip(body.xs, self.x_arguments, strict=True)
        ]
        for state, name in zip(body.states, self.state_arguments, strict=True):
            place = self.place(state)
            self.list_steps(place.name) if place.kind == "ring" else None
            first = f"{place.whole}[0]" if place.kind == "stack" else f"{place.name}[0]"
            start.append(f"{first}[...] = {name}")
        ends = []
        for j, (state, new) in enumerate(zip(body.states, body.new_states, strict=True)):
            if new is not state and self.layout.state_of.get(self.layout._buffer(new)) == j:
                continue
            place = self.place(state)
            ends.append(f"{self.step_of(Place(place.name, place.kind, 1))}[...] = {self.step(new)}")
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
        if self.adjoint:  # its buffers are part of the cache
            self.backward_lines = self._backward_body()
        return self._assemble_forward(start, lines)

    def _assemble_forward(self, start: list[str], lines: list[str]) -> list[str]:
        x = self.x_arguments[0]
        literals = [f"{n} = np.asarray({v}, dtype)" for v, n in self.literals.items()]
        memory = [*self.memory, *literals]
        self.held += self.literals.values()
        cache = ["cache = (", *(f"    {line}" for line in _fill(self.held)), ")"]
        unpack = ["(", *(f"    {line}" for line in _fill(self.held)), ") = cache"]
        return [
            *_wrapped(f"def forward({', '.join(self._arguments())}, cache=None):"),
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
        shapes = {
            n: (v.shape[:1] + ("T", *v.shape[1:]) if v.shape else ("T",))
            for n, v in zip(self.x_arguments, body.xs, strict=True)
        }
        shapes |= {n: v.shape for n, v in zip(self.state_arguments, body.states, strict=True)}
        shapes |= {n: v.shape for n, v in zip(self.constant_names, body.constants, strict=True)}
        lines = [f"        {n}: {self.shape_text(s)}" for n, s in shapes.items()]
        if not backward:
            first = "Run the recurrence over T time steps."
            outputs = self._outputs()
            results = [*outputs, *(f"last {n}" for n in self.state_names), "cache"]
            ending = f"Returns {', '.join(results)}; outputs are (batch, T, ...)."
        else:
            first = "Back-propagation through time: the gradients of a loss from those of the outputs and last states."
            lines += [f"        {n}: the gradient of {what}" for n, what in self._cotangent_arguments()]
            lines += ["        cache: the last result of forward"]
            ending = f"    Returns a dict: {', '.join(self._gradient_names())}."
        if body.equations:
            first += "\n\n    One step:\n" + "\n".join(f"        {e}" for e in body.equations)
        return [
            f'    """{first}',
            "",
            "    Arguments:",
            *lines,
            "",
            *_wrapped(ending.strip(), "    "),
            '    """',
        ]

    def _outputs(self) -> list[str]:
        return ["Y"] if len(self.body.outputs) == 1 else [f"Y{i}" for i in range(len(self.body.outputs))]

    def _cotangent_arguments(self) -> list[tuple[str, str]]:
        assert self.adjoint is not None
        of = [*self._outputs(), *(f"the last {n}" for n in self.state_names)]
        return list(zip(self.cotangent_names, of, strict=True))

    def _gradient_names(self) -> list[str]:
        assert self.adjoint is not None
        names = [f"d{n}" for n, v in zip(self.x_arguments, self.adjoint.xs, strict=True) if v]
        names += [f"d{n}" for n, s in zip(self.state_arguments, self.body.states, strict=True) if s.active]
        return names + [
            f"d{n}" for n, p in zip(self.constant_names, self.adjoint.constants, strict=True) if p
        ]

    def _backward_body(self) -> list[str]:
        adjoint, body = self.adjoint, self.body
        assert adjoint is not None
        arguments = [n for n, _ in self._cotangent_arguments()]
        start: list[str] = []
        for c, name in zip(adjoint.cotangents, arguments, strict=False):
            if c is not None:
                place, steps = self.place(c), f"{name}.swapaxes(0, 1)"
                held = place.whole in self.held
                start.append(f"{place.whole}[...] = {steps}" if held else f"{place.name} = list({steps})")
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
                        self.hold(kept, self.empty(carry))
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
                names = self._summands(parts)
                copied = len(names) == 1 and not set(re.findall(r"\w+", names[0])).isdisjoint(self.held)
                results.append(f'"d{n}": {" + ".join(names)}{".copy()" * copied},')
        return [
            *(f"    {s}" for s in start),
            *lines,
            "    return {",
            *(f"        {r}" for r in results),
            "    }",
        ]

    def _summands(self, parts: list[Value]) -> list[str]:
        """The contributions to one constant; those that the loop adds up share one sum."""
        names: list[str] = []
        for part in parts:
            name = self.place(part).name
            inner = part.op == "time_sum" and self.layout.region[part] == "b-loop"
            if not (inner and name in names):
                names.append(name)
        return names

    def _in_carry(self, v: Value) -> bool:
        memory = self.layout.memory(v)
        return memory.op == "carry" or memory in self.layout.carry_of

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
