"""Files of models that were changed on purpose: each loads a model or raises `CheckpointError`, and runs nothing."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.container import CheckpointError, read_archive, write_archive
from tinygrad_rnn.models import load_model, model_from_json

ROOT = Path(__file__).parents[2]
X = np.ones((4, 3, 2), np.float32)


def build() -> Any:
    """A model with a bit of everything in its manifest."""
    x = tg.Input((None, 2), name="вход")
    y = layers.LSTM(2, return_sequences=True, dropout=0.1, kernel_regularizer="l2")(x)
    y = layers.Bidirectional(layers.GRU(2), merge_mode="ave")(y * np.ones((1, 2), np.float32) + 2)
    y = tg.Sequential([layers.Dense(2, "tanh"), layers.Dropout(0.5)], name="слой_α 🙂")(y)
    model = tg.Model(x, layers.Dense(1, kernel_initializer=tg.initializers.RandomNormal(stddev=0.1))(y))
    schedule = tg.optimizers.schedules.CosineDecay(0.01, 10)
    model.compile(tg.optimizers.Adam(schedule), tg.losses.Huber(0.5), metrics=["mae", tg.metrics.Mean()])
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: Any) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    model = build()
    model.compile(tg.optimizers.Adam(tg.optimizers.schedules.CosineDecay(0.01, 10)), "huber", metrics=["mae"])
    model.fit(X, np.ones(4), verbose=0)
    path = tmp_path_factory.mktemp("attacks") / "модель é.tgr"
    model.save(path)
    return (path, *read_archive(path))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in nested lists and dicts; long lists of numbers (random states) by their start."""
    found = [path] if path else []
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    )
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


JUNK: list[Any] = [
    None, True, -1, 0, 3, 10**9, 2**70, 1.5, float("nan"), float("inf"), "", "os.system", "__class__", "LSTM",
    "é\ud800", "../../etc/passwd", [], [[]], [1, 2], {}, {"a": 1}, {"$layer": "os.system", "config": {}},
    {"$layer": "Dense", "config": {"units": 1}}, {"$custom": "print"}, {"$custom": "eval", "config": {}},
    {"$object": "activation", "config": "relu"}, {"$object": "os", "config": "system"}, {"$ref": ["input", 0]},
    {"$ref": ["call", 9, 9]}, {"$again": 0}, {"$again": -1}, {"$again": 99}, {"$model": {}}, {"$array": "weights/0"},
    {"$array": [1, "a"], "dtype": "float32"}, {"$array": [1], "dtype": "object"}, {"$texts": ["a"], "shape": [7]},
    {"$symbol": [None, 2], "dtype": "float32", "name": None}, {"$symbol": [10**9, 10**9], "dtype": "float64"},
    {"$symbol": [None, 2], "dtype": "object"}, {"$tuple": [1, 2]}, {"$items": [[[], 1]]}, {"$unknown": 1},
]  # fmt: skip


def change(manifest: Any, path: tuple[Any, ...], what: Any) -> Any:
    """A copy in which one value is replaced, or gone (`what` is `...`)."""
    changed = copy.deepcopy(manifest)
    target = changed
    for key in path[:-1]:
        target = target[key]
    if what is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = what
    return changed


def loads_or_is_refused(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a changed argument may well earn a warning
        try:
            model = load_model(path)
        except CheckpointError as error:
            assert str(path) in str(error)
        else:
            assert isinstance(model, tg.Model) and model.built


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_manifests(saved: Any, tmp_path: Path, data: Any) -> None:
    _, manifest, arrays = saved
    path = data.draw(st.sampled_from(places(manifest)))
    what = data.draw(st.sampled_from([..., *JUNK]))
    write_archive(tmp_path / "x.tgr", change(manifest, path, what), arrays)
    loads_or_is_refused(tmp_path / "x.tgr")


def test_every_top_level_entry_of_every_type(saved: Any, tmp_path: Path) -> None:
    _, manifest, arrays = saved
    for key in manifest:
        for what in (..., None, 7, [1], {"a": []}):
            write_archive(tmp_path / "x.tgr", change(manifest, (key,), what), arrays)
            loads_or_is_refused(tmp_path / "x.tgr")
            with pytest.raises(ValueError):  # a file of another model at the least
                tg.Sequential([tg.Input((3,)), layers.Dense(2)]).load_weights(tmp_path / "x.tgr")
    for gone in list(arrays)[::5]:
        write_archive(tmp_path / "x.tgr", manifest, {k: v for k, v in arrays.items() if k != gone})
        loads_or_is_refused(tmp_path / "x.tgr")


def test_nesting_without_end(saved: Any, tmp_path: Path) -> None:
    _, manifest, arrays = saved
    nested: Any = 1
    for _ in range(150):
        nested = {"$tuple": [{"$items": [["a", [nested]]]}]}
    write_archive(
        tmp_path / "x.tgr", change(manifest, ("model", "layers", 0, "config", "units"), nested), arrays
    )
    with pytest.raises(CheckpointError):
        load_model(tmp_path / "x.tgr")
    for text in ("[" * 100_000, '{"class": "Model", "config": ' * 5_000 + "1" + "}" * 5_000):
        with pytest.raises(ValueError):
            model_from_json(text)


def test_sizes_are_compared_with_the_file_before_a_weight_is_made(saved: Any, tmp_path: Path) -> None:
    _, manifest, arrays = saved
    text = json.dumps(manifest).replace('"units": 2', '"units": 20000')
    write_archive(tmp_path / "x.tgr", json.loads(text), arrays)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="larger than"):
            load_model(tmp_path / "x.tgr")
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


