"""The formulas of the losses: `fn(y_true, y_pred)`, one value per row (and step), the last axis reduced."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..config import epsilon
from ..core.arrays import ValueAt
from ..core.record import repeatable
from ..core.tensor import Tensor
from ..ops import nn
from ..ops.creation import convert_to_tensor
from ..ops.elementwise import absolute, cast, clip, log, maximum, square, where
from ..ops.linalg import norm
from ..ops.reduce import max, mean, sum
from ..ops.shape import moveaxis, reshape
from .values import align, predictions


def _loss(formula: Callable[..., Any]) -> Callable[..., Tensor]:
    """Make a formula a loss function: its arguments become Tensors of one shape and type; targets are finite."""

    @functools.wraps(formula)
    def function(y_true: Any, y_pred: Any, *args: Any, **options: Any) -> Tensor:
        name, y_pred = formula.__name__, predictions(y_pred)
        y_true = cast(convert_to_tensor(y_true), y_pred.dtype)
        _check_targets(y_true, name)
        result: Tensor = formula(*align(name, y_true, y_pred), *args, **options)
        return result

    return function


@repeatable
def _check_targets(y_true: Any, name: str) -> None:
    """Raise for the first target that is not finite, or no probability where it has to be one (by more than 0.001)."""
    y = np.asarray(y_true)
    if name.startswith("binary_"):
        if not y.size or (y.min() >= -1e-3 and y.max() <= 1 + 1e-3):
            return
        good = (y >= -1e-3) & (y <= 1 + 1e-3)
    elif (good := np.isfinite(y)).all():
        return
    position = tuple(np.argwhere(~good)[0].tolist())
    if np.isfinite(y[position]):
        raise ValueAt(
            f"{name}: label: value {y[position]} at position {{}} is out of range; valid are 0 to 1. Several classes "
            "go with sparse_categorical_crossentropy and one unit for each, -1 and 1 with hinge",
            position,
        )
    what = "NaN" if np.isnan(y[position]) else f"infinite as {y.dtype}"
    raise ValueAt(f"{name}: y_true is {what} at position {{}}; mask it, or drop the row", position)


@_loss
def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """`mean (y − p)²` over the last axis.

    >>> mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
    [2.0]
    """
    return mean(square(y_true - y_pred), axis=-1)


@_loss
def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """`mean |y − p|` over the last axis.

    >>> mean_absolute_error([[0.0, 1.0]], [[2.0, 1.0]]).tolist()
    [1.0]
    """
    return mean(absolute(y_true - y_pred), axis=-1)


@_loss
def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """`100 · mean |y − p| / max(|y|, ε)` over the last axis.

    >>> mean_absolute_percentage_error([[2.0, 1.0]], [[1.0, 1.0]]).tolist()
    [25.0]
    """
    return 100.0 * mean(absolute((y_true - y_pred) / maximum(absolute(y_true), epsilon())), axis=-1)


@_loss
def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """`mean (ln(1 + max(p, ε)) − ln(1 + max(y, ε)))²` over the last axis.

    >>> mean_squared_logarithmic_error([[1.0]], [[1.0]]).tolist()
    [0.0]
    """
    y, p = (log(maximum(v, epsilon()) + 1.0) for v in (y_true, y_pred))
    return mean(square(p - y), axis=-1)


@_loss
def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Mean of `e² / 2` where `|e| ≤ δ`, else `δ |e| − δ² / 2`, with e = p − y (Huber 1964).

    >>> huber([[0.0, 0.0]], [[1.0, 3.0]]).tolist()
    [1.5]
    """
    e = absolute(y_pred - y_true)
    return mean(where(e <= delta, 0.5 * square(e), delta * e - 0.5 * delta**2), axis=-1)


@_loss
def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """`mean ln cosh e = mean (e + softplus(−2 e) − ln 2)`, with e = p − y.

    >>> log_cosh([[0.0]], [[0.0]]).tolist()
    [0.0]
    """
    e = y_pred - y_true
    return mean(e + nn.softplus(-2.0 * e) - math.log(2.0), axis=-1)


