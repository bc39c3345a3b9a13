"""Stopped and gone on in another process, from a file or a backup: the bits and logs of one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import resuming
from numpy.testing import assert_array_equal

import tinygrad_rnn as tg
from tinygrad_rnn import optimizers
from tinygrad_rnn.container import read_archive
from tinygrad_rnn.models import load_model


def run(*arguments: Any) -> int:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, resuming.__file__, *map(str, arguments)]
    return subprocess.run(command, env=environment).returncode


def assert_equal_files(a: Path, b: Path) -> None:
    """Weights, optimizer, streams and history."""
    (first, arrays), (second, others) = read_archive(a), read_archive(b)
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        assert_array_equal(others[name], array, err_msg=name)
    for key in ("history", "streams", "random_state", "trainable"):
        assert first[key] == second[key], key


def test_load_model_and_fit_go_on_bit_for_bit(tmp_path: Path) -> None:
    """For every optimizer, with each kind of option."""
    rules = list(optimizers.REGISTRY._entries)
    cases = [(rule, resuming.OPTIONS[i % 3]) for i, rule in enumerate(rules)]
    cases += [("Adam", options) for options in resuming.OPTIONS]
    want = tmp_path / "want"
    want.mkdir()
    for i, (rule, options) in enumerate(cases):
        tg.utils.set_random_seed(i)
        model = resuming.make(rule, options)
        path = tmp_path / f"{i}-{{epoch}}.tgr"
        resuming.fit(model, callbacks=[tg.callbacks.ModelCheckpoint(path)])
        assert len(model.history.history["val_f1"]) == resuming.EPOCHS
        model.save(want / f"{i}.tgr")
        for epoch in {1, 3, 4}:
            (tmp_path / f"{i}-{epoch}.tgr").unlink()
    assert run("load", tmp_path) == 0
    for i in range(len(cases)):
        assert_equal_files(want / f"{i}.tgr", tmp_path / f"{i}-2.end.tgr")


def test_a_backup_in_mid_epoch_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Weights, and the logs of the epoch in which it was killed, those of metrics made at the first batch too."""
    tg.utils.set_random_seed(1)
    resuming.backed_up(tmp_path / "other", 0).save(tmp_path / "want.tgr")
    assert run("backup", tmp_path, 5) == 9  # in its second epoch, after the first batch of which it was saved
    assert run("backup", tmp_path, 0) == 0
    assert_equal_files(tmp_path / "want.tgr", tmp_path / "backed_up.tgr")


def test_a_loaded_model_takes_up_the_random_streams_only_where_its_run_ended(tmp_path: Path) -> None:
    tg.utils.set_random_seed(1)
    model = resuming.make("SGD", {})
    resuming.fit(model, initial_epoch=2)
    model.save(tmp_path / "m.tgr")
    drawn = {}
    for first in (3, 4):
        loaded = load_model(tmp_path / "m.tgr")
        tg.utils.set_random_seed(5)
        resuming.fit(loaded, initial_epoch=first)
        drawn[first] = np.random.rand()
    tg.utils.set_random_seed(5)
    assert drawn[3] == np.random.rand() != drawn[4]


def test_a_file_with_weights_that_are_averages(tmp_path: Path) -> None:
    """Saved while weights and averages have changed places: loaded, they have, too."""
    model = resuming.make("Adam", {"use_ema": True})
    swap = tg.callbacks.SwapEMAWeights(swap_on_epoch=True)
    resuming.fit(model, callbacks=[swap, tg.callbacks.ModelCheckpoint(tmp_path / "{epoch}.tgr")])
    loaded = load_model(tmp_path / "2.tgr")
    assert loaded.optimizer.swapped
    resuming.fit(loaded, initial_epoch=2, callbacks=[tg.callbacks.SwapEMAWeights(swap_on_epoch=True)])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))


def test_kept_states_are_there_when_fit_goes_on(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32)
    model = tg.Sequential(
        [
            tg.layers.Bidirectional(tg.layers.LSTM(2, stateful=True, return_sequences=True)),
            tg.layers.GRU(2, stateful=True),
        ]
    )
    y = x[:, 0]
    model.compile("sgd", "mse")
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(x, y, epochs=1, **options)
    for epoch in (1, 2):
        model.save(tmp_path / "m.tgr")
        loaded = load_model(tmp_path / "m.tgr")
        assert all(states is None for states in loaded.get_states())  # other batch sizes can be predicted
        for one in (model, loaded):
            one.fit(x, y, initial_epoch=epoch, epochs=epoch + 1, **options)
        for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
            assert_array_equal(mine, theirs)
