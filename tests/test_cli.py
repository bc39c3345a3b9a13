"""The command line, run as a user runs it: exit codes, output, files, and one line for every error."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tinygrad_rnn.__main__ import main
from tinygrad_rnn.models import load_model

TEXT = "the cat sat on the mat. the dog sat on the log. " * 60


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small demo, run once for all tests that look at its results."""
    folder = tmp_path_factory.mktemp("demo")
    text = folder / "cats.txt"
    text.write_text(TEXT, encoding="utf-8")
    out = folder / "out"
    command = [
        "demo",
        "--text",
        str(text),
        "--units",
        "16",
        "--epochs",
        "12",
        "--cell",
        "gru",
        "--out",
        str(out),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_rnn", *command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return out, done


def test_demo_tells_the_whole_story(finished):
    out, done = finished
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    epochs = [line for line in lines if line.startswith("Epoch ")]
    assert len(epochs) == 12
    assert all("val_loss" in line for line in epochs)
    for part in ("bigram", "sample before training (temperature", "sample after training (temperature"):
        assert part in done.stdout
    for row in ("vanilla_rnn/Waa", "lstm/recurrent_kernel", "gru/kernel", "bidirectional/Wya"):
        assert any(line.startswith(row) and "rounding" in line for line in lines), row
    assert "differs" not in done.stdout
    names = sorted(p.name for p in out.iterdir())
    assert names == ["gru_folded.svg", "gru_unrolled.svg", "loss.svg", "model.tgr"]
    for name in names[:3]:
        assert ET.parse(out / name).getroot().tag.endswith("svg")


def test_the_saved_model_goes_on(finished, capsys):
    out, _ = finished
    arguments = ["sample", str(out / "model.tgr"), "--start", "the ", "--length", "50", "--seed", "3"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == first
    assert first.startswith("the ")
    assert len(first.rstrip("\n")) == 54
    assert main([*arguments, "--temperature", "0"]) == 0
    assert load_model(out / "model.tgr").name == "character_model"


def test_the_same_seed_gives_the_same_model(tmp_path, capsys):
    text = tmp_path / "t.txt"
    text.write_text(TEXT, encoding="utf-8")
    for name in ("a", "b"):
        assert (
            main(
                ["demo", "--text", str(text), "--units", "4", "--epochs", "1", "--out", str(tmp_path / name)]
            )
            == 0
        )
    capsys.readouterr()
    assert (tmp_path / "a" / "model.tgr").read_bytes() == (tmp_path / "b" / "model.tgr").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"too short", "characters; at least"),
        (b"\xff\xfe\x00bad" * 400, "not UTF-8"),
        (None, "there is no file"),
    ],
)
def test_bad_text_files(tmp_path, capsys, content, message):
    text = tmp_path / "t.txt"
    if content is not None:
        text.write_bytes(content)
    out = tmp_path / "out"
    assert main(["demo", "--text", str(text), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_the_saved_model_is_inspected(finished, tmp_path, capsys):
    model, page = str(finished[0] / "model.tgr"), tmp_path / "page.html"
    assert main(["inspect", model, "--text", "the cat", "--out", str(page)]) == 0
    assert "page.html" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for arguments, message in [
        ([model, "--text", "Ünknown"], "'Ü'"),
        ([model, "--text", "t"], "at least two characters"),
        ([model, "--text", "the", "--out", str(tmp_path / "none" / "page.html")], "there is no folder"),
        ([str(tmp_path / "none.tgr"), "--text", "the"], "none.tgr"),
    ]:
        assert main(["inspect", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_bad_samples(finished, tmp_path, capsys):
    out, _ = finished
    model = str(out / "model.tgr")
    broken = tmp_path / "broken.tgr"
    broken.write_bytes((out / "model.tgr").read_bytes()[:-100])
    for arguments, message in [
        ([model, "--start", "Ünknown"], "'Ü'"),
        ([model, "--start", ""], "at least one character"),
        ([model, "--start", "the", "--temperature", "-1"], "temperature"),
        ([model, "--start", "the", "--temperature", "nan"], "temperature"),
        ([str(tmp_path / "none.tgr")], "none.tgr"),
        ([str(broken)], "broken.tgr"),
    ]:
        assert main(["sample", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--epochs", "0"],
        ["demo", "--cell", "rmn"],
        ["sampel"],
        [],
        ["sample", "m.tgr", "--length", "x"],
    ],
)
def test_bad_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "sample", "inspect"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert "tinygrad-rnn 0." in capsys.readouterr().out


def test_interrupt_exits_with_130(monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinygrad_rnn.__main__.run", interrupted)
    assert main(["demo"]) == 130
    assert "Traceback" not in capsys.readouterr().err
