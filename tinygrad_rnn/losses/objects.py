"""The loss objects: the formulas, weighted, masked and reduced to a scalar."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np

from ..core.tensor import Tensor
from . import formulas
from .loss import FormulaLoss
from .values import per_value


class MeanSquaredError(FormulaLoss):
    """`mean (y − p)²`: the function `mean_squared_error` as an object.

    >>> MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]]).item()
    2.0
    """

    fn = staticmethod(formulas.mean_squared_error)


class MeanAbsoluteError(FormulaLoss):
    """`mean |y − p|`: the function `mean_absolute_error` as an object.

    >>> MeanAbsoluteError()([[0.0, 1.0]], [[2.0, 1.0]]).item()
    1.0
    """

    fn = staticmethod(formulas.mean_absolute_error)


class MeanAbsolutePercentageError(FormulaLoss):
    """`100 · mean |y − p| / max(|y|, ε)`: the function `mean_absolute_percentage_error` as an object.

    >>> MeanAbsolutePercentageError()([[2.0, 1.0]], [[1.0, 1.0]]).item()
    25.0
    """

    fn = staticmethod(formulas.mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(FormulaLoss):
    """`mean (ln(1 + p) − ln(1 + y))²`: the function `mean_squared_logarithmic_error` as an object.

    >>> MeanSquaredLogarithmicError()([[1.0]], [[1.0]]).item()
    0.0
    """

    fn = staticmethod(formulas.mean_squared_logarithmic_error)


class LogCosh(FormulaLoss):
    """`mean ln cosh(p − y)`: the function `log_cosh` as an object.

    >>> LogCosh()([[0.0]], [[0.0]]).item()
    0.0
    """

    fn = staticmethod(formulas.log_cosh)


class Poisson(FormulaLoss):
    """`mean (p − y ln p)`: the function `poisson` as an object.

    >>> Poisson()([[0.0]], [[3.0]]).item()
    3.0
    """

    fn = staticmethod(formulas.poisson)


class Hinge(FormulaLoss):
    """`mean max(1 − y p, 0)`: the function `hinge` as an object.

    >>> Hinge()([[1.0, 0.0]], [[0.5, -2.0]]).item()
    0.25
    """

    fn = staticmethod(formulas.hinge)


class SquaredHinge(FormulaLoss):
    """`mean max(1 − y p, 0)²`: the function `squared_hinge` as an object.

    >>> SquaredHinge()([[1.0, 0.0]], [[0.5, -2.0]]).item()
    0.125
    """

    fn = staticmethod(formulas.squared_hinge)


class KLDivergence(FormulaLoss):
    """`Σ y ln(y / p)`: the function `kl_divergence` as an object.

    >>> KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]]).item()
    0.0
    """

    fn = staticmethod(formulas.kl_divergence)
    pointwise = False


class CategoricalHinge(FormulaLoss):
    """`max(1 + max((1 − y) p) − Σ y p, 0)`: the function `categorical_hinge` as an object.

    >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.0]]).item()
    0.5
    """

    fn = staticmethod(formulas.categorical_hinge)
    pointwise = False


class Huber(FormulaLoss):
    """`e² / 2` where `|e| ≤ delta`, else `delta |e| − delta² / 2`: the function `huber` as an object.

    >>> Huber()([[0.0, 0.0]], [[1.0, 3.0]]).item()
    1.5
    """

    fn = staticmethod(formulas.huber)

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.delta = delta


class CosineSimilarity(FormulaLoss):
    """Minus the cosine of y and p: the function `cosine_similarity` as an object.

    >>> CosineSimilarity()([[0.0, 2.0]], [[0.0, 3.0]]).item()
    -1.0
    """

    fn = staticmethod(formulas.cosine_similarity)
    pointwise = False

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = axis


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
            warnings.warn(
                f"{self.name}: y_pred holds no probabilities at position {position}: sum {row.sum():.4g}, "
                f"smallest {row.min():.4g}, largest {row.max():.4g}. If they are logits, use "
                f"from_logits=True or a {self.activation} activation",
                stacklevel=3,
            )


class BinaryCrossentropy(_Crossentropy):
    """`−y ln p − (1 − y) ln(1 − p)`: the function `binary_crossentropy` as an object.

    >>> round(BinaryCrossentropy(from_logits=True)([[1.0]], [[0.0]]).item(), 4)
    0.6931
    """

    fn = staticmethod(formulas.binary_crossentropy)
    sums_to_one = False
    activation = "sigmoid"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class CategoricalCrossentropy(BinaryCrossentropy):
    """`−Σ y ln p` for one-hot targets: the function `categorical_crossentropy` as an object.

    Warns once, at the first batch, if probabilities were promised (`from_logits=False`) but did not come.

    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    fn = staticmethod(formulas.categorical_crossentropy)
    pointwise = False
    sums_to_one = True
    activation = "softmax"


class SparseCategoricalCrossentropy(_Crossentropy):
    """`−ln p[y]` for integer labels: the function `sparse_categorical_crossentropy` as an object.

    Labels equal to `ignore_class` are masked: the average is over the others. Warns once, at the first
    batch, if probabilities were promised (`from_logits=False`) but did not come.

    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    fn = staticmethod(formulas.sparse_categorical_crossentropy)
    pointwise = False

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def _valid(self, y_true: Tensor, mask: Any) -> Any:
        if self.ignore_class is None:
            return mask
        valid = y_true.numpy() != self.ignore_class
        return valid if mask is None else valid & (per_value("mask", mask, valid.shape) != 0)


CLASSES: tuple[type[FormulaLoss], ...] = (
    MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError, LogCosh,
    Poisson, Hinge, SquaredHinge, KLDivergence, CategoricalHinge, Huber, CosineSimilarity, BinaryCrossentropy,
    CategoricalCrossentropy, SparseCategoricalCrossentropy,
)  # fmt: skip
