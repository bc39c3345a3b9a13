"""Inputs of a recurrence that have something in common: memory, a history, or another thread that uses them."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest
from bptt.problems import is_derived
from bptt.steps import may_unroll

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import UnrolledWarning

rng = np.random.default_rng(0)
X, W0, V = rng.standard_normal((2, 4, 3)), 0.5 * rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
EYE = np.eye(3)


@pytest.fixture(autouse=True)
def float64() -> Any:
    tg.set_floatx("float64")
    yield
    tg.set_floatx("float32")


# --- second derivatives -----------------------------------------------------------------------------


def cell(w: Any, u: Any = None) -> Any:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x + s[0] @ w if u is None else x @ u + s[0] @ w)
        return h, [h]

    return step


def inputs_and_weight(w: Any) -> Any:
    return tg.scan(cell(w), tg.tensor(X) @ w, [np.ones((2, 3))])[0]


def state_and_weight(w: Any) -> Any:
    return tg.scan(cell(w), X, [np.ones((2, 3)) @ w])[0]


def state_of_inputs(w: Any) -> Any:
    x = tg.tensor(X) @ w
    return tg.scan(cell(EYE), x, [ops.tanh(x[:, 0])])[0]


def tied_stack(w: Any) -> Any:
    below, _ = tg.scan(cell(w), X, [np.ones((2, 3))])
    return tg.scan(cell(w), below, [np.ones((2, 3))])[0]


def one_tensor_as_two_states(w: Any) -> Any:
    h0 = np.ones((2, 3)) @ w

    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x + s[0] * s[1])
        return h, [h, s[1] * 0.5]

    return tg.scan(step, X, [h0, h0])[0]


@pytest.mark.parametrize(
    "run", [inputs_and_weight, state_and_weight, state_of_inputs, tied_stack, one_tensor_as_two_states]
)
def test_second_derivatives_where_one_input_was_computed_from_another(run: Any) -> None:
    def loss(w: Any) -> Any:
        y = run(w)
        return (y * y * y).sum()

    found = []
    for mode in (tg.unrolled, tg.derived):
        with mode():
            w = tg.tensor(W0, requires_grad=True)
            y = loss(w)
            assert is_derived(y) == (mode is tg.derived)
            found.append([np.asarray(tg.grad(y, w, create_graph=True)), np.asarray(tg.hvp(loss, W0, V))])
    for got, want in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


# --- one memory -------------------------------------------------------------------------------------


def agree(step: Any, first: float = 1.0, **options: Any) -> None:
    """Whether both modes give the same outputs, which is all that a frozen tensor changes."""
    start = [np.full((2, 3), first)]
    found = [np.array(tg.scan(step, X, start, derive=d, **options)[0]) for d in (True, False)]
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-13)


def test_a_copy_that_was_detached_once_stays_what_it_was() -> None:
    w = tg.Variable(0.5 * EYE)
    step = cell(w.detach(), w)
    for k in range(4):
        agree(step)
        if k:  # it was traced twice while both had one memory
            w.assign(w * 0.5)


def test_an_array_of_a_weight_stays_what_it_was() -> None:
    w = tg.Variable(0.5 * EYE)
    step = cell(w.numpy(), w)
    with tg.no_grad():
        for k in range(4):
            agree(step)
            if k:
                w.assign(w * 0.5)


def test_constants_that_once_had_the_memory_of_a_weight() -> None:
    w = tg.Variable(0.5 * EYE)

    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x @ w + s[0] @ c)
        return h, [h]

    for constants in (w.detach(), w.detach(), w.detach(), tg.tensor(2 * EYE)):
        agree(step, constants=constants)


def test_a_closed_over_tensor_that_once_was_the_constant_too() -> None:
    a, b = tg.tensor(np.ones((2, 3))), tg.tensor(np.full((2, 3), 5.0))
    mask = np.array([[1, 0, 1, 1], [0, 1, 1, 0]])
    step = lambda x, s, c: (a, [c])  # noqa: E731
    for constants in (a, a, a, b, a):
        agree(step, first=0.0, constants=constants, mask=mask)


def test_a_plan_made_for_tensors_of_one_memory_is_not_used_for_others() -> None:
    def gradient(w: Any, f: Any, derive: bool) -> Any:
        def step(x: Any, s: Any, c: Any) -> Any:
            h = ops.tanh(x @ f + s[0] @ f * 1.0 + x @ w)
            return h, [h]

        y, _ = tg.scan(step, X, [np.ones((2, 3))], derive=derive)
        return np.asarray(tg.grad(y.sum(), w))

    w = tg.Variable(0.5 * EYE)
    for a, b in ((w, w.detach()), (tg.Variable(0.3 * EYE), tg.tensor(0.5 * EYE))):
        np.testing.assert_allclose(gradient(a, b, True), gradient(a, b, False), rtol=1e-12)


# --- threads ----------------------------------------------------------------------------------------


def beside(work: Any, other: Any) -> None:
    """Call `other` again and again while `work` runs."""
    stop, errors = threading.Event(), []

    def loop() -> None:
        try:
            while not stop.is_set():
                other()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        work()
    finally:
        stop.set()
        thread.join()
    assert not errors, errors[0]


def test_tensors_that_another_thread_uses_while_a_plan_is_tried_out() -> None:
    w = tg.Variable(0.5 * EYE)
    half = w * 0.5  # no leaf

    def derive() -> None:
        for k in range(12):

            def step(x: Any, s: Any, c: Any, k: int = k) -> Any:
                h = ops.tanh(x + (s[0] @ half) * (1.0 + k))
                return h, [h]

            x = tg.tensor(X, requires_grad=True)
            with warnings.catch_warnings():
                warnings.simplefilter("error", UnrolledWarning)
                tg.scan(step, x, [np.ones((2, 3))], derive=True)

    def differentiate() -> None:
        found = tg.grad((half * half).sum(), w, retain_graph=True)
        assert found is not None and np.asarray(found).any()

    beside(derive, differentiate)


def test_what_another_thread_appends_while_a_step_is_looked_at() -> None:
    log: list[int] = []
    appended = [0]

    def once() -> None:
        log.append(appended[0])
        appended[0] += 1
        threading.Event().wait(0.002)

    def derive() -> None:
        for k in range(15):

            def step(x: Any, s: Any, c: Any, k: int = k) -> Any:
                h = ops.tanh((1.0 + k) * x + s[0])
                for _ in range(40):
                    h = h + 0.1 * ops.tanh(h)
                return h, [h if len(log) >= 0 else x]

            with may_unroll():
                tg.scan(step, X, [np.ones((2, 3))], derive=True)

    beside(derive, once)
    assert len(log) == appended[0]


class Doubled(tg.layers.SimpleRNNCell):
    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        h, new = super().call(inputs, states, training)
        return 2 * h, new


def test_dropout_masks_of_a_cell_stay_in_their_thread() -> None:
    layer = tg.layers.RNN(Doubled(3, dropout=0.5, recurrent_dropout=0.5))
    want = np.array(layer(X))
    few = X[:1]

    def predict() -> None:
        for _ in range(60):
            np.testing.assert_array_equal(layer(X, training=False), want)

    beside(predict, lambda: layer(few, training=True))


def test_a_constant_whose_history_was_freed() -> None:
    """What lies behind it is not asked, neither by the trial of a plan nor by the backward pass that asks steps."""
    w = tg.Variable(0.5 * EYE)
    half = w * 0.5
    tg.grad((half * half).sum(), w)  # frees what half was computed from
    x = tg.tensor(X, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnrolledWarning)
        y, _ = tg.scan(cell(half), x, [np.ones((2, 3))], derive=True)
    want, _ = tg.scan(cell(half), x, [np.ones((2, 3))], derive=False)
    np.testing.assert_allclose(y, want, rtol=1e-12)
    for out in (y, want):
        with pytest.raises(RuntimeError, match="was freed"):
            tg.grad(out.sum(), x)
