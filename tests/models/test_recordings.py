"""Recorded batches: the same bits as by calling the model, whatever is changed in between."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loss_cases import CASES as LOSSES
from loss_cases import OBJECTS, sample
from recorded import both, fitted, made, silenced
from simple_cases import CASES as SIMPLE

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt import known
from tinygrad_rnn.models import recordings, steps

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 5, 4)).astype("float32")
IDS = RNG.integers(1, 9, (24, 5))
Y = RNG.integers(0, 3, (24, 5))


class Own(layers.Layer):
    """A user's cell."""

    def __init__(self, units: int, scale: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units
        self.scale = scale

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight((shape[-1], self.units), name="kernel")
        self.inner = self.add_weight((self.units, self.units), name="inner")

    def call(self, x: Any, states: Any) -> Any:
        h = ops.tanh(self.scale * (x @ self.kernel + states[0] @ self.inner))
        return h, [h]


class Doubled(layers.Layer):
    """A user's layer."""

    def call(self, x: Any) -> Any:
        return 2 * x


def sequences(make: Callable[..., Any], **options: Any) -> Callable[[], list[Any]]:
    return lambda: [make(6, return_sequences=True, **options)]


EMBEDDED = layers.Embedding, layers.GRU
STACKS: dict[
    str, tuple[Callable[[], list[Any]], Any, bool]
] = {  # layers before the Dense, inputs, is recorded
    "rnn": (sequences(layers.SimpleRNN), X, True),
    "lstm": (sequences(layers.LSTM), X, True),
    "gru": (sequences(layers.GRU), X, True),
    "gru before": (sequences(layers.GRU, reset_after=False), X, True),
    "backwards": (sequences(layers.GRU, go_backwards=True), X, True),
    "both ways": (lambda: [layers.Bidirectional(layers.LSTM(3, return_sequences=True))], X, True),
    "two": (lambda: [*sequences(layers.LSTM)(), *sequences(layers.GRU)()], X, True),
    "stack": (lambda: [layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)], X, True),
    "dropout": (sequences(layers.LSTM, dropout=0.3, recurrent_dropout=0.2), X, True),
    "noise": (lambda: [layers.GaussianNoise(0.3), layers.Dropout(0.2), *sequences(layers.GRU)()], X, True),
    "penalties": (sequences(layers.LSTM, kernel_regularizer="l2"), X, True),
    "frozen": (sequences(layers.LSTM, trainable=False), X, True),
    "ids": (lambda: [layers.Embedding(9, 4), *sequences(layers.GRU)()], IDS, True),
    "own cell": (lambda: [layers.RNN(Own(6), return_sequences=True)], X, True),
    "none": (lambda: [], X, True),
    "wide": (sequences(layers.LSTM), X.astype("float64"), True),
    "own layer": (lambda: [Doubled()], X, False),
    "own function": (lambda: [layers.Lambda(lambda x: 2 * x)], X, False),
    "own activation": (sequences(layers.LSTM, activation=lambda x: ops.tanh(x)), X, True),
    "mask": (lambda: [layers.Embedding(9, 4, mask_zero=True), *sequences(layers.GRU)()], IDS, True),
    "states": (sequences(layers.LSTM, stateful=True), X, True),
    "averages": (lambda: [layers.Dropout(0.2), layers.BatchNormalization()], X, True),
    "penalty of outputs": (sequences(layers.LSTM, activity_regularizer="l2"), X, False),
}


def model_of(stack: list[Any], recorded: bool, loss: Any = None, classes: int = 3) -> Any:
    model = tg.Sequential([*stack, layers.Dense(classes)])
    loss = loss or tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tg.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return silenced(model, not recorded)


