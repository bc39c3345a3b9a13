"""A loop that is run twice, before and after something that reads all its steps, gets a row for each pass."""

from __future__ import annotations

import numpy as np

from .columns import along_the_flow
from .scene import Scene


def separate(scene: Scene) -> None:
    """Give the boxes of a step that come after a box outside the steps, which itself reads the loop, a row above.

    Only the unrolled view has such rows. What is fed back from outside in every step stays where it is.
    """
    of = {role: k for k, role in enumerate(dict.fromkeys(box.role for box in scene.boxes))}
    row = [""] * len(of)  # the layer, for roles in the steps
    inside = [False] * len(of)
    for box in scene.boxes:
        if box.group >= 0:
            row[of[box.role]], inside[of[box.role]] = scene.groups[box.group].layer, True
    ends = [
        (of[scene.boxes[e.source].role], of[scene.boxes[e.target].role]) for e in scene.edges if not e.carried
    ]
    source, target = np.array(ends, int).reshape(-1, 2).T
    order = along_the_flow(source, target, np.arange(len(of))).tolist()
    before: list[list[int]] = [[] for _ in of]
    after: list[list[int]] = [[] for _ in of]
    for a, b in set(ends):
        if order[a] < order[b]:
            before[b].append(a)
            after[a].append(b)
    walk = sorted(range(len(of)), key=order.__getitem__)
    seen: list[dict[str, int]] = [
        {} for _ in of
    ]  # per layer: even inside its steps, odd after they were left
    for k in walk:
        for p in before[k]:
            for layer, n in seen[p].items():
                seen[k][layer] = max(seen[k].get(layer, 0), n)
        if inside[k]:
            seen[k][row[k]] = (seen[k].get(row[k], 0) + 1) // 2 * 2
        else:
            seen[k] = {layer: n | 1 for layer, n in seen[k].items()}
    number = [seen[k].get(row[k], 0) // 2 if inside[k] else 0 for k in range(len(of))]
    for k in reversed(walk):  # what is computed for a later pass only belongs to it
        if inside[k] and after[k] and all(inside[j] and row[j] == row[k] for j in after[k]):
            number[k] = max(number[k], min(number[j] for j in after[k]))
    groups, scene.groups = scene.groups, []
    for box in scene.boxes:
        if box.group >= 0:
            g = groups[box.group]
            box.group = scene.group(g.title, g.kind, g.parent, g.layer, g.t, number[of[box.role]])
