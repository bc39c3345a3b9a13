"""A line chart as SVG text: the loss curve, without any plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

# of lines and their names, and of levels; each can be read on its page
_LIGHT = ("#1f6fb4", "#c23b4e", "#23784a", "#8a5ab5", "#6b6b6b")
_DARK = ("#6db3f2", "#f0808d", "#5fc98f", "#c39be6", "#a8a8a8")
_LEVEL = len(_LIGHT) - 1


def _inks(colors: Sequence[str]) -> str:
    return "".join(
        f" .ink{k}{{stroke:{c}}} text.ink{k},circle.ink{k}{{fill:{c};stroke:none}}"
        for k, c in enumerate(colors)
    )


_STYLE = (
    "svg{background:#fff} text{font:12px system-ui,sans-serif;fill:#333} .title{font-size:15px;font-weight:600}"
    " .grid{stroke:#e4e4e4} .axis{stroke:#888} .line{stroke-width:2.2} .level{stroke-dasharray:6 4}"
    f"{_inks(_LIGHT)} .line,.level{{fill:none}}"
    " @media (prefers-color-scheme:dark){svg{background:#16181d} text{fill:#ddd} .grid{stroke:#333}"
    f"{_inks(_DARK)}}}"
)


def line_chart(
    series: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    x_label: str = "epoch",
    y_label: str = "",
    levels: Mapping[str, float] | None = None,
    width: int = 640,
    height: int = 380,
) -> str:
    """Draw named series over 1, 2, 3 ... and horizontal `levels` (dashed); returns SVG text.

    Raises `ValueError` if there is no finite value.

    >>> line_chart({"loss": [2.0, 1.0]}, title="Loss").startswith("<svg")
    True
    """
    levels = {name: v for name, v in (levels or {}).items() if math.isfinite(v)}
    values = [v for line in series.values() for v in line if math.isfinite(v)]
    if not values:
        raise ValueError("line_chart: there is no finite value to draw")
    values += levels.values()
    low, high, step = _round_range(min(values), max(values))
    count = max(len(line) for line in series.values())
    left, top, right, bottom = 62, 44, width - 150, height - 48

    def x_of(i: float) -> float:
        return left + (right - left) * (i / max(count - 1, 1) if count > 1 else 0.5)

    def y_of(v: float) -> float:
        return bottom - (bottom - top) * (v - low) / (high - low)

    parts = [f'<text class="title" x="{left}" y="26">{escape(title)}</text>']
    tick = low
    while tick <= high + step / 2:
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        tick = round(tick + step, 10)
    every = max(1, math.ceil(count / 12))
    for i in range(0, count, every):
        parts.append(f'<text x="{x_of(i):.1f}" y="{bottom + 18}" text-anchor="middle">{i + 1}</text>')
    parts.append(f'<line class="axis" x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    parts.append(
        f'<text x="{(left + right) / 2:.0f}" y="{height - 12}" text-anchor="middle">{escape(x_label)}</text>'
    )
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="16" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 16 {middle:.0f})">'
        f"{escape(y_label)}</text>"
    )
    labels: list[tuple[float, str, int]] = []
    for number, (name, line) in enumerate(series.items()):
        ink = number % _LEVEL
        points = [(x_of(i), y_of(v)) for i, v in enumerate(line) if math.isfinite(v)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line ink{ink}" points="{path}"/>')
        parts += [f'<circle class="ink{ink}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
        if points:
            labels.append((points[-1][1], f"{name} {line[-1]:.3f}", ink))
    for name, value in levels.items():
        y = y_of(value)
        parts.append(f'<line class="level ink{_LEVEL}" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        labels.append((y, f"{name} {value:.3f}", _LEVEL))
    for y, text, ink in _apart(labels):
        parts.append(f'<text class="ink{ink}" x="{right + 10}" y="{y + 4:.1f}">{escape(text)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _round_range(low: float, high: float) -> tuple[float, float, float]:
    """Limits and tick distance in round numbers that hold all values."""
    span = (high - low) or max(abs(high), 1.0)
    unit = 10 ** math.floor(math.log10(span / 5))
    step = next(m * unit for m in (1, 2, 5, 10) if span / (m * unit) <= 6)
    bottom = math.floor(low / step)
    top = max(math.ceil(high / step), bottom + 1)  # a flat line needs an axis too
    return round(bottom * step, 10), round(top * step, 10), step


def _apart(labels: list[tuple[float, str, int]], distance: float = 16.0) -> list[tuple[float, str, int]]:
    """Push labels down until none covers another."""
    placed: list[tuple[float, str, int]] = []
    for y, text, ink in sorted(labels):
        y = max(y, placed[-1][0] + distance) if placed else y
        placed.append((y, text, ink))
    return placed
