"""What the tests of remembered steps share: a step around a factor, both modes beside each other, and the tables.

A case is a factor (a function that the step calls) and a change to what the factor refers to.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from bptt.steps import H, N, equal, inputs

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

Case = tuple[Callable[[], Any], Callable[[], Any]]
REMEMBERED: dict[str, Callable[[], Case]] = {}  # by the name of the function that makes the case
UNSURE: dict[str, Callable[[], Case]] = {}


def remembered(make: Callable[[], Case]) -> Callable[[], Case]:
    """The step must not be traced again before the change."""
    REMEMBERED[make.__name__] = make
    return make


def unsure(make: Callable[[], Case]) -> Callable[[], Case]:
    """The step must be traced at every call."""
    UNSURE[make.__name__] = make
    return make


class Plain:
    scale: Any = 2.0

    def method(self) -> Any:
        return self.scale


class Named(NamedTuple):
    scale: Any
    held: Any


class OwnCell(layers.Layer):
    """A user's cell with settings, a layer inside and a function."""

    def __init__(self, units: int = H) -> None:
        super().__init__()
        self.units = self.state_size = units
        self.settings = {"scale": 2.0}
        self.dense = layers.Dense(units)
        self.gate: Any = ops.tanh

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight((shape[-1], self.units))

    def call(self, x: Any, states: Any) -> Any:
        h = self.gate(x @ self.kernel * self.settings["scale"] + self.dense(states[0]))
        return h, [h]


def module(text: str) -> Any:
    found = types.ModuleType("mine")
    exec(text, vars(found))
    return found


def run(step: Any, derive: bool, constants: Any = (), leaves: Any = ()) -> list[Any]:
    """Values and gradients."""
    x = tg.tensor(inputs(), requires_grad=True)
    h = tg.tensor(np.full((N, H), 0.3), requires_grad=True)
    y, last = tg.scan(step, x, [h], constants, derive=derive)
    end = (y * y).sum() + last[0].sum()
    return [y, *last, *[g for g in tg.grad(end, [x, h, *leaves])]]


def right(step: Any, constants: Any = (), leaves: Any = ()) -> np.ndarray[Any, Any]:
    """Derived and unrolled agree; the values."""
    found = run(step, True, constants, leaves)
    equal(found, run(step, False, constants, leaves), 1e-10)
    return np.array(found[0])


def stepping(factor: Any) -> Any:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x * factor() + 0.5 * s[0])
        return h, [h]

    return step
