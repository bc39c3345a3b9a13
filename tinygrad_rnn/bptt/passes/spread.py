"""The pass over what the loop reads for every example: it is written down once for each of them."""

from __future__ import annotations

import math
from typing import Any

from ..step.body import Value
from ..step.schedule import Program, copy_before

# Elements of a result up to which a vector is spread over it: that reads more memory, but in one loop in C in place of
# one for each example. A product of a matrix with a vector took, in parts of the time with the vector as it is, by
# (examples, units): (4, 64) 0.4, (16, 128) 0.4, (16, 512) 0.5, (32, 512) 0.6, (64, 512) 0.6, (64, 2048) 0.7.
LIMIT = 2**17


SLOW = ("maximum", "minimum")  # take two to four times as long with a number as with an array of it


def spread(program: Program) -> None:
    """Give each example a copy of what is the same for all: `h · u` with `u` as large as `h`.

    NumPy takes twice as long for a small product whose factors are of different shapes. The results are the same to
    the bit.
    """
    copy_before(program, _spread)


def _spread(value: Value, once: set[Value], copies: dict[Any, Value]) -> None:
    """Let an op read copies of what is smaller than its result."""

    def full(a: Any) -> Any:
        """An argument, in the shape of the result."""
        if isinstance(a, Value):
            fits = a not in once or a.shape == value.shape or math.prod(a.shape) == 1 and value.op not in SLOW
        else:
            fits = value.op not in SLOW or value.dtype.kind != "f"
        if fits:
            return a
        key = a if isinstance(a, Value) else repr(a), value.shape, value.dtype
        if key not in copies:
            copies[key] = _copy(a, value)
        return copies[key]

    if value.op == "relu":
        value.op, value.args = "maximum", (*value.args, 0.0 if value.dtype.kind == "f" else 0)
    if value.elementwise and len(value.args) == 2 and math.prod(value.shape) <= LIMIT:
        if any(isinstance(a, Value) and a not in once and a.shape == value.shape for a in value.args):
            value.args = tuple([full(a) for a in value.args])


def _copy(a: Any, value: Value) -> Value:
    """The op that writes an argument of `value`, or a number, as often as there are examples."""
    if not isinstance(a, Value):
        return Value("copy", (a,), {}, value.shape, value.dtype, False, "" if a else "zeros", value.eq)
    label = f"{a.label}_spread" if a.label else ""
    return Value("copy", (a,), {}, value.shape, a.dtype, a.active, label, value.eq)
