"""`ManualRecorder`: right derivations pass, planted bugs are named with step, quantity, line and cause."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare.planted import BUGS, RNN, load

import tinygrad_rnn as tg


def test_a_right_derivation_passes(tmp_path: Path) -> None:
    module, _ = load(tmp_path, RNN, "right")
    for _ in range(2):
        rec = tg.ManualRecorder()
        module.backward(rec)
        report = tg.compare_gradients(rec, module.P, loss_fn=module.loss_fn, inputs=[module.X])
        assert report and report.first_divergence is None, str(report)
        assert {row.verdict for row in report.rows} == {"rounding"}, str(report)
        assert len(report.rows) == 12 * 9


@pytest.mark.parametrize("name", BUGS)
def test_planted_bugs_are_named(tmp_path: Path, name: str) -> None:
    bug = BUGS[name]
    module, line = load(tmp_path, RNN, "wrong", bug)
    rec = tg.ManualRecorder()
    module.backward(rec)
    report = tg.compare_gradients(rec, module.P, loss_fn=module.loss_fn, inputs=[module.X])
    first = report.first_divergence
    assert not report and first is not None, str(report)
    assert (first.t, first.quantity, first.line, first.source) == (bug.t, bug.quantity, line, bug.wrong), str(
        first
    )
    assert first.file == str(tmp_path / "wrong.py")
    assert bug.cause in first.diagnosis, str(first)
    print(first)
