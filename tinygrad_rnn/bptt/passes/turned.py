"""The pass over weights that the loop multiplies turned round: they are copied once, before it."""

from __future__ import annotations

import math

from ..step.body import Value
from ..step.schedule import Program, Regions, copy_before

# Elements up to which it is done for a single example. A product took, in parts of the time with the weight as it is,
# by (batch, units, gates) on one core with AVX2, and with AVX-512: (16, 64, 1) 0.75, 0.53; (16, 128, 4) 0.77, 0.46;
# (32, 256, 4) 0.85, 0.68; (64, 512, 4) 0.96, 0.86; (2, 64, 4) 0.65, 0.81; (1, 64, 1) 0.75, 0.75; (1, 64, 3) 0.72, 0.69.
# Outside: (1, 64, 4) 0.89, 0.88, which pays for the copy after 50 steps; (1, 256, 4) 1.13, 1.08.
FOR_ONE = 3 * 2**12


def turned(program: Program) -> None:
    """Copy what is read in columns, `dz Uᵀ` with `Uᵀ` in one piece: BLAS need not turn it round at every step."""
    copy_before(program, _copies)


def _copies(regions: Regions, once: set[Value]) -> list[Value]:
    """Let products in a loop read copies; these are returned."""
    copies: dict[Value, Value] = {}
    for product in regions.loop:
        if product.op == "matmul" and product.dtype.kind == "f" and _pays(product, once):
            left, weight = product.args
            if weight not in copies:
                name = weight.args[0].label
                label = f"{name}_T" if name else ""
                copies[weight] = Value(
                    "copy", (weight,), {}, weight.shape, weight.dtype, False, label, product.eq
                )
            product.args = left, copies[weight]
    return list(copies.values())


def _pays(product: Value, once: set[Value]) -> bool:
    """Whether a value is the product of a few rows with a weight that was turned round."""
    left, right = product.args
    if not (
        isinstance(left, Value) and isinstance(right, Value) and right in once and right.op == "transpose"
    ):
        return False
    matrices = len(left.shape) == len(right.shape) == 2 and left not in once
    return matrices and (left.shape[0] > 1 or math.prod(right.shape) <= FOR_ONE)
