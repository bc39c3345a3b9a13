"""Functions of symbols: while a functional model is put together, a call of an op becomes a layer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.tensor import Tensor


def on_symbols(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which also takes symbols: their method `as_layer(name)` gives the layer that takes its arguments.

    They are looked for in the first argument, and among all of them when the function fails.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        symbol: Any = args[0] if args else next(iter(kwargs.values()), None)
        if not hasattr(symbol, "as_layer"):
            try:
                made = function(*args, **kwargs)
                return _with_arrays(function, args, kwargs) if made is NotImplemented else made
            except Exception:
                symbols = [x for x in _leaves((args, kwargs)) if hasattr(x, "as_layer")]
                if not symbols:
                    raise
                symbol = symbols[0]
        given = inspect.signature(function).bind(*args, **kwargs)
        return symbol.as_layer(function.__name__)(*given.args, **given.kwargs)

    return call


def _with_arrays(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call again what left it, as an operator does, to the library of an argument: with that as NumPy's array."""
    given = inspect.signature(function).bind(*args, **kwargs).args
    arrays = [a if isinstance(a, Tensor) or not hasattr(a, "__array__") else np.asarray(a) for a in given]
    made = function(*arrays)
    if made is NotImplemented:
        kinds = " and ".join(type(a).__name__ for a in given)
        raise TypeError(f"{function.__name__}: expected tensors, arrays or numbers, received {kinds}")
    return made


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        yield value
        return
    for inner in value:
        yield from _leaves(inner)
