"""Seeing what was recorded: `graph`, `draw_graph`, and `step` for hand-written loops."""

from .columns import Fold, Graph, GraphDiff
from .graph import graph, step
