"""The metrics: means of losses and of accuracies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import losses
from ..losses.values import per_value
from . import accuracies
from .metric import FormulaMetric


class MeanSquaredError(FormulaMetric):
    """Mean of `(y − p)²`.

    >>> MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]])
    2.0
    """

    formula = staticmethod(losses.mean_squared_error)


class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of `(y − p)²`.

    >>> RootMeanSquaredError()([[0.0], [1.0]], [[4.0], [1.0]])
    2.8284271247461903
    """

    def result(self) -> float:
        """The root of the mean so far."""
        return math.sqrt(super().result())


class MeanAbsoluteError(FormulaMetric):
    """Mean of `|y − p|`.

    >>> MeanAbsoluteError()([[0.0, 1.0]], [[2.0, 1.0]])
    1.0
    """

    formula = staticmethod(losses.mean_absolute_error)


class BinaryCrossentropy(FormulaMetric):
    """Mean of the loss `binary_crossentropy`.

    >>> round(BinaryCrossentropy()([[1.0]], [[0.5]]), 4)
    0.6931
    """

    formula = staticmethod(losses.binary_crossentropy)
    options = ("from_logits", "label_smoothing")

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing


class CategoricalCrossentropy(FormulaMetric):
    """Mean of the loss `categorical_crossentropy`, for one-hot targets.

    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 4)
    0.6931
    """

    formula = staticmethod(losses.categorical_crossentropy)
    options = ("from_logits", "label_smoothing", "axis")
    pointwise = False

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class SparseCategoricalCrossentropy(FormulaMetric):
    """Mean of the loss `sparse_categorical_crossentropy` over the labels that are not `ignore_class`.

    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 4)
    0.6931
    """

    formula = staticmethod(losses.sparse_categorical_crossentropy)
    options = ("from_logits", "ignore_class", "axis")
    pointwise = False

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def update_state(  # type: ignore[override]  # as in Keras
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Add a batch of labels and predictions; a mask counts as weights of 0 and 1."""
        if self.ignore_class is not None:
            valid = np.asarray(y_true) != self.ignore_class
            weight = 1.0 if sample_weight is None else per_value("sample_weight", sample_weight, valid.shape)
            sample_weight = valid * weight
        super().update_state(y_true, y_pred, sample_weight)


class Accuracy(FormulaMetric):
    """Share of predictions equal to the target.

    >>> Accuracy()([1, 2], [1, 3])
    0.5
    """

    formula = staticmethod(accuracies.accuracy)
    _direction = "up"


class BinaryAccuracy(FormulaMetric):
    """Share of `y = (p > threshold)`.

    >>> BinaryAccuracy()([1, 0], [0.9, 0.8])
    0.5
    """

    formula = staticmethod(accuracies.binary_accuracy)
    options = ("threshold",)
    _direction = "up"

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        threshold: float = 0.5,
    ) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold


class CategoricalAccuracy(FormulaMetric):
    """Share of `argmax y = argmax p`, for one-hot targets.

    >>> CategoricalAccuracy()([[0, 1]], [[0.2, 0.8]])
    1.0
    """

    formula = staticmethod(accuracies.categorical_accuracy)
    _direction = "up"
    pointwise = False


class SparseCategoricalAccuracy(FormulaMetric):
    """Share of `y = argmax p`, for integer labels.

    >>> SparseCategoricalAccuracy()([1], [[0.2, 0.8]])
    1.0
    """

    formula = staticmethod(accuracies.sparse_categorical_accuracy)
    _direction = "up"
    pointwise = False


class TopKCategoricalAccuracy(FormulaMetric):
    """Share of targets, one-hot, among the k largest predictions.

    >>> TopKCategoricalAccuracy(k=2)([[1, 0, 0]], [[0.3, 0.6, 0.1]])
    1.0
    """

    formula = staticmethod(accuracies.top_k_categorical_accuracy)
    options = ("k",)
    _direction = "up"
    pointwise = False

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        self.k = k


class SparseTopKCategoricalAccuracy(FormulaMetric):
    """Share of labels among the k largest predictions.

    >>> SparseTopKCategoricalAccuracy(k=2)([0], [[0.3, 0.6, 0.1]])
    1.0
    """

    formula = staticmethod(accuracies.sparse_top_k_categorical_accuracy)
    options = ("k", "from_sorted_ids")
    _direction = "up"
    pointwise = False

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.k = k
        self.from_sorted_ids = from_sorted_ids
