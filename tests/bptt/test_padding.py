"""Steps at which no example is valid are not run, and values and gradients are those of all steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, close, every_cell, problem
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.bptt import padding, plan
from tinygrad_rnn.bptt.padding import Span


@given(st.integers(1, 40), st.data())
def test_a_span_has_all_valid_steps_and_few_lengths(steps: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    padded = rng.random((3, steps)) < data.draw(st.sampled_from([0.5, 0.9, 1.0]))
    a, b = sorted([data.draw(st.integers(0, steps)), data.draw(st.integers(0, steps))])
    padded[:, :a] = padded[:, b:] = True
    span = Span.of(padded)
    share = -(-steps // padding.SHARES)
    if span is None:
        return
    assert 0 <= span.first < span.end <= span.steps == steps and (span.end - span.first) % share == 0
    outside = np.ones(steps, bool)
    outside[span.first : span.end] = False
    assert padded[:, outside].all()
    assert span.end - span.first - (b - a) < 2 * share


def mask_of(batch: int, steps: int, first: int, end: int) -> Any:
    """Some valid steps between these two, which are."""
    mask = np.random.default_rng(0).random((batch, steps)) < 0.7
    mask[:, :first] = mask[:, end:] = False
    mask[0, first] = mask[-1, end - 1] = True
    return mask


@every_cell
def test_equal_to_unrolled(name: str) -> None:
    for first, end in ((3, 9), (0, 4), (13, 17), (6, 7)):
        for options in ({}, {"go_backwards": True}, {"return_sequences": False}):
            given_ = {"mask": mask_of(3, 17, first, end), **options}
            run = Result(problem(name, 3, 17), derive=True, **given_).everything()
            close(run, Result(problem(name, 3, 17), derive=False, **given_).everything())


def test_nothing_valid() -> None:
    mask = np.zeros((2, 17), bool)
    run = Result(problem("lstm", 2, 17), mask=mask, derive=True).everything()
    close(run, Result(problem("lstm", 2, 17), mask=mask, derive=False).everything())


def test_second_derivatives_go_through_all_steps() -> None:
    found = []
    for derive in (True, False):
        r = Result(problem("lstm", 3, 17), mask=mask_of(3, 17, 2, 6), derive=derive)
        recorded = r.gradients(create_graph=True)
        found.append([*recorded, *tg.grad(sum((g * g).sum() for g in recorded), r.p.leaves)])
    close(*found)


LAYERS: dict[str, Any] = {
    "lstm": lambda: [layers.LSTM(4)],
    "outputs": lambda: [layers.GRU(4, return_sequences=True), layers.SimpleRNN(3)],
    "both directions": lambda: [layers.Bidirectional(layers.LSTM(3, return_sequences=True)), layers.GRU(3)],
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("first", [True, False])
def test_models_learn_the_same(name: str, first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With sequences of many lengths, in recorded batches, too; the padding stands before them, or behind."""
    rng = np.random.default_rng(0)
    ids = np.zeros((24, 30), int)
    for row, length in zip(ids, rng.integers(1, 16, 24), strict=True):
        row[slice(-length, None) if first else slice(length)] = rng.integers(1, 9, length)
    y, lengths, weights = rng.standard_normal((24, 1)), set(), []

    class Seen:
        """A span of some steps, or of all."""

        @staticmethod
        def of(padded: Any) -> Any:
            span = Span.of(padded) if cut else None
            lengths.add(span and span.end - span.first)
            return span

    monkeypatch.setattr(plan, "Span", Seen)
    for cut in (True, False):
        lengths.clear()
        tg.utils.set_random_seed(2)
        model = tg.Sequential([layers.Embedding(9, 3, mask_zero=True), *LAYERS[name](), layers.Dense(1)])
        model.compile(tg.optimizers.SGD(0.1), "mse")
        model.fit(ids, y, batch_size=4, epochs=3, verbose=0)
        weights.append([*model.get_weights(), model.predict(ids, verbose=0)])
        assert (lengths <= {4, 8, 12, 16} and len(lengths) > 1) if cut else lengths == {None}
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
