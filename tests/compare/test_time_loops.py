"""Which loop of a hand-written backward pass goes over the steps, and in which order; right lines are not accused."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path

import pytest

from tinygrad_rnn.compare.homework import check
from tinygrad_rnn.compare.report import GradReport

RNN, LSTM = (
    Path(__file__).with_name(f"homework_{name}.py").read_text(encoding="utf-8") for name in ("rnn", "lstm")
)
FOR, FOR_LSTM = "for t in reversed(range(X.shape[2])):", "for t in reversed(range(len(cache))):"
START = "    dhnext = np.zeros_like(hs[:, :, 0])\n"
MISTAKE = ("(1 - h * h) * dh", "(1 - h) * dh")


@pytest.fixture(autouse=True)
def python_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process of a file of its own may change is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))


def checked(folder: Path, source: str, *changes: tuple[str, str]) -> GradReport:
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    path = folder / "mine.py"
    path.write_text(source, encoding="utf-8")
    linecache.clearcache()
    return check(str(path))


ZEROS = """    grads = {}
    for name in parameters:
        dby = np.zeros_like(parameters[name])
        grads["d" + name] = dby
    dWax, dWaa, dWya, dba, dby = grads.values()
    dby = np.zeros_like(by); dba = np.zeros_like(ba); dWya = np.zeros_like(Wya)
"""
OUTPUTS = """    for t in range(X.shape[2]):
        dy = ps[:, :, t] - Y[:, :, t]
        dWya += dy @ hs[:, :, t + 1].T
        dby += dy.sum(1, keepdims=True)
"""
PEELED = """    h = hs[:, :, -1]
    dhraw = (1 - h * h) * (Wya.T @ (ps[:, :, -1] - Y[:, :, -1]))
    dWya += (ps[:, :, -1] - Y[:, :, -1]) @ h.T
    dby += (ps[:, :, -1] - Y[:, :, -1]).sum(1, keepdims=True)
    dba += dhraw.sum(1, keepdims=True)
    dWax += dhraw @ X[:, :, -1].T
    dWaa += dhraw @ hs[:, :, -2].T
    dhnext = Waa.T @ dhraw
