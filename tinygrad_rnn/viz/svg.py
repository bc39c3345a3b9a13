"""Writes a placed scene as SVG: the look of the drawings, light and dark."""

from __future__ import annotations

import math
from html import escape

from .colours import LEVELS, hue, ink_on
from .labels import near_end
from .layered import Path, Point
from .layout import Placement
from .scene import FONT, SIGNS, SMALL, Box, Chip, Scene, chip_width, text_width
from .words import fit

Entry = tuple[str, str]  # of the legend: a kind or a colour, and the text
MARGIN = 18.0
FAMILY = "Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif"

# what: (fill, line) in the light and in the dark theme
COLOURS = {
    "op": ("#ffffff", "#8593a8", "#262c36", "#7b889c"),
    "input": ("#d9f2ec", "#2b8a78", "#153d37", "#45b7a2"),
    "parameter": ("#fdeecb", "#b97a10", "#46350f", "#d9a33c"),
    "constant": ("#e9ecf1", "#a3adbb", "#39414d", "#6c7888"),
    "output": ("#fde0e0", "#c8434f", "#4c2126", "#ea7480"),
    "layer": ("#dfe9fb", "#3f6cb5", "#1f3355", "#6f9ae0"),
    "added": ("#d8f3d4", "#2f8f2f", "#1c431c", "#5fc45f"),
    "changed": ("#fff1c2", "#a87b00", "#4a3c0a", "#d8b13a"),
    "removed": ("#fbd9d9", "#b3312f", "#4d1f1f", "#e26d6a"),
}
# what: light, dark
INKS = {
    "page": ("#ffffff", "#15191f"), "text": ("#1b2430", "#e8ecf2"), "soft": ("#566274", "#a4b0c0"),
    "edge": ("#6b788c", "#8d9aad"), "carry": ("#ad4c08", "#f08c42"), "frame": ("#f3f6fa", "#1b2029"),
    "frame-line": ("#c9d2de", "#3a4452"), "cell": ("#e6edf7", "#222a36"),
}  # fmt: skip


def _rules(root: str, dark: bool, scaled: bool) -> str:
    """The style rules of one theme."""
    ink = {name: pair[dark] for name, pair in INKS.items()}
    rules = [
        f"{root} .page{{fill:{ink['page']}}}",
        f"{root} text{{fill:{ink['text']}}}",
        f"{root} .soft{{fill:{ink['soft']}}}",
        f"{root} .halo{{stroke:{ink['page']}}}",
        f"{root} .edge path{{stroke:{ink['edge']}}}{root} .edge polygon{{fill:{ink['edge']}}}",
        f"{root} .carry path{{stroke:{ink['carry']}}}",
        f"{root} .carry polygon,{root} .carry text{{fill:{ink['carry']}}}",
        f"{root} .group rect{{fill:{ink['frame']};stroke:{ink['frame-line']}}}",
        f"{root} .group.step rect{{fill:{ink['cell']}}}",
    ]
    for kind, colours in COLOURS.items():
        fill, stroke = colours[2 * dark : 2 * dark + 2]
        rules.append(f"{root} .{kind}>.box{{fill:{fill};stroke:{stroke}}}")
        if kind in SIGNS:
            rules.append(
                f"{root} .edge.{kind} path{{stroke:{stroke}}}{root} .edge.{kind} polygon{{fill:{stroke}}}"
            )
    rules.append(f"{root} text.on-light{{fill:#111820}}")  # the palette of layers is light in both themes
    for k in range(LEVELS + 1) if scaled else ():
        colour, wide = hue(f"s{k}", dark), 1.0 + 2.4 * k / LEVELS
        rules.append(f"{root} .box.s{k}{{fill:{colour}}}{root} text.s{k}{{fill:{ink_on(colour)}}}")
        colour = hue(f"s{k}", dark, line=True)
        rules.append(f"{root} .edge.s{k} path{{stroke:{colour};stroke-width:{wide:.1f}}}")
        rules.append(f"{root} .edge.s{k} polygon{{fill:{colour}}}")
    return "".join(rules)


def style(theme: str, scaled: bool = False) -> str:
    """The style sheet: "light", "dark", or "auto", which follows the reader's preference.

    `scaled` adds the colours of quantities.
    """
    root = f".tg-graph.{theme}"
    dash = f",{root} .dash path" if scaled else ""
    fixed = (
        f"{root} text{{font-family:{FAMILY};font-size:{FONT:g}px;text-anchor:middle}}"
        f"{root} text{{direction:ltr;unicode-bidi:isolate}}"
        f"{root} .small{{font-size:{SMALL:g}px}}{root} .title{{font-size:11px;font-weight:600}}"
        f"{root} .label{{font-weight:500}}{root} .edge path{{fill:none;stroke-width:1.2}}"
        f"{root} .carry path{dash}{{stroke-width:1.6;stroke-dasharray:5 3}}"
        f"{root} .halo{{stroke-width:3px;paint-order:stroke;stroke-linejoin:round}}"
        f"{root} .start{{text-anchor:start}}{root} .end{{text-anchor:end}}"
        f"{root} .output>.box{{stroke-width:1.8}}{root} .removed>.box{{stroke-dasharray:5 3}}"
        f"{root} .edge.removed path{{stroke-dasharray:2 3}}"
    )
    if theme == "dark":
        return fixed + _rules(root, True, scaled)
    rules = fixed + _rules(root, False, scaled)
    return (
        rules + f"@media (prefers-color-scheme:dark){{{_rules(root, True, scaled)}}}"
        if theme == "auto"
        else rules
    )


