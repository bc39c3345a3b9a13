"""What an op is, and what remains of one application of it: the records `Op` and `Node`.

An op is one statement: a forward kernel and, beside it, its vector-Jacobian products (vjps). The
statements fill the table `OPS`, which the engine, the drawings, the op reference and the tests walk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Scope

Array = NDArray[Any]
Vjp = Callable[..., Any]


@dataclass(frozen=True, eq=False, slots=True)
class Op:
    """One differentiable operation `y = fwd(*xs, **attrs)`.

    `vjps[i](g, y, *xs, **attrs)` turns the cotangent `g = ∂L/∂y` into `∂L/∂x_i`; None where an input
    has no gradient. `vjp_all` gives all of them at once. A vjp is written in operators and in
    functions of `tinygrad_rnn.ops`: on arrays it runs at NumPy speed, on Tensors it is recorded.

    `reads` says which values the vjps look at: "x" the inputs, "y" the output, a digit one input.
    The rest is not kept; in its place a vjp gets an object that has `shape`, `ndim` and `dtype` only.

    `keeping(*xs, **attrs)` returns beside `y` what the kernel has found out that a vjp would compute again. A vjp
    on arrays gets it as its last argument; where it is missing, and on Tensors, the vjp does without.
    """

    name: str
    fwd: Callable[..., Any]  # fwd(*arrays, out=None, **attrs), NumPy's own contract
    vjps: tuple[Vjp | None, ...] = ()
    vjp_all: Vjp | None = None
    reads: str = "xy"
    broadcasts: bool = False  # the engine sums each gradient back to the shape of its input
    view: bool = False  # the result may share memory with the first input
    outputs: int | None = 1  # None: as many as the kernel returns, in a tuple
    analytic: bool = True  # holds for complex numbers too (complex-step differentiation)
    gather: Callable[[list[Any]], Any] | None = None  # gradient of the last input from several uses at once
    strict: bool = False  # float32 and float64 do not mix
    keeping: Callable[..., tuple[Any, Any]] | None = None  # fwd, and what it found out
    doc: str = ""
    inner: bool = False  # a whole graph: `saved[0].pass_on` is told, and tells, whether a `where` was passed

    def keeps_input(self, i: int) -> bool:
        """Whether the vjps read input `i`."""
        return "x" in self.reads or str(i) in self.reads

    def __repr__(self) -> str:
        """Short form for messages."""
        return f"<op {self.name}>"


OPS: dict[str, Op] = {}

tick = itertools.count(1).__next__  # sequence numbers: later ops have larger ones, in every thread


class Spec:
    """Shape and dtype of a value that was not kept."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Node(Spec):
    """One recorded application of an op. It points backwards only, and never holds its own output.

    `inputs` has one entry per argument: the node that made it, or None for a constant. `saved` is what
    the vjps are called with after the cotangent: the output, the inputs, what `keeping` gave. Both are dropped when a
    backward pass has used them (`inputs is None` marks a freed node). `trace` is set only on what was
    recorded under `trace()`.
    """

    __slots__ = ("__weakref__", "attrs", "inputs", "op", "saved", "scope", "seq", "trace")

    trace: Any
    name: str | None = None  # the user's: only leaves have one

    def __init__(
        self,
        op: Op,
        attrs: dict[str, Any],
        inputs: tuple[Node | None, ...] | None,
        saved: tuple[Any, ...] | None,
        shape: Any,
        dtype: Any,
        scope: Scope,
    ) -> None:
        self.op = op
        self.attrs = attrs
        self.inputs = inputs
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.scope = scope
        self.seq = tick()


_NOWHERE = Scope()


class Leaf(Node):
    """Where differentiation ends: a Variable, or a tensor made with `requires_grad=True`.

    The gradient lives in `slot`, which outlives an assignment; the leaf does not: an assigned
    Variable gets a new leaf, and a backward pass that meets the `stale` one raises.
    """

    __slots__ = ("name", "slot", "stale", "variable")

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        name: str | None = None,
        slot: GradSlot | None = None,
        variable: bool = False,
    ) -> None:
        self.op, self.attrs, self.inputs, self.saved = LEAF, {}, (), ()
        self.shape, self.dtype, self.scope, self.seq = shape, dtype, _NOWHERE, tick()
        self.name = name  # given to the tensor, or the path of the Variable
        self.slot = GradSlot() if slot is None else slot
        self.stale = False
        self.variable = variable  # a Variable, drawn as a parameter


class GradSlot:
    """Holds the `.grad` of a leaf."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Array | None = None


def _identity(x: Any) -> Any:
    return x


LEAF = Op("leaf", _identity, doc="a tensor that gradients are taken for")
PORT = Op("port", _identity, reads="", doc="one of the outputs of an op that has several")


class Port(Node):
    """Output number `index` of a node with several outputs."""

    __slots__ = ("index",)

    def __init__(self, parent: Node, index: int, value: Array) -> None:
        self.op = PORT  # as Node's constructor does it: ports are many
        self.attrs = parent.attrs
        self.inputs = (parent,)
        self.saved = ()
        self.shape = value.shape
        self.dtype = value.dtype
        self.scope = parent.scope
        self.seq = tick()
        self.index = index

    @property
    def parent(self) -> Node | None:
        """The node with several outputs; None once it was freed."""
        return self.inputs[0] if self.inputs else None
