"""The pass `einsum`: with two factors it is a product like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bptt.problems import close
from bptt.test_passes import loop_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops

SIZES = dict(zip("nijkhmg", (3, 2, 4, 5, 6, 2, 3), strict=True))  # n counts the examples
PRODUCTS = (
    "nij,nj->ni", "nj,nij->ni", "nij,ni->nj", "ni,nij->nj", "ni,nj->nij", "ni,nj->nji", "nij,nj->nij", "ni,ni->n",
    "ni,ni->ni", "nij,nij->n", "nij,nij->ni", "nij,njk->nik", "nij,nkj->nki", "nji,njk->nik", "nhij,nhj->nhi",
    "nihj,nkhj->nhik", "nijk,nk->nij", "nijk,njk->ni", "nijk,nkj->ni", "ni,nijk->njk", "nij,nkh->nikjh",
    "ni,ik->nk", "ni,ki->nk", "ni,k->nki", "nij,jk->nik", "nij,ij->n", "nij,ijk->nk", "nij,jkh->nihk",
    "ngi,gij->ngj", "ngi,gij->gnj", "nij,j->ni", "nij,i->nj", "ni,->ni",
)  # fmt: skip
LEFT = {
    "nii,ni->n": "a diagonal",
    "nij,nj->n": "an index that one factor alone has is added up",
    "nim,nm,nm->ni": "three factors",
    "nij->nj": "one factor",
}
assert len({*PRODUCTS}) == len(PRODUCTS)


def run(subscripts: str, derive: bool) -> list[Any]:
    """Outputs, last states and all gradients: factors with an axis of examples are states, the others weights."""
    rng = np.random.default_rng(0)
    terms = subscripts.split("->")[0].split(",")
    x, *factors = (
        tg.tensor(rng.standard_normal(shape), requires_grad=True)
        for shape in ((SIZES["n"], 5, 2), *[tuple(SIZES[c] for c in t) for t in terms])
    )
    carried = [t.startswith("n") for t in terms]

    def step(x_t: Any, states: Any, constants: Any) -> Any:
        left = iter(states)
        now = [next(left) if c else f for c, f in zip(carried, factors, strict=True)]
        y = ops.einsum(subscripts, *now)
        return y, [ops.tanh(0.5 * s + ops.mean(y) + ops.mean(x_t)) for s in states]

    states = [f for c, f in zip(carried, factors, strict=True) if c]
    y, last = tg.scan(step, x, states, derive=derive)
    total = ops.sum(ops.sin(y)) + sum(ops.sum(s) for s in last)
    text = str(tg.bptt_source(step, x[:, 0].numpy(), [s.numpy() for s in states])) if derive else ""
    return [y, *last, *tg.grad(total, [x, *factors]), text]


@pytest.mark.parametrize("subscripts", PRODUCTS)
def test_a_product_of_two_is_none_of_einsum(subscripts: str) -> None:
    want = run(subscripts, False)[:-1]
    for _ in range(2):
        *got, text = run(subscripts, True)
        close(got, want)
    assert '"' + subscripts + '"' not in text.partition("def forward")[2]


@pytest.mark.parametrize("subscripts", LEFT)
def test_what_is_left_as_it_is(subscripts: str) -> None:
    *got, text = run(subscripts, True)
    close(got, run(subscripts, False)[:-1])
    assert f'np.einsum("{subscripts}"' in text


def test_lengths_of_1_that_einsum_repeats() -> None:
    """NumPy takes them for the other length."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(ops.einsum("nij,nj->ni", x[:, :, :1], states[0]))
        return h, [h]

    x, h = np.random.default_rng(0).standard_normal((3, 4, 5, 5)), np.ones((3, 5))
    derived, unrolled = (tg.scan(step, x, [h], derive=derive)[0] for derive in (True, False))
    assert np.allclose(derived.numpy(), unrolled.numpy(), rtol=1e-12)
    assert "np.einsum(" in tg.bptt_source(step, x[:, 0], [h])


def test_what_needs_no_state_leaves_the_loops() -> None:
    """A read-out of a memory runs after the loop, and what it sends back comes before the other one."""

    def step(x: Any, states: Any, constants: Any) -> Any:
        key, value, query = x
        memory = 0.9 * states[0] + ops.einsum("ni,nj->nij", key, value)
        return ops.einsum("nij,ni->nj", memory, query), [memory]

    text = tg.bptt_source(step, tuple(np.ones((2, n)) for n in (3, 4, 3)), [np.ones((2, 3, 4))])
    forward, _, backward = text.partition("def backward(")
    assert len(loop_of(forward)) == 2 and len(loop_of(backward)) == 2
    with tg.bptt.without("einsum"):
        before = tg.bptt_source(step, tuple(np.ones((2, n)) for n in (3, 4, 3)), [np.ones((2, 3, 4))])
    assert before.count("np.einsum(") == 6


@pytest.mark.parametrize("units", [3, 40])
def test_a_small_einsum_is_not_planned(units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy takes 0.2 ms to look for an order of three factors; both modes ask for it alike."""
    asked: list[bool] = []

    def einsum(*args: Any, **options: Any) -> Any:
        asked.append(options.get("optimize", False))
        return numpys(*args, **options)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(ops.einsum("ni,nij,nj->nj", states[0], states[1], x) + ops.einsum("ni,->ni", x, 2.0))
        return h, [h, states[1]]

    rng = np.random.default_rng(0)
    x, h = rng.standard_normal((16, 3, units)), rng.standard_normal((16, units))
    W = tg.tensor(rng.standard_normal((16, units, units)), requires_grad=True)
    numpys, found = np.einsum, []
    monkeypatch.setattr(np, "einsum", einsum)
    for derive in (True, False):
        with tg.bptt.without():
            y, _ = tg.scan(step, x, [h, W], derive=derive)
            found.append([y, tg.grad((y * y).sum(), W)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(asked) == (units == 40)
    text = tg.bptt_source(step, x[:, 0], [h, W.numpy()])
    assert ("optimize=True" in text) == (units == 40)