AUDIT = """
import glob, sys, encodings.cp437
import numpy as np
import tinygrad_rnn as tg
from tinygrad_rnn.models import load_model
from tinygrad_rnn.container import CheckpointError
load_model(sys.argv[1] + "/0.tgr").predict(np.ones((4, 3, 2)))  # what is imported when it is needed
files = sorted(glob.glob(sys.argv[1] + "/*.tgr"))
seen = []
def hook(event, args):
    if event in ("import", "pickle.find_class", "os.system", "subprocess.Popen", "socket.connect", "os.remove"):
        seen.append((event, args))
    if event == "open" and args[0] not in files:
        seen.append((event, args))
sys.addaudithook(hook)
for file in files:
    try:
        load_model(file)
    except CheckpointError:
        pass
assert not seen, seen
"""


def test_nothing_is_run_opened_or_imported(saved: Any, tmp_path: Path) -> None:
    """Names that mean code, paths of files: in a process with an audit hook."""
    _, manifest, arrays = saved
    secret = tmp_path / "secret"
    secret.write_text("a\nb\n", encoding="utf-8")
    evil = [
        {"$layer": "StringLookup", "config": {"vocabulary": str(secret)}},
        {"$layer": "TextVectorization", "config": {"vocabulary": str(secret)}},
        {"$layer": "Lambda", "config": {"function": {"$custom": "os.system"}}},
        {"$layer": "Lambda", "config": {"function": "lambda x: x"}},
        {"$layer": "os.system", "config": {}},
        {"$layer": "tinygrad_rnn.layers.Dense", "config": {"units": 1}},
        {"$custom": "builtins.eval", "config": "1"},
        {"$object": "activation", "config": "os.system"},
        {
            "$object": "initializer",
            "config": {"class_name": "subprocess.Popen", "config": {"args": ["true"]}},
        },
        {"$model": {"class": "Own", "config": {"module": "os"}}},
        {"$layer": "Operation", "config": {"function": "__import__"}},
    ]
    write_archive(tmp_path / "0.tgr", manifest, arrays)
    for i, what in enumerate(evil, 1):
        write_archive(tmp_path / f"{i}.tgr", change(manifest, ("model", "layers", 0), what), arrays)
        with pytest.raises(CheckpointError):
            load_model(tmp_path / f"{i}.tgr")
    names = json.loads(
        json.dumps(manifest).replace('"name": "lstm', '"name": "__import__(\\"os\\").system(\\"true\\")')
    )
    write_archive(tmp_path / "names.tgr", names, arrays)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", AUDIT, str(tmp_path)], check=True, env=environment)


def test_names_in_a_file_never_become_code(saved: Any, tmp_path: Path) -> None:
    """Derived recurrences are written as source; the names of layers and inputs do not get into it."""
    _, manifest, arrays = saved
    for name in ('x"); raise SystemExit(1) #', "a\nimport os", "'''", "{x}", "%s", "\\"):
        changed = change(manifest, ("model", "layers", 0, "config", "name"), name)
        write_archive(tmp_path / "x.tgr", changed, arrays)
        model = load_model(tmp_path / "x.tgr")
        assert model.layers[0].name == name
        model.fit(X, np.ones(4), verbose=0)


C_LOCALE = """
import sys
import numpy as np
from tinygrad_rnn.models import load_model
model = load_model(sys.argv[1])
assert "\\u0441\\u043b\\u043e\\u0439_\\u03b1 \\U0001f642" in [layer.name for layer in model.layers]
model.fit(np.ones((4, 3, 2)), np.ones(4), verbose=0)
model.save(sys.argv[1])
load_model(sys.argv[1])
"""


def test_names_and_paths_in_a_process_without_utf8(saved: Any, tmp_path: Path) -> None:
    path = tmp_path / "файл 🙂.tgr"
    path.write_bytes(saved[0].read_bytes())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", C_LOCALE, str(path)], check=True, env=environment)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("text", ["é", "é", "👩‍👩‍👧", "שלום", "\0", "\ud800", "\U0010ffff", "a\nb"])
def test_any_text_survives(tmp_path: Path, text: str) -> None:
    model = tg.Sequential([tg.Input((3,), name=text), layers.Dense(2, name=text)], name=text)
    model.extra = {text: [text]}
    model.save(tmp_path / "m.tgr")
    loaded = load_model(tmp_path / "m.tgr")
    assert (loaded.name, loaded.layers[0].name, loaded.extra) == (text, text, {text: [text]})
    assert loaded.input_names == [text]
