"""The arguments of optimizers: unknown ones are refused by name, numbers are held within their bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..utils.registry import parameters

SUCCESSORS = {  # arguments of Keras 2, and one of Keras 3 that is not offered
    "lr": "use learning_rate=",
    "decay": "give a schedule as learning_rate=, such as schedules.InverseTimeDecay",
    "schedule_decay": "Nadam's schedule is fixed: leave it out",
    "jit_compile": "it is an argument of model.compile",
    "loss_scale_factor": "nothing is trained in half precision here: leave it out",
}
_BELOW_1 = math.nextafter(1.0, 0.0)
_BOUNDS = {  # names of arguments -> how the interval is written, its least and its greatest number
    ("beta_1", "beta_2", "rho"): ("in [0, 1)", 0.0, _BELOW_1),
    ("momentum", "ema_momentum"): ("in [0, 1]", 0.0, 1.0),
    ("epsilon", "weight_decay", "initial_accumulator_value", "beta"): ("≥ 0", 0.0, 1e300),
    ("l1_regularization_strength", "l2_regularization_strength"): ("≥ 0", 0.0, 1e300),
    ("l2_shrinkage_regularization_strength",): ("≥ 0", 0.0, 1e300),
    ("learning_rate_power",): ("≤ 0", -1e300, 0.0),
    ("clipnorm", "clipvalue", "global_clipnorm"): ("> 0", 5e-324, 1e300),
}
CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_COUNTS = {"ema_overwrite_frequency": 1, "gradient_accumulation_steps": 2}


def refuse_unknown(cls: type, options: Iterable[str]) -> None:
    """`TypeError` for an argument that `cls` does not have, with its successor if Keras 2 had it.

    >>> refuse_unknown(dict, ["lr"])
    Traceback (most recent call last):
    ...
    TypeError: dict: unknown argument 'lr'; use learning_rate=
    """
    known = parameters(cls)
    for key in options:
        if key not in known:
            hint = f"; {SUCCESSORS[key]}" if key in SUCCESSORS else ""
            raise TypeError(f"{cls.__name__}: unknown argument {key!r}{hint}")


def check(optimizer: Any) -> None:
    """Hold the attributes of an optimizer against their bounds (`ValueError`).

    Numbers become Python floats, which do not widen float32 arrays.
    """
    own = vars(optimizer)
    for keys, (interval, low, high) in _BOUNDS.items():
        for key in own.keys() & set(keys):
            value = own[key]
            if value is None and getattr(type(optimizer), key) is None:
                continue
            if isinstance(value, (bool, str)) or value is None or not low <= value <= high:
                raise ValueError(f"{optimizer.name}: {key}: expected a number {interval}, received {value!r}")
            setattr(optimizer, key, float(value))
    for key, least in _COUNTS.items():
        count = own[key]
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < least):
            raise ValueError(
                f"{optimizer.name}: {key}: expected None or an integer ≥ {least}, received {count!r}"
            )
    given = [key for key in CLIPS if own[key] is not None]
    if len(given) > 1:
        raise ValueError(f"{optimizer.name}: expected at most one of {', '.join(CLIPS)}; received {given}")
