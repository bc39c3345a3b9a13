"""Functions of each element: arithmetic, powers, exponentials, comparisons. Arguments broadcast.

Reading a statement: `name, forward kernel, vjp of each argument`. In a vjp, `g` is the cotangent of the
output `y`; the engine sums the result over broadcast axes. Kinks: `abs` and `sign` have derivative 0 at
0; `maximum` and `minimum` share a tie equally; `clip` passes the gradient on its bounds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..config import mode
from ..core.arrays import choose, to_array
from ..core.autodiff import not_taken
from ..core.operands import as_array, known
from ..core.record import elementwise, kernel, primitive, quiet
from ..core.tensor import Tensor
from . import kernels


def no_leak(g: Any, value: Any) -> Any:
    """`value`, but 0 where the cotangent is 0.

    `0 · inf` is NaN in floating point. A branch that `where` did not take has cotangent 0, and must stay
    out of the gradient even if its own derivative is infinite there.
    """
    return where(not_taken(g, value), 0, value)


# --- arithmetic ---------------------------------------------------------------------------------


def _divide_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    if type(b) is np.ndarray and b.ndim == 0 and b:  # a number that is not 0 leaks nothing
        return g / b
    return no_leak(g, g / b)


add = elementwise(
    "add", np.add, lambda g, y, a, b: g, lambda g, y, a, b: g,
    reads="", doc="y = a + b",
)  # fmt: skip
subtract = elementwise(
    "subtract", np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g,
    reads="", doc="y = a − b",
)  # fmt: skip
multiply = elementwise(
    "multiply", np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a,
    reads="x", doc="y = a · b;  ∂a = g · b,  ∂b = g · a",
)  # fmt: skip
divide = elementwise(
    "divide", quiet(np.divide),
    _divide_left, lambda g, y, a, b: no_leak(g, -g * y / b),
    reads="1y", numpy=np.divide, doc="y = a / b;  ∂a = g / b,  ∂b = −g · y / b",
)  # fmt: skip
negative = elementwise("negative", np.negative, lambda g, y, x: -g, reads="", doc="y = −x;  ∂x = −g")
power: Any = elementwise(
    "power", kernel(quiet(kernels.power)),
    lambda g, y, a, b: no_leak(g, where(b == 0, 0.0, g * b * power(a, where(b == 0, 1, b - 1)))),
    lambda g, y, a, b: no_leak(g, g * where(a == 0, 0.0, y * log(where(a == 0, 1, a)))),
    reads="xy", numpy=np.power, doc="y = a ** b;  ∂a = g · b · a ** (b − 1),  ∂b = g · y · log a",
)  # fmt: skip
square = elementwise("square", np.square, lambda g, y, x: g * (2.0 * x), reads="x", doc="y = x²;  ∂x = 2 g x")
sqrt = elementwise(
    "sqrt", quiet(np.sqrt), lambda g, y, x: no_leak(g, 0.5 * g / y),
    reads="y", numpy=np.sqrt, doc="y = √x;  ∂x = g / (2 y)",
)  # fmt: skip
reciprocal = elementwise(
    "reciprocal", quiet(np.reciprocal), lambda g, y, x: no_leak(g, -g * y * y),
    reads="y", numpy=np.reciprocal, doc="y = 1 / x;  ∂x = −g y²",
)  # fmt: skip
mod = elementwise(
    "mod", quiet(np.mod), lambda g, y, a, b: g, lambda g, y, a, b: no_leak(g, -g * floor_divide(a, b)),
    reads="x", numpy=np.mod, analytic=False, doc="y = a mod b;  ∂a = g,  ∂b = −g · floor(a / b)",
)  # fmt: skip
rsqrt = elementwise(
    "rsqrt", kernel(quiet(lambda x: 1.0 / np.sqrt(x))), lambda g, y, x: no_leak(g, -0.5 * g * y * y * y),
    reads="y", doc="y = 1 / √x;  ∂x = −g y³ / 2",
)  # fmt: skip

# --- exponentials and logarithms ------------------------------------------------------------------

exp = elementwise(
    "exp", quiet(np.exp), lambda g, y, x: no_leak(g, g * y), reads="y", numpy=np.exp, doc="y = eˣ;  ∂x = g y"
)
expm1 = elementwise(
    "expm1", quiet(np.expm1), lambda g, y, x: no_leak(g, g * (y + 1.0)),
    reads="y", numpy=np.expm1, doc="y = eˣ − 1, exact near 0;  ∂x = g (y + 1)",
)  # fmt: skip
log: Any = elementwise(
    "log",
    quiet(np.log),
    lambda g, y, x: no_leak(g, g / x),
    reads="x",
    numpy=np.log,
    doc="y = ln x;  ∂x = g / x",
)
log1p = elementwise(
    "log1p", quiet(np.log1p), lambda g, y, x: no_leak(g, g / (1.0 + x)),
    reads="x", numpy=np.log1p, doc="y = ln(1 + x), exact near 0;  ∂x = g / (1 + x)",
)  # fmt: skip
log2 = elementwise(
    "log2", quiet(np.log2), lambda g, y, x: no_leak(g, g / (x * math.log(2.0))),
    reads="x", numpy=np.log2, analytic=False, doc="y = log₂ x;  ∂x = g / (x ln 2)",
)  # fmt: skip
log10 = elementwise(
    "log10", quiet(np.log10), lambda g, y, x: no_leak(g, g / (x * math.log(10.0))),
    reads="x", numpy=np.log10, doc="y = log₁₀ x;  ∂x = g / (x ln 10)",
)  # fmt: skip
logaddexp = elementwise(
    "logaddexp", quiet(np.logaddexp),
    lambda g, y, a, b: no_leak(g, g * exp(a - y)), lambda g, y, a, b: no_leak(g, g * exp(b - y)),
    reads="xy", numpy=np.logaddexp, analytic=False, doc="y = ln(eᵃ + eᵇ);  ∂a = g e^(a − y)",
)  # fmt: skip

# --- trigonometric and hyperbolic -----------------------------------------------------------------

sin = elementwise(
    "sin", quiet(np.sin), lambda g, y, x: no_leak(g, g * cos(x)),
    reads="x", numpy=np.sin, doc="y = sin x;  ∂x = g cos x",
)  # fmt: skip
cos: Any = elementwise(
    "cos", quiet(np.cos), lambda g, y, x: no_leak(g, -g * sin(x)),
    reads="x", numpy=np.cos, doc="y = cos x;  ∂x = −g sin x",
)  # fmt: skip
tan = elementwise(
    "tan", quiet(np.tan), lambda g, y, x: no_leak(g, g * (1.0 + y * y)),
    reads="y", numpy=np.tan, doc="y = tan x;  ∂x = g (1 + y²)",
)  # fmt: skip
sinh = elementwise(
    "sinh", quiet(np.sinh), lambda g, y, x: no_leak(g, g * cosh(x)),
    reads="x", numpy=np.sinh, doc="y = sinh x;  ∂x = g cosh x",
)  # fmt: skip
cosh: Any = elementwise(
    "cosh", quiet(np.cosh), lambda g, y, x: no_leak(g, g * sinh(x)),
    reads="x", numpy=np.cosh, doc="y = cosh x;  ∂x = g sinh x",
)  # fmt: skip
arcsin = elementwise(
    "arcsin", quiet(np.arcsin), lambda g, y, x: no_leak(g, g / sqrt(1.0 - x * x)),
    reads="x", numpy=np.arcsin, doc="y = arcsin x;  ∂x = g / √(1 − x²)",
)  # fmt: skip
arccos = elementwise(
    "arccos", quiet(np.arccos), lambda g, y, x: no_leak(g, -g / sqrt(1.0 - x * x)),
    reads="x", numpy=np.arccos, doc="y = arccos x;  ∂x = −g / √(1 − x²)",
)  # fmt: skip
arctan = elementwise(
    "arctan", np.arctan, lambda g, y, x: g / (1.0 + x * x), reads="x", doc="y = arctan x;  ∂x = g / (1 + x²)"
)
arctanh = elementwise(
    "arctanh", quiet(np.arctanh), lambda g, y, x: no_leak(g, g / (1.0 - x * x)),
    reads="x", numpy=np.arctanh, doc="y = artanh x;  ∂x = g / (1 − x²)",
)  # fmt: skip

erf = elementwise(
    "erf", kernel(kernels.erf), lambda g, y, x: g * (2.0 / math.sqrt(math.pi)) * exp(-x * x),
    reads="x", analytic=False,
    doc="y = erf x (of float64 the C library's, one element at a time);  ∂x = g · 2/√π · e^(−x²)",
)  # fmt: skip

# --- kinks and choices ----------------------------------------------------------------------------

absolute = elementwise(
    "absolute", np.absolute, lambda g, y, x: g * sign(x),
    reads="x", analytic=False, doc="y = |x|;  ∂x = g sign x, 0 at 0",
)  # fmt: skip
maximum = elementwise(
    "maximum", np.maximum,
    lambda g, y, a, b: where(a > b, g, where(a == b, 0.5 * g, 0)),
    lambda g, y, a, b: where(b > a, g, where(a == b, 0.5 * g, 0)),
    reads="x", analytic=False, doc="y = max(a, b);  the larger gets g, equal ones half each",
)  # fmt: skip
minimum = elementwise(
    "minimum", np.minimum,
    lambda g, y, a, b: where(a < b, g, where(a == b, 0.5 * g, 0)),
    lambda g, y, a, b: where(b < a, g, where(a == b, 0.5 * g, 0)),
    reads="x", analytic=False, doc="y = min(a, b);  the smaller gets g, equal ones half each",
)  # fmt: skip
where_op = elementwise(
    "where", kernel(choose), None,
    lambda g, y, c, a, b: where(c, g, 0), lambda g, y, c, a, b: where(c, 0, g),
    reads="0", analytic=False, doc="y = a where c holds, else b;  ∂a = g there, ∂b = g elsewhere",
)  # fmt: skip
clip_op = primitive(
    "clip", lambda x, low, high, out=None: np.clip(x, low, high, out=out),
    lambda g, y, x, low, high: where((x >= low) & (x <= high), g, 0),
    reads="x", analytic=False, doc="y = min(max(x, low), high);  ∂x = g inside, bounds included",
)  # fmt: skip
cast_op = primitive(
    "cast", kernel(lambda x, dtype: x.astype(dtype, copy=False)), lambda g, y, x, dtype: g.astype(x.dtype),
    reads="", doc="y = x in another dtype;  ∂x = g in the dtype of x",
)  # fmt: skip

# --- without gradient -----------------------------------------------------------------------------

sign: Any = elementwise("sign", np.sign, None, reads="", doc="−1, 0 or 1")
floor: Any = elementwise("floor", np.floor, None, reads="", doc="largest integer ≤ x")
ceil = elementwise("ceil", np.ceil, None, reads="", doc="smallest integer ≥ x")
round_ = elementwise("round", kernel(np.round), None, reads="", doc="nearest integer, halves to even")
isfinite = elementwise("isfinite", np.isfinite, None, reads="", doc="neither infinite nor NaN")
isnan = elementwise("isnan", np.isnan, None, reads="", doc="NaN")
isinf = elementwise("isinf", np.isinf, None, reads="", doc="infinite")
logical_not = elementwise("logical_not", np.logical_not, None, reads="", doc="not x")
equal = elementwise("equal", np.equal, None, None, reads="", doc="a = b")
not_equal = elementwise("not_equal", np.not_equal, None, None, reads="", doc="a ≠ b")
less = elementwise("less", np.less, None, None, reads="", doc="a < b")
less_equal = elementwise("less_equal", np.less_equal, None, None, reads="", doc="a ≤ b")
greater = elementwise("greater", np.greater, None, None, reads="", doc="a > b")
greater_equal = elementwise("greater_equal", np.greater_equal, None, None, reads="", doc="a ≥ b")
logical_and = elementwise("logical_and", np.logical_and, None, None, reads="", doc="a and b")
logical_or = elementwise("logical_or", np.logical_or, None, None, reads="", doc="a or b")
floor_divide: Any = elementwise(
    "floor_divide", quiet(np.floor_divide), None, None, reads="", numpy=np.floor_divide, doc="floor(a / b)"
)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """Elements of `x1` where `condition` holds, of `x2` elsewhere; the three broadcast.

    The gradient of the branch not taken is exactly 0, even if that branch is infinite or NaN. Of a condition alone,
    the places where it holds: an array of indices for each axis.

    >>> where(np.array([True, False]), 1.0, np.array([5.0, 6.0])).tolist()
    [1.0, 6.0]
    """
    if x1 is None or x2 is None:
        if x1 is not x2:
            raise ValueError("where: expected x1 and x2, or neither")
        return np.nonzero(np.asarray(condition))
    if not any(isinstance(a, Tensor) for a in (condition, x1, x2)):
        if not (hasattr(x1, "dtype") or hasattr(x2, "dtype")):
            x1, x2 = as_array(x1), as_array(x2)
        return choose(condition, x1, x2)
    condition = condition.detach() if isinstance(condition, Tensor) else np.asarray(condition)
    return where_op(condition, x1, x2)


def clip(x: Any, x_min: Any = None, x_max: Any = None) -> Any:
    """Limit the elements to `[x_min, x_max]`; None leaves a side open.

    >>> clip(np.array([-2.0, 0.5, 9.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    dtype = getattr(x, "dtype", np.dtype(float))
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None  # integers stay integers
    low = x_min if x_min is not None else -math.inf if limits is None else limits.min
    high = x_max if x_max is not None else math.inf if limits is None else limits.max
    if not any(isinstance(b, Tensor) for b in (low, high)) and np.any(np.asarray(low) > np.asarray(high)):
        raise ValueError(f"clip: x_min must not exceed x_max, received {x_min} and {x_max}")
    if all(not isinstance(b, Tensor) and np.ndim(b) == 0 for b in (low, high)):
        return clip_op(x, low=np.asarray(low).item(), high=np.asarray(high).item())
    return minimum(maximum(x, low), high)


def cast(x: Any, dtype: Any) -> Any:
    """Convert to another dtype; between float types the gradient is converted back. Numbers and lists give a Tensor.

    >>> cast(np.array([1.9]), "int64").tolist(), cast([True, False], "float32").tolist()
    ([1], [1.0, 0.0])
    """
    dtype = np.dtype(dtype)
    if not hasattr(x, "dtype"):
        return Tensor(to_array(x, dtype), None)
    if x.dtype == dtype or (mode().wide and dtype.kind in "fc" and np.result_type(x.dtype, dtype) != dtype):
        return x
    if isinstance(x, Tensor) and dtype.kind not in "fc":
        x = x.detach()  # integers have no gradient
    return cast_op(x, dtype=dtype)


def round(x: Any, decimals: int = 0) -> Any:
    """Round to `decimals` places, halves to even. No gradient.

    >>> round(np.array([2.5, 3.5])).tolist()
    [2.0, 4.0]
    """
    scale = 10.0**decimals
    return round_(x) if decimals == 0 else round_(x * scale) / scale


def logical_xor(x1: Any, x2: Any) -> Any:
    """Whether one of two holds, and not both; numbers hold unless they are 0.

    >>> bool(logical_xor(True, 2.0)), bool(logical_xor(0, True))
    (False, True)
    """
    return not_equal(logical_not(x1), logical_not(x2))


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """`x1 / x2`, and 0 where `x2` is 0, with gradients that are 0 there.

    >>> divide_no_nan(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    none = equal(x2, 0)
    return where(none, 0.0, divide(x1, where(none, 1.0, x2)))


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """NaN and infinities replaced; without a number for these, the largest and lowest of the type take their place.

    Gradients are 0 where something was replaced.

    >>> nan_to_num(np.array([np.nan, 1.0, np.inf]), posinf=9.0).tolist()
    [0.0, 1.0, 9.0]
    """
    x = known(x)
    if x.dtype.kind != "f":
        return x
    largest, lowest = np.finfo(x.dtype).max, np.finfo(x.dtype).min
    above = x.dtype.type(largest if posinf is None else posinf)
    below = x.dtype.type(lowest if neginf is None else neginf)
    return where(isnan(x), x.dtype.type(nan), where(isinf(x), where(greater(x, 0), above, below), x))


abs = absolute
true_divide = divide
pow = power
