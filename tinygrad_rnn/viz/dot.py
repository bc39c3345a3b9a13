"""DOT text of a scene, and the `dot` program: places for the boxes, PNG and PDF."""

from __future__ import annotations

import json
import shutil
import subprocess
from html import escape
from typing import Any

from ..warn import warn
from .blocks import Rect
from .colours import LEVELS, hue, ink_on
from .labels import beside, near_end
from .layered import Path, Point
from .layout import Placement, place
from .scene import FONT, SMALL, Box, Scene, text_width
from .svg import COLOURS, INKS, bounds, caption, entry_width, head
from .words import fit

TIMEOUT = 20.0
_SIDE = {"LR": "w", "RL": "e", "TB": "n", "BT": "s"}  # where data comes in


class GraphvizNotFound(RuntimeError):
    """The program `dot` is not installed, and the wanted format needs it."""


def body(scene: Scene, direction: str, dark: bool = False, placed: Placement | None = None) -> list[str]:
    """The lines of the DOT text between the braces: clusters for the groups, boxes, edges.

    With a finished layout the places stand in the text, and Graphviz draws the same picture without any search.
    """
    ink = {name: pair[dark] for name, pair in INKS.items()}
    rank, font = direction, 'fontname="Helvetica"'
    carry = scene.carry
    line, words = ("carry", "carry") if carry == "carry" else ("edge", "soft")
    if scene.columns is not None:  # time runs in the given direction, the ops of a step across it
        rank = "BT" if direction in ("LR", "RL") else "LR"
    soft, text = f'fontcolor="{ink["soft"]}"', f'fontcolor="{ink["text"]}"'
    pins = _pinned_graph(placed, ink, ink[line], scene.backward) if placed else ""
    lines = [
        f'\tgraph [{pins}rankdir={rank} nodesep=0.2 ranksep=0.35 bgcolor="{ink["page"]}" {font} {soft}]\n',
        f'\tnode [shape=box style="rounded,filled" {font} fontsize={FONT:g} {text} margin=0.02]\n',
        f'\tedge [{font} fontsize={SMALL:g} arrowsize=0.6 color="{ink["edge"]}" {soft}]\n',
    ]
    inside: dict[int, list[str]] = {}
    for i, box in enumerate(scene.boxes):
        size, spot = box.size, ""
        if placed:
            size, spot = placed.sizes[i], f'pos="{_points([placed.at[i]])}" fixedsize=true '
        inside.setdefault(box.group, []).append(_node(box, dark, size, spot))

    for g in range(len(scene.groups) - 1, -1, -1):  # children have larger numbers than their parents
        group = scene.groups[g]
        fill = ink["frame" if group.kind == "layer" else "cell"]
        spot = ""
        if placed:
            left, top, right, bottom = placed.frames[g]
            at = _points([(left + 12 + text_width(group.title, 11.0) / 2, top + 11)])
            spot = f'bb="{left:.1f},{-bottom:.1f},{right:.1f},{-top:.1f}" lp="{at}" '
        look = f'{spot}style="rounded,filled" labeljust=l labelloc=t fontsize=11 fillcolor="{fill}"'
        look += f' color="{ink["frame-line"]}"'
        head = f'\tsubgraph "cluster_{g}" {{\n\tgraph [label=<<B>{_html(group.title)}</B>> {look}]\n'
        inside.setdefault(group.parent, []).insert(0, head + "".join(inside.get(g, [])) + "\t}\n")
    lines += inside.get(-1, [])
    for e, edge in enumerate(scene.edges):
        a, b = scene.boxes[edge.source].id, scene.boxes[edge.target].id
        style = [f'id="e{e}"'] + ["dir=back"] * scene.backward
        if placed:
            style.append(f'pos="{_arrow(placed.paths[e], scene.backward)}"')
            if edge.label:
                style.append(f'lp="{_points([placed.labels.get(e) or near_end(placed.paths[e])])}"')
        if edge.label and placed:  # in front of its line
            cell = f'<TD BGCOLOR="{ink["page"]}">{_html(edge.label)}</TD>'
            style.append(f'label=<<TABLE BORDER="0" CELLPADDING="0" CELLSPACING="0"><TR>{cell}</TR></TABLE>>')
        elif edge.label:
            style.append(f'label="{_quoted(edge.label)}"')
        if edge.carried:
            ink_of = f'color="{ink[line]}" fontcolor="{ink[words]}"'
            port = f"headport={_SIDE[rank]} " if edge.source != edge.target else ""
            style.append(f"{port}constraint=false style=dashed class={carry} {ink_of}")
        elif edge.source >= edge.target:
            style.append("constraint=false")
        if edge.mark:
            colour = COLOURS[edge.mark][2 * dark + 1]
            style.append(
                f'color="{colour}" fontcolor="{ink["soft"]}"' + " style=dotted" * (edge.mark == "removed")
            )
        if edge.fill:
            width = 1.0 + 2.4 * int(edge.fill[1:]) / LEVELS
            style.append(f'color="{hue(edge.fill, dark, line=True)}" penwidth={width:.1f}')
        lines.append(f'\t"{_quoted(a)}" -> "{_quoted(b)}" [{" ".join(style)}]\n')
    return lines