@_loss
def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Minus the cosine of the angle between y and p: −1 for the same direction; 0 if one of them is 0.

    >>> cosine_similarity([[0.0, 2.0]], [[0.0, 3.0]]).tolist()
    [-1.0]
    """
    y, p = (v / maximum(norm(v, axis=axis, keepdims=True), epsilon()) for v in (y_true, y_pred))
    return -sum(y * p, axis=axis)


@_loss
def poisson(y_true: Any, y_pred: Any) -> Any:
    """`mean (p − y ln(p + ε))` over the last axis.

    >>> poisson([[0.0]], [[3.0]]).tolist()
    [3.0]
    """
    return mean(y_pred - y_true * log(y_pred + epsilon()), axis=-1)


@_loss
def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """`Σ y ln(y / p)` over the last axis, y and p clipped to [ε, 1].

    >>> kl_divergence([[0.5, 0.5]], [[0.5, 0.5]]).tolist()
    [0.0]
    """
    y, p = clip(y_true, epsilon(), 1.0), clip(y_pred, epsilon(), 1.0)
    return sum(y * log(y / p), axis=-1)


def _signs(y: Any) -> Any:
    """Labels −1 and 1; if all are 0 or 1, 0 becomes −1."""
    values = np.asarray(y)
    return 2.0 * y - 1.0 if ((values == 0) | (values == 1)).all() else y


@_loss
def hinge(y_true: Any, y_pred: Any) -> Any:
    """`mean max(1 − y p, 0)`, labels −1 and 1 (or 0 and 1).

    >>> hinge([[1.0, 0.0]], [[0.5, -2.0]]).tolist()
    [0.25]
    """
    return mean(maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


@_loss
def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """`mean max(1 − y p, 0)²`, labels −1 and 1 (or 0 and 1).

    >>> squared_hinge([[1.0, 0.0]], [[0.5, -2.0]]).tolist()
    [0.125]
    """
    return mean(square(maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


@_loss
def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """`max(1 + max((1 − y) p) − Σ y p, 0)` for one-hot y.

    >>> categorical_hinge([[0.0, 1.0]], [[0.5, 1.0]]).tolist()
    [0.5]
    """
    return maximum(max((1.0 - y_true) * y_pred, axis=-1) - sum(y_true * y_pred, axis=-1) + 1.0, 0.0)


@_loss
def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """`mean −y ln p − (1 − y) ln(1 − p)`, p clipped to [ε, 1 − ε]; logits are p = sigmoid(y_pred), unclipped.

    `label_smoothing` s turns y into `y (1 − s) + s / 2`. Raises `ValueError` with value and position for a y
    outside [0, 1].

    >>> round(binary_crossentropy([[1.0]], [[0.5]]).item(), 4)
    0.6931
    """
    y = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_true
    return mean(nn.binary_crossentropy(y, y_pred, from_logits), axis=axis)


@_loss
def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """`−Σ y ln p` for one-hot y; p is divided by its sum and clipped to [ε, 1 − ε].

    With `from_logits`, p = softmax(y_pred), neither divided nor clipped.

    `label_smoothing` s turns y into `y (1 − s) + s / K` for K classes.

    >>> round(categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.6931
    """
    s = label_smoothing
    y = y_true * (1.0 - s) + s / y_pred.shape[axis] if s else y_true
    return nn.categorical_crossentropy(y, y_pred, from_logits, axis)


@_loss
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """`mean (1 − p_t)^γ` times the binary cross-entropy, with `p_t = y p + (1 − y)(1 − p)` (Lin et al. 2017).

    p is clipped to [ε, 1 − ε], that of logits too. `apply_class_balancing` multiplies by α where y is 1, by
    1 − α where it is 0. `label_smoothing` as in `binary_crossentropy`.

    >>> round(binary_focal_crossentropy([[1.0]], [[0.5]]).item(), 4)
    0.1733
    """
    y = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_true
    p = clip(nn.sigmoid(y_pred) if from_logits else y_pred, epsilon(), 1.0 - epsilon())
    values = (1.0 - y * p - (1.0 - y) * (1.0 - p)) ** gamma * nn.binary_crossentropy(y, p)
    return mean(values * (y * alpha + (1.0 - y) * (1.0 - alpha)) if apply_class_balancing else values, axis)


@_loss
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """`−Σ α (1 − p)^γ y ln p` for one-hot y (Lin et al. 2017); p is divided by its sum and clipped to [ε, 1 − ε].

    `alpha` is a number, or a list with one for each class, on the last axis. With `from_logits`, p = softmax(y_pred),
    clipped too. `label_smoothing` as in `categorical_crossentropy`.

    >>> round(categorical_focal_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.0433
    """
    s = label_smoothing
    y = y_true * (1.0 - s) + s / y_pred.shape[axis] if s else y_true
    p = nn.softmax(y_pred, axis) if from_logits else y_pred / sum(y_pred, axis=axis, keepdims=True)
    p = clip(p, epsilon(), 1.0 - epsilon())
    terms = (1.0 - p) ** gamma * y * log(p)
    if not np.ndim(alpha):
        return -alpha * sum(terms, axis=axis)
    return -sum(terms * np.asarray(alpha, terms.dtype), axis=axis)


@_loss
def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """`1 − 2 Σ y p / (Σ y + Σ p + ε)`, the sums over `axis`: all of the batch (a scalar), or some axes.

    >>> round(dice([[1.0, 0.0]], [[0.5, 0.5]]).item(), 4)
    0.5
    """
    overlap = 2.0 * sum(y_true * y_pred, axis=axis)
    return 1.0 - overlap / (sum(y_true, axis=axis) + sum(y_pred, axis=axis) + epsilon())


@_loss
def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """`1 − Σ y p / (Σ y p + α Σ y (1 − p) + β Σ (1 − y) p + ε)`, the sums as in `dice` (Salehi et al. 2017).

    α weighs what is missed, β what is found wrongly, as Keras computes it.

    >>> round(tversky([[1.0, 0.0]], [[0.5, 0.5]], alpha=1.0, beta=0.0).item(), 4)
    0.5
    """
    hit = sum(y_true * y_pred, axis=axis)
    missed = sum(y_true * (1.0 - y_pred), axis=axis)
    wrong = sum((1.0 - y_true) * y_pred, axis=axis)
    return 1.0 - hit / (hit + alpha * missed + beta * wrong + epsilon())


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """`−ln p[y]` for integer labels y, shaped as y_pred without (or with 1 on) its class axis.

    p as in `categorical_crossentropy`. Where y is `ignore_class` the value is 0. Raises `ValueError` with
    value and position for a label that is no integer or not a class.

    >>> round(sparse_categorical_crossentropy([1], [[0.5, 0.5]]).item(), 4)
    0.6931
    """
    y_pred = predictions(y_pred)
    p = moveaxis(y_pred, axis, -1) if axis not in (-1, y_pred.ndim - 1) else y_pred
    if ignore_class is None:
        values: Tensor = nn.sparse_categorical_crossentropy(y_true, p, from_logits)
        return values
    labels = convert_to_tensor(y_true)
    valid = labels != ignore_class
    values = nn.sparse_categorical_crossentropy(where(valid, labels, 0), p, from_logits)
    result: Tensor = where(reshape(valid, values.shape), values, 0.0)
    return result
