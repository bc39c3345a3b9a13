"""Where the labels of arrows go, and the titles of frames: where nothing else is.

A label stands near the end of its arrow, or further along it; a title at the left, or further right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..core.op import Array
from .layered import Path, Point
from .scene import FONT, SMALL, Scene, text_width

if TYPE_CHECKING:  # `layout` imports this file
    from .layout import Placement

ALONG = (0.5, 0.35, 0.65, 0.22, 0.78)  # of a piece of an arrow


def settle(
    scene: Scene, labels: dict[int, Point], paths: dict[int, Path], boxes: list[tuple[Point, Point]]
) -> None:
    """Add to `labels` the places that are missing; `boxes` are centres and sizes."""
    taken: list[tuple[float, float, float, float]] = []  # left, right, top, bottom

    def room(e: int, at: Point) -> tuple[float, float, float, float]:
        half = text_width(scene.edges[e].label, SMALL) / 2 + 1
        return at[0] - half, at[0] + half, at[1] - 6, at[1] + 6

    def free(rect: tuple[float, float, float, float]) -> bool:
        left, right, top, bottom = rect
        return not any(a < right and left < b and c < bottom and top < d for a, b, c, d in taken)

    taken += [room(e, at) for e, at in labels.items()]
    taken += [(x - w / 2, x + w / 2, y - h / 2, y + h / 2) for (x, y), (w, h) in boxes]
    for e in sorted(paths):
        if scene.edges[e].label and e not in labels:
            at = next((p for p in spots(paths[e]) if free(room(e, p))), near_end(paths[e]))
            labels[e] = at
            taken.append(room(e, at))


def beside(scene: Scene, placed: Placement) -> dict[int, float]:
    """Where the titles of frames begin which an arrow would strike through at the left: right of the arrow."""
    ends = [(x + k * text_width(scene.edges[e].label, SMALL) / 2, y)
            for e, (x, y) in placed.labels.items() for k in (-1, 0, 1)]  # fmt: skip
    points = np.concatenate([np.array(ends).reshape(-1, 2), *map(_along, placed.paths.values())])
    result = {}
    for g, (left, top, right, _) in placed.frames.items():
        width = text_width(scene.groups[g].title, FONT)
        strip = points[(points[:, 1] > top + 2) & (points[:, 1] < top + 20), 0]
        for start in [left + 10, *np.sort(strip[strip > left] + 8)]:
            if start + width < right and not np.any((strip > start - 6) & (strip < start + width + 6)):
                if start > left + 10:
                    result[g] = float(start)
                break
    return result


def _along(path: Path) -> Array:
    """Points on a path, close to one another (n, 2)."""
    pieces = np.array([path[k : k + 4] for k in range(0, len(path) - 3, 3)], float).reshape(-1, 4, 2)
    length = np.abs(np.diff(pieces, axis=1)).sum(axis=(1, 2)).max(initial=1.0)
    t = np.linspace(0, 1, int(length / 4) + 2)
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    points: Array = np.einsum("kt,pkc->ptc", weights, pieces).reshape(-1, 2)
    return points


def near_end(path: Path) -> Point:
    """The middle of the last piece of a path that is long enough for a label."""
    return next(spots(path))


def spots(path: Path) -> Iterator[Point]:
    """Places for a label on a path, the best first: on its last long piece, then on those before."""
    pieces = [path[k : k + 4] for k in range(0, len(path) - 3, 3)]
    long = [p for p in pieces if abs(p[0][0] - p[3][0]) + abs(p[0][1] - p[3][1]) > 30]
    for piece in reversed(long or pieces):
        for t in ALONG:
            parts = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
            x, y = (sum(part * p[k] for part, p in zip(parts, piece, strict=True)) for k in (0, 1))
            yield x, y
