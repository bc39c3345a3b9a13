"""Seeing what was recorded: `graph`, `draw_graph`, `inspect_graph`, and `step` for hand-written loops."""

from .columns import Fold, Graph
from .diff import GraphDiff
from .dot import GraphvizNotFound
from .draw import draw_graph
from .drawing import Drawing
from .graph import graph, step
from .inspect import inspect_graph
from .report import Report

__all__ = [
    "Drawing", "Fold", "Graph", "GraphDiff", "GraphvizNotFound", "Report", "draw_graph", "graph", "inspect_graph",
    "step",
]  # fmt: skip
