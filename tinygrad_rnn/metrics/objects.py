"""The metrics that are means of losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..losses import (
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    hinge,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)  # fmt: skip
from ..losses import cosine_similarity as minus_cosine
from ..losses.values import per_value
from .metric import FormulaMetric


class MeanSquaredError(FormulaMetric, of=mean_squared_error):
    """The mean of the loss `mean_squared_error`."""


class RootMeanSquaredError(FormulaMetric, of=mean_squared_error):
    """The square root of the mean of the loss `mean_squared_error`."""

    def result(self) -> float:
        """The root of the mean so far."""
        return math.sqrt(super().result())


class MeanAbsoluteError(FormulaMetric, of=mean_absolute_error):
    """The mean of the loss `mean_absolute_error`."""


class MeanAbsolutePercentageError(FormulaMetric, of=mean_absolute_percentage_error):
    """The mean of the loss `mean_absolute_percentage_error`."""


class MeanSquaredLogarithmicError(FormulaMetric, of=mean_squared_logarithmic_error):
    """The mean of the loss `mean_squared_logarithmic_error`."""


class LogCoshError(FormulaMetric, of=log_cosh, name="logcosh"):
    """The mean of the loss `log_cosh`."""


class Poisson(FormulaMetric, of=poisson):
    """The mean of the loss `poisson`."""


class Hinge(FormulaMetric, of=hinge):
    """The mean of the loss `hinge`."""


class SquaredHinge(FormulaMetric, of=squared_hinge):
    """The mean of the loss `squared_hinge`."""


class KLDivergence(FormulaMetric, of=kl_divergence):
    """The mean of the loss `kl_divergence`."""

    pointwise = False


class CategoricalHinge(FormulaMetric, of=categorical_hinge):
    """The mean of the loss `categorical_hinge`."""

    pointwise = False


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between y and p: 1 for the same direction, unlike the loss; 0 if one of them is 0.

    >>> cosine_similarity([[0.0, 2.0]], [[0.0, 3.0]]).tolist()
    [1.0]
    """
    return -minus_cosine(y_true, y_pred, axis)


class CosineSimilarity(FormulaMetric, of=cosine_similarity):
    """The mean of the cosine between targets and predictions."""

    _direction = "up"
    pointwise = False


class BinaryCrossentropy(
    FormulaMetric, of=binary_crossentropy, order="name dtype from_logits label_smoothing"
):
    """The mean of the loss `binary_crossentropy`."""


class CategoricalCrossentropy(FormulaMetric, of=categorical_crossentropy):
    """The mean of the loss `categorical_crossentropy`."""

    pointwise = False


class SparseCategoricalCrossentropy(FormulaMetric, of=sparse_categorical_crossentropy):
    """The mean of the loss `sparse_categorical_crossentropy` over the labels that are not `ignore_class`."""

    pointwise = False
    ignore_class: int | None

    def update_state(  # type: ignore[override]  # as in Keras
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Add a batch of labels and predictions; a mask counts as weights of 0 and 1."""
        if self.ignore_class is not None:
            valid = np.asarray(y_true) != self.ignore_class
            weight = 1.0 if sample_weight is None else per_value("sample_weight", sample_weight, valid.shape)
            sample_weight = valid * weight
        super().update_state(y_true, y_pred, sample_weight)


class Perplexity(SparseCategoricalCrossentropy):
    """`exp` of the mean of `−ln p[label]`: between how many classes a model seems to choose. 1 of nothing.

    Not in Keras. Arguments as in `SparseCategoricalCrossentropy`.

    >>> round(Perplexity()([1, 0], [[0.5, 0.5], [0.5, 0.5]]), 4)
    2.0
    """

    def __init__(self, name: str = "perplexity", **options: Any) -> None:
        super().__init__(name, **options)

    def result(self) -> float:
        """The exponential of the mean so far; infinite where that is too large for a float."""
        mean = super().result()
        return math.exp(mean) if mean < 709.0 else math.inf


class BitsPerCharacter(SparseCategoricalCrossentropy):
    """The mean of `−log₂ p[label]`. Not in Keras. Arguments as in `SparseCategoricalCrossentropy`.

    >>> round(BitsPerCharacter()([1, 0], [[0.5, 0.5], [0.5, 0.5]]), 4)
    1.0
    """

    def __init__(self, name: str = "bits_per_character", **options: Any) -> None:
        super().__init__(name, **options)

    def result(self) -> float:
        """The mean so far, in bits."""
        return super().result() / math.log(2.0)
