"""`bptt_source` and `explain`: the derived source as text, and what every pass did to it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from ..config import mode, switched
from ..core.tensor import Tensor
from ..ops.creation import convert_to_tensor
from .examine import examine
from .passes import NATIVE, NEED_HOIST, PASSES
from .printing import written
from .step.body import Underivable
from .step.text import VIEWS
from .writing.native import how_loops_run
from .writing.reading import laid_out

layer_of_cell: list[Callable[[Any], Any]] = []  # what makes a layer of a cell; the layers enter it


class Source(str):
    """Python source: a `str` that shows in colour in a notebook and through `rich`.

    >>> Source("x = 1").upper()
    'X = 1'
    """

    def show(self) -> None:
        """Print in colour, whole lines, however wide the terminal is."""
        from rich.console import Console

        Console().print(self.__rich__().highlight(str(self)), soft_wrap=True, end="")

    def __rich__(self) -> Any:
        from rich.syntax import Syntax

        return Syntax(str(self), "python", theme="ansi_dark", word_wrap=True)

    def _repr_html_(self) -> str:
        import io

        from rich.console import Console

        width = max(map(len, self.splitlines()), default=0) + 2
        console = Console(record=True, file=io.StringIO(), width=width, force_jupyter=False)
        console.print(self.__rich__())
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def bptt_source(
    step_or_cell: Any, x: Any = None, states: Sequence[Any] | None = None, constants: Any = ()
) -> Source:
    """The forward and backward pass of a recurrence as Python that needs NumPy only.

    `step_or_cell` is a step function, a cell or a recurrent layer; `x` the input of one time step, `(batch, ...)`, or a
    tuple of them; `states` the states before it. A layer that is built needs neither. The text holds the functions
    `forward`, `backward` and `new_cache`, which makes the memory of both; its docstring has the equations of a step,
    to which the comments refer, and says how to read it; those of the functions give arguments and shapes.

    Raises `ValueError` with the reason for a step that cannot be derived, and for shapes that do not fit; `TypeError`
    for what is neither, and for arguments that are missing.

    >>> import numpy as np
    >>> from tinygrad_rnn import Variable, ops
    >>> W = Variable(np.eye(2), name="W")
    >>> def step(x, states, constants):
    ...     (h,) = states
    ...     h = ops.tanh(x + h @ W)
    ...     return h, [h]
    >>> text = bptt_source(step, np.zeros((1, 2)), [np.zeros((1, 2))])
    >>> [line for line in text.splitlines() if line.startswith("def ")][:2]
    ['def forward(X, h0, W, cache=None):', 'def backward(X, h0, W, dY, dH, cache):']
    """
    return Source(laid_out(_written(step_or_cell, x, states, constants, "bptt_source")))


def _written(step: Any, x: Any, states: Any, constants: Any, caller: str, tried: bool = True) -> str:
    if not isinstance(states, (list, tuple, type(None))):
        raise TypeError(f"{caller}: expected a list of states, received a {type(states).__name__}")
    of_a_cell = hasattr(step, "state_size") and not hasattr(step, "derivable_step")
    if of_a_cell and x is not None:
        step = layer_of_cell[0](step)
    layer, several = step, isinstance(x, tuple)
    weights: Sequence[Tensor] = ()
    if hasattr(layer, "derivable_step"):
        step, x, states, constants = layer.derivable_step(x, states, caller)
        weights = step.__self__.weights  # of one direction
    elif (
        not of_a_cell
        and hasattr(layer, "build")
        and not isinstance(layer, (FunctionType, MethodType, partial))
    ):
        kind = type(layer).__name__
        raise TypeError(f"{caller}: expected a step function, a cell or a recurrent layer, received a {kind}")
    elif not callable(layer):
        raise TypeError(f"{caller}: expected a step function or a recurrent layer, received {layer!r}")
    elif x is None or states is None:
        raise TypeError(f"{caller}: expected x, the input of one time step, and the states before it")
    xs = [convert_to_tensor(v) for v in (x if several else (x,))]
    given = [convert_to_tensor(s) for s in states]
    if any(v.shape[:1] == (0,) for v in xs):
        raise ValueError(f"{caller}: expected at least one example, received x of shape {xs[0].shape}")

    inputs = [[(t._data, True) for t in tensors] for tensors in (xs, given)]  # all gradients are written out
    try:
        with switched(grad=True, monitor=None):
            examine(step, inputs, constants, several)
            text = written(step, inputs, constants, several, weights, tried)
    except Underivable as error:
        raise Underivable(f"{caller}: {error}") from error
    first, rest = text.split("\n", 1)
    return "\n".join([first, *([""] + notes if (notes := getattr(layer, "source_notes", [])) else []), rest])


def explain(
    step_or_cell: Any, x: Any = None, states: Sequence[Any] | None = None, constants: Any = ()
) -> str:
    """What every scheduling pass does to a step: the NumPy calls inside the two loops, before and after it.

    The last lines say whether the loops run in C. The arguments are those of `bptt_source`. Passes can be switched off
    with `without`.
    """
    off = [name for name in PASSES if name not in mode().passes]
    counts = []
    for k in range(len(off) + 1):
        with switched(passes=frozenset(off[k:]) | mode().passes):
            text = _written(step_or_cell, x, states, constants, "explain", tried=False)
        counts.append(calls_in_loops(text))
    lines = [f"{'pass':<20} {'forward':>16} {'backward':>16}   calls inside the loop"]
    names = "(the step as it is)", *off
    for name, (f0, b0), (f1, b1) in zip(names, [counts[0], *counts], counts, strict=False):
        lines.append(
            f"{name:<20} {f'{f0} -> {f1}':>16} {f'{b0} -> {b1}':>16}   {_sentence(PASSES.get(name))}".rstrip()
        )
    if NATIVE not in mode().passes:
        lines += ["", *(f"{direction}: {how}" for direction, how in how_loops_run(text).items())]
    return "\n".join(lines)


def _sentence(function: Callable[..., Any] | None) -> str:
    text = getattr(function, "__doc__", None) or ""  # there is none under `python -OO`
    return text.strip().partition("\n")[0]


def calls_in_loops(text: str) -> tuple[int, int]:
    """The calls of NumPy inside the forward and the backward loop, with those of operators and assignments.

    >>> calls_in_loops("def forward():\\n    for t in range(T):\\n        y[t + 1][...] = a + np.exp(b)")
    (3, 0)
    """
    counts = {"forward": 0, "backward": 0}
    for function in ast.parse(text).body:
        if isinstance(function, ast.FunctionDef) and function.name in counts:
            loops = [node for node in function.body if isinstance(node, ast.For)]
            counts[function.name] = sum(_calls(node) for loop in loops for node in loop.body)
    return counts["forward"], counts["backward"]


def _calls(node: ast.AST) -> int:
    """How often NumPy computes or copies something in a statement; views and indices are not counted."""
    if isinstance(node, ast.Subscript):
        return _calls(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VIEWS:
        return _calls(node.func.value)  # the sizes that it is given are Python's numbers
    numbers = (ast.Constant, ast.Attribute)  # np.inf
    number = isinstance(node, ast.UnaryOp) and isinstance(node.operand, numbers)
    name = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)  # for a result, not a copy
    own = isinstance(node, (ast.Call, ast.BinOp, ast.UnaryOp, ast.Assign, ast.AugAssign))
    return int(own and not number and not name) + sum(map(_calls, ast.iter_child_nodes(node)))


def without(*passes: str) -> switched:
    """Context manager in which some passes of derived mode are off; no names: all of them.

    Those that need `hoist` go with it. With all of them off, derived mode does what unrolled mode does, op by
    op, and gives the same bits. "native" is no pass: without it loops run in Python, with the same bits, too.

    >>> with without("hoist"):
    ...     sorted(mode().passes)
    ['factors', 'fold', 'gather', 'hoist', 'merge', 'regroup', 'rows', 'spread', 'strips', 'terms', 'turned']
    """
    known = [*PASSES, NATIVE]
    unknown = [p for p in passes if p not in known]
    if unknown:
        raise ValueError(f"without: unknown pass {unknown[0]!r}; there are {', '.join(known)}")
    wanted = set(passes or known)
    if "hoist" in wanted:
        wanted |= NEED_HOIST
    return switched(passes=frozenset(wanted))
