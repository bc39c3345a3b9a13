"""BackupAndRestore: a run that was interrupted ends with the bits of one that was not."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from optimizer_cases import RULES

import tinygrad_rnn as tg
from tinygrad_rnn import callbacks, config, optimizers
from tinygrad_rnn.callbacks import BackupAndRestore, LambdaCallback
from tinygrad_rnn.container import CheckpointError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 4, 2)).astype("float32"), RNG.standard_normal((12, 1)).astype("float32")
BATCH, BATCHES, EPOCHS = 4, 3, 3


pytestmark = pytest.mark.filterwarnings("ignore:fit.*keeps states")


class Killed(Exception):
    """Stands for the end of the process."""


def make(rule: str = "Adam", units: int = 3) -> Any:
    tg.utils.set_random_seed(7)
    layers = tg.layers
    model = tg.Sequential(
        [
            layers.SimpleRNN(units, dropout=0.3, stateful=True),
            layers.Dropout(0.2),
            layers.Dense(1),
        ]
    )
    model(X[:BATCH])
    model.reset_state()
    rate = optimizers.schedules.CosineDecay(0.05, 20)
    model.compile(getattr(optimizers, rule)(rate, use_ema=True, weight_decay=0.1), "mse")
    return model


def train(model: Any, backup: BackupAndRestore, kill: tuple[int, int] | None = None) -> None:
    """`fit`, in which all three random streams reach the weights, and which may be killed after a batch."""
    place = [0]

    def jitter(batch: int, logs: Any) -> None:
        noise = config.generator(None).standard_normal() + np.random.rand() + random.random()
        model.weights[-1].assign(model.weights[-1].numpy() + np.float32(noise))

    def stop(batch: int, logs: Any) -> None:
        if (place[0], batch) == kill:
            raise Killed

    own = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: place.__setitem__(0, epoch),
        on_train_batch_begin=jitter,
        on_train_batch_end=stop,
    )
    model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[backup, own])


def everything(model: Any) -> dict[str, Any]:
    found = {f"w{i}": w for i, w in enumerate(model.get_weights())} | model.optimizer.state()
    return found | {f"s{i}": s.numpy() for i, s in enumerate(model.layers[-3]._states)}


PLACES = [
    ("epoch", (1, 1), (1, 0)),
    (2, (1, 1), (1, 1)),
    (1, (0, 2), (0, 2)),
]  # save_freq, killed after, goes on at


@pytest.mark.parametrize(
    ("rule", "freq", "kill", "at"), [("Adam", *p) for p in PLACES] + [(rule, *PLACES[1]) for rule in RULES]
)
def test_the_bits_are_those_of_a_run_without_interruption(
    tmp_path: Path, rule: str, freq: Any, kill: tuple[int, int], at: tuple[int, int]
) -> None:
    straight = make(rule)
    train(straight, BackupAndRestore(tmp_path / "other"))
    model = make(rule)
    with pytest.raises(Killed):
        train(model, BackupAndRestore(tmp_path / "backup", freq), kill)
    tg.utils.set_random_seed(99)  # another process
    again, backup = make(rule), BackupAndRestore(tmp_path / "backup", freq)
    tg.utils.set_random_seed(98)
    train(again, backup)
    assert backup.resume_at == at
    expected, received = everything(straight), everything(again)
    assert list(expected) == list(received)
    for key, value in expected.items():
        assert_array_equal(received[key], value, err_msg=key)
    assert not (tmp_path / "backup").exists()


def test_when_the_backup_is_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    train(make(), BackupAndRestore(tmp_path, delete_checkpoint=False))
    assert (tmp_path / "backup.tgr").exists()
    train(make(), BackupAndRestore(tmp_path))  # nothing is left to do, and it was not interrupted
    stopped = make()
    stop = BackupAndRestore(tmp_path)
    stop.set_model(stopped)
    stop.on_epoch_end(0)
    stopped.stop_training = True
    stop.on_train_end()
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("damage", ["bits", "model", "optimizer", "kind"])
def test_a_backup_that_does_not_fit_changes_nothing(tmp_path: Path, damage: str) -> None:
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    train(make(), backup)
    if damage == "bits":
        content = bytearray(backup.path.read_bytes())
        content[len(content) // 2] ^= 1
        backup.path.write_bytes(content)
    if damage == "kind":
        make().save(backup.path)
    model = make(units=4 if damage == "model" else 3, rule="SGD" if damage == "optimizer" else "Adam")
    model.train_on_batch(X[:BATCH], Y[:BATCH])
    before, drawn = everything(model), config.generator(None).bit_generator.state
    for _ in range(2):
        with pytest.raises(CheckpointError):
            train(model, BackupAndRestore(tmp_path))
        after = everything(model)
        assert list(after) == list(before)
        assert all(np.array_equal(after[key], value) for key, value in before.items())
        assert config.generator(None).bit_generator.state == drawn


def test_an_unbuilt_model_is_refused(tmp_path: Path) -> None:
    model = tg.Sequential([tg.layers.Dense(1)])
    model.compile("sgd", "mse")
    backup = BackupAndRestore(tmp_path)
    backup.set_model(model)
    with pytest.raises(ValueError, match="is not built yet"):
        backup.on_train_begin()


class Countdown(tg.callbacks.Callback):
    """One of a user's: what it keeps is taken up too."""

    kept = ("left", "seen")

    def on_train_begin(self, logs: Any = None) -> None:
        self.left, self.seen = 20, {"losses": [np.zeros(1)], "best": None}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        self.seen["losses"].append(np.array([logs["loss"]]))
        self.seen["best"] = min(self.seen["best"] or 9.0, logs["loss"])
        w = self.model.weights[-1]
        w.assign(w.numpy() + np.float32(0.01 * self.left))


