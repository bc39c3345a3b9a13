"""Steps that change something outside of themselves: as when unrolled, however often they were traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bptt.steps import H, N, T, both, inputs, may_unroll, start, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import UnrolledWarning


def test_tensors_kept_in_an_outer_list() -> None:
    found = []
    for derive in (False, True):
        kept: list[Any] = []

        def step(x: Any, s: Any, c: Any) -> Any:
            h = ops.tanh(x + s[0])
            kept.append(h)  # noqa: B023
            return h, [h]

        with may_unroll():
            for k in range(2):
                tg.scan(step, inputs(k), start(), derive=derive)
        found.append(np.array([np.array(h) for h in kept]))
    np.testing.assert_array_equal(*found)
    assert len(found[0]) == 2 * T


GLOBAL_LIST: list[Any] = []
COUNT = 0


def test_a_global_list() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = x + s[0]
        GLOBAL_LIST.append(h)
        return h, [h]

    for derive in (False, True):
        GLOBAL_LIST.clear()
        with may_unroll():
            tg.scan(step, inputs(), start(), derive=derive)
        assert len(GLOBAL_LIST) == T, derive


def test_a_global_counter() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        global COUNT
        COUNT += 1
        return x * COUNT, [x + s[0]]

    for derive in (False, True):
        globals()["COUNT"] = 0
        with may_unroll():
            y, _ = tg.scan(step, inputs(), start(), derive=derive)
        np.testing.assert_allclose(y, inputs() * np.arange(1, T + 1)[:, None])
        assert COUNT == T


def test_a_nonlocal_counter() -> None:
    def make() -> Any:
        count = 0

        def step(x: Any, s: Any, c: Any) -> Any:
            nonlocal count
            count += 1
            h = x * count + s[0]
            return h, [h]

        return step

    both(make, warn=True)


def test_a_counter_in_a_helper_function() -> None:
    def make() -> Any:
        count = 0

        def helper() -> int:
            nonlocal count
            count += 1
            return count

        def step(x: Any, s: Any, c: Any) -> Any:
            h = x * helper() + s[0]
            return h, [h]

        return step

    both(make, warn=True)


def test_a_counter_that_does_not_show_in_the_first_calls() -> None:
    def make() -> Any:
        count = 0

        def step(x: Any, s: Any, c: Any) -> Any:
            nonlocal count
            count += 1
            h = x * (1.0 if count < 8 else 3.0) + s[0]
            return h, [h]

        return step

    both(make, warn=True)


def test_an_iterator() -> None:
    def make() -> Any:
        numbers = iter(range(1, 1000))

        def step(x: Any, s: Any, c: Any) -> Any:
            h = x * next(numbers) + s[0]
            return h, [h]

        return step

    both(make, warn=True)


class Counting:
    """Sets attributes on itself."""

    def __init__(self) -> None:
        self.count, self.last, self.all = 0, None, []

    def __call__(self, x: Any, s: Any, c: Any) -> Any:
        self.count += 1
        self.last = x + s[0]
        self.all.append(self.last)
        return self.last * self.count, [self.last]

    def method(self, x: Any, s: Any, c: Any) -> Any:
        return self(x, s, c)


@pytest.mark.parametrize("bound", [False, True])
def test_attributes_set_on_self(bound: bool) -> None:
    found = []
    for derive in (False, True):
        cell = Counting()
        with may_unroll():
            for k in range(2):
                y, _ = tg.scan(cell.method if bound else cell, inputs(k), start(), derive=derive)
        found.append(
            [np.array(y), np.array(cell.last), np.array([np.array(a) for a in cell.all]), cell.count]
        )
    for got, want in zip(found[1], found[0], strict=True):
        np.testing.assert_array_equal(got, want)


def test_an_attribute_set_in_a_nested_object() -> None:
    class Inner:
        count = 0

        def __call__(self, x: Any) -> Any:
            self.count += 1
            return x * self.count

    def make() -> Any:
        inner = Inner()
        return lambda x, s, c: (inner(x), [s[0] + x])

    both(make, warn=True)


def test_an_attribute_in_slots() -> None:
    class Slotted:
        __slots__ = ("count",)

        def __init__(self) -> None:
            self.count = 0

        def __call__(self, x: Any, s: Any, c: Any) -> Any:
            self.count += 1
            return x * self.count, [s[0] + x]

    both(Slotted, warn=True)


def test_a_mutable_default_argument() -> None:
    def make() -> Any:
        def step(x: Any, s: Any, c: Any, store: Any = []) -> Any:  # noqa: B006
            store.append(1)
            return x * len(store), [s[0] + x]

        step.__defaults__ = ([],)
        return step

    both(make, warn=True)


def test_an_array_changed_in_place_by_the_step() -> None:
    def make() -> Any:
        total = np.zeros(())

        def step(x: Any, s: Any, c: Any) -> Any:
            total[...] += 1.0
            return x * float(total), [s[0] + x]

        return step

    both(make, warn=True)


def test_an_array_changed_in_place_and_used_as_array() -> None:
    def make() -> Any:
        total = np.zeros((H,))

        def step(x: Any, s: Any, c: Any) -> Any:
            total[...] += 1.0
            return x * total, [s[0] + x]

        return step

    both(make, warn=True)


def test_side_effects_that_begin_after_the_first_call() -> None:
    """The step was found harmless once; then a switch is turned."""
    found = []
    for derive in (False, True):
        kept: list[Any] = []

        class Cell:
            recording = False

            def __call__(self, x: Any, s: Any, c: Any) -> Any:
                h = ops.tanh(x + s[0])
                if self.recording:
                    kept.append(h)  # noqa: B023
                return h, [h]

        cell = Cell()
        with may_unroll():
            tg.scan(cell, inputs(), start(), derive=derive)
            cell.recording = True
            tg.scan(cell, inputs(), start(), derive=derive)
        found.append(np.array([np.array(h) for h in kept]))
    np.testing.assert_array_equal(*found)


def test_random_numbers_that_begin_after_the_first_call() -> None:
    """As dropout does: none in prediction, then training begins."""

    class Cell:
        training = False

        def __init__(self) -> None:
            self.rng = np.random.default_rng(5)

        def __call__(self, x: Any, s: Any, c: Any) -> Any:
            h = ops.dropout(x, 0.5, seed=self.rng) if self.training else x
            return h, [s[0] + h]

    both_found = []
    for derive in (False, True):
        cell = Cell()
        with may_unroll():
            tg.scan(cell, np.ones((N, 20, H)), start(), derive=derive)
            cell.training = True
            y, _ = tg.scan(cell, np.ones((N, 20, H)), start(), derive=derive)
        both_found.append(np.array(y))
    np.testing.assert_array_equal(*both_found)


def test_side_effects_of_another_closure_of_the_same_code() -> None:
    """What is known about one closure must not be taken for granted of another."""

    def wrapped(inner: Any) -> Any:
        def step(x: Any, s: Any, c: Any) -> Any:
            return inner(x), [s[0] + x]

        return step

    rng = np.random.default_rng(0)
    tg.scan(wrapped(lambda x: x * 2.0), inputs(), start(), derive=True)
    with may_unroll():
        y, _ = tg.scan(
            wrapped(lambda x: x * 0.0 + rng.standard_normal((N, H))), inputs(), start(), derive=True
        )
    assert np.abs(np.diff(np.array(y), axis=1)).min() > 0


def test_a_good_closure_is_derived_after_a_bad_one_of_the_same_code() -> None:
    def wrapped(inner: Any) -> Any:
        def step(x: Any, s: Any, c: Any) -> Any:
            return inner(x), [s[0] + x]

        return step

    with pytest.warns(UnrolledWarning):
        tg.scan(wrapped(lambda x: x * float(x.sum())), inputs(), start(), derive=True)
    tg.scan(wrapped(lambda x: x * 2.0), inputs(), start(), derive=True)  # a warning would be an error


def test_the_reason_names_the_first_line_that_is_another_one() -> None:
    """An op that the second trace does not have, or has with another number; what is returned has no line."""
    w, calls = weight(), [0]

    def branch(x: Any, s: Any, c: Any) -> Any:
        calls[0] += 1
        z = x @ w + s[0]
        h = ops.tanh(z) if calls[0] % 2 else ops.relu(z)
        return h, [h]

    def loop(x: Any, s: Any, c: Any) -> Any:
        calls[0] += 1
        h = x @ w + s[0]
        for _ in range(calls[0] % 3):
            h = ops.tanh(h)
        return h, [h]

    def number(x: Any, s: Any, c: Any) -> Any:
        calls[0] += 1
        h = ops.tanh(x @ w + s[0])
        h = h * calls[0]
        return h, [h]

    def result(x: Any, s: Any, c: Any) -> Any:
        calls[0] += 1
        h = ops.tanh(x @ w + s[0])
        return h, [h if calls[0] % 2 else s[0]]

    for step, line in ((branch, 3), (loop, 4), (number, 3), (result, None)):
        place = f":{step.__code__.co_firstlineno + line} in {step.__name__}\\(\\)" if line else ": the step"
        with pytest.warns(UnrolledWarning, match=f"{place} does something else when it is called again"):
            tg.scan(step, inputs(), start(), derive=True)
