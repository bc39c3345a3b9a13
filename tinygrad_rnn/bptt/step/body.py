"""A traced step: the list of ops between its inputs and its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...core.op import OPS
from ...core.tensor import Tensor


class Underivable(ValueError):
    """Why a step cannot be derived; the recurrence then runs unrolled."""


class Value:
    """One quantity of a time step: an input, or what an op computed.

    `op` is a name in the table of ops, or one of "x", "state", "constant", "carry" (what arrives from the step
    after), "cotangent" (of an output), "part" (output `index` of an op with several), "stop" (the same value, but no
    gradient flows), "time_sum" (added up over the steps). `args` are Values and Python numbers.
    """

    __slots__ = ("active", "args", "attrs", "dtype", "eq", "label", "op", "shape", "site", "wanted")

    def __init__(
        self,
        op: str,
        args: tuple[Any, ...],
        attrs: dict[str, Any],
        shape: Any,
        dtype: Any,
        active: bool = False,
        label: str = "",
        eq: str = "",
    ) -> None:
        self.op, self.args, self.attrs = op, args, attrs
        self.shape, self.dtype = shape, dtype
        self.active = active  # a gradient can flow through it
        self.label = label  # the user's name for it
        self.site = ""  # file and line that computed it
        self.eq = eq  # the numbers of the equations that it belongs to
        self.wanted = active  # its gradient is asked for (inputs)

    @property
    def inputs(self) -> list[Value]:
        """The arguments that are Values."""
        return [a for a in self.args if isinstance(a, Value)]

    @property
    def elementwise(self) -> bool:
        """Whether each element comes from those at its place, with smaller arguments repeated."""
        return self.op in OPS and OPS[self.op].broadcasts

    def become(self, op: str, *args: Any, **attrs: Any) -> None:
        """Be computed in another way from now on; those that use it need not know."""
        self.op, self.args, self.attrs = op, args, attrs

    def __repr__(self) -> str:
        """For debugging."""
        return f"<{self.label or '?'} = {self.op} {self.shape}>"


def parts_of(whole: Value) -> list[Value]:
    """The outputs of an op with several."""
    of = whole.dtype, whole.active
    return [Value("part", (whole,), {"index": i}, shape, *of) for i, shape in enumerate(whole.shape)]


def equations(*numbers: str) -> str:
    """The numbers of all equations that some values belong to.

    >>> equations("(2)", "(1), (2)", "")
    '(1), (2)'
    """
    found = {e for several in numbers for e in several.split(", ") if e}
    return ", ".join(sorted(found, key=lambda e: (e.startswith("∂"), int(e.strip("∂()")))))


class Made(list[Value]):
    """The new values of a pass, in order: of one type, and belonging to one equation if nothing else is said.

    Those that are computed from `varying` values are added to these.
    """

    def __init__(self, dtype: Any, eq: str, varying: set[Value] | None = None) -> None:
        super().__init__()
        self.dtype, self.eq, self.varying = dtype, eq, set() if varying is None else varying

    def new(
        self, op: str, args: tuple[Any, ...], attrs: Any, shape: Any, label: str = "", eq: str | None = None
    ) -> Value:
        """Make one."""
        eq = self.eq if eq is None else eq
        return self.add(Value(op, args, attrs, shape, self.dtype, label=label, eq=eq))

    def add(self, value: Value) -> Value:
        """Add one."""
        if not self.varying.isdisjoint(value.inputs):
            self.varying.add(value)
        self.append(value)
        return value


@dataclass
class Body:
    """A traced step."""

    xs: list[Value]
    states: list[Value]
    outputs: list[Value] = field(default_factory=list)
    new_states: list[Value] = field(default_factory=list)
    constants: list[Value] = field(default_factory=list)  # weights and everything else from outside
    values: list[Value] = field(default_factory=list)  # what ops computed, in order
    several_out: bool = False  # the step returned a tuple of outputs
    bound: list[Any] = field(default_factory=list)  # the Tensors and arrays that the constants were
    tensors: dict[Value, Tensor] = field(default_factory=dict)
    equations: list[str] = field(default_factory=list)
    small: set[int] = field(default_factory=set)  # the states that must begin with small values
    # the constants that are there before the step runs, if the source is to make the others itself; those that it makes
    outside: set[Value] | None = None
    written: set[Value] = field(default_factory=set)

    @property
    def inputs(self) -> list[Value]:
        """What is given: inputs, states and constants."""
        return [*self.xs, *self.states, *self.constants]

    @property
    def ends(self) -> list[Value]:
        """What leaves the step: outputs and new states."""
        return [*self.outputs, *self.new_states]

    @property
    def given(self) -> list[Value]:
        """The constants that are arguments of the source."""
        return [c for c in self.constants if c not in self.written]

    def is_made(self, constant: Value) -> bool:
        """Whether the step makes a constant anew whenever it runs, and the source is to make it itself."""
        return self.outside is not None and constant not in self.outside

    def output_name(self, i: int) -> str:
        """A name for an output: `y`, if that is nothing else in the step."""
        others = {v.label for v in (*self.inputs, *self.values) if v not in self.outputs}
        return ("out" if "y" in others else "y") + str(i) * (len(self.outputs) > 1)

    def leave_to_states(self) -> list[int | None]:
        """Give up the outputs that are new states; which one each of the outputs was (None: it stays)."""
        places = {v: j for j, v in enumerate(self.new_states)}
        found = [places.get(v) for v in self.outputs]
        self.outputs = [v for v in self.outputs if v not in places]
        return found

    def sort_constants(self, first: Sequence[Tensor]) -> None:
        """Put these in front, in their order, the others behind them in that of their first use."""
        rank = {id(t._data): k for k, t in enumerate(first)}
        order = sorted(
            range(len(self.bound)),
            key=lambda i: rank.get(id(getattr(self.bound[i], "_data", None)), len(rank)),
        )
        self.bound = [self.bound[i] for i in order]
        self.constants = [self.constants[i] for i in order]
        for i, constant in enumerate(self.constants):
            constant.attrs["index"] = i

    def key(self) -> Any:
        """Two traces with equal keys did the same ops on the same shapes."""
        number = {v: i for i, v in enumerate((*self.inputs, *self.values))}
        ops = tuple(
            (
                v.op,
                tuple([number[a] if isinstance(a, Value) else (type(a), repr(a)) for a in v.args]),
                hashable(v.attrs),
                v.shape,
                v.dtype,
                v.active,
            )
            for v in self.values
        )
        inputs = tuple((v.shape, v.dtype, v.active) for v in self.inputs)
        ends = tuple(number[v] for v in self.ends)
        first: dict[int, int] = {}  # which of what comes from outside has the memory of which
        memory = tuple([first.setdefault(id(getattr(b, "_data", b)), i) for i, b in enumerate(self.bound)])
        return (len(self.xs), len(self.states), inputs, ops, ends, self.several_out, memory)


def hashable(value: Any) -> Any:
    """Attributes of an op as a key; arrays by their values."""
    if isinstance(value, dict):
        return tuple((k, hashable(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return tuple([hashable(v) for v in value])
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype, value.tobytes())
    return value
