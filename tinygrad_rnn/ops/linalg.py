"""Products: matmul for all ranks, dot, tensordot, einsum, outer, and the norm."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..core.arrays import time_major
from ..core.autodiff import sum_to
from ..core.op import Array
from ..core.record import kernel, primitive, quiet
from ..native.lanes import product, small
from . import reduce
from .elementwise import absolute, where
from .shape import broadcast_to, expand_dims, ndim, reshape, swapaxes, transpose


def _matmul(a: Array, b: Array, out: Array | None = None) -> Any:
    if a.ndim > 2 and b.ndim == 2 and a.shape[-1] == b.shape[0]:  # one large product, not many small ones
        result = _product_of_rows(a, b)
        if out is None:
            return result
        np.copyto(out, result)
        return out
    try:
        return np.matmul(a, b, out=out)
    except ValueError:
        rows = b.shape[-2:][:1]
        if a.ndim and b.ndim and a.shape[-1:] != rows:
            raise ValueError(f"matmul: {a.shape[-1]} columns do not fit {rows[0]} rows") from None
        raise


def _product_of_rows(x: Any, b: Any) -> Any:
    """`x @ b` for `x` with several axes, as one product; the result stands in memory as `x` does."""
    if time_major(x):
        return _product_of_rows(x.swapaxes(0, 1), b).swapaxes(0, 1)
    return _product(_rows(x), b).reshape(*x.shape[:-1], b.shape[1])


def _product(a: Any, b: Any) -> Any:
    """`a @ b` for matrices, with its bits: in one piece `dot` calls the same routine of BLAS, and sooner."""
    if type(a) is not np.ndarray or type(b) is not np.ndarray:
        return a @ b
    return a.dot(b) if small(a, b) and a.flags.forc and b.flags.forc else product(a, b)


def _as_matrices(g: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Vectors as one-row (left) or one-column (right) matrices, and `g` to match."""
    if a.ndim == 1:
        g = expand_dims(g, -1 if b.ndim == 1 else -2)
    if b.ndim == 1:
        g = expand_dims(g, -1)
    return g, expand_dims(a, 0) if a.ndim == 1 else a, expand_dims(b, 1) if b.ndim == 1 else b


def _matmul_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == b.ndim == 2:
        return _product(g, b.T)
    if a.ndim > 1 and b.ndim == 2:
        return _product_of_rows(g, b.T)
    g2, a2, b2 = _as_matrices(g, a, b)
    return reshape(sum_to(g2 @ swapaxes(b2, -1, -2), a2.shape), a.shape)


def _matmul_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim > 1 and b.ndim == 2:  # a weight shared by a batch: one product sums over it
        if time_major(a) and time_major(g):
            a, g = a.swapaxes(0, 1), g.swapaxes(0, 1)
        return _product(_rows(a).T, _rows(g))
    g2, a2, b2 = _as_matrices(g, a, b)
    return reshape(sum_to(swapaxes(a2, -1, -2) @ g2, b2.shape), b.shape)


def _matmul_gather(uses: list[Any]) -> Any:
    """∂b from all products with the same b: the sum of aᵀ @ g over time is one product of the stacked a and g."""
    if len(uses) == 1:
        return _matmul_right(*uses[0])
    if uses[0][3].ndim != 2:
        return sum([_matmul_right(*use) for use in uses[1:]], _matmul_right(*uses[0]))
    a = np.concatenate([_rows(a) for _, _, a, _ in uses])
    return _product(a.T, np.concatenate([_rows(g) for g, *_ in uses]))


def _rows(x: Any) -> Any:
    """All axes but the last in one."""
    if x.ndim == 3:  # as nearly always
        first, second, last = x.shape
        return x.reshape(first * second, last)
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


matmul = primitive(
    "matmul", _matmul, _matmul_left, _matmul_right,
    reads="x", gather=_matmul_gather, strict=True, plain=True, numpy=np.matmul,
    doc="y = a @ b, for all ranks;  ∂a = g @ bᵀ,  ∂b = aᵀ @ g",
)  # fmt: skip


