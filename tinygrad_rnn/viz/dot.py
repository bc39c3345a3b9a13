"""DOT text of a scene, and the `dot` program: places for the boxes, PNG and PDF."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import warnings
from html import escape
from typing import Any

from .blocks import Rect
from .colours import LEVELS, hue, ink_on
from .layered import Path, Point
from .layout import Placement, place
from .scene import FONT, SMALL, Box, Scene, text_width
from .svg import COLOURS, INKS, near_end

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
    if scene.columns is not None:  # time runs in the given direction, the ops of a step across it
        rank = "BT" if direction in ("LR", "RL") else "LR"
    soft, text = f'fontcolor="{ink["soft"]}"', f'fontcolor="{ink["text"]}"'
    pins = _pinned_graph(placed, ink) if placed else ""
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
        title = group.title if group.kind == "layer" or not group.layer else f"{group.layer} · {group.title}"
        spot = ""
        if placed:
            left, top, right, bottom = placed.frames[g]
            at = _points([(left + 12 + text_width(title, 11.0) / 2, top + 11)])
            spot = f'bb="{left:.1f},{-bottom:.1f},{right:.1f},{-top:.1f}" lp="{at}" '
        look = f'{spot}style="rounded,filled" labeljust=l fillcolor="{fill}" color="{ink["frame-line"]}" fontsize=11'
        head = f'\tsubgraph "cluster_{g}" {{\n\tgraph [label=<<B>{_html(title)}</B>> {look}]\n'
        inside.setdefault(group.parent, []).insert(0, head + "".join(inside.get(g, [])) + "\t}\n")
    lines += inside.get(-1, [])
    for e, edge in enumerate(scene.edges):
        a, b = scene.boxes[edge.source].id, scene.boxes[edge.target].id
        style = [f'id="e{e}"'] + ["dir=back"] * scene.backward
        if placed:
            style.append(f'pos="{_arrow(placed.paths[e], scene.backward)}"')
            if edge.label:
                style.append(f'lp="{_points([placed.labels.get(e) or near_end(placed.paths[e])])}"')
        if edge.label:
            style.append(f'label="{_quoted(edge.label)}"')
        if edge.carried:
            ink_of = f'color="{ink["carry"]}" fontcolor="{ink["carry"]}"'
            style.append(f"headport={_SIDE[rank]} constraint=false style=dashed class=carry {ink_of}")
        elif edge.source >= edge.target:
            style.append("constraint=false")
        if edge.fill:
            width = 1.0 + 2.4 * int(edge.fill[1:]) / LEVELS
            style.append(f'color="{hue(edge.fill, dark, fade=0.0)}" penwidth={width:.1f}')
        lines.append(f'\t"{_quoted(a)}" -> "{_quoted(b)}" [{" ".join(style)}]\n')
    return lines


def digraph(lines: list[str]) -> str:
    """The DOT text with these lines between its braces."""
    return "digraph {\n" + "".join(lines) + "}\n"


def _points(path: Path) -> str:
    return " ".join(f"{x:.1f},{-y:.1f}" for x, y in path)


def _arrow(path: Path, backward: bool) -> str:
    """A path as Graphviz writes it: the tip, and the line without the arrow head."""
    path = path[::-1] if backward else path
    end = path[-1]
    near = next((p for p in reversed(path) if abs(p[0] - end[0]) + abs(p[1] - end[1]) > 0.5), path[0])
    length = math.hypot(end[0] - near[0], end[1] - near[1]) or 1.0
    back = (end[0] - 6 * (end[0] - near[0]) / length, end[1] - 6 * (end[1] - near[1]) / length)
    line = [*path[:-1], back]
    return f"{'s' if backward else 'e'},{_points([end])} {_points(line[::-1] if backward else line)}"


def _pinned_graph(placed: Placement, ink: dict[str, str]) -> str:
    """Attributes for a finished layout; what is neither box nor edge goes into the background."""
    ops = [f"c {len(ink['carry'])} -{ink['carry']} S 6 -dashed"]
    ops += [f"B {len(path)} {_points(path).replace(',', ' ')}" for path in placed.stubs]
    ops.append(f"c {len(ink['soft'])} -{ink['soft']} F 12 9 -Helvetica")
    for text in placed.texts:
        align = {"start": -1, "middle": 0, "end": 1}[text.anchor]
        for k, row in enumerate(text.lines):
            x, y = text.at[0], text.at[1] + 16 * (k - (len(text.lines) - 1) / 2) + 4
            row = _html(row)
            ops.append(f"T {x:.1f} {-y:.1f} {align} {text_width(row, FONT):.1f} {len(row.encode())} -{row}")
    return f'layout=nop2 _background="{_quoted(" ".join(ops))}" '


def _node(box: Box, dark: bool, size: Point, spot: str) -> str:
    fill, line = COLOURS[box.mark or box.kind][2 * dark : 2 * dark + 2]
    fill = hue(box.fill, dark) or fill

    def words_in(text: str) -> str:
        return f'<FONT COLOR="{ink_on(fill)}">{_html(text)}</FONT>' if box.fill else _html(text)

    chips = []
    for part in [*box.before, None, *box.after]:
        if part is None:
            chips.append(f"<TD>{words_in(box.label)}</TD>")
        elif part.kind == "name":
            chips.append(f"<TD>{words_in(part.text)}</TD>")
        else:
            colour = hue(part.fill, dark) or COLOURS[part.kind][2 * dark]
            ink = f' COLOR="{ink_on(colour)}"' if part.fill else ""
            words = f'<FONT POINT-SIZE="{SMALL:g}"{ink}>{_html(part.text)}</FONT>'
            chips.append(f'<TD BGCOLOR="{colour}" STYLE="ROUNDED">{words}</TD>')
    small = [
        f'<TR><TD COLSPAN="{len(chips)}"><FONT POINT-SIZE="{SMALL:g}">{words_in(text)}</FONT></TD></TR>'
        for text in [*box.lines, *([box.badge] if box.badge else [])]
    ]
    table = (
        f'<TABLE BORDER="0" CELLSPACING="1" CELLPADDING="2"><TR>{"".join(chips)}</TR>{"".join(small)}</TABLE>'
    )
    width, height = size[0], size[1] + (0 if spot else 12 * bool(box.badge))
    return (
        f'\t"{_quoted(box.id)}" [label=<{table}> id="{_quoted(box.id)}" class="{box.mark or box.kind}" '
        f'tooltip="{_quoted(box.title.split(chr(10))[0])}" fillcolor="{fill}" color="{line}" '
        f"{spot}width={width / 72:.3f} height={height / 72:.3f}]\n"
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
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        warnings.warn(f"the built-in layout is used, because {error}", stacklevel=4)
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
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "")


def _html(text: str) -> str:
    """Escaped for an HTML-like label."""
    return escape("".join(c if c >= " " else " " for c in text)).replace("\\", "\\\\") or " "
