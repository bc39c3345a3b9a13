"""A sum over the steps that a derivation forgets to build, and steps that are meant to stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compare.planted import load
from compare.test_lines import HEAD

import tinygrad_rnn as tg

BACKWARD = (
    HEAD
    + """

def start(*arrays):
    return [np.zeros(array.shape) for array in arrays]


class Own:
    def __init__(self):
        self.dU, self.db = start(U, b)

    def backward(self, rec):
        da_next = np.zeros((n, m))
        for t in reversed(range(T)):
            dz = (1 - a[t] ** 2) * (2 * V.T @ V @ a[t] + da_next)
            self.dU += dz @ a[t - 1].T
            self.db += dz.sum(axis=1, keepdims=True)
            da_next = U.T @ dz
            rec(t, dz=dz, dU=self.dU, db=self.db)


def backward(rec):
    START
    da_next = np.zeros((n, m))
    for t in reversed(range(T)):
        dz = (1 - a[t] ** 2) * (2 * V.T @ V @ a[t] + da_next)
        dU += dz @ a[t - 1].T
        db += dz.sum(axis=1, keepdims=True)
        da_next = U.T @ dz
        rec(t, dz=dz, dU=dU, db=db)
    return dU, db
"""
)
STARTS = [
    "dU, db = np.zeros_like(U), np.zeros_like(b)",
    "dU, db = (np.zeros_like(w) for w in (U, b))",
    "dU, db = map(np.zeros_like, (U, b))",
    "dU, db = [np.full(w.shape, 0.0) for w in (U, b)]",
    "dU, db = U * 0, b * 0",
    "dU, db = start(U, b)",
    "dU = db = 0.0",
]


def compared(tmp_path: Path, source: str, name: str, own: bool = False) -> Any:
    module, _ = load(tmp_path, source, name)
    rec = tg.ManualRecorder()
    (module.Own() if own else module).backward(rec)
    return tg.compare_gradients(rec, module.P, loss_fn=module.loss_fn, inputs=[module.X])


@pytest.mark.parametrize("start", STARTS)
def test_a_forgotten_sum(tmp_path: Path, start: str) -> None:
    source = BACKWARD.replace("START", start)
    report = compared(tmp_path, source, "right")
    assert report, str(report)
    head, tail = source.split("def backward(rec):")
    report = compared(tmp_path, head + "def backward(rec):" + tail.replace("dU +=", "dU ="), "wrong")
    first = report.first_divergence
    assert not report and first is not None, str(report)
    assert (first.t, first.quantity, first.source) == (3, "dU", "dU = dz @ a[t - 1].T"), str(first)
    assert "the sum over time is missing" in first.diagnosis


STEPS = {  # single steps, as they are meant: (what the loop adds up, what is recorded)
    "another variable": ("step = dz @ a[t - 1].T\n        dU += step", "dU=step, db=db"),
    "an expression": ("dU += dz @ a[t - 1].T", "dU=dz @ a[t - 1].T, db=db"),
    "used": ("dU = dz @ a[t - 1].T\n        total = total + dU", "dU=dU, db=db"),
    "alone": ("dU = dz @ a[t - 1].T", "dU=dU"),
}


@pytest.mark.parametrize("name", STEPS)
def test_single_steps_are_not_accused(tmp_path: Path, name: str) -> None:
    summed, recorded = STEPS[name]
    source = BACKWARD.replace("START", "dU, db = start(U, b)\n    total = 0.0")
    head, tail = source.split("def backward(rec):")
    tail = tail.replace("dU += dz @ a[t - 1].T", summed).replace("dU=dU, db=db", recorded)
    report = compared(tmp_path, head + "def backward(rec):" + tail, "steps")
    assert report, str(report)
    told = any(note.startswith("dU: recorded as what each step adds") for note in report.notes)
    assert told == (name != "an expression"), report.notes


def test_a_sum_of_which_it_is_not_known_whether_it_is_meant(tmp_path: Path) -> None:
    source = BACKWARD.replace("START", STARTS[0])
    report = compared(tmp_path, source, "right", own=True)
    assert report and not any("each step adds" in note for note in report.notes), report.notes
    report = compared(tmp_path, source.replace("self.dU +=", "self.dU ="), "perhaps", own=True)
    assert any(note.startswith("dU: recorded as what each step adds") for note in report.notes), report.notes


def test_totals_that_lack_a_step(tmp_path: Path) -> None:
    module, _ = load(tmp_path, BACKWARD.replace("START", STARTS[0]), "right")
    sums: dict[int, Any] = {}
    module.backward(lambda t, **q: sums.setdefault(t, {k: v.copy() for k, v in q.items()}))
    whole = {"dU": sums[0]["dU"], "db": sums[0]["db"]}
    step = {name: sums[0][name] - sums[1][name] for name in whole}  # dU: nothing, for the first state is zero
    only = "only the first step, t=0: the sum over time is missing"
    variables = [module.P["U"], module.P["b"]]
    for name, wrong, said in (
        ("db", step["db"], only),
        ("dU", step["dU"], f"zero everywhere or {only}"),
        ("db", sums[1]["db"], "the step t=0 is missing"),
        ("dU", sums[3]["dU"], "the flow back in time is cut: only the last 2 of 5 steps, from t=3 on"),
    ):
        report = tg.compare_gradients({**whole, name: wrong}, variables, loss_fn=module.loss_fn)
        (row,) = [row for row in report.rows if row.failed]
        assert row.diagnosis == said, str(report)
