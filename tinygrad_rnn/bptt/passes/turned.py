"""The pass over weights that the loop multiplies turned round: they are copied once, before it."""

from __future__ import annotations

import math
from typing import Any

from ..step.body import Value
from ..step.schedule import Program, copy_before

# Elements up to which it is done for a single example. A product took, in parts of the time with the weight as it is,
# by (batch, units, gates) on one core with AVX2, and with AVX-512: (16, 64, 1) 0.75, 0.53; (16, 128, 4) 0.77, 0.46;
# (32, 256, 4) 0.85, 0.68; (64, 512, 4) 0.96, 0.86; (2, 64, 4) 0.65, 0.81; (1, 64, 1) 0.75, 0.75; (1, 64, 3) 0.72, 0.69.
# Outside: (1, 64, 4) 0.89, 0.88, which pays for the copy after 50 steps; (1, 256, 4) 1.13, 1.08.
FOR_ONE = 3 * 2**12


def turned(program: Program) -> None:
    """Copy what is read in columns, `dz Uᵀ` with `Uᵀ` in one piece: BLAS need not turn it round at every step."""
    copy_before(program, _copied)


def _copied(product: Value, once: set[Value], copies: dict[Any, Value]) -> None:
    """Let a product of a few rows with a weight that was turned round read a copy of that."""
    if product.op != "matmul" or product.dtype.kind != "f":
        return
    left, weight = product.args
    if left in once or weight not in once or weight.op != "transpose":
        return
    pays = left.shape[0] > 1 or math.prod(weight.shape) <= FOR_ONE
    if pays and len(left.shape) == len(weight.shape) == 2:
        if weight not in copies:
            label = f"{weight.args[0].label}_T" if weight.args[0].label else ""
            attrs = weight.shape, weight.dtype, False, label, product.eq
            copies[weight] = Value("copy", (weight,), {}, *attrs)
        product.args = left, copies[weight]
