"""What the boxes of layers hold: small scenes, cut out of the folded one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .columns import Graph
from .scene import Box, Scene


@dataclass
class Inside:
    """The scene inside the box called `id`; `entries` and `exits` are what reads from outside, and is read there."""

    id: str
    scene: Scene
    roles: list[list[int]]
    entries: set[int] = field(default_factory=set)
    exits: set[int] = field(default_factory=set)


def insides(graph: Graph, whole: Scene, outer: Scene, roles: list[list[int]]) -> Iterator[Inside]:
    """The inside of every layer with several ops; what repeats in its steps is one box, whose inside comes before.

    `whole` is the folded scene, `outer` that of the layers, `roles` the folded nodes of each box of the latter.
    """
    place = {int(box.id[1:]): i for i, box in enumerate(whole.boxes)}
    for box, own in zip(outer.boxes, roles, strict=True):
        members = sorted(place[role] for role in own if role in place)
        if box.kind != "layer" or len(members) < 2:
            continue
        timed = [i for i in members if graph.t[whole.boxes[i].row] >= 0]
        step = Box(
            f"s{box.id[1:]}",
            "layer",
            "step",
            box.layer,
            -1,
            "every step",
            f"one time step of {box.label}",
            -1,
        )
        step.lines = [f"×{graph.steps}", f"{len(timed)} ops"]
        if len(timed) > 1:
            yield _cut(whole, step.id, [(whole.boxes[i], [i]) for i in timed])
        else:
            timed = []
        parts = [(whole.boxes[i], [i]) for i in members if i not in timed]
        before = [i for i in members if timed and i < timed[0]]
        yield _cut(
            whole, box.id, [*parts[: len(before)], *([(step, timed)] if timed else []), *parts[len(before) :]]
        )


def _cut(whole: Scene, id: str, parts: list[tuple[Box, list[int]]]) -> Inside:
    """The scene of some boxes, each for one or several of the whole, and the edges between them."""
    boxes = [replace(box, group=-1) for box, _ in parts]
    roles = [[int(whole.boxes[i].id[1:]) for i in members] for _, members in parts]
    result = Inside(id, Scene(boxes, total_steps=whole.total_steps), roles)
    at = {i: k for k, (_, members) in enumerate(parts) for i in members}
    seen: set[tuple[int, int, str]] = set()
    for edge in whole.edges:
        a, b = at.get(edge.source), at.get(edge.target)
        if b is not None and a is None:
            result.entries.add(b)
        elif a is not None and b is None:
            result.exits.add(a)
        elif a is not None and b is not None and (a != b or edge.carried):
            if (a, b, edge.label) not in seen:
                result.scene.edges.append(replace(edge, source=a, target=b))
                seen.add((a, b, edge.label))
    return result
