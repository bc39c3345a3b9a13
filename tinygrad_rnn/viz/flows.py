"""Values and gradients over time, by the names of variables: the numbers behind the plots."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from ..config import enable_grad, no_grad, unrolled
from ..core.autodiff import grad
from ..core.op import Array, Leaf, Node, Port
from ..core.tensor import Tensor, tensor
from ..core.trace import trace
from .graph import _reach, tensors_of
from .variables import held_by, names_of, place_of


class Track(NamedTuple):
    """A variable of one layer over time, in the order in which the steps ran."""

    key: str  # "lstm.h"
    t: Array  # time steps (T,)
    nodes: list[Node]

    def values(self) -> list[Array]:
        """What the variable held at each step."""
        return [_value(node) for node in self.nodes]


class Flow(NamedTuple):
    """The gradient of a loss with respect to a variable, over the time steps."""

    t: Array  # time steps (T,), in the order in which they ran
    size: Array  # (T,): the norm of the gradient, or the sum of its elements
    growth: float  # factor per step backward

    @property
    def words(self) -> str:
        """`vanishing 0.83× per step`; what rounds to 1.00 is steady."""
        if np.isnan(self.growth):
            return "no growth factor: fewer than two steps have a gradient"
        text = f"{self.growth:.2f}" if 0.01 <= self.growth < 100 or self.growth == 0 else f"{self.growth:.1e}"
        kind = "steady" if text == "1.00" else "vanishing" if self.growth < 1 else "exploding"
        signs = np.sign(self.size)
        alternating = len(signs) > 2 and (signs[1:] * signs[:-1] < 0).all()
        return f"{kind} {text}× per step" + (", alternating" if alternating else "")


def growth_factor(sizes: Any) -> float:
    """The factor by which a gradient grows per step backward: `exp(−slope)` of log size over the steps.

    `sizes` are in the order in which the steps ran, and their signs do not matter. The line is fitted by least
    squares to what is finite and not 0. Gradients that are 0 at all steps but the last give 0; otherwise, with
    fewer than two such steps, the result is NaN.

    >>> round(growth_factor([8.0, 4.0, 2.0, 1.0]), 6)
    2.0
    """
    found = np.abs(np.asarray(sizes, dtype=np.float64))
    usable = np.isfinite(found) & (found > 0)
    if usable.sum() < 2:
        return 0.0 if len(found) > 1 and usable[-1] and np.isfinite(found).all() else np.nan
    slope = np.polyfit(np.flatnonzero(usable), np.log(found[usable]), 1)[0]
    return float(np.exp(-slope))


def gradient_flow(
    loss: Any, quantity: str = "h", measure: str = "norm", where: str = "gradient_flow"
) -> dict[str, Flow]:
    """`∂loss/∂quantity` at every time step, for each layer that has a variable of that name.

    `loss` is a scalar that was computed inside `tg.trace()`. `quantity` is the name of a variable, `"h"`, or
    of one in a certain layer, `"lstm.h"`. `measure` is "norm" (over examples and units) or "sum" (signed). The
    graph is kept. Raises `TypeError` and `ValueError` for what is no such loss and for unknown names.

    >>> from tinygrad_rnn import ops, step
    >>> h = tensor([1.0], requires_grad=True)
    >>> with trace():
    ...     for t in range(4):
    ...         with step(t):
    ...             h = 0.5 * h
    >>> flow = gradient_flow(h.sum())["h"]
    >>> flow.size.tolist(), round(flow.growth, 6), flow.words
    ([0.125, 0.25, 0.5, 1.0], 0.5, 'vanishing 0.50× per step')
    """
    if measure not in ("norm", "sum"):
        raise ValueError(f"{where}: measure must be 'norm' or 'sum', received {measure!r}")
    if not isinstance(loss, Tensor):
        raise TypeError(f"{where}: expected the loss as a Tensor, received {type(loss).__name__}")
    if loss.size != 1:
        raise ValueError(
            f"{where}: expected a loss of one element, received shape {loss.shape}; reduce it, e.g. with .sum()"
        )
    flows: dict[str, Flow] = {}
    tracks = over_time(loss, quantity, where)
    handles = [Tensor(_value(node), node) for track in tracks for node in track.nodes]
    found = iter(grad(loss, handles, retain_graph=True))
    for track in tracks:
        arrays = [
            np.zeros(1) if (g := next(found)) is None else np.asarray(g._data, float) for _ in track.nodes
        ]
        with np.errstate(all="ignore"):  # infinities and NaN are values here
            size = np.array([np.linalg.norm(a) if measure == "norm" else a.sum() for a in arrays])
        flows[track.key] = Flow(track.t, size, growth_factor(size))
    return flows


def over_time(roots: Any, quantity: str, where: str) -> list[Track]:
    """The variables called `quantity` in what `roots` were computed from, one `Track` for each layer.

    A time step is that of the layer or of `tg.step(t)`; in a loop without it, the number of the pass. Of several
    values in one step the last counts. A gate that is cut out of a product and activated where it is read is
    meant after its activation.
    """
    nodes = _reach([x._node for x, _ in tensors_of(roots) if x._node is not None])
    if not nodes:
        raise ValueError(
            f"{where}: the tensor was not recorded; nothing that it was computed from requires a gradient"
        )
    if not any(hasattr(node, "trace") for node in nodes):
        raise ValueError(
            f"{where}: compute it inside `with tg.trace():`, so that variables are known by their names"
        )
    ports = [p for node in nodes for p in node.inputs or () if isinstance(p, Port)]
    single = [node for node in nodes if not isinstance(node, Leaf) and node.op.outputs == 1]
    found: dict[tuple[str, str], list[Node]] = {}
    for names in (held_by, names_of):  # what was assigned counts more than where it was seen
        latest: dict[tuple[str, str], list[Node]] = {}
        for node in [*single, *dict.fromkeys(ports)]:
            for name in names(node):
                latest.setdefault((node.scope.layer, name), []).append(node)
        found |= latest
    tracks = {key: track for key, made in found.items() if (track := _track(key, made)).nodes}
    layer, _, name = quantity.rpartition(".")
    chosen = [
        t
        for (path, n), t in tracks.items()
        if n == name and f"/{path}".endswith(f"/{layer}" if layer else "")
    ]
    if not chosen:
        raise ValueError(f"{where}: {_unknown(quantity, [track.key for track in tracks.values()])}")
    readers: dict[Node, list[Node]] = {}
    for node in nodes:
        for parent in node.inputs or ():
            if parent is not None:
                readers.setdefault(parent, []).append(node)
    return [t._replace(nodes=[_activated(node, readers) for node in t.nodes]) for t in chosen]


def _track(key: tuple[str, str], nodes: list[Node]) -> Track:
    """Put the values of one variable in order."""
    nodes = sorted(nodes, key=lambda node: node.seq)
    at = {node.scope.t: node for node in nodes if node.scope.t is not None}
    if not at:  # a loop by hand: the place in the source that was passed most often
        places: dict[Any, list[Node]] = {}
        for node in nodes:
            places.setdefault(place_of(node), []).append(node)
        most = max(places.values(), key=len)
        at = dict(enumerate(most)) if len(most) > 1 else {}
    steps = sorted(at, key=lambda t: at[t].seq)
    return Track(".".join(filter(None, key)), np.array(steps, int), [at[t] for t in steps])


def _activated(node: Node, readers: dict[Node, list[Node]]) -> Node:
    """The gate itself for a piece `f` that is only read as `sigmoid(f)`."""
    reading = readers.get(node, [])
    if not (isinstance(node, Port) or node.op.view) or len(reading) != 1:
        return node
    (reader,) = reading
    function = reader.op.broadcasts and len(reader.inputs or ()) == 1 and reader.op.name != "negative"
    return reader if function else node


def _unknown(quantity: str, known: list[str]) -> str:
    if not known:
        return "there are no time steps: no variable was assigned in a loop, or inside `tg.step(t)`"
    names = {key.rpartition(".")[2]: key for key in known} | {key: key for key in known}
    near = get_close_matches(quantity, names, n=1, cutoff=0.3)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"there is no {quantity!r} over time.{hint} Known: {', '.join(known[:12])}{more}"


def _value(node: Node) -> Array:
    if isinstance(node, Port):
        value: Array = node.parent.trace.value[node.index]  # type: ignore[union-attr]
        return value
    return np.asarray(node.trace.value)


# --- models and functions that are run here -----------------------------------------------------------


def run(target: Any, inputs: Any, where: str) -> Any:
    """Call a layer, model or function under `trace()`, with its inputs recorded; Tensors stay as they are."""
    if not callable(target):
        if inputs is not None:
            raise TypeError(
                f"{where}: inputs are for a layer or model; the target is a {type(target).__name__}"
            )
        return target
    if inputs is None:
        name = getattr(target, "name", getattr(target, "__name__", type(target).__name__))
        raise ValueError(
            f"{where}: {name!r} needs inputs: hand over an array (batch, time, …), or whatever it takes"
        )
    with enable_grad(), trace():
        return target(_fed(inputs))


def _fed(inputs: Any) -> Any:
    """Arrays as tensors, recorded if they are floats."""
    if isinstance(inputs, Mapping):
        return {key: _fed(value) for key, value in inputs.items()}
    if isinstance(inputs, (list, tuple)) and any(hasattr(value, "shape") for value in inputs):
        return type(inputs)([_fed(value) for value in inputs])
    if isinstance(inputs, Tensor) and inputs.requires_grad:
        return inputs
    made = tensor(inputs)
    return tensor(made, requires_grad=True) if made.dtype.kind == "f" else made


def ids_of(model: Any, text: str, where: str) -> Array:
    """A text as input `(1, time)` of a character model, by the vocabulary that it keeps."""
    known = getattr(model, "extra", {}).get("vocabulary")
    if known is None:
        raise ValueError(
            f"{where}: the model holds no vocabulary to read the text with; hand over inputs as well"
        )
    number = {chr(point): i for i, point in enumerate(known)}
    if strange := [c for c in text if c not in number]:
        raise ValueError(f"{where}: the model does not know the character {strange[0]!r} of the text")
    return np.array([[number[c] for c in text]])


def input_gradients(
    function: Any, inputs: Any, unit: int | None = None, where: str = "input_gradients"
) -> Array:
    """`‖∂out_t / ∂in_k‖` for one sequence: how much the output at step t depends on the input at step k.

    `function` (a layer, model or function of one Tensor) maps `(batch, time, …)` to `(batch, time, units)`, or to
    `(batch, units)`: then there is one row. It is run on the sequence repeated once for each unit, so that one
    backward pass per step gives the whole Jacobian. Ids stand for what is looked up by them: the gradient is that
    with respect to the first recorded values (batch, time, …). `unit` looks at one output alone.

    Returns an array (output steps, input steps); Frobenius norms.

    >>> from tinygrad_rnn import ops
    >>> input_gradients(lambda x: ops.cumsum(x, axis=1), np.ones((1, 3, 1))).tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    """
    if not callable(function):
        raise TypeError(f"{where}: expected a layer, model or function, received {type(function).__name__}")
    sequence = np.asarray(inputs)
    if sequence.ndim < 2 or sequence.shape[0] != 1 or sequence.shape[1] == 0:
        raise ValueError(
            f"{where}: expected one sequence (1, time, …) of inputs, received shape {sequence.shape}"
        )
    with no_grad():
        shape = np.shape(function(tensor(sequence)))
    if len(shape) not in (2, 3) or shape[0] != 1:
        raise ValueError(
            f"{where}: expected outputs (batch, time, units) or (batch, units), received shape {shape}"
        )
    if unit is not None and not 0 <= unit < shape[-1]:
        raise ValueError(f"{where}: unit must be from 0 to {shape[-1] - 1}, received {unit!r}")
    units = list(range(shape[-1])) if unit is None else [unit]
    given = tensor(np.repeat(sequence, len(units), axis=0), requires_grad=sequence.dtype.kind == "f")
    with enable_grad(), unrolled():
        out = function(given)
    source = _source(out, given, where)
    rows = []
    for t in range(shape[1] if len(shape) == 3 else 1):
        seed = np.zeros(out.shape, out.dtype)
        seed[(np.arange(len(units)), t, units) if len(shape) == 3 else (np.arange(len(units)), units)] = 1
        g = grad(out, source, seed, retain_graph=True)
        g = np.zeros(source.shape) if g is None else np.asarray(g._data, float)
        rows.append(np.sqrt((g**2).sum(axis=(0, *range(2, g.ndim)))))
    return np.array(rows)


def _source(out: Tensor, given: Tensor, where: str) -> Tensor:
    """The tensor that stands for the inputs: themselves, or what ids were looked up as."""
    if given.requires_grad:
        return given
    for node in _reach([out._node]) if out._node is not None else []:
        if not isinstance(node, Leaf) and node.op.outputs == 1 and node.shape[:2] == given.shape[:2]:
            return Tensor(np.broadcast_to(np.zeros((), node.dtype), node.shape), node)
    raise ValueError(f"{where}: no recorded value has the shape (batch, time, …) = {given.shape} of the ids")
