"""Derived mode from several threads, and what it keeps: bounded, and freed when results are dropped."""

from __future__ import annotations

import gc
import queue
import threading
import weakref
from array import array
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bptt.steps import H, N, equal, inputs, lstm_run, lstm_step, start, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived, examine, idle
from tinygrad_rnn.bptt.plan import LENGTHS_KEPT


def at_once(work: Callable[[int], None], count: int) -> None:
    """Run `work(number)` in as many threads; what one of them raises is raised here."""
    problems: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if problems:
        raise problems[0]


def test_threads_with_models_of_the_same_structure(plans: Any) -> None:
    want = [lstm_run(seed, False) for seed in range(4)]

    def work(seed: int) -> None:
        for _ in range(15):
            equal(lstm_run(seed, True), want[seed], 1e-10)

    at_once(work, 4)


def test_threads_that_share_one_cell() -> None:
    """Tracing looks at the surroundings of a step and puts them back: another thread may be in it."""
    step, zero = lstm_step(weight((H, 4 * H)), weight((H, 4 * H), 9)), np.zeros((N, H))
    xs = [np.random.default_rng(seed).standard_normal((N, 10 + seed, H)) for seed in range(3)]
    want = [tg.scan(step, x, [zero, zero], derive=False)[0] for x in xs]

    def work(seed: int) -> None:
        for _ in range(15):
            equal([tg.scan(step, xs[seed], [zero, zero], derive=True)[0]], [want[seed]], 1e-10)

    at_once(work, 3)


class Interrupted(tg.layers.SimpleRNNCell):
    """A cell whose layer is called by another thread while its first steps are traced, `times` in all."""

    layer: Any = None

    def __init__(self, units: int, times: int) -> None:
        super().__init__(units)
        self.times = array("d", range(times))  # nobody looks into it

    def step(self, z: Any, states: Any, constants: Any) -> Any:
        if self.times and self.layer is not None:
            self.times.pop()
            other = threading.Thread(target=self.call_layer)
            other.start()
            other.join()
        return super().step(z, states, constants)

    def call_layer(self) -> None:
        """What a call sets, and what it draws."""
        self.layer.dropout_masks, self.layer.output_shape = [object()], object()
        tg.config.generator().random()


def test_a_layer_that_another_thread_calls_meanwhile() -> None:
    x = np.ones((2, 3, 2), np.float32)
    for times in (1, 3):
        cell = Interrupted(2, times)
        layer = tg.layers.RNN(cell)
        want = layer(x)
        cell.layer = layer
        with tg.derived():
            for _ in range(3):
                equal([layer(x)], [want], 1e-6)
        assert not cell.times


def test_lengths_share_a_plan_and_few_sets_of_buffers(plans: Any) -> None:
    for steps in range(1, 41):
        lstm_run(0, True, steps)
    gc.collect()
    (plan,) = plans.values()
    assert len(plan.idle.sets) <= idle.OF_A_PLAN
    equal(lstm_run(0, True, 17), lstm_run(0, False, 17), 1e-10)


class _Forgetful(dict[Any, Any]):
    """What another thread empties as soon as something new is in it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.clear()


@pytest.mark.parametrize("kind", [dict, _Forgetful])
def test_a_thread_may_forget_which_gradients_a_length_has_while_another_asks(plans: Any, kind: Any) -> None:
    """Nor do two that are over the limit together keep all from then on."""
    lstm_run(0, True)
    (plan,) = plans.values()
    plan.reached = kind(dict.fromkeys(range(LENGTHS_KEPT + 1)))
    for steps in (7, 8):
        equal(lstm_run(0, True, steps), lstm_run(0, False, steps))
    assert len(plan.reached) <= LENGTHS_KEPT


def test_all_batch_sizes_together_keep_little_memory(plans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_waiting", {})
    monkeypatch.setattr(idle, "OF_ALL", 3)
    for limit, kept in ((10**9, 8), (0, 1)):  # 1: a new set is made for each batch size
        monkeypatch.setattr(idle, "BYTES", limit)
        for batch in range(1, 9):
            lstm_run(0, True, 5, batch)
        gc.collect()
        assert sum(len(plan.idle.sets) for plan in plans.values()) == kept
    for batch in (1, 8):  # of these the second is kept
        equal(lstm_run(0, True, 5, batch), lstm_run(0, False, 5, batch), 1e-10)


@pytest.mark.parametrize("derive", [False, True])
def test_a_recurrence_is_freed_without_garbage_collection(derive: bool) -> None:
    """Also what its constants were computed from: an encoder's graph."""
    W = weight((H, H))

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] @ W + constants[0])
        return h, [h]

    def run() -> weakref.ref[Any]:
        encoded = tg.tensor(np.ones((N, H)), requires_grad=True) * 2.0
        y, _ = tg.scan(step, inputs(), start(), (encoded,), derive=derive)
        tg.grad(y.sum(), [W])
        return weakref.ref(encoded)

    run()
    gc.collect()
    gc.disable()
    try:
        assert [run()() for _ in range(3)] == [None] * 3 and gc.collect() == 0
    finally:
        gc.enable()


