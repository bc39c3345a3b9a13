"""The graph of layers of a functional model: put in order, run, and written down for saving."""

from __future__ import annotations

from typing import Any

from ..layers.symbolic import Call, Symbol, flatten, map_nested


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


def run(calls: list[Call], inputs: Any, values: Any, outputs: Any) -> Any:
    """Run the layers on real tensors."""
    known = {id(s): v for s, v in zip(flatten(inputs), flatten(values), strict=True)}
    results: dict[int, list[Any]] = {}

    def value_of(item: Any) -> Any:
        if not isinstance(item, Symbol):
            return item
        return known[id(item)] if id(item) in known else results[id(item.call)][item.index]

    for call in calls:
        args, kwargs = map_nested(value_of, (call.args, call.kwargs))
        results[id(call)] = list(flatten(call.layer(*args, **kwargs)))
    return map_nested(value_of, outputs)
