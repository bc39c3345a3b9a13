"""Functions of symbols: while a functional model is put together, a call of an op becomes a layer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any


def on_symbols(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which also takes symbols: their method `as_layer(name)` gives the layer that takes its arguments.

    They are looked for in the first argument, and among all of them when the function fails.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        symbol: Any = args[0] if args else next(iter(kwargs.values()), None)
        if not hasattr(symbol, "as_layer"):
            try:
                return function(*args, **kwargs)
            except Exception:
                symbols = [x for x in _leaves((args, kwargs)) if hasattr(x, "as_layer")]
                if not symbols:
                    raise
                symbol = symbols[0]
        given = inspect.signature(function).bind(*args, **kwargs)
        return symbol.as_layer(function.__name__)(*given.args, **given.kwargs)

    return call


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        yield value
        return
    for inner in value:
        yield from _leaves(inner)
