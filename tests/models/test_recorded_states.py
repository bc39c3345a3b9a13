"""Recorded batches of layers that keep states, and of several outputs: the same bits as by calling the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recorded import both, made, silenced

import tinygrad_rnn as tg
from tinygrad_rnn import layers

RNG = np.random.default_rng(0)
X = RNG.standard_normal((9, 4, 5, 3)).astype("float32")  # batches of four examples
Y = RNG.integers(0, 3, (9, 4, 5))


def recurrent(make: Callable[..., Any], *units: Any) -> Callable[[], list[Any]]:
    return lambda: [make(u, return_sequences=True, stateful=True) for u in units]


STACKS: dict[str, Callable[[], list[Any]]] = {
    "rnn": recurrent(layers.SimpleRNN, 6),
    "gru": recurrent(layers.GRU, 6),
    "two": recurrent(layers.LSTM, 6, 4),
    "one of two": lambda: [*recurrent(layers.LSTM, 6)(), layers.GRU(4, return_sequences=True)],
    "stack": lambda: [
        layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True, stateful=True)
    ],
    "both ways": lambda: [layers.Bidirectional(*recurrent(layers.LSTM, 3)())],
    "backwards": lambda: [layers.GRU(4, return_sequences=True, stateful=True, go_backwards=True)],
    "dropout": lambda: [layers.LSTM(4, return_sequences=True, stateful=True, dropout=0.3)],
    "averages": lambda: [*recurrent(layers.LSTM, 6)(), layers.BatchNormalization()],
}


def model_of(stack: list[Any], recorded: bool, **options: Any) -> Any:
    model = tg.Sequential([*stack, layers.Dense(3)])
    model.compile("adam", tg.losses.SparseCategoricalCrossentropy(from_logits=True), **options)
    return silenced(model, not recorded)


def states_of(model: Any) -> list[np.ndarray]:
    return [np.array(s) for s in model.layers[0].states]


@pytest.mark.parametrize("name", STACKS)
def test_states_go_from_batch_to_batch(name: str) -> None:
    def train(model: Any) -> list[Any]:
        losses = [model.train_on_batch(x, y) for x, y in zip(X, Y, strict=True)]
        return [losses, states_of(model), model.predict(X[0])]

    model, (losses, states, _) = both(lambda r: model_of(STACKS[name](), r), train)
    assert made(model) == [True]
    assert len(set(losses)) == len(X) and all(np.any(s) for s in states)


def test_states_can_be_reset_and_set_in_between() -> None:
    h = RNG.standard_normal((4, 6)).astype("float32")

    def train(model: Any) -> list[Any]:
        found: list[Any] = []
        for i, (x, y) in enumerate(zip(X, Y, strict=True)):
            if i in (3, 4):
                model.layers[0].reset_state()
            if i == 6:
                model.layers[0].set_states([h, h])  # one array for both
            if i == 7:
                model.evaluate(x, y, batch_size=4, verbose=0)
            found += [model.train_on_batch(x, y), *states_of(model)]
        return found

    model, _ = both(lambda r: model_of(STACKS["two"](), r), train)
    assert made(model) == [True]


def test_another_batch_size_is_refused_as_without_a_recording() -> None:
    model = model_of(STACKS["two"](), True)
    for x, y in zip(X, Y, strict=True):
        model.train_on_batch(x, y)
    model.layers[0].set_states([np.zeros((1, 6)), np.zeros((1, 6))])
    before = model.get_weights()
    with pytest.raises(ValueError, match="holds states of batch size 1, received a batch of 4"):
        model.train_on_batch(X[0], Y[0])
    assert [s.shape for s in states_of(model)] == [(1, 6), (1, 6)]
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_batch_that_is_left_out_moves_no_states() -> None:
    bad = X.copy()
    bad[5, 0, 0, 0] = np.nan

    def train(model: Any) -> list[Any]:
        found = []
        for x, y in zip(bad, Y, strict=True):
            model.train_on_batch(x, y)
            found.append(states_of(model))
        np.testing.assert_equal(found[4], found[5])
        return found

    model, _ = both(lambda r: model_of(STACKS["two"](), r, on_nonfinite="skip"), train)
    assert model.skipped_batches == 1 and made(model) == [True]


def test_states_that_a_user_holds_stay() -> None:
    model = model_of(STACKS["two"](), True)
    held = []
    for x, y in zip(X, Y, strict=True):
        model.train_on_batch(x, y)
        held += [(s, np.array(s)) for s in model.layers[0].states]
    for state, copy in held:
        np.testing.assert_array_equal(state, copy)


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("weights", [None, [0.3, 2.0]])
@pytest.mark.parametrize("stateful", [False, True])
def test_several_outputs(names: bool, weights: Any, stateful: bool) -> None:
    second = RNG.standard_normal((9, 4, 2)).astype("float32")

    def build(recorded: bool) -> Any:
        inputs = tg.Input(batch_shape=(4, 5, 3))
        sequence = layers.LSTM(6, return_sequences=True, stateful=stateful)(inputs)
        classes = layers.Dense(3, name="classes")(sequence)
        size = layers.Dense(2, name="size")(layers.GRU(4)(sequence))
        model = tg.Model(inputs, [classes, size])
        loss: Any = [tg.losses.SparseCategoricalCrossentropy(from_logits=True), "mse"]
        scales = weights
        if names:
            loss = dict(zip(("classes", "size"), loss, strict=True))
            scales = weights and dict(zip(("classes", "size"), weights, strict=True))
        model.compile("adam", loss, loss_weights=scales, metrics=[["accuracy"], ["mae"]])
        return silenced(model, not recorded)

    def train(model: Any) -> list[Any]:
        return [
            model.train_on_batch(x, [y, s], return_dict=True) for x, y, s in zip(X, Y, second, strict=True)
        ]

    model, logs = both(build, train)
    assert made(model) == [True]
    assert {"loss", "classes_loss", "size_loss"} <= logs[0].keys()
    scale = weights or [1.0, 1.0]
    for log in logs:
        parts = scale[0] * log["classes_loss"] + scale[1] * log["size_loss"]
        np.testing.assert_allclose(log["loss"], parts, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:sgd. no gradient")
def test_an_output_without_a_loss() -> None:
    def build(recorded: bool) -> Any:
        inputs = tg.Input((5, 3))
        sequence = layers.GRU(4, return_sequences=True)(inputs)
        model = tg.Model(inputs, [layers.Dense(3)(sequence), layers.Dense(1)(sequence)])
        model.compile("sgd", [tg.losses.SparseCategoricalCrossentropy(from_logits=True), None])
        return silenced(model, not recorded)

    model, _ = both(build, lambda m: [m.train_on_batch(x, [y]) for x, y in zip(X, Y, strict=True)])
    assert made(model) == [True]


def test_what_fails_while_it_is_recorded_leaves_losses_and_states(monkeypatch: Any) -> None:
    """A recording that is given up has computed those of other data."""
    from tinygrad_rnn.models import recordings

    monkeypatch.setattr(recordings.Recorder, "finish", lambda *_: None)

    def build(recorded: bool) -> Any:
        inputs = tg.Input(batch_shape=(4, 5, 3))
        sequence = layers.SimpleRNN(4, return_sequences=True, stateful=True)(inputs)
        outputs = [layers.Dense(n, name=name)(sequence) for n, name in ((2, "a"), (1, "b"))]
        model = tg.Model(inputs, outputs)
        model.compile("sgd", "mse")
        return silenced(model, not recorded)

    target = [np.ones((4, 5, 2)), np.ones((4, 5, 1))]
    model, _ = both(build, lambda m: [m.train_on_batch(x, target, return_dict=True) for x in X])
    assert made(model) == [False]