"""
RIGHT = {  # other ways to write the loop, all of them right
    "as it is": [],
    "a loop that makes zeros": [(START, ZEROS + START)],
    "a loop that runs twice": [(START, "    for k in range(2):\n        dh = k * hs[:, :, 0]\n" + START)],
    "a loop after it": [
        ("    return {", "    for g in (dWax, dWaa):\n        dh = np.clip(g, -99, 99)\n    return {")
    ],
    "while, down": [(FOR, "t = X.shape[2]\n    while t > 0:\n        t -= 1")],
    "while True": [
        (FOR, "t = X.shape[2]\n    while True:\n        t -= 1\n        if t < 0:\n            break")
    ],
    "in one line": [
        (f"    {FOR}\n", "    def one(t, dhnext):\n        nonlocal dWax, dWaa, dWya, dba, dby\n"),
        ("        dhnext = Waa.T @ dhraw\n", "        return Waa.T @ dhraw\n    " + FOR + " dhnext = one(t, dhnext)\n"),
    ],
    "over several lines": [(FOR, "for t in reversed(\n        range(X.shape[2])\n    ):")],
    "counted from one": [
        (FOR, "for k in range(1, X.shape[2] + 1):\n        t = X.shape[2] - k"),
    ],
    "counted from zero": [(FOR, "for k in range(X.shape[2]):\n        t = X.shape[2] - 1 - k")],
    "two counters": [(FOR, "for k, t in enumerate(reversed(range(X.shape[2]))):")],
    "negative": [(FOR, "for t in range(-1, -X.shape[2] - 1, -1):"), (
        "h = hs[:, :, t + 1]", "h = hs[:, :, t % 6 + 1]"), ("hs[:, :, t].T", "hs[:, :, t % 6].T")],
    "the outputs first, forwards": [
        (START, OUTPUTS + START), ("        dWya += dy @ h.T\n        dby += dy.sum(1, keepdims=True)\n", ""),
    ],
    "the last step before the loop": [
        (START, PEELED), (FOR, "for t in range(X.shape[2] - 2, -1, -1):"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_loops_pass_and_a_mistake_in_them_is_found_in_its_line(tmp_path: Path, name: str) -> None:
    report = checked(tmp_path, RNN, *RIGHT[name])
    assert report and not report.notes and report.first_divergence is None, str(report)
    steps = {row.t for row in report.rows} - {None}
    assert steps == (set(range(5)) if "before" in name else set(range(6))), str(report)
    report = checked(tmp_path, RNN, *RIGHT[name], MISTAKE)
    first = report.first_divergence
    assert first is not None and first.source == "dhraw = (1 - h) * dh", str(report)
    assert first.t == max(steps) and "1 - a instead of 1 - a**2" in first.diagnosis, str(report)


@pytest.mark.parametrize(
    ("source", "header", "wrong", "said"),
    [
        (RNN, FOR, "for t in range(X.shape[2]):", "runs forwards, from step 0 to 5"),
        (RNN, FOR, "t = -1\n    while t < 5:\n        t += 1", "runs forwards, from step 0 to 5"),
        (
            RNN,
            FOR,
            "for t in reversed(range(5)):",
            "does not begin at the last step: it runs from step 4 to 0",
        ),
        (LSTM, FOR_LSTM, "for t in range(len(cache)):", "runs forwards, from step 0 to 5"),
        (LSTM, FOR_LSTM, "for t in range(len(cache) - 2, -1, -1):", "it runs from step 4 to 0"),
        (LSTM, FOR_LSTM, "for t, _ in enumerate(cache):", "runs forwards, from step 0 to 5"),
        (
            LSTM,
            f"    {FOR_LSTM}\n        x, h_prev, c_prev, i, f, g, o, c, _ = cache[t]\n"
            "        dh = dH[:, :, t] +",
            "    for (x, h_prev, c_prev, i, f, g, o, c, _), d in zip(cache, np.moveaxis(dH, 2, 0)):\n        dh = d +",
            "runs forwards, from step 0 to 5",
        ),
    ],
)
def test_a_loop_in_the_wrong_order_is_named_and_no_line_in_it(
    tmp_path: Path, source: str, header: str, wrong: str, said: str
) -> None:
    report = checked(tmp_path, source, (header, wrong))
    first = report.first_divergence
    assert not report and first is not None and said in first.diagnosis, str(report)
    at = [
        line.lstrip().startswith(("for", "while")) for line in (tmp_path / "mine.py").read_text().split("\n")
    ]
    assert first.line == max(i for i, loop in enumerate(at, 1) if loop), str(report)
    assert not any(row.diagnosis for row in report.rows if row.t is not None), str(report)


def test_a_loop_that_leaves_out_the_first_step(tmp_path: Path) -> None:
    report = checked(tmp_path, RNN, (FOR, "for t in reversed(range(1, X.shape[2])):"))
    assert not report and report.first_divergence is None
    (note,) = report.notes
    assert note.startswith("mine.py:29: the loop `for t in reversed(range(1, X.shape[2]))` "), note
    assert note.endswith("runs from step 5 to 1 and leaves out step 0")


def test_a_gradient_that_does_not_begin_with_zeros(tmp_path: Path) -> None:
    report = checked(tmp_path, RNN, ("dhnext = np.zeros_like(", "dhnext = np.ones_like("))
    assert report.notes == [
        "mine.py:29: dhnext is not zero when the loop begins, but nothing comes after the last step"
    ]


def test_where_there_is_no_loop_over_the_steps_that_is_said(tmp_path: Path) -> None:
    recursion = [
        (f"    {FOR}\n", "    def back(t, dhnext):\n        nonlocal dWax, dWaa, dWya, dba, dby\n"),
        (
            "        dhnext = Waa.T @ dhraw\n",
            "        if t:\n            back(t - 1, Waa.T @ dhraw)\n    back(5, 0)\n",
        ),
    ]
    for change, passed in ((recursion, True), ([*recursion, MISTAKE], False)):
        report = checked(tmp_path, RNN, *change)
        assert bool(report) is passed and {row.t for row in report.rows} == {None}, str(report)
        assert "no loop over the time steps was found in backward: only totals were compared" in report.notes


HELPER = """import numpy as np


