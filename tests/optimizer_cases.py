"""Weights, gradients and options that the optimizer tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import Variable, optimizers

RULES = list(optimizers.REGISTRY._entries)
COMMON: list[dict[str, Any]] = [
    {},
    {"clipnorm": 0.5},
    {"global_clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"weight_decay": 0.1},
    {"learning_rate": optimizers.schedules.CosineDecay(0.01, 4, warmup_target=0.1, warmup_steps=2)},
    {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 2},
    {"gradient_accumulation_steps": 2, "learning_rate": optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2, "clipnorm": 0.4},
]


def weights(dtype: str = "float64") -> list[Variable]:
    rng = np.random.default_rng(0)
    return [
        Variable(rng.standard_normal(s), dtype=dtype, name=n)
        for s, n in (((2, 3), "kernel"), ((3,), "bias"), ((), "s"))
    ]


def gradients(steps: int = 5, dtype: str = "float64") -> list[list[np.ndarray]]:
    rng = np.random.default_rng(1)
    return [[np.asarray(rng.standard_normal(s), dtype) for s in ((2, 3), (3,), ())] for _ in range(steps)]


def run(optimizer: Any, variables: list[Variable], steps: list[list[np.ndarray]]) -> list[np.ndarray]:
    for grads in steps:
        optimizer.apply_gradients(zip(grads, variables, strict=True))
    return [v.numpy() for v in variables]
