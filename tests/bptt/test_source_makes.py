"""What a step makes itself is made by its source, too: it runs with inputs, states and weights alone."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.writing.literals import LARGEST, literal

N, T, H = 3, 4, 3
RNG = np.random.default_rng(0)
SHIFT = np.linspace(0.0, 1.0, H)
TABLE = {"U": tg.tensor(np.eye(H)), "gains": [np.ones(H)]}
CELL = SimpleNamespace(V=np.eye(H))
MADE: dict[str, Callable[[Any], Any]] = {
    "zeros": lambda h: ops.concatenate([h, ops.zeros_like(h)], axis=1)[:, :H],
    "identity": lambda h: h @ np.eye(H) - ops.eye(H, H + 1)[:, 1:],
    "half": lambda h: ops.full_like(h, 0.5) * h,
    "ids": lambda h: ops.take(h, np.array([2, 0, 1]), axis=1),
    "numbers": lambda h: h * np.array([0.1, -2.5, 1e-3]),
    "the largest": lambda h: h * ops.one_hot(ops.argmax(h, axis=1), H),
    "one per example": lambda h: h * ops.take_along_axis(h, ops.argmax(h, axis=1, keepdims=True), axis=1),
    "segments": lambda h: h + ops.segment_sum(h, np.arange(h.shape[0]) % 2, 2)[:1],
    "flags": lambda h: ops.where(np.array([True, False, True]), h, 0.2 * h),
    "no axes": lambda h: h * ops.convert_to_tensor(0.7),
}


@pytest.mark.parametrize("name", MADE)
def test_a_source_takes_inputs_states_and_weights_only(name: str, float64: None) -> None:
    w = tg.Variable(0.6 * RNG.standard_normal((H, H)), name="W")

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        h = ops.tanh(x + MADE[name](h @ w))
        return h, [h]

    x, h0 = RNG.standard_normal((N, T, H)), RNG.standard_normal((N, H))
    text = tg.bptt_source(step, x[:, 0], [h0])
    leaves = [tg.tensor(a, requires_grad=True) for a in (x, h0)]
    y, last = tg.scan(step, leaves[0], [leaves[1]])
    wanted = [y, *last, *tg.grad((y * y).sum(), [*leaves, w])]
    module: dict[str, Any] = {}
    exec(text, module)
    assert "def forward(X, h0, W, cache=None):" in text
    for _ in range(2):
        ys, h, cache = module["forward"](x, h0, w.numpy())
        found = module["backward"](x, h0, w.numpy(), 2 * ys, np.zeros_like(h), cache)
        got = [ys, h, *(found[k] for k in ("dX", "dh0", "dW"))]
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


class Cell(tg.Layer):
    """Of three weights it uses the last and the first; its identity is no weight."""

    state_size = H

    def build(self, input_shape: Any) -> None:
        self.a, self.unused, self.c = (self.add_weight((H, H), name=n) for n in ("a", "unused", "c"))
        self.identity = np.eye(H, dtype="float32")

    def call(self, inputs: Any, states: Any) -> Any:
        (h,) = states
        h = ops.tanh(inputs @ self.c + h @ (self.a + self.identity))
        return h, [h]


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_source_of_a_layer_takes_all_its_weights_in_their_order(wrapped: bool) -> None:
    one = layer = tg.layers.RNN(Cell(), return_sequences=True)
    if wrapped:
        layer = tg.layers.Bidirectional(one, merge_mode=None)
        one = layer.forward_layer
    x, h0 = RNG.standard_normal((N, T, H)).astype("float32"), np.zeros((N, H), "float32")
    y = layer(x)[0] if wrapped else layer(x)
    module: dict[str, Any] = {}
    exec(layer.bptt_source(), module)
    given = (x, h0, *one.get_weights(), one.cell.identity)
    ys, h, cache = module["forward"](*given)
    np.testing.assert_allclose(ys, y, rtol=1e-5, atol=1e-6)
    assert set(module["backward"](*given, ys, h, cache)) == {"dX", "dh0", "da", "dc"}


def test_what_the_module_or_another_function_holds_has_its_name_there() -> None:
    weights = [tg.tensor(np.eye(H)), np.ones(H)]

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        h = ops.tanh(x @ TABLE["U"] + h @ CELL.V + SHIFT) @ weights[0] * weights[1]
        return h, [h]

    text = tg.bptt_source(step, np.ones((N, H)), [np.ones((N, H))])
    assert "def forward(X, h0, TABLE_U, V, SHIFT, weights_0, weights_1, cache=None):" in text


def test_the_equations_say_what_is_made() -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        h = h * ops.ones_like(h) + np.eye(H)[1] + x
        return h, [h]

    text = tg.bptt_source(step, np.ones((N, H)), [np.ones((N, H))])
    assert "    with made = np.ones((N, 3))\n    with made_2 = np.array([0.0, 1.0, 0.0])\n" in text
    assert "    # what the step makes itself\n    made = np.ones((N, 3), dtype)\n" in text


def test_many_numbers_without_a_rule_are_an_argument() -> None:
    numbers = list(RNG.standard_normal(LARGEST + 1))

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = states[0] * np.array(numbers) + x
        return h, [h]

    text = tg.bptt_source(step, np.ones((N, LARGEST + 1)), [np.ones((N, LARGEST + 1))])
    assert f"made: ({LARGEST + 1},), a constant of the step" in text


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 0)), np.zeros(()), np.full(3, -0.0), np.array([0.0, -0.0]), np.full((1, 2), np.nan),
        np.array([np.inf, -np.inf, np.nan, 1 / 3]), np.eye(2, 3), np.eye(2, dtype=int),
        np.arange(6)[::-1].reshape(2, 3),
        np.arange(3 * LARGEST, 0, -2), np.arange(0, 90, 9).reshape(5, 1, 2),
        np.array([[3, 5]], np.int8), np.array([5, 3], np.uint8), np.array([True, False]), np.array([[7]]),
        np.float32([0.1, 0.3]), np.array([2, 2, 5]),
    ],
    ids=str,
)  # fmt: skip
def test_an_array_is_what_its_text_makes(array: Any) -> None:
    made = eval(literal(array, repr(str(array.dtype))), {"np": np})
    assert made.dtype == array.dtype and made.shape == array.shape
    np.testing.assert_array_equal(made, array)
    assert np.array_equal(np.signbit(made.astype(float)), np.signbit(array.astype(float)))
