"""Every form of data gives the same numbers; steps, hooks, kept states and histories around them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.callbacks import Callback
from tinygrad_rnn.models.data import adapt

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 5, 3)).astype(np.float32)
Y = X.sum((1, 2))[:, None]
W = RNG.uniform(0.1, 2.0, 20).astype(np.float32)


def made(**options: Any) -> Any:
    tg.utils.set_random_seed(3)
    x = tg.Input((None, 3), name="x")
    model = tg.Model(x, layers.Dense(1, name="y")(layers.GRU(4)(x)))
    model.compile(tg.optimizers.SGD(0.05), "mse", metrics=["mae"], weighted_metrics=["mse"], **options)
    return model


def batches() -> list[tuple[np.ndarray, ...]]:
    return [(X[i : i + 8], Y[i : i + 8], W[i : i + 8]) for i in range(0, 20, 8)]


class Indexed:
    """Like keras.utils.PyDataset."""

    ended = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return batches()[index]

    def on_epoch_end(self) -> None:
        self.ended += 1


class Iterable:
    def __iter__(self) -> Iterator[Any]:
        yield from batches()


def generator() -> Iterator[Any]:
    while True:
        yield from batches()


class Frame:
    """Something that NumPy can turn into an array, like a table of another package."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype)


FORMS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "arrays": lambda: (X, {"y": Y, "sample_weight": W}),
    "tensors": lambda: (tg.tensor(X), {"y": tg.tensor(Y), "sample_weight": tg.tensor(W)}),
    "lists of numbers": lambda: (X.tolist(), {"y": Y.tolist(), "sample_weight": W.tolist()}),
    "foreign arrays": lambda: (Frame(X), {"y": Frame(Y), "sample_weight": Frame(W)}),
    "dicts": lambda: ({"x": X}, {"y": {"y": Y}, "sample_weight": {"y": W}}),
    "lists of arrays": lambda: ([X], {"y": [Y], "sample_weight": [W]}),
    "weights as a column": lambda: (X, {"y": Y[:, 0], "sample_weight": W[:, None]}),
    "list of batches": lambda: (batches(), {}),
    "batches as lists": lambda: ((list(b) for b in batches() + batches()), {"steps_per_epoch": 3}),
    "iterable": lambda: (Iterable(), {}),
    "indexed": lambda: (Indexed(), {}),
    "generator": lambda: (generator(), {"steps_per_epoch": 3}),
}


