"""The loss objects: a class for each formula, whose values it weights, masks and reduces to a scalar."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..core.op import Array
from ..core.record import followed
from ..core.tensor import Tensor
from ..warn import warn
from .ctc import ctc
from .formulas import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)  # fmt: skip
from .loss import FormulaLoss
from .values import per_value


class MeanSquaredError(FormulaLoss, of=mean_squared_error):
    """The loss `mean_squared_error` as an object."""


class MeanAbsoluteError(FormulaLoss, of=mean_absolute_error):
    """The loss `mean_absolute_error` as an object."""


class MeanAbsolutePercentageError(FormulaLoss, of=mean_absolute_percentage_error):
    """The loss `mean_absolute_percentage_error` as an object."""


class MeanSquaredLogarithmicError(FormulaLoss, of=mean_squared_logarithmic_error):
    """The loss `mean_squared_logarithmic_error` as an object."""


class LogCosh(FormulaLoss, of=log_cosh):
    """The loss `log_cosh` as an object."""


class Poisson(FormulaLoss, of=poisson):
    """The loss `poisson` as an object."""


class Hinge(FormulaLoss, of=hinge):
    """The loss `hinge` as an object."""


class SquaredHinge(FormulaLoss, of=squared_hinge):
    """The loss `squared_hinge` as an object."""


class Huber(FormulaLoss, of=huber, name="huber_loss"):
    """The loss `huber` as an object."""


class KLDivergence(FormulaLoss, of=kl_divergence):
    """The loss `kl_divergence` as an object."""

    pointwise = False


class CategoricalHinge(FormulaLoss, of=categorical_hinge):
    """The loss `categorical_hinge` as an object."""

    pointwise = False


class CosineSimilarity(FormulaLoss, of=cosine_similarity):
    """The loss `cosine_similarity` as an object."""

    pointwise = False


class Dice(FormulaLoss, of=dice, order="reduction name axis dtype"):
    """The loss `dice` as an object."""

    pointwise = False


class Tversky(FormulaLoss, of=tversky, order="alpha beta reduction name axis dtype"):
    """The loss `tversky` as an object."""

    pointwise = False


class _Crossentropy(FormulaLoss):
    """A cross-entropy; given probabilities, it looks once whether they are some."""

    sums_to_one: ClassVar[bool] = True
    activation: ClassVar[str] = "softmax"
    from_logits: bool
    axis: int
    _checked = False

    def _check(self, y_pred: Tensor, mask: Any) -> None:
        """Warn, at the first batch, of predictions that are no probabilities (by more than 0.001)."""
        if self._checked or self.from_logits or y_pred.size == 0:
            return
        self._checked = True
        p = y_pred.numpy()
        wrong = ((p < -1e-3) | (p > 1 + 1e-3)).any(self.axis)
        if self.sums_to_one:
            wrong |= np.abs(p.sum(self.axis, dtype=np.float64) - 1) > 1e-3
        if mask is not None:
            wrong &= per_value("mask", mask, wrong.shape) != 0
        if wrong.any():
            position = tuple(int(i) for i in np.argwhere(wrong)[0])
            row = np.moveaxis(p, self.axis, -1)[position]
            warn(
                f"{self.name}: y_pred holds no probabilities at position {position}: sum {row.sum():.4g}, "
                f"smallest {row.min():.4g}, largest {row.max():.4g}. If they are logits, use "
                f"from_logits=True or a {self.activation} activation",
            )


class BinaryCrossentropy(_Crossentropy, of=binary_crossentropy):
    """The loss `binary_crossentropy` as an object."""

    sums_to_one = False
    activation = "sigmoid"


class BinaryFocalCrossentropy(_Crossentropy, of=binary_focal_crossentropy):
    """The loss `binary_focal_crossentropy` as an object."""

    sums_to_one = False
    activation = "sigmoid"


class CategoricalCrossentropy(_Crossentropy, of=categorical_crossentropy):
    """The loss `categorical_crossentropy` as an object."""

    pointwise = False


class CategoricalFocalCrossentropy(_Crossentropy, of=categorical_focal_crossentropy):
    """The loss `categorical_focal_crossentropy` as an object."""

    pointwise = False


class SparseCategoricalCrossentropy(
    _Crossentropy,
    of=sparse_categorical_crossentropy,
    order="from_logits ignore_class reduction axis name dtype",
):
    """The loss `sparse_categorical_crossentropy` as an object.

    Labels equal to `ignore_class` are masked: the average is over the others.
    """

    pointwise = False
    ignore_class: int | None

    def _valid(self, y_true: Tensor, mask: Any) -> Any:
        if self.ignore_class is None:
            return mask
        return _other_labels(y_true, self.ignore_class, mask)


@followed
def _other_labels(y_true: Any, ignored: int, mask: Any) -> Array:
    """The mask, narrowed to the labels that are not ignored."""
    valid: Array = np.asarray(y_true) != ignored
    return valid if mask is None else valid & (per_value("mask", mask, valid.shape) != 0)


class CTC(FormulaLoss, of=ctc):
    """The loss `ctc` as an object. It takes weights and masks of rows, no mask of steps."""

    pointwise = False

    def _valid(self, y_true: Tensor, mask: Any) -> Any:
        if np.ndim(mask) > 1 and np.shape(mask)[1:] != (1,):
            raise ValueError(
                f"{self.name}: every step of y_pred counts, there is no mask of steps; received a mask of "
                f"shape {np.shape(mask)}. Let the recurrent layers see no mask, or pad with steps of blanks"
            )
        return mask