def test_the_plans_of_many_batch_sizes_are_forgotten(plans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "PLANS_KEPT", 3)
    for batch in range(1, 9):
        lstm_run(0, True, 3, batch)
    assert len(plans) == 3
    equal(lstm_run(0, True, 3, 2), lstm_run(0, False, 3, 2), 1e-10)


def test_the_structures_of_a_number_that_always_changes_are_forgotten(
    plans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "_examined", OrderedDict())
    monkeypatch.setattr(examine, "STRUCTURES_KEPT", 3)
    scale = [1.0]
    for k in range(8):
        scale[0] = 1.0 + k
        y, _ = tg.scan(lambda x, s, c: (s[0] * scale[0], [s[0] + x]), inputs(), start(), derive=True)
        want, _ = tg.scan(lambda x, s, c: (s[0] * scale[0], [s[0] + x]), inputs(), start(), derive=False)
        equal([y], [want])
    assert [len(known) for known in examine._examined.values()] == [3]


def test_nothing_is_left_behind_when_results_are_dropped() -> None:
    """The graph of a derived recurrence is freed at once, by reference counts."""
    w = weight()
    gc.collect()
    gc.disable()
    try:
        y, _ = tg.scan(lambda x, s, c: (s[0] @ w, [ops.tanh(s[0] @ w + x)]), inputs(), start(), derive=True)
        node = weakref.ref(y._node.parent)
        del y, _
        assert node() is None
    finally:
        gc.enable()


def elsewhere(work: Callable[[], None]) -> None:
    """Run `work` in another thread, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_trace_leaves_the_numbers_of_other_threads_alone() -> None:
    """What these draw meanwhile must not come once more."""
    outside: queue.SimpleQueue[float] = queue.SimpleQueue()  # not looked into
    stream = tg.config.SeedGenerator(1)

    def step(x: Any, states: Any, constants: Any) -> Any:
        elsewhere(lambda: outside.put(tg.config.generator().random()))
        elsewhere(lambda: outside.put(stream.numpy.random()))
        return states[0], [ops.tanh(x + states[0])]

    tg.scan(step, inputs(), start(), derive=True)  # a warning would be an error
    drawn = [outside.get() for _ in range(outside.qsize())]
    assert len(set(drawn)) == len(drawn) > 4


@pytest.mark.parametrize("other", [{}, {"dropout": 0.5}])
def test_another_threads_predict_leaves_fit_as_it_is(other: dict[str, Any]) -> None:
    """Also of the model itself, whose dropout draws for every batch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4, 3)), rng.normal(size=(8, 1))

    def trained(beside: bool) -> list[Any]:
        tg.utils.set_random_seed(2)
        model = tg.Sequential([tg.Input((None, 3)), tg.layers.GRU(4, **other), tg.layers.Dense(1)])
        model.compile("sgd", "mse")

        def new_shapes() -> None:
            for batch in range(1, 7):
                model.predict(x[:batch], verbose=0)

        for _ in range(4):
            thread = threading.Thread(target=new_shapes)
            if beside:
                thread.start()
            model.fit(x, y, batch_size=4, epochs=2, verbose=0)
            if beside:
                thread.join()
        return model.get_weights()

    for alone, beside in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(beside, alone, rtol=1e-5, atol=1e-6)


def test_weights_that_move_in_the_trial_are_no_fault_of_the_step(plans: Any) -> None:
    w = tg.Variable(np.eye(H), dtype="float64")
    outside = ModuleType("outside")
    outside.moves = 2  # type: ignore[attr-defined]

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] @ w)
        if tg.config.mode().monitor is None and outside.moves:  # in the trial
            outside.moves -= 1
            elsewhere(lambda: w.assign(w.numpy() * 1.5))
        return h, [h]

    y, _ = tg.scan(step, inputs(), start(), derive=True)  # a warning would be an error
    assert not outside.moves
    np.testing.assert_allclose(y, tg.scan(step, inputs(), start(), derive=False)[0], rtol=1e-12)


def test_threads_that_call_a_new_layer_find_it_built_once() -> None:
    for _ in range(10):
        layer = tg.layers.GRU(4)
        at_once(lambda _: layer(np.ones((2, 3, 3))), 4)  # noqa: B023
        assert [w.shape for w in layer.weights] == [(3, 12), (4, 12), (2, 12)]
