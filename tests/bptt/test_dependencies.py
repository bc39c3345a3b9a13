"""A step that was traced is not traced again until something that it refers to is another one: then it always is."""

from __future__ import annotations

import collections
import functools
import operator
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bptt import changed_code, changed_objects, changed_unseen, changed_values  # noqa: F401 (they fill the tables)
from bptt.remembered import (
    REMEMBERED,
    UNSURE,
    Named,
    Plain,
    right,
    stepping,
)
from bptt.steps import H, N, inputs, weight

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.outside.dependencies import LARGEST


def check(step: Any, change: Any, traced: list[Any], known: bool) -> None:
    before = [right(step) for _ in range(3)][-1]
    count = len(traced)
    right(step)
    assert (len(traced) == count) is known
    change()
    after = right(step)
    assert not np.array_equal(before, after), "the change shows nowhere"
    np.testing.assert_array_equal(right(step), after)
    np.testing.assert_array_equal(right(step), after)


@pytest.mark.parametrize("name", REMEMBERED)
def test_what_is_remembered_until_it_changes(name: str, traced: list[Any]) -> None:
    factor, change = REMEMBERED[name]()
    check(stepping(factor), change, traced, True)


@pytest.mark.parametrize("name", UNSURE)
def test_what_is_traced_at_every_call(name: str, traced: list[Any]) -> None:
    factor, change = UNSURE[name]()
    check(stepping(factor), change, traced, False)


# --- constants -------------------------------------------------------------------------------------------


def with_constants(x: Any, s: Any, c: Any) -> Any:
    """Uses whatever the constants are made of."""
    h = ops.tanh(x * product(c) + 0.5 * s[0])
    return h, [h]


def product(value: Any) -> Any:
    if isinstance(value, dict):
        value = [v for pair in value.items() for v in pair]
    if isinstance(value, (list, tuple)):
        return functools.reduce(operator.mul, [product(v) for v in value], 1.0)
    return 2.0 if value is None else len(value) if isinstance(value, str) else value


def tensors(*seeds: int, grad: bool = True) -> list[Any]:
    found = {seed: weight((N, H), seed) for seed in seeds}
    return [found[seed] if grad else found[seed].detach() for seed in seeds]


CONSTANTS: dict[str, Callable[[], tuple[Any, Any]]] = {  # before and after
    "a number": lambda: ([2.0], [3.0]),
    "an integer": lambda: ((2,), (3,)),
    "a boolean": lambda: ([1, 2.0], [True, 2.5]),
    "None": lambda: ([None], [3.0]),
    "a string": lambda: (["ab"], ["abc"]),
    "inside": lambda: ([[2.0, {"a": 1.0}]], [[2.0, {"a": 2.0}]]),
    "a key": lambda: ({2: 3.0}, {4: 3.0}),
    "Tensors": lambda: (tensors(1, 2), tensors(3, 4)),
    "Tensors in turn": lambda: (tensors(1, 2), tensors(2, 1)[:1] * 2),
    "the same twice": lambda: (tensors(1, 1), tensors(1, 2)),
    "no longer the same": lambda: (tensors(1, 2), tensors(3, 3)),
    "no gradient": lambda: (tensors(1), tensors(2, grad=False)),
    "a gradient": lambda: (tensors(1, grad=False), tensors(2)),
    "more of them": lambda: (tensors(1), tensors(1, 2)),
    "another shape": lambda: (tensors(1), [weight((1, H), 2)]),
    "an array": lambda: ([np.full((N, H), 2.0)], [np.full((N, H), 3.0)]),
    "a number of NumPy": lambda: ([np.float64(2.0)], [np.float64(3.0)]),
    "a Variable": lambda: ([tg.Variable(np.full(H, 2.0))], [tg.Variable(np.full(H, 3.0))]),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name: str) -> None:
    before, after = CONSTANTS[name]()
    step: Any = types.FunctionType(with_constants.__code__, globals())  # a new one
    first = [right(step, before, leaves(before)) for _ in range(4)][-1]
    second = [right(step, after, leaves(after)) for _ in range(4)][-1]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(right(step, before, leaves(before)), first)


def leaves(constants: Any) -> list[Any]:
    """Those that have gradients, once each."""
    found = {id(c): c for c in constants if isinstance(c, tg.Tensor) and c.requires_grad}
    return list(found.values())


def test_constants_that_are_tensors_are_no_reason_to_trace(traced: list[Any]) -> None:
    for seed in range(5):
        c = tensors(seed, 10 + seed)
        right(with_constants, c, c)
    assert len(traced) == 2


