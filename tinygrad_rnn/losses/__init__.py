"""Losses: one formula each, and an object that weights, masks and averages its values.

Numbers are Keras's. Shapes that would broadcast by accident, NaN targets and labels out of range raise, and
the average of nothing is 0.
"""

from __future__ import annotations

from typing import Any

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
from .loss import CLASSES, REGISTRY, Loss, LossFunctionWrapper
from .objects import (
    CTC,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)  # fmt: skip

REGISTRY.add(LossFunctionWrapper)
for _name, _function in {
    "mse": mean_squared_error, "mae": mean_absolute_error, "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error, "bce": binary_crossentropy, "kld": kl_divergence,
}.items():  # fmt: skip
    REGISTRY.add(_function, _name)
get, serialize = REGISTRY.get, REGISTRY.serialize


def as_loss(identifier: Any) -> Loss:
    """The loss that a name, config dict, function or object means, always as an object.

    `get` follows Keras: "mse" is the function, "MeanSquaredError" the object. Here both are the object; a
    function of the user is wrapped. Raises `ValueError` with the nearest known name for an unknown one.

    >>> as_loss("mse").name, as_loss(lambda y, p: y - p).name, get("mse") is mean_squared_error
    ('mean_squared_error', '<lambda>', True)
    """
    found = get(identifier)
    if isinstance(found, Loss):
        return found
    known = CLASSES.get(found)
    return LossFunctionWrapper(found) if known is None else known()


def target_kind(y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> str:
    """What targets of a shape are to predictions of a shape: "binary", "sparse_categorical", "categorical".

    One prediction per row (or step): binary. Targets without the class axis, or with 1 on it: sparse.

    >>> target_kind((8, 1), (8, 1)), target_kind((8,), (8, 5)), target_kind((8, 5), (8, 5))
    ('binary', 'sparse_categorical', 'categorical')
    """
    if len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
        return "binary"
    sparse = len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1
    return "sparse_categorical" if sparse else "categorical"


def resolve_crossentropy(y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> type[Loss]:
    """What `loss="crossentropy"` means: the class that fits targets and predictions of these shapes.

    >>> resolve_crossentropy((8,), (8, 5)).__name__
    'SparseCategoricalCrossentropy'
    """
    return {
        "binary": BinaryCrossentropy,
        "categorical": CategoricalCrossentropy,
        "sparse_categorical": SparseCategoricalCrossentropy,
    }[target_kind(y_true_shape, y_pred_shape)]


def fitting(loss: Any, y_true_shape: tuple[int, ...], y_pred_shape: tuple[int, ...]) -> Loss:
    """`as_loss(loss)`; for "crossentropy" and "ce" the one that fits the shapes.

    >>> fitting("ce", (8, 1), (8, 1)).name, fitting("mse", (8,), (8, 1)).name
    ('binary_crossentropy', 'mean_squared_error')
    """
    if loss in ("crossentropy", "ce"):
        return resolve_crossentropy(y_true_shape, y_pred_shape)()
    return as_loss(loss)


__all__ = [
    "BinaryCrossentropy", "BinaryFocalCrossentropy", "CTC", "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy", "CategoricalHinge", "CosineSimilarity", "Dice", "Hinge", "Huber",
    "KLDivergence", "LogCosh", "Loss", "LossFunctionWrapper", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "REGISTRY", "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky", "as_loss",
    "binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy",
    "categorical_focal_crossentropy", "categorical_hinge", "cosine_similarity", "ctc", "dice", "fitting",
    "get", "hinge", "huber", "kl_divergence", "log_cosh", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "poisson",
    "resolve_crossentropy", "serialize", "sparse_categorical_crossentropy", "squared_hinge",
    "target_kind", "tversky",
]  # fmt: skip
