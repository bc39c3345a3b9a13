"""The ops, under the names and arguments of `keras.ops` (NumPy's where Keras has none).

Given Tensors an op is recorded; given arrays it returns an array. Importing this package gives Tensor
its operators and methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..core.transforms import stop_gradient
from . import protocols, random, symbols
from .activations import (
    celu,
    glu,
    hard_shrink,
    hard_silu,
    hard_swish,
    hard_tanh,
    log_sigmoid,
    relu6,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    tanh_shrink,
    threshold,
)  # fmt: skip
from .creation import (
    arange,
    convert_to_numpy,
    convert_to_tensor,
    eye,
    full,
    full_like,
    identity,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from .ctc import ctc_decode, ctc_loss
from .elementwise import (
    abs,
    absolute,
    add,
    arccos,
    arcsin,
    arctan,
    arctanh,
    cast,
    ceil,
    clip,
    cos,
    cosh,
    divide,
    divide_no_nan,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    mod,
    multiply,
    nan_to_num,
    negative,
    not_equal,
    pow,
    power,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    true_divide,
    where,
)  # fmt: skip
from .indexing import getitem, one_hot, pad, repeat, scatter, segment_sum, take, take_along_axis
from .linalg import dot, einsum, matmul, norm, outer, tensordot
from .matrices import diag, diagonal, inv, solve, trace, tril, triu
from .nn import (
    binary_crossentropy,
    categorical_crossentropy,
    elu,
    gelu,
    hard_sigmoid,
    leaky_relu,
    log_softmax,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    sparse_categorical_crossentropy,
    swish,
    tanh,
)  # fmt: skip
from .normalizing import layer_normalization, moments, normalize, rms_normalization
from .random import categorical, dropout, normal, randint, shuffle, truncated_normal, uniform
from .reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    average,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from .shape import (
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    hstack,
    moveaxis,
    ndim,
    ravel,
    reshape,
    roll,
    shape,
    size,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
    unstack,
    vstack,
)  # fmt: skip
from .slices import slice, slice_update

# NumPy's function -> ours, where name and leading arguments agree (Tensor.__array_function__).
_SAME_IN_NUMPY = """
    all any argmax argmin average broadcast_to clip cumsum diag diagonal dot einsum expand_dims flip hstack max mean
    min moveaxis ndim ones_like outer pad prod ravel repeat reshape roll round shape size split squeeze stack std
    sum swapaxes take take_along_axis tensordot tile trace transpose tril triu unstack var vstack where zeros_like
