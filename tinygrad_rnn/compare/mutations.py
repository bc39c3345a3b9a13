"""Which wrong rule explains a wrong gradient? One step of the chain rule is changed at a time.

The gradient of a value is the sum of what its uses send back. Each use is tried without, twice, with the
other sign, and with the rules that people write by mistake for its op; then the uses of its result, and so
on, up to values that are known to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.op import PORT, Array
from .recorded import Recorded, Use

DEPTH = 4  # ops between a wrong value and the rule that is to blame
MOST = 3000  # candidates that are tried

Rule = Callable[[Array, Array, Array], Array]  # gradient of the result, result, argument

DERIVATIVES: dict[str, dict[str, Rule]] = {
    "tanh": {
        "the derivative of tanh is missing": lambda g, a, z: g,
        "1 - a instead of 1 - a**2 in the derivative of tanh": lambda g, a, z: g * (1 - a),
        "tanh twice: 1 - tanh(a)**2 instead of 1 - a**2": lambda g, a, z: g * (1 - np.tanh(a) ** 2),
        "1 - z**2 instead of 1 - tanh(z)**2": lambda g, a, z: g * (1 - z * z),
        "1 + a**2 instead of 1 - a**2 in the derivative of tanh": lambda g, a, z: g * (1 + a * a),
        "a instead of 1 - a**2 in the derivative of tanh": lambda g, a, z: g * a,
        "a**2 instead of 1 - a**2 in the derivative of tanh": lambda g, a, z: g * a * a,
        "a * (1 - a), the sigmoid's derivative, for tanh": lambda g, a, z: g * a * (1 - a),
        "(1 - a)**2 instead of 1 - a**2 in the derivative of tanh": lambda g, a, z: g * (1 - a) ** 2,
        "the derivative of tanh taken twice": lambda g, a, z: g * (1 - a * a) ** 2,
    },
    "sigmoid": {
        "the derivative of the sigmoid is missing": lambda g, s, z: g,
        "1 - s instead of s * (1 - s) in the derivative of the sigmoid": lambda g, s, z: g * (1 - s),
        "s instead of s * (1 - s) in the derivative of the sigmoid": lambda g, s, z: g * s,
        "1 - s**2, the derivative of tanh, for the sigmoid": lambda g, s, z: g * (1 - s * s),
        "s**2 instead of s * (1 - s)": lambda g, s, z: g * s * s,
        "s * (1 + s) instead of s * (1 - s)": lambda g, s, z: g * s * (1 + s),
        "z * (1 - z) instead of s * (1 - s), s = sigmoid(z)": lambda g, s, z: g * z * (1 - z),
        "sigmoid twice: its derivative at s instead of z": lambda g, s, z: g / (2 + np.exp(s) + np.exp(-s)),
        "the derivative of the sigmoid taken twice": lambda g, s, z: g * (s * (1 - s)) ** 2,
    },
    "relu": {
        "the derivative of relu is missing": lambda g, a, z: g,
        "z instead of (z > 0) in the derivative of relu": lambda g, a, z: g * z,
        "a instead of (z > 0) in the derivative of relu": lambda g, a, z: g * a,
        "(z < 0) instead of (z > 0) in the derivative of relu": lambda g, a, z: g * (z < 0),
    },
    "softmax": {"the derivative of the softmax is missing": lambda g, y, z: g},
    "exp": {"the derivative of exp is missing": lambda g, y, x: g},
    "log": {
        "the derivative of log is missing": lambda g, y, x: g,
        "x instead of 1 / x": lambda g, y, x: g * x,
    },
    "square": {"2 x without the 2": lambda g, y, x: g * x, "x**2 instead of 2 x": lambda g, y, x: g * y},
}


def _tried(recorded: Recorded, use: Use) -> Iterator[tuple[str, Array]]:
    """What one use would send back by rules that are wrong."""
    row, k = use
    node = recorded.nodes[row]
    if node.op is PORT or node.op.outputs != 1:
        return
    g, y, x = recorded.gradient(row), recorded.value(row), recorded.argument(row, k)
    if y is not None and x is not None:
        for label, rule in DERIVATIVES.get(node.op.name, {}).items():
            yield label, rule(g, y, x)
    if node.op.name in ("multiply", "matmul"):
        yield from _products(recorded, use, g, x)


def _products(recorded: Recorded, use: Use, g: Array, x: Any) -> Iterator[tuple[str, Array]]:
    """Wrong rules for `a * b` and `a @ b`: another factor, another time step, no transpose."""
    row, k = use
    matmul = recorded.nodes[row].op.name == "matmul"
    other = recorded.argument(row, 1 - k)
    if other is None:
        return
    if matmul and np.ndim(g) == 1:
        if np.ndim(other) == 2 and other.shape[0] == other.shape[1]:
            yield "the matrix itself instead of its transpose", other @ g if k else g @ other
        return
    if matmul and np.ndim(other) < 2:
        return

    def product(factor: Array) -> Array:
        if not matmul:
            return g * factor
        return g @ np.swapaxes(factor, -1, -2) if k == 0 else np.swapaxes(factor, -1, -2) @ g

    if matmul and np.ndim(other) == 2 and other.shape[0] == other.shape[1]:
        yield "the matrix itself instead of its transpose", product(other.T)
    if matmul and np.ndim(other) == np.ndim(g) == 2:
        yield "the product transposed", product(other).T
    if not matmul:
        yield "the other factor is missing", g * np.ones_like(other)
        yield "1 - b instead of b as the other factor", g * (1 - other)
        if x is not None:
            yield "the value itself instead of the other factor", g * x
    parent = (recorded.nodes[row].inputs or ())[1 - k]
    relatives = _later(recorded, row, 1 - k) if parent is None else _relatives(recorded, recorded.row[parent])
    for label, value in relatives:
        if value is not None and np.shape(value) == np.shape(other):
            yield label, product(value)


def _later(recorded: Recorded, row: int, k: int) -> Iterator[tuple[str, Any]]:
    """For an initial state that is no variable: what stands in its place one step later."""
    for i in recorded.alike(row):
        parent = (recorded.nodes[i].inputs or ())[k]
        t = recorded.times[row]
        if t is not None and recorded.times[i] == t + 1 and parent is not None:
            name = (recorded.names_of(recorded.row[parent]) or ("the value",))[0]
            yield f"{name} of the step after the right one", recorded.argument(i, k)


def _relatives(recorded: Recorded, row: int) -> Iterator[tuple[str, Any]]:
    """Values that are easily taken for that of a row: the step before and after, before and after a function."""
    node, t = recorded.nodes[row], recorded.times[row]
    name = (recorded.names_of(row) or ("the value",))[0]
    for i in recorded.alike(row):
        if t is not None and recorded.times[i] in (t - 1, t + 1):
            which = "after" if recorded.times[i] == t + 1 else "before"
            yield f"{name} of the step {which} the right one", recorded.value(i)
    for user, k in recorded.uses[row] if t == 0 else ():  # the step before is an initial state
        if recorded.times[user] == 1:
            earlier = [i for i in recorded.alike(user) if recorded.times[i] == 0]
            yield from (
                (f"{name} of the step before the right one", recorded.argument(i, k)) for i in earlier
            )
    close: set[int] = {row}
    parent = node.inputs[0] if len(node.inputs or ()) == 1 else None  # type: ignore[index]
    if parent is not None:
        close.add(recorded.row[parent])
        yield f"the argument of {node.op.name} instead of its result", recorded.argument(row, 0)
    for i, _ in recorded.uses[row]:
        if len(recorded.nodes[i].inputs or ()) == 1 and recorded.nodes[i].op.outputs == 1:
            close.add(i)
            yield f"{recorded.nodes[i].op.name} of it instead of the value", recorded.value(i)
    for i in recorded.named_at(t):
        if i not in close:
            yield f"{recorded.names_of(i)[0]} instead of {name}", recorded.value(i)


def alternatives(recorded: Recorded, use: Use) -> Iterator[tuple[str, Array]]:
    """What wrong rules would change in what one use sends back; labels without the step."""
    whole = recorded.part(use)
    for label, alternative in _tried(recorded, use):
        if np.shape(alternative) == np.shape(whole):
            yield label, alternative - whole


@np.errstate(all="ignore")
def explanations(
    recorded: Recorded, uses: tuple[Use, ...], m: Array, r: Array, tolerance: float, right: set[int]
) -> list[str]:
    """What turns `r`, what `uses` send back to a value, into `m`; `right` are rows whose gradients agree."""
    gap = m.astype(np.float64) - r
    size = float(np.abs(gap).max(initial=0))
    bar = min(tolerance, 1e-3 * size) if tolerance else 1e-3 * size
    found: dict[str, float] = {}
    left = MOST

    def fits(label: str, delta: Any, cost: float) -> None:
        delta = np.asarray(delta)
        if delta.shape == gap.shape and np.abs(gap - delta).max(initial=0) <= bar:
            found[label] = min(cost, found.get(label, np.inf))

    def factor(label: str, base: Array, cost: float, alone: bool) -> None:
        weight = float((base.astype(np.float64) ** 2).sum())
        c = 1 + float((gap * base).sum()) / weight if weight and base.shape == gap.shape else 1.0
        if min(abs(c - n) for n in ((0,) if alone else (0, -1, 2))) < 1e-6:
            c = float(round(c))
            name = {0: "is missing", -1: "has the wrong sign", 2: "is counted twice"}[int(c)]
            fits(f"what comes back through {label} {name}", (c - 1) * base, cost)

    def steps(uses: tuple[Use, ...] | list[Use], path: tuple[Use, ...]) -> None:
        """Try all that comes back from one step, where that is more than one use and not all of them."""
        by_step: dict[int, list[Use]] = {}
        for use in uses:
            t = recorded.times[use[0]]
            if t is not None and not isinstance(recorded.part(use), list):
                by_step.setdefault(t, []).append(use)
        for t, group in by_step.items():
            if 1 < len(group) < len(uses):
                whole: Any = sum(recorded.part(use) for use in group)
                factor(f"step {t}", np.asarray(recorded.along(path, whole)), len(path), False)

    steps(uses, ())
    stack: list[tuple[Use, tuple[Use, ...], bool]] = [(use, (), len(uses) == 1) for use in uses[::-1]]
    while stack and left > 0:
        use, path, alone = stack.pop()
        left -= 1
        cost = len(path)

        def back(delta: Any, path: tuple[Use, ...] = path) -> Any:
            for step in path:
                delta = recorded.pull(step, delta)
            return delta

        whole = recorded.part(use)
        node = recorded.nodes[use[0]]
        if not isinstance(whole, list):
            factor(recorded.text(use[0]), np.asarray(back(whole)), cost, alone)
            for label, alternative in _tried(recorded, use):
                if np.shape(alternative) == np.shape(whole):
                    fits(label, back(alternative - whole), cost + 0.5)
        if use[0] not in right and len(path) < DEPTH:
            later = recorded.uses[use[0]]
            steps(later, (use, *path))
            stack += [
                (u, (use, *path), alone and len(later) == 1 and node.op is not PORT) for u in later[::-1]
            ]
    best = min(found.values(), default=0)
    return [label for label, cost in found.items() if cost <= best + 0.5]
