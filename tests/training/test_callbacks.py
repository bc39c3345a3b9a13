"""Callbacks in `fit`, what they refuse, and what they say."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import callbacks, optimizers
from tinygrad_rnn.models import load_model

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 5, 2)).astype("float32"), RNG.standard_normal((12, 1)).astype("float32")


def small(optimizer: Any = "sgd", **options: Any) -> Any:
    tg.utils.set_random_seed(3)
    model = tg.Sequential([tg.Input((5, 2)), tg.layers.SimpleRNN(3), tg.layers.Dense(1)])
    model.compile(optimizer, "mse", **{"metrics": ["mae"], **options})
    return model


def fit(model: Any, *used: Any, epochs: int = 4, **options: Any) -> Any:
    return model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(used), **options)


def test_early_stopping_restores_the_best_weights() -> None:
    model = small()
    kept: list[Any] = []
    note = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    stop = callbacks.EarlyStopping("mae", mode="max", patience=1, restore_best_weights=True)
    history = fit(model, note, stop, epochs=9)
    best = int(np.argmax(history.history["mae"]))
    assert len(history.epoch) == best + 2 < 9
    for a, b in zip(model.get_weights(), kept[best], strict=True):
        assert_array_equal(a, b)


def test_checkpoints_can_be_loaded(tmp_path: Path) -> None:
    model = small("adam")
    path = tmp_path / "runs" / "{epoch:02d}-{val_mae:.3f}.tgr"
    weights = callbacks.ModelCheckpoint(tmp_path / "last.weights.tgr", save_weights_only=True, save_freq=2)
    fit(model, callbacks.ModelCheckpoint(path, "val_mae"), weights, validation_data=(X, Y))
    saved = sorted((tmp_path / "runs").iterdir())
    assert [p.name[:2] for p in saved] == ["01", "02", "03", "04"]
    assert_array_equal(load_model(saved[-1]).predict(X), model.predict(X))
    other = small()
    other.load_weights(tmp_path / "last.weights.tgr")  # 12 batches: the last save was after the last one
    assert_array_equal(other.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ModelCheckpoint", {"filepath": "a.h5"}, r"must end in '.tgr', received 'a.h5'"),
        ("ModelCheckpoint", {"filepath": "a.tgr", "save_weights_only": True}, r"must end in '.weights.tgr'"),
        ("ModelCheckpoint", {"filepath": "a.weights.tgr"}, r"must end in '.tgr'"),
        ("ModelCheckpoint", {"filepath": "a.tgr", "save_freq": 0}, "integer ≥ 1, received 0"),
        ("BackupAndRestore", {"backup_dir": "a", "save_freq": True}, "integer ≥ 1, received True"),
        ("BackupAndRestore", {"backup_dir": ""}, "backup_dir is empty"),
        ("ReduceLROnPlateau", {"factor": 1.0}, r"factor must be in \(0, 1\)"),
        (
            "LambdaCallback",
            {"on_epoch": print},
            "unknown hook 'on_epoch'; known are on_abort, on_batch_begin",
        ),
    ],
)
def test_what_is_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        getattr(callbacks, name)(**options)


def test_a_name_that_the_logs_do_not_have(tmp_path: Path) -> None:
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "{val_loss}.tgr")
    with pytest.raises(KeyError, match="names 'val_loss'; there are epoch, loss"):
        fit(small(), checkpoint)


def test_a_monitor_that_is_not_there_warns() -> None:
    stop = callbacks.EarlyStopping("val_loss")
    with pytest.warns(
        UserWarning, match="no 'val_loss' in the logs, which have loss, mae; give validation_data"
    ):
        history = fit(small(), stop, epochs=2)
    assert len(history.epoch) == 2
    with pytest.warns(UserWarning, match="mode must be 'auto', 'min' or 'max', received 'up'"):
        assert callbacks.EarlyStopping(mode="up").mode == "auto"


@pytest.mark.parametrize(
    ("monitor", "larger"),
    [
        ("loss", False), ("val_loss", False), ("dense_loss", False), ("val_accuracy", True), ("acc", True),
        ("mae", False), ("val_mean_squared_error", False), ("mine", True),
    ],
)  # fmt: skip
def test_auto_knows_which_direction_is_good(monitor: str, larger: bool) -> None:
    mine = tg.metrics.BinaryAccuracy(name="mine")
    callback = callbacks.MonitorCallback(monitor)
    callback.set_model(SimpleNamespace(metrics=[SimpleNamespace(name="compile_metrics", metrics=[mine])]))
    assert callback.improved(2.0, 1.0) is larger and callback.improved(1.0, 2.0) is not larger
    with pytest.raises(ValueError, match="'speed' is better is not known; give mode='max' or mode='min'"):
        callbacks.MonitorCallback("speed").improved(1.0, 2.0)


def test_rates_that_follow_a_schedule_are_left_alone() -> None:
    for callback in (
        callbacks.LearningRateScheduler(lambda epoch: 0.1),
        callbacks.ReduceLROnPlateau("loss", patience=0),
    ):
        model = small(optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)))
        with pytest.raises(TypeError, match="follows a schedule and cannot be set"):
            callback.set_model(model)
            callback.on_train_begin()
            for epoch in range(3):
                callback.on_epoch_begin(epoch)
                callback.on_epoch_end(epoch, {"loss": 1.0})


@pytest.mark.parametrize("wrong", [math.nan, -1.0, "a", None])
def test_a_scheduler_must_return_a_rate(wrong: Any) -> None:
    model = small()
    with pytest.raises(ValueError, match="learning_rate: expected a finite number"):
        fit(model, callbacks.LearningRateScheduler(lambda epoch: wrong))
    assert model.optimizer.learning_rate == 0.01


def test_rates_move_in_fit() -> None:
    model = small()
    fit(model, callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2), epochs=3)
    assert model.optimizer.learning_rate == 0.01 / 8
    reduce = callbacks.ReduceLROnPlateau("mae", patience=1, mode="max", factor=0.5)
    fit(model, reduce, epochs=6)
    assert model.optimizer.learning_rate < 0.01 / 8


def test_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = SimpleNamespace(
        optimizer=SimpleNamespace(learning_rate=0.5), stop_training=False, get_weights=list, save=lambda path: None,
        set_weights=lambda weights: None,
    )  # fmt: skip
    for callback in (
        callbacks.ModelCheckpoint(tmp_path / "a.tgr", "loss", verbose=1, save_best_only=True),
        callbacks.ReduceLROnPlateau("loss", patience=1, verbose=1),
        callbacks.LearningRateScheduler(lambda epoch: 0.25, verbose=1),
        callbacks.EarlyStopping("loss", verbose=1, restore_best_weights=True),
    ):
        callback.set_model(model)
        callback.on_train_begin()
        for epoch in range(2):
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, {"loss": 1.0})
        callback.on_train_end()
    assert capsys.readouterr().out.splitlines() == [
        f"Epoch 1: loss improved from None to 1.00000, saved {tmp_path / 'a.tgr'}",
        "Epoch 2: loss did not improve from 1.00000",
        "Epoch 2: the learning rate is reduced to 0.05",
        "Epoch 1: the learning rate is 0.25",
        "Epoch 2: the learning rate is 0.25",
        "Epoch 2: early stopping",
        "Restoring the weights of the best epoch: 1",
    ]


@pytest.mark.parametrize("on_epoch", [False, True])
def test_averages_are_evaluated_and_saved(tmp_path: Path, on_epoch: bool) -> None:
    options = {"use_ema": True, "ema_momentum": 0.6}
    plain, swapped = small(optimizers.Adam(0.1, **options)), small(optimizers.Adam(0.1, **options))
    last: list[Any] = []  # fit puts the averages in place when it ends

    def note(epoch: int, logs: Any) -> None:
        last[:] = [v.numpy().copy() for v in plain.optimizer.variables]

    fit(plain, callbacks.LambdaCallback(on_epoch_end=note), epochs=2, shuffle=False)
    swap = callbacks.SwapEMAWeights(on_epoch)
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.tgr", save_weights_only=True)
    fit(swapped, swap, checkpoint, epochs=2, shuffle=False)
    averages = [plain.optimizer.state()[f"{i}/average"] for i in range(len(plain.weights))]
    for variable, value in zip(swapped.optimizer.variables, averages, strict=True):
        assert_array_equal(variable.numpy(), value)
    expected = averages if on_epoch else last
    reader = small()
    reader.load_weights(tmp_path / "2.weights.tgr")
    place = {id(v): i for i, v in enumerate(plain.weights)}
    for variable, value in zip(plain.optimizer.variables, expected, strict=True):
        assert_array_equal(reader.get_weights()[place[id(variable)]], value)
    for variable, value in zip(swapped.optimizer.variables, last, strict=True):
        variable.assign(value)
    for begin, end in (("on_test_begin", "on_test_end"), ("on_predict_begin", "on_predict_end")):
        swap.on_epoch_begin(2)
        getattr(swap, begin)()
        for variable, value in zip(swapped.optimizer.variables, averages, strict=True):
            assert_array_equal(variable.numpy(), value)
        getattr(swap, end)()
        for variable, value in zip(swapped.optimizer.variables, last, strict=True):
            assert_array_equal(variable.numpy(), value)
    swap.set_model(small("adam"))
    with pytest.raises(ValueError, match="use_ema=True"):
        swap.on_test_begin()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full")
def test_a_log_on_a_full_disk_names_its_file() -> None:
    log = tg.callbacks.CSVLogger("/dev/full")
    log.on_train_begin()
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        log.on_epoch_end(0, {"loss": 0.5})
    with pytest.raises(OSError, match="'/dev/full'"):  # what is left is written when it is closed
        log.on_train_end()
    log.on_train_end()
