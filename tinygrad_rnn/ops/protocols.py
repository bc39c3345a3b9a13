"""NumPy's protocols: `np.tanh(t)`, `array * t`, `np.concatenate([t, u])` run our ops on Tensors."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.op import OPS
from ..core.record import UFUNCS
from ..core.tensor import Tensor

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}  # NumPy's function -> ours


# NumPy functions whose results are not differentiable anyway: they simply see the arrays.
_PLAIN = frozenset(
    getattr(np, name)
    for name in (
        "allclose array2string array_equal array_equiv array_repr array_str argsort count_nonzero isclose iscomplexobj "
        "isrealobj may_share_memory nonzero result_type savetxt searchsorted shares_memory"
    ).split()
)


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`np.tanh(t)`, `array * t`: run our op, so that the gradient is not lost."""
    if method == "__call__" and ufunc in UFUNCS and not kwargs:
        return UFUNCS[ufunc](*inputs)
    return plain_numpy(getattr(ufunc, method), f"numpy.{ufunc.__name__}", inputs, kwargs)


def array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """`np.concatenate([t, u])`: run our op of that name."""
    ours = FUNCTIONS.get(function)
    if ours is not None:
        return ours(*args, **kwargs)
    return plain_numpy(
        function, f"numpy.{function.__name__}", args, kwargs, differentiable=function not in _PLAIN
    )


def plain_numpy(function: Any, name: str, args: Any, kwargs: Any, differentiable: bool = True) -> Any:
    """Run a NumPy function that has no op, on the bare arrays; refuse if a gradient would be lost."""

    def bare(value: Any) -> Any:
        if isinstance(value, Tensor):
            if value._node is not None and differentiable:
                hint = "" if (op := _closest(name)) is None else f"; the nearest op is tg.ops.{op}"
                raise TypeError(
                    f"{name} has no gradient rule here{hint}. Use an op of tg.ops, or t.detach() "
                    "if the result needs no gradient"
                )
            return value.numpy()
        if isinstance(value, (list, tuple)):
            return type(value)([bare(v) for v in value])
        return value

    return function(*[bare(a) for a in args], **{k: bare(v) for k, v in kwargs.items()})


def _closest(name: str) -> str | None:
    found = difflib.get_close_matches(name.rsplit(".", 1)[-1], OPS, n=1)
    return found[0] if found else None
