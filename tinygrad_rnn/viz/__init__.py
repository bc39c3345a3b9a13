"""Seeing what was recorded: `graph`, `draw_graph`, and `step` for hand-written loops."""

from .columns import Fold, Graph, GraphDiff
from .dot import GraphvizNotFound
from .drawing import Drawing, draw_graph
from .graph import graph, step

__all__ = ["Drawing", "Fold", "Graph", "GraphDiff", "GraphvizNotFound", "draw_graph", "graph", "step"]