LOSSES = [5.0, 1.0, 4.0, 3.0, 2.0, 2.5, 6.0, 7.0]
FOLLOWING: dict[str, Any] = {
    "stopping": lambda path: callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True),
    "plateau": lambda path: callbacks.ReduceLROnPlateau("val_loss", patience=2, cooldown=2),
    "scheduler": lambda path: callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7),
    "best": lambda path: callbacks.ModelCheckpoint(
        path / "best.weights.tgr", save_best_only=True, save_weights_only=True
    ),
    "every": lambda path: callbacks.ModelCheckpoint(
        path / "{epoch}_{batch}.weights.tgr", save_weights_only=True, save_freq=5
    ),
    "norms": lambda path: callbacks.GradientNorms(),
    "own": lambda path: Countdown(),
}


def followed(path: Path, name: str, freq: Any, first: bool, kill: tuple[int, int] | None = None) -> Any:
    """What a run leaves: weights, optimizer, history, what the callback holds, and all files."""
    tg.utils.set_random_seed(7)
    rnn, dense = tg.layers.SimpleRNN(3, name="rnn"), tg.layers.Dense(1, name="dense")
    model = tg.Sequential([tg.Input((None, 2)), rnn, dense])
    model.compile(optimizers.Adam(0.05), "mse")
    place = [0]

    def stop(batch: int, logs: Any) -> None:
        if (place[0], batch) == kill:
            raise Killed

    given = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: place.__setitem__(0, epoch),
        on_epoch_end=lambda epoch, logs: logs.update(val_loss=LOSSES[epoch]),
        on_train_batch_end=stop,
    )
    own, backup = FOLLOWING[name](path), BackupAndRestore(path / "backup", freq)
    row = [given, own, backup] if first else [backup, given, own]
    history = model.fit(X, Y, batch_size=BATCH, epochs=8, verbose=0, callbacks=row)
    held = {key: v for key, v in vars(own).items() if isinstance(v, (int, float, list, dict))}
    saved = {p.name: p.read_bytes() for p in sorted(path.iterdir())}
    return [model.get_weights(), model.optimizer.state(), history.history, held, saved]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What runs without interruption leave, each made once, however often it is backed up elsewhere."""
    return cache(lambda name, first: followed(tmp_path_factory.mktemp("straight"), name, "epoch", first))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("freq", "kill"), [("epoch", (2, 1)), ("epoch", (3, 0)), (1, (2, 1)), (2, (4, 2))])
@pytest.mark.parametrize("name", FOLLOWING)
def test_callbacks_go_on_as_they_were(
    tmp_path: Path, straight: Any, name: str, freq: Any, kill: tuple[int, int], first: bool
) -> None:
    """Before and behind the backup in the list; validated losses are given, so that they end, or reduce, somewhere."""
    with pytest.raises(Killed):
        followed(tmp_path, name, freq, first, kill)
    np.testing.assert_equal(followed(tmp_path, name, freq, first), straight(name, first))
