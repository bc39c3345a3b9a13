"""What happens to gradients before an update: they are checked, measured and clipped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.tensor import Variable


class NonFiniteGradient(FloatingPointError):
    """A gradient held NaN or infinity: that of the variable at `path`. Nothing was changed.

    >>> NonFiniteGradient("the gradient of 'lstm/kernel' is not finite", "lstm/kernel").path
    'lstm/kernel'
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


def as_arrays(
    grads: Iterable[Any], variables: Iterable[Variable], name: str
) -> tuple[list[Array], list[Variable], list[str]]:
    """The gradients that are there, in the types of their variables; these; and the paths of those without one.

    Raises `TypeError` for what is no variable, `ValueError` for a gradient of another shape than its variable's.

    >>> w, b = Variable([1.0], name="w"), Variable([2.0], name="b")
    >>> as_arrays([[3.0], None], [w, b], "sgd")[::2]
    ([array([3.], dtype=float32)], ['b'])
    """
    arrays, targets, missing = [], [], []
    for g, v in zip(grads, variables, strict=True):
        if not isinstance(v, Variable):
            raise TypeError(
                f"{name}: expected a Variable for each gradient, which can be assigned to, received a "
                f"{type(v).__name__}; pairs are (gradient, variable)"
            )
        if g is None:
            missing.append(v.path)
            continue
        array = np.asarray(g, v.dtype, order="C")
        if array.shape != v.shape:
            raise ValueError(f"{name}: gradient of shape {array.shape} for {v.path!r} of shape {v.shape}")
        arrays.append(array)
        targets.append(v)
    return arrays, targets, missing


def norms(grads: Iterable[Array]) -> list[float]:
    """Euclidean length `√Σ g²` of each gradient; infinite or NaN only if an element is.

    >>> norms([np.array([3.0, 4.0]), np.array([3e200, 0.0])])
    [5.0, 3e+200]
    """
    with np.errstate(all="ignore"):
        return [_norm(g) for g in grads]


def _norm(g: Array) -> float:
    if g.dtype.char in "fd":  # BLAS, in one pass over memory; of large ones row by row, summed in float64
        flat = g.reshape(-1)
        square = float(flat.dot(flat) if g.size < 10_000 else np.vecdot(g, g).sum(dtype=np.float64))
        if 1e-20 < square < math.inf:
            return math.sqrt(square)
    # the squares are too small or too large for the type, or all is 0
    top = float(np.max(np.abs(g), initial=0.0))
    if not 0.0 < top < math.inf:
        return top
    return top * math.sqrt(float(np.sum(np.square(np.abs(g / top), dtype=np.float64))))


def first_nonfinite(grads: Iterable[Any], variables: Iterable[Variable]) -> str | None:
    """Path of the first variable whose gradient holds NaN or infinity; None if there is none.

    >>> first_nonfinite([[0.0], [math.nan]], [Variable([1.0], name="w"), Variable([1.0], name="b")])
    'b'
    """
    pairs = [(np.asarray(g), v) for g, v in zip(grads, variables, strict=True) if g is not None]
    for length, (g, variable) in zip(norms([g for g, _ in pairs]), pairs, strict=True):
        if not math.isfinite(length) and not np.isfinite(g).all():  # a length may be too large for a float
            return variable.path
    return None


def clipped(
    grads: list[Array],
    lengths: Sequence[float],
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
) -> list[Array]:
    """The gradients, limited by one of the three; `lengths` are their `norms`.

    `clipnorm` c: each `g · c / max(‖g‖, c)`; `global_clipnorm`: the same with the length of all together;
    `clipvalue`: each element to [−c, c].

    >>> clipped([np.array([3.0, 4.0])], [5.0], clipnorm=1.0)[0].tolist()
    [0.6..., 0.8]
    """
    if clipvalue is not None:
        return [np.clip(g, -clipvalue, clipvalue) for g in grads]
    if clipnorm is not None:
        return [_shortened(g, length, clipnorm) for g, length in zip(grads, lengths, strict=True)]
    if global_clipnorm is not None:
        length = math.hypot(*lengths)
        return [_shortened(g, length, global_clipnorm) for g in grads]
    return grads


def _shortened(g: Array, length: float, limit: float) -> Array:
    result: Array = g if length <= limit else g * (float(limit) / length)
    return result
