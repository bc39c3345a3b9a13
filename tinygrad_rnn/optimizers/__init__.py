"""Optimizers: how weights follow their gradients. Names and numbers are Keras's; Rprop is an addition."""

from __future__ import annotations

from ..utils.registry import Registry
from . import schedules
from .gradients import NonFiniteGradient, first_nonfinite
from .moments import Adam, Adamax, AdamW, Lion, Nadam
from .optimizer import Optimizer
from .rules import SGD, Adadelta, Adagrad, Ftrl, RMSprop, Rprop

REGISTRY = Registry(
    "optimizer",
    [SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta, Adamax, Nadam, Lion, Ftrl, Rprop],
    base=Optimizer,
)
get, deserialize, serialize = REGISTRY.get, REGISTRY.get, REGISTRY.serialize

__all__ = [
    "REGISTRY", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lion", "Nadam",
    "NonFiniteGradient", "Optimizer", "RMSprop", "Rprop", "deserialize", "first_nonfinite", "get", "schedules",
    "serialize",
]  # fmt: skip
