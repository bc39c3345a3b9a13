"""Optimizers: how weights follow their gradients. Names and numbers are Keras's; Rprop is an addition."""

from __future__ import annotations

from ..utils.registry import Registry
from .gradients import NonFiniteGradient, first_nonfinite
from .optimizer import Optimizer
from .rules import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Nadam, RMSprop, Rprop

REGISTRY = Registry(
    "optimizer", [SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta, Adamax, Nadam, Rprop], base=Optimizer
)
get, serialize = REGISTRY.get, REGISTRY.serialize

__all__ = [
    "REGISTRY", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Nadam", "NonFiniteGradient",
    "Optimizer", "RMSprop", "Rprop", "first_nonfinite", "get", "serialize",
]  # fmt: skip
