"""Ids that a step makes of floats, as the states of a cell are: a decoder that looks up what it put out before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

VOCABULARY, UNITS, BATCH = 9, 4, 40
RNG = np.random.default_rng(0)


def table() -> layers.Embedding:
    made = layers.Embedding(VOCABULARY, UNITS, dtype="float64")
    made(np.array([0]))
    return made


LOOK_UP = {
    "embedding": lambda e, ids: e(ids),
    "take": lambda e, ids: ops.take(e.embeddings, ids, axis=0),
    "one-hot": lambda e, ids: ops.one_hot(ids, VOCABULARY, dtype="float64") @ e.embeddings,
}


@pytest.mark.parametrize("first", [VOCABULARY - 1.0, 0.0])
@pytest.mark.parametrize("name", LOOK_UP)
def test_a_step_that_reads_its_own_output_is_derived(name: str, first: float, recwarn: Any) -> None:
    embedding, read_out = table(), tg.Variable(RNG.standard_normal((UNITS, VOCABULARY)), dtype="float64")

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, last = states
        h = ops.tanh(LOOK_UP[name](embedding, ops.cast(last, "int32")) + 0.5 * h + x)
        logits = h @ read_out
        return logits, [h, ops.cast(ops.argmax(logits, axis=-1), "float64")]

    x, states = RNG.standard_normal((BATCH, 5, UNITS)), [np.zeros((BATCH, UNITS)), np.full(BATCH, first)]

    def run(derive: bool) -> list[Any]:
        y, last = tg.scan(step, x, states, derive=derive)
        return [y, *last, *tg.grad((y * y).sum(), [read_out, embedding.embeddings])]

    for _ in range(3):
        for a, b in zip(run(True), run(False), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert not recwarn.list


class Decoder(layers.Layer):
    state_size = [UNITS, 1]
    output_size = VOCABULARY

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell = layers.Embedding(VOCABULARY, UNITS), layers.GRUCell(UNITS)
        self.read_out = layers.Dense(VOCABULARY)

    def call(self, inputs: Any, states: Any) -> Any:
        h, last = states
        token = self.embedding(ops.cast(last[:, 0], "int32"))
        h, _ = self.cell(ops.concatenate([inputs, token], axis=-1), [h])
        logits = self.read_out(h)
        return logits, [h, ops.cast(ops.argmax(logits, axis=-1), h.dtype)[:, None]]


def test_a_decoder_with_an_embedding_learns_derived(recwarn: Any) -> None:
    x = RNG.standard_normal((BATCH, 5, 3)).astype("float32")
    found = []
    for eager in (False, True):
        tg.utils.set_random_seed(1)
        model = tg.Sequential([tg.Input((None, 3)), layers.RNN(Decoder(), return_sequences=True)])
        model.compile("sgd", "mse", run_eagerly=eager)
        losses = model.fit(
            x, np.zeros((BATCH, 5, VOCABULARY), "float32"), epochs=3, shuffle=False, verbose=0
        ).history["loss"]
        found.append([np.array(losses), *model.get_weights()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert not recwarn.list


@pytest.mark.parametrize("wrong", [VOCABULARY, -1])
@pytest.mark.parametrize("derive", [True, False])
def test_ids_out_of_range_are_errors_in_a_step_too(wrong: int, derive: bool) -> None:
    embedding, ids = table(), np.zeros((2, 5), int)

    def step(x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(embedding(x) + states[0])
        return h, [h]

    for k in range(3):
        ids[1, 3] = 0 if k < 2 else wrong
        if k < 2:
            tg.scan(step, ids, [np.zeros((2, UNITS))], derive=derive)
    with pytest.raises((ValueError, IndexError), match="out of range|out of bounds"):
        tg.scan(step, ids, [np.zeros((2, UNITS))], derive=derive)


def test_an_id_that_is_a_number(recwarn: Any) -> None:
    """`take` of one slice: 0 is an id, and no number to compute with in the type of the states."""
    w = tg.tensor(RNG.standard_normal((UNITS, UNITS)), requires_grad=True)

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        h = ops.tanh(x + ops.take(h @ w, 0, axis=0) * ops.take(h, np.array(1), axis=1)[:, None])
        return ops.take(h, 0, axis=1), [h]

    same_in_both_modes(step, RNG.standard_normal((BATCH, 5, UNITS)), np.ones((BATCH, UNITS)), w)
    assert not recwarn.list


def test_the_same_ids_at_every_step_of_what_a_weight_was_added_to(recwarn: Any) -> None:
    """The gradient of the weight is a sum over steps, and by these ids."""
    w = tg.tensor(RNG.standard_normal((UNITS, UNITS)), requires_grad=True)

    def step(x: Any, states: Any, constants: Any) -> Any:
        (h,) = states
        return ops.take(h + w, np.array([0, 0, 3]), axis=0) * x + ops.take(h * h + w, 1, axis=0), [
            ops.tanh(h)
        ]

    same_in_both_modes(step, RNG.standard_normal((3, 5, UNITS)), np.ones((UNITS, UNITS)), w)
    assert not recwarn.list


def test_segments_whose_ids_come_with_the_step(recwarn: Any) -> None:
    w = tg.tensor(RNG.standard_normal((UNITS, UNITS)), requires_grad=True)

    def step(x: Any, states: Any, constants: Any) -> Any:
        rows, ids = x
        h = ops.tanh(states[0] @ w + ops.segment_sum(rows, ids, 3))
        return h, [h]

    rows, ids = RNG.standard_normal((BATCH, 5, UNITS)), RNG.integers(0, 3, (BATCH, 5)).astype("int8")
    same_in_both_modes(step, (rows, ids), np.ones((3, UNITS)), w)
    assert not recwarn.list
    for wrong in (-1, 3):
        ids[7, 3] = wrong
        with pytest.raises(
            ValueError, match=rf"segment_sum: value {wrong} at position \(7,\) is out of range"
        ):
            tg.scan(step, (rows, ids), [np.ones((3, UNITS))], derive=True)


def test_positions_in_rows_of_no_elements(recwarn: Any) -> None:
    def step(x: Any, states: Any, constants: Any) -> Any:
        place = ops.cast(x, "int64")
        return ops.take_along_axis(x, place, axis=1), [ops.tanh(states[0] + 1.0)]

    outputs, _ = tg.scan(step, np.ones((2, 5, 0)), [np.ones((2, 3))], derive=True)
    assert outputs.shape == (2, 5, 0) and not recwarn.list


def same_in_both_modes(step: Any, xs: Any, state: Any, w: Any) -> None:
    """Values and the gradient of `w`, three times."""

    def run(derive: bool) -> list[Any]:
        y, (h,) = tg.scan(step, xs, [state], derive=derive)
        return [y, h, *tg.grad((y * y).sum() + h.sum(), [w])]

    for _ in range(3):
        for a, b in zip(run(True), run(False), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
