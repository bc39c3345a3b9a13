"""The views: the boxes, edges and groups of a graph that is folded, unrolled, or drawn by layers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from ..core.op import OPS, Array
from .columns import Fold, Graph, cut
from .scene import Box, Chip, Edge, Scene, bytes_text, shape_text

SYMBOLS = {
    "add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "matmul": "@", "power": "xʸ",
    "negative": "−x", "square": "x²", "sqrt": "√", "reciprocal": "1/x", "sigmoid": "σ", "sum": "Σ",
    "prod": "Π", "transpose": "xᵀ", "absolute": "|x|", "getitem": "x[…]", "less": "<", "greater": ">",
    "equal": "=", "logsumexp": "log Σ exp", "sparse_cross_entropy": "cross-entropy",
}  # fmt: skip
INFIX = {"add", "subtract", "multiply", "divide", "matmul", "power"}


@dataclass
class Style:
    """Which details the boxes show."""

    show: frozenset[str]
    params: str
    value: Array  # norms, by row
    grad: Array
    chips: set[int] = field(default_factory=set)  # rows that are drawn inside their readers
    varied: set[tuple[int, int]] = field(
        default_factory=set
    )  # row and position of numbers that steps do not share


def folded(graph: Graph, fold: Fold, style: Style, depth: int | None = None) -> Scene:
    """One box per folded node, in a frame per layer and a frame for what repeats in every step."""
    scene = Scene(total_steps=graph.steps)
    box_of: dict[int, int] = {}
    style.chips, style.varied = _chip_rows(graph, style, set(fold.last.tolist())), _varied(graph, fold)
    roots = {int(fold.of[r]) for r in graph.roots}
    for i in range(len(fold)):
        row = int(fold.last[i])
        if row in style.chips and i not in roots:
            continue
        layer, timed = cut(graph.layer[row], depth), graph.t[row] >= 0
        merged = len({graph.op[fold.first[i]], graph.op[row]}) > 1
        box = make_box(graph, row, f"n{i}", style, i in roots)
        box.count = int(fold.counts[i])
        if merged:
            box.title += f"\n{box.count} recorded ops"
        if graph.kind[row] == "op" and (layer or timed):
            if layer:
                box.group = scene.group(layer, "layer", layer=layer)
            if timed:
                title = "every step" if layer else "every time step"
                box.group = scene.group(title, "step", box.group, layer)
        box_of[i] = len(scene.boxes)
        scene.boxes.append(box)
    _badges(scene)
    ends = _ends(graph)
    for e in range(len(fold.source)):
        a, b = box_of.get(int(fold.source[e])), box_of.get(int(fold.target[e]))
        if a is not None and b is not None and a < b and (label := _handed(graph, fold, e, ends)):
            scene.edges.append(Edge(a, b, label, flow=float(fold.flow[e])))
        elif a is not None and b is not None:
            scene.edges.append(
                Edge(
                    a,
                    b,
                    _edge_label(graph, fold, e),
                    bool(fold.carried[e]),
                    int(fold.high[e]),
                    float(fold.flow[e]),
                )  # fmt: skip
            )
    return scene


def layers(graph: Graph, fold: Fold, style: Style, depth: int | None, sizes: dict[int, int]) -> Scene:
    """One box per layer with the shape of its result and its parameter count; other ops as they are."""
    scene = Scene(total_steps=graph.steps)
    box_of: dict[int, int] = {}
    style.chips = {int(i) for i in np.flatnonzero(graph.kind == "parameter")} - set(graph.roots)
    style.varied = _varied(graph, fold)
    child = graph.children()
    owned: dict[int, set[int]] = {}
    for parent, reader in zip(graph.parents.tolist(), child.tolist(), strict=True):
        if parent in style.chips:
            owned.setdefault(int(fold.of[reader]), set()).add(parent)
    for i in range(len(fold)):
        row = int(fold.last[i])
        if row in style.chips:
            continue
        layer, count = cut(graph.layer[row], depth), int(fold.counts[i])
        box = make_box(graph, row, f"n{i}", style, any(fold.of[r] == i for r in graph.roots))
        box.count = count
        if layer and graph.kind[row] == "op":
            box.kind, box.label, box.before, box.after = "layer", layer, [], []
            weights = sum(sizes.get(p, 0) for p in owned.get(i, ()))
            box.lines = [shape_text(graph.shape[row])] if "shape" in style.show else []
            box.lines.append(f"{weights:,} parameters" if weights else f"{count} op{'s' * (count > 1)}")
            box.title = (
                f"layer {layer}: {count} recorded ops, {weights:,} parameters\n"
                f"output {shape_text(graph.shape[row])}"
            )
        elif count > 1:
            box.badge = f"×{count}"
            box.lines = box.lines if graph.t[row] >= 0 else []
        box_of[i] = len(scene.boxes)
        scene.boxes.append(box)
    for e in range(len(fold.source)):
        a, b = box_of.get(int(fold.source[e])), box_of.get(int(fold.target[e]))
        if a is not None and b is not None:
            carried = bool(fold.carried[e]) and a >= b
            label = _edge_label(graph, fold, e) if carried else ""
            scene.edges.append(Edge(a, b, label, carried, int(fold.high[e]), float(fold.flow[e])))
    return scene


def unrolled(graph: Graph, fold: Fold, style: Style, columns: list[int], depth: int | None = None) -> Scene:
    """The ops of the chosen steps one by one, a column per step, and what lies outside the recurrences.

    With `depth` the ops of a layer in one step are one box.
    """
    scene = Scene(total_steps=graph.steps, columns=columns)
    side = {
        int(b): -int(np.sign(d)) for b, d, c in zip(fold.target, fold.high, fold.carried, strict=True) if c
    }
    side |= {
        int(a): int(np.sign(d)) for a, d, c in zip(fold.source, fold.high, fold.carried, strict=True) if c
    }
    shown = set(columns)
    style.chips, style.varied = _chip_rows(graph, style, set(range(len(graph)))), set()
    box_of: dict[int, int] = {}
    seen: dict[str, int] = {}
    last = {}  # row of each layer in each step, which shows its result
    for row in np.flatnonzero((graph.kind == "op") & (graph.t >= 0)).tolist() if depth else ():
        if layer := cut(graph.layer[row], depth):
            last[layer, graph.t[row]] = row
    joined = {row: last.get((cut(graph.layer[row], depth), graph.t[row]), row) for row in range(len(graph))}
    for row in range(len(graph)):
        t = int(graph.t[row])
        if (
            (t >= 0 and t not in shown)
            or (row in style.chips and row not in graph.roots)
            or joined[row] != row
        ):
            continue
        id = f"n{fold.of[row]}" + (f"@t={t}" if t >= 0 else "")
        seen[id] = again = seen.get(id, -1) + 1  # an inner loop passes one place several times in a step
        box = make_box(graph, row, f"{id}.{again}" if again else id, style, row in graph.roots, t)
        box.role = int(fold.of[row])
        layer = cut(graph.layer[row], depth)
        if (layer, t) in last:
            box.kind, box.label, box.before, box.after = "layer", layer.rsplit("/", 1)[-1], [], []
        if t >= 0:
            box.side = side.get(box.role, 0)
            box.group = scene.group(f"t = {t}", "step", layer=layer, t=t)
        box_of[row] = len(scene.boxes)
        scene.boxes.append(box)
    box_of |= {row: box_of[whole] for row, whole in joined.items() if whole in box_of}
    child = graph.children()
    done: dict[tuple[int, int, int], Edge] = {}
    columns_ = (graph.parents, child, graph.port, graph.flow)
    for parent, row, port, flow in zip(*(c.tolist() for c in columns_), strict=True):
        a, b = box_of.get(parent), box_of.get(row)
        if parent < 0 or a == b:
            continue
        both = graph.t[parent] >= 0 and graph.t[row] >= 0
        delay = int(graph.t[row] - graph.t[parent]) if both else 0
        port = -1 if depth else port
        if a is not None and b is not None and (a, b, port) in done:  # x · x: both parts go the same way
            done[a, b, port].flow = math.hypot(done[a, b, port].flow, flow)
        elif a is not None and b is not None:
            label = graph.port_names.get((parent, port), "" if port < 0 else f"[{port}]")
            done[a, b, port] = Edge(a, b, label, delay != 0, delay, flow)
            scene.edges.append(done[a, b, port])
        elif delay and (a is None or b is None):
            loose = (b if a is None else a, delay, b is None)
            if loose not in scene.loose:
                scene.loose.append(loose)  # type: ignore[arg-type]
    return scene


def make_box(graph: Graph, row: int, id: str, style: Style, output: bool, t: int = -1) -> Box:
    """The box of one row, with its chips and the lines that `show` asks for."""
    op, kind, name = graph.op[row], graph.kind[row], graph.name[row]
    layer, show = graph.layer[row], style.show
    symbol = SYMBOLS.get(op, op)
    label = symbol if kind == "op" else (name if name and "name" in show else kind)
    own = graph.label[row] if "name" in show else None  # the user's expression says it best
    if own:
        label = shortened(own)
    if kind == "op" and name and "name" in show:
        label = f"{name} = {label}"
    box = Box(id, kind if kind != "op" else ("output" if output else "op"), op, layer, t, label, "", row)
    if kind == "op":
        for position, chip in _chips(graph, row, style):
            if not (own and chip.kind == "constant"):
                (box.before if op in INFIX and position == 0 and not own else box.after).append(chip)
    if box.before and name and "name" in show:  # "h = [x] @ U"
        box.label, box.before = symbol, [Chip(f"{name} =", "name", ""), *box.before]
    box.lines = _details(graph, row, style)
    where = "".join([f" · layer {layer}" if layer else "", f" · t = {t}" if t >= 0 else ""])
    box.title = f"{name + ': ' if name else ''}{op if kind == 'op' else kind}{where}"
    box.title += f"\n{shape_text(graph.shape[row])} {graph.dtype[row]}"
    if own:
        box.title += f"\n{own}"
    if graph.site[row]:
        box.title += f"\n{graph.site[row]}"
    if kind == "op" and op in OPS and OPS[op].doc:
        box.title += f"\n{OPS[op].doc}"
    return box


def shortened(text: str, most: int = 34) -> str:
    """An expression without its modules, and without its middle if it is long."""
    text = re.sub(r"\b(?:\w+\.)?ops\.", "", text)
    return text if len(text) <= most else f"{text[: most - 12]} … {text[-9:]}"


def _details(graph: Graph, row: int, style: Style, chip: bool = False) -> list[str]:
    show = style.show - {"shape", "dtype", "bytes", "site"} if chip else style.show
    first = [shape_text(graph.shape[row])] if "shape" in show else []
    first += [graph.dtype[row]] if "dtype" in show else []
    first += [bytes_text(int(graph.nbytes[row]))] if "bytes" in show else []
    lines = [" ".join(first)] if first else []
    for what, sign, column in (("value", "‖y‖", style.value), ("grad", "‖∇‖", style.grad)):
        if what in show and not np.isnan(column[row]):
            lines.append(f"{sign} = {column[row]:.3g}")
    return [*lines, graph.site[row]] if "site" in show and graph.site[row] else lines


def _chips(graph: Graph, row: int, style: Style) -> list[tuple[int, Chip]]:
    """Weights and constants among the arguments of a row, with their positions."""
    found = []
    for position, k in enumerate(range(graph.start[row], graph.start[row + 1])):
        parent = int(graph.parents[k])
        if parent in style.chips and style.params == "chip":
            path = graph.name[parent] or "variable"
            layer = graph.layer[row]
            text = path.rsplit("/", 1)[-1] if layer and path.startswith(layer + "/") else path
            lines = _details(graph, parent, style, chip=True)
            title = f"{path}\n{shape_text(graph.shape[parent])} {graph.dtype[parent]}"
            found.append((position, Chip(" ".join([text, *lines]), "parameter", title, parent, position)))
    for position, shape, text in graph.constants.get(row, ()):
        varied = (row, position) in style.varied
        if text and not varied and (not shape or "value" in style.show):
            label = text
        else:
            label = "×".join(map(str, shape)) if shape and "shape" in style.show else "const"
        what = "not the same in every step" if varied else text or (shape_text(shape) if shape else "")
        title = f"constant, not recorded{what and ': '}{what}"
        found.append((position, Chip(label, "constant", title, -1, position)))
    return sorted(found, key=lambda pair: pair[0])


def _varied(graph: Graph, fold: Fold) -> set[tuple[int, int]]:
    """Constants of a folded node that are not the same number in all its rows: the row drawn, and the position."""
    found: set[tuple[int, int]] = set()
    seen: dict[tuple[int, int], str] = {}
    for row, constants in graph.constants.items():
        node = int(fold.of[row])
        for position, _, text in constants:
            if seen.setdefault((node, position), text) != text:
                found.add((int(fold.last[node]), position))
    return found


def _chip_rows(graph: Graph, style: Style, readers: set[int]) -> set[int]:
    """Rows of the parameters that are drawn inside their readers, or not at all."""
    if style.params == "node":
        return set()
    child, weight = graph.children(), (graph.kind == "parameter")
    pairs = zip(graph.parents.tolist(), child.tolist(), strict=True)
    return {p for p, c in pairs if p >= 0 and weight[p] and (c in readers or style.params == "hide")}


def _badges(scene: Scene) -> None:
    """Write ×count once on a step frame, and on the boxes that differ from it."""
    common: dict[int, int] = {}
    for i, group in enumerate(scene.groups):
        counts = [b.count for b in scene.boxes if b.group == i]
        if group.kind == "step" and counts:
            common[i] = max(counts)
            group.title = f"{group.title} ×{common[i]}"
    for box in scene.boxes:
        if box.count != common.get(box.group, 1):
            box.badge = f"×{box.count}"


def _ends(graph: Graph) -> dict[str, tuple[int, int, int, int]]:
    """For every layer the steps that run first and last, and the smallest and largest of all its steps."""
    found: dict[str, tuple[int, int, int, int]] = {}
    timed = (graph.kind == "op") & (graph.t >= 0)
    for layer, t in dict.fromkeys(zip(graph.layer[timed].tolist(), graph.t[timed].tolist(), strict=True)):
        first, _, low, high = found.get(layer, (t, t, t, t))
        found[layer] = first, t, min(low, t), max(high, t)
    return found


def _handed(graph: Graph, fold: Fold, e: int, ends: dict[str, tuple[int, int, int, int]]) -> str:
    """What to say of a state that the last step of a layer hands to the first step of another; "" of other edges."""
    rows = fold.first[[fold.source[e], fold.target[e]]]
    one, other = graph.layer[rows]
    once = fold.uses[e] == 1 and min(fold.counts[fold.source[e]], fold.counts[fold.target[e]]) > 1
    if not once or not (one and other) or one == other or min(graph.t[rows]) < 0:
        return ""
    late, delay = int(fold.step_high[e]), int(fold.high[e])
    t, u = (late, late + delay) if delay < 0 else (late - delay, late)
    if t != ends[one][1] or u != ends[other][0]:
        return ""
    sides = ((t, ends[one]), (u, ends[other]))
    return " → ".join("first t" if step == low else "last t" for step, (_, _, low, _) in sides)


def spans(graph: Graph) -> list[int]:
    """The numbers of steps that its layers have, the largest first."""
    every = {high - low + 1 for layer, (_, _, low, high) in _ends(graph).items() if layer and high > low}
    return sorted(every | {graph.steps}, reverse=True)


def _edge_label(graph: Graph, fold: Fold, e: int) -> str:
    low, high = int(fold.low[e]), int(fold.high[e])
    if fold.carried[e]:
        return (f"t−{low}" if low > 0 else f"t+{-low}") if low == high else "other t"
    a, b = int(fold.source[e]), int(fold.target[e])
    port = int(fold.port_low[e])
    name = graph.port_names.get((int(fold.last[a]), port), f"[{port}]") if port >= 0 else ""
    if port != fold.port_high[e]:
        name = "[t]"
    ta, tb = graph.t[fold.first[a]], graph.t[fold.first[b]]
    if (
        (ta >= 0) != (tb >= 0)
        and fold.step_low[e] == fold.step_high[e]
        and max(fold.counts[a], fold.counts[b]) > 1
    ):
        timed = a if ta >= 0 else b
        times = sorted((int(graph.t[fold.first[timed]]), int(graph.t[fold.last[timed]])))
        return (
            "first t" if fold.step_low[e] == times[0] else "last t" if fold.step_low[e] == times[1] else name
        )
    return name
