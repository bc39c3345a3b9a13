"""The pass over squares and roots: a normalization multiplies each row by one number."""

from __future__ import annotations

import math
from typing import Any

from ..step.body import Value
from ..step.tracer import Tracer
from .rewriting import Rewriting


def powers(tracer: Tracer) -> None:
    """Take squares for `x**2`, and multiply by inverse roots: `x / √v = x · (1 / √v)`, with one `v` for each row.

    A square takes half the time of a power, and the sum of squares is a product of a row with itself. A product takes
    less time than a quotient, and so does what its gradient multiplies: `−v^(−3/2) / 2` is made of few numbers, where
    `x / √v` divides all of `g x / √v` by `√v` once more. A weight is multiplied last: `w x / √v` is
    `(x · (1 / √v)) · w`. `1 / √v` is finite for every `v > 0`, and as a factor it is rounded once more.
    """
    step = Rewriting(tracer)
    inverses: dict[Value, Value] = {}

    def write(value: Value) -> None:
        if value.op == "power" and value.dtype.kind == "f" and value.args[1] == 2:
            value.become("square", value.args[0])
        if value.op == "divide" and _is_smaller_root(value.args[1], value) and value.args[1] in step.varying:
            x, root = value.args
            if root not in inverses:
                inverses[root] = step.computed("rsqrt", root.args[0])
            weight, rest = _weight_and_rest(x, value, step)
            if weight is None:
                value.become("multiply", x, inverses[root])
            else:
                value.become("multiply", step.computed("multiply", rest, inverses[root]), weight)

    step.each(write)


def _is_smaller_root(root: Any, quotient: Value) -> bool:
    """Whether it is a root with fewer elements than the quotient, of the same type of floats."""
    if not isinstance(root, Value) or root.op != "sqrt" or root.dtype != quotient.dtype:
        return False
    return bool(root.dtype.kind == "f") and math.prod(root.shape) < math.prod(quotient.shape)


def _weight_and_rest(x: Any, user: Value, step: Rewriting) -> tuple[Value | None, Any]:
    """The factors of `w · x`, if this is for one user alone and `w` the same at every step."""
    if isinstance(x, Value) and x.op == "multiply" and len(x.inputs) == 2 and step.users[x] == [user]:
        for weight, rest in (x.args, x.args[::-1]):
            if weight not in step.varying and rest.shape == x.shape:
                return weight, rest
    return None, x
