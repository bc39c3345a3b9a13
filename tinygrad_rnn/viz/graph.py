"""Snapshot of a recorded graph, `graph(*tensors)`; `step(t)` marks the time steps of a hand-written loop."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..config import mode, switched
from ..core.op import Array, Leaf, Node, Port
from ..core.tensor import Tensor
from ..core.trace import USER, Path, where
from .columns import Graph
from .loops import Paths, Walk
from .nodes import Reader, constants_of, kind_of, norm, size_of
from .sites import assigned, line_of, origin, text_of
from .steps import Edges, Steps
from .visits import gradients, of_the_passes


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


@contextmanager
def _without_collector() -> Iterator[None]:
    """A snapshot makes millions of objects and no cycle: looking for cycles among them takes most of the time.

    Norms of huge values overflow to infinity without a word.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        with np.errstate(over="ignore"):
            yield
    finally:
        if enabled:
            gc.enable()


@_without_collector()
def snapshot(
    roots: Any, names: Mapping[str, Any] | None = None, parameters: Iterable[Any] = (), values: bool = False
) -> Graph:
    """`graph` with names for tensors, the tensors known to be parameters, and optionally value norms."""
    pairs = tensors_of(roots)
    reader = Reader([tensor._node for tensor, _ in pairs if tensor._node is not None])
    nodes, loose = reader.nodes, [tensor for tensor, _ in pairs if tensor._node is None]
    row: dict[Node | None, int] = {node: i for i, node in enumerate(nodes)}
    count, n = len(nodes), len(nodes) + len(loose)
    row[None] = -1

    start = np.zeros(n + 1, np.int64)
    parents: list[int] = []
    port: list[int] = []
    constants: dict[int, Any] = {}
    slot = np.full(n, -1)
    ranks: dict[Any, int] = {}
    for i, node in enumerate(nodes):
        inputs = node.inputs or ()
        for parent in inputs:
            owner, output = reader.source(parent) if type(parent) is Port else (parent, -1)
            port.append(output)
            parents.append(row[owner])
        start[i + 1] = len(parents)
        if not isinstance(node, Leaf):
            slot[i] = ranks[node.scope] = ranks.get(node.scope, -1) + 1
            if None in inputs:
                constants[i] = constants_of(node)
    start[count:] = len(parents)
    records = [
        *of_the_passes([t._node for t, _ in pairs if t._node is not None], nodes),
        *[None] * len(loose),
    ]
    flow = np.full(len(parents), np.nan)
    for i, record in enumerate(records):
        if record and record.parts:
            flow[start[i] : start[i + 1]] = [norm(part) for part in record.parts]

    labels: dict[int, str] = {}
    port_names: dict[tuple[int, int], str] = {}
    given = [(v._node, str(k)) for k, v in (names or {}).items() if isinstance(v, Tensor) and v._node]
    for node_, text in [*given, *((v._node, k) for v, k in pairs if k and v._node)]:
        owner, output = reader.source(node_)
        if owner in row and output >= 0:
            port_names[row[owner], output] = text
        elif owner in row:
            labels.setdefault(row[owner], text)
    weights = {id(p._node) for p in parameters if isinstance(p, Tensor)}
    every: list[Any] = [*nodes, *loose]
    paths = Paths([*nodes])
    _name_by_variables(paths, nodes, records, labels, port_names)
    known = [*map(_site, paths.paths), (None, None)]
    sites = [
        (known[k][0] if whole else None, known[k][1]) for k, whole in zip(paths.of, paths.whole, strict=True)
    ]
    sites += [(None, None)] * len(loose)
    dtypes = {d: str(d) for d in {x.dtype for x in every}}
    child = np.repeat(np.arange(n), np.diff(start))
    argument = np.arange(len(parents)) - start[child]
    edges = Edges(child, np.array(parents, np.int64), np.array(port, np.int64), argument)
    walk = Walk(paths, nodes)
    marked = np.array([-1 if x.scope.t is None else x.scope.t for x in nodes], np.int64)
    unknown = np.full(len(loose), -1)
    result = Graph(
        op=_column([*(node.op.name for node in nodes), *("constant" for _ in loose)]),
        layer=_column([*(node.scope.layer for node in nodes), *("" for _ in loose)]),
        t=np.append(Steps(walk, marked, edges, nodes).t, unknown), slot=slot,
        place=np.append(walk.place, unknown),
        shape=_column([x.shape for x in every]), dtype=_column([dtypes[x.dtype] for x in every]),
        name=_column([labels.get(i) or x.name for i, x in enumerate(every)]),
        kind=_column([*(kind_of(x, id(x) in weights) for x in nodes), *("constant" for _ in loose)]),
        nbytes=np.array([size_of(x.shape) * x.dtype.itemsize for x in every], np.int64),
        grad=gradients(nodes, records),
        value=_values(nodes, pairs, records, row, values),
        order=np.array([r.order if r else 0 for r in records], np.int64),
        label=_column([text for text, _ in sites]), site=_column([place for _, place in sites]),
        trace=_column(records), start=start, parents=edges.parent, port=edges.port, flow=flow,
        constants=constants, port_names=port_names,
        roots=tuple(dict.fromkeys([*(row[node] for node in reader.roots), *range(count, n)])),
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


def _column(values: list[Any]) -> Array:
    return np.fromiter(values, dtype=object, count=len(values))


def _site(path: Path) -> tuple[str | None, str | None]:
    """The user's expression, if the op is the user's, and the line that it comes from."""
    found = origin(path)
    if found is None:
        return None, None
    code, at = found
    text = text_of(code, at) if found == path[0] and where(code) == USER else ""
    file = os.path.basename(code.co_filename)
    if where(code) != USER:
        file = f"{os.path.basename(os.path.dirname(code.co_filename))}/{file}"
    return text or None, f"{file}:{line_of(code, at)}"


def _name_by_variables(
    paths: Paths,
    nodes: list[Node],
    records: list[Any],
    labels: dict[int, str],
    port_names: dict[tuple[int, int], str],
) -> None:
    """Names of the variables that the user's code assigned a result to."""
    known = [assigned(*path[0]) if where(path[0][0]) == USER else () for path in paths.paths]
    seen: dict[int, str] = {}
    for number, record in zip(paths.of, records, strict=False):
        if number >= 0 and record.names:
            seen.setdefault(number, record.names[0])
    for i, (node, number) in enumerate(zip(nodes, paths.of, strict=True)):
        names = known[number] if number >= 0 else ()
        if node.op.outputs != 1:
            for k, name in enumerate(names if len(names) > 1 else ()):
                port_names.setdefault((i, k), name)
        elif len(names) == 1 and names[0] and paths.whole[i]:
            labels.setdefault(i, names[0])
        elif number in seen and paths.whole[i]:
            labels.setdefault(i, seen[number])
        elif records[i] and records[i].names and node.name is None:
            labels.setdefault(i, records[i].names[0])


def _values(
    nodes: list[Node], pairs: list[tuple[Tensor, str | None]], records: list[Any], row: Any, saved: bool
) -> Array:
    """Norms of the values that `trace()` kept; if asked for also of those kept for the backward pass."""
    norms = np.array([norm(record.value) if record else np.nan for record in records], float)
    norms[len(nodes) :] = [norm(tensor._data) for tensor, _ in pairs if tensor._node is None]
    if not saved:
        return norms
    for tensor, _ in pairs:
        if tensor._node in row and tensor._node is not None:
            norms[row[tensor._node]] = norm(tensor._data)
    for i, node in enumerate(nodes):
        kept = node.saved or ()
        if kept and isinstance(kept[0], np.ndarray) and np.isnan(norms[i]):
            norms[i] = norm(kept[0])
        for parent, value in zip(node.inputs or (), kept[1:], strict=False):
            if (
                parent in row
                and parent is not None
                and isinstance(value, np.ndarray)
                and np.isnan(norms[row[parent]])
            ):
                norms[row[parent]] = norm(value)
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
