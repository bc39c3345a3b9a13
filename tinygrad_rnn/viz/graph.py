"""Snapshot of a recorded graph, `graph(*tensors)`; `step(t)` marks the time steps of a hand-written loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..config import mode, switched
from ..core.op import Array, Leaf, Node, Port, Spec
from ..core.tensor import Tensor
from .columns import Graph


def step(t: int) -> Any:
    """Context manager: what is recorded inside belongs to time step `t`, so that a hand-written loop folds.

    The layer stays that of the surroundings. Raises `ValueError` unless `t` is an integer ≥ 0.

    >>> from tinygrad_rnn import ops, tensor
    >>> h = tensor([0.5], requires_grad=True)
    >>> for t in range(9):
    ...     with step(t):
    ...         h = ops.tanh(h * h)
    >>> graph(h).fold().counts.tolist()
    [1, 9, 9]
    """
    if isinstance(t, bool) or not isinstance(t, (int, np.integer)) or t < 0:
        raise ValueError(f"step: expected a time step 0, 1, 2, …, received {t!r}")
    return switched(scope=mode().scope._replace(t=int(t)))


def graph(*roots: Any) -> Graph:
    """Snapshot of everything the given tensors were computed from.

    `roots` are Tensors, or lists, tuples or dicts of them (the keys become names). Raises `TypeError` for
    anything else and `ValueError` if a backward pass has freed the graph.

    >>> from tinygrad_rnn import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> g = graph((x * x).sum())
    >>> len(g), g.op.tolist(), g.parents.tolist()
    (3, ['leaf', 'multiply', 'sum'], [0, 0, 1])
    """
    return snapshot(roots)


def snapshot(
    roots: Any, names: Mapping[str, Any] | None = None, parameters: Iterable[Any] = (), values: bool = False
) -> Graph:
    """`graph` with names for tensors, the tensors known to be parameters, and optionally value norms."""
    pairs = tensors_of(roots)
    tops = [tensor._node for tensor, _ in pairs if tensor._node is not None]
    nodes = _reach(tops)
    row = {node: i for i, node in enumerate(nodes)}
    loose = [tensor for tensor, _ in pairs if tensor._node is None]
    count, n = len(nodes), len(nodes) + len(loose)

    start = np.zeros(n + 1, np.int64)
    parents: list[int] = []
    port: list[int] = []
    constants: dict[int, Any] = {}
    slot = np.full(n, -1)
    ranks: dict[Any, int] = {}
    for i, node in enumerate(nodes):
        for parent in node.inputs or ():
            if isinstance(parent, Port):
                port.append(parent.index)
                parents.append(row[parent.inputs[0]])  # type: ignore[index]
            else:
                port.append(-1)
                parents.append(-1 if parent is None else row[parent])
        start[i + 1] = len(parents)
        if not isinstance(node, Leaf):
            slot[i] = ranks[node.scope] = ranks.get(node.scope, -1) + 1
            if None in (node.inputs or ()):
                constants[i] = _constants(node)
    start[count:] = len(parents)

    labels: dict[int, str] = {}
    port_names: dict[tuple[int, int], str] = {}
    given = [(v._node, str(k)) for k, v in (names or {}).items() if isinstance(v, Tensor)]
    for node_, label in [*given, *((v._node, k) for v, k in pairs if k)]:
        if isinstance(node_, Port) and node_.inputs and node_.inputs[0] in row:
            port_names[row[node_.inputs[0]], node_.index] = label
        elif node_ in row:
            labels.setdefault(row[node_], label)
    weights = {id(p._node) for p in parameters if isinstance(p, Tensor)}
    t = [-1 if node.scope.t is None else node.scope.t for node in nodes]
    kind = [_kind(node, id(node) in weights) for node in nodes]
    every: list[Any] = [*nodes, *loose]
    result = Graph(
        op=_column([*(node.op.name for node in nodes), *("constant" for _ in loose)]),
        layer=_column([*(node.scope.layer for node in nodes), *("" for _ in loose)]),
        t=np.array(t + [-1] * len(loose), np.int64), slot=slot,
        shape=_column([x.shape for x in every]), dtype=_column([str(x.dtype) for x in every]),
        name=_column([labels.get(i) or x.name for i, x in enumerate(every)]),
        kind=_column(kind + ["constant"] * len(loose)),
        nbytes=np.array([_size(x.shape) * x.dtype.itemsize for x in every], np.int64),
        grad=np.array([_norm(x.slot.value) if isinstance(x, Leaf) else np.nan for x in every], float),
        value=_values(nodes, pairs, row, n) if values else np.full(n, np.nan),
        start=start, parents=np.array(parents, np.int64), port=np.array(port, np.int64),
        constants=constants, port_names=port_names,
        roots=tuple(dict.fromkeys([*(row[_owner(node)] for node in tops), *range(count, n)])),
    )  # fmt: skip
    _settle_leaves(result)
    for name in Graph.__slots__:
        if isinstance(column := getattr(result, name), np.ndarray):
            column.flags.writeable = False
    return result


def tensors_of(target: Any) -> list[tuple[Tensor, str | None]]:
    """The Tensors in a nest of lists, tuples and dicts, with the key they stood under."""
    found: list[tuple[Tensor, str | None]] = []
    stack: list[tuple[Any, str | None]] = [(target, None)]
    while stack:
        item, key = stack.pop()
        if isinstance(item, Tensor):
            found.append((item, key))
        elif isinstance(item, Mapping):
            stack += [(value, str(k)) for k, value in reversed(list(item.items()))]
        elif isinstance(item, (list, tuple)):
            stack += [(value, key) for value in reversed(item)]
        else:
            hint = ""
            if isinstance(item, (np.ndarray, np.generic)):
                hint = "; an array has no graph: compute with tg.tensor(x, requires_grad=True) instead"
            raise TypeError(f"graph: expected a Tensor, or several, received {type(item).__name__}{hint}")
    if not found:
        raise ValueError("graph: expected at least one Tensor, received none")
    return found


def _reach(stack: list[Node]) -> list[Node]:
    """Every node that the given ones depend on, parents first, without ports."""
    stack = list(map(_owner, stack))
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.inputs is None:
            raise _freed(node)
        for parent in node.inputs:
            parent = parent if parent is None else _owner(parent)
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.seq)


def _owner(node: Node) -> Node:
    """The op itself for one of its several outputs."""
    if not isinstance(node, Port):
        return node
    if node.inputs is None or node.inputs[0] is None:
        raise _freed(node)
    return node.inputs[0]


def _freed(node: Node) -> ValueError:
    return ValueError(
        f"graph: the graph of this tensor was freed by an earlier backward pass (at op '{node.op.name}'); "
        "call backward(retain_graph=True), or take the graph before it"
    )


def _column(values: list[Any]) -> Array:
    return np.fromiter(values, dtype=object, count=len(values))


def _size(shape: Any) -> int:
    """Number of elements of one shape, or of several (an op with several outputs)."""
    several = bool(shape) and isinstance(shape[0], tuple)
    return sum(map(_size, shape)) if several else math.prod(shape)


def _norm(value: Any) -> float:
    return np.nan if value is None else float(np.linalg.norm(np.asarray(value, dtype=np.float64)))


def _kind(node: Node, weight: bool) -> str:
    if not isinstance(node, Leaf):
        return "op"
    return "parameter" if weight or node.variable else "input"


def _constants(node: Node) -> tuple[tuple[int, tuple[int, ...] | None, str], ...]:
    """Position, shape and (if it is one number) text of the arguments that were not recorded.

    The shape is None where the op did not keep the value.
    """
    found: list[tuple[int, tuple[int, ...] | None, str]] = []
    saved = (node.saved or ())[1:]
    for i, parent in enumerate(node.inputs or ()):
        value: Any = saved[i] if i < len(saved) else None
        if parent is None and value is None:
            found.append((i, None, ""))
        elif parent is None:
            number = not isinstance(value, Spec) and np.size(value) == 1
            text = f"{np.asarray(value).item():.4g}" if number else ""
            found.append((i, value.shape if isinstance(value, Spec) else np.shape(value), text))
    return tuple(found)


def _values(nodes: list[Node], pairs: list[tuple[Tensor, str | None]], row: dict[Node, int], n: int) -> Array:
    """Norms of the values that the graph kept for its backward pass."""
    norms = np.full(n, np.nan)
    for tensor, _ in pairs:
        if tensor._node in row:
            norms[row[tensor._node]] = _norm(tensor._data)
    for i, node in enumerate(nodes):
        saved = node.saved or ()
        if saved and isinstance(saved[0], np.ndarray) and np.isnan(norms[i]):
            norms[i] = _norm(saved[0])
        for parent, value in zip(node.inputs or (), saved[1:], strict=False):
            if parent in row and isinstance(value, np.ndarray) and np.isnan(norms[row[parent]]):
                norms[row[parent]] = _norm(value)
    norms[len(nodes) :] = [_norm(tensor._data) for tensor, _ in pairs if tensor._node is None]
    return norms


def _settle_leaves(g: Graph) -> None:
    """Give a leaf that only one step reads the layer and time of that step."""
    child, real = g.children(), g.parents >= 0
    place = {key: i for i, key in enumerate(dict.fromkeys(zip(g.layer, g.t, strict=True)))}
    code = np.array([place[key] for key in zip(g.layer, g.t, strict=True)], np.int64)
    low, high = np.full(len(g), len(place)), np.full(len(g), -1)
    np.minimum.at(low, g.parents[real], code[child[real]])
    np.maximum.at(high, g.parents[real], code[child[real]])
    keys = list(place)
    for i in np.flatnonzero((g.kind != "op") & (low == high)):
        if keys[low[i]][1] >= 0 and i not in g.roots:
            g.layer[i], g.t[i] = keys[low[i]]
