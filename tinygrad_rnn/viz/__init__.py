"""Seeing what was recorded: `graph`, `draw_graph`, and `step` for hand-written loops."""

from .columns import Fold, Graph
from .diff import GraphDiff
from .dot import GraphvizNotFound
from .draw import draw_graph
from .drawing import Drawing
from .graph import graph, step

__all__ = ["Drawing", "Fold", "Graph", "GraphDiff", "GraphvizNotFound", "draw_graph", "graph", "step"]
