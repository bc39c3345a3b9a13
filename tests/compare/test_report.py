"""`GradReport` as text, in colour, as HTML and as JSON."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_rnn.compare import Divergence, GradReport, Row, Worst
from tinygrad_rnn.compare.diagnose import diagnose
from tinygrad_rnn.compare.report import measure

LONG = "functional/bidirectional/forward_lstm/lstm_cell/a_long_scope/recurrent_kernel"


def report() -> GradReport:
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 5.0]])
    return GradReport(
        [
            measure("W", b, b, verdict="ok", float64=True),
            measure(LONG, a, b, verdict="differs", diagnosis="un<explained> " * 12),
            Row("dx", (3,), verdict="missing", extra=True),
        ],
        "two gradients",
        ["a note"],
    )


def test_the_numbers_of_a_row() -> None:
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 5.0]])
    row = measure("W", a, b)
    assert row.shape == (2, 2) and row.t is None
    assert row.worst == Worst((1, 1), 4.0, 5.0)
    assert row.max_abs == 1.0 and row.max_rel == pytest.approx(1 / 5)
    assert row.norm_rel == pytest.approx(1 / (np.linalg.norm(a) + np.linalg.norm(b)))
    assert row.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
    assert row.ratio == pytest.approx((a * b).sum() / (b * b).sum())
    assert row.ulp == 1.0 / np.spacing(5.0)
    assert measure("W", a.astype(np.float32), b.astype(np.float32)).ulp == 1.0 / np.spacing(np.float32(5))


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_huge_and_tiny_numbers_stay_numbers(scale: float) -> None:
    row = measure("W", np.array([1.0, 2.0]) * scale, np.array([1.0, 4.0]) * scale)
    assert row.norm_rel == pytest.approx(2 / (math.sqrt(5) + math.sqrt(17)))
    assert row.max_rel == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0)])
def test_nothing_and_zeros(shape: tuple[int, ...]) -> None:
    row = measure("W", np.zeros(shape), np.zeros(shape))
    assert (row.max_abs, row.max_rel, row.norm_rel, row.cosine, row.ulp) == (0, 0, 0, 1, 0)
    assert measure("W", np.ones(2), np.zeros(2)).cosine == 0


def test_plain_text_is_aligned_and_narrow() -> None:
    text = str(report())
    lines = text.splitlines()
    assert lines[0] == "two gradients" and text.isascii()
    assert max(map(len, lines)) <= 100
    head = next(line for line in lines if line.startswith("parameter"))
    for heading in ("shape", "verdict"):
        column = head.index(heading)
        for line in lines[3:6]:
            assert line[column - 1] == " " and line[column] != " ", text
    assert "W *" in text and "float64 copy" in text and "recurrent_kernel" in text
    assert lines[-1] == "1 ok, 1 differs, 1 missing: FAILED"


def test_truth_and_errors() -> None:
    assert not report()
    with pytest.raises(AssertionError, match="two gradients"):
        report().raise_if_bad()
    passing = ("ok", "rounding", "close", "kink", "inconclusive", "unused")
    good = GradReport([Row("a", verdict=verdict) for verdict in passing])
    good.raise_if_bad()
    assert good and "passed" in repr(good)
    unknown = GradReport([Row("a", verdict="inconclusive"), Row("b", verdict="missing", extra=True)])
    assert not unknown and repr(unknown).endswith("nothing could be said>")
    with pytest.raises(AssertionError, match="nothing could be said"):
        unknown.raise_if_bad()
    assert GradReport([Row("a", verdict="inconclusive"), Row("b", verdict="rounding")])
    for verdict in ("bad", "differs", "missing", "shape", "non-finite"):
        assert not GradReport([Row("a", verdict=verdict)])


def test_json_and_html() -> None:
    content = json.loads(report().to_json())
    assert content["passed"] is False and content["title"] == "two gradients"
    assert content["rows"][1]["worst"] == {"position": [1, 1], "value": 4.0, "expected": 5.0}
    assert content["rows"][2]["cosine"] is None
    page = report()._repr_html_()
    assert "<script" not in page and "un&lt;explained&gt;" in page and page.count("<tr>") == 4


def test_printing_in_colour(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    report().print()
    assert "differs" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "rich.console", None)
    report().print()
    assert capsys.readouterr().out == str(report()) + "\n"


def test_diagnoses_do_not_explain_what_they_leave_over() -> None:
    r = np.random.default_rng(0).standard_normal((4, 4))
    nearly = 2 * r
    nearly[0, 0] += 1e-3
    assert diagnose(nearly, r, 1e-9) == "unexplained"
    assert diagnose(r * (1 + 1e-12), r, 1e-9).startswith("constant factor")
    assert diagnose(r + 1e-12 * np.eye(4), r, 1e-9) == "unexplained"
    assert diagnose(np.full((2, 2), 3.0), np.array([[4.0, 5.0], [6.0, 7.0]]), 1e-9) == "unexplained"


def test_a_page_of_html(tmp_path: Path) -> None:
    path = report().to_html(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "report.html" and text.startswith("<!doctype html>")
    assert "un&lt;explained&gt;" in text and "<script" not in text and "http" not in text
    with pytest.raises(FileNotFoundError):
        report().to_html(tmp_path / "none" / "report.html")


def test_rows_as_a_dataframe(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pandas:
        @staticmethod
        def DataFrame(records: list[dict[str, object]]) -> list[dict[str, object]]:
            return records

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    records = report().to_dataframe()
    assert [record["parameter"] for record in records] == [row.parameter for row in report().rows]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report().to_dataframe()


def test_many_steps_are_not_all_printed() -> None:
    rows = [Row("dz", t=t, verdict="differs" if t == 7 else "rounding") for t in range(100)]
    first = Divergence(
        7,
        "dz",
        "/a/b.py",
        3,
        "dz = da",
        ("da agrees (1 ulp)",),
        "the derivative of tanh is missing",
        "b.py:3",
    )
    text = str(GradReport([*rows, Row("W", verdict="rounding")], "many", (), first))
    assert "t=7, dz, your line b.py:3: dz = da; its input da agrees (1 ulp); the derivative" in text.replace(
        "\n    ", " "
    )
    assert "dz t=7" in text and "dz t=8" not in text and "\nW " in text and "99 rows of single" in text
