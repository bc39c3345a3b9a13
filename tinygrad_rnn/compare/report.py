"""`GradReport`: what a comparison of gradients found, one row per parameter."""

from __future__ import annotations

import dataclasses
import html
import importlib
import json
import math
import os
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.op import Array
from ..files import replacing
from .divergence import Divergence

WIDTH = 100  # of the plain table
SMALL = 1e-8  # elements below this share of the largest say nothing about relative errors
FAILED = ("bad", "differs", "missing", "shape", "non-finite")
_COLOURS = {"ok": "green", "rounding": "green", "close": "green"} | dict.fromkeys(FAILED, "bold red")


class Worst(NamedTuple):
    """The element that differs most: where it is, the value under test and the value it should have."""

    position: tuple[int, ...]
    value: float
    expected: float


@dataclasses.dataclass
class Row:
    """One parameter: a gradient under test, `a`, against the one it should equal, `b`.

    `max_abs = max |a − b|`; `max_rel = max |a − b| / max(|a|, |b|)`, where elements smaller than 1e-8 of
    the largest are held against that; `norm_rel = ‖a − b‖ / (‖a‖ + ‖b‖)`; `cosine` of the angle between
    them; `ratio = ⟨a, b⟩ / ⟨b, b⟩`; `ulp = max_abs` in units of the last place of `max |b|`. Numbers that
    could not be computed are NaN. `t` is the time step, None for totals.

    `numeric` holds `(max |n − b|, max |n − b| / max |b|)` of a numeric gradient `n` where there is one, `derived`
    the same of the gradient that derived mode gives;
    `extra` marks a gradient under test for which autodiff has no counterpart (no failure by itself).
    """

    parameter: str
    shape: tuple[int, ...] = ()
    max_abs: float = math.nan
    max_rel: float = math.nan
    norm_rel: float = math.nan
    cosine: float = math.nan
    ratio: float = math.nan
    ulp: float = math.nan
    worst: Worst | None = None
    verdict: str = ""
    diagnosis: str = ""
    t: int | None = None
    float64: bool = False  # evaluated in a float64 copy
    extra: bool = False
    numeric: tuple[float, float] | None = None
    derived: tuple[float, float] | None = None

    @property
    def failed(self) -> bool:
        """Whether this row is a finding: bad, differs, missing, shape or non-finite."""
        return self.verdict in FAILED and not self.extra


def measure(
    parameter: str, a: Array, b: Array, indices: Sequence[tuple[int, ...]] | None = None, **rest: Any
) -> Row:
    """A row with all the numbers of `a` (under test) against `b`, two finite arrays of one shape.

    `indices` gives the position of every element if `a` and `b` are samples in one axis.

    >>> measure("W", np.array([2.0, 0.0]), np.array([1.0, 0.0])).ratio
    2.0
    """
    coarse = max(a.dtype, b.dtype, key=lambda d: np.finfo(d).eps if d.kind == "f" else 0.0)
    spacing = float(np.spacing(np.abs(b).max(initial=0).astype(coarse if coarse.kind == "f" else np.float64)))
    a, b = a.astype(np.float64), b.astype(np.float64)
    gap = np.abs(a - b)
    peak = float(max(np.abs(a).max(initial=0), np.abs(b).max(initial=0)))
    max_abs = float(gap.max(initial=0))
    row = Row(parameter, a.shape, max_abs, ulp=max_abs / spacing, **rest)
    if a.size:
        at = np.unravel_index(int(gap.argmax()), a.shape)
        where = tuple(int(i) for i in at) if indices is None else indices[int(at[0])]
        row.worst = Worst(where, float(a[at]), float(b[at]))
    if peak == 0:
        row.max_rel, row.norm_rel, row.cosine = 0.0, 0.0, 1.0
        return row
    a, b, gap = a / peak, b / peak, gap / peak  # squares of huge and of tiny numbers stay numbers
    norm_a, norm_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    inner = float((a * b).sum())
    row.max_rel = float((gap / np.maximum(np.maximum(np.abs(a), np.abs(b)), SMALL)).max())
    row.norm_rel = float(np.linalg.norm(gap)) / (norm_a + norm_b)
    row.cosine = inner / (norm_a * norm_b) if norm_a and norm_b else 0.0
    row.ratio = inner / norm_b**2 if norm_b else math.nan
    return row


