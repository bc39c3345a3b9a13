"""The page as one HTML file: the columns of a graph, its templates, the style and the script, put together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from ..core.op import OPS, Array
from .columns import Fold, Graph, same_step
from .flows import Flow, growth_factor
from .pack import Pack, real, script, shown, summaries
from .svg import COLOURS, INKS
from .template import MOST, Template, templates
from .views import SYMBOLS

SMALL = 400_000  # bytes of arrays in full, and of contributions to gradients, in a summary
SCRIPTS = ("data", "state", "draw", "unrolled", "panel", "backward", "charts", "page")
LONG = 20_000  # time steps that one axis shows; of more, the page shows buckets first
COLUMNS, CELLS = 1000, 300_000  # time steps and numbers of the heat maps


@dataclass
class Comparison:
    """What is shown beside the graph: a heading, lines, and a picture of boxes or of relative errors."""

    heading: str
    lines: list[list[Any]]
    boxes: Template | None = None
    errors: dict[str, Any] | None = None


@dataclass
class Record:
    """What is known of a computation: the graph, and per row its value and gradient, in full where kept."""

    graph: Graph
    values: list[Any]
    grads: list[Any]
    text: list[str] | None = None  # one label per time step
    influence: Array | None = None  # |∂y_t/∂x_k| (T, T)
    compare: Comparison | None = None
    notes: list[str] = field(default_factory=list)


def write(record: Record, values: str, max_bytes: int, title: str, theme: str) -> tuple[bytes, str]:
    """The file and its note. Over `max_bytes`, arrays in full are left out first, then histograms."""
    labels = same_step(record.graph)
    fold = Fold(record.graph, labels)
    views = templates(record.graph, labels, fold)
    about = record.compare
    if about is not None and about.boxes is not None:
        views["compare"] = about.boxes
    if record.graph.steps and "steps" not in views:
        record.notes.append(f"one step has more than {MOST} boxes, so its ops are not drawn one by one")
    stages = [
        (True, True, ""),
        (False, True, "values in full"),
        (False, False, "values in full and histograms"),
    ]
    for exact, histograms, dropped in stages if values != "none" else [(False, False, "")]:
        notes = [*record.notes]
        if record.graph.steps and "steps" not in views:
            notes.append(f"more than {MOST} boxes in a step: the unrolled view has no ops")
        if dropped:
            notes.append(f"left out to stay under {max_bytes / 1e6:g} MB: {dropped}")
        header, pack = _columns(record, fold, SMALL if values == "summary" else 2**62, exact, histograms)
        notes += header.pop("notes")
        size = f"{len(record.graph)} nodes, {len(fold)} after folding"
        note = "; ".join([size, *notes])
        shown = {
            "folded": True, "unrolled": bool({"cells", "steps"} & views.keys()), "layers": True,
            "time": record.graph.steps > 0, "text": record.text is not None and bool(header["series"]),
            "compare": about is not None,
        }  # fmt: skip
        header |= {
            "title": title,
            "note": note,
            "views": views,
            "shown": [v for v, known in shown.items() if known],
        }
        if about is not None:
            header |= {"differences": about.lines, "compared": about.heading, "matrix": about.errors}
        page = _html(header, pack.blob(), title, theme)
        if len(page) <= max_bytes:
            return page, note
    raise ValueError(
        f"inspect_graph: even without values the page takes {len(page) / 1e6:.3g} MB, more than "
        f"max_bytes = {max_bytes}; allow more, or select fewer steps (tg.graph(loss).select(steps=…))"
    )


def _columns(
    record: Record, fold: Fold, budget: int, exact: bool, histograms: bool
) -> tuple[dict[str, Any], Pack]:
    """Header and arrays of the page."""
    g, pack = record.graph, Pack()
    notes: list[str] = []
    n = len(g)
    pack.add("role", fold.of, "i4")
    pack.add("t", g.t, "i4")
    order = _ranks(g.order)
    pack.add("order", order, "i4")
    pack.add("fanin", np.diff(g.start), "i4")
    rows = np.arange(n)
    pack.add("parents", np.where(g.parents >= 0, np.repeat(rows, np.diff(g.start)) - g.parents, 0), "i4")
    pack.add("port", g.port, "i4")
    pack.add("flow", g.flow, "f8" if _wide(g.flow) else "f4")
    by_parent = np.argsort(g.parents, kind="stable")[int((g.parents < 0).sum()) :]
    pack.add("children", g.children()[by_parent] - g.parents[by_parent], "i4")
    pack.add("fanout", np.bincount(g.parents[by_parent], minlength=n), "i4")
    away = (g.parents >= 0) & ~np.isnan(g.flow)
    pack.add("expected", np.bincount(g.parents[away], minlength=n), "i4")  # contributions to each gradient
    pack.add("byRole", np.lexsort((g.t, fold.of)), "i4")
    strings: dict[str, int] = {}
    for name, column in _words(g, fold).items():
        pack.add("role_" + name, [strings.setdefault(text, len(strings)) for text in column], "i4")
    pack.add("role_count", fold.counts, "i4")
    pack.add("role_line", [(g.source(int(r)) or ("", 0, ""))[1] for r in fold.last], "i4")
    broken: list[int] = []
    for name, values, norm in (("value", record.values, g.value), ("grad", record.grads, g.grad)):
        wide = _wide(norm)
        real = "f8" if wide else "f4"
        if not histograms:
            pack.add(f"{name}_stats", norm, real)
            continue
        stats, bins, odd = summaries(values, wide)
        stats[0] = np.where(np.isnan(stats[0]) & (odd == 0), norm, stats[0])
        pack.add(f"{name}_stats", stats, real)
        pack.add(f"{name}_bins", bins, "u1")
        pack.add(f"{name}_odd", odd, "i4")
        found = np.flatnonzero(odd)
        broken.append(
            int(found[0] if name == "value" else found[np.argmin(order[found])]) if len(found) else -1
        )
    if exact:
        kept = _exact(record, fold, pack, order, budget, notes)
        if kept < n:
            notes.append(f"values in full of {kept} of {n} nodes")
    bucket = 10 ** math.ceil(math.log10(g.steps / 100)) if g.steps > LONG else 0
    if bucket:
        for name, norm in (("value", g.value), ("grad", g.grad)):
            most = np.full((g.steps - 1) // bucket + 1, -np.inf)
            timed = (g.t >= 0) & ~np.isnan(norm)
            np.maximum.at(most, g.t[timed] // bucket, norm[timed])
            pack.add(f"bucket_{name}", most, "f8")
    series = _series(record, fold, pack, notes) if histograms else []
    if record.influence is not None:
        pack.add("influence", record.influence, "f4")
    header = {
        "strings": list(strings), "nodes": n, "roles": len(fold), "steps": g.steps, "bucket": bucket,
        "roots": list(g.roots), "text": record.text, "series": series, "arrays": pack.index, "notes": notes,
        "docs": {op: _formulas(OPS[op].doc) for op in sorted(set(g.op)) if op in OPS},
        "full": int(histograms), "backward": int(order.max(initial=0)),
        "broken": broken or [-1, -1],
    }  # fmt: skip
    return header, pack


def _wide(norms: Array) -> bool:
    """Whether norms leave the range of float32."""
    norms = norms[np.isfinite(norms) & (norms > 0)]
    return bool(np.any((norms < 1e-30) | (norms > 1e30)))


def _words(g: Graph, fold: Fold) -> dict[str, list[str]]:
    """What is said of each folded node, as text."""
    rows = fold.last.tolist()
    sources = [g.source(r) or ("", 0, "") for r in rows]
    return {
        "op": [g.op[r] for r in rows],
        "symbol": [SYMBOLS.get(g.op[r], g.op[r]) for r in rows],
        "kind": [g.kind[r] for r in rows],
        "layer": [g.layer[r] for r in rows],
        "name": [g.name[r] or "" for r in rows],
        "label": [g.label[r] or "" for r in rows],
        "shape": [_shapes(g.shape[r]) for r in rows],
        "dtype": [g.dtype[r] for r in rows],
        "file": [s[0] for s in sources],
        "source": [s[2] for s in sources],
    }


def _shapes(shape: Any) -> str:
    """`2,8`, or for several outputs `2,8;2,8`."""
    several = shape if shape and isinstance(shape[0], tuple) else (shape,)
    return ";".join(",".join(map(str, s)) for s in several)


def _formulas(doc: str) -> list[str]:
    """The formula of an op and those of its gradients, from the op table."""
    value, _, rest = doc.partition(";  ")
    return [value, rest]


def _ranks(order: Array) -> Array:
    """1, 2, 3, … for the rows that the backward pass visited, in its order; 0 for the others."""
    ranks = np.zeros(len(order), np.int64)
    visited = np.flatnonzero(order > 0)
    ranks[visited[np.argsort(order[visited], kind="stable")]] = np.arange(1, len(visited) + 1)
    return ranks


def _exact(record: Record, fold: Fold, pack: Pack, order: Array, budget: int, notes: list[str]) -> int:
    """Add the arrays that the page shows digit by digit; how many rows have one."""
    g = record.graph
    rows = np.argsort(g.t >= 0, kind="stable").tolist()  # what stands outside the steps comes first
    values: list[Any] = [None] * len(g)
    grads: list[Any] = [None] * len(g)
    used = kept = 0
    for i in rows:
        pair = shown(record.values[i]), shown(record.grads[i])
        size = sum(a.nbytes for a in pair if a is not None)
        if used + size > budget:
            break
        values[i], grads[i] = pair
        used, kept = used + size, kept + 1
    pack.exact("value", values)
    pack.exact("grad", grads)
    parts: list[Any] = [None] * len(g.parents)
    leaf = g.kind != "op"
    used = 0
    for edge, (child, parent) in enumerate(zip(g.children().tolist(), g.parents.tolist(), strict=True)):
        trace = g.trace[child]
        if parent < 0 or not leaf[parent] or not order[child] or not trace.parts:
            continue
        part = trace.parts[edge - int(g.start[child])]
        if isinstance(part, np.ndarray) and part.size <= 256:
            used += part.nbytes
            if used > budget:
                notes.append("contributions to gradients as norms")
                parts = [None] * len(parts)
                break
            parts[edge] = np.ravel(part)
    pack.exact("part", parts)
    return kept


def _series(record: Record, fold: Fold, pack: Pack, notes: list[str]) -> list[dict[str, Any]]:
    """Values and gradients of units over time, for the heat maps and the text; those of the first example."""
    g = record.graph
    states = set(fold.source[fold.carried].tolist())
    steps = np.unique(np.linspace(0, max(g.steps - 1, 0), min(g.steps, COLUMNS)).astype(int))
    chosen = []
    for role in range(len(fold)):
        row = int(fold.last[role])
        shape = g.shape[row]
        if (
            fold.counts[role] < 2
            or g.t[row] < 0
            or g.kind[row] != "op"
            or not shape
            or 0 in shape
            or shape[-1:] == (1,)
        ):
            continue
        if isinstance(shape[0], tuple) or record.values[row] is None or shape[-1] > 512:
            continue
        gate = g.op[row] in ("sigmoid", "tanh", "relu")
        chosen.append((role not in states, not g.name[row], not gate, role))
    result: list[dict[str, Any]] = []
    cells, found = 0, sorted(chosen)
    of_role = {role: np.flatnonzero(fold.of == role) for *_, role in found[:24]}
    for *_, role in found[:24]:
        units = int(g.shape[int(fold.last[role])][-1])
        at = {int(g.t[i]): int(i) for i in of_role[role].tolist()}
        cells += 2 * units * len(steps)
        if cells > CELLS and result:
            notes.append("heat maps of some ops only")
            break
        key = f"series{role}"
        for kind, source in (("value", record.values), ("grad", record.grads)):
            block = np.full((len(steps), units), np.nan)
            for k, t in enumerate(steps):
                array = source[at[int(t)]] if int(t) in at else None
                if array is not None:
                    block[k] = real(array.reshape(-1, units)[0])
            pack.add(f"{key}_{kind}", block, "f4")
        norms = g.grad[of_role[role]]  # in the order in which the steps ran
        flow = Flow(steps, norms, growth_factor(norms))
        growth = "" if np.isnan(flow.growth) else flow.words
        result.append({"role": role, "units": units, "state": role in states, "growth": growth})
    if result:
        pack.add("series_steps", steps, "i4")
        if len(steps) < g.steps:
            notes.append(f"heat maps of {len(steps)} of {g.steps} steps")
    return result


def _html(header: Mapping[str, Any], blob: bytes, title: str, theme: str) -> bytes:
    def read(name: str) -> str:
        return (files(__package__) / "assets" / name).read_text(encoding="utf-8")

    script_text = "".join(read(f"{name}.js") for name in SCRIPTS)
    page = read("page.html")
    parts = {
        "TITLE": escape(title), "THEME": theme, "CSS": _variables() + read("page.css"), "SCRIPT": script_text,
        "DATA": script("data", dict(header)) + script("arrays", blob),
    }  # fmt: skip
    pieces = page.split("@@")  # text, name, text, name, …
    filled = [parts[piece] if k % 2 else piece for k, piece in enumerate(pieces)]
    return "".join(filled).encode("utf-8", "replace")


def _variables() -> str:
    """The colours of the drawings as CSS variables, light and dark."""

    def block(dark: bool) -> str:
        inks = [f"--{name}:{pair[dark]};" for name, pair in INKS.items()]
        fills = [f"--{k}-fill:{c[2 * dark]};--{k}-line:{c[2 * dark + 1]};" for k, c in COLOURS.items()]
        return "".join(inks + fills)

    return (
        f":root{{{block(False)}color-scheme:light}}"
        f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{{block(True)}color-scheme:dark}}}}"
        f":root[data-theme=dark]{{{block(True)}color-scheme:dark}}\n"
    )


def default_title(graph: Graph) -> str:
    """What a page is called if the user says nothing."""
    layers = [name for name in dict.fromkeys(graph.layer) if name]
    what = " → ".join(layers[:4]) + ("…" if len(layers) > 4 else "") if layers else "computation graph"
    return what + (f", {graph.steps} time steps" if graph.steps else "")
