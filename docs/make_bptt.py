"""Writes docs/derived_bptt.md, derived sources beside the hand derivations: `python docs/make_bptt.py`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from bptt_cells import GRU, LSTM, N_H, N_X, RNN, Cell, N, Row, lstm_step, lstm_weights

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import bptt_source, explain, without
from tinygrad_rnn.bptt.explain import calls_in_loops

PAGE = Path(__file__).parent / "derived_bptt.md"


class Outdated(Exception):
    """The sources say something else than the rows above."""


def hand_source(cell: Cell) -> str:
    """The backward functions of the hand derivation, without docstrings."""
    made = []
    for module, name in cell.functions:
        if "backward" in name:
            title = f"# tinygrad_rnn/manual/{module.__name__.rsplit('.', 1)[-1]}.py"
            made.append(f"{title}\n{without_docstring(getattr(module, name))}")
    return "\n\n".join(made)


def without_docstring(function: Callable[..., Any]) -> str:
    """The source of a function as it stands in the file, without its docstring."""
    text = dedent(inspect.getsource(function))
    first = ast.parse(text).body[0]
    assert isinstance(first, ast.FunctionDef)
    if ast.get_docstring(first) is None:
        return text.rstrip()
    lines, doc = text.splitlines(), first.body[0]
    return "\n".join(lines[: doc.lineno - 1] + lines[doc.end_lineno :])


def hand_line(cell: Cell, start: str) -> tuple[str, str]:
    """The one line of the hand derivation that begins so, and the numbers of its equations."""
    found = []
    for module, name in cell.functions:
        for line in without_docstring(getattr(module, name)).splitlines():
            code, _, comment = line.strip().partition("  # ")
            if code.startswith(start):
                found.append((f"`{code.rstrip(',')}`", " ".join(re.findall(r"\(\d+[ab]?\)", comment))))
    if len(found) != 1:
        raise Outdated(f"{cell.title}: {len(found)} lines of the hand derivation begin with {start!r}")
    return found[0]


def functions_of(text: str) -> dict[str, str]:
    """The two functions of a derived source that compute."""
    pieces = re.split(r"^(?=def )", text, flags=re.M)[1:]
    return {"f": pieces[0].rstrip(), "b": pieces[1].rstrip()}


def body(function: str, docstring: bool) -> str:
    """A derived function without the lines that take its memory out of the cache."""
    function = re.sub(r"^    cache = new_cache.*\n", "", function, flags=re.M)
    function = re.sub(r"^    (\(\n(        .*\n)*    \)|.*) = cache\[\d\]\n", "", function, flags=re.M)
    return function if docstring else re.sub(r'^    """.*?^    """\n', "", function, flags=re.M | re.S)


def statements(functions: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every derived statement with its section, up to the results."""
    for letter, text in functions.items():
        section = "start"
        for line in body(text, False).splitlines()[2:]:
            code = line.strip().partition("  #")[0].rstrip()
            if line.startswith("    return"):
                break
            if title := re.match(r"# (before|inside|after) the loop", code):
                section = title[1]
            elif code and not code.startswith("for t in"):
                yield f"{letter} {section}", code


def fill(cell: Cell, functions: dict[str, str]) -> None:
    """Put every derived statement into its row."""
    writer: dict[str, Row] = {}
    for row in cell.rows:
        row.found.clear()
    for section, code in statements(functions):
        names = re.findall(r"[A-Za-z_]\w*", code.partition("(")[2])
        fitting = [r for r in cell.rows if any(re.match(p, f"{section} {code}") for p in r.derived)]
        row = fitting[0] if fitting else None
        row = row or (writer.get(names[0]) if names else None)
        if row is None and section != "f start":
            raise Outdated(f"{cell.title}: no row for `{code}` ({section})")
        if row is not None:
            row.found.append(code)
            out = re.search(r"out=(\w+)", code)
            writer |= {out[1]: row} if out else {}
    for row in cell.rows:
        if row.derived and row.hand and not row.found:
            raise Outdated(f"{cell.title}: nothing is found of {row.derived}")


def table(cell: Cell) -> list[str]:
    """What corresponds to what, row by row."""
    lines = ["| by hand | derived | |", "|---|---|---|"]
    for row in cell.rows:
        hand = [" ".join(hand_line(cell, start)).strip() for start in row.hand]
        derived = [f"`{code}`" for code in row.found]
        if derived or not row.derived:
            lines.append(f"| {'<br>'.join(hand)} | {'<br>'.join(derived)} | {row.note} |")
    return lines


def fenced(text: str, language: str = "py") -> list[str]:
    """A block of code that is shown, not run."""
    return [f"```{language}", text.rstrip(), "```", ""]


