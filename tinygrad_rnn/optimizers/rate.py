"""`Rate`: the learning rate of an optimizer, which is a number or follows a schedule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from . import schedules


class Rate:
    """The attribute `learning_rate`: read it for the present number, assign a number or a schedule.

    A schedule is a `LearningRateSchedule`, its config dict, or any function of the number of calls so far (or
    of nothing). A number cannot take the place of a schedule (`TypeError`). Raises `ValueError` unless
    a number is finite and ≥ 0.
    """

    def __init__(self, default: float) -> None:
        self.default = default

    def __get__(self, optimizer: Any, owner: type | None = None) -> float:
        if optimizer is None:
            return self.default  # the dataclass asks for it
        rate = optimizer._rate
        if not callable(rate):
            return float(rate)
        return checked(rate(optimizer._calls) if optimizer._rate_counts else rate())

    def __set__(self, optimizer: Any, value: Any) -> None:
        if isinstance(value, Mapping):
            value = schedules.deserialize(value)
        if callable(getattr(optimizer, "_rate", None)) and not callable(value):
            raise TypeError(
                f"{optimizer.name}: the learning rate follows a schedule and cannot be set to {value!r}; "
                "give the optimizer a number as learning_rate, or assign another schedule"
            )
        optimizer._rate = value if callable(value) else checked(value)
        optimizer._rate_counts = callable(value) and bool(inspect.signature(value).parameters)


def checked(value: Any) -> float:
    """A learning rate as a float; `ValueError` unless it is a finite number ≥ 0.

    >>> checked(1)
    1.0
    """
    if isinstance(value, (list, tuple)):
        raise ValueError(
            f"learning_rate: expected a finite number ≥ 0 or a schedule, received a {type(value).__name__}; variables "
            "are given to apply_gradients"
        )
    if isinstance(value, (bool, str)) or value is None or not 0 <= float(value) < math.inf:
        raise ValueError(f"learning_rate: expected a finite number ≥ 0 or a schedule, received {value!r}")
    return float(value)
