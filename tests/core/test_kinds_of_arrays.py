"""Matrices, masked arrays and subclasses of users are the numbers in them, whatever `*` and `sum` mean there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 3, 3))


class Doubling(np.ndarray):
    """An array whose ufuncs give twice as much."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return 2 * getattr(ufunc, method)(*[np.asarray(a) for a in inputs])


KINDS: dict[str, Callable[[Any], Any]] = {
    "matrix": np.matrix,
    "masked": lambda a: np.ma.masked_array(a, a > 1),
    "subclass": lambda a: np.array(a).view(Doubling),
    "flags": lambda a: np.matrix(a > 0),
}
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "multiply": lambda t, c: t * c,
    "divide": lambda t, c: t / (t + c),
    "add": lambda t, c: t + c,
    "power": lambda t, c: ops.exp(t) ** c,
    "maximum": ops.maximum,
    "product": lambda t, c: t @ c,
    "where": lambda t, c: ops.where(c, t, c),
    "concatenate": lambda t, c: ops.concatenate([t, c], axis=1),
    "sum": lambda t, c: ops.sum(t * c, axis=1),
    "einsum": lambda t, c: ops.einsum("ij,ij->i", t, c),
}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_array_of_another_kind_is_its_numbers(kind: Any, function: Any) -> None:
    given, found = kind(B), []
    for c in given, np.array(given):
        t = tg.tensor(A, requires_grad=True)
        y = function(t, c)
        if c is given:  # what the backward pass reads is a copy
            given[...] = 7.0
        (gradient,) = tg.grad((y * y).sum(), [t])
        found.append([y.numpy(), gradient.numpy()])
        assert all(type(a) is np.ndarray for a in found[-1])
    np.testing.assert_equal(*found)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("derive", [True, False])
@pytest.mark.parametrize("name", ["matrix", "subclass"])
def test_a_step_may_use_it_and_it_may_be_changed(name: str, derive: bool) -> None:
    given = KINDS[name](B.copy())

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + (states[0] @ constants) * constants)
        return h, [h]

    x = RNG.standard_normal((3, 4, 3))
    for k in range(4):
        given[0, 0] = k
        found = []
        for c in given, np.array(given):
            h = tg.tensor(A, requires_grad=True)
            y, _ = tg.scan(step, x, [h], c, derive=derive)
            found.append([y.numpy(), tg.grad((y * y).sum(), h).numpy()])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


NO_NUMBERS = {
    "objects": np.array([[1.0, 2.0, 3.0]] * 3, object),
    "dates": np.array([["2020-01-01"] * 3] * 3, "M8[D]"),
    "durations": np.ones((3, 3), "m8[s]"),
    "records": np.zeros((3, 3), [("x", "f8")]),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("given", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_holds_no_numbers_is_named_at_once(given: Any, function: Any) -> None:
    with pytest.raises(
        TypeError, match=r"expected numbers beside a Tensor, received an array of .*, shape \(3, 3\)"
    ):
        function(tg.tensor(A, requires_grad=True), given)
