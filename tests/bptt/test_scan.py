"""`scan`: values, gradients, masks, direction, nesting, and what it says about bad steps."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from bptt.steps import may_unroll

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.config import Scope


def add_step(x, states, constants):
    (s,) = states
    s = s + x
    return s * 2.0, [s]


def test_outputs_and_last_states():
    x = np.arange(12.0).reshape(2, 3, 2)
    y, (last,) = tg.scan(add_step, x, [np.zeros((2, 2))])
    np.testing.assert_array_equal(y, 2 * np.cumsum(x, axis=1))
    np.testing.assert_array_equal(last, x.sum(1))


def test_backwards_gives_processing_order():
    x = np.arange(6.0).reshape(1, 3, 2)
    y, _ = tg.scan(add_step, x, [np.zeros((1, 2))], go_backwards=True)
    np.testing.assert_array_equal(y, 2 * np.cumsum(x[:, ::-1], axis=1))


def test_mask_keeps_states_and_repeats_outputs():
    x = np.ones((1, 5, 1))
    mask = np.array([[False, True, False, True, False]])
    y, (last,) = tg.scan(add_step, x, [np.full((1, 1), 7.0)], mask=mask)
    assert y[0, :, 0].tolist() == [0, 16, 16, 18, 18]
    assert last.item() == 9


def test_tuples_in_and_out_constants_and_closures():
    w = tg.tensor([[2.0]], requires_grad=True)

    def step(xs, states, constants):
        a, b = xs
        (s,) = states
        s = s + a * b * constants[0] @ w
        return (s, s * s), [s]

    a, b = np.ones((1, 3, 1), np.float32), np.full((1, 3, 1), 3.0, np.float32)
    (plain, squared), (last,) = tg.scan(step, (a, b), [np.zeros((1, 1), np.float32)], [np.float32(5.0)])
    assert plain[0, :, 0].tolist() == [30, 60, 90]
    assert squared[0, -1].item() == 8100
    assert tg.grad(last.sum(), w).item() == 45  # three steps of 1 · 3 · 5
    only, _ = tg.scan(step, (a, b), [np.zeros((1, 1), np.float32)], [np.float32(5.0)], return_sequences=False)
    assert only[0].shape == (1, 1)


def test_masks_with_several_outputs():
    def step(x, states, constants):
        return (x, states[0]), [states[0] + x]

    (a, b), _ = tg.scan(step, np.ones((1, 3, 1)), [np.zeros((1, 1))], mask=np.array([[True, False, True]]))
    assert a[0, :, 0].tolist() == [1, 1, 1]
    assert b[0, :, 0].tolist() == [0, 0, 1]


def test_a_masked_start_is_zero_whatever_the_step_computed_and_a_tuple_stays_a_tuple():
    def step(x, states, constants):
        return (x,), [states[0] + 1.0]

    x = np.array([[[np.inf], [2.0]]])
    (y,), (last,) = tg.scan(step, x, [np.zeros((1, 1))], mask=np.array([[False, True]]))
    assert y[0, :, 0].tolist() == [0, 2]
    assert last.item() == 1


def test_nodes_carry_their_time_step():
    seen = []

    def step(x, states, constants):
        y = states[0] + x
        seen.append(y._node.scope)
        return y, [y]

    with tg.config.switched(scope=Scope("layer")):
        tg.scan(
            step, tg.tensor(np.ones((1, 3, 1)), requires_grad=True), [np.zeros((1, 1))], go_backwards=True
        )
    assert seen == [Scope("layer", 2), Scope("layer", 1), Scope("layer", 0)]


def test_second_derivatives_go_through():
    x = np.random.default_rng(0).standard_normal((1, 4, 2))

    def loss(w):
        y, _ = tg.scan(
            lambda x_t, s, c: (tg.ops.tanh(x_t + s[0] @ w), [tg.ops.tanh(x_t + s[0] @ w)]),
            x,
            [np.ones((1, 2))],
        )
        return (y * y).sum()

    w0, v = np.random.default_rng(1).standard_normal((2, 2, 2))
    numeric = (tg.value_and_grad(loss)(w0 + 1e-5 * v)[1] - tg.value_and_grad(loss)(w0 - 1e-5 * v)[1]) / 2e-5
    np.testing.assert_allclose(tg.hvp(loss, w0, v), numeric, rtol=1e-6)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x, s, c: (x, []), r"scan, step 0: the step function returned 0 states, expected 1"),
        (lambda x, s, c: (x, [x, x]), "returned 2 states"),
        (
            lambda x, s, c: (x, [tg.ops.reshape(s[0], (2, 1))]),
            r"step 0: state 0 changed shape from \(1, 2\) to \(2, 1\)",
        ),
        (lambda x, s, c: (x, [np.zeros((1, 2))]), "state 0 is a ndarray, expected a Tensor"),
    ],
)
def test_bad_steps_are_named(step, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tg.scan(step, np.ones((1, 3, 2)), [np.zeros((1, 2))])


def test_an_error_inside_a_step_says_where():
    w = tg.tensor(np.ones((3, 3)), requires_grad=True)

    def step(x, states, constants):
        return (x @ w, states) if states[0].sum() < 2 else (x @ w.reshape(9, 1), states)

    with (
        tg.config.switched(scope=Scope("odd")),
        pytest.raises(ValueError, match=r"matmul.*\(1, 2\).*layer 'odd', step 0"),
    ):
        tg.scan(step, np.ones((1, 3, 2)), [np.zeros((1, 1))])


@pytest.mark.parametrize(
    ("xs", "options", "message"),
    [
        (np.ones((1, 0, 2)), {}, "no time steps"),
        (np.ones(3), {}, "expected sequences"),
        ((np.ones((1, 2, 1)), np.ones((1, 3, 1))), {}, "unequal length"),
        ((), {}, "expected at least one sequence, received an empty tuple"),
        (np.ones((1, 3, 2)), {"mask": np.ones((1, 4))}, "mask of shape"),
        (np.ones((1, 3, 2)), {"checkpoint": "cube"}, "checkpoint must be None or 'sqrt'"),
    ],
)
def test_bad_sequences_are_named(xs, options, message):
    with pytest.raises(ValueError, match=message):
        tg.scan(add_step, xs, [np.zeros((1, 2))], **options)


def test_what_is_no_step_is_named():
    with pytest.raises(TypeError, match="scan: expected a step function, received None"):
        tg.scan(None, np.ones((1, 3, 2)), [np.zeros((1, 2))])


@pytest.mark.parametrize("derive", [False, True])
@pytest.mark.parametrize("shape", [(), (2,), (1, 2)])
def test_a_mask_needs_states_and_outputs_with_an_axis_of_the_examples(shape, derive):
    xs, mask = np.ones((3, 4, 2)), np.ones((3, 4), bool)
    message = r"layer 'odd': with a mask, expected state 1 of shape \(batch, ...\) for a batch of 3, received shape "
    with (
        tg.config.switched(scope=Scope("odd")),
        pytest.raises(ValueError, match=message + re.escape(str(shape))),
    ):
        tg.scan(lambda x, s, c: (x, s), xs, [np.zeros((3, 2)), np.zeros(shape)], mask=mask, derive=derive)
    out = tg.tensor(np.zeros(shape or (1,)))
    with may_unroll(), pytest.raises(ValueError, match="scan, step 0: .*expected output 0 of shape"):
        tg.scan(lambda x, s, c: (out * 1.0, s), xs, [np.zeros((3, 2))], mask=mask, derive=derive)


def test_what_the_user_changes_later_does_not_change_the_gradient():
    xs, start = np.ones((1, 3, 2)), np.zeros((1, 2))
    w = tg.tensor(np.array([2.0, 3.0]), requires_grad=True)
    out, _ = tg.scan(lambda x, s, c: (s[0] + x * w, [s[0] + x * w]), xs, [start])
    xs[:], start[:] = 100, 100
    assert tg.grad(out.sum(), w).tolist() == [6, 6]


def test_a_masked_start_is_zero_and_no_learned_state_that_happens_to_be():
    """Derived and unrolled agree: the output before the first valid step is 0 whatever the state is."""
    w, mask = np.full((2, 2), 0.4), np.array([[False, False, True], [True, False, True]])

    def gradient():
        state = tg.Variable(np.zeros((2, 2)))
        y, _ = tg.scan(
            lambda x, s, c: (h := ops.tanh(x + s[0] @ w), [h]), np.ones((2, 3, 2)), [state], mask=mask
        )
        return np.asarray(tg.grad(ops.sum(y + y * y), state))

    with tg.derived():
        derived = gradient()
    with tg.unrolled():
        np.testing.assert_allclose(derived, gradient(), rtol=1e-12)


def test_nan_in_a_masked_first_step_stays_out():
    xs = np.array([[[np.nan], [1.0]]])
    out, _ = tg.scan(lambda x, s, c: (s[0] + x, [s[0] + x]), xs, [np.zeros((1, 1))], mask=[[False, True]])
    assert out[0, :, 0].tolist() == [0, 1]


@pytest.mark.parametrize("many", [list, lambda xs: {"a": xs[0]}, lambda xs: None])
def test_several_sequences_are_a_tuple(many: Any) -> None:
    """A list of tensors was stacked, and time ran over the examples."""
    xs = [tg.tensor(np.ones((4, 4, 3)), requires_grad=True) for _ in range(2)]
    with pytest.raises(
        TypeError, match=r"a sequence \(batch, time, ...\), or a tuple of them, received a (list|dict|None)"
    ):
        tg.scan(lambda x, s, c: (x[0], s), many(xs), [np.zeros((4, 3))])
    y, _ = tg.scan(lambda x, s, c: (x + s[0], s), [[[1.0], [2.0]]], [np.zeros((1, 1))])
    assert y.tolist() == [[[1.0], [2.0]]]
