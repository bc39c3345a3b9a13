"""What takes the place of a file: names, rights, and folders of every kind."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.container import CheckpointError
from tinygrad_rnn.files import replacing
from tinygrad_rnn.models import load_model

posix = pytest.mark.skipif(os.name != "posix", reason="rights and folders of POSIX")


def write(path: Path, content: bytes = b"new") -> None:
    with replacing(path) as file:
        file.write(content)


@pytest.mark.parametrize("name", ["a" * 255, "模" * 85, "é" * 127, "🙂" * 63, "模" * 26 + "a🙂" * 9])
def test_names_as_long_as_a_folder_takes_them(tmp_path: Path, name: str) -> None:
    for content in (b"first", b"second"):
        write(tmp_path / name, content)
        assert (tmp_path / name).read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == [name]


@posix
def test_who_could_not_read_the_old_file_cannot_read_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path)
    usual = stat.S_IMODE(path.stat().st_mode)
    for mode in (0o600, 0o640, 0o444):
        path.chmod(mode)
        write(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    path.unlink()
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == usual


@posix
def test_a_folder_that_cannot_be_opened_or_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there by then: the first is no error, the second says that it is."""
    real_open, real_fsync = os.open, os.fsync

    def refused(path: Any, *args: Any, **options: Any) -> int:
        if Path(path) == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *args, **options)

    def broken(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(5, "Input/output error")
        real_fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        write(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match=r"Input/output error \(the new file is there, .*: '.*/a'"):
        write(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"2"


@pytest.mark.parametrize("inside", ["", "/runs/1"])
@pytest.mark.parametrize("kind", ["BackupAndRestore", "ModelCheckpoint"])
def test_a_file_where_a_folder_is_wanted(tmp_path: Path, kind: str, inside: str) -> None:
    """A backup says so before the first epoch."""
    (tmp_path / "taken").write_bytes(b"mine")
    folder = f"{tmp_path}/taken{inside}"
    model = tg.Sequential([tg.Input((2,)), tg.layers.Dense(1)])
    model.compile("sgd", "mse")
    keeping = {
        "BackupAndRestore": lambda: tg.callbacks.BackupAndRestore(folder),
        "ModelCheckpoint": lambda: tg.callbacks.ModelCheckpoint(folder + "/model.tgr"),
    }[kind]()
    with pytest.raises(NotADirectoryError, match=rf"{kind}: .*'{folder}', but '{tmp_path}/taken' is a file"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=[keeping])
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert model.optimizer.iterations == (0 if kind == "BackupAndRestore" else 1)


def test_weights_of_another_float_type_and_weights_that_are_not_finite(tmp_path: Path) -> None:
    """What the errors advise can be done."""
    path = tmp_path / "a.weights.tgr"
    wide, narrow = (
        tg.Sequential([tg.Input((2,)), tg.layers.Dense(1, dtype=d)]) for d in ("float64", "float32")
    )
    wide.save_weights(path)
    with pytest.raises(CheckpointError, match="expected dtype float32, the file has float64; pass cast=True"):
        narrow.load_weights(path)
    narrow.load_weights(path, cast=True)
    np.testing.assert_array_equal(narrow.weights[0].numpy(), wide.weights[0].numpy().astype("float32"))
    narrow.weights[1].assign([np.nan])
    narrow.save(tmp_path / "a.tgr")
    for load in (
        lambda **o: load_model(tmp_path / "a.tgr", **o),
        lambda **o: narrow.load_weights(tmp_path / "a.tgr", **o),
    ):
        with pytest.raises(
            CheckpointError, match="1 of 1 values are NaN or infinite; pass finite=False to load them"
        ):
            load()
        load(finite=False)
    assert np.isnan(load_model(tmp_path / "a.tgr", finite=False).weights[1].numpy()).all()
