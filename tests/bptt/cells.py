"""What a cell of the tests is: a step over weights, the shapes of all it needs, and sizes that all cells share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

F, H, M = 3, 4, 5  # features, units, places of a memory
Shape = tuple[int, ...]

WX: dict[str, Shape] = {"Wx": (F, H)}
WH: dict[str, Shape] = {"Wh": (H, H)}
B: dict[str, Shape] = {"b": (H,)}
RNN = {**WX, **WH}
GATED4: dict[str, Shape] = {"Wx": (F, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}
GATED3: dict[str, Shape] = {"Wx": (F, 3 * H), "Wh": (H, 3 * H), "b": (3 * H,)}
TWO, THREE = ((H,), (H,)), ((H,), (H,), (H,))


@dataclass(frozen=True)
class Cell:
    """What `f(w, x, states, constants)` is run on. Shapes of inputs, states and constants are without the batch."""

    weights: dict[str, Shape] = field(default_factory=dict)
    xs: tuple[Any, ...] = ((F,),)  # shapes, or "ids" (integers below M), "flags" (booleans)
    states: tuple[Any, ...] = ((H,),)  # shapes, or "count" (integers from 0), "done" (booleans, False)
    constants: tuple[Shape, ...] = ()