def section(cell: Cell, whole: bool) -> list[str]:
    """One network: step, derived source, hand derivation, and what corresponds to what."""
    call = (np.zeros((N, N_X)), [np.zeros((N, N_H))] * cell.states, cell.weights())
    text = str(bptt_source(cell.step, *call))
    with without():
        before = calls_in_loops(str(bptt_source(cell.step, *call)))
    after = calls_in_loops(text)
    functions = functions_of(text)
    fill(cell, functions)
    if whole:
        shown = fenced(text)
    else:
        introduction = text.partition("\nimport ")[0]
        shown = fenced("\n\n\n".join((introduction, *(body(functions[k], False) for k in "fb"))))
    return [
        f"## {cell.title}", "", cell.intro, "",
        *fenced(without_docstring(cell.step)),
        "Derived" + ("" if whole else ", without docstrings and memory") + ":", "",
        *shown,
        "By hand:", "",
        *fenced(hand_source(cell)),
        *table(cell), "",
        f"NumPy calls inside the loops: {after[0]} forwards and {after[1]} backwards; op by op it would be "
        f"{before[0]} and {before[1]}.", "",
    ]  # fmt: skip


HEAD = """# Derived sources beside the hand derivations

Written by `docs/make_bptt.py`: what is called derived is what `tg.bptt_source` prints (float64), and nobody wrote
it; what is called by hand is the code of `tinygrad_rnn/manual`. [Back-propagation through time](bptt.md) says how it
comes about.

How to read it:

- By hand, columns are examples: `(units, batch)`. The steps below have one row per example, `(batch, units)`, so every
  matrix is transposed and products change sides: `Waa.T @ dz` becomes `dz @ Waa.T`.
- `all_z` is z at all T steps, `(T, batch, units)`, and `z[t]` one of them. A state has T + 1: `all_h[:-1]` are the
  states before each step, `all_h[1:]` those after it. `dh`, without `[t]`, is written over at every step.
- `rows[t]` has states before step t, 1 and inputs of step t side by side, a row for each example; `all_h` and `all_x`
  are columns of `all_rows`.
- `dv` is the gradient of `v`, `dpre_v` that of what `v` is the activation of, `dweights` that of all in `weights`.
- `dz_by_dh` is the factor of dh in dz, where it is known before the loop. `dh_next` is what step t + 1 sends back to h.
- `out=` says where a result goes. A statement often writes over what it has just read.
- Comments name the equation that a line computes; `∂(2)` belongs to the derivative of equation (2). The numbers in
  the left columns are those of `tinygrad_rnn/manual`, where the vanilla RNN's cell and network each count from (1).
- All arrays are made by `new_cache`, once for sequences of one shape, and used again from call to call. Every function
  takes out of the cache what it reads.

What the derivation does that the hand derivations do not:

- *Before the loop* goes what needs no state, for all steps at once: what is made of inputs alone, and, backwards, the
  factors that are made of saved values only. An input that is added to a state's product stands beside the state, and
  its product stays in the loop, where it is no call of its own.
- *Inside the loop* stays what the next step needs.
- *After the loop* go the gradients of the weights, one product over all steps for those of one row, and whatever no
  step reads.

The numbers are the same:

```python
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn.manual import simple_rnn

rng = np.random.default_rng(0)
X, a0, dA = (rng.standard_normal(s) for s in ((3, 2, 7), (4, 2), (4, 2, 7)))  # columns: (n, m, T)
Wax, Waa, ba = (rng.standard_normal(s) for s in ((4, 3), (4, 4), (4, 1)))


def step(x, states, weights):
    (a,) = states
    Wax, Waa, ba = weights
    a = tg.ops.tanh(a @ Waa + x @ Wax + ba)
    return a, [a]


rows = (X.transpose(1, 2, 0), a0.T)  # (m, T, n), (m, n)
weights = {"Waa": Waa.T, "Wax": Wax.T, "ba": ba[:, 0]}
variables = {name: tg.Variable(value, dtype="float64", name=name) for name, value in weights.items()}
source = tg.bptt_source(step, rows[0][:, 0], [rows[1]], [variables[k] for k in ("Wax", "Waa", "ba")])
module = {}
exec(source, module)
*_, cache = module["forward"](*rows, *weights.values())
derived = module["backward"](*rows, *weights.values(), dA.transpose(1, 2, 0), np.zeros((2, 4)), cache)

by_hand = simple_rnn.backward(dA, simple_rnn.forward(X, a0, {"Wax": Wax, "Waa": Waa, "ba": ba})[1])
assert np.allclose(derived["dWaa"], by_hand["dWaa"].T, rtol=1e-12)
assert np.allclose(derived["dWax"], by_hand["dWax"].T, rtol=1e-12)
assert np.allclose(derived["dX"], by_hand["dx"].transpose(1, 2, 0), rtol=1e-12)
```
"""

PASSES = """## What each pass contributes

`tg.explain` switches the passes on one after the other and counts the NumPy calls inside the two loops. For the LSTM
above:
"""


def page() -> str:
    """The text of the page."""
    before = tg.floatx()
    tg.set_floatx("float64")  # in float32 the gates are written otherwise on some processors
    try:
        parts = [
            HEAD,
            "<!-- fmt: off -->",
            "",
            *section(RNN, True),
            *section(LSTM, False),
            *section(GRU, False),
        ]
        call = (np.zeros((N, N_X)), [np.zeros((N, N_H))] * 2, lstm_weights())
        with without("native"):  # the page is the same where nothing is compiled
            parts += [PASSES, *fenced(explain(lstm_step, *call), "text")]
    finally:
        tg.set_floatx(before)
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
