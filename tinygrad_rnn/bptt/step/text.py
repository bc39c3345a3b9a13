"""How each op is written in NumPy: statements that leave the result in a given array, or a view.

A statement is written for one time step, or with `lead=1` for all steps at once, with time as the first axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from ...core.op import OPS
from ...ops.indexing import is_basic
from ...ops.kernels import ERF_ABOVE, ERF_BELOW, ERF_END
from ...ops.nn import MODERATE
from .body import Underivable, Value

Lines = list[str]


UFUNCS = (
    "add subtract multiply divide negative square sqrt reciprocal exp expm1 log log1p log2 log10 logaddexp sin cos "
    "tan sinh cosh arcsin arccos arctan arctanh absolute maximum minimum tanh power mod sign floor ceil isfinite "
    "isnan isinf logical_not equal not_equal less less_equal greater greater_equal logical_and logical_or "
    "floor_divide"
).split()


def _with_out(name: str) -> Callable[..., Lines]:
    """A NumPy function with `out=`."""
    return lambda y, a, attrs, lead: [f"{name}({', '.join(a)}, out={y})"]


def _written(*forms: str) -> Callable[..., Lines]:
    """Statements in which `{y}` stands for the result, `{0}`, `{1}` … for the arguments, names for attributes.

    `{keep}` is there if axes stay, `{squeeze}` takes them away if they do not.
    """

    def lines(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
        words = {
            name: str(_BEHIND_TIME[name](value, lead)) if name in _BEHIND_TIME else number(value)
            for name, value in attrs.items()
        }
        keep, squeeze = "", f".squeeze({words.get('axis')})"
        if attrs.get("keepdims"):
            keep, squeeze = ", keepdims=True", ""
        return [form.format(*a, **words, y=y, keep=keep, squeeze=squeeze) for form in forms]

    return lines


def _moved(axis: Any, lead: int) -> Any:
    """An axis or several, behind that of time."""
    return axis + lead if isinstance(axis, (int, np.integer)) else tuple([a + lead for a in axis])


def _reduction(name: str) -> Callable[..., Lines]:
    return _written(name + "({0}, axis={axis}{keep}, out={y})")


def _vecdot(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    return [f"np.vecdot({a[0]}, {a[1]}, out={y}{'[..., 0]' if attrs['keepdims'] else ''})"]


def _argument(name: str) -> Callable[..., Lines]:
    def lines(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
        if attrs["axis"] is None and lead:
            return [f"{y}[...] = np.{name}({a[0]}.reshape(len({a[0]}), -1), axis=1)"]
        axis = attrs["axis"] if attrs["axis"] is None or attrs["axis"] < 0 else attrs["axis"] + lead
        return [f"{y}[...] = np.{name}({a[0]}, axis={axis})"]

    return lines


def _einsum(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    optimize = ", optimize=True" if attrs["optimize"] else ""
    return [f'np.einsum("{attrs["subscripts"]}", {", ".join(a)}{optimize}, out={y})']


def _pad(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    """In two statements; `np.pad` is Python code, and takes ten times as long for a step."""
    inner = [slice(before or None, -after or None) for before, after in attrs["widths"]]
    return [f"{y}[...] = {number(attrs['value'])}", f"{y}[{index_text(tuple(inner), lead)}] = {a[0]}"]


def _take(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    return [f"np.take({a[0]}, {a[1]}, axis={attrs['axis']}, out={y})"]


def _scatter_add(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    axis = attrs["axis"]
    index = f"np.s_[{':, ' * axis}{a[1]}]" if axis else a[1]
    return [f"{y}[...] = 0", f"np.add.at({y}, {index}, {a[0]})"]


def _put_back(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    index = index_text(attrs["index"], lead)
    if is_basic(attrs["index"]):
        return [f"{y}[...] = 0", f"{y}[{index}] = {a[0]}"]
    return [f"{y}[...] = 0", f"np.add.at({y}, np.s_[{index}], {a[0]})"]


def _fold(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    """The columns of a weight, gate by gate in another order and with a factor each."""
    order, scales, width, lines = attrs["order"], attrs["scales"], attrs["width"], []
    moves = [(gate - place, scale) for place, (gate, scale) in enumerate(zip(order, scales, strict=True))]
    runs = [(move, [*places]) for move, places in groupby(range(len(moves)), moves.__getitem__)]
    for (shift, scale), places in runs:
        to, of = f"{y}[...]", a[0]
        if len(runs) > 1:
            start, stop, moved = places[0] * width, (places[-1] + 1) * width, shift * width
            to, of = f"{y}[..., {start}:{stop}]", f"{a[0]}[..., {start + moved}:{stop + moved}]"
        times = f"np.multiply({of}, {scale}, out={to.removesuffix('[...]')})"
        lines.append(f"{to} = {of}" if scale == 1.0 else times)
    return lines


def _strips(y: str, a: list[str], attrs: dict[str, Any], lead: int) -> Lines:
    """The columns of a weight in strips, each in one piece."""
    shape, axis = attrs["cut"], len(attrs["cut"]) - 3
    return [f"{y}[...] = {a[0]}.reshape({shape_text(shape)}).swapaxes({axis}, {axis + 1})"]


# Other forms of an op.
KIN = dict.fromkeys(("sigmoid_of_negative", "half_plus_half", "sigmoid_by_tanh"), "sigmoid")
# The maximum over some axes, which stay; −∞ of nothing.
_TOP = "top = np.maximum.reduce({0}, axis={axis}, keepdims=True, initial=-np.inf)"
_SUM = "np.add.reduce({y}, axis={axis}, keepdims=True)"
_SOFTMAX = "subtract({0}, top, out={y})", "exp({y}, out={y})", f"divide({{y}}, {_SUM}, out={{y}})"
STATEMENTS: dict[str, Callable[..., Lines]] = {  # of the ops that `Statements` does not write itself
    **{name: _with_out(name) for name in UFUNCS},
    # NumPy 2.4's negative is wrong for columns of a matrix with four (float64: eight) columns into columns
    "negative": _written("multiply({0}, minus_one, out={y})"),
    "zero_minus": _written("subtract(zero, {0}, out={y})"),  # of unsigned integers
    "sigmoid": _written(
        "multiply({0}, minus_one, out={y})", "exp({y}, out={y})", "add({y}, one, out={y})", "reciprocal({y}, out={y})"
    ),
    "sigmoid_of_negative": _written("exp({0}, out={y})", "add({y}, one, out={y})", "reciprocal({y}, out={y})"),
    "sigmoid_by_tanh": _written(
        "multiply({0}, half, out={y})", "tanh({y}, out={y})", "multiply({y}, half, out={y})", "add({y}, half, out={y})"
    ),
    "half_plus_half": _written("multiply({0}, half, out={y})", "add({y}, half, out={y})"),
    "fold": _fold, "strips": _strips,
    "third_power": _written("multiply({0} * {0}, {0}, out={y})"),
    "fourth_power": _written("multiply({0}, {0}, out={y})", "multiply({y}, {y}, out={y})"),
    "relu": _written("maximum({0}, zero, out={y})"),
    "rsqrt": _written("sqrt({0}, out={y})", "divide(one, {y}, out={y})"),
    "softplus": _written("{y}[...] = np.maximum({0}, 0) + np.log1p(np.exp(-np.abs({0})))"),
    "softsign": _written("{y}[...] = {0} / (1.0 + np.abs({0}))"),
    "silu": _written("{y}[...] = {0} * np.reciprocal(np.exp(-{0}) + 1.0)"),
    "erf": _written("{y}[...] = np.frompyfunc(math.erf, 1, 1)({0})"),
    "erf_by_quotient": _written(  # of float32, as the engine has it
        f"near = np.clip({{0}}.astype('float32'), {-ERF_END}, {ERF_END})",
        f"above = np.polyval(np.float32({ERF_ABOVE}), near * near)",
        f"below = np.polyval(np.float32({ERF_BELOW}), near * near)",
        "{y}[...] = np.clip(near * above / below, -1.0, 1.0)",
    ),
    "round": _written("{y}[...] = np.round({0})"),
    "copy": _written("{y}[...] = {0}"), "cast": _written("{y}[...] = {0}"),
    "where": _written("{y}[...] = np.where({0}, {1}, {2})"),
    "binary_cross_entropy": _written(
        "{y}[...] = np.maximum({0}, 0) - {0} * {1} + np.log1p(np.exp(-np.abs({0})))"
    ),
    "clip": _written("np.clip({0}, {low}, {high}, out={y})"),
    "sum": _reduction("np.add.reduce"), "prod": _reduction("np.multiply.reduce"),
    "vecdot": _vecdot,
    "max": _reduction("np.maximum.reduce"), "min": _reduction("np.minimum.reduce"),
    "all": _reduction("np.all"), "any": _reduction("np.any"),
    "argmax": _argument("argmax"), "argmin": _argument("argmin"),
    "softmax": _written(_TOP, *_SOFTMAX),
    "softmax_of_many": _written(  # as the engine has it
        f"top = 0.0 if np.abs({{0}}).max() <= {MODERATE} else " + _TOP.removeprefix("top = "), *_SOFTMAX
    ),
    "log_softmax": _written(
        _TOP, "subtract({0}, top, out={y})",
        "subtract({y}, np.log(np.add.reduce(np.exp({y}), axis={axis}, keepdims=True)), out={y})",
    ),
    "logsumexp": _written(
        _TOP, "top = np.where(np.isfinite(top), top, 0).astype({0}.dtype)",
        "{y}[...] = (np.log(np.sum(np.exp({0} - top), axis={axis}, keepdims=True)) + top){squeeze}",
    ),
    "norm": _written("{y}[...] = np.sqrt(np.sum({0} * {0}, axis={axis}, keepdims={keepdims}))"),
    "cumsum": _written("np.cumsum({0}, axis={axis}, out={y})"),
    "solve": _written("{y}[...] = np.linalg.solve({0}, {1})"),
    "einsum": _einsum, "roll": _written("{y}[...] = np.roll({0}, {shift}, {axis})"),
    "pad": _pad, "take": _take, "scatter_add": _scatter_add,
    "put_back": _put_back, "getitem": _written("{y}[...] = {0}[{index}]"),
}  # fmt: skip


def row_by_row(v: Value) -> bool:
    """Whether an op makes each element of the one in its place, or of those in its row."""
    op = OPS.get(KIN.get(v.op, v.op))
    return op is not None and op.broadcasts or v.op in ("softmax", "log_softmax")


def number(value: Any) -> str:
    """A Python number as text."""
    text = repr(value)
    return {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}.get(text, text)


def takes_all(value: Value) -> bool:
    """Whether an index takes every element, in order: it only leaves out or adds axes of length 1."""
    index = value.attrs["index"]
    parts = index if isinstance(index, tuple) else (index,)
    forwards = all(p.step is None or p.step > 0 for p in parts if isinstance(p, slice))
    return is_basic(index) and forwards and math.prod(value.shape) == math.prod(value.args[0].shape)


def index_text(index: Any, lead: int) -> str:
    """An index as it is written between brackets."""
    parts = index if isinstance(index, tuple) else (index,)
    return ", ".join([":"] * lead + [_index_part(p) for p in parts])


def _index_part(part: Any) -> str:
    if isinstance(part, slice):
        ends = ["" if e is None else str(int(e)) for e in (part.start, part.stop)]
        return ":".join(ends) + ("" if part.step is None else f":{int(part.step)}")
    if part is Ellipsis:
        return "..."
    if isinstance(part, np.ndarray):
        if part.size > 256:
            raise Underivable("an index array of more than 256 elements")
        return f"np.array({part.tolist()!r}, dtype={str(part.dtype)!r})"
    return "None" if part is None else str(int(part))


_BEHIND_TIME: dict[str, Callable[[Any, int], Any]] = {  # attributes that count axes: `lead` more are in front
    "axis": _moved,
    "index": index_text,
}


# --- views ------------------------------------------------------------------------------------------


def shape_text(shape: Any) -> str:
    """A shape as it is written."""
    inner = ", ".join(str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def view_text(value: Value, x: str, *steps: str) -> str:
    """The expression for an op that only looks at its argument in another way: `x`, whose first axis has `steps`.

    A reshape is a view of a contiguous array only.
    """
    attrs, lead, colon = value.attrs, len(steps), ":, " * len(steps)
    if value.op == "part":
        parent, k = value.args[0], attrs["index"]
        at = ("", *parent.attrs.get("at", ()), "")
        cut = f"{at[k]}:{at[k + 1]}" if parent.op == "split" else k
        rest = "" if value.shape or lead else "..., "  # an array without axes, not a number
        return f"{x}[{rest}{colon}{':, ' * parent.attrs['axis']}{cut}]"
    if value.op == "reshape":
        return f"{x}.reshape({shape_text((*steps, *value.shape))})"
    if value.op == "transpose":
        axes = (*range(lead), *_moved(attrs["axes"], lead))
        if axes == (1, 0):
            return f"{x}.T"
        return f"{x}.transpose({', '.join(map(str, axes))})"
    if value.op == "broadcast_to":
        more = len(value.shape) - len(value.args[0].shape)
        if lead and more:
            x = f"{x}[{', '.join([':'] * lead + ['None'] * more)}]"
        return f"np.broadcast_to({x}, {shape_text((*steps, *value.shape))})"
    if value.op == "flip":
        return f"np.flip({x}, {_moved(attrs['axis'], lead)})"
    if value.op == "getitem":
        index = index_text(attrs["index"], lead)
        rest = "" if value.shape or lead or "..." in index else ", ..."  # an array without axes, not a number
        return f"{x}[{index}{rest}]"
    return x


def is_view(value: Value) -> bool:
    """Whether the op only looks at its argument in another way."""
    return value.op in VIEWS and (value.op != "getitem" or is_basic(value.attrs["index"]))


def batchable(value: Value, per_step: Callable[[Any], bool]) -> bool:
    """Whether the op can run for all steps at once; `per_step` tells which arguments have a time axis."""
    op = value.op
    if op == "einsum" or op == "scatter_add":
        return False
    if op == "rows":
        return all(a.op != "state" for a in value.inputs)
    if op == "take":
        return not per_step(value.args[0]) and value.attrs["axis"] == 0
    if op in ("getitem", "put_back"):
        return is_basic(value.attrs["index"])
    if op in ("broadcast_to", "cumsum", "concatenate", "stack"):
        return all(per_step(a) for a in value.inputs) and not (
            op == "broadcast_to" and len(value.inputs[0].shape) != len(value.shape)
        )
    if op in ("matmul", "vecdot", "solve"):
        left, right = (len(a.shape) for a in value.inputs)
        once = [not per_step(a) for a in value.inputs]
        fits = left == right or (once[0] and left < right) or (once[1] and right < left)
        return fits and (op == "vecdot" or min(left, right) >= 2)
    return op in STATEMENTS or op in VIEWS


VIEWS = "part split unstack reshape transpose broadcast_to flip stop getitem".split()