def number(value: float) -> str:
    """A number in at most eight characters; a dash for NaN.

    >>> number(1.2e-16), number(0.0), number(math.nan)
    ('1.2e-16', '0', '-')
    """
    return "-" if math.isnan(value) else "0" if value == 0 else f"{value:.1e}"


def _name(row: Row) -> str:
    name = row.parameter if row.t is None else f"{row.parameter} t={row.t}"
    return name + " *" if row.float64 else name


def _shape(row: Row) -> str:
    unknown = "-" if row.verdict == "missing" else "scalar"
    return "x".join(map(str, row.shape)) if row.shape else unknown


Column = tuple[str, Callable[[Row], str]]
_COLUMNS: tuple[Column, ...] = (
    ("parameter", _name),
    ("shape", _shape),
    ("max abs", lambda row: number(row.max_abs)),
    ("max rel", lambda row: number(row.max_rel)),
    ("cosine", lambda row: "-" if math.isnan(row.cosine) else f"{row.cosine:.6f}"),
    ("verdict", lambda row: row.verdict),
)
_THREE: tuple[Column, ...] = (
    *_COLUMNS[:2],
    ("|manual-auto|", lambda row: number(row.max_abs)),
    ("relative", lambda row: number(row.max_rel)),
    ("|numeric-auto|", lambda row: number(row.numeric[0]) if row.numeric else "-"),
    ("relative", lambda row: number(row.numeric[1]) if row.numeric else "-"),
    _COLUMNS[-1],
)
_FOUR: tuple[Column, ...] = (
    *_THREE[:2],
    ("by hand", _THREE[2][1]),
    ("relative", _THREE[3][1]),
    ("derived", lambda row: number(row.derived[0]) if row.derived else "-"),
    ("relative", lambda row: number(row.derived[1]) if row.derived else "-"),
    ("numeric", _THREE[4][1]),
    ("relative", _THREE[5][1]),
    _COLUMNS[-1],
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
    "table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #8888}"
    "caption{text-align:left;font-weight:bold}td:first-child,th:first-child{text-align:left}"
)
MOST = 40  # rows that a table shows; of more, only the totals and the first steps that do not agree
_LEFT = ("parameter", "shape", "verdict")  # the other columns are aligned on the right


