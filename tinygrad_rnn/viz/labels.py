"""Where the labels of arrows go: near the end of the arrow, or further along it where no other label or box is."""

from __future__ import annotations

from collections.abc import Iterator

from .layered import Path, Point
from .scene import SMALL, Scene, text_width

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
