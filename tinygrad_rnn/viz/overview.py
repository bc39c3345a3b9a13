"""The layers view of a graph of any size: what is too much for it is put together."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..core.op import Array
from .columns import Fold, Graph, by_layer
from .scene import Scene
from .views import Style, layers


def overview(
    graph: Graph, labels: Array, style: Style, most: int, depth: int | None = None
) -> tuple[Scene, Fold, str]:
    """A scene of at most `most` boxes, the partition that it shows, and what was put together, or "".

    One box per layer; ops outside layers are folded over time by `labels`, those of `same_step`. If that is too
    much, these ops are put together by name, then layers by the first part of their path, then everything.
    """
    sizes = {int(i): math.prod(graph.shape[i]) for i in np.flatnonzero(graph.kind == "parameter")}

    def attempts() -> Iterator[tuple[Fold, int | None, str]]:
        by_name = "ops outside layers are put together by name"
        for by_op, deep, note in ((False, depth, ""), (True, depth, by_name), (True, 1, by_name)):
            yield Fold(graph, by_layer(graph, labels, deep, by_op)), deep, note
        note = f"everything is put together: no view has at most {most} boxes"
        yield Fold(graph, np.zeros(len(graph), np.int64)), 1, note

    def scenes() -> Iterator[tuple[Scene, Fold, str]]:
        for fold, deep, note in attempts():
            if len(fold) <= 4 * most:  # weights get no box of their own
                style.value, style.grad = fold.norms(graph.value), fold.norms(graph.grad)
                yield layers(graph, fold, style, deep, sizes), fold, note

    return next(found for found in scenes() if len(found[0].boxes) <= most)
