"""Metrics of yes-or-no predictions: right and wrong decisions, counted at one or more thresholds."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..core.op import Array
from .metric import CountingMetric, aligned, ratio


def confusion(y_true: Array, y_pred: Array, weight: Array, thresholds: Array) -> Array:
    """True positives, false positives, true negatives and false negatives at each threshold: `(4, thresholds)`.

    Positive is what is larger than the threshold; NaN never is. Equal shapes; target and prediction count as
    much as their weight.

    >>> half = np.array([0.5])
    >>> confusion(np.array([1.0, 0.0, 0.0]), np.array([0.9, 0.5, 0.7]), np.ones(3), half).tolist()
    [[1.0], [1.0], [1.0], [0.0]]
    """
    order = np.argsort(thresholds)
    p = np.where(np.isnan(y_pred), -np.inf, y_pred).reshape(-1)
    below = np.searchsorted(thresholds[order].astype(p.dtype), p)  # how many thresholds are smaller
    found, total = [], []
    for label in (y_true != 0, y_true == 0):
        sums = np.bincount(below, (weight * label).reshape(-1), minlength=thresholds.size + 1)
        above = np.empty(thresholds.size)
        above[order] = sums[::-1].cumsum()[-2::-1]
        found.append(above)
        total.append(sums.sum())
    (tp, fp), (positives, negatives) = found, total
    return np.stack([tp, fp, negatives - fp, positives - tp])


class ThresholdMetric(CountingMetric):
    """Base of metrics that are computed from `confusion` at thresholds in [0, 1].

    `top_k` takes the k largest along the last axis as positive, where they are above the threshold (any
    value will do if there is no threshold); `class_id` looks at one position of the last axis alone.
    """

    _direction: ClassVar[str | None] = "up"

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        at = np.atleast_1d(np.asarray(0.5 if thresholds is None else thresholds, float))
        if at.ndim > 1 or not ((at >= 0) & (at <= 1)).all() or not at.size:
            raise ValueError(f"{self.name}: expected thresholds from 0 to 1, received {thresholds}")
        if top_k is not None and thresholds is None:
            at = np.array([-np.inf])
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self._at = at

    def batch_counts(self, y_true: Array, y_pred: Array, sample_weight: Any) -> Array:
        """The confusion matrix of one batch, `(4, thresholds)`."""
        if self.top_k is not None or self.class_id is not None:
            y_true, y_pred = self._chosen(y_true, y_pred)
        return confusion(*aligned(self.name, y_true, y_pred, sample_weight), self._at)

    def _chosen(self, y: Array, p: Array) -> tuple[Array, Array]:
        """What `top_k` and `class_id` leave."""
        if p.ndim < 2 or y.shape != p.shape:
            raise ValueError(
                f"{self.name}: top_k and class_id need targets and predictions of shape (batch, …, classes), "
                f"received {y.shape} and {p.shape}"
            )
        if self.top_k is not None:
            rank = (-p).argsort(-1, kind="stable").argsort(-1)
            p = np.where(rank < self.top_k, p, -np.inf)
        if self.class_id is not None:
            if not 0 <= self.class_id < p.shape[-1]:
                raise ValueError(f"{self.name}: class_id {self.class_id} is not one of 0..{p.shape[-1] - 1}")
            y, p = y[..., self.class_id, None], p[..., self.class_id, None]
        return y, p


def _single(values: Array) -> Array:
    """The one value of the one threshold, or the values of all."""
    return values[0] if values.size == 1 else values


class _Count(ThresholdMetric):
    """One of the four counts; `thresholds` is one number or a list (then so is the result)."""

    _direction = None
    number: ClassVar[int]

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(thresholds, name=name, dtype=dtype)

    def rate(self, *counts: Array) -> Array:
        """The count itself."""
        return _single(counts[self.number])


class TruePositives(_Count):
    """Weight of the positives that are found: y is 1 and p is above the threshold (0.5).

    >>> TruePositives()([1, 1, 0], [0.9, 0.2, 0.7])
    1.0
    """

    number = 0


class FalsePositives(_Count):
    """Weight of what is wrongly found: y is 0 and p is above the threshold (0.5).

    >>> FalsePositives()([1, 1, 0], [0.9, 0.2, 0.7])
    1.0
    """

    number = 1


class TrueNegatives(_Count):
    """Weight of the negatives that are seen as such: y is 0 and p is not above the threshold (0.5).

    >>> TrueNegatives()([1, 1, 0], [0.9, 0.2, 0.7])
    0.0
    """

    number = 2


class FalseNegatives(_Count):
    """Weight of the positives that are missed: y is 1 and p is not above the threshold (0.5).

    >>> FalseNegatives()([1, 1, 0], [0.9, 0.2, 0.7])
    1.0
    """

    number = 3


class Precision(ThresholdMetric):
    """Share of what is found that is positive, `TP / (TP + FP)`; with several thresholds an array.

    >>> Precision()([1, 1, 0, 0], [0.9, 0.2, 0.7, 0.1]), Precision(top_k=1)([[1, 0, 1]], [[0.2, 0.1, 0.3]])
    (0.5, 1.0)
    """

    def rate(self, *counts: Array) -> Array:
        """Precision at each threshold."""
        tp, fp, _, _ = counts
        return _single(ratio(tp, tp + fp))


class Recall(ThresholdMetric):
    """Share of the positives that are found, `TP / (TP + FN)`; with several thresholds an array.

    >>> Recall(thresholds=[0.1, 0.5])([1, 1, 0, 0], [0.9, 0.2, 0.7, 0.1]).tolist()
    [1.0, 0.5]
    """

    def rate(self, *counts: Array) -> Array:
        """Recall at each threshold."""
        tp, _, _, fn = counts
        return _single(ratio(tp, tp + fn))
