"""The pass over products of rows with a large weight: strip by strip of its columns, where that is faster."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...blas import takes_small_matrices_as_they_are
from ...native.lanes import threads_in_loops
from ..step.body import Value
from ..step.schedule import Program, copy_before

# With AVX-512, OpenBLAS multiplies matrices of up to 100³ multiplications as they lie in memory. Larger ones it packs
# first, the weight at every step again. Strips of 64 columns took, in parts of the time of one product, by (rows,
# inner, columns) with one thread: (4, 300, 1024) 0.27; (8, 385, 512) 0.37; (16, 194, 512) 0.64; (32, 385, 1024) 0.6
# to 0.8; (64, 73, 256) 0.74; (64, 129, 256) 0.85 to 0.96; (96, 141, 512) 0.78 to 0.91; (128, 65, 192) 0.76; (192, 64,
# 256) 0.73; (256, 40, 128) 0.68. With some of the rows at a time: 16 at once (64, 256, 1024) 0.76, (64, 512, 512) 0.78
# to 0.82, (128, 256, 1024) 0.82, (128, 512, 512) 0.83, (256, 256, 256) 0.87; 8 at once (32, 1024, 256) 0.61, (128,
# 1024, 256) 0.78. As a sum of products with 2 to 4 parts of the weight, below each other: (64, 1024, 512) 0.8, (64,
# 2048, 512) 0.84, (24, 2048, 512) 0.71. Of 32 columns: (32, 512, 2048) 0.75, (64, 512, 2048) 0.92 to 1.01.
# Two threads share a large product: (16, 194, 512) 0.66; (16, 385, 1024) 0.91; (24, 385, 1024) 0.56; (24, 512, 2048)
# 1.01; (32, 194, 512) 0.96; (48, 128, 512) 0.72; (64, 128, 512) 0.77; (96, 194, 128) 0.69; but (48, 256, 256) 1.12,
# (32, 1024, 256) 1.15, (32, 385, 1024) 1.23, (64, 512, 2048) 1.35. Of 16 columns, with one thread, (64, 512, 2048)
# 1.17. With AVX2 nothing is gained.
FEW = 24  # rows, for any number of threads
MOST = 100**3
SHARED = 4 * MOST  # multiplications above which two threads gain by sharing a product of more rows
ROWS = 256  # for how many it pays with one thread
WIDTHS = {64: 1, 80: 1, 100: 1, 32: 32}  # columns of a strip: for how many rows at once, if there are so many
# By the elements that a weight, or a part of it, has at most: how many rows at once, and how often it is read.
AGAIN = {2**18: (8, 16), 2**19: (16, 16), 2**20: (32, 2)}
PARTS, INNER = (
    8,
    256,
)  # how many parts a weight has at most, and how many rows each, which has no more columns


class Tiles(NamedTuple):
    """How a product is cut: into the sum of `parts`, for each so many `blocks` of rows, strips of `width` columns."""

    parts: int
    blocks: int
    width: int


def strips(program: Program) -> None:
    """Multiply with strips of a weight, `x W = [x W₁, x W₂, …]`, copied before the loop, each in one piece."""
    copy_before(program, _strips)


def tiles(rows: int, inner: int, columns: int) -> Tiles | None:
    """How a product of rows with a weight is cut; None if it is better made at once."""
    size = rows * inner * columns
    if not 2 <= rows <= ROWS or size <= MOST or not takes_small_matrices_as_they_are():
        return None
    if rows > FEW and size > SHARED and threads_in_loops() > 1:
        return None
    for parts in range(1, PARTS + 1):
        if inner % parts or parts > 1 and inner < parts * max(INNER, columns):
            continue
        for width, at_least in WIDTHS.items():
            few = max(at_least, _rows_at_once(rows, inner // parts * columns))
            most = MOST // (inner // parts * width)
            at_once = next((n for n in range(min(rows, most), 0, -1) if rows % n == 0), 0)
            if columns % width == 0 and at_once >= min(rows, few):
                return Tiles(parts, rows // at_once, width)
    return None


def _rows_at_once(rows: int, elements: int) -> int:
    """How many rows a weight must be read for, or all: the larger it is, the more it costs to read it again."""
    few, often = next((of for most, of in AGAIN.items() if elements <= most), (rows, 1))
    return max(few, rows // often)


def _strips(product: Value, once: set[Value], cut: dict[Any, Value]) -> None:
    """Let a product read strips, if that is faster."""
    if product.op != "matmul" or product.dtype.kind != "f":
        return
    left, weight = product.args
    if weight in once and left not in once and len(left.shape) == len(weight.shape) == 2:
        if (found := tiles(left.shape[0], *weight.shape)) is not None:
            key = weight, found
            if key not in cut:
                cut[key] = _cut(weight, found, product.eq)
            product.become("matmul", left, cut[key], tiles=found)


def _cut(weight: Value, found: Tiles, eq: str) -> Value:
    """The op that copies a weight, strip by strip."""
    inner, count = weight.shape[0] // found.parts, weight.shape[1] // found.width
    turned = weight.op == "transpose" and weight.args[0].label
    label = f"{turned}_T_strips" if turned else f"{weight.label}_strips" if weight.label else "strips"
    parts = (found.parts, 1) if found.parts > 1 else ()
    attrs, shape = {"cut": (*parts, inner, count, found.width)}, (*parts, count, inner, found.width)
    return Value("strips", (weight,), attrs, shape, weight.dtype, False, label, eq)
