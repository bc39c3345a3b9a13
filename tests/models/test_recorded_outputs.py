"""Outputs of recurrences in recorded batches: views of their memory, but for those that a user could hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from recorded import both, silenced

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.bptt.idle import Idle
from tinygrad_rnn.bptt.plan import Plan, Rerun

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 5, 4)).astype("float32")
Y = RNG.standard_normal((12, 5, 3)).astype("float32")

SEQUENCES = {"return_sequences": True}
MODELS: dict[str, tuple[Callable[[], list[Any]], list[bool]]] = {  # which of their recurrences lend
    "inside": (lambda: [layers.LSTM(6, **SEQUENCES), layers.Dense(3)], [True]),
    "the last is the output": (
        lambda: [layers.GRU(6, **SEQUENCES), layers.LSTM(3, **SEQUENCES)],
        [True, False],
    ),
    "a view is the output": (lambda: [layers.LSTM(3, **SEQUENCES), layers.Reshape((5, 3))], [False]),
    "alike": (lambda: [*[layers.SimpleRNN(4, **SEQUENCES) for _ in range(4)], layers.Dense(3)], [True] * 4),
    "both ways": (lambda: [layers.Bidirectional(layers.GRU(4, **SEQUENCES)), layers.Dense(3)], [True] * 2),
    "dropout": (lambda: [layers.LSTM(6, **SEQUENCES), layers.Dropout(0.3), layers.Dense(3)], [True]),
    "normalized": (
        lambda: [layers.LSTM(6, **SEQUENCES), layers.LayerNormalization(), layers.Dense(3)],
        [True],
    ),
}


def model_of(name: str, recorded: bool = True) -> Any:
    model = tg.Sequential(MODELS[name][0]())
    model.compile(tg.optimizers.Adam(0.01), "mse")
    return silenced(model, not recorded)


def lending(model: Any) -> list[bool]:
    """Which recurrences of its recording lend."""
    (recorded,) = model._recordings.made.values()
    run = recorded.recording.program
    found = [v for v in run.__globals__.values() if isinstance(v, Rerun)]
    return [rerun.lends for rerun in found]


@pytest.mark.parametrize("name", MODELS)
def test_models_train_to_the_same_bits(name: str) -> None:
    model, _ = both(lambda r: model_of(name, r), lambda m: [m.train_on_batch(X, Y) for _ in range(6)])
    assert lending(model) == MODELS[name][1]


@pytest.mark.parametrize("name", MODELS)
def test_what_a_batch_gave_does_not_change_later(name: str) -> None:
    """Outputs and gradients of a recorded batch, when others have run."""
    model = model_of(name)
    for _ in range(4):
        model.train_on_batch(X, Y)
    with model._mode(training=True, grad=True):
        _, output, found = model._loss_and_gradients(X, Y, None)
    held = [output._data, *found.values()]
    before = [a.copy() for a in held]
    for _ in range(3):
        model.train_on_batch(-2 * X, Y)
    for a, b in zip(held, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_lent_must_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An op may round otherwise where an array lies otherwise in memory: then outputs are copied."""

    def rounded(self: Plan) -> Any:
        def forward(*arrays: Any, cache: Any) -> Any:
            outputs, *rest = self.functions["forward"](*arrays, cache=cache)
            return outputs * np.float32(1 + 1e-6), *rest

        return forward

    monkeypatch.setattr(Plan, "lending", property(rounded))
    model, _ = both(lambda r: model_of("inside", r), lambda m: [m.train_on_batch(X, Y) for _ in range(6)])
    assert lending(model) == [False]


def arrays_in(cache: Any) -> Iterator[Any]:
    if isinstance(cache, (list, tuple)):
        for one in cache:
            yield from arrays_in(one)
    elif isinstance(cache, np.ndarray) and cache.base is not None:
        yield cache


@pytest.mark.parametrize("name", ["inside", "alike", "both ways"])
def test_memory_is_lent_until_the_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others may do with memory that was given back does not reach the batch."""

    def spoiled(self: Idle, length: int, cache: Any) -> None:
        given.append(length)
        for array in arrays_in(cache):
            array[...] = np.nan

    given: list[int] = []
    found = []
    for spoils in (False, True):
        tg.config.set_random_seed(1)
        model = model_of(name)
        for _ in range(4):
            model.train_on_batch(X, Y)
        if spoils:
            monkeypatch.setattr(Idle, "give_back", spoiled)
        model.train_on_batch(X, Y)
        found.append(model.get_weights())
    assert given
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_with_one_plan_train_in_threads() -> None:
    """They take memory from one place."""
    models = [model_of("alike") for _ in range(3)]
    alone = model_of("alike")
    models[0].train_on_batch(X, Y)
    for model in (*models[1:], alone):
        model.build(X.shape)
        model.set_weights(models[0].get_weights())
        model.optimizer = tg.optimizers.Adam(0.01)
    models[0].optimizer = tg.optimizers.Adam(0.01)

    def train(model: Any) -> None:
        for _ in range(30):
            model.train_on_batch(X, Y)

    threads = [threading.Thread(target=train, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    train(alone)
    for model in models:
        for a, b in zip(model.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