class RNN:
    def forward(self, X, a0, parameters):
        p, a, steps = parameters, a0, []
        for t in range(X.shape[2]):
            prev, a = a, np.tanh(p["Wax"] @ X[:, :, t] + p["Waa"] @ a + p["ba"])
            e = np.exp(p["Wya"] @ a + p["by"])
            steps.append({"x": X[:, :, t], "prev": prev, "a": a, "y": e / e.sum(axis=0, keepdims=True)})
        return np.stack([s["a"] for s in steps], 2), np.stack([s["y"] for s in steps], 2), steps

    def cell(self, dy, da_next, s, p, g):
        g["dWya"] += dy @ s["a"].T
        g["dby"] += dy.sum(axis=1, keepdims=True)
        da = p["Wya"].T @ dy + da_next
        dz = (1 - s["a"] ** 2) * da
        g["dWax"] += dz @ s["x"].T
        g["dWaa"] += dz @ s["prev"].T
        g["dba"] += dz.sum(axis=1, keepdims=True)
        return p["Waa"].T @ dz

    def backward(self, X, Y, parameters, caches):
        g = {"d" + k: np.zeros_like(v) for k, v in parameters.items()}
        da_next = np.zeros_like(caches[0]["a"])
        for t in range(X.shape[2])[::-1]:
            dy = caches[t]["y"] - Y[:, :, t]
            da_next = self.cell(dy, da_next, caches[t], parameters, g)
        return g
"""


def line_of(text: str) -> int:
    return HELPER[: HELPER.index(text)].count("\n") + 1


def test_a_loop_that_hands_on_what_a_function_returns(tmp_path: Path) -> None:
    assert checked(tmp_path, HELPER)
    report = checked(tmp_path, HELPER, ("for t in range(X.shape[2])[::-1]:", "for t in range(X.shape[2]) :"))
    first = report.first_divergence
    assert first is not None and first.line == line_of("for t in range(X.shape[2])[::-1]"), str(report)
    assert "runs forwards, from step 0 to 5" in first.diagnosis, str(report)


def test_the_line_of_what_a_function_returns(tmp_path: Path) -> None:
    report = checked(tmp_path, HELPER, ('return p["Waa"].T @ dz', 'return p["Waa"] @ dz'))
    first, call = report.first_divergence, line_of("da_next = self.cell")
    assert first is not None and first.source == 'return p["Waa"] @ dz', str(report)
    assert first.line == line_of('return p["Waa"].T') and f"(called in line {call})" in str(first), str(first)
    assert "the matrix itself instead of its transpose" in first.diagnosis


def test_a_function_that_is_called_in_several_places_is_not_named_for_one_of_them(tmp_path: Path) -> None:
    helper = ("    def cell(", "    def back(self, w, d):\n        return w.T @ d\n\n    def cell(")
    calls = [('p["Wya"].T @ dy', 'self.back(p["Wya"], dy)'), ('p["Waa"].T @ dz', 'self.back(p["Waa"], dz)')]
    wrong = ("da_next = self.cell(dy", "da_next = self.cell(2 * dy")
    assert checked(tmp_path, HELPER, helper, *calls)
    report = checked(tmp_path, HELPER, helper, *calls, wrong)
    first = report.first_divergence
    assert first is not None and not first.source.startswith("return w.T"), str(report)
