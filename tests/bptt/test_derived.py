"""Derived mode against unrolled mode, for every cell: values and gradients of all sizes, directions and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, agree, close, every_cell, is_derived, problem

import tinygrad_rnn as tg
from tinygrad_rnn import ops

MASK = np.array(
    [
        [True, True, True, True, True, True],
        [False, False, True, True, True, True],
        [True, False, True, False, False, True],
        [True, True, True, False, False, False],
        [False] * 6,
        [False, True, False, True, True, False],
    ]
)


@every_cell
def test_equal_to_unrolled(name: str) -> None:
    """One source for all lengths: in an order in which what was kept of one could be wrong for the next."""
    for batch, steps in [(2, 4), (2, 7), (2, 1), (2, 2), (1, 5), (1, 1), (3, 2)]:
        agree(name, batch, steps)


@every_cell
def test_equal_within_rounding_in_float32(name: str) -> None:
    for steps in (1, 6):
        agree(name, 2, steps, "float32", 2e-5)


@every_cell
def test_backwards_in_time_and_the_last_output_alone(name: str) -> None:
    for steps in (1, 4):
        agree(name, 2, steps, go_backwards=True)
        agree(name, 2, steps, return_sequences=False)
    agree(name, go_backwards=True, return_sequences=False)


@every_cell
def test_masks(name: str) -> None:
    for go_backwards in (False, True):
        agree(name, 6, 6, mask=MASK, go_backwards=go_backwards)
    agree(name, 6, 6, mask=MASK, return_sequences=False)
    agree(name, 6, 2, mask=MASK[:, :2], go_backwards=True, return_sequences=False)


@every_cell
def test_without_gradients(name: str) -> None:
    with tg.no_grad():
        values = Result(problem(name), derive=True).values
    untracked = Result(problem(name, tracked=False), derive=True).values
    unrolled = Result(problem(name), derive=False).values
    assert not any(v.requires_grad for v in (*values, *untracked))
    close(values, unrolled)
    close(untracked, unrolled)


@every_cell
def test_the_gradient_of_each_input_alone(name: str) -> None:
    """Only what leads to it is derived then."""
    for k in range(len(problem(name).leaves)):
        derived = Result(problem(name, 2, 3).alone(name, k), derive=True)
        unrolled = Result(problem(name, 2, 3).alone(name, k), derive=False)
        close(derived.values, unrolled.values)
        assert set(unrolled.ends) <= set(derived.ends)
        if derived.ends != unrolled.ends:  # unrolled finds out that nothing depends on it
            extra = Result(problem(name, 2, 3).alone(name, k), derive=True)
            extra.ends = [i for i in derived.ends if i not in unrolled.ends]
            assert not any(np.any(np.asarray(g)) for g in extra.gradients())
        if unrolled.ends:
            derived.ends = unrolled.ends
            close(derived.gradients(), unrolled.gradients())


@every_cell
def test_what_no_step_reaches_has_no_gradient(name: str) -> None:
    """None as it is unrolled, not zeros, which would move a weight with momentum: a delayed input of one step, say."""
    for steps, options in ((1, {}), (2, {}), (3, {"return_sequences": False}), (2, {"checkpoint": "sqrt"})):
        derived = Result(problem(name, 2, steps), derive=True, **options)
        unrolled = Result(problem(name, 2, steps), derive=False, **{**options, "checkpoint": None})
        ends = [i for i in derived.ends if i in unrolled.ends]
        for read in [ends, *[[i] for i in ends[:4]]]:
            missing = []
            for r in (derived, unrolled):
                values, cotangents = [r.values[i] for i in read], [r.cotangents[i] for i in read]
                found = tg.grad(values, r.p.leaves, cotangents, retain_graph=True)
                missing.append([g is None for g in found])
            assert missing[0] == missing[1], (steps, options, read)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [-1e4, -1e9])
def test_a_weighted_mean_of_large_values_keeps_the_small_one(start: float, dtype: str) -> None:
    """`y + a (x − y)` would lose it where `a` is 1."""

    def of_an_input(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        a = ops.cast(h < -1000.0, dtype)
        h = a * x + (1.0 - a) * h
        return h, [h]

    x = np.full((1, 3, 2), 0.7, dtype)
    with tg.derived():
        y, _ = tg.scan(of_an_input, x, [np.full((1, 2), start, dtype)])
    np.testing.assert_array_equal(y, x)


def minimal(x: Any, states: Any, constants: Any) -> Any:
    (h,) = states
    f = ops.sigmoid(-h - 1000.0)
    h = (1.0 - f) * h + f * ops.tanh(x)
    return h, [h]


def minimal_on_a_part(x: Any, states: Any, constants: Any) -> Any:
    h = states[0][:, ::-1]
    f = ops.sigmoid(-h - 1000.0)
    h = (1.0 - f) * h + f * ops.tanh(x)
    return h, [h]


@pytest.mark.parametrize("options", [{"derive": True}, {"checkpoint": "sqrt"}])
@pytest.mark.parametrize("minimal", [minimal, minimal_on_a_part])
def test_a_state_taken_for_bounded_must_begin_so(minimal: Any, options: dict[str, Any]) -> None:
    x, small = np.full((1, 3, 2), 0.7, "float32"), np.zeros((1, 2), "float32")
    text = tg.bptt_source(minimal, x[:, 0], [small])
    with tg.bptt.without("lerp"):
        assert text != tg.bptt_source(minimal, x[:, 0], [small])
    for start in (small, small - 1e9, small, small + np.float32("nan")):
        x = tg.tensor(x, requires_grad=True)
        y, _ = tg.scan(minimal, x, [start], **options)
        assert is_derived(y)
        if np.isfinite(start).all() and start.any():
            np.testing.assert_allclose(y, np.tanh(x), rtol=1e-6)
        else:
            np.testing.assert_array_equal(np.isnan(y), np.isnan(start).any())


@pytest.mark.parametrize("options", [{"derive": True}, {"checkpoint": "sqrt"}])
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "longdouble", ">f4", ">f8", "float16"])
def test_other_types_of_numbers(dtype: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    arrays = [a.astype(dtype) for a in (rng.normal(size=(2, 9, 3)), rng.normal(size=3))]

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x * constants + states[0] * constants * constants)
        return h, [h]

    found = []
    for chosen in (options, {"derive": False}):
        leaves = [tg.tensor(a, requires_grad=True) for a in arrays]
        y, _ = tg.scan(step, leaves[0], [np.zeros((2, 3), dtype)], leaves[1], **chosen)
        assert is_derived(y) == (chosen is options) and y.dtype == np.dtype(dtype).newbyteorder("=")
        found.append([np.array(v) for v in (y, *tg.grad(y, leaves, y.numpy()))])
    near = 100 * float(np.finfo(y.dtype).eps)
    for a, b in zip(*found, strict=True):
        assert np.abs(a - b).max() <= near * max(1.0, float(np.abs(b).max()))


def test_a_long_chain_of_ops() -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        for _ in range(200):
            h = 0.5 * ops.tanh(h) + x
        return h, [h]

    found = []
    for derive in (True, False):
        x = tg.tensor(np.full((1, 3, 2), 0.1), requires_grad=True)
        y, _ = tg.scan(step, x, [np.zeros((1, 2))], derive=derive)
        assert is_derived(y) == derive
        found.append([np.array(y), tg.grad((y * y).sum(), x).numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def unused_state(x: Any, states: Any, constants: Any) -> Any:
    h, e = states
    h = ops.tanh(x + 0.5 * h)
    return h, [h, e * e + ops.square(x)]


def unused_output(x: Any, states: Any, constants: Any) -> Any:
    (h,) = states
    h = ops.tanh(x + 0.5 * h)
    return (h, ops.exp(x * 1e3) * ops.tanh(x)), [h]


@pytest.mark.parametrize("options", [{"derive": True}, {"checkpoint": "sqrt"}])
@pytest.mark.parametrize("step", [unused_state, unused_output])
def test_what_overflows_and_is_not_used_leaves_the_gradient_alone(step: Any, options: dict[str, Any]) -> None:
    states = [np.zeros((1, 2)), np.ones((1, 2))][: 2 if step is unused_state else 1]
    found = []
    for chosen in (options, {"derive": False}):
        x = tg.tensor(np.full((1, 12, 2), 2.0), "float64", requires_grad=True)
        y, _ = tg.scan(step, x, states, **chosen)
        found.append(tg.grad((y[0] if isinstance(y, tuple) else y).sum(), x).numpy())
    assert np.isfinite(found[1]).all()
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("step", [unused_state, unused_output])
def test_nor_does_it_touch_the_second_derivative(step: Any) -> None:
    states = [np.zeros((1, 2)), np.ones((1, 2))][: 2 if step is unused_state else 1]
    found = []
    for derive in (True, False):
        x = tg.tensor(np.full((1, 12, 2), 2.0), "float64", requires_grad=True)
        y, _ = tg.scan(step, x, states, derive=derive)
        (first,) = tg.grad((y[0] if isinstance(y, tuple) else y).sum(), [x], create_graph=True)
        found.append(tg.grad((first * first).sum(), x).numpy())
    assert np.isfinite(found[1]).all()
    np.testing.assert_allclose(*found, rtol=1e-12)


def apart(x: Any, states: Any, constants: Any) -> Any:
    """Two recurrences side by side."""
    (h, e), (u, v) = states, constants
    h = ops.tanh(x + h @ u)
    return h, [h, ops.tanh(e @ v)]


@pytest.mark.parametrize("options", [{"derive": True}, {"checkpoint": "sqrt"}])
def test_what_the_loss_does_not_depend_on_has_no_gradient(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in [(2, 5, 3), (2, 3), (2, 3), (3, 3), (3, 3)]]
    for read, absent in [(0, [2, 4]), (1, [2, 4]), (2, [0, 1, 3])]:
        both = []
        for chosen in (options, {"derive": False}):
            x, h, e, *weights = leaves = [tg.tensor(a, "float64", requires_grad=True) for a in arrays]
            y, last = tg.scan(apart, x, [h, e], tuple(weights), **chosen)
            both.append(tg.grad([y, *last][read].sum(), leaves))
        for i, (a, b) in enumerate(zip(*both, strict=True)):
            assert (a is None, b is None) == (i in absent, i in absent)
            if b is not None:
                np.testing.assert_allclose(a, b, rtol=1e-12)


def test_only_states_go_towards_each_other() -> None:
    """Of another weighted mean, a logarithm may be taken: `q + g (p − q)` loses a small `p`."""
    rng = np.random.default_rng(0)
    w = tg.Variable(rng.normal(size=(3, 4)), dtype="float64")

    def pointing(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        g, p, q = ops.sigmoid(x[:, :1]), ops.softmax(x @ w), ops.softmax(h)
        return ops.log(g * p + (1.0 - g) * q), [ops.tanh(h + x @ w)]

    x, h = rng.normal(size=(2, 3)), np.zeros((2, 4))
    with tg.bptt.without("lerp"):
        without = tg.bptt_source(pointing, x, [h])
    assert tg.bptt_source(pointing, x, [h]) == without


def test_an_unknown_last_input_is_nothing_to_outputs_before_the_update() -> None:
    w = tg.Variable(0.3 * np.eye(3), dtype="float64")

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        return h @ w, [ops.tanh(x + h @ w)]

    x = np.ones((2, 5, 3))
    x[:, -1] = np.nan
    found = []
    for derive in (True, False):
        y, _ = tg.scan(step, x, [np.ones((2, 3))], derive=derive)
        found.append(tg.grad((y * y).sum(), w).numpy())
    assert np.isfinite(found).all()
    np.testing.assert_allclose(*found, rtol=1e-12)