"""
for _name in _SAME_IN_NUMPY.split():
    if hasattr(np, _name):
        protocols.FUNCTIONS[getattr(np, _name)] = globals()[_name]
protocols.FUNCTIONS |= {np.linalg.norm: norm, np.linalg.solve: solve, np.linalg.inv: inv}
protocols.FUNCTIONS[np.concatenate] = lambda xs, axis=0: concatenate(xs, axis=axis)  # NumPy's default axis


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: function(other, self)


def _boolean(function: Callable[..., Any], sign: str) -> Callable[..., Any]:
    """`&`, `|` and `~` are those of truth values; for integers NumPy means bits, which have no op here."""

    def method(self: Tensor, *others: Any) -> Any:
        for value in (self, *others):
            kind = value.dtype if isinstance(value, Tensor) else np.asarray(value).dtype
            if kind.kind != "b":
                raise TypeError(
                    f"{sign} on tensors joins truth values, received {kind}; compare first, e.g. x > 0"
                )
        return function(self, *others)

    return method


def _sizes(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], (tuple, list)) else values


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise TypeError("iteration over a tensor without axes")
    return iter(unstack(self, axis=0))


def _matrix_transpose(self: Tensor) -> Tensor:
    if self.ndim < 2:
        raise ValueError(f"mT: expected at least 2 axes, received shape {self.shape}")
    result: Tensor = swapaxes(self, -1, -2)
    return result


_METHODS: dict[str, Any] = {
    "__add__": add, "__radd__": _swapped(add), "__sub__": subtract, "__rsub__": _swapped(subtract),
    "__mul__": multiply, "__rmul__": _swapped(multiply), "__truediv__": divide, "__rtruediv__": _swapped(divide),
    "__floordiv__": floor_divide, "__rfloordiv__": _swapped(floor_divide), "__mod__": mod, "__rmod__": _swapped(mod),
    "__pow__": power, "__rpow__": _swapped(power), "__matmul__": matmul, "__rmatmul__": _swapped(matmul),
    "__neg__": negative, "__abs__": absolute, "__lt__": less, "__le__": less_equal, "__gt__": greater,
    "__ge__": greater_equal, "__eq__": equal, "__ne__": not_equal,
    "__and__": _boolean(logical_and, "&"), "__or__": _boolean(logical_or, "|"),
    "__rand__": _boolean(logical_and, "&"), "__ror__": _boolean(logical_or, "|"),
    "__invert__": _boolean(logical_not, "~"),
    "__array_ufunc__": protocols.array_ufunc, "__array_function__": protocols.array_function,
    "__getitem__": getitem, "__iter__": _iterate, "T": property(lambda self: transpose(self)),
    "mT": property(_matrix_transpose),
    "sum": sum, "mean": mean, "prod": prod, "max": max, "min": min, "var": var, "std": std, "all": all, "any": any,
    "argmax": argmax, "argmin": argmin, "cumsum": cumsum, "dot": dot, "round": round, "flatten": ravel,
    "reshape": lambda self, *shape: reshape(self, _sizes(shape)),
    "transpose": lambda self, *axes: transpose(self, _sizes(axes) if axes and axes != (None,) else None),
    "swapaxes": swapaxes, "squeeze": squeeze, "astype": cast, "clip": clip,
}  # fmt: skip
for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)

__all__ = [
    "abs", "absolute", "add", "all", "amax", "amin", "any", "arange", "arccos", "arcsin", "arctan",
    "arctanh", "argmax", "argmin", "binary_crossentropy", "broadcast_to", "cast", "categorical",
    "categorical_crossentropy", "ceil", "clip", "concatenate", "convert_to_numpy", "convert_to_tensor",
    "ctc_decode", "ctc_loss",
    "cos", "cosh", "cumsum", "divide", "dot", "dropout", "einsum", "elu", "equal", "erf", "exp",
    "expand_dims", "expm1", "eye", "flip", "floor", "floor_divide", "full", "full_like", "gelu", "getitem", "greater",
    "greater_equal", "hard_sigmoid", "isfinite", "isinf", "isnan", "leaky_relu", "less", "less_equal",
    "log", "log10", "log1p", "log2", "log_softmax", "logaddexp", "logical_and", "logical_not", "logical_or",
    "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "mod", "moveaxis", "multiply",
    "ndim", "negative", "norm", "normal", "not_equal", "one_hot", "ones", "ones_like", "outer", "pad",
    "pow", "power", "prod", "randint", "random", "ravel", "reciprocal", "relu", "repeat", "reshape", "roll",
    "round", "rsqrt", "scatter", "segment_sum", "selu", "shape", "shuffle", "sigmoid", "sign", "silu",
    "sin", "sinh", "size", "softmax", "softplus", "softsign", "sparse_categorical_crossentropy", "split",
    "sqrt", "square", "squeeze", "stack", "std", "stop_gradient", "subtract", "sum", "swapaxes", "swish",
    "take", "take_along_axis", "tan", "tanh", "tensordot", "tile", "transpose", "true_divide",
    "celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "relu6", "soft_shrink",
    "sparse_plus", "sparse_sigmoid", "squareplus", "tanh_shrink", "threshold",
    "diag", "diagonal", "inv", "solve", "trace", "tril", "triu",
    "average", "divide_no_nan", "hstack", "identity", "layer_normalization", "linspace", "logical_xor", "moments",
    "nan_to_num", "normalize", "rms_normalization", "slice", "slice_update", "vstack",
    "truncated_normal", "uniform", "unstack", "var", "where", "zeros", "zeros_like",
]  # fmt: skip

# They make tensors from sizes, or give the sizes of one; the others take tensors, and with that symbols.
_OF_SIZES = """
    arange convert_to_numpy eye full identity linspace ndim normal ones randint random shape size truncated_normal
    uniform zeros
"""
for _name in {*__all__} - {*_OF_SIZES.split()}:
    globals()[_name] = symbols.on_symbols(globals()[_name])
