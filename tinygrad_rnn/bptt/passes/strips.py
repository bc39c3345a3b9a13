"""The pass over products of a few rows with a large weight: strip by strip of its columns, where that is faster."""

from __future__ import annotations

from ...blas import takes_small_matrices_as_they_are, threads
from ..step.body import Value
from ..step.schedule import Program, Regions, copy_before

# With AVX-512, OpenBLAS multiplies matrices of up to 100³ multiplications as they lie in memory. Larger ones it packs
# first, the weight at every step again, for which a few rows do not pay. Strips of 64 columns took, in parts of the
# time of one product, by (rows, inner, columns) with one thread and with two: (4, 300, 1024) 0.27; (8, 385, 512) 0.37,
# 0.60; (8, 1024, 256) 0.34, 0.66; (16, 128, 512) 0.58, 0.71; (16, 194, 512) 0.64, 0.77; (16, 512, 256) 0.57, 0.71;
# (20, 194, 512) 0.81, 0.79; (20, 385, 1024) 0.67; of 100 columns (8, 300, 600) 0.69, (16, 230, 500) 0.88. Outside:
# (16, 1024, 1024) 0.96; (32, 257, 256) 0.81, 1.06; (32, 385, 1024) 0.78, 1.18. With AVX2 nothing is gained.
FEW, FEW_FOR_ONE_THREAD = 20, 32  # rows
MOST = 100**3
WIDTHS = 64, 80, 100


def strips(program: Program) -> None:
    """Multiply with strips of a weight, `x W = [x W₁, x W₂, …]`, copied before the loop, each in one piece."""
    copy_before(program, _strips)


def width(rows: int, inner: int, columns: int) -> int:
    """How many columns a strip has; 0 if the product is better made at once."""
    if not 1 < rows <= FEW_FOR_ONE_THREAD or rows * inner * columns <= MOST:
        return 0
    if not takes_small_matrices_as_they_are() or (rows > FEW and threads() > 1):
        return 0
    return next((w for w in WIDTHS if columns % w == 0 and rows * inner * w <= MOST), 0)


def _strips(regions: Regions, once: set[Value]) -> list[Value]:
    """Let products in a loop read strips; these are returned."""
    cut: dict[Value, Value] = {}
    for product in regions.loop:
        if product.op != "matmul" or product.dtype.kind != "f":
            continue
        left, weight = product.args
        if weight in once and left not in once and len(left.shape) == len(weight.shape) == 2:
            if weight not in cut and (columns := width(left.shape[0], *weight.shape)):
                cut[weight] = _cut(weight, columns, product.eq)
            if weight in cut:
                product.become("matmul", left, cut[weight], strips=True)
    return list(cut.values())


def _cut(weight: Value, columns: int, eq: str) -> Value:
    """The op that copies a weight, strip by strip."""
    inner, count = weight.shape[0], weight.shape[1] // columns
    turned = weight.op == "transpose" and weight.args[0].label
    label = f"{turned}_T_strips" if turned else f"{weight.label}_strips" if weight.label else "strips"
    attrs, shape = {"cut": (inner, count, columns)}, (count, inner, columns)
    return Value("strips", (weight,), attrs, shape, weight.dtype, False, label, eq)