def digraph(lines: list[str]) -> str:
    """The DOT text with these lines between its braces."""
    return "digraph {\n" + "".join(lines) + "}\n"


def foot(scene: Scene, note: str, dark: bool, placed: Placement) -> str:
    """The legend and the note as the label of the whole graph, for the end of the text.

    A scene with columns has a finished layout, and the label a place in it.
    """
    left, _, right, bottom = bounds(scene, placed)
    entries, lines = caption(scene, note, right - left)
    rows, widths = [], [text_width(line, SMALL) for line in lines]
    for row in entries:
        cells = "".join(
            f'{_swatch(kind, dark)}<TD>{_html(text)}</TD><TD WIDTH="8"></TD>' for kind, text in row
        )
        rows.append(f'<TABLE BORDER="0" CELLSPACING="4" CELLPADDING="0"><TR>{cells}</TR></TABLE>')
        widths.append(sum(map(entry_width, row)))
    table = "".join(f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in [*rows, *map(_html, lines)])
    width, height = 1.1 * max(widths), 26 * len(rows) + 17 * len(lines)
    spot = ""
    if scene.columns is not None:
        spot = f'lp="{_points([(left + width / 2, bottom + 20 + height / 2)])}" '
    label = f'<TABLE BORDER="0" CELLSPACING="0" WIDTH="{width:.0f}">{table}</TABLE>'
    return f"\tgraph [label=<{label}> {spot}labeljust=l labelloc=b fontsize={SMALL:g}]\n"


def _swatch(kind: str, dark: bool) -> str:
    if kind in ("carry", "dash"):
        ink = INKS["carry" if kind == "carry" else "edge"][dark]
        return f'<TD><FONT COLOR="{ink}">– – –</FONT></TD>'
    fill, rim = COLOURS[kind if kind in COLOURS else "op"][2 * dark : 2 * dark + 2]
    style = "ROUNDED,DASHED" if kind == "removed" else "ROUNDED"
    fill = fill if kind in COLOURS else hue(kind, dark)
    size = 'FIXEDSIZE="TRUE" WIDTH="14" HEIGHT="12"'
    return f'<TD {size} BORDER="1" STYLE="{style}" COLOR="{rim}" BGCOLOR="{fill}"></TD>'


def _points(path: Path) -> str:
    return " ".join(f"{x:.1f},{-y:.1f}" for x, y in path)


def _arrow(path: Path, backward: bool) -> str:
    """A path as Graphviz writes it: the tip, and the line without the arrow head."""
    path = path[::-1] if backward else path
    end, one, other = head(path)
    line = [*path[:-1], ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2)]
    return f"{'s' if backward else 'e'},{_points([end])} {_points(line[::-1] if backward else line)}"


def _pinned_graph(placed: Placement, ink: dict[str, str], line: str, backward: bool) -> str:
    """Attributes for a finished layout; what is neither box nor edge goes into the background."""
    ops = ["".join(f"{c} {len(line)} -{line} " for c in "cC")]
    for path in placed.stubs:
        way = path[::-1] if backward else path
        ops.append(f"S 6 -dashed B {len(way)} {_points(way).replace(',', ' ')}")
        ops.append(f"S 5 -solid P 3 {_points(head(way)).replace(',', ' ')}")
    ops.append(f"c {len(ink['soft'])} -{ink['soft']} F 12 9 -Helvetica")
    for text in placed.texts:
        align = {"start": -1, "middle": 0, "end": 1}[text.anchor]
        for k, row in enumerate(text.lines):
            x, y = text.at[0], text.at[1] + 16 * (k - (len(text.lines) - 1) / 2) + 4
            row = _html(row)
            ops.append(f"T {x:.1f} {-y:.1f} {align} {text_width(row, FONT):.1f} {len(row.encode())} -{row}")
    lines = " \\\n".join(map(_quoted, ops))  # in one line, dot takes 16 384 characters at most
    return f'layout=nop2 _background="{lines}" '


