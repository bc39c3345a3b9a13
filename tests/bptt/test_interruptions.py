"""Values that are not finite, steps that raise, and loops that are interrupted: the next call is whole."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bptt.steps import H, N, T, equal, inputs, lstm_run, lstm_step, may_unroll, start, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import UnrolledWarning


def test_not_finite_values_behave_as_when_unrolled() -> None:
    w = weight()
    x = inputs()
    x[0, 2, 1], x[1, 3, 0] = np.inf, np.nan

    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.where(ops.isfinite(x), ops.sqrt(ops.abs(x) + 0.0 * s[0]), 0.0) @ w + ops.tanh(s[0])
        return h, [h]

    found = []
    for derive in (True, False):
        y, _ = tg.scan(step, x, start(), derive=derive)
        found.append([np.array(y), np.array(tg.grad(y.sum(), [w])[0])])
    equal(*found)


def test_a_root_of_zero_in_a_masked_step() -> None:
    w = weight()
    x = inputs()
    x[0, :2] = 0.0
    mask = np.ones((N, T), bool)
    mask[0, :2] = False

    def root(x: Any, s: Any, c: Any) -> Any:
        return ops.sqrt(x * x) @ w, [s[0] + ops.sqrt(x * x)]

    found = []
    for derive in (True, False):
        t = tg.tensor(x, requires_grad=True)
        y, _ = tg.scan(
            lambda x, s, c: (ops.sqrt(x * x) @ w, [s[0] + ops.sqrt(x * x)]),
            t,
            start(),
            mask=mask,
            derive=derive,
        )
        found.append([np.array(g) for g in (y, *tg.grad(y.sum(), [w, t]))])
    equal(*found)


def test_every_step_that_falls_back_says_so() -> None:
    """Two layers with different reasons, or the same: each is told, with its line."""

    def first(x: Any, s: Any, c: Any) -> Any:
        return x + np.random.standard_normal(), [s[0] + x]

    def second(x: Any, s: Any, c: Any) -> Any:
        return x * np.random.standard_normal(), [s[0] + x]

    for step in (first, second):
        with pytest.warns(UnrolledWarning) as caught:
            tg.scan(step, inputs(), start(), derive=True)
        assert len(caught) == 1
        message = str(caught[0].message)
        assert step.__name__ in message and f"{Path(__file__).name}:{step.__code__.co_firstlineno}" in message


class Counted(tg.Layer):
    """A cell with a side effect."""

    state_size = H
    calls = 0

    def call(self, x: Any, states: Any) -> Any:
        self.calls += 1
        return x, [states[0] + x]


def test_the_cell_of_the_users_in_a_stack_is_named() -> None:
    code, gru = Counted.call.__code__, tg.layers.GRUCell
    place = rf"cell Counted \({re.escape(code.co_filename)}:{code.co_firstlineno}\)"
    for cells, name in (
        ([gru(H), Counted()], f"'[a-z_0-9]*', {place}: the step changes"),
        ([gru(H), [Counted()], Counted()], f"'[a-z_0-9]*', {place}, {place}: the step changes"),
    ):
        with pytest.warns(UnrolledWarning, match=name), tg.derived():
            tg.layers.RNN(cells)(inputs())


def test_a_step_that_raises_at_step_37() -> None:
    class Cell:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, x: Any, s: Any, c: Any) -> Any:
            self.calls += 1
            if self.calls == 38:
                raise LookupError("at step 37")
            return x, [s[0] + x]

    for derive in (False, True):
        with may_unroll():
            with pytest.raises(LookupError, match="at step 37"):
                tg.scan(Cell(), inputs(0, 50), start(), derive=derive)


def test_a_step_that_raises_for_a_value() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        if float(ops.sum(s[0])) > 36.5:
            raise LookupError("at step 37")
        return x, [s[0] + x]

    for derive in (False, True):
        with may_unroll():
            with pytest.raises(LookupError, match="at step 37"):
                tg.scan(step, np.ones((1, 50, 1)), [np.zeros((1, 1))], derive=derive)


def test_a_step_that_always_raises() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        raise LookupError("never")

    for _ in range(2):
        with may_unroll():
            with pytest.raises(LookupError, match="never"):
                tg.scan(step, inputs(), start(), derive=True)


@pytest.fixture
def in_python() -> Iterator[None]:
    """Loops call the functions of a plan."""
    with tg.bptt.without("native"):
        yield


class Breaking:
    """A NumPy function of a plan that raises at one of its calls."""

    def __init__(self, plan: Any, error: type[BaseException]) -> None:
        self.real, self.error, self.calls, self.limit = plan.functions["multiply"], error, 0, 0
        plan.functions["multiply"] = self

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.limit:
            raise self.error
        return self.real(*args, **options)


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_exception_in_mid_loop(plans: Any, in_python: None, where: str, error: Any) -> None:
    """The next call finds whole memory."""
    lstm_run(0, True)
    (plan,) = plans.values()
    multiply = Breaking(plan, error)
    lstm_run(0, True)
    multiply.limit = multiply.calls + multiply.calls // (4 if where == "forward" else 2) + 20
    with pytest.raises(error):
        lstm_run(1, True)
    multiply.limit = 0
    gc.collect()
    for seed in (2, 3):
        equal(lstm_run(seed, True), lstm_run(seed, False), 1e-10)


def test_a_backward_pass_that_was_interrupted_can_be_repeated(plans: Any, in_python: None) -> None:
    w, u = weight((H, 4 * H), 0), weight((H, 4 * H), 100)
    x, zero = np.random.default_rng(0).standard_normal((N, 20, H)), np.zeros((N, H))
    y, _ = tg.scan(lstm_step(w, u), x, [zero, zero], derive=True)
    (plan,) = plans.values()
    end, multiply = (y * y).sum(), Breaking(plan, KeyboardInterrupt)
    multiply.limit = 12
    with pytest.raises(KeyboardInterrupt):
        tg.grad(end, [w, u], retain_graph=True)
    got = tg.grad(end, [w, u])
    y, _ = tg.scan(lstm_step(w, u), x, [zero, zero], derive=False)
    equal(got, tg.grad((y * y).sum(), [w, u]))
