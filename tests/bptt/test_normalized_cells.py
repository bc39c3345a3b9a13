"""The passes that make normalized cells fast: means in the weights, constants first, gains that hold a sign."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from bptt.problems import zeros_for_none
from bptt.test_passes import loop_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops


def weights(**shapes: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {n: tg.tensor(rng.standard_normal(s), requires_grad=True) for n, s in shapes.items()}


def sources(step: Any, *off: str, dtype: str = "float64") -> tuple[str, str]:
    """Forward and backward pass of a step of one state, without some passes."""
    with tg.bptt.without(*off) if off else nullcontext():
        text = str(tg.bptt_source(step, np.ones((2, 3), dtype), [np.ones((2, 4), dtype)]))
    forward, _, backward = text.partition("def backward(")
    return forward, backward


def forward_of(step: Any, *off: str) -> str:
    return sources(step, *off)[0]


def agree(step: Any, held: dict[str, Any]) -> list[Any]:
    """Derived values and gradients, which are those of the recorded steps."""
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))
    found = []
    for derive in (True, False):
        h = tg.tensor(np.full((2, 4), 0.5), requires_grad=True)
        y, _ = tg.scan(step, tg.tensor(x), [h], derive=derive)
        leaves = [h, *held.values()]
        found.append([y.numpy(), *zeros_for_none(tg.grad((y * dy).sum(), leaves), leaves)])
    for derived, unrolled in zip(*found, strict=True):
        np.testing.assert_allclose(derived, unrolled, rtol=1e-11, atol=1e-13)
    return found[0]


def centred(z: Any) -> Any:
    return z - ops.mean(z, axis=-1, keepdims=True)


W = weights(W=(3, 4), U=(4, 4), b=(4,), c=(4,), gain=(4,))

PRODUCTS = {
    "product": lambda x, h: centred(h @ W["U"]),
    "sum": lambda x, h: centred(x @ W["W"] + h @ W["U"] + W["b"]),
    "difference of a variable": lambda x, h: centred(h @ W["U"] + (W["b"] - W["c"])),
    "one weight in two": lambda x, h: centred(h @ W["U"]) + centred(ops.tanh(h) @ W["U"]),
    "weights from weights": lambda x, h: centred(h @ (W["U"] * W["gain"])),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_center_takes_means_of_products_out_of_the_loop(name: str) -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(PRODUCTS[name](x, states[0]))
        return h, [h]

    agree(step, W)
    loop, before = loop_of(forward_of(step)), loop_of(forward_of(step, "center"))
    assert any("np.add.reduce" in line for line in before)
    assert not any("np.add.reduce" in line or line.startswith("subtract") for line in loop)


OTHERS = {
    "read as it is": lambda x, h: (lambda z: centred(z) + z)(h @ W["U"]),
    "its mean read, too": lambda x, h: (lambda m: (h @ W["U"]) - m + ops.tanh(m))(
        ops.mean(h @ W["U"], axis=-1, keepdims=True)
    ),
    "another mean": lambda x, h: h @ W["U"] - ops.mean(ops.tanh(h), axis=-1, keepdims=True),
    "over the batch": lambda x, h: (lambda z: z - ops.mean(z, axis=0, keepdims=True))(h @ W["U"]),
    "divided by another number": lambda x, h: (lambda z: z - ops.sum(z, axis=-1, keepdims=True) / 5.0)(
        h @ W["U"]
    ),
    "no product": lambda x, h: centred(h * W["gain"]),
    "an elementwise term": lambda x, h: centred(h @ W["U"] + ops.tanh(h)),
    "a number for all columns": lambda x, h: centred(h @ W["U"] + W["b"][:1]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_center_leaves_other_differences_alone(name: str) -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(OTHERS[name](x, states[0]))
        return h, [h]

    assert forward_of(step) == forward_of(step, "center")
    agree(step, W)


def test_center_finds_the_layer_for_normalization() -> None:
    normalization = tg.layers.LayerNormalization(dtype="float64")
    normalization.build((2, 4))

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(normalization(x @ W["W"] + states[0] @ W["U"]))
        return h, [h]

    assert not any("np.add.reduce" in line for line in loop_of(forward_of(step)))
    agree(step, W)


def test_what_is_the_same_at_every_step_is_added_first() -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh((ops.sin(x) @ W["W"] + W["b"]) + (states[0] @ W["U"] * W["gain"] + W["c"]))
        return h, [h]

    text, before = forward_of(step, "rows", "gather"), forward_of(step, "sums", "rows", "gather")
    assert len(loop_of(text)) == len(loop_of(before)) - 1
    assert text.count("add(") == before.count("add(")
    _, _, _, _, db, dc, _ = agree(step, W)
    np.testing.assert_array_equal(db, dc)


def test_two_weights_with_one_gradient_do_not_share_its_memory() -> None:
    b, c = (tg.Variable(np.zeros(4, "float32")) for _ in range(2))

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] * 0.5 + (b + c))
        return h, [h]

    y, _ = tg.scan(step, np.ones((2, 3, 4), "float32"), [np.zeros((2, 4), "float32")], derive=True)
    y.sum().backward()
    assert np.any(b.grad) and not np.shares_memory(b.grad, c.grad)
    kept = np.array(c.grad)
    b.grad[...] = 0
    np.testing.assert_array_equal(c.grad, kept)


@pytest.mark.parametrize("fast_tanh", [False, True])
@pytest.mark.parametrize("kinds", ["ssts", "tsst", "ttss", "stst", "ssss"])
def test_the_factor_of_gates_goes_into_the_gain_of_a_normalization(
    kinds: str, fast_tanh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32, the only type for which ½ is used; the order of gates stays as it is."""
    monkeypatch.setattr("tinygrad_rnn.bptt.passes.gates._has_fast_tanh", lambda: fast_tanh)
    held = {
        n: tg.Variable(w.numpy().astype("float32"), name=n)
        for n, w in weights(U=(4, 16), gain=(16,), shift=(16,)).items()
    }

    def step(x: Any, states: Any, constants: Any) -> Any:
        z = centred(states[0] @ held["U"])
        z = z * ops.rsqrt(ops.mean(z * z, axis=-1, keepdims=True) + 0.1) * held["gain"] + held["shift"]
        a, b, c, d = [
            (ops.sigmoid if kind == "s" else ops.tanh)(part)
            for kind, part in zip(kinds, ops.split(z, 4, axis=-1), strict=True)
        ]
        h = a * b + c * d + x[:, :1]
        return h, [h]

    scale = "0.5" if fast_tanh else "-1.0"
    text, _ = sources(step, dtype="float32")
    assert f"{scale}, out=gain_folded" in text and "negative(" not in text
    assert "_folded" not in sources(step, "fold", dtype="float32")[0]
    x, h = np.ones((2, 5, 3), "float32"), np.ones((2, 4), "float32")
    derived, unrolled = (tg.scan(step, x, [h], derive=derive)[0].numpy() for derive in (True, False))
    np.testing.assert_allclose(derived, unrolled, rtol=2e-5, atol=2e-6)


def test_a_large_gradient_that_is_summed_as_well_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        z = states[0] @ W["U"] + x @ W["W"]
        h = z * ops.rsqrt(ops.mean(z * z, axis=-1, keepdims=True) + 0.1) * W["gain"]
        return h, [h]

    def products() -> int:
        return sum(line.startswith("multiply(") for line in loop_of(sources(step)[1]))

    few = products()
    monkeypatch.setattr("tinygrad_rnn.bptt.passes.algebra.IN_CACHE", 1)
    assert products() == few + 1  # dh · gain, once; its factors were made before the loop
    agree(step, W)


def test_numbers_in_a_factor_become_one() -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x[:, :1] + 0.5 * (3.0 * -ops.sin(states[0])) / 4.0)
        return h, [h]

    backward, before = (sources(step, *off)[1].partition("def new_cache")[0] for off in ((), ("factors",)))
    assert backward.count("-0.375") == 1 and not re.search(r"\b(0\.5|3\.0|4\.0)\b|half|negative", backward)
    assert "0.375" not in before
    agree(step, W)
