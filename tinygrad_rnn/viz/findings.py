"""A report of gradients as the page shows it: its lines, and a picture of the relative errors over time."""

from __future__ import annotations

import math
import re
from typing import Any

from .columns import Graph

CELLS, ROWS, LINES = 600, 60, 300  # of the picture, and of the text
_GRADIENT = re.compile(r"^(?:grad_|d_|∂|d)(?=.)")


def findings(report: Any, graph: Graph) -> tuple[list[list[Any]], dict[str, Any]]:
    """Lines (verdict, words, row of the graph or −1), and the picture: parameters by time steps.

    A cell of the picture has its place, log10 of the relative error, what is written there, a title, the row of
    the graph that it belongs to, and whether it failed.
    """
    at = _named(graph)
    first = report.first_divergence
    lines: list[list[Any]] = []
    if first is not None:
        lines.append(["first divergence", str(first), _row(at, first.quantity, first.t)])
    alike: dict[Any, list[Any]] = {}
    for row in sorted(report.rows, key=lambda row: not row.failed):
        alike.setdefault((row.verdict, row.parameter, row.diagnosis, row.t is None), []).append(row)
    for (verdict, _, diagnosis, _), rows in alike.items():
        more = f" and {len(rows) - 1} other steps" if len(rows) > 1 else ""
        words = _place(rows[0]) + more + (f"; {diagnosis}" if diagnosis else "")
        lines.append([verdict, words, _row(at, rows[0].parameter, rows[0].t)])
    if len(lines) > LINES:
        lines[LINES:] = [["and", f"{len(lines) - LINES} more lines", -1]]
    names = list(dict.fromkeys(row.parameter for row in report.rows))[:ROWS]
    times = sorted({row.t for row in report.rows if row.t is not None})
    total = [None] if any(row.t is None for row in report.rows) else []
    room, note = max(CELLS // max(len(names), 1), 1), ""
    if len(times) > room:  # those around the first divergence
        wanted = (
            first.t
            if first is not None
            else next((r.t for r in report.rows if r.failed and r.t is not None), 0)
        )
        start = min(max(sum(t < wanted for t in times) - room // 2, 0), len(times) - room)
        note = f"Steps {times[start]} to {times[start + room - 1]} of {len(times)} are shown."
        times = times[start : start + room]
    columns: list[int | None] = [*total, *times]
    cells = [
        [names.index(row.parameter), columns.index(row.t), *_error(row), _title(row), _row(at, row.parameter, row.t),
         int(row.failed)]
        for row in report.rows if row.parameter in names and row.t in columns
    ]  # fmt: skip
    marked = first is not None and first.quantity in names and first.t in columns
    return lines, {
        "rows": names, "columns": ["total" if t is None else f"t = {t}" for t in columns], "cells": cells, "note": note,
        "first": [names.index(first.quantity), columns.index(first.t)] if marked else None,
    }  # fmt: skip


def _place(row: Any) -> str:
    return str(row.parameter if row.t is None else f"{row.parameter} at t = {row.t}")


def _title(row: Any) -> str:
    return f"{_place(row)}: {row.verdict}, ‖a − b‖ / (‖a‖ + ‖b‖) = {row.norm_rel:.1e}" + (
        f"\n{row.diagnosis}" if row.diagnosis else ""
    )


def _error(row: Any) -> tuple[float | None, str]:
    """log10 of the relative error, and what is written into the cell."""
    if not math.isfinite(row.norm_rel):
        return None, row.verdict
    if row.norm_rel == 0:
        return -16.0, "equal"
    error = round(math.log10(row.norm_rel), 1)
    return error, f"{error or 0.0:.1f}".replace("-", "−")


def _named(graph: Graph) -> dict[tuple[str, int], int]:
    """The rows of named values, by the last part of their name and their time step."""
    found: dict[tuple[str, int], int] = {}
    for row, (name, t) in enumerate(zip(graph.name, graph.t.tolist(), strict=True)):
        if name:
            found[name.rsplit("/", 1)[-1].lower(), t] = row
    return found


def _row(at: dict[tuple[str, int], int], quantity: str, t: int | None) -> int:
    """The row that a quantity such as `dz`, `da_prev` or `rnn/kernel` belongs to, −1 if none has its name."""
    name = quantity.rsplit("/", 1)[-1].lower()
    for word in (name, _GRADIENT.sub("", name)):
        step = -1 if t is None else t - word.endswith("_prev")
        for key in ((word.removesuffix("_prev"), step), (word, -1)):
            if key in at:
                return at[key]
    return -1
