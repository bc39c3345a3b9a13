"""A scheduled program as Python: `forward`, `backward`, and the memory of both; it needs NumPy only."""

from __future__ import annotations

import re
from textwrap import fill, wrap

from ..step.schedule import Program
from ..step.text import UFUNCS, shape_text
from .memory import WIDTH, listed
from .names import Names
from .sections import Sections

NOTATION = (  # what has to be explained: a pattern that finds it, the term and its meaning, with what was found
    (r"\ball_(\w+)", "all_{1}", "{1} at all T steps; {1}[t] is one of them; a state has T + 1 of them"),
    (
        r"\brows\b",
        "rows[t]",
        "side by side for one product: states before step t, 1 for the bias, inputs of step t, as far as it takes them",
    ),
    (
        r"\bweights\b",
        "weights",
        "what belongs to rows, below each other: weights of states, bias, weights of inputs",
    ),
    (
        r"\b(?!all_)(\w+)_folded\b",
        "{0}",
        "{1}, gate by gate in the order and with the factors that activations need",
    ),
    (
        r"\breciprocal\((?s:.)*_folded\b|_folded\b(?s:.)*\breciprocal\(",
        "reciprocal",
        "ends a sigmoid, 1 / (1 + exp(−a)); the −1 is in what was folded",
    ),
    (
        r"\bjoined\b",
        "joined[t]",
        "(batch, gates, units): what lies gate by gate in stack, put together example by example",
    ),
    (r"\b(\w+)_spread\b", "{0}", "{1} once for each example: NumPy is faster with two matrices"),
    (
        r"\b(\w+)_centred\b",
        "{0}",
        "{1} less the mean of each row, which normalization would take out of the product",
    ),
    (r"\b(?:all_)?((\w+?)_blocks)\b", "{1}", "{2} seen gate by gate: (gates, batch, units)"),
    (r"\bcolumns\b", "columns", "(units, batch): a product with the weight in front, which is faster here"),
    (r"out=", "out=", "where a result goes, often over what has just been read"),
    (r"\b(?:all_)?d(pre_(\w+?))(?:_by_d\w+)?\b", "{1}", "what {2} is the activation of"),
    (r"\b(?:all_)?((d\w+?)_by_(?!\2\b)(d\w+))\b", "{1}", "the factor of {3} in {2}"),
    (r"\b(?:all_)?((d\w+?)_by_\2)\b", "{1}", "the factor of {2} of step t in {2} of step t − 1"),
    (r"\b(?:all_)?((d\w+?)_part)\b", "{1}", "one of the terms of {2}, or a piece of it"),
    (r"\b((d\w+?)_before)\b", "{1}", "what step t sends back to step t − 1 as its {2}"),
    (r"\b(d(\w+)_next)\b", "{1}", "what step t + 1 sends back to {2}"),
    (r"# ", "(1), ∂(1)", "the equation that a line computes, a part of its derivative"),
)
COMMENTS = 78  # the column in which they begin
LONGEST = 120  # characters of a line


def write(program: Program, names: Names, saving: bool) -> str:
    """The source of a program, with the names of the quantities of its step, and with its backward pass if `saving`."""
    return _Writer(program, names).module(saving)


def laid_out(text: str) -> str:
    """A source with the numbers of equations in one column, and long equations on several lines.

    It is done when the source is printed: two sources that differ in a number are compared as they were written.
    """
    numbered = re.compile(r"^(.*\S)  (# ∂?\(\d.*)$", re.M)
    text = numbered.sub(lambda m: f"{m[1]:<{COMMENTS - 2}}  {m[2]}", text)
    text = re.sub(rf"^( *)(?=.{{{LONGEST + 1},}}$)(.*), (out=\S+\).*)$", r"\1\2,\n\1    \3", text, flags=re.M)
    equations = re.compile(rf"^    \(\d+\) .{{{WIDTH - 8},}}$", re.M)
    return equations.sub(
        lambda m: fill(m[0], WIDTH, subsequent_indent=" " * 12, break_long_words=False), text
    )


class _Writer(Sections):
    def module(self, saving: bool) -> str:
        """The whole text."""
        forward = self.forward()
        backward = self.backward() if saving else []
        functions = self._functions(forward, backward)
        statements = "\n".join((*forward, *backward))
        called = set(re.findall(r"(?<![\w.])([a-z]\w*)\(", statements))
        used = sorted(called & {*UFUNCS, "dot"})
        head = [*self._introduction(statements), ""]
        if "math.erf" in statements:
            head += ["import math", ""]
        head += ["import numpy as np"]
        if used:
            head += listed(used, "from numpy import ")
        return "\n".join([*head, *[line for function in functions for line in ("", "", *function)], ""])

    def _introduction(self, statements: str) -> list[str]:
        """The docstring of the module: the equations, and how to read the functions."""
        lines = ['"""Back-propagation through time, derived from a traced step.', ""]
        if self.body.equations:
            lines += ["One step:", *(f"    {e}" for e in self.body.equations), ""]
        lines.append("How to read it:")
        for pattern, term, meaning in NOTATION:
            if found := re.search(pattern, statements):
                parts = (found[0], *found.groups())
                entry = f"    {term.format(*parts):<15} {meaning.format(*parts)}"
                lines += wrap(entry, WIDTH, subsequent_indent=" " * 20, replace_whitespace=False)
        return [*lines, '"""']

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
        return [*found, self.memory.function(", ".join(models), sizes, groups)]

    def _function(self, name: str, more: list[str], doc: list[str], statements: list[str]) -> list[str]:
        """One that takes inputs, first states, weights and `more`."""
        head = _wrapped(f"def {name}({', '.join([*self._arguments(), *more])}):")
        return [*head, *doc, f"    T = {self.names.xs[0]}.shape[1]", *statements]

    def _arguments(self) -> list[str]:
        return [*self.names.xs, *self.names.first_states, *self.names.constants]

    def _doc(self) -> list[str]:
        body = self.body
        of_steps = [(*x.shape[:1], "T", *x.shape[1:]) for x in body.xs]
        shapes = [*of_steps, *[v.shape for v in (*body.states, *body.constants)]]
        results = [*self._outputs(), *(f"last {n}" for n in self.names.states), "cache"]
        weights = [b is None or getattr(b, "requires_grad", False) for b in body.bound]
        notes = [""] * (len(shapes) - len(weights)) + [
            "" if w else ", a constant of the step" for w in weights
        ]
        return [
            '    """Run the recurrence over T time steps.',
            "",
            "    Arguments:",
            *(
                f"        {n}: {shape_text(s)}{note}"
                for n, s, note in zip(self._arguments(), shapes, notes, strict=True)
            ),
            "        cache: of an earlier call with these shapes, to compute in its memory",
            "    All are of one float type, and their shapes are not checked.",
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
                f"        {n}: the gradient of {what}, an array of its shape"
                for n, what in zip(self.names.cotangents, of, strict=True)
            ),
            "        cache: the last result of forward",
            "",
            *_wrapped(f"Returns a dict: {', '.join(self._gradient_names())}.", "    "),
            '    """',
        ]

    def _outputs(self) -> list[str]:
        return ["Y"] if len(self.body.outputs) == 1 else [f"Y{i}" for i in range(len(self.body.outputs))]

    def _gradient_names(self) -> list[str]:
        sent = [*self.adjoint.xs, *[s.active for s in self.body.states], *self.adjoint.constants]
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
        if len(line) + len(word) + 2 > WIDTH:
            lines.append(line.rstrip())
            line = indent + ("    " if text.startswith("def") else "")
        line += word + ", "
    lines.append(line.removesuffix(", "))
    return lines
