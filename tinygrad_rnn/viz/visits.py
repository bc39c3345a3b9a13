"""What backward passes left on the nodes of a graph: only that of passes which came from its roots counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.op import Array, Leaf, Node, Port
from ..core.trace import Traced
from .columns import Graph
from .nodes import norm


def of_the_passes(roots: list[Node], nodes: list[Node]) -> list[Traced | None]:
    """What is kept of each node, without what a pass from elsewhere left: it belongs to another graph.

    A leaf as a root says nothing about the graph, as every graph that reads it shares it.
    """
    passes = set()
    for root in roots:
        owner = root.inputs[0] if isinstance(root, Port) and root.inputs else root
        if not isinstance(owner, Leaf) and (kept := getattr(owner, "trace", None)):
            passes.add(id(kept.during))
    found = [getattr(node, "trace", None) for node in nodes]
    return [
        kept.unvisited() if kept and kept.order and id(kept.during) not in passes else kept for kept in found
    ]


def overwritten(graph: Graph) -> bool:
    """Whether another backward pass has replaced gradients that one from the roots of this graph had left."""
    return any(kept is not None and kept.during is not None and not kept.order for kept in graph.trace)


def gradients(nodes: list[Node], records: list[Any]) -> Array:
    """Norms of the gradients: those that a traced backward pass left, otherwise the `.grad` of leaves.

    Beside a traced pass, `.grad` does not stand in for what a later pass has replaced.
    """
    found = [norm(kept.grad) if kept else np.nan for kept in records]
    visited = any(kept is not None and kept.order for kept in records)
    for i, (node, kept) in enumerate(zip(nodes, records, strict=False)):
        replaced = visited and kept is not None and kept.during is not None
        if isinstance(node, Leaf) and np.isnan(found[i]) and not replaced:
            found[i] = norm(node.slot.value)
    return np.array(found, float)
