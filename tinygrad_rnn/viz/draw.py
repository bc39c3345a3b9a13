"""`draw_graph`: which view, how much of it, and what the note says."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..config import enable_grad, floatx
from ..config import unrolled as unrolled_mode
from ..core.op import Array
from ..core.tensor import Tensor, tensor
from ..core.trace import trace
from .colours import paint
from .columns import Fold, Graph, chosen_steps, cut, same_step
from .drawing import Drawing
from .graph import snapshot
from .layout import TURNS
from .merge import merge
from .overview import overview
from .passes import separate
from .scene import SIGNS, Scene
from .views import Style, folded, spans, unrolled

VIEWS = ("auto", "folded", "unrolled", "layers")
SHOW = ("shape", "name", "dtype", "value", "grad", "site", "bytes")
LEGEND = ("input", "parameter", "constant", "op", "layer", "output", "added", "changed", "removed")


def draw_graph(
    target: Any,
    inputs: Any = None,
    *,
    view: str = "auto",
    steps: Any = None,
    depth: int | None = None,
    show: Any = ("shape", "name"),
    color_by: str | None = None,
    direction: str = "LR",
    params: str = "chip",
    names: Mapping[str, Any] | None = None,
    max_nodes: int = 400,
    theme: str = "auto",
    diff: Any = None,
    path: Any = None,
) -> Drawing:
    """Draw what was recorded.

    `target` is a Tensor, several (list, tuple, dict), a `Graph`, or a layer or model; the latter is called on
    `inputs` (a cell also on states of zeros). `view`: "folded" (one cell per recurrence, dashed arrows carry
    values to the next step), "unrolled" (a column per time step, `steps` chooses them, `depth` draws one box per
    layer and step), "layers" (a box per layer, `depth` parts of the path), or "auto": everything if that is at
    most `max_nodes` boxes, else folded, else layers.

    `show` lists what the boxes tell: "shape", "name" (or the user's expression), "dtype", "value" (norm, where it
    was kept), "grad" (norm), "site" (line of code), "bytes". `color_by`: "layer", "time", "value", or "grad", where
    the arrows turn round and show what flows back. Gradients inside the graph, expressions and lines are known of
    what was recorded, and differentiated, inside `trace()`. `direction` ("LR", "TB", "RL", "BT") is that of the
    data, or of time in the unrolled view. `params`: weights inside the boxes that read them ("chip"), as boxes
    ("node"), or not at all ("hide"). `names` gives names to tensors, e.g. `locals()`.
    `diff` is an older target to compare with, in the folded view unless another one is asked for: boxes and arrows
    are marked as added (+), removed (−, dashed) or changed (~, with "old → new"); each of the two graphs gets half
    of `max_nodes`. `path` saves the picture at once.

    Raises `TypeError` for what is no tensor, `ValueError` for an unknown option, a freed graph, steps out of
    range, an unbuilt model without inputs, and `color_by="grad"` before `backward`.

    >>> from tinygrad_rnn import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> picture = draw_graph((x * x).sum())
    >>> picture.shown, picture.note
    (3, '3 nodes, all shown')
    """
    shown = _check(view, show, color_by, direction, params, max_nodes, theme, depth)
    graph = _with_nan(_graph_of(target, inputs, names, shown))
    if color_by == "grad" and np.isnan(graph.grad).all():
        raise ValueError("draw_graph: color_by='grad', but no leaf has a gradient; call backward() first")
    if "value" in shown and len(graph) and np.isnan(graph.value).all():
        raise ValueError("draw_graph: this Graph was taken without values; hand over the tensors instead")
    if "site" in shown and not any(graph.site):
        raise ValueError("draw_graph: lines of code are known of what was recorded inside tg.trace() only")
    style = Style(shown, params, graph.value, graph.grad)
    most, old = max_nodes, None
    if diff is not None:
        view = "folded" if view == "auto" else view
        most, old = max(1, max_nodes // 2), _graph_of(diff, inputs, names, frozenset())
    if steps is not None and view != "unrolled":
        graph, old = graph.select(steps=steps), old and old.select(steps=steps)
        style.value, style.grad = graph.value, graph.grad
    if old is None:
        scene, view, notes = _scene(graph, view, steps, depth, style, most)
    else:
        scene, view, notes = _compared(graph, old, view, steps, depth, style, most)
    for box in scene.boxes:
        box.lines = [line.replace("‖ = inf", "‖ not finite") for line in box.lines]
        for chip in [*box.before, *box.after]:
            chip.text = chip.text.replace("‖ = inf", "‖ not finite")
    scene.backward = color_by == "grad"
    palette = paint(scene, graph, color_by, style) if color_by else []
    if color_by == "grad" and not graph.order.any():
        notes.append("gradients of leaves only; the others are kept by a backward pass inside tg.trace()")
    kinds = {box.mark or box.kind for box in scene.boxes} | {
        c.kind for b in scene.boxes for c in [*b.before, *b.after]
    }
    scene.legend = [(kind, f"{SIGNS.get(kind, '')} {kind}".strip()) for kind in LEGEND if kind in kinds]
    scene.legend += palette
    if any(e.carried for e in scene.edges) or scene.loose:
        scene.legend.append((scene.carry, "carried to another step"))
    if not np.any(graph.kind == "op"):
        notes.append(
            "a tensor that was not recorded (made under no_grad, or from nothing that requires a gradient)"
            if "constant" in graph.kind
            else "a leaf: nothing was computed"
        )
    notes = [_count(graph, scene), *notes]
    result = Drawing(graph, scene, view, "; ".join(notes), direction, theme)
    if path is not None:
        result.save(path)
    return result


def _check(
    view: str,
    show: Any,
    color_by: str | None,
    direction: str,
    params: str,
    max_nodes: int,
    theme: str,
    depth: Any,
) -> frozenset[str]:
    """Refuse unknown options; return what the boxes show."""
    wanted = (show,) if isinstance(show, str) else tuple(show)
    options = [
        ("view", view, VIEWS),
        *(("show", s, SHOW) for s in wanted),
        ("color_by", color_by, (None, "layer", "time", "value", "grad")),
        ("direction", direction, tuple(TURNS)),
        ("params", params, ("chip", "node", "hide")),
        ("theme", theme, ("auto", "light", "dark")),
    ]
    for name, value, known in options:
        if value not in known:
            choice = ", ".join(map(repr, known))
            raise ValueError(
                f"draw_graph: {name}={value!r} is unknown; expected {choice}{_closest(value, known)}"
            )
    if not isinstance(max_nodes, int) or max_nodes < 1:
        raise ValueError(f"draw_graph: max_nodes must be a positive integer, received {max_nodes!r}")
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise ValueError(f"draw_graph: depth must be a positive integer, received {depth!r}")
    return frozenset([*wanted, color_by]) & set(SHOW)


def _closest(value: Any, known: Any) -> str:
    found = get_close_matches(str(value), [str(k) for k in known if k], n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def _graph_of(target: Any, inputs: Any, names: Mapping[str, Any] | None, shown: frozenset[str]) -> Graph:
    if isinstance(target, Graph):
        return target
    if callable(target) and (hasattr(target, "weights") or hasattr(target, "variables")):
        fed = inputs_of(target, inputs)
        sites = trace() if "site" in shown else nullcontext()
        with enable_grad(), unrolled_mode(), sites:  # the steps one by one
            result = target(fed, *_states_of(target, fed))
        weights = getattr(target, "weights", None) or getattr(target, "variables", None)  # built by now
        return snapshot(result, names, weights or (), "value" in shown)
    if inputs is not None:
        raise TypeError(
            f"draw_graph: inputs are for a layer or model; the target is a {type(target).__name__}"
        )
    return snapshot(target, names, (), "value" in shown)


def _with_nan(graph: Graph) -> Graph:
    """Norms are NaN where nothing is known; infinite where an array is known and holds a NaN."""

    def column(what: str) -> Array:
        norms = getattr(graph, what)
        kept = np.array([getattr(record, what, None) is not None for record in graph.trace], bool)
        return np.where(kept & np.isnan(norms), np.inf, norms)

    return replace(graph, value=column("value"), grad=column("grad"))


def inputs_of(model: Any, inputs: Any) -> Any:
    """The inputs as tensors, recorded if they are floats, so that they are seen; named as in the model."""
    name = getattr(model, "name", type(model).__name__)
    if inputs is None:
        shape = getattr(model, "input_shape", None)
        if (
            not getattr(model, "built", True)
            or not isinstance(shape, tuple)
            or not all(n is None or isinstance(n, int) for n in shape)
        ):
            raise ValueError(
                f"draw_graph: {name!r} has no graph without inputs: call draw_graph(model, x) with an array "
                "x (batch, time, features) or whatever the model takes"
            )
        inputs = np.zeros([(3 if k else 1) if n is None else n for k, n in enumerate(shape)], floatx())

    known = getattr(model, "input_names", None) or []  # "input": `Input` was given no name

    def feed(value: Any, label: str) -> Any:
        if isinstance(value, Mapping):
            return {k: feed(v, str(k)) for k, v in value.items()}
        if isinstance(value, (list, tuple)) and any(hasattr(v, "shape") for v in value):
            several = known if value is inputs and len(known) == len(value) else ["input"] * len(value)
            labels = [f"{label}_{k}" if name == "input" else name for k, name in enumerate(several)]
            return type(value)([feed(v, text) for v, text in zip(value, labels, strict=True)])
        if isinstance(value, Tensor) and value.requires_grad:
            return value
        data = tensor(value)
        return tensor(data, requires_grad=True, name=label) if data.dtype.kind in "fc" else data

    return feed(inputs, known[0] if len(known) == 1 and known[0] != "input" else "x")


def _states_of(target: Any, inputs: Any) -> list[Any]:
    """For a cell its states of the step before, as one argument: zeros that are seen; for other layers nothing."""
    if not hasattr(target, "state_size") or hasattr(target, "cell"):
        return []
    names = iter(("h_prev", "c_prev", *map("state_{}".format, range(2, 1000))))

    def zeros(size: Any) -> Any:
        if isinstance(size, (list, tuple)):
            return [zeros(n) for n in size]
        return tensor(np.zeros((inputs.shape[0], size), inputs.dtype), requires_grad=True, name=next(names))

    size = target.state_size
    return [zeros(size if isinstance(size, (list, tuple)) else [size])]


def _scene(
    graph: Graph, view: str, steps: Any, depth: int | None, style: Style, max_nodes: int
) -> tuple[Scene, str, list[str]]:
    """Choose the view, and what is left out, so that at most `max_nodes` boxes remain."""
    notes: list[str] = []
    labels = same_step(graph)
    fold = Fold(graph, labels)
    if view == "auto":
        boxes = len(graph) - (int(np.sum(graph.kind == "parameter")) if style.params != "node" else 0)
        view = "folded" if graph.steps < 2 or boxes > max_nodes else "unrolled"
        steps = slice(None) if view == "unrolled" else None
    if view == "unrolled":
        if graph.steps == 0:
            notes.append("no time steps were recorded")
        if style.params == "node" and len(graph) > 120:
            style.params = "chip"
            notes.append("more than 120 nodes: parameters are drawn inside their readers")
        columns = _columns(graph, steps, max_nodes, depth)
        if columns or not graph.steps:
            scene = unrolled(graph, fold, style, columns, depth)
            separate(scene)
            if len(scene.boxes) <= max_nodes:
                if len(columns) < graph.steps:
                    notes.append(f"steps {', '.join(map(str, columns))} of {graph.steps}")
                return scene, view, notes
        notes.append(f"one step alone has more than {max_nodes} boxes")
        view = "folded"
    if view == "folded":
        if len(fold) <= 4 * max_nodes:
            style.value, style.grad = fold.norms(graph.value), fold.norms(graph.grad)
            scene = folded(graph, fold, style, depth)
            if len(scene.boxes) <= max_nodes:
                if graph.steps > 1:
                    most, *others = map(_spaced, spans(graph))
                    less = "".join(
                        [f" and {n}" for n in others] if len(others) < 2 else [f" to {others[-1]}"]
                    )
                    notes.append(f"folded over {most}{less} steps")
                return scene, view, notes
        view = "layers"
    scene, _, note = overview(graph, labels, style, max_nodes, depth)
    if note:
        hint = "record a loop inside tg.trace(), or mark its steps with tg.step(t), to fold it"
        notes += [note] if graph.steps else [note, hint]
    return scene, view, notes


def _compared(
    graph: Graph, old: Graph, view: str, steps: Any, depth: int | None, style: Style, most: int
) -> tuple[Scene, str, list[str]]:
    """The same, with what differs from an older graph, in a view that has room for both."""
    older = Style(style.show - {"value", "grad", "site"}, style.params, old.value, old.grad)
    shown = {id(g): steps for g in (graph, old)}
    if view == "unrolled":
        columns = _columns(max(graph, old, key=lambda g: g.steps), steps, most, depth)
        shown = {id(g): [t for t in columns if t < g.steps] or steps for g in (graph, old)}
    while True:
        scene, view, notes = _scene(graph, view, shown[id(graph)], depth, style, most)
        older.params = style.params
        was, coarser, _ = _scene(old, view, shown[id(old)], depth, older, most)
        if (coarser, older.params) == (view, style.params):
            return scene, view, notes + merge(scene, graph, was, old)
        view, style.params = coarser, older.params


def _columns(graph: Graph, steps: Any, max_nodes: int, depth: int | None) -> list[int]:
    """The time steps to draw: those asked for, or the first and the last few; as many as may be shown."""
    total = graph.steps
    op = graph.kind != "parameter"
    outside = int(np.sum(op & (graph.t < 0)))
    timed = np.flatnonzero(op & (graph.t >= 0))
    boxes = {(int(graph.t[i]), (depth and cut(graph.layer[i], depth)) or i) for i in timed.tolist()}
    per_step = np.bincount([t for t, _ in boxes], minlength=max(total, 1))
    room = (max_nodes - outside) // max(int(per_step.max(initial=1)), 1)
    wanted: list[int] = np.unique(graph.t[graph.t >= 0]).tolist()
    if steps is not None:
        chosen = chosen_steps(steps, total)
        wanted = [t for t in wanted if t in chosen]
    else:
        rows = max(len(set(graph.layer[graph.t >= 0])), 1)
        ends = 2 if per_step.max(initial=0) / rows > 7 and not depth else 3
        wanted = wanted if len(wanted) <= 2 * ends + 1 else wanted[:ends] + wanted[-ends:]
    if len(wanted) > room:
        half = max(room, 0) // 2
        wanted = wanted[: max(room, 0) - half] + (wanted[-half:] if half else [])
    return wanted


def _count(graph: Graph, scene: Scene) -> str:
    chips = {c.row for b in scene.boxes for c in [*b.before, *b.after] if c.row >= 0}
    total, boxes = len(graph), sum(box.mark != "removed" for box in scene.boxes)
    nodes = f"{_spaced(total)} node{'s' * (total != 1)}"
    if boxes + len(chips) == total and all(b.count == 1 for b in scene.boxes):
        inside = f" ({len(chips)} of them parameters inside boxes)" if chips else ""
        return f"{nodes}, all shown{inside}"
    return f"{nodes}: {boxes} shown"


def _spaced(n: int) -> str:
    return f"{n:,}".replace(",", " ")
