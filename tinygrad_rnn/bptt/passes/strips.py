"""The pass over products of rows with a large weight: strip by strip of its columns, where that is faster."""

from __future__ import annotations

from typing import Any

from ...blas import takes_small_matrices_as_they_are, threads
from ..step.body import Value
from ..step.schedule import Program, copy_before

# With AVX-512, OpenBLAS multiplies matrices of up to 100³ multiplications as they lie in memory. Larger ones it packs
# first, the weight at every step again. Strips of 64 columns took, in parts of the time of one product, by (rows,
# inner, columns) with one thread: (4, 300, 1024) 0.27; (8, 385, 512) 0.37; (16, 194, 512) 0.64; (32, 385, 1024) 0.6
# to 0.8; (64, 73, 256) 0.74; (64, 129, 256) 0.85 to 0.96; (64, 194, 512) 1.02; (96, 141, 512) 0.78 to 0.91; (128, 65,
# 192) 0.76; (192, 64, 256) 0.73; (256, 40, 128) 0.68. Of 32 columns, where wider ones are over the limit: (8, 768,
# 256) 0.45; (16, 768, 256) 0.77; (32, 768, 256) 0.75; (64, 256, 256) 0.84; (64, 385, 1024) 0.9; (96, 257, 512) 1.04.
# Two threads share a large product: (16, 194, 512) 0.66; (16, 385, 1024) 0.91; (64, 73, 256) 0.55; (128, 64, 256)
# 0.65; but (24, 194, 512) 1.06, (64, 141, 512) 1.01. Of 16 columns (64, 512, 2048) 1.17. With AVX2 nothing is gained.
FEW = 20  # rows, for any number of threads
MOST = 100**3
SHARED = 2 * MOST  # multiplications above which two threads gain by sharing a product of more rows
ROWS = {64: 256, 80: 256, 100: 256, 32: 80}  # by the columns of a strip: for how many it pays


def strips(program: Program) -> None:
    """Multiply with strips of a weight, `x W = [x W₁, x W₂, …]`, copied before the loop, each in one piece."""
    copy_before(program, _strips)


def width(rows: int, inner: int, columns: int) -> int:
    """How many columns a strip has; 0 if the product is better made at once."""
    size = rows * inner * columns
    if rows < 2 or size <= MOST or not takes_small_matrices_as_they_are():
        return 0
    if rows > FEW and size > SHARED and threads() > 1:
        return 0
    fits = (w for w, most in ROWS.items() if rows <= most and columns % w == 0 and rows * inner * w <= MOST)
    return next(fits, 0)


def _strips(product: Value, once: set[Value], cut: dict[Any, Value]) -> None:
    """Let a product read strips, if that is faster."""
    if product.op != "matmul" or product.dtype.kind != "f":
        return
    left, weight = product.args
    if weight in once and left not in once and len(left.shape) == len(weight.shape) == 2:
        if weight not in cut and (columns := width(left.shape[0], *weight.shape)):
            cut[weight] = _cut(weight, columns, product.eq)
        if weight in cut:
            product.become("matmul", left, cut[weight], strips=True)


def _cut(weight: Value, columns: int, eq: str) -> Value:
    """The op that copies a weight, strip by strip."""
    inner, count = weight.shape[0], weight.shape[1] // columns
    turned = weight.op == "transpose" and weight.args[0].label
    label = f"{turned}_T_strips" if turned else f"{weight.label}_strips" if weight.label else "strips"
    attrs, shape = {"cut": (inner, count, columns)}, (count, inner, columns)
    return Value("strips", (weight,), attrs, shape, weight.dtype, False, label, eq)
