"""Writes a placed scene as SVG: the look of the drawings, light and dark."""

from __future__ import annotations

from html import escape

from .layered import Path, Point
from .layout import Placement
from .scene import FONT, SMALL, Box, Chip, Scene, chip_width, text_width

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
    "edge": ("#6b788c", "#8d9aad"), "carry": ("#c2570c", "#f08c42"), "frame": ("#f3f6fa", "#1b2029"),
    "frame-line": ("#c9d2de", "#3a4452"), "cell": ("#e6edf7", "#222a36"),
}  # fmt: skip


def _rules(root: str, dark: bool) -> str:
    """The style rules of one theme."""
    ink = {name: pair[dark] for name, pair in INKS.items()}
    rules = [
        f"{root} .page{{fill:{ink['page']}}}",
        f"{root} text{{fill:{ink['text']}}}",
        f"{root} .soft{{fill:{ink['soft']}}}",
        f"{root} .halo{{stroke:{ink['page']}}}",
        f"{root} .edge path{{stroke:{ink['edge']}}}{root} .edge polygon{{fill:{ink['edge']}}}",
        f"{root} .carry path{{stroke:{ink['carry']}}}{root} .carry polygon,{root} .carry text{{fill:{ink['carry']}}}",
        f"{root} .group rect{{fill:{ink['frame']};stroke:{ink['frame-line']}}}",
        f"{root} .group.step rect{{fill:{ink['cell']}}}",
        f"{root} .on-light{{fill:#111820}}{root} .on-dark{{fill:#ffffff}}",
    ]
    for kind, colours in COLOURS.items():
        fill, stroke = colours[2 * dark : 2 * dark + 2]
        rules.append(f"{root} .{kind}>.box{{fill:{fill};stroke:{stroke}}}")
    return "".join(rules)


def style(theme: str) -> str:
    """The style sheet: "light", "dark", or "auto", which follows the reader's preference."""
    root = f".tg-graph.{theme}"
    fixed = (
        f"{root} text{{font-family:{FAMILY};font-size:{FONT:g}px;text-anchor:middle}}"
        f"{root} .small{{font-size:{SMALL:g}px}}{root} .title{{font-size:11px;font-weight:600}}"
        f"{root} .label{{font-weight:500}}{root} .edge path{{fill:none;stroke-width:1.2}}"
        f"{root} .carry path{{stroke-width:1.6;stroke-dasharray:5 3}}"
        f"{root} .halo{{stroke-width:3px;paint-order:stroke;stroke-linejoin:round}}"
        f"{root} .start{{text-anchor:start}}{root} .end{{text-anchor:end}}{root} .output>.box{{stroke-width:1.8}}"
    )
    if theme == "dark":
        return fixed + _rules(root, True)
    rules = fixed + _rules(root, False)
    return rules + f"@media (prefers-color-scheme:dark){{{_rules(root, True)}}}" if theme == "auto" else rules


