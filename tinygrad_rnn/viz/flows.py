"""Values and gradients over time, by the names of variables: the numbers behind the plots."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from difflib import get_close_matches
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from ..config import enable_grad, no_grad, unrolled
from ..core.autodiff import grad, leaf_gradients
from ..core.op import OPS, Array, Leaf
from ..core.tensor import Tensor, tensor
from ..core.trace import Path, trace
from .columns import Graph
from .graph import graph
from .nodes import Reader
from .sites import assigned, position, span, tree_of

Place = tuple[int, int]  # row of a Graph, and which of its outputs (−1: the only one)


class Track(NamedTuple):
    """A variable of one layer over time, in the order in which the steps ran."""

    key: str  # "lstm.h"
    t: Array  # time steps (T,)
    places: list[Place]

    def values(self, graph: Graph) -> list[Array]:
        """What the variable held at each step."""
        return [np.asarray(_output(graph.trace[row].value, k)) for row, k in self.places]

    def gradients(self, graph: Graph) -> list[Array]:
        """What a backward pass sent to it at each step; 0 for nothing."""
        found = [_output(graph.trace[row].grad, k) for row, k in self.places]
        return [np.zeros(1) if g is None else np.asarray(g, float) for g in found]


class Flow(NamedTuple):
    """The gradient of a loss with respect to a variable, over the time steps."""

    t: Array  # time steps (T,), in the order in which they ran
    size: Array  # (T,): the norm of the gradient, or the sum of its elements
    growth: float  # factor per step backward

    @property
    def words(self) -> str:
        """`vanishing 0.83× per step`; steady is what rounds to 1.00, or what the scatter of the steps explains.

        The latter is a slope within two standard errors of none.
        """
        if np.isnan(self.growth):
            return "no growth factor: fewer than two steps have a gradient"
        text = f"{self.growth:.2f}" if 0.01 <= self.growth < 100 or self.growth == 0 else f"{self.growth:.1e}"
        slope, error = _slope(np.abs(self.size))
        steady = text == "1.00" or abs(slope) <= 2 * error
        kind = "steady" if steady else "vanishing" if self.growth < 1 else "exploding"
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
    return float(np.exp(-_slope(found)[0]))


def _slope(sizes: Array) -> tuple[float, float]:
    """Slope of the log of sizes over the steps, by least squares, and its standard error; NaN for one step."""
    x = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    if len(x) < 2:
        return np.nan, np.nan
    y, far = np.log(sizes[x]), x - x.mean()
    slope = far @ y / (far @ far)
    rest = y - y.mean() - slope * far
    return float(slope), float(np.sqrt(rest @ rest / max(len(x) - 2, 1) / (far @ far)))


def gradient_flow(
    loss: Any, quantity: str = "h", measure: str = "norm", where: str = "gradient_flow"
) -> dict[str, Flow]:
    """`∂loss/∂quantity` at every time step, for each layer that has a variable of that name.

    `loss` is a scalar that was computed inside `tg.trace()`, or a `Graph` that was taken after a backward pass
    inside. `quantity` is the name of a variable, `"h"`, or of one in a certain layer, `"lstm.h"`. `measure` is
    "norm" (over examples and units) or "sum" (signed). The graph of the loss is kept. Raises `TypeError` and
    `ValueError` for what is no such loss and for unknown names.

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
    recorded = loss if isinstance(loss, Graph) else _backward(loss, where)
    tracks = over_time(recorded, quantity, where)
    if not recorded.order.any():
        raise ValueError(
            f"{where}: this Graph holds no gradients; call loss.backward(retain_graph=True) inside tg.trace() "
            "before taking it, or hand over the loss"
        )
    flows: dict[str, Flow] = {}
    for track in tracks:
        arrays = track.gradients(recorded)
        with np.errstate(all="ignore"):  # infinities and NaN are values here
            size = np.array([np.linalg.norm(a) if measure == "norm" else a.sum() for a in arrays])
        flows[track.key] = Flow(track.t, size, growth_factor(size))
    return flows


