"""The pass `powers`: squares for second powers, and products with the inverses of roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bptt.test_normalized_cells import agree, sources, weights
from bptt.test_passes import loop_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops

W = weights(W=(3, 4), U=(4, 4), gain=(4,))


def mean(x: Any) -> Any:
    return ops.mean(x, axis=-1, keepdims=True)


def by_roots(c: Any, square: Any) -> Any:
    return c / ops.sqrt(mean(square) + 1e-3)


FORMS: dict[str, Callable[[Any], Any]] = {  # of a normalization of centred rows
    "inverse root": lambda c: c * ops.rsqrt(mean(c * c) + 1e-3) * W["gain"],
    "quotient": lambda c: by_roots(c, c * c) * W["gain"],
    "power": lambda c: by_roots(c, c**2) * W["gain"],
    "power of floats": lambda c: by_roots(c, c**2.0) * W["gain"],
    "square": lambda c: by_roots(c, ops.square(c)) * W["gain"],
    "gain first": lambda c: W["gain"] * c / ops.sqrt(mean(c**2) + 1e-3),
}


def cell(form: Callable[[Any], Any]) -> Any:
    def step(x: Any, states: Any, constants: Any) -> Any:
        z = states[0] @ W["U"]
        h = ops.tanh(x @ W["W"] + form(z - mean(z)))
        return h, [h]

    return step


def lines(step: Any, *off: str) -> list[int]:
    return [len(loop_of(text)) for text in sources(step, *off)]


@pytest.mark.parametrize("name", FORMS)
def test_all_forms_of_a_normalization_have_the_same_loops(name: str) -> None:
    step = cell(FORMS[name])
    agree(step, W)
    assert lines(step) == lines(cell(FORMS["inverse root"]))


def test_without_it_there_are_powers_and_more_for_all_steps() -> None:
    assert "power(" in sources(cell(FORMS["power"]), "powers")[0]
    step = cell(FORMS["gain first"])
    on, off = (sources(step, *passes)[1].count("all_") for passes in ((), ("powers",)))
    assert on < off


OTHERS: dict[str, Callable[[Any, Any], Any]] = {
    "as large as what it divides": lambda x, h: h / ops.sqrt(1.0 + h * h),
    "a root of weights": lambda x, h: h / ops.sqrt(W["gain"] * W["gain"] + 1.0),
    "a third power": lambda x, h: ops.tanh(h) ** 3,
    "two to the power": lambda x, h: 2.0 ** ops.tanh(h),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_left_alone(name: str) -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x @ W["W"] + OTHERS[name](x, states[0]))
        return h, [h]

    assert sources(step) == sources(step, "powers")
    agree(step, W)


def test_one_inverse_for_two_quotients_of_a_root_that_is_an_output() -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        length = ops.sqrt(ops.sum(h * h, axis=-1, keepdims=True) + 0.1)
        new = ops.tanh(x @ W["W"] + h / length + ops.sin(h) / length)
        return (new, length), [new]

    forward, _ = sources(step)
    loop = " ".join(loop_of(forward))
    assert loop.count("divide(") + loop.count("reciprocal(") == 1
    rng = np.random.default_rng(2)
    found = []
    for derive in (True, False):
        x, h = (tg.tensor(rng.standard_normal(s), requires_grad=True) for s in ((2, 5, 3), (2, 4)))
        rng = np.random.default_rng(2)
        (y, lengths), _ = tg.scan(step, x, [h], derive=derive)
        found.append([y, lengths, *tg.grad((y * y).sum() + lengths.sum(), [x, h, W["W"]])])
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("least", [0.0, np.finfo(np.float32).smallest_subnormal])
def test_rows_without_length_give_what_the_quotient_gives(least: float) -> None:
    """0 / 0 is NaN both ways, and the inverse root of the smallest number is finite."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        y = x / ops.sqrt(ops.sum(x * x, axis=-1, keepdims=True) + least)
        return y, [0.5 * h + ops.where(ops.isfinite(y), y, 0.0)]

    x = np.zeros((2, 3, 4), "float32")
    x[1] = 1.0
    x[0, 1] = np.inf
    with np.errstate(all="ignore"):
        got, want = (
            tg.scan(step, x, [np.ones((2, 4), "float32")], derive=derive)[0].numpy()
            for derive in (True, False)
        )
    np.testing.assert_allclose(got, want, rtol=1e-6)
