"""What is kept of the traces of a step, for how long, and what finding it costs."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bptt.remembered import Plain, right, stepping
from bptt.steps import H, N, inputs, weight

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt import derived, examine, known
from tinygrad_rnn.bptt.outside.dependencies import Dependencies, Unsure


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for every snapshot."""
    found: list[Any] = []
    monkeypatch.setattr(known, "Dependencies", lambda step: (found.append(None), Dependencies(step))[1])
    return found


def test_a_new_function_at_every_call_costs_no_snapshot(snapshots: list[Any]) -> None:
    for _ in range(5):
        right(stepping(lambda: 2.0))
    assert not snapshots


def test_changes_at_every_call_end_the_snapshots(snapshots: list[Any], traced: list[Any]) -> None:
    one = Plain()
    step = stepping(lambda: one.scale)
    for k in range(10):
        one.scale = 1.0 + k
        right(step)
    assert len(traced) == 10 and len(snapshots) == known.FAILURES
    assert not step.__traces__  # and nothing is kept


def test_a_number_that_is_another_one_at_every_call_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs a derivation each time; the warning names the line that uses it."""
    monkeypatch.setattr(examine, "RESTLESS", 4)
    monkeypatch.setattr(examine, "_examined", OrderedDict())
    one = Plain()

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] * one.scale)
        return h, [h]

    def run() -> None:
        tg.scan(step, np.ones((2, 3, 4)), [np.ones((2, 4))], derive=True)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(12):
            one.scale = 1.0 + k
            run()
    line = step.__code__.co_firstlineno + 1
    assert [str(w.message).split(": ")[0] for w in caught] == [f"{__file__}:{line} in step()"]


def test_numbers_that_stay_for_some_calls_and_variables_are_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "RESTLESS", 4)
    monkeypatch.setattr(examine, "_examined", OrderedDict())
    one, number = Plain(), tg.Variable(1.0, trainable=False)
    held = stepping(lambda: number)
    for k in range(8):
        one.scale = 1.0 + k
        number.assign(1.0 + k)
        right(held)
        for _ in range(2):
            right(stepping(lambda: one.scale))


def test_after_a_while_it_is_looked_at_again(
    snapshots: list[Any], traced: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "REST", 6)
    one = Plain()
    step = stepping(lambda: one.scale)
    for k in range(5):
        one.scale = 1.0 + k
        right(step)
    for _ in range(20):  # from now on nothing changes
        right(step)
    assert len(snapshots) == known.FAILURES + 1 and len(traced) < 15
    calls = len(traced)
    right(step)
    assert len(traced) == calls and len(step.__traces__) == 1


def test_changes_now_and_then_do_not(traced: list[Any]) -> None:
    one = Plain()
    step = stepping(lambda: one.scale)
    for k in range(9):
        one.scale = (1.0, 2.0, 3.0, 4.0)[k // 3]  # the first and second call, and every change
        right(step)
    assert len(traced) == 4


def test_a_change_counts_once_however_many_shapes_there_are(traced: list[Any]) -> None:
    one, sizes = Plain(), range(1, 2 + known.FAILURES)
    step = stepping(lambda: one.scale)

    def traces() -> int:
        before = len(traced)
        for size in sizes:
            tg.scan(step, np.ones((size, 4, H)), [np.ones((size, H))], derive=True)
        return len(traced) - before

    traces()
    assert traces() == len(sizes) and traces() == 0
    for k in range(2 * known.FAILURES):
        one.scale = 3.0 + k
        assert traces() == len(sizes) and traces() == 0


def test_what_cannot_be_watched_is_looked_at_once(snapshots: list[Any]) -> None:
    step = stepping(lambda: globals()["np"].pi)
    for _ in range(5):
        right(step)
    assert len(snapshots) == 1


def test_too_much() -> None:
    held = [[k] for k in range(5000)]
    with pytest.raises(Unsure, match="too much"):
        Dependencies(lambda: held)


def test_many_shapes_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "TRACES_KEPT", 4)
    step = stepping(lambda: 2.0)
    for n in range(1, known.TRACES_KEPT + 5):
        for _ in range(2):
            tg.scan(step, np.ones((n, 2, H)), [np.zeros((n, H))], derive=True)
    assert len(step.__traces__) == known.TRACES_KEPT


def test_shapes_share_what_the_step_depends_on(snapshots: list[Any]) -> None:
    """It is looked at once, and again when it has changed: then every shape is traced anew."""
    factor = 2.0
    step = stepping(lambda: factor)
    for times, factor in ((1, 2.0), (2, 3.0)):  # noqa: B007 - the step reads it
        for _ in range(3):
            for n in range(1, 6):
                x, h = np.ones((n, 2, H)), np.zeros((n, H))
                found = tg.scan(step, x, [h], derive=True)[0]
                np.testing.assert_array_equal(found, tg.scan(step, x, [h], derive=False)[0])
        assert len(snapshots) == times


def test_many_calls_leave_nothing() -> None:
    w = tg.Variable(np.ones((H,)))

    def step(x: Any, s: Any, c: Any) -> Any:
        return x * c[0], [ops.tanh(s[0] + x)]

    def count() -> int:
        gc.collect()
        return len(gc.get_objects())

    def call() -> None:
        x = tg.tensor(np.ones((N, 2, H)), requires_grad=True)
        y, _ = tg.scan(step, x, [np.zeros((N, H))], [w * 2.0], derive=True)
        tg.grad(y.sum(), [w])

    for _ in range(5):
        call()
    before = count()
    for _ in range(1000):
        call()
    assert count() < before + 50


def test_constants_are_let_go() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * c[0], [ops.tanh(s[0] + x)]

    c = [weight((N, H))]
    for _ in range(3):
        tg.scan(step, inputs(), [np.zeros((N, H))], c, derive=True)
    gone = weakref.ref(c[0])
    del c
    gc.collect()
    assert gone() is None


def test_layers_and_functions_are_let_go() -> None:
    layer, step = layers.GRU(H), stepping(lambda: 2.0)
    for _ in range(4):
        with tg.derived():
            layer(np.ones((N, 3, H), "float32"))
        right(step)
    gone = weakref.ref(layer), weakref.ref(step), weakref.ref(layer.cell)
    del layer, step
    gc.collect()
    assert [g() for g in gone] == [None] * 3


def test_a_new_function_needs_no_collector() -> None:
    gc.disable()
    try:
        step = stepping(lambda: 2.0)
        tg.scan(step, inputs(), [np.zeros((N, H))], derive=True)
        gone = weakref.ref(step)
        del step
        assert gone() is None
    finally:
        gc.enable()


def test_threads() -> None:
    """Each has its own number in a shared object, one at a time; and shapes enough that traces are let go."""
    one, lock = Plain(), threading.Lock()
    step, problems = stepping(lambda: one.scale), []
    quiet = stepping(lambda: 2.0)

    def work(number: int) -> None:
        try:
            for k in range(12):
                with lock:
                    one.scale = float(number + k // 4)
                    right(step)
                n = 1 + (number + k) % 12
                y, _ = tg.scan(quiet, np.ones((n, 2, H)), [np.zeros((n, H))], derive=True)
                np.testing.assert_allclose(np.array(y)[:, 0], np.tanh(2.0))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems


def test_a_change_while_it_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by another thread: what was snapshot is not what was traced."""
    one, two = Plain(), 2.0
    one.scale = two
    step = stepping(lambda: one.scale)
    y, _ = tg.scan(step, inputs(), [np.full((N, H), 0.3)], derive=True)
    real = derived.examine

    def changing(*args: Any) -> Any:
        one.scale = 3.0
        return real(*args)

    monkeypatch.setattr(derived, "examine", changing)
    tg.scan(step, inputs(), [np.full((N, H), 0.3)], derive=True)
    monkeypatch.setattr(derived, "examine", real)
    one.scale = two
    for _ in range(3):
        again, _ = tg.scan(step, inputs(), [np.full((N, H), 0.3)], derive=True)
        np.testing.assert_array_equal(np.array(again), np.array(y))