def write(scene: Scene, placed: Placement, title: str, note: str, theme: str) -> str:
    """The SVG document: frames, edges, boxes, then the legend and the note."""
    x0, y0, x1, y1 = bounds(scene, placed)
    carry = scene.carry
    parts: list[str] = []
    labels: list[str] = []
    for g in sorted(placed.frames):
        group, (a, b, c, d) = scene.groups[g], placed.frames[g]
        name = _text(placed.titles.get(g, a + 10), b + 15, group.title, "title soft start")
        parts.append(f'<g class="group {group.kind}">{_rect(a, b, c - a, d - b, 9)}{name}</g>')
    for e in sorted(placed.paths):
        edge, path = scene.edges[e], placed.paths[e]
        a_id, b_id = scene.boxes[edge.source].id, scene.boxes[edge.target].id
        kind = " ".join(filter(None, ["edge", carry * edge.carried, edge.fill, edge.mark]))
        way = path[::-1] if scene.backward else path
        parts.append(f'<g class="{kind}" data-from="{_xml(a_id)}" data-to="{_xml(b_id)}">{_curve(way)}</g>')
        if edge.label:
            (x, y), kind = (
                placed.labels.get(e) or near_end(path),
                "carry" if edge.carried and carry == "carry" else "soft",
            )
            words = _text(x, y + 3.5, edge.label, f"small halo {kind}")
            labels.append(f'<g class="edge-label {kind}">{words}</g>')
    stubs = [path[::-1] if scene.backward else path for path in placed.stubs]
    parts += [f'<g class="edge {carry}">{_curve(path)}</g>' for path in stubs]
    parts += labels
    parts += [_box(box, placed.at[i], placed.sizes[i]) for i, box in enumerate(scene.boxes)]
    for text in placed.texts:
        for k, row in enumerate(text.lines):
            y = text.at[1] + 16 * (k - (len(text.lines) - 1) / 2) + 4
            parts.append(_text(text.at[0], y, row, f"{text.kind} soft {text.anchor}"))
    entries, rows = caption(scene, note, x1 - x0)
    parts += [_legend(row, x0, y1 + 26 + 18 * k) for k, row in enumerate(entries)]
    foot = y1 + 28 + 18 * len(entries)
    parts += [_text(x0, foot + 14 * k, row, "note soft small start") for k, row in enumerate(rows)]
    need = max(
        [x1 - x0, *(sum(map(entry_width, row)) for row in entries), *(text_width(row, SMALL) for row in rows)]
    )
    left, top, width = x0 - MARGIN, y0 - MARGIN, need + 2 * MARGIN
    height = foot + 14 * len(rows) - top + 4
    scaled = any(kind[0] == "s" and kind[1:].isdigit() for kind, _ in scene.legend)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tg-graph {theme}" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}" role="img" '
        f'aria-label="{_xml(title)}"><title>{_xml(title)}</title><style>{style(theme, scaled)}</style>'
        f"{_rect(left, top, width, height, 0, 'page')}{''.join(parts)}</svg>\n"
    )


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{_xml(text)}</text>'


def _rect(x: float, y: float, w: float, h: float, radius: float, kind: str = "frame", fill: str = "") -> str:
    look = f'class="{kind}" style="fill:{fill}"' if fill[:1] == "#" else f'class="{f"{kind} {fill}".strip()}"'
    return f'<rect {look} x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{radius}"/>'


def _box(box: Box, at: Point, size: Point) -> str:
    (x, y), (w, h) = at, size
    left, top, ink = x - w / 2, y - h / 2, _ink(box.fill)
    label = text_width(box.label, FONT)
    out = [_rect(left, top, w, h, 6, "box", box.fill)]
    at_x, middle = x - box.top / 2, top + 13
    for chip in [*box.before, None, *box.after]:
        if chip is None:
            kind = "label title" if box.kind == "layer" else "label"
            out.append(_text(at_x + label / 2, middle + 4.3, box.label, kind + ink))
            at_x += label + 4
        else:
            out.append(_chip(chip, at_x, middle, ink))
            at_x += chip_width(chip) + 4
    out += [_text(x, top + 33 + 12 * k, text, "small soft" + ink) for k, text in enumerate(box.under)]
    place = f'data-layer="{_xml(box.layer)}"' + (f' data-t="{box.t}"' if box.t >= 0 else "")
    return (
        f'<g id="{_xml(box.id)}" class="node {box.mark or box.kind} op-{_class(box.op)}" '
        f'data-id="{_xml(box.id)}" data-op="{_xml(box.op)}" {place}>'
        f"<title>{_xml(box.title)}</title>{''.join(out)}</g>"
    )