def write(scene: Scene, placed: Placement, title: str, note: str, theme: str) -> str:
    """The SVG document: frames, edges, boxes, then the legend and the note."""
    parts: list[str] = []
    x0, y0, x1, y1 = _bounds(scene, placed)
    for g in sorted(placed.frames):
        group, (a, b, c, d) = scene.groups[g], placed.frames[g]
        parts.append(
            f'<g class="group {group.kind}"><rect x="{a:.1f}" y="{b:.1f}" width="{c - a:.1f}" height="{d - b:.1f}" rx="9"/>'
            f'<text class="title soft start" x="{a + 10:.1f}" y="{b + 15:.1f}">{_xml(group.title)}</text></g>'
        )
    labels: list[str] = []
    for e, edge in enumerate(scene.edges):
        if e not in placed.paths:
            continue
        kind = "edge carry" if edge.carried else "edge"
        ends = (
            f'data-from="{_xml(scene.boxes[edge.source].id)}" data-to="{_xml(scene.boxes[edge.target].id)}"'
        )
        parts.append(f'<g class="{kind}" {ends}>{_curve(placed.paths[e])}</g>')
        if edge.label:
            labels.append(
                _edge_label(placed.labels.get(e) or _near_end(placed.paths[e]), edge.label, edge.carried)
            )
    for path in placed.stubs:
        parts.append(f'<g class="edge carry">{_curve(path)}</g>')
    parts += labels
    parts += [_box(box, placed.at[i], placed.sizes[i]) for i, box in enumerate(scene.boxes)]
    for text in placed.texts:
        x, y = text.at
        for k, row in enumerate(text.lines):
            dy = 16 * (k - (len(text.lines) - 1) / 2) + 4
            parts.append(
                f'<text class="{text.kind} soft {text.anchor}" x="{x:.1f}" y="{y + dy:.1f}">{_xml(row)}</text>'
            )
    legend, legend_width = _legend(scene, x0, y1 + 26)
    rows = _wrapped(note, max(x1 - x0, legend_width, 260.0))
    for k, row in enumerate(rows):
        parts.append(
            f'<text class="note soft small start" x="{x0:.1f}" y="{y1 + 46 + 14 * k:.1f}">{_xml(row)}</text>'
        )
    width = (
        max(x1 - x0, legend_width, max((text_width(row, SMALL) for row in rows), default=0.0)) + 2 * MARGIN
    )
    height = y1 - y0 + 2 * MARGIN + 22 + 14 * len(rows)
    left, top = x0 - MARGIN, y0 - MARGIN
    box = f"{left:.1f} {top:.1f} {width:.1f} {height:.1f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tg-graph {theme}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{box}" role="img" aria-label="{_xml(title)}">'
        f"<title>{_xml(title)}</title><style>{style(theme)}</style>"
        f'<rect class="page" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        + "".join(parts)
        + legend
        + "</svg>\n"
    )


def _box(box: Box, at: tuple[float, float], size: tuple[float, float]) -> str:
    (x, y), (w, h) = at, size
    left, top = x - w / 2, y - h / 2
    ink = f" {'on-light' if _bright(box.fill) else 'on-dark'}" if box.fill else ""
    fill = f' style="fill:{box.fill}"' if box.fill else ""
    t = f' data-t="{box.t}"' if box.t >= 0 else ""
    out = [
        f'<g id="{_xml(box.id)}" class="node {box.mark or box.kind} op-{_class(box.op)}" data-id="{_xml(box.id)}" '
        f'data-op="{_xml(box.op)}" data-layer="{_xml(box.layer)}"{t}><title>{_xml(box.title)}</title>'
        f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{w:.1f}" height="{h:.1f}" rx="6"{fill}/>'
    ]
    chips = [*box.before, *box.after]
    label = text_width(box.label, FONT)
    at_x, line = x - (label + sum(chip_width(c) + 4 for c in chips)) / 2, top + 13
    for chip in box.before:
        out.append(_chip(chip, at_x, line, ink))
        at_x += chip_width(chip) + 4
    weight = "label title" if box.kind == "layer" else "label"
    out.append(
        f'<text class="{weight}{ink}" x="{at_x + label / 2:.1f}" y="{line + 4.3:.1f}">{_xml(box.label)}</text>'
    )
    at_x += label + 4
    for chip in box.after:
        out.append(_chip(chip, at_x, line, ink))
        at_x += chip_width(chip) + 4
    for k, text in enumerate(box.lines):
        out.append(
            f'<text class="small soft{ink}" x="{x:.1f}" y="{top + 33 + 12 * k:.1f}">{_xml(text)}</text>'
        )
    if box.badge:
        out.append(
            f'<text class="small soft start halo" x="{left + w - 6:.1f}" y="{top - 2:.1f}">{_xml(box.badge)}</text>'
        )
    return "".join(out) + "</g>"


