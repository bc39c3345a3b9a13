"""Seeing what was recorded: `graph`, `draw_graph`, `inspect_graph`, plots over time, and `step` for loops."""

from .columns import Fold, Graph
from .diff import GraphDiff
from .dot import GraphvizNotFound
from .draw import draw_graph
from .drawing import Drawing
from .graph import graph, step
from .inspect import inspect_graph
from .plots import plot_activations, plot_gradient_flow, plot_input_gradients
from .report import Report
from .training import plot_cost_surface, plot_history

__all__ = [
    "Drawing", "Fold", "Graph", "GraphDiff", "GraphvizNotFound", "Report", "draw_graph", "graph",
    "inspect_graph", "plot_activations", "plot_cost_surface", "plot_gradient_flow", "plot_history",
    "plot_input_gradients", "step",
]  # fmt: skip
