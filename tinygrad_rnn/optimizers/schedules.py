"""Schedules: learning rates that follow the number of steps. Names and numbers are Keras's.

A schedule is called with s, the number of steps so far, and given to an optimizer as its `learning_rate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..utils.registry import Registry, Serializable


class LearningRateSchedule(Serializable):
    """Base: `schedule(step)` returns the learning rate after that many steps.

    A subclass that is a dataclass, or keeps the arguments of its `__init__` under their names, has a config.

    >>> @dataclass
    ... class Halving(LearningRateSchedule):
    ...     initial_learning_rate: float
    ...     def __call__(self, step):
    ...         return self.initial_learning_rate * 0.5**step
    >>> Halving(0.1)(1), Halving(0.1).get_config()
    (0.05, {'initial_learning_rate': 0.1})
    """

    def __call__(self, step: Any) -> float:
        """The learning rate after `step` steps."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, step)")

    def __post_init__(self) -> None:
        """Check the arguments of the schedules below."""
        for key, value in vars(self).items():
            number = isinstance(value, (int, float)) and math.isfinite(value)
            if key.endswith("decay_steps") and not (number and value > 0):
                raise ValueError(f"{type(self).__name__}: {key} must be > 0, received {value!r}")
            if key == "initial_learning_rate" and not (number and value >= 0):
                raise ValueError(f"{type(self).__name__}: {key} must be a number ≥ 0, received {value!r}")


@dataclass(eq=False)
class ExponentialDecay(LearningRateSchedule):
    """`lr₀ · rᵖ`, p = s / d, rounded down if `staircase`; r is `decay_rate`, d `decay_steps`.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "ExponentialDecay"

    def __call__(self, step: Any) -> float:
        """The learning rate after `step` steps."""
        p = float(step) / self.decay_steps
        return float(self.initial_learning_rate * self.decay_rate ** (math.floor(p) if self.staircase else p))


@dataclass(eq=False)
class InverseTimeDecay(LearningRateSchedule):
    """`lr₀ / (1 + r p)`, p = s / d, rounded down if `staircase`; r is `decay_rate`, d `decay_steps`.

    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str = "InverseTimeDecay"

    def __call__(self, step: Any) -> float:
        """The learning rate after `step` steps."""
        p = float(step) / self.decay_steps
        return self.initial_learning_rate / (1.0 + self.decay_rate * (math.floor(p) if self.staircase else p))


@dataclass(eq=False)
class PolynomialDecay(LearningRateSchedule):
    """`(lr₀ − e) (1 − min(s, d) / d)ᵖ + e`, from lr₀ down to e, `end_learning_rate`, in d = `decay_steps` steps.

    `cycle`: in place of d its first multiple that is not below s, so that the rate rises again after each.

    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
    0.05
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str = "PolynomialDecay"

    def __call__(self, step: Any) -> float:
        """The learning rate after `step` steps."""
        step, steps = float(step), float(self.decay_steps)
        if self.cycle:
            steps *= max(1, math.ceil(step / steps))
        left = 1.0 - min(step, steps) / steps
        return float((self.initial_learning_rate - self.end_learning_rate) * left**self.power) + float(
            self.end_learning_rate
        )


@dataclass(eq=False)
class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[i]`, i the number of `boundaries` below s: at a boundary the rate is still the one before.

    Raises `ValueError` unless there is one value more than boundaries, and these rise.

    >>> rate = PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
    >>> rate(10), rate(11), rate(21)
    (1.0, 0.5, 0.1)
    """

    boundaries: Any
    values: Any
    name: str = "PiecewiseConstant"

    def __post_init__(self) -> None:
        """Check the arguments."""
        bounds = list(self.boundaries)
        if len(bounds) != len(self.values) - 1 or sorted(set(bounds)) != bounds:
            raise ValueError(
                "PiecewiseConstantDecay: expected rising boundaries and one value more, received "
                f"{self.boundaries} and {self.values}"
            )

    def __call__(self, step: Any) -> float:
        """The learning rate after `step` steps."""
        return float(self.values[sum(float(step) > bound for bound in self.boundaries)])


@dataclass(eq=False)
class CosineDecay(LearningRateSchedule):
    """`lr₀ ((1 − α) (1 + cos(π s / d)) / 2 + α)`, s at most d, `decay_steps` (Loshchilov & Hutter 2017).

    With a `warmup_target` the rate first goes from lr₀ to it in `warmup_steps`, in a straight line, and then
    down from there in d steps more (Goyal et al. 2017).

    >>> CosineDecay(0.1, decay_steps=10)(5), CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4)(2)
    (0.05..., 0.5)
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    name: str = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: float = 0

    def __call__(self, step: Any) -> float:
        """The learning rate after `step` steps."""
        step, top = float(step), float(self.initial_learning_rate)
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return float(top + (self.warmup_target - top) * step / self.warmup_steps)
            step, top = step - self.warmup_steps, self.warmup_target
        return top * _cosine(min(step / self.decay_steps, 1.0), self.alpha)


@dataclass(eq=False)
class CosineDecayRestarts(LearningRateSchedule):
    """A cosine decay that starts again at the end of each period (Loshchilov & Hutter 2017).

    Period i = 0, 1, … is `first_decay_steps · t_mulⁱ` steps long; in it the rate is
    `lr₀ ((1 − α) m_mulⁱ (1 + cos(π q)) / 2 + α)`, q the part of the period that has passed.

    >>> rate = CosineDecayRestarts(0.1, first_decay_steps=10)
    >>> rate(5), rate(10), rate(20)
    (0.05..., 0.1, 0.05...)
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str = "SGDRDecay"

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if not self.t_mul >= 1:
            raise ValueError(f"CosineDecayRestarts: t_mul must be ≥ 1, received {self.t_mul!r}")

    def __call__(self, step: Any) -> float:
        """The learning rate after `step` steps."""
        if self.t_mul == 1:
            period, passed = divmod(float(step) / self.first_decay_steps, 1.0)
        else:
            start, length, period = 0.0, float(self.first_decay_steps), 0
            while step >= start + length:
                start, length, period = start + length, length * self.t_mul, period + 1
            passed = (step - start) / length
        return self.initial_learning_rate * _cosine(passed, self.alpha, self.m_mul**period)


def _cosine(passed: float, alpha: float, height: float = 1.0) -> float:
    """Half a wave from `height` down to 0, on a floor of `alpha`."""
    return (1.0 - alpha) * height * (1.0 + math.cos(math.pi * passed)) / 2.0 + alpha


REGISTRY = Registry(
    "schedule",
    [
        ExponentialDecay,
        InverseTimeDecay,
        PolynomialDecay,
        PiecewiseConstantDecay,
        CosineDecay,
        CosineDecayRestarts,
    ],
    base=LearningRateSchedule,
)
deserialize, serialize = REGISTRY.get, REGISTRY.serialize
