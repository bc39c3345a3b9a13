"""Runs that fail, or are interrupted and taken up again, in the company of averages, states, rates and callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import callbacks as C
from tinygrad_rnn import layers as L
from tinygrad_rnn import optimizers as O
from tinygrad_rnn.config import generator
from tinygrad_rnn.container import CheckpointError

X = np.random.default_rng(0).standard_normal((16, 5, 3)).astype("float32")
Y = X.sum((1, 2))[:, None]
CLASSES = np.arange(16) % 3
WRONG = np.zeros((16, 3, 1), "float32")  # of a shape that no output has
BAD = np.where(np.arange(16) == 14, 9, CLASSES)  # a label that there is not


def regression(optimizer: Any = "adam", given: bool = True, **options: Any) -> tg.Sequential:
    tg.utils.set_random_seed(0)
    model = tg.Sequential([*([tg.Input((5, 3))] if given else []), L.GRU(4, **options), L.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def classifier(loss: str = "sparse_categorical_crossentropy", given: bool = True) -> tg.Sequential:
    tg.utils.set_random_seed(0)
    model = tg.Sequential([*([tg.Input((5, 3))] if given else []), L.GRU(4), L.Dense(3, "softmax")])
    model.compile(O.Adam(0.1), loss)
    return model


def fit(model: Any, y: Any = Y, **options: Any) -> Any:
    return model.fit(X, y, **{"batch_size": 4, "verbose": 0, **options})


def same(a: list[Any], b: list[Any]) -> bool:
    return all(np.array_equal(v, w) for v, w in zip(a, b, strict=True))


class Stop(C.Callback):
    """Raise after a number of epochs or batches."""

    def __init__(self, epoch: int | None = None, batch: int | None = None, error: Any = RuntimeError) -> None:
        self.epoch, self.left, self.error = epoch, batch, error

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise self.error

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise self.error


# --- averages ---------------------------------------------------------------------------------------


def test_the_average_of_a_weight_that_comes_later_begins_with_its_value() -> None:
    model = regression(O.SGD(1e-6, use_ema=True, ema_momentum=0.99))
    model.layers[0].trainable = False
    fit(model, epochs=2)
    model.layers[0].trainable = True
    before = model.get_weights()
    fit(model, epochs=2)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_averages_switched_on_later_begin_with_the_weights() -> None:
    w, optimizer = tg.Variable([2.0]), O.SGD(1.0)
    optimizer.apply([[0.0]], [w])
    optimizer.use_ema, optimizer.ema_momentum = True, 0.5
    optimizer.apply([[1.0]], [w])
    optimizer.swap_averages()
    assert w.tolist() == [1.5]  # between 2 and 1


@pytest.mark.parametrize("swap", [False, True])
def test_a_backup_knows_whether_the_weights_are_averages(swap: bool, tmp_path: Path) -> None:
    def run(stop: Any, folder: str) -> list[Any]:
        model = regression(O.Adam(0.1, use_ema=True, ema_momentum=0.5))
        swapping = C.SwapEMAWeights(swap_on_epoch=swap)
        fit(model, epochs=4, callbacks=[swapping, C.BackupAndRestore(tmp_path / folder), *stop])
        return model.get_weights()

    with pytest.raises(RuntimeError):
        run([Stop(batch=9)], "a")
    assert same(run([], "a"), run([], "b"))


@pytest.mark.parametrize("method", ["predict", "evaluate"])
def test_a_prediction_that_fails_gives_back_the_weights(method: str) -> None:
    model = regression(O.Adam(0.1, use_ema=True))
    fit(model)
    before, swap = model.get_weights(), C.SwapEMAWeights()
    wrong = (X[:, :, :2],) if method == "predict" else (X[:, :, :2], Y)
    with pytest.raises(ValueError, match="expected"):
        getattr(model, method)(*wrong, callbacks=[swap], verbose=0)
    assert same(model.get_weights(), before)
    model.train_on_batch(X, Y)


# --- runs that fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, False])
def test_wrong_data_in_the_first_epoch_undoes_all_of_it(given: bool) -> None:
    model, fresh = classifier(given=given), classifier(given=given)
    with pytest.raises(ValueError, match="value 9 at position"):
        fit(model, BAD, shuffle=False)
    assert model.optimizer.iterations == 0 and model.history is None
    for m in (model, fresh):
        tg.utils.set_random_seed(1)
        m(X[:1])
        if not given:  # its first weights were made in the run that failed
            m.set_weights(model.get_weights())
        fit(m, CLASSES, epochs=2)
    if given:
        assert same(model.get_weights(), fresh.get_weights())
    bias = classifier(given=given)
    with pytest.raises(ValueError, match="value 9 at position"):
        fit(bias, BAD, shuffle=False)
    assert not bias.layers[-1].bias.numpy().any()  # as at first


def test_a_run_that_fails_leaves_rate_streams_and_history() -> None:
    model = regression(O.Adam(0.1), dropout=0.5)
    fit(model, epochs=2)
    streams = [s.state for s in tg.layers.states.streams(model)]
    state, history = generator().bit_generator.state, model.history
    halved = C.LearningRateScheduler(lambda epoch, rate: rate / 2)
    bad = [(X[:4], Y[:4]), (X[:4], WRONG[:4])]
    with pytest.raises(ValueError, match="does not fit"):
        model.fit(iter(bad), callbacks=[halved], verbose=0)
    assert model.optimizer.learning_rate == 0.1 and model.history is history
    assert generator().bit_generator.state == state
    assert [s.state for s in tg.layers.states.streams(model)] == streams


def test_a_loaded_model_goes_on_bit_for_bit_after_a_run_that_fails(tmp_path: Path) -> None:
    model = regression()
    fit(model, epochs=2)
    model.save(tmp_path / "m.tgr")
    found = []
    for fail in (False, True):
        loaded = tg.models.load_model(tmp_path / "m.tgr")
        if fail:
            with pytest.raises(ValueError, match="does not fit"):
                fit(loaded, WRONG, initial_epoch=2, epochs=4)
        fit(loaded, initial_epoch=2, epochs=4)
        found.append(loaded.get_weights())
    assert same(*found)


def test_a_callback_that_is_none_leaves_the_history() -> None:
    model = regression()
    history = fit(model)
    with pytest.raises(TypeError, match="Callback objects"):
        fit(model, callbacks=["checkpoint"])
    assert model.history is history


def test_a_damaged_backup_leaves_the_rate(tmp_path: Path) -> None:
    tg.utils.set_random_seed(0)
    model = tg.Sequential([tg.Input((5, 3)), L.Dropout(0.5), L.GRU(4), L.Dense(1)])  # with one stream more
    model.compile(O.Adam(0.001), "mse")
    with pytest.raises(RuntimeError):
        fit(model, epochs=3, callbacks=[C.BackupAndRestore(tmp_path), Stop(batch=9)])
    other = regression(O.Adam(0.05))
    with pytest.raises(CheckpointError, match="random streams"):
        fit(other, callbacks=[C.BackupAndRestore(tmp_path)])
    assert other.optimizer.learning_rate == 0.05


class FailsToBegin(C.Callback):
    def on_train_begin(self, logs: Any = None) -> None:
        raise OSError("no such folder")


def test_best_weights_are_those_of_a_run_that_began() -> None:
    model = regression()
    early = C.EarlyStopping("loss", restore_best_weights=True)
    fit(model, epochs=2, callbacks=[early])
    for _ in range(5):
        model.train_on_batch(X, Y)
    before = model.get_weights()
    with pytest.raises(OSError, match="no such folder"):
        fit(model, callbacks=[FailsToBegin(), early])
    assert same(model.get_weights(), before)


def test_an_interrupted_epoch_leaves_the_weights_of_its_last_batch() -> None:
    found: list[Any] = []
    model = regression(O.Adam(0.5))
    early = C.EarlyStopping("loss", restore_best_weights=True, patience=9)
    note = C.LambdaCallback(on_train_batch_end=lambda batch, logs: found.append(model.get_weights()))
    with pytest.raises(KeyboardInterrupt):
        fit(model, epochs=5, callbacks=[early, note, Stop(batch=9, error=KeyboardInterrupt)])
    assert same(model.get_weights(), found[-1]) and early.best_weights is not None


@pytest.mark.parametrize("method", ["test_on_batch", "predict_on_batch", "evaluate", "predict"])
def test_a_call_that_fails_leaves_the_states_that_layers_keep(method: str) -> None:
    tg.utils.set_random_seed(0)
    kept = tg.Sequential([tg.Input((5, 3), batch_size=4), L.GRU(4, stateful=True), L.Dense(1)])
    kept.compile("sgd", "mse")
    kept.train_on_batch(X[:4], Y[:4])
    before = [np.array(s) for s in kept.layers[0].states]
    wrong = WRONG[:4] if method in ("test_on_batch", "evaluate") else None
    if wrong is None:  # the second layer fails, after the first has moved its states
        kept.layers[1].kernel.assign(np.zeros((4, 1), "float32"))
        kept.layers[1].activation = lambda x: x @ np.ones((7, 7), "float32")
    options = {} if method.endswith("batch") else {"verbose": 0, "batch_size": 4}
    with pytest.raises(ValueError, match="fit|matmul|shape"):
        getattr(kept, method)(*[X[:4], wrong][: 1 + (wrong is not None)], **options)
    assert same([np.array(s) for s in kept.layers[0].states], before)


@pytest.mark.parametrize("first", ["one-hot", "numbers"])
def test_what_crossentropy_means_is_not_decided_by_a_batch_that_fails(first: str) -> None:
    hot = np.eye(3, dtype="float32")[CLASSES]
    broken = hot.copy()
    broken[3, 1] = np.nan
    wrong, right = (broken, CLASSES) if first == "one-hot" else (BAD, hot)
    model = classifier("crossentropy")
    with pytest.raises(ValueError, match="NaN|out of range"):
        fit(model, wrong)
    assert np.isfinite(fit(model, right).history["loss"][0])


# --- what is saved ----------------------------------------------------------------------------------


def test_a_model_that_was_trained_without_fit_is_loaded_with_its_states(tmp_path: Path) -> None:
    model = regression(stateful=True)
    for _ in range(3):
        model.train_on_batch(X, Y)
    model.save(tmp_path / "m.tgr")
    loaded = tg.models.load_model(tmp_path / "m.tgr")
    assert model.train_on_batch(X, Y) == loaded.train_on_batch(X, Y)
    assert same(model.get_weights(), loaded.get_weights())


class Save(C.Callback):
    def __init__(self, path: Path, epoch: int) -> None:
        self.path, self.epoch = path, epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.model.save(self.path)


def test_what_a_callback_saves_at_the_end_of_an_epoch_has_that_epoch(tmp_path: Path) -> None:
    model = regression(stateful=True, dropout=0.3)
    history = fit(model, epochs=4, shuffle=False, callbacks=[Save(tmp_path / "m.tgr", 1)])
    loaded = tg.models.load_model(tmp_path / "m.tgr")
    assert loaded.history.epoch == [0, 1] and loaded.history.history["loss"] == history.history["loss"][:2]
    fit(loaded, initial_epoch=2, epochs=4, shuffle=False)
    assert same(model.get_weights(), loaded.get_weights())
    assert history.epoch == [0, 1, 2, 3]


def test_a_model_that_lost_a_layer_since_compile_is_saved(tmp_path: Path) -> None:
    model = regression()
    fit(model)
    model.pop()
    model.add(L.Dense(1))
    fit(model, callbacks=[C.BackupAndRestore(tmp_path / "backup")])
    model.save(tmp_path / "m.tgr")
    loaded = tg.models.load_model(tmp_path / "m.tgr")
    assert model.train_on_batch(X, Y) == loaded.train_on_batch(X, Y)
    assert same(model.get_weights(), loaded.get_weights())


# --- weights of classes, and what is not finite -----------------------------------------------------


def test_class_weights_of_steps_do_not_depend_on_their_values() -> None:
    tg.utils.set_random_seed(0)
    model = tg.Sequential([tg.Input((5, 3)), L.GRU(4, return_sequences=True), L.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    y = np.eye(5, dtype=int)[[2, 3, 0, 1]]  # one event in each sequence, as in rows of one-hot targets
    weighted = model.test_on_batch(X[:4], y, np.where(y == 1, 10.0, 1.0))
    assert model.train_on_batch(X[:4], y, class_weight={0: 1.0, 1: 10.0}) == weighted


def test_class_weights_of_soft_targets_are_those_of_the_likeliest_class() -> None:
    soft = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]], "float32")
    found = []
    for options in ({"class_weight": {0: 3.0, 2: 5.0}}, {"sample_weight": np.array([3.0, 5.0])}):
        found.append(classifier("categorical_crossentropy").train_on_batch(X[:2], soft, **options))
    assert found[0] == found[1]


def test_terminate_on_nan_does_not_count_batches_that_were_left_out() -> None:
    tg.utils.set_random_seed(0)
    model = tg.Sequential([tg.Input((5, 3)), L.GRU(4), L.Dense(1)])
    model.compile("sgd", "mse", on_nonfinite="skip")
    x = X.copy()
    x[0] = np.nan
    history = model.fit(
        x, Y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[C.TerminateOnNaN()]
    )
    assert history.epoch == [0, 1, 2] and model.skipped_batches == 3


def test_whole_numbers_as_floats_are_recorded_too() -> None:
    model = classifier()
    for _ in range(3):
        model.train_on_batch(X, CLASSES.astype("float32"))
    assert [made is not None for made in model._recordings.made.values()] == [True]


# --- Ctrl-C -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(5))
def test_an_update_that_is_interrupted_is_none(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = regression(), regression()
    for m in (model, other):
        m.train_on_batch(X, Y)
    before, replace, count = model.get_weights(), tg.Variable.replace, [after]

    def interrupted(self: Any, value: Any) -> None:
        replace(self, value)
        count[0] -= 1
        if count[0] == -1:
            raise KeyboardInterrupt

    monkeypatch.setattr(tg.Variable, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(X, Y)
    monkeypatch.undo()
    assert same(model.get_weights(), before) and model.optimizer.iterations == 1
    for m in (model, other):
        for _ in range(2):
            m.train_on_batch(X, Y)
    assert same(model.get_weights(), other.get_weights())
