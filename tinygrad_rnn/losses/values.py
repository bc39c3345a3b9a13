"""What losses and metrics share: predictions and targets of one shape, weights and masks, and the average."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import floatx
from ..core.op import Array
from ..core.record import followed
from ..core.tensor import Tensor
from ..ops.creation import convert_to_tensor
from ..ops.elementwise import cast, where
from ..ops.reduce import sum
from ..ops.shape import expand_dims, squeeze

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


def predictions(y_pred: Any, dtype: Any = None) -> Tensor:
    """`y_pred` as a Tensor of floats: float arrays keep their type, everything else gets `floatx()`.

    >>> predictions([1, 2])
    tensor([1., 2.], dtype=float32)
    """
    y_pred = convert_to_tensor(y_pred)
    if dtype is None and y_pred.dtype.kind != "f":
        dtype = floatx()
    result: Tensor = y_pred if dtype is None else cast(y_pred, dtype)
    return result


def align(name: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Bring two shapes together whose ranks differ by a last axis of 1; any other difference raises.

    >>> y, p = align("mse", np.zeros(3), np.zeros((3, 1)))
    >>> y.shape, p.shape
    ((3, 1), (3, 1))
    """
    s, t = y_true.shape, y_pred.shape
    if s == t:
        return y_true, y_pred
    if (*s, 1) == t:
        return expand_dims(y_true, -1), y_pred
    if s == (*t, 1):
        return (y_true, expand_dims(y_pred, -1)) if len(t) == 1 else (squeeze(y_true, -1), y_pred)
    hint = "; integer labels go with the sparse form" if s == t[:-1] and name.startswith("categ") else ""
    raise ValueError(f"{name}: y_true of shape {s} does not fit y_pred of shape {t}{hint}")


def same_rank(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Ranks that differ by a last axis of 1 made equal, as Keras does for functions of users; else as they are.

    >>> y, p = same_rank(np.zeros((3, 2)), np.zeros((3, 2, 1)))
    >>> y.shape, p.shape
    ((3, 2), (3, 2))
    """
    s, t = y_true.shape, y_pred.shape
    if len(t) == len(s) + 1 and t[-1] == 1:
        return (expand_dims(y_true, -1), y_pred) if len(s) == 1 else (y_true, squeeze(y_pred, -1))
    if len(s) == len(t) + 1 and s[-1] == 1:
        return (y_true, expand_dims(y_pred, -1)) if len(t) == 1 else (squeeze(y_true, -1), y_pred)
    return y_true, y_pred


def per_value(what: str, weight: Any, shape: tuple[int, ...]) -> Array:
    """`weight` for values of `shape`: one number per row, or per row and step, with axes of 1 behind.

    Raises `ValueError` if it does not fit.

    >>> per_value("sample_weight", [1.0, 2.0], (2, 5)).shape
    (2, 1)
    """
    weight = np.asarray(weight)
    if weight.ndim == len(shape) + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if weight.ndim > len(shape) or any(a not in (1, b) for a, b in zip(weight.shape, shape, strict=False)):
        raise ValueError(f"{what} of shape {weight.shape} does not fit values of shape {shape}")
    expanded: Array = weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))
    return expanded


def without_unused(y_true: Any, sample_weight: Any = None, mask: Any = None) -> Any:
    """`y_true` with 0 where the weight is 0 or the mask is False: padding may hold NaN, or any label.

    >>> without_unused(np.array([1.0, np.nan]), mask=[True, False]).tolist()
    [1.0, 0.0]
    """
    if sample_weight is None and mask is None:
        return y_true
    used = _used(sample_weight, mask, y_true.shape)
    all_used = not isinstance(used, Tensor) and used.all()
    return y_true if all_used else where(used, y_true, 0)


@followed
def _used(sample_weight: Any, mask: Any, shape: tuple[int, ...]) -> Array:
    """Where neither the weight is 0 nor the mask False, for values of `shape`."""
    given = [("sample_weight", sample_weight), ("mask", mask)]
    parts = [per_value(what, weight, shape) != 0 for what, weight in given if weight is not None]
    used: Array = parts[0] if len(parts) == 1 else parts[0] & parts[1]
    return used


def reduce_values(values: Any, sample_weight: Any, mask: Any, reduction: str | None) -> Any:
    """Weight, mask and average the values of a loss, as Keras does.

    "sum_over_batch_size" and "mean": `Σ w v / n` with n the number of values that are not masked;
    "mean_with_sample_weight": `Σ w v / Σ w`; "sum": `Σ w v`; "none" or None: `w v`. Masked values are out of
    the sum and of its gradient, whatever they are. Nothing to average gives 0.

    >>> float(reduce_values(np.array([1.0, 3.0]), [1.0, 0.0], None, "sum_over_batch_size"))
    0.5
    """
    if sample_weight is None and mask is None and reduction not in ("sum", "none", None):
        return sum(values) / float(values.size or 1)
    if mask is not None:
        values = where(_used(None, mask, values.shape), values, 0.0)
    if sample_weight is not None:
        values = values * _weights(sample_weight, values.shape, values.dtype)
    if reduction in (None, "none"):
        return values
    total = sum(values)
    if reduction == "sum":
        return total
    weights = sample_weight if reduction == "mean_with_sample_weight" else None
    return total / _count(weights, mask, values.shape, values.dtype)


@followed
def _weights(sample_weight: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """The weights for values of `shape`, in their type."""
    return per_value("sample_weight", sample_weight, shape).astype(dtype)


@followed
def _count(sample_weight: Any, mask: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """How many values of `shape` are not masked, or the sum of their weights; 1 instead of 0."""
    counted = np.ones(shape, bool)
    if mask is not None:
        counted = np.broadcast_to(per_value("mask", mask, shape) != 0, shape)
    if sample_weight is not None:
        counted = counted * per_value("sample_weight", sample_weight, shape).astype(dtype)
    return np.asarray(float(np.sum(counted)) or 1.0, dtype)
