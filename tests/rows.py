"""What the rows of the two tables are made of: reference calls and the arrays they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One call: of ours, of the reference (torch, arrays) and the arrays that are differentiated."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]  # theirs(torch, *tensors)
    inputs: tuple[Any, ...]


rng = np.random.default_rng(3)
A, B, V = rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.standard_normal(4)
P, Q = rng.uniform(0.2, 2.0, (3, 4)), rng.uniform(0.2, 0.8, (3, 4))
C3 = rng.standard_normal((2, 3, 4))
WIDE = np.array([-20.0, -3.5, -1.0, -0.2, 0.1, 0.7, 2.5, 3.5, 20.0])
ZEROS = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0], [1.0, 2.0, 3.0]])
IDS = np.array([2, 0, 2])
PROBABILITIES = rng.dirichlet(np.ones(4), 3)


def nn(torch: Any) -> Any:
    return torch.nn.functional
