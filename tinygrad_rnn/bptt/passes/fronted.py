"""The pass over products of gradients with a weight: the weight in front, where that is faster."""

from __future__ import annotations

from ..step.adjoint import Adjoint
from ..step.body import Made, Value
from ..step.walks import ancestors, dependents, preceded
from .strips import tiles

# For how many examples, and for a weight of how many rows, and columns per row. The product, the copy that turns it
# back and an addition took, in parts of the time with the gradient in front, by (batch, units, gates) on one and on two
# cores: (16, 256, 4) 0.95, 0.74; (24, 256, 3) 0.96, 0.99; (32, 256, 2) 0.95, 0.83; (32, 256, 4) 0.92, 0.80;
# (32, 512, 4) 0.91, 0.80. Outside: (16, 128, 2) 1.04, 1.12; (32, 128, 4) 0.94, 0.90; (64, 256, 4) 0.97, 1.03;
# (128, 256, 4) 1.03, 1.00; for one gate (32, 256) 1.04, 1.07 without the copy. Where strips pay, they pay more.
EXAMPLES, UNITS, GATES = (16, 32), 256, 2


def fronted(adjoint: Adjoint) -> None:
    """Multiply from the other side: `dz Uᵀ = (U dzᵀ)ᵀ`, which BLAS shares between cores better for few examples."""
    inside = dependents(adjoint.values, adjoint.arriving) & ancestors(adjoint.sent)  # of the loop
    adjoint.values[:] = preceded(adjoint.values, lambda v: _turned(v) if v in inside and _pays(v) else [])


def _pays(product: Value) -> bool:
    """Whether a value is the product of a few gradients with a large matrix that was turned round."""
    if product.op != "matmul" or len(product.shape) != 2 or product.args[1].op != "transpose":
        return False
    batch, units = product.shape
    inner = product.args[0].shape
    fits = len(inner) == 2 and EXAMPLES[0] <= batch <= EXAMPLES[1] and units >= UNITS
    return fits and inner[1] >= GATES * units and tiles(batch, inner[1], units) is None


def _turned(product: Value) -> list[Value]:
    """The ops before a product, which becomes a copy of their result."""
    dz, turned = product.args
    batch, units = product.shape
    made = Made(product.dtype, product.eq)
    columns = made.new("transpose", (dz,), {"axes": (1, 0)}, dz.shape[::-1])
    found = made.new("matmul", (turned.args[0], columns), {}, (units, batch), "columns")
    back = made.new("transpose", (found,), {"axes": (1, 0)}, (batch, units))
    product.become("copy", back)
    return made
