"""The pass `regroup`: weights around a memory go into it, before the loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, close, problem
from bptt.test_passes import loop_of
from bptt.test_rows import source

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.passes import regroup

N, F, H, ENTRIES, K = 3, 2, 5, 4, 6  # examples, features, units; entries of the memory, and their units
RNG = np.random.default_rng(0)
SHAPES = {"Q": (H, K), "K": (K, H), "W": (F, H)}


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of earlier runs, and few steps are enough."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(regroup, "STEPS", 0)


def by_einsum(w: Any, x: Any, h: Any, m: Any) -> Any:
    scores = ops.softmax(ops.einsum("nmk,nk->nm", m, h @ w["Q"]))
    return ops.tanh(x @ w["W"] + ops.einsum("nm,nmk->nk", scores, m) @ w["K"])


def turned_round(w: Any, x: Any, h: Any, m: Any) -> Any:
    scores = ops.softmax(ops.einsum("ab,acb->ac", h @ w["Q"], m))
    return ops.tanh(x @ w["W"] + ops.einsum("acb,ac->ab", m, scores) @ w["K"])


def by_views(w: Any, x: Any, h: Any, m: Any) -> Any:
    scores = ops.softmax((m @ (h @ w["Q"])[:, :, None])[:, :, 0])
    return ops.tanh(x @ w["W"] + (scores[:, None, :] @ m)[:, 0] @ w["K"])


def by_reshapes(w: Any, x: Any, h: Any, m: Any) -> Any:
    scores = ops.softmax((m @ ops.expand_dims(h @ w["Q"], -1)).squeeze(-1))
    return ops.tanh(x @ w["W"] + (ops.expand_dims(scores, 1) @ m).squeeze(1) @ w["K"])


def asked_twice(w: Any, x: Any, h: Any, m: Any) -> Any:
    """The memory and the weight are the same, so their product is."""
    first = ops.einsum("nmk,nk->nm", m, h @ w["Q"])
    second = ops.einsum("nmk,nk->nm", m, ops.sin(h) @ w["Q"])
    return ops.tanh(x @ w["W"] + ops.einsum("nm,nmk->nk", ops.softmax(first + second), m) @ w["K"])


def changed_memory(w: Any, x: Any, h: Any, m: Any) -> Any:
    return by_einsum(w, x, h, ops.tanh(m) * 2.0)


FOUND = {f.__name__: f for f in (by_einsum, turned_round, by_views, by_reshapes, asked_twice, changed_memory)}


def query_read_elsewhere(w: Any, x: Any, h: Any, m: Any) -> Any:
    query = h @ w["Q"]
    scores = ops.softmax(ops.einsum("nmk,nk->nm", m, query))
    read = ops.einsum("nm,nmk->nk", scores, m)
    return ops.tanh(x @ w["W"] + (read + query) @ w["K"])


def not_at_the_last_axis(w: Any, x: Any, h: Any, m: Any) -> Any:
    scores = ops.softmax(ops.einsum("nkm,nk->nm", ops.swapaxes(m, 1, 2), h @ w["Q"]))
    read = ops.einsum("nm,nkm->nk", scores, ops.swapaxes(m, 1, 2))
    return ops.tanh(x @ w["W"] + read @ w["K"])


def of_the_inputs(w: Any, x: Any, h: Any, m: Any) -> Any:
    """Products with all inputs run at once before the loop, whatever they are."""
    scores = ops.softmax(ops.einsum("nmk,nk->nm", m, (x @ w["W"]) @ w["Q"]))
    return ops.tanh(
        h + ops.sum(scores * scores, axis=1, keepdims=True) + ops.einsum("nm,nmk->nk", scores, m) @ w["K"]
    )


def of_a_memory_that_changes(w: Any, x: Any, h: Any, m: Any) -> Any:
    return by_einsum(w, x, h, m * ops.reshape(ops.sum(x, axis=1), (N, 1, 1)))


def from_the_last_column(w: Any, x: Any, h: Any, m: Any) -> Any:
    scores = ops.softmax((m @ (h @ w["Q"])[:, ::-1, None])[:, :, 0])
    return ops.tanh(x @ w["W"] + (scores[:, None, :] @ m)[:, 0, ::-1] @ w["K"])


def columns_in_another_order(w: Any, x: Any, h: Any, m: Any) -> Any:
    order = np.array([2, 0, 1, 5, 4, 3])
    scores = ops.softmax((m @ ops.expand_dims(h @ w["Q"], -1)[:, order])[:, :, 0])
    return ops.tanh(x @ w["W"] + (scores[:, None, :] @ m)[:, 0][:, order] @ w["K"])


def repeated_units(w: Any, x: Any, h: Any, m: Any) -> Any:
    """`einsum` repeats the only unit of this memory."""
    scores = ops.softmax(ops.einsum("nmk,nk->nm", m[:, :, :1], h @ w["Q"]))
    return ops.tanh(x @ w["W"] + h * ops.sum(scores * m[:, :, 0], axis=1, keepdims=True))


LEFT = {
    f.__name__: f
    for f in (
        query_read_elsewhere,
        not_at_the_last_axis,
        of_the_inputs,
        of_a_memory_that_changes,
        from_the_last_column,
        columns_in_another_order,
        repeated_units,
    )
}


def everything(f: Callable[..., Any], derive: bool, steps: int = 5) -> list[Any]:
    rng = np.random.default_rng(1)
    w = {n: tg.tensor(rng.standard_normal(s), requires_grad=True, name=n) for n, s in SHAPES.items()}
    x, h, m = (
        tg.tensor(rng.standard_normal(s), requires_grad=True)
        for s in ((N, steps, F), (N, H), (N, ENTRIES, K))
    )

    def step(x_t: Any, states: Any, constants: Any) -> Any:
        new = f(w, x_t, states[0], constants[0])
        return new, [new]

    y, (last,) = tg.scan(step, x, [h], [m], derive=derive)
    return [y, *tg.grad(ops.sum(y * y) + ops.sum(last), [*w.values(), x, h, m])]


def text_of(f: Callable[..., Any]) -> str:
    w = {n: tg.tensor(RNG.standard_normal(s), requires_grad=True, name=n) for n, s in SHAPES.items()}

    def step(x_t: Any, states: Any, constants: Any) -> Any:
        new = f(w, x_t, states[0], constants[0])
        return new, [new]

    m = tg.tensor(RNG.standard_normal((N, ENTRIES, K)), requires_grad=True, name="m")
    return str(tg.bptt_source(step, np.zeros((N, F)), [np.zeros((N, H))], [m]))


def products_with(text: str, name: str) -> list[str]:
    """The calls inside the loops that read a weight."""
    loops = [*loop_of(text.partition("def backward(")[0]), *loop_of(text.partition("def backward(")[2])]
    return [
        line for line in loops if name in line.replace(",", " ").replace(".", " ").replace("(", " ").split()
    ]


@pytest.mark.parametrize("name", FOUND | LEFT)
def test_it_agrees_with_unrolled(name: str) -> None:
    f = (FOUND | LEFT)[name]
    for _ in range(2):
        got, want = everything(f, True), everything(f, False)
        close([g for g in got if g is not None], [g for g in want if g is not None])
        assert [g is None for g in got] == [g is None for g in want]


@pytest.mark.parametrize("name", FOUND)
def test_no_product_with_the_weights_is_left_inside(name: str) -> None:
    text = text_of(FOUND[name])
    assert not products_with(text, "Q") and not products_with(text, "K")
    assert text.partition("inside the loop")[0].count("Q.T, out=") == 1
    with tg.bptt.without("regroup"):
        before = text_of(FOUND[name])
    assert products_with(before, "Q") and products_with(before, "K")


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_as_it_is(name: str) -> None:
    text = text_of(LEFT[name])
    with tg.bptt.without("regroup"):
        assert text == text_of(LEFT[name])


def test_a_large_memory_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regroup, "ENTRIES", ENTRIES - 1)
    assert products_with(text_of(by_einsum), "Q")


def test_a_recurrence_of_few_steps_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regroup, "STEPS", 4)
    for steps in (3, 4, 3):
        close(everything(by_einsum, True, steps), everything(by_einsum, False, steps))
    used = [".T, out=" in plan.built.text.partition("inside the loop")[0] for plan in derived._plans.values()]
    assert sorted(used) == [False, True]


@pytest.mark.parametrize("name", ["attention", "attention_by_matmul"])
def test_cells_of_the_other_tests(name: str) -> None:
    assert "Wq.T, out=" in source(problem(name)).partition("inside the loop")[0]
    close(
        Result(problem(name, 2, 4), derive=True).everything(),
        Result(problem(name, 2, 4), derive=False).everything(),
    )
