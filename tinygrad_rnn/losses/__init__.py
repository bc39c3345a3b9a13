"""Losses: one formula each, and an object that weights, masks and averages its values.

Numbers are Keras's. Shapes that would broadcast by accident, NaN targets and labels out of range raise, and
the average of nothing is 0.
"""

from __future__ import annotations

from typing import Any

from . import formulas, objects
from .formulas import (
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    cosine_similarity,
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
)
from .loss import REGISTRY, Loss, LossFunctionWrapper
from .objects import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
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
)

for _class in (*objects.CLASSES, LossFunctionWrapper):
    REGISTRY.add(_class)
for _function in formulas.FUNCTIONS:
    REGISTRY.add(_function)
_SHORT = {
    "mse": mean_squared_error, "mae": mean_absolute_error, "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error, "bce": binary_crossentropy, "kld": kl_divergence,
}  # fmt: skip
for _name, _function in _SHORT.items():
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
    known = next((cls for cls in objects.CLASSES if cls.fn is found), None)
    return LossFunctionWrapper(found) if known is None else known()


__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "REGISTRY",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "as_loss",
    "binary_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]
