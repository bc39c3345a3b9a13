"""Seeing what was recorded: `graph`, `draw_graph`, plots over time, and `step` for hand-written loops."""

from .columns import Fold, Graph
from .diff import GraphDiff
from .dot import GraphvizNotFound
from .draw import draw_graph
from .drawing import Drawing
from .graph import graph, step
from .plots import plot_activations, plot_gradient_flow, plot_input_gradients
from .training import plot_cost_surface, plot_history

__all__ = [
    "Drawing", "Fold", "Graph", "GraphDiff", "GraphvizNotFound", "draw_graph", "graph", "plot_activations",
    "plot_cost_surface", "plot_gradient_flow", "plot_history", "plot_input_gradients", "step",
]  # fmt: skip