def _chip(chip: Chip, left: float, middle: float, ink: str) -> str:
    width = chip_width(chip)
    if chip.kind == "name":
        return _text(left + width / 2, middle + 4.3, chip.text, "label" + ink)
    inside = _rect(left, middle - 8, width, 16, 8, "box", chip.fill)
    inside += _text(left + width / 2, middle + 3.6, chip.text, "small" + _ink(chip.fill))
    return f'<g class="chip {chip.kind}"><title>{_xml(chip.title)}</title>{inside}</g>'


def _ink(fill: str) -> str:
    """What a text on a colour of its own needs: the class of the colour, or a class for its lightness."""
    return "" if not fill else f" {fill}" if fill[0] == "s" else " on-light"


def _curve(path: Path) -> str:
    """The line and its arrow head."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in head(path))
    curve = f"M{path[0][0]:.1f},{path[0][1]:.1f}C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in path[1:])
    return f'<path d="{curve}"/><polygon points="{points}"/>'


def head(path: Path) -> list[Point]:
    """The arrow head at the end of a path: its tip and two corners."""
    x, y = path[-1]
    u, v = next((p for p in reversed(path) if abs(p[0] - x) + abs(p[1] - y) > 0.5), path[0])
    length = math.hypot(x - u, y - v) or 1.0
    dx, dy = 7 * (x - u) / length, 7 * (y - v) / length
    return [(x, y), (x - dx + 3 / 7 * dy, y - dy - 3 / 7 * dx), (x - dx - 3 / 7 * dy, y - dy + 3 / 7 * dx)]


def caption(scene: Scene, note: str, width: float) -> tuple[list[list[Entry]], list[str]]:
    """The entries of the legend and the note, broken into lines of about this width."""
    width = max(width, 260.0)
    rows: list[list[Entry]] = [[]] if scene.legend else []
    for entry in scene.legend:
        if rows[-1] and sum(map(entry_width, [*rows[-1], entry])) > width:
            rows.append([])
        rows[-1].append(entry)
    lines: list[str] = []
    for word in note.split():
        if lines and text_width(f"{lines[-1]} {word}", SMALL) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return rows, lines


def entry_width(entry: Entry) -> float:
    """Room for a swatch, its text, and the gap to the next one."""
    return (30 if entry[0] in ("carry", "dash") else 19) + text_width(entry[1], SMALL) + 14


def _legend(entries: list[Entry], x: float, y: float) -> str:
    """Swatches for the kinds of boxes that occur, in one line."""
    out = []
    for kind, text in entries:
        line = kind in ("carry", "dash")
        if line:
            out.append(f'<g class="edge {kind}"><path d="M{x:.1f},{y - 4:.1f}h24"/></g>')
        else:
            fill = "" if kind in COLOURS else kind
            swatch = _rect(x, y - 10, 14, 12, 3, "box", fill)
            out.append(f'<g class="{"op" if fill else kind}">{swatch}</g>')
        out.append(_text(x + (30 if line else 19), y, text, "small soft start"))
        x += entry_width((kind, text))
    return f'<g class="legend">{"".join(out)}</g>'


def bounds(scene: Scene, placed: Placement) -> tuple[float, float, float, float]:
    """What the boxes, frames, arrows and texts take: left, top, right, bottom."""
    xs, ys = [0.0], [0.0]
    for i, (x, y) in placed.at.items():
        w, h = placed.sizes[i]
        xs += [x - w / 2, x + w / 2]
        ys += [y - h / 2, y + h / 2]
    xs = xs[1:] or xs
    ys = ys[1:] or ys
    for a, b, c, d in placed.frames.values():
        xs += [a, c]
        ys += [b, d]
    for path in [*placed.paths.values(), *placed.stubs]:
        xs += [p[0] for p in path]
        ys += [p[1] for p in path]
    for text in placed.texts:
        width = max(text_width(row, FONT) for row in text.lines)
        before, after = {"start": (0.0, width), "end": (width, 0.0)}.get(text.anchor, (width / 2, width / 2))
        xs += [text.at[0] - before, text.at[0] + after]
        ys += [text.at[1] - 8 * len(text.lines), text.at[1] + 8 * len(text.lines)]
    return min(xs), min(ys), max(xs), max(ys)


def _class(op: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in op)


def _xml(text: str) -> str:
    return escape(fit(text))
