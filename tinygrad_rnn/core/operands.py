"""What may stand beside a Tensor: numbers, lists and arrays; and one float type for all arguments of an op."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import floatx, mode
from .arrays import freeze
from .op import Array, Op
from .tensor import Tensor


def dtype_of(value: Any) -> Any:
    """The type of an array; None for anything else."""
    return getattr(value, "dtype", None)


def to_float(value: Any) -> Any:
    """Integers and booleans as floats of the default type; anything else as it is."""
    kind = getattr(dtype_of(value), "kind", "")
    return value.astype(floatx()) if kind in ("i", "u", "b") else value


def as_array(value: Any) -> Any:
    """An array from anything array-like; Python floats get the default float type."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value
    array = np.asarray(value)
    return array.astype(floatx()) if array.dtype == np.float64 else array


def known(x: Any) -> Any:
    """Lists and numbers as arrays; all else as it is."""
    return x if hasattr(x, "dtype") else as_array(x)


def operand(value: Any, dtype: np.dtype[Any]) -> Any:
    """The other side of a binary op: scalars take part without a type of their own.

    Integer and boolean arrays take the type of a float Tensor, so that it stays float32.
    """
    kind = type(value)
    if kind is float or kind is int:
        scalars = _SCALARS.get(dtype)
        if scalars is None:  # integers meet the number as it is
            return as_array(value) if kind is float and dtype.kind in "iub" else value
        known = scalars.get(value)
        return _scalar(value, dtype, scalars) if known is None else known
    if kind is bool:
        return value
    if isinstance(value, float):  # numpy.float64 is one
        return float(value) if dtype.kind in "fc" else as_array(value)
    if isinstance(value, (list, tuple)):
        value = np.asarray(value, dtype) if dtype.kind == "f" else as_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return value if isinstance(value, complex) else NotImplemented
    if value.ndim == 0 and (dtype.kind in "fc" or value.dtype.kind in "iub"):
        return value.item()
    if dtype.kind == "f" and value.dtype.kind in "iub":
        return value.astype(dtype, subok=False)
    return plain(value)


def plain(value: Any) -> Any:
    """A copy of what is a matrix, a masked array or another kind of array, which `*` or `sum` may mean otherwise.

    Raises `TypeError` for an array that holds no numbers.
    """
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind not in "fciub":
        raise TypeError(
            f"expected numbers beside a Tensor, received an array of {value.dtype}, shape {value.shape}; if it holds "
            f"numbers, array.astype({floatx()!r})"
        )
    return value if type(value) is np.ndarray else np.array(value)


_SCALARS: dict[Any, dict[float, Array]] = {np.dtype(t): {} for t in ("float16", "float32", "float64")}


def _scalar(value: float, dtype: np.dtype[Any], known: dict[float, Array]) -> Any:
    """A Python number as a 0-d array of the Tensor's type: NumPy multiplies by it twice as fast."""
    array = freeze(np.array(value, dtype=dtype))
    if value != 0 and len(known) < 1000:  # 0.0 and -0.0 are one key
        known[value] = array
    return array


def promote(op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Bring differentiable arguments to one float type, with recorded casts.

    Numbers, lists and arrays without axes take part without a type of their own. Index arguments, which have
    no vjp, are left alone. Matrix products of float32 with float64 raise.
    """
    dtype = dtype_of(args[0])
    if all([(type(a) is np.ndarray or isinstance(a, Tensor)) and a.dtype is dtype for a in args]):
        return args
    args = tuple([plain(a) for a in args])
    sides = [i for i in range(len(args)) if op.vjp_all is not None or (i < len(op.vjps) and op.vjps[i])]
    typed = [isinstance(a, Tensor) or (isinstance(a, np.ndarray) and a.ndim > 0) for a in args]
    kinds = {args[i].dtype for i in sides if typed[i]}
    if len(kinds) < 2 and all(typed):
        return args
    floats = {k for k in kinds if k.kind in "fc"}
    if not floats and any(as_array(args[i]).dtype.kind == "f" for i in sides if not typed[i]):
        floats = {np.dtype(floatx())}  # integers meet a float
    target = np.result_type(*floats) if floats else (np.result_type(*kinds) if kinds else None)
    if op.strict and len(floats) > 1 and not mode().wide:
        names = " and ".join(sorted(str(k) for k in floats))
        got = ", ".join(f"{a.shape} {a.dtype}" for a in args if isinstance(a, (Tensor, np.ndarray)))
        scope = mode().scope
        raise TypeError(
            f"{op.name}: arguments of {names} do not mix; cast one, e.g. x.astype({floatx()!r}); received {got}. "
            "Arrays of NumPy are float64 if they are given no dtype, and so is what they are added to or multiplied by"
            + (f" [{scope}]" if str(scope) else "")
        )
    result = list(args)
    for i, a in enumerate(args):
        if isinstance(a, Tensor):
            if i in sides and target is not None and a.dtype != target:
                result[i] = a.astype(target)
        elif i in sides and target is not None:
            result[i] = np.asarray(a, dtype=target)
        elif not isinstance(a, np.ndarray):
            result[i] = as_array(a)
    return tuple(result)
