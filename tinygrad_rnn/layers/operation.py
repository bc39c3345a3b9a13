"""Ops in a functional model: functions, operators and methods of symbols become calls of a layer, `Operation`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from .layer import Layer, unique_name
from .symbolic import Symbol


class Operation(Layer):
    """One function of `tg.ops`, named `function`, as a layer; made by `tg.ops.tanh(x)`, `x + y`, `x[:, 0]`.

    Raises `ValueError` for another name. Masks end here, as in Keras.

    >>> from tinygrad_rnn.layers import Input
    >>> x = Input((5, 4))
    >>> (2 * x[:, 0] + 1).shape, x.mean(axis=1).shape
    ((None, 4), (None, 4))
    >>> Operation("maximum")(np.array([1.0, -1.0]), 0).tolist()
    [1.0, 0.0]
    """

    autocast = False

    def __init__(self, function: str, name: str | None = None, **options: Any) -> None:
        if function not in ops.__all__:
            raise ValueError(f"Operation: there is no function tg.ops.{function}")
        super().__init__(name=unique_name(function) if name is None else name, **options)
        self.function = function

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function."""
        if self.function == "getitem":
            x, parts = args
            return x[tuple([_as_index(p) for p in parts])]
        return getattr(ops, self.function)(*args, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None."""


# An index is written down as lists and dicts, so that a model that holds it can be saved.
def _as_data(part: Any) -> Any:
    if isinstance(part, slice):
        return {"slice": [part.start, part.stop, part.step]}
    return {"ellipsis": True} if part is Ellipsis else part


def _as_index(part: Any) -> Any:
    if isinstance(part, dict):
        return slice(*part["slice"]) if "slice" in part else Ellipsis
    return part


def _getitem(self: Symbol, index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    return Operation("getitem")(self, [_as_data(p) for p in parts])


def _method(function: str) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: Operation(function)(self, *args, **kwargs)


def _with_sizes(function: str) -> Callable[..., Any]:
    """`x.reshape(2, 3)` and `x.reshape((2, 3))` mean the same."""
    return lambda self, *sizes: Operation(function)(
        self, *(sizes if not sizes or np.ndim(sizes[0]) else (sizes,))
    )


def _swapped(function: str) -> Callable[..., Any]:
    return lambda self, other: Operation(function)(other, self)


_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "mod", "pow": "power", "matmul": "matmul",
}  # fmt: skip
_OTHERS = {
    "__neg__": "negative", "__abs__": "absolute", "__lt__": "less", "__le__": "less_equal", "__gt__": "greater",
    "__ge__": "greater_equal", "astype": "cast", "detach": "stop_gradient", "flatten": "ravel",
}  # fmt: skip
_METHODS = """
    all any argmax argmin clip cumsum dot max mean min prod round squeeze std sum swapaxes var
"""

_attached: dict[str, Any] = {
    "as_layer": lambda self, function: _getitem if function == "getitem" else Operation(function),
    "__getitem__": _getitem, "reshape": _with_sizes("reshape"), "transpose": _with_sizes("transpose"),
    **{f"__{name}__": _method(function) for name, function in _BINARY.items()},
    **{f"__r{name}__": _swapped(function) for name, function in _BINARY.items()},
    **{name: _method(function) for name, function in _OTHERS.items()},
    **{name: _method(name) for name in _METHODS.split()},
}  # fmt: skip
for _name, _function in _attached.items():
    setattr(Symbol, _name, _function)