class GradReport:
    """The rows of a comparison, with a heading and notes; true unless a row failed, or none could be decided.

    `str(report)` and `print(report)` give an aligned table in plain text, at most 100 characters wide;
    `report.print()` the same in colour (rich); a notebook shows it as HTML. Rows fail with the verdicts
    "bad", "differs", "missing", "shape" and "non-finite"; "kink", "inconclusive" and "unused" do not; if all are
    "inconclusive", nothing is known.

    >>> bool(GradReport([Row("W", verdict="ok")]))
    True
    """

    def __init__(
        self, rows: Sequence[Row], title: str = "", notes: Sequence[str] = (), first: Divergence | None = None
    ) -> None:
        self.rows = list(rows)
        self.first_divergence = first
        self.title = title
        self.notes = list(notes)
        if any(row.float64 for row in self.rows):
            self.notes.append("* a float32 (or float16) parameter, evaluated in a float64 copy")

    def __bool__(self) -> bool:
        """Whether no row failed, and not all of them are inconclusive."""
        return not self._undecided and not any(row.failed for row in self.rows)

    @property
    def _undecided(self) -> bool:
        return {row.verdict for row in self.rows if not row.extra} == {"inconclusive"}

    def __repr__(self) -> str:
        """Heading and summary, in one line."""
        return f"<GradReport {self.title}: {self._summary()}>"

    def _summary(self) -> str:
        verdicts = [row.verdict for row in self.rows]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
        result = "nothing could be said" if self._undecided else "passed" if self else "FAILED"
        return f"{counts or 'no parameters'}: {result}"

    def _columns(self) -> tuple[Column, ...]:
        if any(row.derived is not None for row in self.rows):
            return _FOUR
        return _THREE if any(row.numeric is not None for row in self.rows) else _COLUMNS

    def _shown(self) -> list[Row]:
        """The rows of the table: all, or else the totals and what does not agree."""
        if len(self.rows) <= MOST:
            return self.rows
        wrong = [row for row in self.rows if row.t is not None and row.verdict not in ("rounding", "close")]
        return wrong[: MOST // 4] + [row for row in self.rows if row.t is None]

    def _remarks(self) -> list[str]:
        """One line for each row that has something to say, then the notes."""
        first = [] if self.first_divergence is None else [f"first divergence: {self.first_divergence}"]
        left = len(self.rows) - len(self._shown())
        hidden = [f"{left} rows of single time steps are not shown; they are in .rows"] if left else []
        said = [f"{_name(row)}: {row.diagnosis}" for row in self._shown() if row.diagnosis]
        return first + said + self.notes + hidden

    def __str__(self) -> str:
        """The plain table, then what was found about each parameter, then the notes."""
        columns = self._columns()
        cells = [[head for head, _ in columns]] + [
            [text(row) for _, text in columns] for row in self._shown()
        ]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        widths[0] = min(widths[0], max(12, WIDTH - sum(widths[1:]) - 2 * len(widths[1:])))
        for line in cells:  # of a long path the end says most
            line[0] = line[0] if len(line[0]) <= widths[0] else "..." + line[0][3 - widths[0] :]
        lines = []
        for line in cells:
            padded = [
                cell.ljust(width) if head in _LEFT else cell.rjust(width)
                for cell, width, (head, _) in zip(line, widths, columns, strict=True)
            ]
            lines.append("  ".join(padded).rstrip())
        lines.insert(1, "  ".join("-" * width for width in widths))
        for remark in self._remarks():
            lines += textwrap.wrap(remark, WIDTH, initial_indent="  ", subsequent_indent="    ")
        return "\n".join([*textwrap.wrap(self.title, WIDTH), *lines, self._summary()])

    def print(self) -> None:
        """Print the table with coloured verdicts, by rich; without rich, the plain one."""
        try:
            from rich.console import Console
        except ImportError:
            print(self)
        else:
            Console().print(self)

    def __rich__(self) -> Any:
        """What rich prints for this report."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title=self.title)
        for head, _ in self._columns():
            table.add_column(head, justify="left" if head in _LEFT else "right")
        for row in self._shown():
            cells = [Text(text(row)) for _, text in self._columns()]
            cells[-1].stylize(_COLOURS.get(row.verdict, "yellow"))
            table.add_row(*cells)
        return Group(table, *[Text("  " + remark) for remark in self._remarks()], Text(self._summary()))

    def _repr_html_(self) -> str:
        """The table for a notebook."""

        def line(tag: str, cells: list[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

        columns = self._columns()
        body = [line("td", [text(row) for _, text in columns]) for row in self._shown()]
        remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in self._remarks())
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead>{line('th', [head for head, _ in columns])}</thead>"
            f"<tbody>{''.join(body)}</tbody></table>"
            f"<ul>{remarks}</ul><p>{html.escape(self._summary())}</p>"
        )

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one HTML file, without links to anything outside; returns its path.

        Raises `FileNotFoundError` if the folder does not exist.
        """
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f"<style>{_STYLE}</style><body>{self._repr_html_()}</body></html>\n"
        )
        with replacing(path) as file:
            file.write(page.encode())
        return Path(path)

    def to_dataframe(self) -> Any:
        """The rows as a pandas DataFrame; raises `ImportError` without pandas."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            message = "to_dataframe needs pandas (pip install pandas); .rows and to_json() need nothing"
            raise ImportError(message) from None
        return pandas.DataFrame([dataclasses.asdict(row) for row in self.rows])

    def raise_if_bad(self) -> None:
        """Raise `AssertionError` with the whole table unless the report is true."""
        if not self:
            raise AssertionError(str(self))

    def to_json(self) -> str:
        """The report as JSON text; numbers that are not finite become null."""
        rows = [dataclasses.asdict(row) for row in self.rows]
        for row in rows:
            row["worst"] = None if row["worst"] is None else Worst(*row["worst"])._asdict()
        first = None if self.first_divergence is None else dataclasses.asdict(self.first_divergence)
        content = {
            "title": self.title,
            "passed": bool(self),
            "notes": self.notes,
            "first_divergence": first,
            "rows": rows,
        }
        return json.dumps(_finite(content), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same structure with None for NaN and infinities."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