def test_zeros_of_either_sign_as_constants() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * float(np.copysign(2.0, c[0])), [ops.tanh(s[0] + x)]

    assert not np.array_equal(*[[right(step, [zero]) for _ in range(3)][-1] for zero in (0.0, -0.0)])


@pytest.mark.parametrize(
    "read",
    [
        lambda c: np.exp(c) if isinstance(c, np.ndarray) else ops.exp(c),
        lambda c: float(np.asarray(c)[0]),
        lambda c: c[0],
        lambda c: c.detach() if isinstance(c, tg.Tensor) else c[:].copy(),
        lambda c: np.asarray(c) * 2.0,
        lambda c: 2.0 if c.tolist()[0] > 2.5 else 3.0,
    ],
)
@pytest.mark.parametrize("kind", [np.array, tg.tensor])
def test_values_of_constants_that_the_step_reads(read: Any, kind: Any) -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * read(c[0]), [ops.tanh(s[0] + x)]

    found = [[right(step, [kind([v] * H)]) for _ in range(4)][-1] for v in (2.0, 3.0, 2.0)]
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_an_array_among_the_constants_written_in_place() -> None:
    c = np.full(H, 2.0)

    def step(x: Any, s: Any, c: Any) -> Any:
        return x * c * np.exp(c), [ops.tanh(s[0] + x)]

    for value in (2.0, 2.0, 2.0, 3.0, 2.0):
        c[:] = value
        np.testing.assert_allclose(right(step, c), inputs() * value * np.exp(value))


def test_a_large_array_among_the_constants(traced: list[Any]) -> None:
    c = np.full((LARGEST, H), 2.0)
    for value in (2.0, 2.0, 3.0):
        c[0] = value
        right(lambda_step := with_first, c)
        assert lambda_step is with_first
    assert len(traced) == 3


def test_a_part_of_an_array_among_the_constants_is_that_of_the_array_given(traced: list[Any]) -> None:
    """The values that it was traced with come again, when the array from which it had them holds others."""
    first, second = np.full((2, H), 2.0), np.full((2, H), 2.0)

    def step(x: Any, s: Any, c: Any) -> Any:
        return x * c[0], [ops.tanh(s[0] + x * c[1:].sum(axis=0))]

    for _ in range(3):
        want = right(step, first)
    first[...] = 3.0
    right(step, first)
    np.testing.assert_array_equal(right(step, second), want)


def test_an_array_outside_of_what_is_watched(traced: list[Any]) -> None:
    """The step refers to one row, and takes another one out of the array of which that is a part."""
    whole = np.full((2, H), 2.0)
    row = whole[0]

    def step(x: Any, s: Any, c: Any) -> Any:
        return x * row + ops.exp(row.base[1]), [ops.tanh(s[0] + x)]

    for value in (2.0, 2.0, 2.0, 3.0, 3.0, 2.0):
        whole[1] = value
        np.testing.assert_allclose(right(step), inputs() * 2.0 + np.exp(value))


def with_first(x: Any, s: Any, c: Any) -> Any:
    return x * c[0], [ops.tanh(s[0] + x)]


def test_a_constant_that_the_step_knows_already(traced: list[Any]) -> None:
    w, other = weight((N, H)), weight((N, H), 1)

    def step(x: Any, s: Any, c: Any) -> Any:
        factor = 2.0 if c[0] is w else 3.0
        return x * c[0] * factor, [ops.tanh(s[0] + x * w)]

    for c in (w, w, w, other, other, other, w):
        right(step, [c], [w])
    assert len(traced) <= 5
    count = len(traced)
    right(step, [w], [w])
    assert len(traced) == count


@pytest.mark.parametrize("held", [{1}, Plain(), [Plain()], Named(1.0, []), collections.OrderedDict(a=1.0)])
def test_constants_of_other_kinds(held: Any, traced: list[Any]) -> None:
    for _ in range(3):
        right(lambda_of_nothing, held)
    assert len(traced) == 3


def lambda_of_nothing(x: Any, s: Any, c: Any) -> Any:
    return x, [ops.tanh(s[0] + x)]


def test_constants_that_hold_themselves() -> None:
    held: list[Any] = [2.0]
    held.append(held)
    for value in (2.0, 2.0, 2.0, 3.0):
        held[0] = value
        np.testing.assert_allclose(np.array(tg.scan(with_first, inputs(), [np.ones((N, H))], held, derive=True)[0]),
                                   inputs() * value)  # fmt: skip
