"""Two scenes of the same view as one: what is new, what has changed, and what is gone, with its arrows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .columns import Graph, along_the_flow
from .diff import aligned
from .scene import SIGNS, Box, Chip, Edge, Scene, shape_text


def merge(scene: Scene, graph: Graph, old: Scene, before: Graph) -> list[str]:
    """Mark in `scene`, a picture of `graph`, what is new or changed since `old`, one of `before`; add what is gone.

    Boxes with the same op, name, layer and time step are the same. Returns what is to be said of it.
    """
    match = aligned([_key(old, b, before) for b in old.boxes], [_key(scene, b, graph) for b in scene.boxes])
    for j, box in enumerate(scene.boxes):
        changes = _changes(old.boxes[match[j]], before, box, graph) if j in match else []
        if changes or j not in match:
            _sign(box, "changed" if changes else "added", ", ".join(changes))
    place = {i: j for j, i in match.items()}  # of the old boxes among those of `scene`
    rank, near = list(range(len(scene.boxes))), 0
    for i, box in enumerate(old.boxes):
        if i not in place:
            place[i] = len(scene.boxes)
            scene.boxes.append(_gone(scene, old, box))
            rank.append(near)  # after what came before it
        near = rank[place[i]]
    _merge_edges(scene, old, place, set(match))
    scene.loose += [(place[i], delay, out) for i, delay, out in old.loose if i not in match.values()]
    titles = {(g.kind, g.layer, g.t): g.title for g in old.groups}
    for group in scene.groups:
        was = titles.get((group.kind, group.layer, group.t), group.title)
        group.title = was if was == group.title else f"{was} → {group.title.split(' ')[-1]}"
    if scene.columns is not None:
        scene.columns = sorted({*scene.columns, *(old.columns or [])})
    scene.total_steps = max(scene.total_steps, old.total_steps)
    _sort(scene, rank)
    counts = [(sum(box.mark == mark for box in scene.boxes), mark) for mark in SIGNS]
    kept = [edge.mark for edge in scene.edges if edge.label[:1] in SIGNS.values()]
    words = [f"{n} {mark}" for n, mark in counts if n]
    words += [f"{n} arrow{'s' * (n > 1)} {mark}" for mark in SIGNS if (n := kept.count(mark))]
    return [", ".join(words) or "no difference"]


def _key(scene: Scene, box: Box, graph: Graph) -> tuple[Any, ...]:
    """What makes a box the same as another one."""
    if box.kind == "layer":
        return "layer", scene.groups[box.group].layer if box.group >= 0 else box.label, box.t
    return box.op, graph.name[box.row], box.layer, box.t, bool(graph.t[box.row] >= 0)


def _sign(box: Box, mark: str, text: str = "") -> None:
    box.mark = mark
    box.before = [Chip(SIGNS[mark], mark, ""), *box.before]
    box.title += f"\n{mark}: {text}" if text else f"\n{mark}"


def _changes(was: Box, before: Graph, box: Box, graph: Graph) -> list[str]:
    """What differs between two boxes that are the same, as "old → new"; it is written into the new one."""
    found = []
    for k, (one, other) in enumerate(zip(was.lines, box.lines, strict=False)):
        if one != other:
            box.lines[k] = f"{one} → {other}"
            found.append(box.lines[k])
    facts = [(shape_text(g.shape[b.row]), str(g.dtype[b.row])) for g, b in ((before, was), (graph, box))]
    more = [f"{x} → {y}" for x, y in zip(*facts, strict=True) if x != y and y not in " ".join(found)]
    if was.badge != box.badge:
        box.badge = f"×{was.count} → ×{box.count}"
        found.append(box.badge)
    a, b = ({c.place: c for c in [*x.before, *x.after] if c.title} for x in (was, box))
    more += [_became(a[k], before, b[k], graph) for k in a if k in b and a[k].title != b[k].title]
    for sign, here, there in (("−", a, b), ("+", b, a)):
        more += [f"{sign} {chip.text}" for k, chip in here.items() if k not in there]
    box.lines += more
    return found + more


def _became(was: Chip, before: Graph, chip: Chip, graph: Graph) -> str:
    """An argument and the one that has taken its place, by the first words that tell them apart."""
    name, *facts = zip(_words(was, before), _words(chip, graph), strict=True)
    if name[0] != name[1]:
        return f"{name[0]} → {name[1]}"
    *sizes, whole = [f"{one} → {other}" if one != other else "" for one, other in facts]
    size = next(filter(None, sizes), "")
    return f"{name[0]} {size}" if size else whole


def _words(chip: Chip, graph: Graph) -> tuple[str, str, str, str]:
    """What an argument is called, its shape and type, and all that is said of it."""
    if chip.kind == "constant":
        return chip.text, "", "", chip.title.rpartition(": ")[2]
    path = chip.title.split("\n")[0]
    return path.rsplit("/", 1)[-1], shape_text(graph.shape[chip.row]), str(graph.dtype[chip.row]), path


def _gone(scene: Scene, old: Scene, box: Box) -> Box:
    """A box of the old scene, in the same frame of the new one."""
    frames, g = [], box.group
    while g >= 0:
        frames.append(old.groups[g])
        g = old.groups[g].parent
    for frame in reversed(frames):
        g = scene.group(frame.title, frame.kind, g, frame.layer, frame.t, frame.row)
    before, after = ([replace(chip, row=-1) for chip in side] for side in (box.before, box.after))
    box = replace(
        box, id=f"removed-{box.id}", row=-1, role=-2 - box.role, group=g, before=before, after=after
    )
    _sign(box, "removed")
    return box


def _merge_edges(scene: Scene, old: Scene, place: dict[int, int], kept: set[int]) -> None:
    """Mark the new arrows and add the old ones; between boxes that stay, the label has the sign."""

    def key(edge: Edge) -> tuple[int, int, bool, str]:
        return edge.source, edge.target, edge.carried, edge.label

    former = [replace(e, source=place[e.source], target=place[e.target], flow=np.nan) for e in old.edges]
    then, now = {key(edge) for edge in former}, {key(edge) for edge in scene.edges}
    gone = [edge for edge in former if key(edge) not in now]
    for mark, edges in (("added", [e for e in scene.edges if key(e) not in then]), ("removed", gone)):
        for edge in edges:
            edge.mark = mark
            if {edge.source, edge.target} <= kept:
                edge.label = f"{SIGNS[mark]} {edge.label}".strip()
    scene.edges += gone


def _sort(scene: Scene, rank: list[int]) -> None:
    """Number the boxes along the flow of old and new arrows, otherwise by rank."""
    pairs = [(e.source, e.target) for e in scene.edges if not e.carried]
    source, target = np.array(pairs, int).reshape(-1, 2).T
    order = along_the_flow(source, target, np.array(rank)).tolist()
    scene.boxes = [box for _, box in sorted(zip(order, scene.boxes, strict=True), key=lambda pair: pair[0])]
    for edge in scene.edges:
        edge.source, edge.target = order[edge.source], order[edge.target]
    scene.loose = [(order[i], delay, out) for i, delay, out in scene.loose]