def _chip(chip: Chip, left: float, middle: float, ink: str) -> str:
    width, fill = chip_width(chip), ""
    if chip.fill:
        ink, fill = f" {'on-light' if _bright(chip.fill) else 'on-dark'}", f' style="fill:{chip.fill}"'
    words = f'x="{left + width / 2:.1f}" y="{middle + 3.6:.1f}">{_xml(chip.text)}</text>'
    if chip.kind == "name":
        return f'<text class="label{ink}" {words}'
    box = f'<rect class="box" x="{left:.1f}" y="{middle - 8:.1f}" width="{width:.1f}" height="16" rx="8"{fill}/>'
    return f'<g class="chip {chip.kind}"><title>{_xml(chip.title)}</title>{box}<text class="small{ink * bool(fill)}" {words}</g>'


def _curve(path: Path) -> str:
    """The line and its arrow head."""
    end = path[-1]
    near = next((p for p in reversed(path) if abs(p[0] - end[0]) + abs(p[1] - end[1]) > 0.5), path[0])
    dx, dy = end[0] - near[0], end[1] - near[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    dx, dy = dx / length, dy / length
    points = [
        end,
        (end[0] - 7 * dx + 3 * dy, end[1] - 7 * dy - 3 * dx),
        (end[0] - 7 * dx - 3 * dy, end[1] - 7 * dy + 3 * dx),
    ]
    curve = f"M{path[0][0]:.1f},{path[0][1]:.1f}C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in path[1:])
    return f'<path d="{curve}"/><polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _near_end(path: Path) -> Point:
    """The middle of the last piece of a path that is long enough for a label."""
    pieces = [path[k : k + 4] for k in range(0, len(path) - 3, 3)]
    long = [p for p in pieces if abs(p[0][0] - p[3][0]) + abs(p[0][1] - p[3][1]) > 14]
    p = (long or pieces)[-1]
    return (p[0][0] + 3 * p[1][0] + 3 * p[2][0] + p[3][0]) / 8, (
        p[0][1] + 3 * p[1][1] + 3 * p[2][1] + p[3][1]
    ) / 8


def _edge_label(at: Point, label: str, carried: bool) -> str:
    kind = "carry" if carried else "soft"
    words = f'<text class="small halo {kind}" x="{at[0]:.1f}" y="{at[1] + 3.5:.1f}">{_xml(label)}</text>'
    return f'<g class="edge-label {kind}">{words}</g>'


def _legend(scene: Scene, x: float, y: float) -> tuple[str, float]:
    """Swatches for the kinds of boxes that occur; the text and its width."""
    out, start = ['<g class="legend">'], x
    for kind, text in scene.legend:
        if kind == "carry":
            out.append(f'<g class="edge carry"><path d="M{x:.1f},{y - 4:.1f}h24"/></g>')
            x += 30
        else:
            fill = f' style="fill:{kind}"' if kind.startswith("#") else ""
            name = "op" if fill else kind
            out.append(
                f'<g class="{name}"><rect class="box" x="{x:.1f}" y="{y - 10:.1f}" width="14" height="12" rx="3"{fill}/></g>'
            )
            x += 19
        out.append(f'<text class="small soft start" x="{x:.1f}" y="{y:.1f}">{_xml(text)}</text>')
        x += text_width(text, SMALL) + 14
    return "".join(out) + "</g>", x - start


def _wrapped(note: str, width: float) -> list[str]:
    rows: list[str] = []
    for word in note.split():
        if rows and text_width(f"{rows[-1]} {word}", SMALL) <= width:
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    return rows


def _bounds(scene: Scene, placed: Placement) -> tuple[float, float, float, float]:
    xs, ys = [0.0], [0.0]
    for i, (x, y) in placed.at.items():
        w, h = placed.sizes[i]
        badge = text_width(scene.boxes[i].badge, SMALL) if scene.boxes[i].badge else 0.0
        xs += [x - w / 2, x + w / 2 + badge]
        ys += [y - h / 2 - (12 if badge else 0), y + h / 2]
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


def _bright(colour: str) -> bool:
    r, g, b = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return 0.299 * r + 0.587 * g + 0.114 * b > 140


def _class(op: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in op)


def _xml(text: str) -> str:
    """Escaped for XML; characters that XML cannot hold become `�`."""
    return escape("".join(c if c >= " " or c in "\n\t" else "�" for c in str(text)))