@pytest.mark.parametrize("name", STACKS)
def test_a_model_trains_to_the_same_bits(name: str) -> None:
    make, x, recorded = STACKS[name]
    shuffle = name != "states"
    model, history = both(lambda r: model_of(make(), r), fitted(x, Y, shuffle=shuffle))
    assert made(model) == [recorded]
    assert history["loss"][2] != history["loss"][0]


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize(("name", "k"), [(n, k) for n, cases in SIMPLE.items() for k in range(len(cases))])
def test_every_simple_layer_in_a_functional_model(name: str, k: int) -> None:
    """Not all are recorded; what is, gives the same bits."""
    case = SIMPLE[name][k]
    arrays = case.inputs if isinstance(case.inputs, list) else [case.inputs]
    arrays = [a if a.dtype.kind in "iu" else a.astype("float32") for a in arrays]
    y = np.linspace(0.0, 1.0, len(arrays[0]))

    def build(recorded: bool) -> Any:
        inputs = [tg.Input(a.shape[1:], dtype=a.dtype.name) for a in arrays]
        outputs = case.make(layers)(inputs if isinstance(case.inputs, list) else inputs[0])
        flat = layers.Flatten()(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)
        model = tg.Model(inputs if isinstance(case.inputs, list) else inputs[0], layers.Dense(1)(flat))
        model.compile("sgd", "mse")
        return silenced(model, not recorded)

    def train(model: Any) -> list[Any]:
        x = arrays if isinstance(case.inputs, list) else arrays[0]
        return [str(model.train_on_batch(x, y)) for _ in range(4)]

    both(build, train)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name: str) -> None:
    y, p = sample(LOSSES[name][0], (8, 5))
    x = p.astype("float32")

    def build(recorded: bool) -> Any:
        stack = [layers.Dense(5), layers.Softmax()] if LOSSES[name][0] != "real" else [layers.Dense(5)]
        model = tg.Sequential(stack)
        model.compile("sgd", OBJECTS[name]())
        return silenced(model, not recorded)

    model, _ = both(build, lambda m: [str(m.train_on_batch(x * s, y)) for s in (1, 1, 0.5, 2)])
    assert made(model) == [name not in ("hinge", "squared_hinge")]  # they look at the labels


# --- changes in between ----------------------------------------------------------------------------------


def scaled(model: Any) -> None:
    model.layers[0].cell.scale = 0.5


def swapped(model: Any) -> None:
    model.layers[0].cell.activation = tg.activations.sigmoid


def squashed(model: Any) -> None:
    model.layers[-1].activation = tg.activations.tanh


def longer(model: Any) -> None:
    model.add(layers.Dense(3, name="late"))


def shorter(model: Any) -> None:
    model.pop()


def smoothed(model: Any) -> None:
    model._compile_loss._losses[0].ignore_class = 1


def frozen(model: Any) -> None:
    model.layers[0].trainable = False


def one_frozen(model: Any) -> None:
    model.weights[1].trainable = False


def penalised(model: Any) -> None:
    model.weights[0].regularizer = tg.regularizers.L2(0.1)


def assigned(model: Any) -> None:
    model.set_weights([w / 2 for w in model.get_weights()])