def _backward(loss: Any, where: str) -> Graph:
    """The graph of a loss after a backward pass that leaves `.grad` alone."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"{where}: expected the loss as a Tensor, received {type(loss).__name__}")
    if loss.size != 1:
        raise ValueError(
            f"{where}: expected a loss of one element, received shape {loss.shape}; reduce it, e.g. with .sum()"
        )
    if not loss.requires_grad:
        raise ValueError(f"{where}: the loss was not recorded: nothing that requires a gradient is behind it")
    with trace():
        leaf_gradients(loss, retain_graph=True)
    return graph(loss)


def _check_traced(recorded: Graph, where: str) -> None:
    if not (recorded.kind == "op").any():
        raise ValueError(
            f"{where}: the tensor was not recorded: nothing that requires a gradient is behind it"
        )
    if not any(kept is not None and kept.path for kept in recorded.trace):
        raise ValueError(
            f"{where}: compute it inside `with tg.trace():`, so that variables are known by their names"
        )


def over_time(recorded: Graph, quantity: str, where: str) -> list[Track]:
    """The variables called `quantity`, one `Track` for each layer.

    A time step is that of the layer or of `tg.step(t)`; in a loop without it, the number of the pass. Of several
    values in one step the last counts. A gate that is cut out of a product and activated where it is read is
    meant after its activation.
    """
    _check_traced(recorded, where)
    assigned_at: dict[tuple[str, str], dict[int, Place]] = {}
    seen_at: dict[tuple[str, str], dict[int, Place]] = {}
    for row in np.flatnonzero((recorded.t >= 0) & (recorded.kind == "op")).tolist():
        kept, layer, t = recorded.trace[row], recorded.layer[row], int(recorded.t[row])
        names = _assigned(kept.path) if kept is not None else ()
        several = recorded.shape[row] and isinstance(recorded.shape[row][0], tuple)
        for k, name in enumerate(names if several or len(names) == 1 else ()):
            assigned_at.setdefault((layer, name), {})[t] = (row, k if several else -1)
        for name in kept.names if kept is not None and not several else ():
            seen_at.setdefault((layer, name), {})[t] = (row, -1)
    found = seen_at | assigned_at  # what was assigned counts more than where it was seen
    layer, _, name = quantity.rpartition(".")
    keys = [k for k in found if k[1] == name and f"/{k[0]}".endswith(f"/{layer}" if layer else "")]
    if not keys:
        raise ValueError(f"{where}: {_unknown(quantity, ['.'.join(filter(None, key)) for key in found])}")
    return [_track(recorded, key, found[key]) for key in keys]


def _assigned(path: Path) -> tuple[str, ...]:
    """The variables that a result was assigned to: where it was made, or where a function returned it at once."""
    for code, at in path:
        if (names := assigned(code, at)) or position(code, at) not in _returned(code):
            return names
    return ()


@functools.lru_cache(maxsize=64)
def _returned(code: CodeType) -> frozenset[Any]:
    """Where the expressions stand whose value a function returns, in the file of `code`."""
    returns = [n for n in ast.walk(tree_of(code)) if isinstance(n, ast.Return) and n.value is not None]
    return frozenset(span(n.value) for n in returns)


def _track(recorded: Graph, key: tuple[str, str], at: dict[int, Place]) -> Track:
    """Put the steps in the order in which they ran, and take gates after their activation."""
    steps = sorted(at, key=lambda t: at[t])
    places = [at[t] for t in steps]
    if all(k >= 0 or OPS[recorded.op[row]].view for row, k in places):
        children = recorded.children()
        readers: dict[Place, list[int]] = {place: [] for place in places}
        for e in np.flatnonzero(np.isin(recorded.parents, [row for row, _ in places])).tolist():
            place = int(recorded.parents[e]), int(recorded.port[e])
            if place in readers:
                readers[place].append(int(children[e]))
        activated = [_activation(recorded, readers[place]) for place in places]
        places = [(row, -1) for row in activated if row >= 0] if min(activated) >= 0 else places
    return Track(".".join(filter(None, key)), np.array(steps, int), places)


def _activation(recorded: Graph, readers: list[int]) -> int:
    """The row of `sigmoid(f)`, if that is all that reads f; else −1."""
    if len(readers) != 1:
        return -1
    (row,) = readers
    op, arguments = OPS[recorded.op[row]], recorded.start[row + 1] - recorded.start[row]
    return row if op.broadcasts and arguments == 1 and op.name != "negative" else -1


def _unknown(quantity: str, known: list[str]) -> str:
    if not known:
        return "there are no time steps: no variable was assigned in a loop, or inside `tg.step(t)`"
    names = {key.rpartition(".")[2]: key for key in known} | {key: key for key in known}
    near = get_close_matches(quantity, names, n=1, cutoff=0.3)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"there is no {quantity!r} over time.{hint} Known: {', '.join(known[:12])}{more}"


def _output(kept: Any, k: int) -> Any:
    """What is kept of one output of an op."""
    return kept[k] if k >= 0 and kept is not None else kept


# --- models and functions that are run here -----------------------------------------------------------


def run(target: Any, inputs: Any, where: str) -> Any:
    """Call a layer, model or function under `trace()`, with its inputs recorded; anything else stays as it is."""
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
    for node in Reader([out._node]).nodes if out._node is not None else []:
        if not isinstance(node, Leaf) and node.op.outputs == 1 and node.shape[:2] == given.shape[:2]:
            return Tensor(np.broadcast_to(np.zeros((), node.dtype), node.shape), node)
    raise ValueError(f"{where}: no recorded value has the shape (batch, time, …) = {given.shape} of the ids")
