"""The equations of a traced step in the user's names: what the comments of the source refer to."""

from __future__ import annotations

from typing import Any

from ..step.body import Body, Value
from ..step.text import index_text
from .names import Names

_COMPARISONS = {
    "greater": ">", "greater_equal": "≥", "less": "<", "less_equal": "≤", "equal": "==", "not_equal": "≠",
}  # fmt: skip
_SIGNS = {
    "add": "+", "subtract": "−", "multiply": "·", "divide": "/", "matmul": "@", "power": "**", **_COMPARISONS,
}  # fmt: skip
_BINDING = dict.fromkeys(_COMPARISONS.values(), 0) | {"+": 1, "−": 1, "·": 2, "/": 2, "@": 3, "**": 4}
_SHOWN = {  # what no shape tells
    "flip": ("axis",), "roll": ("shift", "axis"), "clip": ("low", "high"),
    "transpose": ("axes",), "pad": ("widths", "value"),
}  # fmt: skip
_OVER_ALL = "sum prod max min all any logsumexp norm argmax argmin".split()  # axes, if none is shown
_OVER_LAST = "cumsum softmax log_softmax concatenate stack split".split()
_OVER_FIRST = "take scatter_add unstack".split()
LONGEST = 400


def number_equations(body: Body, names: Names) -> list[str]:
    """Number the named values of a step, mark every op with the equation it belongs to, and write them down.

    Where a state has its new value under the same name already, the old one is `h[t]`.
    """
    lines: list[str] = []
    targets: dict[Value, str] = {}
    groups: dict[Value, list[str]] = {}  # the labels of the parts of an op
    for v in body.values:
        if v.op == "part":
            groups.setdefault(v.args[0], []).append(v.label)
    for v in body.values:
        if any(groups.get(v, ())):
            targets[v] = ", ".join(label or "_" for label in groups[v])
        elif v.op != "part" and v.label:
            targets[v] = v.label
    before = {
        new: old for old, new in zip(body.states, body.new_states, strict=True) if old.label == new.label
    }
    for v in body.values:
        if v in targets:
            number = f"({len(lines) + 1})"
            _mark(v, number, targets)
            lines.append(f"{number} {targets[v]} = {Expressions(targets).whole(v)}")
            if v in before:
                targets[before[v]] = f"{v.label}[t]"
    names.describe(body)
    return lines + _handed_on(body, Expressions(targets))


def _handed_on(body: Body, writer: Expressions) -> list[str]:
    """Which states begin the next step as something else than the value of their name."""
    pairs = zip(body.states, body.new_states, strict=True)
    moved = [(old, new) for old, new in pairs if old is not new and old.label != new.label]
    if not moved or not all(old.label for old, _ in moved):
        return []
    olds, news = ", ".join([old.label for old, _ in moved]), ", ".join([writer.text(new) for _, new in moved])
    return [f"and for the next step, {olds} = {news}"]


def _mark(v: Value, number: str, targets: dict[Value, str]) -> None:
    v.eq = number
    for a in v.inputs:
        if a not in targets and not a.eq:
            _mark(a, number, targets)


class Expressions:
    """Writes expressions, each once: a step without names may use one of them very often."""

    def __init__(self, targets: dict[Value, str]) -> None:
        self.targets = targets
        self.known: dict[tuple[Value, int], str] = {}

    def text(self, v: Any, binding: int = 0) -> str:
        """An expression in one with an operator that binds so tightly; names stand for what has one."""
        if not isinstance(v, Value):
            return f"{v:g}" if isinstance(v, float) and float(f"{v:g}") == v else str(v)
        if v.label or v in self.targets:
            return self.targets.get(v, v.label)
        if (v, binding) not in self.known:
            self.known[v, binding] = self.whole(v, binding)
        return self.known[v, binding]

    def whole(self, v: Value, binding: int = 0) -> str:
        """An expression that is written out, also if it has a name."""
        if v.op == "part":
            return f"{self.text(v.args[0], 9)}[{v.attrs['index']}]"
        if v.op == "getitem":
            return f"{self.text(v.args[0], 9)}[{index_text(v.attrs['index'], 0)}]"
        sign = _SIGNS.get(v.op)
        if sign is None or len(v.args) != 2:
            shown = [f"{name}={_alone(v.attrs[name])}" for name in _SHOWN.get(v.op, ()) if _tells(v)]
            if v.op in (*_OVER_ALL, *_OVER_LAST, *_OVER_FIRST) and not _expected(v):
                shown.append(f"axis={_alone(v.attrs['axis'])}")
            if v.op == "put_back":
                shown.append(f"index=[{index_text(v.attrs['index'], 0)}]")
            first = [f'"{v.attrs["subscripts"]}"'] if v.op == "einsum" else []
            inner = f"{v.op}({', '.join([*first, *[self.text(a) for a in v.args], *shown])})"
            return inner if len(inner) <= LONGEST else f"{v.op}(…)"
        own = _BINDING[sign]
        after = sign == "**"  # a ** b ** c is a ** (b ** c)
        products = sign in "·/"  # Python's @ and · bind alike: a matrix product among them has brackets
        left, right = (
            self.text(
                a, _BINDING["**"] if products and isinstance(a, Value) and a.op == "matmul" else own + later
            )
            for a, later in zip(v.args, (after or own == 0, not after), strict=True)
        )
        text = f"{left} {sign} {right}"
        if len(text) > LONGEST:
            return f"{left[: LONGEST // 2]} … {sign} …"
        return f"({text})" if own < binding else text


def _expected(v: Value) -> bool:
    """Whether an op works along the axis or axes that its name alone stands for."""
    axis, n = v.attrs.get("axis"), len(v.shape if v.op == "stack" else v.inputs[0].shape)
    if v.op in _OVER_LAST:
        return axis in (-1, n - 1)
    if v.op in _OVER_FIRST:
        return axis in (0, -n)
    return axis is None or axis == tuple(range(n)) or n == 1


def _tells(v: Value) -> bool:
    """Whether attributes are not what everybody expects: a matrix has one transpose."""
    return v.op != "transpose" or len(v.shape) > 2


def _alone(value: Any) -> Any:
    """An attribute; the only one of a tuple stands alone."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value