def recompiled(model: Any) -> None:
    model.compile("sgd", tg.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"))


def turned(model: Any) -> None:
    model.layers[0].go_backwards = True


CHANGES = [swapped, squashed, longer, smoothed, frozen, one_frozen, penalised, assigned, recompiled, turned]


@pytest.mark.parametrize("change", [*CHANGES, scaled], ids=lambda f: f.__name__)
def test_a_change_is_seen_in_the_next_batch(change: Callable[[Any], None]) -> None:
    def build(recorded: bool) -> Any:
        cell = Own(6) if change is scaled else layers.LSTMCell(6)
        model = tg.Sequential([layers.RNN(cell, return_sequences=True), layers.Dense(3)])
        loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        return silenced(model, not recorded)

    def train(model: Any) -> list[Any]:
        seen = [model.train_on_batch(X, Y) for _ in range(3)]
        silent = "begin" in vars(model._recordings)
        assert made(model) == [True] * (not silent)
        change(model)
        return seen + [silenced(model, silent).train_on_batch(X, Y) for _ in range(3)]

    both(build, train)


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_shapes_and_changes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn: batches of three shapes and all changes, in any order."""
    monkeypatch.setattr(recordings, "FUTILE", 100)

    def train(model: Any) -> list[Any]:
        rng, seen = np.random.default_rng(seed), []
        for _ in range(40):
            n, t = [(8, 5), (6, 5), (8, 3)][rng.integers(3)]
            if rng.random() < 0.2:
                change = [swapped, frozen, penalised, assigned, turned][rng.integers(5)]
                change(model)
            rows = rng.permutation(24)[:n]
            seen.append(model.train_on_batch(X[rows, :t], Y[rows, :t]))
        return seen

    model, _ = both(lambda r: model_of([layers.RNN(layers.LSTMCell(4), return_sequences=True)], r), train)
    assert True in made(model)


def test_a_lambda_is_not_recorded_even_with_a_function_of_the_package() -> None:
    """Its arguments are in a dict, which may change."""

    def train(model: Any) -> list[Any]:
        seen = [model.train_on_batch(X, Y) for _ in range(3)]
        model.layers[0].function_arguments["x2"] = 3.0
        return seen + [model.train_on_batch(X, Y) for _ in range(2)]

    model, _ = both(lambda r: model_of([layers.Lambda(ops.multiply, arguments={"x2": 2.0})], r), train)
    assert made(model) == [False]


def test_a_cell_that_is_not_derived_is_not_recorded() -> None:
    """What its steps depend on is not known."""

    class Noisy(Own):
        def call(self, x: Any, states: Any) -> Any:
            return super().call(x + 0.1 * tg.random.normal(x.shape), states)

    def train(model: Any) -> list[Any]:
        seen = [model.train_on_batch(X, Y) for _ in range(3)]
        scaled(model)
        return seen + [model.train_on_batch(X, Y) for _ in range(2)]

    with pytest.warns(tg.bptt.UnrolledWarning):
        model, _ = both(lambda r: model_of([layers.RNN(Noisy(6), return_sequences=True)], r), train)
    assert made(model) == [False]


def test_float_type_and_epsilon_are_looked_at() -> None:
    def train(model: Any) -> list[Any]:
        seen = [model.train_on_batch(X, Y) for _ in range(3)]
        try:
            tg.config.set_epsilon(0.1)
            seen += [model.train_on_batch(X, Y) for _ in range(3)]
        finally:
            tg.config.set_epsilon(1e-7)
        return seen

    def build(recorded: bool) -> Any:
        model = tg.Sequential([layers.GRU(4, return_sequences=True), layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return silenced(model, not recorded)

    model, _ = both(build, train)
    assert made(model) == [True, True]


# --- what goes wrong -------------------------------------------------------------------------------------


def test_wrong_labels_are_named_and_nothing_is_changed() -> None:
    model = model_of([layers.LSTM(4, return_sequences=True)], True)
    for _ in range(3):
        model.train_on_batch(X, Y)
    assert made(model) == [True]
    before, bad = model.get_weights(), Y.copy()
    bad[3, 2] = -1
    for _ in range(2):
        with pytest.raises(ValueError, match=r"label: value -1 at position \(3, 2\) is out of range"):
            model.train_on_batch(X, bad)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.train_on_batch(X, Y)


def test_a_batch_that_fails_draws_once() -> None:
    bad = Y.copy()
    bad[0, 0] = 7

    def train(model: Any) -> list[Any]:
        seen = [model.train_on_batch(X, Y) for _ in range(3)]
        with pytest.raises(ValueError, match="out of range"):
            model.train_on_batch(X, bad)
        return seen + [model.train_on_batch(X, Y) for _ in range(2)]

    model, _ = both(lambda r: model_of(STACKS["dropout"][0](), r), train)
    assert made(model) == [True]


def test_a_gradient_that_is_not_finite_is_explained() -> None:
    model = model_of([layers.LSTM(4, return_sequences=True)], True)
    for _ in range(3):
        model.train_on_batch(X, Y)
    bad = X.copy()
    bad[1, 2, 3] = np.nan
    with pytest.raises(FloatingPointError, match=r"x is NaN or infinite at position \(1, 2, 3\)"):
        model.train_on_batch(bad, Y)
    assert np.isfinite(model.train_on_batch(X, Y)[0])


def test_debug_nans_calls_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of([layers.LSTM(4, return_sequences=True)], True)
    for _ in range(3):
        model.train_on_batch(X, Y)
    calls: list[int] = []
    real = layers.LSTM.call
    monkeypatch.setattr(layers.LSTM, "call", lambda self, *a, **k: calls.append(1) or real(self, *a, **k))
    model.train_on_batch(X, Y)
    assert not calls
    with tg.debug_nans():
        model.train_on_batch(X, Y)
    assert len(calls) == 1


def test_two_threads_train_with_one_recording() -> None:
    """Each with the gradients of its own batch, also at the same time."""
    model = model_of([layers.LSTM(4, return_sequences=True)], True)
    for _ in range(3):
        model.train_on_batch(X, Y)
    batches = [(X * s, (Y + k) % 3) for k, s in enumerate((1, 2))]

    def gradients(x: Any, y: Any) -> list[Any]:
        with model._mode(training=True, grad=True):
            _, _, found = model._loss_and_gradients(x, y, None)
        return [found[v._node] for v in model.trainable_weights]

    expected = [gradients(*batch) for batch in batches]
    wrong: list[str] = []

    def work(k: int) -> None:
        for _ in range(40):
            for a, b in zip(gradients(*batches[k]), expected[k], strict=True):
                if not np.array_equal(a, b):
                    wrong.append(f"batch {k}")

    threads = [threading.Thread(target=work, args=(k % 2,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- what is kept ----------------------------------------------------------------------------------------


def test_recordings_are_bounded_and_hold_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[
        Any
    ] = []  # all arrays of the batches that are recorded, but those of the weights and constants
    finish = recordings.Recorder.finish

    def watched(self: Any, *args: Any) -> Any:
        recording = finish(self, *args)
        lasting = {*self.constants, *[place for place, _ in self.variables]}
        arrays = [v for i, v in enumerate(self.values) if i not in lasting and isinstance(v, np.ndarray)]
        batches.append([weakref.ref(a) for a in arrays])
        return recording

    monkeypatch.setattr(recordings.Recorder, "finish", watched)
    model = model_of([layers.GRU(3, return_sequences=True)], True)
    for t in (1, 2, 3, 4, 5):
        for n in (2, 3, 4, 5):
            for _ in range(3):
                model.train_on_batch(X[:n, :t], Y[:n, :t])
    assert len(model._recordings.made) == 20 and all(made(model))
    gc.collect()
    assert len(batches) == 20 and all(len(arrays) >= 15 for arrays in batches)
    assert not any(array() is not None for arrays in batches for array in arrays)


def test_a_run_needs_no_more_memory_than_calling() -> None:
    x, y = np.ones((16, 40, 8), np.float32), np.zeros((16, 40), int)

    def peak(recorded: bool) -> int:
        wide = [
            layers.Dense(64, activation="relu"),
            layers.Dense(64),
            layers.Dense(64),
            layers.GRU(4, return_sequences=True),
        ]
        model = model_of(wide, recorded)
        for _ in range(4):
            model.train_on_batch(x, y)
        gc.collect()
        tracemalloc.start()
        model.train_on_batch(x, y)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(True) <= 1.02 * peak(False)


def test_earlier_weights_are_freed() -> None:
    model = model_of([layers.GRU(4, return_sequences=True)], True)
    arrays = []
    for _ in range(4):
        model.train_on_batch(X, Y)
        arrays += [weakref.ref(v._data) for v in model.weights]
    assert made(model) == [True]
    model.train_on_batch(X, Y)
    gc.collect()
    assert not any(array() is not None for array in arrays[: -len(model.weights)])


def test_more_shapes_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are in use stay: a run with many lengths must not record them again and again."""
    monkeypatch.setattr(recordings, "KEPT", 3)
    monkeypatch.setattr(recordings, "IN_USE", 12)
    recorded: list[Any] = []
    of = recordings.Recorded.of
    monkeypatch.setattr(
        recordings.Recorded,
        "of",
        lambda model, data, *rest: (recorded.append(len(data[0])), of(model, data, *rest))[1],
    )
    model = model_of([layers.GRU(3, return_sequences=True)], True)
    for _ in range(5):
        for n in (1, 2, 3, 4, 5):
            model.train_on_batch(X[:n], Y[:n])
    assert recorded == [1, 2, 3] and made(model) == [True] * 3
    for _ in range(12):
        for n in (1, 6):  # 2 and 3 are not in use any more
            model.train_on_batch(X[:n], Y[:n])
    assert recorded == [1, 2, 3, 6] and len(made(model)) == 3
    assert model._recordings.ran.keys() == model._recordings.made.keys()


def test_layers_that_are_trained_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that is given up before it has paid is not made again and again, but some time later."""
    monkeypatch.setattr(recordings, "IN_USE", 20)
    monkeypatch.setattr(known, "REST", 5)  # calls after which the changing layer is looked at again
    recorded: list[int] = []
    of = recordings.Recorded.of
    monkeypatch.setattr(recordings.Recorded, "of", lambda *a: (recorded.append(0), of(*a))[1])
    model = model_of([layers.GRU(3, return_sequences=True)], True)
    for k in range(12):
        model.layers[0].trainable = k % 2 == 0
        model.train_on_batch(X, Y)
    assert len(recorded) == recordings.FUTILE and not made(model) and not model._recordings.ran
    for _ in range(2 * recordings.IN_USE):
        model.train_on_batch(X, Y)
    assert len(recorded) == recordings.FUTILE + 1 and made(model) == [True]


def test_what_could_not_be_recorded_is_tried_again_some_time_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "IN_USE", 10)
    of, tried = recordings.Recorded.of, []
    monkeypatch.setattr(
        recordings.Recorded, "of", lambda *a: (tried.append(0), of(*a) if tried[1:] else None)[1]
    )
    model = model_of([layers.GRU(3, return_sequences=True)], True)
    for _ in range(8):
        model.train_on_batch(X, Y)
    assert made(model) == [False]
    for _ in range(10):
        model.train_on_batch(X, Y)
    assert made(model) == [True] and len(tried) == 2


def test_a_model_that_cannot_be_recorded_is_tried_once_for_each_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recordings, "KEPT", 2)
    tried: list[int] = []
    monkeypatch.setattr(recordings.Recorded, "of", lambda model, data, *rest: tried.append(len(data[0])))
    model = model_of([layers.GRU(3, return_sequences=True)], True)
    for _ in range(4):
        for n in (1, 2, 3):
            model.train_on_batch(X[:n], Y[:n])
    assert tried == [1, 2]


@pytest.mark.parametrize(("seconds", "recorded"), [(0.05, 2), (0.25, 10), (1.5, None)])
def test_a_long_batch_is_recorded_when_it_pays(
    seconds: float, recorded: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording costs three batches, which the second one of many seconds would take longer."""
    clock = itertools.count(0.0, seconds)
    monkeypatch.setattr(steps, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(recordings, "SAVED", 0.09)
    model = model_of([], True)
    for k in range(1, 40):
        model.train_on_batch(X, Y)
        assert made(model) == [True] * (recorded is not None and k >= recorded)


def test_many_lengths_are_not_recorded() -> None:
    model = model_of([layers.GRU(3, return_sequences=True)], True)
    for n in range(1, 25):
        model.train_on_batch(X[:n], Y[:n])
    assert not model._recordings.made and len(model._recordings.seen) <= recordings.SEEN


@pytest.mark.parametrize("stack", ["gru", "own cell", "dropout"])
def test_a_trained_model_is_copied_and_pickled(stack: str) -> None:
    make, x, _ = STACKS[stack]
    model = model_of(make(), True)
    for _ in range(3):
        model.train_on_batch(x, Y)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
        for _ in range(3):
            other.train_on_batch(x, Y)
        assert made(other) == [True]
        assert not np.array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))


def test_the_model_is_freed() -> None:
    gc.collect()
    model = model_of([layers.GRU(3, return_sequences=True)], True)
    for _ in range(3):
        model.train_on_batch(X, Y)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
