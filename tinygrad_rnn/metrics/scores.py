"""Scores that are computed from sums per class or output: F, R², intersection over union, correlations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import epsilon
from ..core.op import Array
from ..losses.values import align
from ..warn import warn
from .metric import CountingMetric, FormulaMetric, aligned, ratio


class FBetaScore(CountingMetric):
    """`(1 + β²) · precision · recall / (β² · precision + recall)` per class, for one-hot or multi-hot targets.

    `average`: None (an array with one score per class), "micro" (all classes as one), "macro" (mean over the
    classes) or "weighted" (by the number of targets). Positive is the largest prediction of a row, or all
    above `threshold`. Axes before the last, which holds the classes, are rows.

    >>> FBetaScore(average="macro", beta=2.0)([[1, 0], [0, 1]], [[0.9, 0.1], [0.4, 0.6]]) > 0.999
    True
    """

    _direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        if average not in (known := (None, "micro", "macro", "weighted")):
            raise ValueError(f"{self.name}: average must be one of {known}, received {average!r}")
        if not beta > 0:
            raise ValueError(f"{self.name}: beta must be above 0, received {beta}")
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueError(f"{self.name}: threshold must be above 0, up to 1, received {threshold}")
        self.average, self.beta, self.threshold = average, beta, threshold

    def batch_counts(self, y_true: Array, y_pred: Array, sample_weight: Any) -> Array:
        """True positives, false positives, false negatives and targets, each per class or in all."""
        if y_pred.ndim < 2 or y_true.shape != y_pred.shape:
            raise ValueError(
                f"{self.name}: expected targets and predictions of shape (batch, …, classes), received "
                f"{y_true.shape} and {y_pred.shape}"
            )
        y, p, weight = aligned(self.name, y_true, y_pred, sample_weight, rows=True)
        if self.threshold is None:
            found = (p >= p.max(-1, keepdims=True)) & (abs(p) > 1e-9)
        else:
            found = p > self.threshold
        axis = None if self.average == "micro" else 0
        parts = (found * y, found * (1 - y), ~found * y, y)
        return np.stack([(part * weight[:, None]).sum(axis) for part in parts])

    def rate(self, *counts: Array) -> Any:
        """The scores, averaged."""
        tp, fp, fn, targets = counts
        precision, recall = tp / (tp + fp + epsilon()), tp / (tp + fn + epsilon())
        square = self.beta**2
        scores = (1 + square) * precision * recall / (square * precision + recall + epsilon())
        if self.average == "weighted":
            return (scores * targets / (targets.sum() + epsilon())).sum()
        return scores if self.average is None else scores.mean()


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall: `FBetaScore` with β = 1.

    >>> F1Score(average="micro")([[1, 0], [0, 1]], [[0.9, 0.1], [0.6, 0.4]]) > 0.4999
    True
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)


class R2Score(CountingMetric):
    """`1 − Σ w (y − p)² / Σ w (y − ȳ)²` for targets `(batch, outputs)`: 1 is perfect, 0 as good as the mean ȳ.

    `class_aggregation`: "uniform_average" of the outputs, "variance_weighted_average", or None (an array).
    `num_regressors` r corrects for the inputs of a regression on n values: `1 − (1 − R²)(n − 1) / (n − r − 1)`;
    warns, and corrects nothing, if n is too small. Constant targets score 0.

    >>> R2Score()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]])
    0.5
    """

    _direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        if class_aggregation not in (known := (None, "uniform_average", "variance_weighted_average")):
            raise ValueError(
                f"{self.name}: class_aggregation: one of {known}, received {class_aggregation!r}"
            )
        if num_regressors < 0:
            raise ValueError(f"{self.name}: num_regressors must be 0 or more, received {num_regressors}")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors

    def batch_counts(self, y_true: Array, y_pred: Array, sample_weight: Any) -> Array:
        """Σ w y, Σ w y², Σ w (y − p)², Σ w and the number of values, per output."""
        if y_pred.ndim == 1:
            y_pred = y_pred[:, None]
        y, p, weight = aligned(self.name, y_true, y_pred, sample_weight, rows=True)
        w = weight[:, None]
        sums = (w * y, w * y * y, np.where(w, w * (y - p) ** 2, 0.0), np.broadcast_to(w, y.shape))
        return np.stack([*(part.sum(0) for part in sums), np.full(y.shape[1], float(y.size))])

    def rate(self, *counts: Array) -> Any:
        """The score so far."""
        total, squares, residual, weight, values = counts
        spread = squares - total * ratio(total, weight)
        scores = np.where(spread > 0, 1 - ratio(residual, spread), 0.0)
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation is not None:
            scores = ratio((spread * scores).sum(), spread.sum())
        n, r = values[0], self.num_regressors
        if r and n - r - 1 <= 0:
            warn(f"{self.name}: {int(n)} values are too few for {r} regressors; not adjusted")
        elif r:
            scores = 1 - (1 - scores) * (n - 1) / (n - r - 1)
        return scores


class IoU(CountingMetric):
    """Mean intersection over union, `TP / (TP + FP + FN)`, of the classes `target_class_ids`.

    Targets and predictions are class numbers, or with `sparse_y_true=False`, `sparse_y_pred=False` scores along
    `axis`. Labels that are no class, or `ignore_class`, do not count, nor do classes that do not occur.

    >>> round(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        ids = list(target_class_ids)
        if not ids or min(ids) < 0 or max(ids) >= num_classes:
            raise ValueError(f"{self.name}: target_class_ids must be in 0..{num_classes - 1}, received {ids}")
        self.num_classes, self.target_class_ids, self.ignore_class = num_classes, ids, ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis

    def batch_counts(self, y_true: Array, y_pred: Array, sample_weight: Any) -> Array:
        """The confusion matrix of one batch, `(classes of y, classes of p)`."""
        y = y_true if self.sparse_y_true else y_true.argmax(self.axis)
        p = y_pred if self.sparse_y_pred else y_pred.argmax(self.axis)
        y, p, weight = aligned(self.name, y, p, sample_weight)
        n = self.num_classes
        known = (y >= 0) & (y < n) & (p >= 0) & (p < n)
        if self.ignore_class is not None:
            known &= y != self.ignore_class
        cells = y[known].astype(int) * n + p[known].astype(int)
        return np.bincount(cells, weight[known], minlength=n * n).reshape(n, n)

    def rate(self, *counts: Array) -> Any:
        """The mean over the classes that occur."""
        matrix = np.stack(counts)
        both = matrix.diagonal()
        either = matrix.sum(0) + matrix.sum(1) - both
        ids = self.target_class_ids
        return ratio(ratio(both, either)[ids].sum(), (either[ids] > 1e-9).sum())


class MeanIoU(IoU):
    """Mean intersection over union of all classes, see `IoU`.

    >>> round(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        ids = range(num_classes)
        super().__init__(num_classes, ids, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """`cov(y, p) / (σ_y σ_p)` along `axis`; 0 where y or p is constant.

    >>> pearson_correlation([[0.0, 1.0, 2.0]], [[1.0, 3.0, 5.0]]).round(6).tolist()
    [1.0]
    """
    y, p = align("pearson_correlation", np.asarray(y_true), np.asarray(y_pred))
    y, p = (v - v.mean(axis, keepdims=True) for v in (y, p))
    return ratio((y * p).mean(axis), np.sqrt((y * y).mean(axis) * (p * p).mean(axis)))


class PearsonCorrelation(FormulaMetric, of=pearson_correlation):
    """The mean of the correlations of rows."""

    _direction = "up"
    pointwise = False


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """`2 cov(y, p) / (σ²_y + σ²_p + (ȳ − p̄)² + ε)` along `axis` (Lin 1989).

    >>> concordance_correlation([[0.0, 1.0, 2.0]], [[0.0, 1.0, 2.0]]).round(6).tolist()
    [1.0]
    """
    y, p = align("concordance_correlation", np.asarray(y_true), np.asarray(y_pred))
    apart = y.mean(axis) - p.mean(axis)
    y, p = (v - v.mean(axis, keepdims=True) for v in (y, p))
    spread = (y * y).mean(axis) + (p * p).mean(axis) + apart**2
    return np.asarray(2 * (y * p).mean(axis) / (spread + epsilon()))


class ConcordanceCorrelation(FormulaMetric, of=concordance_correlation):
    """The mean of the concordances of rows: 1 only where the predictions are the targets."""

    _direction = "up"
    pointwise = False
