"""Activations, softmax and the losses that are computed from logits: stable for any finite input."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..config import epsilon, mode
from ..core.arrays import freeze, time_major
from ..core.op import Array
from ..core.operands import known
from ..core.record import elementwise, kernel, primitive, quiet, repeatable
from .elementwise import clip, erf, exp, expm1, isinf, log, logical_and, where
from .indexing import check_ids, is_traced, of_labels, one_hot
from .reduce import logsumexp, sum
from .reduce import max as amax
from .shape import _axis, expand_dims, moveaxis, ndim, reshape, shape

MODERATE = 40  # of logits: e⁸⁰ times the number of classes is no infinity in float32
FEW = 2**13  # up to so many, their absolute values cost less than a second search
MANY = 2**16  # from so many on a softmax of moderate logits leaves their maxima out

# --- activations ----------------------------------------------------------------------------------


@quiet
def _sigmoid(x: Array, out: Array | None = None) -> Any:
    y = np.negative(x, out=out)
    if not isinstance(y, np.ndarray):  # a number: NumPy has no in-place form
        return 1.0 / (1.0 + np.exp(y))
    np.exp(y, out=y)
    y += 1.0
    return np.reciprocal(y, out=y)


@kernel
@quiet
def _softplus(x: Array) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@kernel
@quiet
def _silu(x: Array) -> Any:
    return x * _sigmoid(x)


# Written without the constant 1 of the formulas: NumPy takes twice as long when one side is a Python number.


def _tanh_vjp(g: Any, y: Any, x: Any) -> Any:
    part = g * y
    part *= y
    return g - part


def _sigmoid_vjp(g: Any, y: Any, x: Any) -> Any:
    part = g * y
    return part - part * y


tanh = elementwise("tanh", np.tanh, _tanh_vjp, reads="y", doc="y = tanh x;  ∂x = g (1 − y²)")
sigmoid = elementwise(
    "sigmoid", _sigmoid, _sigmoid_vjp, reads="y", doc="y = 1 / (1 + e⁻ˣ);  ∂x = g y (1 − y)"
)
relu = elementwise(
    "relu", lambda x, out=None: np.maximum(x, 0, out=out), lambda g, y, x: where(y > 0, g, 0),
    reads="y", analytic=False, doc="y = max(x, 0);  ∂x = g where y > 0, 0 at 0",
)  # fmt: skip
softplus = elementwise(
    "softplus", _softplus, lambda g, y, x: g * sigmoid(x),
    reads="x", analytic=False, doc="y = ln(1 + eˣ);  ∂x = g · sigmoid x",
)  # fmt: skip
softsign = elementwise(
    "softsign", kernel(lambda x: x / (1.0 + np.abs(x))), lambda g, y, x: g / (1.0 + abs(x)) ** 2,
    reads="x", analytic=False, doc="y = x / (1 + |x|);  ∂x = g / (1 + |x|)²",
)  # fmt: skip
silu = swish = elementwise(
    "silu", _silu, lambda g, y, x: g * (sigmoid(x) + y * (1.0 - sigmoid(x))),
    reads="xy", doc="y = x · sigmoid x;  ∂x = g (s + y (1 − s)), s = sigmoid x",
)  # fmt: skip


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x for x > 0, `negative_slope · x` below (Keras's default slope: 0.2).

    >>> leaky_relu(np.array([-1.0, 2.0])).tolist()
    [-0.2, 2.0]
    """
    x = known(x)
    return where(x > 0, x, negative_slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, `alpha (eˣ − 1)` else; the slope at 0 is `alpha`.

    >>> elu(np.array([-1.0, 2.0])).round(3).tolist()
    [-0.632, 2.0]
    """
    x = known(x)
    above = x > 0
    return where(above, x, alpha * expm1(where(above, 0.0, x)))


def selu(x: Any) -> Any:
    """Scaled ELU: `1.0507… · elu(x, 1.6732…)` (Klambauer et al. 2017).

    >>> selu(np.array([1.0])).round(4).tolist()
    [1.0507]
    """
    return 1.05070098735548049342 * elu(x, 1.67326324235437728481)


def gelu(x: Any, approximate: bool = True) -> Any:
    """`x Φ(x)`, with Φ the normal distribution, by a formula with tanh; `approximate=False` is exact.

    >>> gelu(np.array([1.0])).round(4).tolist()
    [0.8412]
    """
    x = known(x)
    if approximate:
        return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def hard_sigmoid(x: Any) -> Any:
    """`clip(x / 6 + 1/2, 0, 1)` (Keras 3's).

    >>> hard_sigmoid(np.array([-4.0, 0.0, 4.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return clip(known(x) / 6.0 + 0.5, 0.0, 1.0)


# --- softmax --------------------------------------------------------------------------------------


@kernel
@quiet
def _softmax(x: Array, axis: int) -> Any:
    whole = x.size >= MANY and _are_moderate(x)
    y = np.exp(x if whole else x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    y /= np.sum(y, axis=axis, keepdims=True)
    return y


@kernel
@quiet
def _log_softmax(x: Array, axis: int) -> Any:
    shifted = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


softmax_op = primitive(
    "softmax", _softmax, lambda g, y, x, axis: y * (g - sum(g * y, axis=axis, keepdims=True)),
    reads="y", analytic=False, doc="y = eˣ / Σ eˣ;  ∂x = y (g − Σ g y)",
)  # fmt: skip
log_softmax_op = primitive(
    "log_softmax", _log_softmax, lambda g, y, x, axis: g - exp(y) * sum(g, axis=axis, keepdims=True),
    reads="y", analytic=False, doc="y = x − ln Σ eˣ;  ∂x = g − eʸ Σ g",
)  # fmt: skip


def softmax(x: Any, axis: int | tuple[int, ...] = -1) -> Any:
    """Positive numbers that sum to 1 along `axis` (one, or several).

    >>> softmax(np.array([1e4, 1e4])).tolist()
    [0.5, 0.5]
    """
    if isinstance(axis, (tuple, list)):
        return exp(log_softmax(x, axis))
    return softmax_op(x, axis=_axis(axis, ndim(x), "softmax"))


def log_softmax(x: Any, axis: int | tuple[int, ...] = -1) -> Any:
    """Logarithm of `softmax`, exact where the softmax underflows.

    >>> log_softmax(np.array([0.0, -1e4])).tolist()
    [0.0, -10000.0]
    """
    if isinstance(axis, (tuple, list)):
        return x - logsumexp(x, axis, keepdims=True)
    return log_softmax_op(x, axis=_axis(axis, ndim(x), "log_softmax"))


# --- cross-entropies ------------------------------------------------------------------------------


@quiet
def _sparse_xent_keeping(x: Array, ids: Array) -> tuple[Any, tuple[Array, Array, Array]]:
    """The losses; numerators and denominators of the softmax, and where the labels' entries stand, all in a row.

    Logits of moderate size need not be reduced by the largest of their row, which takes as long as all the rest.
    """
    if time_major(x):
        losses, kept = _sparse_xent_keeping(x.swapaxes(0, 1), ids.swapaxes(0, 1))
        return losses.swapaxes(0, 1), kept
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    places = np.arange(0, rows.size, rows.shape[-1]) + ids.reshape(-1)
    if _are_moderate(rows):
        e = np.exp(rows)
        total = _sums(e)
        losses = np.log(total / e.reshape(-1)[places])  # `ln total − x` would lose the digits of a small one
    else:
        e = rows - np.maximum.reduce(rows, axis=-1, keepdims=True)
        chosen = e.reshape(-1)[places]
        np.exp(e, out=e)
        total = _sums(e)
        losses = np.log(total) - chosen
    return losses.reshape(ids.shape), (e, total, places)


def _are_moderate(logits: Array) -> bool:
    """Whether none of them is so large that its exponential, or the sum of some, could be infinite or 0."""
    if logits.size < FEW:
        lowest, highest = 0, np.maximum.reduce(np.abs(logits), axis=None, initial=0)
    else:
        lowest, highest = (f.reduce(logits, axis=None, initial=0) for f in (np.minimum, np.maximum))
    return bool(logits.dtype.itemsize >= 4 and -MODERATE <= lowest and highest <= MODERATE)


def _sums(rows: Array) -> Any:
    """The sum of each row: as a product, in a third of the time if they are short."""
    return rows.dot(_ones(rows.shape[-1], rows.dtype))


@lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Array:
    return freeze(np.ones(n, dtype))


def _sparse_xent_vjp(g: Any, y: Any, x: Any, ids: Array, kept: Any = None) -> Any:
    if time_major(x) and isinstance(g, np.ndarray):
        g, x, ids = g.swapaxes(0, 1), x.swapaxes(0, 1), ids.swapaxes(0, 1)
        return _sparse_xent_vjp(g, y, x, ids, kept).swapaxes(0, 1)
    if isinstance(g, np.ndarray):  # as below, in fewer passes
        e, total, places = _sparse_xent_keeping(x, ids)[1] if kept is None else kept
        g = g.reshape(-1)
        dx = e * (g / total)[:, None]
        dx.reshape(-1)[places] -= g
        return dx.reshape(x.shape)
    rows, g = reshape(x, (-1, x.shape[-1])), reshape(g, (-1,))
    hot = np.zeros(rows.shape, x.dtype)
    hot[np.arange(ids.size), np.asarray(ids).reshape(-1)] = 1
    monitor = mode().monitor
    # what is traced or recorded will run on other values
    once = monitor is None or not (monitor.tracing or monitor.recording)
    moderate = once and _are_moderate(getattr(rows, "_data", rows))
    e = exp(rows if moderate else rows - amax(rows, axis=-1, keepdims=True))
    total = e @ np.ones(rows.shape[-1], x.dtype)
    return reshape(e * expand_dims(g / total, -1) - hot * expand_dims(g, -1), x.shape)


sparse_xent_op = primitive(
    "sparse_cross_entropy", kernel(lambda x, ids: _sparse_xent_keeping(x, ids)[0]), _sparse_xent_vjp, None,
    reads="x", analytic=False, keeping=_sparse_xent_keeping,
    doc="y = ln Σ eˣ − x[label];  ∂x = g (softmax x − one-hot label)",
)  # fmt: skip


@kernel
@quiet
def _binary_xent(x: Array, t: Array) -> Any:
    return np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))


binary_xent_op = elementwise(
    "binary_cross_entropy", _binary_xent,
    lambda g, y, x, t: g * (sigmoid(x) - t), lambda g, y, x, t: -g * x,
    reads="x", analytic=False, doc="y = ln(1 + eˣ) − x t, stable;  ∂x = g (sigmoid x − t)",
)  # fmt: skip


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """`−ln p[target]` for integer classes: `output` has classes along `axis`, the result has not.

    Probabilities (`from_logits=False`) are clipped to [ε, 1 − ε]. Raises `ValueError` with value and
    position for a class out of range, and for shapes that do not fit.

    >>> sparse_categorical_crossentropy([1], np.array([[0.0, 1e4]]), from_logits=True).tolist()
    [0.0]
    """
    output = output if axis in (-1, ndim(output) - 1) else moveaxis(output, axis, -1)
    sizes = shape(output)
    if is_traced(target) and shape(target) == sizes[:-1]:
        return categorical_crossentropy(one_hot(target, sizes[-1], dtype=output.dtype), output, from_logits)
    ids = _class_ids(target, sizes)
    if from_logits:
        return sparse_xent_op(output, ids)
    chosen = of_labels(output, ids) / sum(output, axis=-1)  # of each row one is divided, not all
    return -log(clip(chosen, epsilon(), 1.0 - epsilon()))


@repeatable
def _class_ids(target: Any, sizes: tuple[int, ...]) -> Array:
    """The labels for predictions of the shape `sizes`, whose last axis is that of the classes."""
    labels = np.asarray(target)
    if labels.shape not in (sizes[:-1], (*sizes[:-1], 1)):
        hint = "; one-hot targets go with the categorical form" if labels.shape == sizes else ""
        raise ValueError(
            f"sparse_categorical_crossentropy: labels of shape {labels.shape} do not fit predictions of shape "
            f"{sizes}; expected {sizes[:-1]}{hint}"
        )
    return check_ids(labels, sizes[-1], "sparse_categorical_crossentropy: label").reshape(sizes[:-1])


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """`−Σ target · ln p` along `axis`; probabilities are divided by their sum, then clipped to [ε, 1 − ε].

    >>> categorical_crossentropy(np.array([[0.0, 1.0]]), np.array([[0.0, 0.0]]), from_logits=True).round(4).tolist()
    [0.6931]
    """
    _same_shape("categorical_crossentropy", target, output)
    if from_logits:
        log_p = log_softmax(output, axis)
        impossible = logical_and(target == 0, isinf(log_p))  # 0 · ln 0 is 0 here
        return -sum(where(impossible, 0, log_p) * target, axis=axis)
    probabilities = output / sum(output, axis=axis, keepdims=True)
    return -sum(target * log(clip(probabilities, epsilon(), 1.0 - epsilon())), axis=axis)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """`−t ln p − (1 − t) ln(1 − p)`, element by element; probabilities are clipped to [ε, 1 − ε].

    >>> binary_crossentropy(np.array([1.0]), np.array([1e4]), from_logits=True).tolist()
    [0.0]
    """
    _same_shape("binary_crossentropy", target, output)
    if from_logits:
        return binary_xent_op(output, target)
    p = clip(output, epsilon(), 1.0 - epsilon())
    return -(target * log(p) + (1.0 - target) * log(1.0 - p))


def _same_shape(name: str, target: Any, output: Any) -> None:
    if shape(target) != shape(output):
        raise ValueError(f"{name}: targets of shape {shape(target)} for predictions of shape {shape(output)}")
