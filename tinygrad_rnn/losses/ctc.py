"""The loss of sequences whose labels are not aligned with the steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..ops.ctc import ctc_loss
from .values import predictions


def ctc(y_true: Any, y_pred: Any) -> Tensor:
    """`−ln p(labels)` per row, see `ops.ctc_loss`: labels `(B, L)` filled up with 0, logits `(B, T, C)`.

    Class 0 is the blank; the labels of a row are those before the first 0. All steps count.

    Raises `ValueError` for other shapes, a label after a 0, or a row with too few steps for its labels.

    >>> round(ctc([[1, 0]], [[[0.0, 0.0], [0.0, 0.0]]]).item(), 4)
    0.2877
    """
    y_pred, labels = predictions(y_pred), np.asarray(y_true)
    if y_pred.ndim != 3 or labels.ndim != 2 or len(labels) != len(y_pred):
        raise ValueError(
            f"ctc: expected y_true (batch, labels) and y_pred (batch, steps, classes), received shapes "
            f"{labels.shape} and {y_pred.shape}"
        )
    batch, steps, _ = y_pred.shape
    result: Tensor = ctc_loss(labels, y_pred, (labels != 0).sum(-1), np.full(batch, steps))
    return result
