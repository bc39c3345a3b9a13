"""The command line, run as a user runs it: exit codes, output, files, and one line for every error."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tinygrad_rnn.__main__ import main
from tinygrad_rnn.compare import homework
from tinygrad_rnn.models import load_model

HOMEWORK = Path(__file__).parent / "compare" / "homework_seed.py"
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
    printed, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaints):
        code = main(command)
    return out, code, printed.getvalue(), complaints.getvalue()


def test_demo_tells_the_whole_story(finished):
    out, code, printed, complaints = finished
    assert code == 0 and complaints == ""
    lines = printed.splitlines()
    epochs = [line for line in lines if line.startswith("Epoch ")]
    assert len(epochs) == 12
    assert all("val_loss" in line for line in epochs)
    for part in ("bigram", "sample before training (temperature", "sample after training (temperature"):
        assert part in printed
    for row in ("vanilla_rnn/Waa", "lstm/recurrent_kernel", "gru/kernel", "bidirectional/Wya"):
        assert any(line.startswith(row) and "rounding" in line for line in lines), row
    assert "differs" not in printed
    names = sorted(p.name for p in out.iterdir())
    assert names == ["gru_folded.svg", "gru_unrolled.svg", "loss.svg", "model.tgr"]
    for name in names[:3]:
        assert ET.parse(out / name).getroot().tag.endswith("svg")


def test_the_saved_model_goes_on(finished, capsys):
    out, *_ = finished
    arguments = ["sample", str(out / "model.tgr"), "--start", "the ", "--length", "50", "--seed", "3"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == first
    assert first.startswith("the ")
    assert len(first.rstrip("\n")) == 54
    assert main([*arguments, "--temperature", "0"]) == 0
    assert load_model(out / "model.tgr").name == "character_model"


def test_the_same_seed_gives_the_same_model(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "tinygrad_rnn.demo.compare_twins", lambda seed: ""
    )  # takes long, and is no part of it
    text = tmp_path / "t.txt"
    text.write_text(TEXT, encoding="utf-8")
    for name in ("first", "a", "b"):  # rich, imported in the first, draws from Python's random numbers
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
    out, *_ = finished
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
        ["compare"],
        ["compare", "x.py", "--time-limit", "0"],
        [],
        ["sample", "m.tgr", "--length", "x"],
        ["sample", "m.tgr", "--seed", "-4"],
        ["demo", "--seed", "-1"],
    ],
)
def test_bad_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("tinygrad-rnn") and "--help" in error
    assert "--seed" not in arguments or f"at least 0, received {arguments[-1]}" in error


@pytest.mark.parametrize("command", ["demo", "sample", "compare", "inspect"])
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
    monkeypatch.setattr("tinygrad_rnn.__main__.compare_file", interrupted)
    assert main(["demo"]) == main(["compare", "x.py"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_as_a_program():
    command = [sys.executable, "-m", "tinygrad_rnn", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "tinygrad-rnn 0." in done.stdout


# --- compare ----------------------------------------------------------------------------------------


@pytest.fixture
def in_process(monkeypatch, tmp_path):
    """What the process of a user's file does, done in this one; what it changes is put back."""

    def compare_file(path, seconds):
        homework.main(path, str(tmp_path / "answer.json"))
        return homework.told(path, tmp_path / "answer.json")

    monkeypatch.setattr("tinygrad_rnn.__main__.compare_file", compare_file)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))


