"""Metrics: numbers that are accumulated over batches in plain floats, weighted by sample weights or masks.

`update_state` adds a batch, `result` is the number so far, `reset_state` starts again. Nothing of a batch is
kept, no graph either. What has weight 0 does not count, whatever it holds.
"""

from __future__ import annotations

from typing import Any

from ..utils.registry import Registry
from .accuracies import (
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .metric import Mean, MeanMetricWrapper, Metric, Sum
from .objects import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)

REGISTRY = Registry(
    "metric",
    [Mean, Sum, MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError, BinaryCrossentropy,
     CategoricalCrossentropy, SparseCategoricalCrossentropy, Accuracy, BinaryAccuracy, CategoricalAccuracy,
     SparseCategoricalAccuracy, TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy, MeanMetricWrapper],
    {"mse": MeanSquaredError, "mae": MeanAbsoluteError, "rmse": RootMeanSquaredError,
     "bce": BinaryCrossentropy},
    base=Metric,
)  # fmt: skip
get, serialize = REGISTRY.get, REGISTRY.serialize


def resolve_accuracy(y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> type[Metric]:
    """What `metrics=["accuracy"]` means: the class that fits targets and predictions of these shapes.

    One prediction per row: binary. Targets without the class axis, or with 1 on it: sparse. Else categorical.

    >>> resolve_accuracy((8,), (8, 5)).__name__, resolve_accuracy((8, 1), (8, 1)).__name__
    ('SparseCategoricalAccuracy', 'BinaryAccuracy')
    """
    if len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
        return BinaryAccuracy
    sparse = len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1
    return SparseCategoricalAccuracy if sparse else CategoricalAccuracy


def fitting(metric: Any, y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> Any:
    """The metric of that name, which it keeps (or the metric given); "accuracy" is what fits the shapes.

    >>> fitting("acc", (8,), (8, 5)).name, fitting(Mean(name="m"), (8,), (8, 5)).name
    ('acc', 'm')
    """
    if metric in ("accuracy", "acc"):
        return resolve_accuracy(y_true_shape, y_pred_shape)(name=metric)
    found = get(metric)
    found.name = metric if isinstance(metric, str) else found.name
    return found


__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "Mean",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "REGISTRY",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Sum",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "fitting",
    "get",
    "resolve_accuracy",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]
