"""Accuracies: functions that give 1 where a prediction is right and 0 elsewhere, and their means."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.op import Array
from ..losses.values import align
from .metric import FormulaMetric


def accuracy(y_true: Any, y_pred: Any) -> Array:
    """`y = p`, element by element.

    >>> accuracy(np.array([1, 2]), np.array([1, 3])).tolist()
    [1.0, 0.0]
    """
    y, p = align("accuracy", np.asarray(y_true), np.asarray(y_pred))
    return np.asarray(y == p, float)


class Accuracy(FormulaMetric, of=accuracy):
    """Share of predictions that are right: the mean of `accuracy`."""

    _direction = "up"


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Array:
    """`y = (p > threshold)`, element by element.

    >>> binary_accuracy([1, 0], [0.9, 0.5]).tolist()
    [1.0, 1.0]
    """
    y, p = align("binary_accuracy", np.asarray(y_true), np.asarray(y_pred))
    return np.asarray(y == (p > threshold), float)


class BinaryAccuracy(FormulaMetric, of=binary_accuracy):
    """Share of predictions that are right: the mean of `binary_accuracy`."""

    _direction = "up"


def categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """`argmax y = argmax p` over the last axis.

    >>> categorical_accuracy([[0, 1]], [[0.2, 0.8]]).tolist()
    [1.0]
    """
    y, p = align("categorical_accuracy", np.asarray(y_true), np.asarray(y_pred))
    return np.asarray(y.argmax(-1) == p.argmax(-1), float)


class CategoricalAccuracy(FormulaMetric, of=categorical_accuracy):
    """Share of predictions that are right: the mean of `categorical_accuracy`."""

    _direction = "up"
    pointwise = False


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """`y = argmax p` over the last axis; the shape of y is that of p without (or with 1 on) its last axis.

    >>> sparse_categorical_accuracy([1], [[0.2, 0.8]]).tolist()
    [1.0]
    """
    y, p = _labels("sparse_categorical_accuracy", y_true, y_pred)
    return np.asarray(y == p.argmax(-1), float)


class SparseCategoricalAccuracy(FormulaMetric, of=sparse_categorical_accuracy):
    """Share of predictions that are right: the mean of `sparse_categorical_accuracy`."""

    _direction = "up"
    pointwise = False


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Array:
    """Whether the class argmax y is among the k largest of p (ties count as within).

    >>> top_k_categorical_accuracy([[1, 0, 0]], [[0.3, 0.6, 0.1]], k=2).tolist()
    [1.0]
    """
    y, p = align("top_k_categorical_accuracy", np.asarray(y_true), np.asarray(y_pred))
    return sparse_top_k_categorical_accuracy(y.argmax(-1), p, k)


class TopKCategoricalAccuracy(FormulaMetric, of=top_k_categorical_accuracy, order="k name dtype"):
    """Share of predictions that are right: the mean of `top_k_categorical_accuracy`."""

    _direction = "up"
    pointwise = False


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Array:
    """Whether class y is among the k largest of p: fewer than k are larger than p[y].

    With `from_sorted_ids`, y_pred holds class numbers instead, the best first. A label that is no class is
    never right.

    >>> sparse_top_k_categorical_accuracy([0], [[0.3, 0.6, 0.1]], k=2).tolist()
    [1.0]
    """
    y, p = _labels("sparse_top_k_categorical_accuracy", y_true, y_pred)
    if from_sorted_ids:
        return np.asarray((y[..., None] == p[..., :k]).any(-1), float)
    known = (y >= 0) & (y < p.shape[-1])
    chosen = np.take_along_axis(p, np.where(known, y, 0).astype(int)[..., None], axis=-1)
    return np.asarray(known & np.isfinite(chosen[..., 0]) & ((p > chosen).sum(-1) < k), float)


class SparseTopKCategoricalAccuracy(
    FormulaMetric, of=sparse_top_k_categorical_accuracy, order="k name dtype from_sorted_ids"
):
    """Share of predictions that are right: the mean of `sparse_top_k_categorical_accuracy`."""

    _direction = "up"
    pointwise = False


def _labels(name: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    y, p = np.asarray(y_true), np.asarray(y_pred)
    if y.shape not in (p.shape[:-1], (*p.shape[:-1], 1)):
        raise ValueError(f"{name}: labels of shape {y.shape} do not fit y_pred of shape {p.shape}")
    return y.reshape(p.shape[:-1]), p
