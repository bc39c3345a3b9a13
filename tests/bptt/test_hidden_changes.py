"""Steps that count, draw or assign where it is not seen in their arguments: as when unrolled, with a warning."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from bptt.steps import may_unroll

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import UnrolledWarning

x, start = np.ones((1, 40, 1)), [np.zeros((1, 1))]


class Counter:
    t = 0


def counting(owner: Any) -> Callable[..., Any]:
    """The input counts for three steps only."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        owner.t += 1
        return states[0], [states[0] + x * (1.0 if owner.t <= 3 else 0.0)]

    return step


def on_the_function() -> Any:
    def step(x: Any, states: Any, constants: Any) -> Any:
        step.t += 1  # type: ignore[attr-defined]
        return states[0], [states[0] + x * (1.0 if step.t <= 3 else 0.0)]  # type: ignore[attr-defined]

    step.t = 0  # type: ignore[attr-defined]
    return step, step


def on_a_class() -> Any:
    return counting(Counter), Counter


def on_the_class_of_an_object() -> Any:
    class Own(Counter):
        t = 0

        def step(self, x: Any, states: Any, constants: Any) -> Any:
            Own.t += 1
            return states[0], [states[0] + x * (1.0 if Own.t <= 3 else 0.0)]

    return Own().step, Own


@pytest.mark.parametrize("make", [on_the_function, on_a_class, on_the_class_of_an_object])
def test_counters(make: Callable[[], Any]) -> None:
    step, owner = make()
    said = pytest.warns(UnrolledWarning, match="the step changes the attribute 't' of")
    for derive, around in ((False, nullcontext()), (True, said), (True, may_unroll())):
        owner.t = 0
        with around:
            _, (last,) = tg.scan(step, x, start, derive=derive)
        assert (float(last), owner.t) == (3.0, 40), derive


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.rand, lambda: random.random(), lambda: np.random.rand()],
    ids=["random", "numpy", "in a function", "numpy in a function"],
)
@pytest.mark.parametrize("often", [0.0, 0.03, 0.97, 1.0])
def test_a_branch_that_is_drawn(draw: Callable[[], float], often: float) -> None:
    """Also one that goes the same way in nearly all steps."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = states[0] + 1.0 if draw() < often else states[0]
        return h, [h + 0.0 * x]

    found = []
    for derive, around in (
        (False, nullcontext()),
        (True, pytest.warns(UnrolledWarning, match="random stream")),
    ):
        random.seed(1)
        np.random.seed(1)
        with around:
            y, _ = tg.scan(step, x, start, derive=derive)
        found.append((np.array(y), draw()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("read", [False, True])
def test_a_variable_that_is_assigned(read: bool) -> None:
    v = tg.Variable(np.zeros(()), dtype="float64", name="v")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = states[0] + (x * v if read else x)
        v.assign(v.numpy() + 1.0)
        return h, [h]

    found = []
    said = pytest.warns(UnrolledWarning, match="assigns to the variable 'v'")
    for derive, around in ((False, nullcontext()), (True, said), (True, may_unroll())):
        v.assign(0.0)
        with around:
            y, _ = tg.scan(step, x, start, derive=derive)
        found.append(np.append(np.array(y), v.numpy()))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
