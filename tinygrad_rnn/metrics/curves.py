"""Metrics of a whole range of thresholds: areas under curves, and the best of one rate at a level of another."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..config import epsilon
from ..core.op import Array
from ..ops.nn import sigmoid
from .confusion import ThresholdMetric, confusion
from .metric import aligned, ratio


class CurveMetric(ThresholdMetric):
    """Base of metrics over `num_thresholds` thresholds, 0 to 1 in equal steps; predictions are probabilities."""

    from_logits = False
    remedy: ClassVar[str] = "put a sigmoid or softmax last"

    def batch_counts(self, y_true: Array, y_pred: Array, sample_weight: Any) -> Array:
        """The confusion matrix of one batch; `ValueError` for a prediction outside of [0, 1] that counts."""
        if self.class_id is not None:
            y_true, y_pred = self._chosen(y_true, y_pred)
        y, p, weight = aligned(self.name, y_true, y_pred, sample_weight)
        if self.from_logits:
            p = sigmoid(p)
        if (bad := ((p < 0) | (p > 1)) & (weight != 0)).any():
            position = tuple(map(int, np.argwhere(bad)[0]))
            raise ValueError(
                f"{self.name}: y_pred is {p[position]:.4g} at position {position}, no probability; "
                f"if these are logits, {self.remedy}"
            )
        return self._matrix(y, p, weight)

    def _matrix(self, y: Array, p: Array, weight: Array) -> Array:
        return confusion(y, p, weight, self._at)


def rates(tp: Array, fp: Array, tn: Array, fn: Array) -> dict[str, Array]:
    """Sensitivity (which is recall), specificity and precision of counts.

    >>> {name: float(rate) for name, rate in rates(*np.array([3.0, 1.0, 1.0, 0.0])).items()}
    {'sensitivity': 1.0, 'recall': 1.0, 'specificity': 0.5, 'precision': 0.75}
    """
    found = ratio(tp, tp + fn)
    return {
        "sensitivity": found,
        "recall": found,
        "specificity": ratio(tn, tn + fp),
        "precision": ratio(tp, tp + fp),
    }


class _BestAt(CurveMetric):
    """The largest `wanted` of the thresholds whose `kept` is at least what it should be; 0 if there is none."""

    wanted: ClassVar[str]
    kept: ClassVar[str]

    def __init__(
        self, level: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any
    ) -> None:
        if not 0 <= level <= 1:
            raise ValueError(f"{type(self).__name__}: {self.kept} must be from 0 to 1, received {level}")
        if num_thresholds < 1:
            raise ValueError(
                f"{type(self).__name__}: num_thresholds must be 1 or more, received {num_thresholds}"
            )
        at = np.linspace(0, 1, num_thresholds) if num_thresholds > 1 else None
        super().__init__(at, None, class_id, name, dtype)
        self.num_thresholds = num_thresholds
        setattr(self, self.kept, level)

    def rate(self, *counts: Array) -> Any:
        """The best of the wanted rate."""
        found = rates(*counts)
        return np.max(found[self.wanted], where=found[self.kept] >= getattr(self, self.kept), initial=0.0)


class SensitivityAtSpecificity(_BestAt):
    """The best sensitivity `TP / (TP + FN)` where the specificity `TN / (TN + FP)` is at least `specificity`.

    >>> SensitivityAtSpecificity(0.5)([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.9])
    1.0
    """

    wanted, kept = "sensitivity", "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_BestAt):
    """The best specificity `TN / (TN + FP)` where the sensitivity `TP / (TP + FN)` is at least `sensitivity`.

    >>> SpecificityAtSensitivity(0.5)([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.9])
    1.0
    """

    wanted, kept = "specificity", "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_BestAt):
    """The best precision `TP / (TP + FP)` where the recall `TP / (TP + FN)` is at least `recall`.

    >>> PrecisionAtRecall(0.5)([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.9])
    1.0
    """

    wanted, kept = "precision", "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_BestAt):
    """The best recall `TP / (TP + FN)` where the precision `TP / (TP + FP)` is at least `precision`.

    >>> RecallAtPrecision(0.8)([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.9])
    0.5
    """

    wanted, kept = "recall", "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)


class AUC(CurveMetric):
    """Area under a curve that the thresholds draw.

    `curve`: "ROC" (recall over `FP / (FP + TN)`), "PR" (precision over recall) or "PRGAIN" (Flach & Kull
    2015). `summation_method`: "interpolation" (trapezoids; for "PR" as in Davis & Goadrich 2006),
    "minoring" or "majoring" (rectangles below and above). The thresholds are `num_thresholds` equal steps,
    or `thresholds`, with 0 − ε and 1 + ε around them. With `multi_label` the result is the mean of the areas of the
    labels (the last axis), weighted by `label_weights`; otherwise these weigh the values. `from_logits`
    takes the sigmoid first. Raises `ValueError` for predictions that are no probabilities.

    >>> round(AUC()([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.9]), 4)
    0.75
    """

    remedy = "use from_logits=True"
    curves = ("ROC", "PR", "PRGAIN")
    methods = ("interpolation", "minoring", "majoring")

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        for what, value, known in (
            ("curve", curve, self.curves),
            ("summation_method", summation_method, self.methods),
        ):
            if value not in known:
                raise ValueError(f"AUC: {what} must be one of {known}, received {value!r}")
        if thresholds is None and num_thresholds < 2:
            raise ValueError(f"AUC: num_thresholds must be 2 or more, received {num_thresholds}")
        if num_labels and not multi_label:
            raise ValueError("AUC: num_labels goes with multi_label=True")
        inner = np.linspace(0, 1, num_thresholds)[1:-1] if thresholds is None else np.sort(thresholds)
        super().__init__(thresholds, name=name, dtype=dtype)
        self._at = np.concatenate([[-epsilon()], inner, [1 + epsilon()]])
        self.num_thresholds = self._at.size
        self.curve, self.summation_method = curve, summation_method
        self.multi_label, self.num_labels = multi_label, num_labels
        self.label_weights, self.from_logits = label_weights, from_logits

    def _matrix(self, y: Array, p: Array, weight: Array) -> Array:
        if self.multi_label:
            labels = p.shape[-1]
            if p.ndim < 2 or self.num_labels not in (None, labels):
                raise ValueError(
                    f"{self.name}: expected predictions of shape (batch, {self.num_labels or 'labels'}), "
                    f"received {p.shape}"
                )
            columns = [super(AUC, self)._matrix(y[..., i], p[..., i], weight[..., i]) for i in range(labels)]
            return np.stack(columns, axis=-1)
        if self.label_weights is not None:
            weight = weight * np.asarray(self.label_weights)
        return super()._matrix(y, p, weight)

    def rate(self, *counts: Array) -> Any:
        """The area; of several labels, their mean."""
        areas = self._areas(*counts).sum(0)
        if not self.multi_label:
            return areas
        weight = np.ones(areas.size) if self.label_weights is None else np.asarray(self.label_weights)
        return ratio((areas * weight).sum(), weight.sum())

    def _areas(self, tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
        """The area between each threshold and the next; recall falls along them."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _between(tp, tp + fp, tp + fn)
        recall = ratio(tp, tp + fn)
        if self.curve == "ROC":
            x, y = ratio(fp, fp + tn), recall
        elif self.curve == "PR":
            x, y = recall, ratio(tp, tp + fp)
        else:
            odds = ratio(tp + fn, tn + fp)
            x = np.where(tp == 0, 0.0, np.maximum(1.0 - odds * ratio(fn, tp), 0.0))
            y = np.where(tp == 0, 1.0, 1.0 - odds * ratio(fp, tp))
        before, after = y[:-1], y[1:]
        height = {
            "interpolation": (before + after) / 2,
            "minoring": np.minimum(before, after),
            "majoring": np.maximum(before, after),
        }[self.summation_method]
        return np.asarray((x[:-1] - x[1:]) * height)


def _between(tp: Array, found: Array, positives: Array) -> Array:
    """The area below the precision-recall curve where TP grows linearly with what is found.

    With slope s and TP = s F + c between F₁ and F₀: `∫ (TP / F) dTP / P = s (ΔTP + c ln(F₀ / F₁)) / P`.
    """
    slope = ratio(tp[:-1] - tp[1:], np.maximum(found[:-1] - found[1:], 0))
    offset = tp[1:] - slope * found[1:]
    both = (found[:-1] > 0) & (found[1:] > 0)
    growth = np.where(both, ratio(found[:-1], found[1:]), 1.0)
    return ratio(slope * (tp[:-1] - tp[1:] + offset * np.log(growth)), positives[1:])