def test_a_right_derivation_passes(capsys):
    assert main(["compare", str(HOMEWORK)]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "passed" in out and "Waa" in out and "forward: A" in out


FUNCTIONS = """
import numpy as np

def forward(x, h0, params):
    h, states, outputs = h0, [], []
    for t in range(x.shape[-1]):
        h = np.tanh(params["Wax"].dot(x[..., t]) + params["Waa"].dot(h) + params["ba"])
        states.append(h)
        s = np.exp(params["Wya"].dot(h) + params["by"])
        outputs.append(s / s.sum(0))
    return np.stack(states, -1), np.stack(outputs, -1), (x, h0, states, outputs)

def compute_loss(Y_hat, Y):
    return -np.mean(np.sum(Y * np.log(Y_hat), axis=0))

def backward(x, y, params, cache):
    x, h0, hs, ps = cache
    dWax, dWaa, dWya = (np.zeros_like(params[k]) for k in ("Wax", "Waa", "Wya"))
    dba, dby = np.zeros_like(params["ba"]), np.zeros_like(params["by"])
    dhnext = np.zeros_like(h0)
    count = y.shape[1] * y.shape[2]
    for t in range(len(hs) - 1, -1, -1):
        dy = (ps[t] - y[..., t]) / count
        dWya += dy.dot(hs[t].T)
        dby += dy.sum(1, keepdims=True)
        dh = params["Wya"].T.dot(dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dba += dhraw.sum(1, keepdims=True)
        dWax += dhraw.dot(x[..., t].T)
        dWaa += dhraw.dot((hs[t - 1] if t else h0).T)
        dhnext = params["Waa"].T.dot(dhraw)
    return dict(dWax=dWax, dWaa=dWaa, dWya=dWya, dba=dba, dby=dby)
"""


@pytest.mark.parametrize(
    ("right", "wrong", "code", "said"),
    [
        ("", "", 0, "compute_loss is 0.0833333 times the sum"),
        (" / count\n", "\n", 1, "first divergence: t=5, dy, your line mine.py:23: dy = (ps[t] - y[..., t])"),
        ("+ dhnext", "", 1, "first divergence: t=4, dh, your line mine.py:26:"),
        ("if t else h0", "if t else 0 * h0", 1, "first divergence: t=0, dWaa"),
        ("hs[t] * hs[t])", "hs[t] * hs[t] * hs[t])", 1, "first divergence: t=5, dhraw, your line mine.py:27:"),
        ("h = np.tanh(", "h = np.sin(", 1, "the forward pass differs, first at t=0"),
    ],
)  # fmt: skip
def test_functions_with_other_names_and_a_mean_loss(in_process, tmp_path, capsys, right, wrong, code, said):
    file = tmp_path / "mine.py"
    file.write_text(FUNCTIONS.replace(right, wrong) if right else FUNCTIONS, encoding="utf-8")
    assert main(["compare", str(file)]) == code
    out = " ".join(capsys.readouterr().out.split())
    assert said in out, out


@pytest.mark.parametrize(
    ("right", "wrong", "quantity", "t", "cause"),
    [
        ("(1 - at**2) * dat", "(1 - at) * dat", "dz", 5, "1 - a instead of 1 - a**2"),
        ('["Waa"].T @ dz', '["Waa"] @ dz', "da_prev", 5, "the matrix itself instead of its transpose"),
        ("dy = y_hat - y", "dy = y - y_hat", "dy", 5, "sign"),
        ("total[name] += step", "total[name] = step", "", None, "the sum over time is missing"),
    ],
)
def test_the_line_of_a_mistake_is_named(in_process, tmp_path, capsys, right, wrong, quantity, t, cause):
    source = HOMEWORK.read_text(encoding="utf-8")
    assert source.count(right) == 1
    file = tmp_path / "mine.py"
    file.write_text(source.replace(right, wrong), encoding="utf-8")
    line = source[: source.index(right)].count("\n") + 1
    assert main(["compare", str(file)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert cause in out, out
    if quantity:
        assert f"first divergence: t={t}, {quantity}, your line mine.py:{line}:" in out, out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import no_such_module_at_all", "does not import: ModuleNotFoundError"),
        ("def forward(:", "does not import: SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero (line 1)"),
        ("x = 1", "defines no forward"),
        ("import sys; sys.exit(0)", "calls exit"),
        ("def forward(X): pass\ndef backward(g): pass", "takes (g)"),
        (
            "def forward(X, a0, parameters): return X, X, X\n"
            "def backward(X, Y, parameters, caches): return 5",
            "must return a dict",
        ),
        (
            "def forward(X, a0, parameters): return X, X, X\n\n"
            "def backward(X, Y, parameters, caches):\n    return caches[99]",
            "backward raises IndexError",
        ),
    ],
)
def test_files_that_cannot_be_compared(in_process, tmp_path, capsys, content, message):
    assert_unusable(tmp_path, capsys, content, message)


@pytest.mark.parametrize(
    ("content", "message", "limit"),
    [
        (None, "there is no such file", "60"),
        ("import os; os._exit(0)", "ended by itself", "60"),
        ("import sys; sys.exit(0)", "calls exit", "60"),
        ("while True: pass", "still running after 1 s", "1"),
    ],
)
def test_files_that_end_their_process_or_never_do(tmp_path, capsys, content, message, limit):
    assert_unusable(tmp_path, capsys, content, message, "--time-limit", limit)


def assert_unusable(folder, capsys, content, message, *options):
    file = folder / "mine.py"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert main(["compare", str(file), *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err, captured.err
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_missing_and_non_finite_gradients_are_findings(in_process, tmp_path, capsys):
    source = HOMEWORK.read_text(encoding="utf-8")
    for change, verdict in (
        ("return total", "missing"),
        ("return total", "non-finite"),
        ("return total", "shape"),
    ):
        new = {
            "missing": 'return {"dWax": total["dWax"]}',
            "non-finite": "return {k: v * np.nan for k, v in total.items()}",
            "shape": "return {k: v.T for k, v in total.items()}",
        }[verdict]
        file = tmp_path / f"{verdict}.py"
        file.write_text(source.replace(change, new), encoding="utf-8")
        assert main(["compare", str(file)]) == 1
        assert verdict in capsys.readouterr().out
