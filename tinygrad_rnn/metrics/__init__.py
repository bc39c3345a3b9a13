"""Metrics: numbers that are accumulated over batches in plain floats, weighted by sample weights or masks.

`update_state` adds a batch, `result` is the number so far, `reset_state` starts again. Nothing of a batch is
kept, no graph either. What has weight 0 does not count, whatever it holds.
"""

from __future__ import annotations

from typing import Any

from .. import losses
from .accuracies import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)  # fmt: skip
from .confusion import FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives
from .curves import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)  # fmt: skip
from .metric import REGISTRY, Mean, MeanMetricWrapper, Metric, Sum
from .objects import (
    BinaryCrossentropy,
    BitsPerCharacter,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Perplexity,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)  # fmt: skip
from .scores import (
    ConcordanceCorrelation,
    F1Score,
    FBetaScore,
    IoU,
    MeanIoU,
    PearsonCorrelation,
    R2Score,
    concordance_correlation,
    pearson_correlation,
)  # fmt: skip

for _class in (
    Mean, MeanMetricWrapper, Sum, Perplexity, BitsPerCharacter, TruePositives, FalsePositives, TrueNegatives,
    FalseNegatives, Precision, Recall, AUC, PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity,
    SpecificityAtSensitivity, FBetaScore, F1Score, R2Score, IoU, MeanIoU,
):  # fmt: skip
    REGISTRY.add(_class)
for _name, _class in {
    "mse": MeanSquaredError, "mae": MeanAbsoluteError, "rmse": RootMeanSquaredError, "bce": BinaryCrossentropy,
    "mape": MeanAbsolutePercentageError, "msle": MeanSquaredLogarithmicError,
}.items():  # fmt: skip
    REGISTRY.add(_class, _name)
get, serialize = REGISTRY.get, REGISTRY.serialize


def resolve_accuracy(y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> type[Metric]:
    """What `metrics=["accuracy"]` means: the class that fits targets and predictions of these shapes.

    >>> resolve_accuracy((8,), (8, 5)).__name__, resolve_accuracy((8, 1), (8, 1)).__name__
    ('SparseCategoricalAccuracy', 'BinaryAccuracy')
    """
    return {
        "binary": BinaryAccuracy,
        "categorical": CategoricalAccuracy,
        "sparse_categorical": SparseCategoricalAccuracy,
    }[losses.target_kind(y_true_shape, y_pred_shape)]


def resolve_crossentropy(y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> type[Metric]:
    """What `metrics=["crossentropy"]` means: the class that fits targets and predictions of these shapes.

    >>> resolve_crossentropy((8,), (8, 5)).__name__
    'SparseCategoricalCrossentropy'
    """
    return {
        "binary": BinaryCrossentropy,
        "categorical": CategoricalCrossentropy,
        "sparse_categorical": SparseCategoricalCrossentropy,
    }[losses.target_kind(y_true_shape, y_pred_shape)]


def fitting(metric: Any, y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> Any:
    """The metric of that name, which it keeps (or the metric given).

    "accuracy", "acc", "crossentropy" and "ce" are what fits the shapes.

    >>> fitting("acc", (8,), (8, 5)).name, fitting(Mean(name="m"), (8,), (8, 5)).name
    ('acc', 'm')
    """
    if metric in ("accuracy", "acc"):
        return resolve_accuracy(y_true_shape, y_pred_shape)(name=metric)
    if metric in ("crossentropy", "ce"):
        return resolve_crossentropy(y_true_shape, y_pred_shape)(name=metric)
    found = get(metric)
    found.name = metric if isinstance(metric, str) else found.name
    return found


__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BitsPerCharacter", "CategoricalAccuracy",
    "CategoricalCrossentropy", "CategoricalHinge", "ConcordanceCorrelation", "CosineSimilarity",
    "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge", "IoU", "KLDivergence",
    "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU",
    "MeanMetricWrapper", "MeanSquaredError", "MeanSquaredLogarithmicError", "Metric",
    "PearsonCorrelation", "Perplexity", "Poisson", "Precision", "PrecisionAtRecall", "R2Score",
    "REGISTRY", "Recall", "RecallAtPrecision", "RootMeanSquaredError", "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity", "SquaredHinge", "Sum", "TopKCategoricalAccuracy", "TrueNegatives",
    "TruePositives", "accuracy", "binary_accuracy", "categorical_accuracy", "concordance_correlation",
    "fitting", "get", "pearson_correlation", "resolve_accuracy", "resolve_crossentropy", "serialize",
    "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy",
]  # fmt: skip