def dot(x1: Any, x2: Any) -> Any:
    """`numpy.dot`: the last axis of `x1` with the second to last (or only) axis of `x2`.

    >>> float(dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    if min(ndim(x1), ndim(x2)) == 0:
        return x1 * x2
    if ndim(x2) < 3:
        return matmul(x1, x2)
    return tensordot(x1, x2, axes=((-1,), (-1 if ndim(x2) == 1 else -2,)))


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """Sum of products over `axes`: an int (last axes of `x1` with the first of `x2`) or two lists.

    >>> tensordot(np.ones((2, 3)), np.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    ndim1, ndim2 = ndim(x1), ndim(x2)
    if isinstance(axes, (int, np.integer)):
        axes = (range(ndim1 - int(axes), ndim1), range(int(axes)))
    left, right = ([axes[0]], [axes[1]]) if isinstance(axes[0], int) else axes
    left, right = [a % ndim1 for a in left], [a % ndim2 for a in right]
    if [x1.shape[a] for a in left] != [x2.shape[a] for a in right]:
        raise ValueError(
            f"tensordot: axes {left} of shape {x1.shape} do not fit axes {right} of shape {x2.shape}"
        )
    keep1 = [a for a in range(ndim1) if a not in left]
    keep2 = [a for a in range(ndim2) if a not in right]
    shape1, shape2 = [x1.shape[a] for a in keep1], [x2.shape[a] for a in keep2]
    inner = int(np.prod([x1.shape[a] for a in left]))
    flat1 = reshape(transpose(x1, keep1 + left), (int(np.prod(shape1)), inner))
    flat2 = reshape(transpose(x2, right + keep2), (inner, int(np.prod(shape2))))
    return reshape(matmul(flat1, flat2), (*shape1, *shape2))


def outer(x1: Any, x2: Any) -> Any:
    """`y[i, j] = x1[i] · x2[j]`, of the flattened arguments.

    >>> outer(np.array([1.0, 2.0]), np.array([3.0, 4.0])).tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    return reshape(x1, (-1, 1)) * reshape(x2, (1, -1))


# --- einsum -------------------------------------------------------------------------------------


SMALL = 2**14  # products of elements up to which NumPy takes longer to plan an einsum than to run it


@lru_cache
def planned(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> bool:
    """Whether it pays that NumPy looks for an order of products, and for those that BLAS can make.

    >>> planned("ij,jk->ik", ((4, 8), (8, 4))), planned("ij,jk->ik", ((64, 64), (64, 64)))
    (False, True)
    """
    lengths: dict[str, int] = {}
    for term, shape in zip(subscripts.split("->")[0].split(","), shapes, strict=True):
        lengths |= {c: max(n, lengths.get(c, 1)) for c, n in zip(term, shape, strict=True)}
    return len(shapes) > 1 and math.prod(lengths.values()) > SMALL


@kernel
@quiet
def _einsum(*arrays: Array, subscripts: str) -> Any:
    optimize = planned(subscripts, tuple([a.shape for a in arrays]))
    result = np.einsum(subscripts, *arrays, optimize=optimize)
    return np.array(result) if len(arrays) == 1 else result  # of one array NumPy may return a view


def _einsum_vjps(g: Any, y: Any, *xs: Any, subscripts: str) -> list[Any]:
    """∂x_i: the einsum of `g` and the other factors, with the roles of output and `x_i` exchanged.

    An index that occurs in `x_i` alone was summed out: its gradient is constant along it. An index that
    occurs twice in `x_i` picks a diagonal: an identity matrix puts it back.
    """
    left, output = subscripts.split("->")
    terms = left.split(",")
    spare = iter([c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts])
    parts = []
    for i, (term, x) in enumerate(zip(terms, xs, strict=True)):
        others = [(t, v) for k, (t, v) in enumerate(zip(terms, xs, strict=True)) if k != i]
        factors = [(output, g), *others]
        target = ""
        for axis, letter in enumerate(term):
            if letter in target:
                fresh = next(spare)
                factors.append((letter + fresh, np.eye(x.shape[axis], dtype=x.dtype)))
                letter = fresh
            target += letter
        known = {c for t, _ in factors for c in t}
        reached = "".join(c for c in target if c in known)
        part = einsum(",".join(t for t, _ in factors) + "->" + reached, *[v for _, v in factors])
        lengths = dict(zip(target, x.shape, strict=True))
        part = sum_to(
            part, tuple([1 if lengths[c] == 1 else n for c, n in zip(reached, part.shape, strict=True)])
        )
        found = dict(zip(reached, part.shape, strict=True))
        parts.append(broadcast_to(reshape(part, [found.get(c, 1) for c in target]), x.shape))
    return parts


einsum_op = primitive(
    "einsum", _einsum, vjp_all=_einsum_vjps, reads="x", strict=True,
    doc="y = einsum(subscripts, *xs);  ∂x_i = einsum of g and the other factors",
)  # fmt: skip


def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein summation in NumPy's notation, ellipsis included.

    >>> einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)
    """
    return einsum_op(*operands, subscripts=_explicit(subscripts, [ndim(x) for x in operands]))


def _explicit(subscripts: str, ranks: list[int]) -> str:
    """The subscripts with the output spelled out, and letters in place of the ellipsis."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"einsum: {subscripts!r} has {len(terms)} terms for {len(ranks)} operands")
    spare = [c for c in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in subscripts]
    widths = [
        rank - len(t.replace("...", "")) if "..." in t else 0 for t, rank in zip(terms, ranks, strict=True)
    ]
    for term, rank, width in zip(terms, ranks, widths, strict=True):
        if width < 0 or ("..." not in term and len(term) != rank):
            raise ValueError(f"einsum: {term!r} of {subscripts!r} does not fit an operand with {rank} axes")
    dots = "".join(spare[: max(widths)])
    terms = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True)]
    if not arrow:
        letters = "".join(terms)
        right = dots + "".join(sorted(c for c in set(letters) - set(dots) if letters.count(c) == 1))
    return ",".join(terms) + "->" + right.replace("...", dots)


# --- norm ---------------------------------------------------------------------------------------


@kernel
def _norm(x: Array, axis: Any, keepdims: bool) -> Any:
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _norm_vjp(g: Any, y: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    g, y = reduce.keep_axes(g, x, axis), reduce.keep_axes(y, x, axis)
    return g * x / where(y == 0, 1, y)


norm_op = primitive("norm", _norm, _norm_vjp, reads="xy", doc="y = √Σ x²;  ∂x = g x / y, 0 where y is 0")


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Euclidean length over `axis` (all axes: Frobenius); `ord` 1 and `inf` give the other vector norms.

    The gradient at the zero vector is 0.

    >>> float(norm(np.array([3.0, 4.0])))
    5.0
    """
    axes = reduce.axes_of(x, axis, "norm")
    if len(axes) == 2 and ord in (1, 2, np.inf):
        if ord == 2:
            raise ValueError(
                "norm: the spectral norm of a matrix (ord=2) is not offered; give one axis, or ord='fro'"
            )
        added = axes[0] if ord == 1 else axes[1]
        y = reduce.max(reduce.sum(absolute(x), axis=added, keepdims=True), axis=axes, keepdims=True)
        return y if keepdims else reshape(y, [n for i, n in enumerate(x.shape) if i not in axes])
    if ord in (None, 2, "fro"):
        return norm_op(x, axis=axes, keepdims=keepdims)
    if ord == 1:
        return reduce.sum(absolute(x), axis=axis, keepdims=keepdims)
    if ord == np.inf:
        return reduce.max(absolute(x), axis=axis, keepdims=keepdims)
    raise ValueError(f"norm: expected ord None, 1, 2, 'fro' or inf, got {ord!r}")
