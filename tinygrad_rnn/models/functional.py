"""The graph of layers of a functional model: put in order, named, run, and built once more with other layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..layers.symbolic import Call, Symbol, flatten, map_nested
from ..ops.elementwise import cast
from ..ops.shape import expand_dims, squeeze


def calls_between(inputs: Any, outputs: Any) -> list[Call]:
    """The layer calls that lead from `inputs` to `outputs`, in an order in which they can run.

    Raises `ValueError` if an output needs an input that is not among `inputs`.
    """
    starts = {id(s) for s in flatten(inputs)}
    ordered: dict[int, Call] = {}
    stack = [(s, False) for s in reversed(list(flatten(outputs)))]
    for symbol in flatten((inputs, outputs)):
        if not isinstance(symbol, Symbol):
            raise TypeError(
                f"Model: inputs and outputs come from Input and layers, received {type(symbol).__name__}"
            )
    while stack:
        symbol, ready = stack.pop()
        if id(symbol) in starts or (symbol.call is not None and id(symbol.call) in ordered):
            continue
        if symbol.call is None:
            raise ValueError(f"Model: the outputs depend on {symbol!r}, which is not among the inputs")
        if ready:
            ordered[id(symbol.call)] = symbol.call
        else:
            stack.append((symbol, True))
            stack.extend((s, False) for s in reversed(symbol.call.inputs))
    return list(ordered.values())


def as_declared(value: Any, symbol: Symbol) -> Any:
    """What is given for an input with the rank of its symbol, if that takes an axis of 1 behind, and in its type.

    Only a type from which nothing is lost is changed: in `uint8` a model that begins with `2 * x - 1` would count to
    255 and then from 0. Ids may be integers of any size.
    """
    if not isinstance(value, Tensor) or symbol.dtype == "string":
        return value
    fitting, dtype = value, np.dtype(symbol.dtype)
    if value.dtype != dtype and not value.dtype.kind == dtype.kind == "i" and np.can_cast(value.dtype, dtype):
        fitting = cast(value, dtype)
    if value.ndim + 1 == symbol.ndim and symbol.shape[-1] == 1:
        fitting = expand_dims(fitting, -1)
    elif value.ndim == symbol.ndim + 1 and value.shape[-1] == 1:
        fitting = squeeze(fitting, -1)
    if fitting is not value:
        fitting._mask = getattr(value, "_mask", None)
    return fitting


@contextmanager
def masked(inputs: Any, mask: Any) -> Iterator[None]:
    """Inside, the inputs have the masks given beside them (or their own, if there are none)."""
    pairs = [] if mask is None else list(zip(flatten(inputs), flatten(mask), strict=True))
    before = [getattr(x, "_mask", None) for x, _ in pairs]
    for x, own in pairs:
        x._mask = own
    try:
        yield
    finally:
        for (x, _), own in zip(pairs, before, strict=True):
            x._mask = own


def layers_in_order(inputs: Any, outputs: Any, calls: list[Call]) -> list[Any]:
    """The layers of `calls`, those farther from the outputs first: Keras's order, in which weights are listed.

    The distance of a layer is that of its farthest call. Layers at one distance stand in the order in which they
    are met on the way back from the outputs, dicts of them in the order of their keys.
    """
    seen = {id(s) for s in flatten(inputs)}
    met: dict[int, int] = {}  # layer -> when it was met
    stack = list(reversed(list(flatten(_sorted(outputs)))))
    while stack:
        symbol = stack.pop()
        if id(symbol) in seen or symbol.call is None or id(symbol.call) in seen:
            continue
        seen.add(id(symbol.call))
        met.setdefault(id(symbol.call.layer), len(met))
        arguments = list(flatten(_sorted((symbol.call.args, symbol.call.kwargs))))
        stack.extend(s for s in reversed(arguments) if isinstance(s, Symbol))
    distance: dict[int, int] = {}  # of calls and of layers
    for call in reversed(calls):
        here = max(distance.get(id(call), 0), distance.get(id(call.layer), 0))
        distance[id(call)] = distance[id(call.layer)] = here
        for symbol in call.inputs:
            if symbol.call is not None:
                distance[id(symbol.call)] = max(distance.get(id(symbol.call), 0), here + 1)
    layers = {id(call.layer): call.layer for call in calls}
    return sorted(layers.values(), key=lambda layer: (-distance[id(layer)], met[id(layer)]))


def _sorted(value: Any) -> Any:
    """Nested lists and dicts, the dicts in the order of their keys, in which Keras goes through them."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(v) for v in value] if isinstance(value, (list, tuple)) else value


def run(
    calls: list[Call], inputs: Any, values: Any, outputs: Any, instead: dict[int, Any] | None = None
) -> Any:
    """Run the layers on tensors (or on symbols), or others `instead` of them, by the ids of the old ones."""
    known = {id(s): v for s, v in zip(flatten(inputs), flatten(values), strict=True)}
    results: dict[int, list[Any]] = {}

    def value_of(item: Any) -> Any:
        if not isinstance(item, Symbol):
            return item
        return known[id(item)] if id(item) in known else results[id(item.call)][item.index]

    for call in calls:
        args, kwargs = map_nested(value_of, (call.args, call.kwargs))
        layer = call.layer if instead is None else instead[id(call.layer)]
        results[id(call)] = list(flatten(layer(*args, **kwargs)))
    return map_nested(value_of, outputs)


def output_names(outputs: Any) -> list[str]:
    """What the outputs are called: their keys if they are a dict, else the layers that they come from.

    A layer that gives several outputs gives `lstm`, `lstm_1`, `lstm_2`.
    """
    if isinstance(outputs, Mapping):
        return [str(key) for key in outputs]
    names: list[str] = []
    counts: Counter[str] = Counter()
    for symbol in flatten(outputs):
        base = str(symbol.name if symbol.call is None else symbol.call.layer.name)
        before = counts[base]
        counts[base] += 1
        names.append(f"{base}_{before}" if before else base)
    return names


def replay(
    calls: list[Call], inputs: Any, outputs: Any, make: Callable[[Any], Any], new_inputs: Any = None
) -> tuple[Any, Any]:
    """Inputs and outputs of the same graph with other layers: `make(layer)` is called once per layer.

    Raises `ValueError` if `new_inputs` are not as many as `inputs`.
    """
    if new_inputs is None:
        new_inputs = map_nested(lambda s: Symbol(s.shape, s.dtype, name=s.name), inputs)
    old, new = list(flatten(inputs)), list(flatten(new_inputs))
    if len(old) != len(new):
        raise ValueError(f"expected {len(old)} inputs, received {len(new)}")
    layers = {id(layer): make(layer) for layer in {id(c.layer): c.layer for c in calls}.values()}
    return new_inputs, run(calls, inputs, new_inputs, outputs, layers)
