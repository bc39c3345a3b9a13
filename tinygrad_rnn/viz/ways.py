"""Ways of carried values from column to column: past the boxes, through the gutters between columns."""

from __future__ import annotations

import numpy as np

from ..core.op import Array
from .layered import Path, Point, bent, curve, line

STEP = 9.0  # how far a way keeps from a box, in the gaps between ranks and between boxes


class Ways:
    """Time runs along x, the data of a step along y. `gutters` are the gaps before, between and after the columns.

    `column` tells which column a box stands in.
    """

    def __init__(
        self, at: dict[int, Point], sizes: list[Point], column: dict[int, int], gutters: list[Point]
    ) -> None:
        self.at, self.sizes, self.column, self.gutters = at, sizes, column, gutters
        spans = [(*at[i], *sizes[i]) for i in at]
        x, y, width, height = np.array(spans, float).reshape(-1, 4).T
        self.left, self.right, self.low, self.high = (
            x - width / 2,
            x + width / 2,
            y - height / 2,
            y + height / 2,
        )

    def free(self, y: float, start: float, end: float) -> bool:
        """Whether no box stands on a horizontal line."""
        meets: Array = (self.low < y) & (y < self.high)
        meets &= (self.left < max(start, end)) & (min(start, end) < self.right)
        return not meets.any()

    def _levels(self, near: list[float]) -> list[float]:
        """Heights just below and above boxes, the nearest first."""
        levels = {*(self.low - STEP).tolist(), *(self.high + STEP).tolist()}
        return sorted(levels, key=lambda y: sum(abs(y - other) for other in near))

    def detour(self, x: float, start: float, end: float) -> Path:
        """Corners around the boxes that stand on a vertical line; none if there are none."""
        low, high = min(start, end), max(start, end)

        def on(x: float, low: float, high: float) -> Array:
            return (self.left < x) & (x < self.right) & (self.low < high) & (low < self.high)

        met = on(x, low, high)
        if not met.any():
            return []
        low, high = float(self.low[met].min()) - STEP, float(self.high[met].max()) + STEP
        beside = (self.low < high) & (low < self.high)
        sides = [*(self.left[beside] - STEP).tolist(), *(self.right[beside] + STEP).tolist()]
        other = min((s for s in sides if not on(s, low, high).any()), key=lambda s: abs(s - x))
        corners = [(x, low), (other, low), (other, high), (x, high)]
        return corners if end > start else corners[::-1]

    def way(self, source: int, target: int, delay: int) -> Path:
        """From box to box; −1 stands for a step that is not drawn."""
        sign = 1 if delay > 0 else -1
        if source < 0:
            return self._end(target, -sign, stub=True)[::-1]
        if target < 0:
            return self._end(source, sign, stub=True)
        path, rest = self._end(source, sign), self._end(target, -sign)[::-1]
        goal, heights = rest[0], [path[-1][1], rest[0][1]]
        first = self.column[source] + (sign > 0)  # the gutters beside the two columns
        last = self.column[target] + (sign < 0)
        far, near = self.gutters[first][sign > 0], self.gutters[last][sign < 0]
        if first != last:  # past the columns between them, where there is room
            y = next(y for y in [*heights, *self._levels(heights)] if self.free(y, far, near))
            self._change(path, (far, y))
            line(path, (near, y))
        self._change(path, goal)
        return path + rest[1:]

    def _change(self, path: Path, end: Point) -> None:
        """Go to another height inside a gutter."""
        middle = ((path[-1][0] + end[0]) / 2, path[-1][1])
        corners = self.detour(middle[0], middle[1], end[1])
        if corners:
            path += bent([path[-1], middle, *corners, (middle[0], end[1]), end])[1:]
        else:
            curve(path, end)

    def _end(self, box: int, side: int, stub: bool = False) -> Path:
        """From the side of a box into the gutter beside its column; a stub ends there."""
        x, y = self.at[box]
        door = x + side * self.sizes[box][0] / 2
        rim = self.gutters[self.column[box] + (side > 0)][side < 0]
        path: Path = [(door, y)]
        if not self.free(y, door + side, rim):
            turn = door + side * STEP
            level = next(
                level for level in self._levels([y])
                if self.free(level, turn, rim) and not self.detour(turn, y, level)
            )  # fmt: skip
            path = bent([(door, y), (turn, y), (turn, level), (rim, level)])
        line(path, (rim + side * 24 * stub, path[-1][1]))
        return path