def _node(box: Box, dark: bool, size: Point, spot: str) -> str:
    fill, line = COLOURS[box.mark or box.kind][2 * dark : 2 * dark + 2]
    fill = hue(box.fill, dark) or fill

    def words_in(text: str) -> str:
        return f'<FONT COLOR="{ink_on(fill)}">{_html(text)}</FONT>' if box.fill else _html(text)

    chips = []
    for part in [*box.before, None, *box.after]:
        if part is None or part.kind == "name":
            chips.append(f"<TD>{words_in(part.text if part else box.label)}</TD>")
        else:
            colour, rim = hue(part.fill, dark), COLOURS[part.kind][2 * dark + 1]
            look = (
                f'BORDER="1" COLOR="{rim}" STYLE="ROUNDED" BGCOLOR="{colour or COLOURS[part.kind][2 * dark]}"'
            )
            ink = f' COLOR="{ink_on(colour)}"' if part.fill else ""
            chips.append(f'<TD {look}><FONT POINT-SIZE="{SMALL:g}"{ink}>{_html(part.text)}</FONT></TD>')
    look = 'BORDER="0" CELLSPACING="2" CELLPADDING="1"'
    wide = max((text_width(line, SMALL) for line in box.under), default=0.0)
    if len(chips) > 1 and box.top < wide:  # or they would spread
        look += f' FIXEDSIZE="TRUE" WIDTH="{box.top + 10:.0f}" HEIGHT="22"'
    rows = [f"<TABLE {look}><TR>{''.join(chips)}</TR></TABLE>"]
    rows += [f'<FONT POINT-SIZE="{SMALL:g}">{words_in(text)}</FONT>' for text in box.under if text]
    cells = "".join(f"<TR><TD>{row}</TD></TR>" for row in rows)
    table = f'<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="0">{cells}</TABLE>'
    width, height = size
    dash = 'style="rounded,filled,dashed" ' if box.mark == "removed" else ""
    return (
        f'\t"{_quoted(box.id)}" [label=<{table}> id="{_quoted(box.id)}" class="{box.mark or box.kind}" '
        f'tooltip="{_quoted(box.title.split(chr(10))[0])}" fillcolor="{fill}" color="{line}" '
        f"{dash}{spot}width={width / 72:.3f} height={height / 72:.3f}]\n"
    )


def run(source: str, format: str) -> bytes:
    """What `dot` makes of the text; `GraphvizNotFound` without it, `TimeoutError` after 20 s."""
    program = shutil.which("dot")
    if program is None:
        raise GraphvizNotFound(
            f"{format.upper()} needs Graphviz's dot (apt install graphviz | brew install graphviz | "
            "conda install graphviz); SVG and HTML work without it"
        )
    try:
        done = subprocess.run(
            [program, f"-T{format}"], input=source.encode(), capture_output=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"dot took longer than {TIMEOUT:g} s") from None
    if done.returncode or not done.stdout:
        raise RuntimeError(
            f"dot failed: {done.stderr.decode(errors='replace').strip()[:500] or done.returncode}"
        )
    return done.stdout


def arrange(scene: Scene, direction: str, source: str) -> tuple[Placement, str]:
    """Places by `dot`, or by the built-in layout if it is not installed, or fails (then with a warning); which."""
    try:
        return place_with_dot(scene, source), "dot"
    except GraphvizNotFound:
        pass
    except (OSError, RuntimeError, ValueError, LookupError, TypeError) as error:
        warn(f"the built-in layout is used, because {error or type(error).__name__}")
    return place(scene, direction), "builtin"


def place_with_dot(scene: Scene, source: str) -> Placement:
    """Let `dot` place the boxes and route the edges."""
    answer: dict[str, Any] = json.loads(run(source, "json"))
    height = float(answer["bb"].split(",")[3])
    index = {box.id: i for i, box in enumerate(scene.boxes)}
    result = Placement(sizes=[(0.0, 0.0)] * len(scene.boxes))
    for item in answer.get("objects", []):
        name = item["name"]
        if name.startswith("cluster_") and "bb" in item:
            a, b, c, d = map(float, item["bb"].split(","))
            result.frames[int(name[8:])] = _up(a, d, c, b, height)
        elif "pos" in item:
            i = index[item["id"]]
            x, y = map(float, item["pos"].split(","))
            result.at[i] = (x, height - y)
            result.sizes[i] = (72 * float(item["width"]), 72 * float(item["height"]))
    for item in answer.get("edges", []):
        if "pos" not in item:
            continue
        e = int(item["id"][1:])
        result.paths[e] = _spline(item["pos"], height)
        if "lp" in item:
            x, y = map(float, item["lp"].split(","))
            result.labels[e] = (x, height - y)
    result.titles = beside(scene, result)
    if len(result.at) < len(scene.boxes) or len(result.paths) < len(scene.edges):
        raise ValueError(f"dot placed {len(result.at)} of {len(scene.boxes)} boxes")
    return result


def _up(a: float, b: float, c: float, d: float, height: float) -> Rect:
    return (a, height - b, c, height - d)


def _spline(text: str, height: float) -> Path:
    """Graphviz's `s,x,y e,x,y p0 c c p1 …`: tips of arrows come first."""
    start: list[Point] = []
    end: list[Point] = []
    points: list[Point] = []
    for word in text.split(" "):
        numbers = word.split(",")
        point = (float(numbers[-2]), height - float(numbers[-1]))
        if numbers[0] == "e":
            end = [point]
        elif numbers[0] == "s":
            start = [point]
        else:
            points.append(point)
    if start:
        points = [start[0], start[0], points[0], *points]
    return points + [points[-1], end[0], end[0]] if end else points


def _quoted(text: str) -> str:
    """Escaped for a DOT string in which `\\N` and the like have a meaning."""
    return fit(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _html(text: str) -> str:
    """Escaped for an HTML-like label."""
    text = "\u200e" * ("\u2068" in text) + text  # or the first letter decides on the direction of all
    return escape(fit(text).replace("\n", " ").replace("\t", " ")).replace("\\", "\\\\") or " "
