"""A saved model computes the same, goes on training the same, and a foreign file is refused."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.container import CheckpointError, read_archive, write_archive
from tinygrad_rnn.models import load_model


def swish_twice(x):
    return tg.ops.silu(tg.ops.silu(x))


def models():
    yield tg.Sequential(
        [
            tg.Input((None, 3)),
            layers.LSTM(4, kernel_initializer=tg.initializers.RandomNormal(stddev=0.1)),
            layers.Dense(1),
        ]
    )
    yield tg.Sequential(
        [layers.Bidirectional(layers.GRU(3, reset_after=False), merge_mode="sum"), layers.Dense(1)]
    )
    yield tg.Sequential(
        [
            layers.RNN([layers.LSTMCell(2), layers.SimpleRNNCell(3)]),
            layers.Dropout(0.5),
            layers.Dense(1, kernel_regularizer="l2"),
        ]
    )
    x = tg.Input((None, 3))
    y, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    z = layers.LSTM(4)(y, initial_state=[h, c])
    yield tg.Model(x, layers.Dense(1)(z))


@pytest.mark.parametrize("index", range(4))
def test_round_trip(tmp_path, index):
    model = list(models())[index]
    model.compile(tg.optimizers.Adam(0.01, clipnorm=1.0), "mse", metrics=["mae"])
    x, y = np.ones((6, 4, 3), np.float32), np.ones(6, np.float32)
    model.fit(x, y, verbose=0)
    model.extra = {"note": "é🙂"}
    path = tmp_path / "m.tgr"
    model.save(path)
    loaded = load_model(path)
    assert loaded.extra == model.extra
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    tg.utils.set_random_seed(5)
    first = [model.train_on_batch(x, y) for _ in range(3)]
    tg.utils.set_random_seed(5)
    assert first == [loaded.train_on_batch(x, y) for _ in range(3)]  # dropout draws the same masks, too
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))
    loaded.save(path)
    np.testing.assert_array_equal(load_model(path).predict(x), loaded.predict(x))


def test_weights_alone(tmp_path):
    a, b = (tg.Sequential([tg.Input((None, 3)), layers.GRU(2)]) for _ in range(2))
    a.save_weights(tmp_path / "a.weights.tgr")
    b.load_weights(tmp_path / "a.weights.tgr")
    assert all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))
    other = tg.Sequential([tg.Input((None, 3)), layers.GRU(3)])
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"kernel': expected shape \(3, 9\), the file has \(3, 6\)"):
        other.load_weights(tmp_path / "a.weights.tgr")
    assert all(np.array_equal(x, y) for x, y in zip(before, other.get_weights(), strict=True))


def test_the_arguments_of_keras(tmp_path):
    model = tg.Sequential([tg.Input((None, 3)), layers.GRU(2), layers.Dense(1)])
    path, weights = tmp_path / "m.tgr", tmp_path / "m.weights.tgr"
    model.save(filepath=path, overwrite=False, zipped=True)
    model.save_weights(filepath=weights, overwrite=False, max_shard_size=None)
    kept, held = path.read_bytes(), weights.read_bytes()
    model.layers[1].kernel.assign_add(1.0)
    for save in (model.save, model.save_weights):
        with pytest.raises(FileExistsError, match=r"m\..*tgr exists, and overwrite is False.*overwrite=True"):
            save(path if save is model.save else weights, overwrite=False)
    with pytest.raises(ValueError, match="one archive; leave out zipped"):
        model.save(path, zipped=False)
    with pytest.raises(ValueError, match="one file; leave out max_shard_size"):
        model.save_weights(weights, max_shard_size=1)
    assert kept == path.read_bytes() and held == weights.read_bytes()
    now = model.get_weights()
    with pytest.raises(ValueError, match="all or not at all; leave out skip_mismatch"):
        model.load_weights(weights, skip_mismatch=True)
    assert all(map(np.array_equal, now, model.get_weights()))
    again = tg.models.load_model(filepath=path, custom_objects=None, compile=False, safe_mode=False)
    model.load_weights(filepath=weights, skip_mismatch=False)
    assert all(map(np.array_equal, again.get_weights(), model.get_weights()))
    model.save(path)
    tg.models.save_model(model, filepath=path, overwrite=True)
    assert path.read_bytes() != kept


def test_functions_are_saved_by_name_and_lambdas_refused(tmp_path):
    model = tg.Sequential([tg.Input((3,)), layers.Dense(2, activation=swish_twice)])
    model.save(tmp_path / "m.tgr")
    with pytest.raises(CheckpointError, match="'swish_twice'.*custom_objects"):
        load_model(tmp_path / "m.tgr")
    loaded = load_model(tmp_path / "m.tgr", custom_objects={"swish_twice": swish_twice})
    np.testing.assert_array_equal(loaded(np.ones((1, 3))), model(np.ones((1, 3))))
    with pytest.raises(ValueError, match="lambda cannot be saved"):
        tg.Sequential([tg.Input((3,)), layers.Dense(2, activation=lambda x: x)]).save(tmp_path / "n.tgr")
    assert not (tmp_path / "n.tgr").exists()


def test_foreign_classes_and_manifests_are_refused(tmp_path):
    model = tg.Sequential([tg.Input((3,)), layers.Dense(2)])
    path = tmp_path / "m.tgr"
    model.save(path)
    manifest, arrays = read_archive(path)
    manifest.pop("arrays", None)
    plain = {k: v for k, v in manifest.items() if k in ("format", "version", "model", "extra", "weights")}
    for change in (
        lambda m: m["model"]["config"]["layers"][1].update({"$layer": "os.system"}),
        lambda m: m.update(format="something else"),
        lambda m: m.pop("model"),
        lambda m: m.update(weights=["a"] * 7),
        lambda m: m["model"]["config"]["layers"][1]["config"].update(units="many"),
    ):
        import copy

        changed = copy.deepcopy(plain)
        change(changed)
        write_archive(tmp_path / "x.tgr", changed, arrays)
        with pytest.raises(CheckpointError):
            load_model(tmp_path / "x.tgr")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.tgr")
    with pytest.raises(ValueError, match=".tgr"):
        model.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="no weights yet"):
        tg.Sequential([layers.Dense(2)]).save(tmp_path / "y.tgr")


def test_a_failed_save_keeps_the_old_file(tmp_path):
    model = tg.Sequential([tg.Input((3,)), layers.Dense(2)])
    path = tmp_path / "m.tgr"
    model.save(path)
    before = path.read_bytes()
    model.extra = {"not json": object()}
    with pytest.raises((TypeError, ValueError)):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.tgr"]


def test_types_frozen_layers_and_bad_weights(tmp_path):
    tg.set_floatx("float64")
    model = tg.Sequential([tg.Input((None, 3)), layers.GRU(2), layers.Dense(1)])
    model.compile("adam", "mse")
    model.layers[0].trainable = False
    model.fit(np.ones((4, 2, 3)), np.ones(4), verbose=0)
    model.save(tmp_path / "m.tgr")
    tg.set_floatx("float32")
    loaded = load_model(tmp_path / "m.tgr")
    assert {w.dtype.name for w in loaded.weights} == {"float64"}
    assert [w.trainable for w in loaded.weights] == [w.trainable for w in model.weights]
    loaded.fit(np.ones((4, 2, 3)), np.ones(4), verbose=0)
    narrow = tg.Sequential([tg.Input((None, 3)), layers.GRU(2), layers.Dense(1)])
    with pytest.raises(CheckpointError, match="expected dtype float32"):
        narrow.load_weights(tmp_path / "m.tgr")
    with pytest.raises(CheckpointError, match="nothing to load it into"):
        tg.Sequential([tg.Input((None, 3)), layers.GRU(2, dtype="float64")]).load_weights(tmp_path / "m.tgr")
    manifest, arrays = read_archive(tmp_path / "m.tgr")
    for change, message in (({"version": 99}, "version 1"), ({}, "NaN or infinite")):
        if not change:
            arrays["weights/0"][0] = np.nan
        kept = {k: v for k, v in manifest.items() if k != "arrays"}
        write_archive(tmp_path / "bad.tgr", {**kept, **change}, arrays)
        with pytest.raises(CheckpointError, match=message):
            load_model(tmp_path / "bad.tgr")


def test_optimizer_slots_follow_their_weights(tmp_path):
    model = tg.Sequential([tg.Input((2,)), layers.Dense(2), layers.Dense(2), layers.Dense(2)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
    model.layers[1].trainable = False
    model.fit(x, x, verbose=0)
    model.layers[1].trainable = True
    model.fit(x, x, verbose=0)
    model.save(tmp_path / "m.tgr")
    loaded = load_model(tmp_path / "m.tgr")
    for m in (model, loaded):
        m.fit(x, x, verbose=0, shuffle=False)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))


def test_nested_models_metric_objects_and_ops_as_activations(tmp_path):
    x = tg.Input((3,))
    inner = tg.Model(x, layers.Dense(2, activation=tg.ops.relu)(x))
    y = tg.Input((3,))
    outer = tg.Model(y, layers.Dense(1)(inner(y)))
    outer.compile("sgd", "mse", metrics=[tg.metrics.MeanSquaredError()])
    outer.save(tmp_path / "m.tgr")
    loaded = load_model(tmp_path / "m.tgr")
    data = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(loaded.predict(data), outer.predict(data))
    assert loaded.evaluate(data, np.zeros(4)) == outer.evaluate(data, np.zeros(4))
