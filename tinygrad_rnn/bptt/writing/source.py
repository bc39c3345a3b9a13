"""A scheduled program as Python: `forward`, `backward`, and the memory of both; it needs NumPy only."""

from __future__ import annotations

import re
from typing import Any

from ..step.schedule import Program
from ..step.text import UFUNCS, shape_text
from .backwards import HEADING, backward_equations
from .literals import literal
from .memory import EMPTY, WIDTH, listed
from .names import Names
from .sections import Sections


def write(program: Program, names: Names, saving: bool, read: bool) -> str:
    """The source of a program, with the names of the quantities of its step, and with its backward pass if `saving`.

    If somebody will `read` it, the equations of the backward pass are written down, too.
    """
    return _Writer(program, names).module(saving, read)


class _Writer(Sections):
    def module(self, saving: bool, read: bool) -> str:
        """The whole text."""
        forward = self.forward()
        backward = self.backward() if saving else []
        functions = self._functions(forward, backward)
        statements = "\n".join((*forward, *backward))
        called = set(re.findall(r"(?<![\w.])([a-z]\w*)\(", statements))
        used = sorted(called & {*UFUNCS, "dot"})
        head = [*self._introduction(saving and read), ""]
        if "math.erf" in statements:
            head += ["import math", ""]
        head += ["import numpy as np"]
        if used:
            head += listed(used, "from numpy import ")
        return "\n".join([*head, *[line for function in functions for line in ("", "", *function)], ""])

    def _introduction(self, backwards: bool) -> list[str]:
        """The docstring of the module: the equations."""
        lines = ['"""Back-propagation through time, derived from a traced step.', ""]
        if self.body.equations:
            lines += ["One step:", *(f"    {e}" for e in self.body.equations), *self._what_it_makes(), ""]
        steps, factors = backward_equations(self) if backwards else ([], [])
        if steps:
            lines += [
                HEADING,
                *(f"    {e}" for e in [*steps, *["with, before the loop:"] * bool(factors), *factors]),
                "",
            ]
        return [*lines[:-1], '"""']

    def _what_it_makes(self) -> list[str]:
        """The arrays in the equations that the step makes itself."""
        words = set(re.findall(r"\w+", " ".join(self.body.equations)))
        made = {
            n: c
            for n, c in zip(self.names.constants, self.body.constants, strict=True)
            if c in self.body.written
        }
        lines = [
            f"    with {n} = {literal(self.body.tensors[c]._data)}" for n, c in made.items() if n in words
        ]
        return [line for line in lines if len(line) <= WIDTH]

    # --- the functions ------------------------------------------------------------------------------

    def _functions(self, forward: list[str], backward: list[str]) -> list[list[str]]:
        """Each takes out of the cache what it reads."""
        x = self.names.xs[0]
        models = [x, *self.names.first_states[:1]]
        groups = {"of_forward": self.memory.read_in(forward)}
        made = f"    cache = new_cache({', '.join(models)}) if cache is None else cache"
        taken = _taken(groups["of_forward"], "cache[0]" if backward else "cache")
        found = [self._function("forward", ["cache=None"], self._doc(), [made, *taken, *forward])]
        if backward:
            groups["of_backward"] = self.memory.read_in(backward)
            statements = [*_taken(groups["of_backward"], "cache[1]"), *backward]
            more = [*self.names.cotangents, "cache"]
            found.append(self._function("backward", more, self._doc_of_backward(), statements))
        sizes = f"T, dtype = {x}.shape[1], {models[-1]}.dtype"
        return [*found, self.memory.function(", ".join(models), sizes, groups), EMPTY.split("\n")[1:]]

    def _function(self, name: str, more: list[str], doc: list[str], statements: list[str]) -> list[str]:
        """One that takes inputs, first states, weights and `more`."""
        head = _wrapped(f"def {name}({', '.join([*self._arguments(), *more])}):")
        return [*head, *doc, f"    T = {self.names.xs[0]}.shape[1]", *statements]

    def _arguments(self) -> list[str]:
        constants = zip(self.names.constants, self.body.constants, strict=True)
        given = [name for name, c in constants if c not in self.body.written]
        return [*self.names.xs, *self.names.first_states, *given]

    def _doc(self) -> list[str]:
        body = self.body
        of_steps = [(*x.shape[:1], "T", *x.shape[1:]) for x in body.xs]
        arguments, tensors = [*body.xs, *body.states, *body.given], body.tensors
        shapes = [*of_steps, *[v.shape for v in arguments[len(body.xs) :]]]
        main = self.dtype if self.dtype.kind == "f" else None
        types = ["" if v.dtype == main else f", {v.dtype}" for v in arguments]
        results = [*self._outputs(), *(f"last {n}" for n in self.names.states), "cache"]
        constant = [v.op == "constant" and not tensors[v].requires_grad for v in arguments]
        return [
            '    """Run the recurrence over T time steps.',
            "",
            "    Arguments:",
            *(
                f"        {n}: {shape_text(s)}{kind}{', a constant of the step' * fixed}"
                for n, s, kind, fixed in zip(self._arguments(), shapes, types, constant, strict=True)
            ),
            "        cache: of an earlier call with these shapes, to compute in its memory",
            f"    All {'others ' * any(types)}are of one float type, and their shapes are not checked.",
            "",
            *_wrapped(f"Returns {', '.join(results)}; outputs are (batch, T, ...).", "    "),
            '    """',
        ]

    def _doc_of_backward(self) -> list[str]:
        of = [*self._outputs(), *(f"the last {n}" for n in self.names.states)]
        return [
            '    """Back-propagation through time: the gradients of a loss from those of the outputs and last states.',
            "",
            "    Arguments: those of forward, and",
            *(
                line
                for n, what in zip(self.names.cotangents, of, strict=True)
                for line in _wrapped(f"{n}: the gradient of {what}, an array of its shape", " " * 8)
            ),
            "        cache: the last result of forward",
            "",
            *_wrapped(f"Returns a dict: {', '.join(self._gradient_names())}.", "    "),
            '    """',
        ]

    def _outputs(self) -> list[str]:
        return ["Y"] if len(self.body.outputs) == 1 else [f"Y{i}" for i in range(len(self.body.outputs))]

    def _gradient_names(self) -> list[str]:
        constants = zip(self.body.constants, self.adjoint.constants, strict=True)
        sent: list[Any] = [*self.adjoint.xs, *[s.active for s in self.body.states]]
        sent += [parts for c, parts in constants if c not in self.body.written]
        return [f"d{n}" for n, parts in zip(self._arguments(), sent, strict=True) if parts]


def _taken(names: list[str], source: str) -> list[str]:
    """The statement that takes out of the cache what a function reads."""
    return [f"    {line}" for line in listed(names, after=f" = {source}")] if names else []


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Break a long line at its commas."""
    if len(indent) + len(text) <= WIDTH:
        return [indent + text]
    lines, line = [], indent
    for word in text.split(", "):
        if len(line) + len(word) + 2 > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = indent + ("    " if text.startswith("def") else "")
        line += word + ", "
    lines.append(line.removesuffix(", "))
    return lines
