"""Derived graphs, for every cell: repeated calls and passes, results with memory of their own, second derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from bptt.problems import Result, close, every_cell, problem, zeros_for_none

import tinygrad_rnn as tg
from tinygrad_rnn.core.op import tick


@every_cell
def test_results_do_not_change_when_it_is_called_again(name: str) -> None:
    """Neither outputs nor gradients lie in the memory that later calls use."""
    first = Result(problem(name, seed=1), derive=True)
    gradients = first.gradients()
    values = [np.array(v) for v in (*first.values, *gradients)]
    second = Result(problem(name, seed=2), derive=True)
    later = second.gradients()
    right = Result(problem(name, seed=2), derive=False).everything()
    close([*second.values, *later], right)
    for held, before in zip((*first.values, *gradients), values, strict=True):
        np.testing.assert_array_equal(held, before)
    del first  # its memory is used again
    Result(problem(name, seed=3), derive=True).gradients()
    for held, before in zip(gradients, values[len(values) - len(gradients) :], strict=True):
        np.testing.assert_array_equal(held, before)
    close([*second.values, *later], right)


@every_cell
def test_two_calls_before_their_backward_passes(name: str) -> None:
    runs = [Result(problem(name, seed=s), derive=True) for s in (1, 2)]
    found = [r.gradients() for r in reversed(runs)][::-1]
    for r, got, s in zip(runs, found, (1, 2), strict=True):
        close([*r.values, *got], Result(problem(name, seed=s), derive=False).everything())


@every_cell
def test_a_second_backward_pass_over_the_same_graph(name: str) -> None:
    derived = Result(problem(name), derive=True)
    first = derived.gradients(retain_graph=True)
    held = [np.array(g) for g in first]
    second = derived.gradients(retain_graph=True)
    derived.cotangents = [2 * g for g in derived.cotangents]
    third = derived.gradients()
    for a, b, c, d in zip(first, held, second, third, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(c, b)
        np.testing.assert_allclose(d, 2 * b, rtol=1e-12, atol=1e-12)


@every_cell
def test_second_derivatives(name: str) -> None:
    found = []
    for derive in (True, False):
        r = Result(problem(name, 2, 3), derive=derive)
        leaves = r.p.leaves
        first = r.gradients(create_graph=True)
        rng = np.random.default_rng(11)
        inner = sum((g * rng.standard_normal(g.shape)).sum() for g in first)
        second: list[Any] = [None] * len(leaves)
        if isinstance(inner, tg.Tensor) and inner.requires_grad:
            second = tg.grad(inner, leaves)
        found.append([*first, *zeros_for_none(second, leaves)])
    close(*found)


def test_a_recorded_gradient_is_that_of_what_was_asked_for() -> None:
    """The graph of a gradient of inputs has no products for weights, which nobody asked for."""
    W = tg.Variable(np.eye(3), dtype="float64")
    x = tg.tensor(np.random.default_rng(0).standard_normal((2, 6, 3)), requires_grad=True)

    def step(x_t: Any, states: Any, constants: Any) -> Any:
        h = tg.ops.tanh(x_t + states[0] @ W)
        return h, [h]

    def ops_and_second(asked: list[Any], derive: bool) -> tuple[int, list[Any]]:
        outputs, _ = tg.scan(step, x, [np.ones((2, 3))], derive=derive)
        loss = (outputs * outputs).sum()
        before = tick()
        first = tg.grad(loss, asked, create_graph=True)
        ops = tick() - before
        return ops, tg.grad([(g * g).sum() for g in first], [W, x])

    counts = []
    for asked in ([x], [W], [W, x]):
        ops, second = ops_and_second(asked, derive=True)
        close(second, ops_and_second(asked, derive=False)[1])
        counts.append(ops)
    assert counts[0] < counts[2] - 6 and counts[1] < counts[2]


def test_what_a_condition_reads_gives_no_gradient() -> None:
    """An output asks for gradients where it does when the steps are recorded: not for the state in a condition."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        chosen = tg.ops.where(h > 0, x, 2.0 * x)
        return (chosen, chosen * h), [tg.ops.tanh(h + chosen)]

    x, h = np.random.default_rng(0).standard_normal((2, 4, 3)), tg.tensor(np.ones((2, 3)), requires_grad=True)
    found = []
    for derive in (True, False):
        outputs, last = tg.scan(step, x, [h], derive=derive)
        found.append([v.requires_grad for v in (*outputs, *last)])
    assert found[0] == found[1] == [False, True, True]
