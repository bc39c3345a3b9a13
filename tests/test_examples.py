"""Every example runs, twice with the same results, and prints the reference numbers of its seed document."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.manual import linear_rnn

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("seed_*.py"))
Run = Callable[..., Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Call an example's `main`, which finds its helpers beside it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield lambda name, *argv: importlib.import_module(name).main(list(argv))
    for module in EXAMPLES.glob("*.py"):
        sys.modules.pop(module.stem, None)


# example -> what it computed -> the reference number, and how far it may be off
WANT: dict[str, dict[str, tuple[Any, float]]] = {
    "seed_000_vanilla_rnn": {
        "first loss": (5.543806547510492, 1e-12),
        "norm of dWax": (0.13156728915811, 1e-12),
        "norm of dWaa": (0.00792780673899466, 1e-12),
        "norm of dWya": (0.12334263537995, 1e-12),
        "norm of dba": (0.110356827375322, 1e-12),
        "norm of dby": (1.41411871445946, 1e-12),
        "by hand equals autodiff": (True, 0),
        "prediction after 100 iterations": ("llll", 0),
        "loss after 1 updates": (5.523401019307, 1e-6),
        "loss after 10 updates": (5.357463687141, 1e-6),
        "loss after 50 updates": (4.885343704374, 1e-6),
        "loss after 99 updates": (4.593420223253, 1e-6),
        "loss after 999 updates": (0.0109256069838, 1e-6),
        "prediction of the twin": ("ello", 0),
        "largest after": (5.0, 0),
        "the likeliest text": ("hello", 0),
    },
    "seed_001_hello": {
        "loss": (2.0785167665336113, 1e-15),
        "softmax": ([0.0376841097, 0.1251156504, 0.0006902085, 0.8365100314], 1e-9),
        "d loss / d logits": ([0.0376841097, -0.8748843496, 0.0006902085, 0.8365100314], 1e-9),
        "pushed up": (["e"], 0),
        "RMSprop: fed with its own output": ("hello", 0),
        "Adam: fed with its own output": ("hello", 0),
    },
    "seed_002_cell": {
        "shape of dWax, m = 1": ((5, 3), 0),
        "shape of dWaa, m = 1": ((5, 5), 0),
        "shape of dba, m = 1": ((5, 1), 0),
        "shape of dx, m = 1": ((3, 1), 0),
        "shape of da_prev, m = 1": ((5, 1), 0),
        "shape of dba, m = 10": ((5, 1), 0),
        "shape of dx, m = 10": ((3, 10), 0),
        "shape of da_prev, m = 10": ((5, 10), 0),
        "steps that feel a change of the last input": (6, 0),
    },
    "seed_003_linear_rnn": {
        "ones in all rows": (103.0, 0),
        "cost": (110.22803726617079, 1e-15),
        "gradient by hand": ([274.595429133218, 1593.2428444791924], 0),
        "gradient by the graph": ([274.595429133218, 1593.2428444791924], 1e-15),
        "numerical gradient": ([274.59542906172, 1593.24284346951], 1e-8),
        "No gradient errors found": (["ok", "ok"], 0),
        "cost at (1, -2)": (85002.75, 1e-14),
        "cost at (1, 0.5)": (16.396010398864746, 1e-14),
        "(wx, wRec) after 1": ((-1.4995, 1.9995), 0),
        "model output shown": ("5.00", 0),
        "(wx, wRec) after 50": ((1.718161444505056, 0.8341022946382431), 0),
        "(wx, wRec) after 500": ((1.001355547207059, 0.9996744737846419), 0),
        "final cost": (1.8008530879581043e-06, 1e-6),
        "first iteration with cost < 1": (43, 0),
        "first iteration with cost < 0.001": (229, 0),
        "model output": (4.9989637409516945, 1e-12),
    },
    "seed_004_cells": {
        "SimpleRNN by hand": ([0.7748454271523468, 0.9834603965810674, -0.8702518672807065], 1e-12),
        "SimpleRNNCell": ([0.7748454271523468, 0.9834603965810674, -0.8702518672807065], 1e-12),
        "LSTM h by hand": ([-0.02081683570047385, -0.00824974056525763, -0.0735678887226395], 1e-12),
        "LSTMCell h": ([-0.02081683570047385, -0.00824974056525763, -0.0735678887226395], 1e-12),
        "LSTMCell c": ([-0.4142141069347686, -0.04281413181259774, -0.07508176807254417], 1e-12),
        "GRU h by hand": ([0.2931832034476239, 0.0034418753173227346, -0.786323703501718], 1e-12),
        "GRUCell h": ([0.2931832034476239, 0.0034418753173227346, -0.786323703501718], 1e-12),
        "concat: (m, T, units)": ((2, 5, 6), 0),
        "sum: (m, T, units)": ((2, 5, 3), 0),
        "exercise 1: all characters after the first twelve": (True, 0),
        "exercise 2: more than 9 of 10 unseen reviews": (True, 0),
        "exercise 3: more than 9 of 10 names": (True, 0),
        "exercise 3: the words after a name are needed": (True, 0),
        "LSTM remembers the first of 12 inputs": (True, 0),
    },
}

FIGURES = {
    "seed_000_vanilla_rnn": ["seed_000_loss.png"],
    "seed_001_hello": ["seed_001_loss.png"],
    "seed_002_cell": [
        "seed_002_bidirectional_folded.svg", "seed_002_bidirectional_unrolled.svg", "seed_002_cell.svg",
        "seed_002_deep_folded.svg", "seed_002_deep_unrolled.svg", "seed_002_reach.png",
    ],
    "seed_004_cells": [
        "seed_004_Bidirectional.svg", "seed_004_GRU.svg", "seed_004_LSTM.svg", "seed_004_SimpleRNN.svg",
        "seed_004_loss.png",
    ],
    "seed_003_linear_rnn": ["seed_003_cost_surface.png", "seed_003_gradient_over_time.png"],
}  # fmt: skip


def test_every_seed_document_has_an_example():
    assert list(WANT) == NAMES and [name[:8] for name in NAMES] == [f"seed_00{i}" for i in range(5)]


@pytest.mark.parametrize("name", NAMES)
def test_reference_numbers_twice_and_figures(
    name: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("matplotlib")
    figures = tmp_path / "figures"
    first, second = run(name), run(name, "--plot", str(figures))
    assert not first.failed
    assert capsys.readouterr().out.count("all checks passed") == 2
    for what, (want, rtol) in WANT[name].items():
        if rtol:
            np.testing.assert_allclose(first.values[what], want, 0, rtol * np.abs(want).max(), err_msg=what)
        else:
            assert first.values[what] == want, what
    assert list(first.values) == list(second.values)
    for what, value in first.values.items():
        assert np.array_equal(value, second.values[what]), f"{what} changed in the second run"
    assert sorted(path.name for path in figures.glob("*")) == FIGURES.get(name, [])
    for path in figures.glob("*"):
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


def test_as_a_script():
    root = EXAMPLES.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-W", "error", str(EXAMPLES / "seed_003_linear_rnn.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Target output: 5 vs Model output: 5.00" in done.stdout and done.stderr == ""
    for name in NAMES:
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--help"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "--plot DIR" in done.stdout


def test_a_wrong_gradient_is_noticed(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    right = linear_rnn.gradient
    monkeypatch.setattr(linear_rnn, "gradient", lambda *a: tuple(g * (1 + 1e-12) for g in right(*a)))
    checks = run("seed_003_linear_rnn")
    assert checks.failed == ["gradient by hand"]
    out = capsys.readouterr().out
    assert "WRONG gradient by hand: [274.5954" in out and "1 wrong: gradient by hand" in out
    assert "all checks passed" not in out


def test_a_wrong_shape_is_noticed(run: Run, capsys: pytest.CaptureFixture[str]):
    checks = importlib.import_module("checks").Checks()
    checks("number", np.zeros(2), np.zeros(3), rtol=1.0)
    checks.agree("array", np.zeros((1, 2)), np.ones(2), rtol=10.0)
    checks("nothing but NaN", np.nan, 1.0, rtol=1.0)
    checks.agree("NaN", np.full(2, np.nan), np.ones(2), rtol=1.0)
    assert checks.failed == ["number", "array", "nothing but NaN", "NaN"]


def test_without_matplotlib_a_message(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit) as stop:
        run("seed_003_linear_rnn", "--plot", str(tmp_path / "figures"))
    assert stop.value.code == 2
    assert "pip install 'tinygrad-rnn[plot]'" in capsys.readouterr().out