@pytest.fixture(scope="module")
def reference() -> Any:
    model = made()
    history = model.fit(X, Y, sample_weight=W, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return history.history, model.get_weights(), model.evaluate(X, Y, sample_weight=W, batch_size=8)


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_give_the_same_numbers(form: str, reference: Any) -> None:
    history, weights, result = reference
    model = made()
    x, options = FORMS[form]()
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "shuffle": False, **options}
    assert model.fit(x, **options).history == history
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    x, options = FORMS[form]()
    if "steps_per_epoch" in options:
        options = {"steps": options["steps_per_epoch"]}
    assert model.evaluate(x, batch_size=8, **options) == result
    x = FORMS[form]()[0]
    expected = np.concatenate([np.asarray(model(part)) for part, _, _ in batches()])
    found = model.predict(x, batch_size=8, steps=options.get("steps"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_generator_goes_on_where_the_epoch_ended_and_stays_open() -> None:
    source = generator()
    model, seen = made(), []

    class Sizes(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(batch)

    model.fit(source, steps_per_epoch=2, epochs=2, verbose=0, callbacks=[Sizes()])
    assert seen == [0, 1, 0, 1]
    assert len(next(source)[0]) == 8  # the second batch of the second pass: not closed, none lost
    model.fit(X, Y, batch_size=8, steps_per_epoch=2, epochs=3, verbose=0, shuffle=False, callbacks=[Sizes()])
    short = iter(batches())
    with pytest.warns(UserWarning, match="ran out after 3 of 4 batches"):
        model.fit(short, steps_per_epoch=4, verbose=0)


def test_indexed_sources_are_shuffled_and_told_of_the_end() -> None:
    source, orders = Indexed(), []
    for _ in range(4):
        orders.append([len(b.x) for b in adapt(source).batches(shuffle=True)])
    assert source.ended == 4
    assert {tuple(sorted(o)) for o in orders} == {(4, 8, 8)} and len({tuple(o) for o in orders}) > 1


def test_all_hooks_are_called_at_their_moments() -> None:
    calls: list[str] = []

    class Recorder(Callback):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("on_"):
                return lambda *args: calls.append(name[3:])
            return super().__getattribute__(name)

    model = made()
    recorder = Recorder()
    model.fit(X, Y, batch_size=10, verbose=0, validation_data=(X, Y), callbacks=recorder)
    batch = ["train_batch_begin", "train_batch_end"]
    test = ["test_begin", *["test_batch_begin", "test_batch_end"] * 2, "test_end"]
    assert calls == ["train_begin", "epoch_begin", *batch * 2, *test, "epoch_end", "train_end"]
    assert recorder.params == {"epochs": 1, "steps": 2, "verbose": 0} and recorder.model is model
    calls.clear()
    model.evaluate(X, Y, batch_size=10, callbacks=[recorder])
    assert calls == test
    calls.clear()
    model.predict(X, batch_size=10, callbacks=[recorder])
    assert calls == [name.replace("test", "predict") for name in test]


def test_history_can_be_continued_and_pickled() -> None:
    model = made()
    first = model.fit(X, Y, verbose=0)
    second = model.fit(X, Y, verbose=0, initial_epoch=1, epochs=3, append_history=True)
    assert second.epoch == [0, 1, 2] and len(second.history["loss"]) == 3
    assert second.history["loss"][0] == first.history["loss"][0] and first.epoch == [0]
    assert model.fit(X, Y, verbose=0).epoch == [0]
    loaded = pickle.loads(pickle.dumps(second))
    assert (loaded.history, loaded.epoch, loaded.params) == (second.history, second.epoch, second.params)


def stateful() -> Any:
    model = tg.Sequential([layers.GRU(2, stateful=True), layers.Dense(1)])
    model.compile(tg.optimizers.SGD(0.01), "mse")
    return model


def test_stateful_models_leave_out_the_short_batch_and_warn_about_shuffling() -> None:
    model = stateful()
    with pytest.warns(UserWarning, match="all batches must have 8 examples; the last 4 of 20 are left out"):
        model.fit(X, Y, batch_size=8, verbose=0, shuffle=False)
    assert model.optimizer.iterations == 2
    with pytest.warns(UserWarning, match="shuffle=True mixes the examples"):
        model.fit(X[:16], Y[:16], batch_size=8, verbose=0)
    with pytest.warns(UserWarning, match="evaluate: .* the last 4 of 20"):
        model.evaluate(X, Y, batch_size=8)
    model.reset_state()
    whole = model.predict(X, batch_size=8)
    model.reset_state()
    parts = [model.predict_on_batch(X[i : i + 8]) for i in (0, 8)]
    assert whole.shape == (20, 1)
    np.testing.assert_array_equal(whole[:16], np.concatenate(parts))
    with pytest.raises(ValueError, match="stateful: it holds states of batch size 8, received a batch of 3"):
        model.predict_on_batch(X[:3])


def test_class_weights_of_steps_and_their_misuse() -> None:
    tags = RNG.integers(0, 3, (20, 5))
    model = tg.Sequential([layers.GRU(3, return_sequences=True), layers.Dense(3, activation="softmax")])
    model.compile(tg.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    weights = {0: 0.5, 1: 2.0}
    expected = np.choose(tags, [0.5, 2.0, 1.0]).astype(np.float32)
    given = model.train_on_batch(X, tags, class_weight=weights)
    assert given == model.test_on_batch(X, tags, sample_weight=expected)
    assert given == model.train_on_batch(X, tags[..., None], class_weight=weights)
    history = model.fit([(X, tags)], class_weight=weights, verbose=0)
    assert history.history["loss"] == [given]
    with pytest.raises(ValueError, match="cannot be given together"):
        model.fit(X, tags, sample_weight=W, class_weight=weights, verbose=0)
    with pytest.raises(ValueError, match="targets that are one array, received list"):
        model.fit(X, [tags, tags], class_weight=weights, verbose=0)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (Indexed(), {"sample_weight": W}, "a source of batches.*leave y"),
        (batches(), {"validation_split": 0.5}, "validation_split needs arrays"),
        (X, {"y": Y, "validation_data": ()}, r"validation_data must be \(x, y\)"),
        (X, {"y": Y, "validation_data": (X,)}, "no target"),
        (X, {"y": Y, "validation_data": (X, Y), "validation_freq": 0}, "validation_freq must be at least 1"),
        ([(X, Y, W, W)], {}, r"\(x, y, sample_weight\), received 4 parts"),
        ("text", {}, "received str"),
        (3, {"y": 3}, "."),
        (X, {}, "no target"),
    ],
)
def test_wrong_data(x: Any, options: dict[str, Any], message: str) -> None:
    model = made()
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(x, verbose=0, **options)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_one_input_may_come_in_a_list() -> None:
    x, y = np.ones((2, 3)), np.ones((2, 1))
    model = tg.Sequential([tg.layers.BatchNormalization(), tg.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert model.train_on_batch([x], [y]) > 0
    np.testing.assert_array_equal(model.predict([x]), model.predict(x))


EMPTY: dict[str, tuple[list[Any], str]] = {
    "recurrent": (
        [
            layers.LSTM(4, return_sequences=True), layers.BatchNormalization(), layers.GRU(2),
            layers.Dropout(0.5), layers.Dense(1),
        ], "mse",
    ),
    "classes": (
        [layers.Bidirectional(layers.SimpleRNN(4)), layers.Dense(3, "softmax")],
        "sparse_categorical_crossentropy",
    ),
    "windows": ([layers.Conv1D(2, 3), layers.GlobalMaxPooling1D(), layers.Dense(1)], "mse"),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_batch_costs_nothing_and_teaches_nothing(name: str) -> None:
    """Before and after the batches that a recording is made of."""
    stack, loss = EMPTY[name]
    model = tg.Sequential([tg.Input((6, 3)), *stack])
    metric = "accuracy" if name == "classes" else "mae"
    model.compile("sgd", loss, metrics=[metric])
    x = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32)
    y = np.zeros(4, int) if name == "classes" else np.ones((4, 1), np.float32)
    for _ in range(3):
        before = model.get_weights()
        assert model.train_on_batch(x[:0], y[:0]) == [0.0, 0.0]
        assert model.test_on_batch(x[:0], y[:0], return_dict=True) == {"loss": 0.0, metric: 0.0}
        assert model.predict_on_batch(x[:0]).shape == (0, model.output.shape[-1])
        assert all(map(np.array_equal, before, model.get_weights()))
        model.train_on_batch(x, y)
    with pytest.raises(ValueError, match="no examples"):
        model.fit(x[:0], y[:0], verbose=0)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "float16", "int64"])
def test_small_numbers_do_not_wrap_round_behind_an_input(dtype: str) -> None:
    x = tg.Input((5, 3))
    h = tg.layers.Concatenate()([100 * x - 1, -x, tg.layers.Lambda(lambda t: t + 255)(x)])
    functional = tg.Model(x, tg.layers.GRU(2, activation="linear")(h))
    stack = tg.Sequential([tg.Input((5, 3)), tg.layers.Lambda(lambda t: 100 * t - 1)])
    values = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 9, (4, 5, 3))
    for model in (functional, stack):
        want = model.predict(values.astype("float32"), verbose=0)
        for _ in range(2):
            np.testing.assert_array_equal(model.predict(values.astype(dtype), verbose=0), want)


def test_ids_keep_their_integers() -> None:
    ids = tg.Input((3,), dtype="int32")
    model = tg.Model(ids, tg.layers.Embedding(4, 2)(ids))
    with pytest.raises(ValueError, match="1099511627776"):
        model.predict(np.full((2, 3), 2**40), verbose=0)
    floats = tg.Input((3,))
    model = tg.Model(floats, tg.layers.Embedding(4, 2)(floats))
    with pytest.raises(ValueError, match="value 7 at"):
        model.predict(np.full((2, 3), 7), verbose=0)


def test_a_last_axis_of_one_is_added_or_taken_away_as_in_keras() -> None:
    series = tg.Sequential([tg.Input((5, 1)), tg.layers.GRU(2), tg.layers.Dense(1)])
    rows = X[:, :, 0]
    series.compile("sgd", "mse")
    for _ in range(3):
        series.train_on_batch(rows, rows[:, 0])
    np.testing.assert_array_equal(series.predict(rows, verbose=0), series.predict(rows[..., None], verbose=0))
    a, b = tg.Input((5,), name="a"), tg.Input((1,), name="b")
    both = tg.Model([a, b], tg.layers.Concatenate()([a, b]))
    want = np.concatenate([rows, rows[:, :1]], axis=1)
    np.testing.assert_array_equal(both.predict([rows[..., None], rows[:, 0]], verbose=0), want)
    with pytest.raises(ValueError, match=r"shape \(None, 5, 1\), received \(\d+, 4\)"):
        series.predict(rows[:, 1:], verbose=0)
    with pytest.raises(ValueError, match="expected 2 inputs, received 1"):
        both([rows])
