"""Cells put together at random from the ops of the table, and their runs in both modes."""

from __future__ import annotations

from typing import Any

import numpy as np
from bptt.problems import close, zeros_for_none

import tinygrad_rnn as tg
from tinygrad_rnn import ops

N, T, H = 2, 4, 4  # examples, time steps, features

# What ops do with values (N, H); WEIGHTED with weights in addition.
UNARY = {
    "negative": lambda a: -a, "square": ops.square, "sqrt": lambda a: ops.sqrt(1.1 + ops.tanh(a)),
    "exp": lambda a: ops.exp(0.3 * ops.tanh(a)), "log": lambda a: ops.log(2.0 + ops.tanh(a)), "sin": ops.sin,
    "cos": ops.cos, "tanh": ops.tanh, "sigmoid": ops.sigmoid, "relu": ops.relu, "softplus": ops.softplus,
    "softsign": ops.softsign, "silu": ops.silu, "absolute": ops.absolute, "erf": ops.erf,
    "arctan": ops.arctan, "reciprocal": lambda a: ops.reciprocal(2.0 + ops.sin(a)),
    "rsqrt": lambda a: ops.rsqrt(2.0 + ops.sin(a)), "softmax": lambda a: ops.softmax(a),
    "softmax0": lambda a: ops.softmax(a, axis=0), "log_softmax": lambda a: 0.2 * ops.log_softmax(a),
    "cumsum": lambda a: 0.3 * ops.cumsum(a, axis=1),
    "mean": lambda a: a - ops.mean(a, axis=-1, keepdims=True),
    "max": lambda a: a - ops.max(a, axis=1, keepdims=True),
    "min": lambda a: a * 0.1 + ops.min(a, axis=1, keepdims=True),
    "sum0": lambda a: 0.2 * ops.sum(a, axis=0) + a,
    "logsumexp": lambda a: a - ops.logsumexp(a, axis=-1, keepdims=True),
    "prod": lambda a: a + 0.1 * ops.prod(ops.tanh(a), axis=1, keepdims=True),
    "norm": lambda a: a / (1.0 + ops.norm(a, axis=-1, keepdims=True)), "flip": lambda a: ops.flip(a, axis=1),
    "roll": lambda a: ops.roll(a, 1, axis=1), "reshape": lambda a: ops.tanh(a.reshape(N, 2, 2)).reshape(N, H),
    "transpose": lambda a: (a.reshape(N, 2, 2) * 0.7).transpose(0, 2, 1).reshape(N, H),
    "clip": lambda a: ops.clip(a, -0.6, 0.9),
    "getitem": lambda a: ops.concatenate([a[:, 2:], a[:, :2]], axis=1),
    "getitem array": lambda a: a[:, np.array([1, 1, 0, 3])],
    "pad": lambda a: ops.pad(a[:, 1:-1], ((0, 0), (1, 1))),
    "split": lambda a: ops.concatenate(ops.split(a, 2, axis=1)[::-1], axis=1),
    "uneven split": lambda a: ops.concatenate([ops.tanh(p) for p in ops.split(a, [1], axis=1)][::-1], axis=1),
    "unstack": lambda a: ops.stack([ops.tanh(p) for p in ops.unstack(a, axis=1)], axis=1),
    "broadcast": lambda a: a * a[:, :1],
    "expand": lambda a: (a[:, :, None] * a[:, None, :]).sum(axis=1) * 0.2, "stop": ops.stop_gradient,
    "cast": lambda a: ops.cast(ops.cast(a, "float32"), "float64"),
    "power": lambda a: (1.5 + ops.tanh(a)) ** 1.5, "square by power": lambda a: a**2,
    "number": lambda a: 0.5 - 0.3 * a, "take": lambda a: ops.take(a, np.array([0, 3, 3, 1]), axis=1),
    "expm1": lambda a: ops.expm1(ops.tanh(a)), "sign": lambda a: a * ops.sign(a),
    "round": lambda a: a + ops.round(a), "one": lambda a: 1.0 - a, "half": lambda a: a / 2.0,
}  # fmt: skip
BINARY = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (2.0 + ops.tanh(b)), "maximum": ops.maximum, "minimum": ops.minimum,
    "where": lambda a, b: ops.where(a > b, a, 0.5 * b), "logaddexp": lambda a, b: 0.5 * ops.logaddexp(a, b),
    "concatenate": lambda a, b: ops.concatenate([a[:, :1], b[:, 1:]], axis=1),
    "stack": lambda a, b: ops.sum(ops.stack([a, b], axis=1), axis=1), "gate": lambda a, b: ops.sigmoid(a) * b,
    "mix": lambda a, b: (lambda g: g * b + (1.0 - g) * a)(ops.sigmoid(a)),
    "einsum": lambda a, b: ops.einsum("ni,nj->nij", a, b).sum(axis=2) * 0.3,
    "outer": lambda a, b: (a[:, :, None] @ b[:, None, :])[:, 0] * 0.5,
    "where constant": lambda a, b: ops.where(np.array([True, False, True, True]), a, b),
    "where 0": lambda a, b: ops.where(b > 0, a, 0.0),
    "compare": lambda a, b: a * ops.cast(b > 0.1, "float64"), "same": lambda a, b: a * a + b * a,
}  # fmt: skip
WEIGHTED = {
    "matmul": lambda a, w: a @ w["W"], "matmul T": lambda a, w: a @ w["W"].T, "bias": lambda a, w: a + w["b"],
    "scale": lambda a, w: a * w["b"], "softplus weight": lambda a, w: a * ops.softplus(w["b"]),
    "scalar": lambda a, w: w["s"] * a, "weight squared": lambda a, w: a @ (w["W"] * w["W"]),
    "joined": lambda a, w: ops.concatenate([a, 0.5 * a], axis=1) @ w["V"],
    "dense": lambda a, w: ops.tanh(a @ w["W"] + w["b"]), "column": lambda a, w: a * (w["W"] @ w["b"]),
    "wide": lambda a, w: ops.tanh(a @ w["U"]) @ w["V"],
    "gates": lambda a, w: (lambda p: ops.sigmoid(p[0]) * ops.tanh(p[1]))(ops.split(a @ w["U"], 2, axis=1)),
    "row": lambda a, w: a + w["W"][0], "minus weight": lambda a, w: w["b"] - a,
}  # fmt: skip
SHAPES: dict[str, Any] = {"W": (H, H), "b": (H,), "s": (), "V": (2 * H, H), "U": (H, 2 * H)}


def row(values: list[Any], w: Any) -> Any:
    """A sum of products with inputs and states, and a bias."""
    weights = (w["W"], w["U"][:, :H], w["V"][:H])
    products = [a @ u for a, u in zip(values, weights, strict=False)]
    return sum(products[1:], products[0] + w["b"]) * 0.5


def normed(values: list[Any], w: Any) -> Any:
    """Two gates of a sum of products that is normalized, with gain and shift."""
    z = sum([a @ w["U"] for a in values[1:]], values[0] @ w["U"] + w["V"][:, 0])
    centred = z - ops.mean(z, axis=-1, keepdims=True)
    variance = ops.mean(centred * centred, axis=-1, keepdims=True)
    z = centred * ops.rsqrt(variance + 0.1) * w["V"][:, 1] + w["V"][:, 2] + values[0] @ w["W"].T[:, :1]
    a, b = ops.split(z, 2, axis=1)
    return ops.sigmoid(a) * ops.tanh(b)


SUMS = {"row": row, "normed": normed}


def recipe(seed: int, sums: str = "") -> tuple[list[Any], list[Any], list[int]]:
    """(ops with the numbers of their arguments, outputs, states): values 0, 1 are inputs, 2 and 3 states.

    The first two can be `sums` of products.
    """
    rng = np.random.default_rng(seed)
    program: list[Any] = []
    for _ in range(2 if sums else 0):
        program.append((3, sums, [int(i) for i in rng.permutation(4)[: rng.integers(1, 4)]]))
    for _ in range(rng.integers(3, 13)):
        count = 4 + len(program)
        kind = rng.integers(3)
        table = (UNARY, BINARY, WEIGHTED)[kind]
        name = list(table)[rng.integers(len(table))]
        # late values more often, so that the ops are chained
        picks = [
            int(count - 1 - min(rng.geometric(0.35) - 1, count - 1)) for _ in range(2 if kind == 1 else 1)
        ]
        program.append((int(kind), name, picks))
    count = 4 + len(program)
    outputs = [int(count - 1 - rng.integers(min(count, 4))) for _ in range(rng.integers(1, 3))]
    states = (
        [int(rng.integers(4, count)) for _ in range(2)]
        if rng.random() < 0.7
        else [int(v) for v in rng.integers(0, count, 2)]
    )
    return program, outputs, states


class Step:
    """A recipe as a step function."""

    def __init__(self, seed: int, weights: dict[str, Any], sums: str) -> None:
        self.program, self.outputs, self.new = recipe(seed, sums)
        self.weights = weights

    def __call__(self, x: Any, states: Any, constants: Any) -> Any:
        values = [x[0], x[1], *states]
        for kind, name, picks in self.program:
            a = [values[i] for i in picks]
            values.append(
                UNARY[name](*a)
                if kind == 0
                else BINARY[name](*a)
                if kind == 1
                else WEIGHTED[name](*a, self.weights)
                if kind == 2
                else SUMS[name](a, self.weights)
            )
        bounded = [ops.tanh(values[i]) if i > 3 else values[i] for i in self.new]
        found = tuple(values[i] for i in self.outputs)
        return (found if len(found) > 1 else found[0]), bounded


def run(seed: int, derive: bool, sums: str = "", **options: Any) -> list[Any]:
    """Values and gradients."""
    rng = np.random.default_rng(seed + 7)
    leaves = {n: tg.tensor(0.5 * rng.standard_normal(s), requires_grad=True) for n, s in SHAPES.items()}
    xs = [tg.tensor(rng.standard_normal((N, T, H)), requires_grad=bool(rng.integers(4))) for _ in range(2)]
    states = [
        tg.tensor(0.5 * rng.standard_normal((N, H)), requires_grad=bool(rng.integers(4))) for _ in range(2)
    ]
    y, last = tg.scan(Step(seed, leaves, sums), tuple(xs), states, derive=derive, **options)
    ends = [*(y if isinstance(y, tuple) else [y]), *last]
    targets = [t for t in (*leaves.values(), *xs, *states) if t.requires_grad]
    pairs = [(e, g) for e, g in [(e, rng.standard_normal(e.shape)) for e in ends] if e.requires_grad]
    grads = tg.grad([e for e, _ in pairs], targets, [g for _, g in pairs]) if pairs else [None] * len(targets)
    return [*ends, *zeros_for_none(grads, targets)]


def problem_of(seed: int, **options: Any) -> str:
    """What is wrong with the derived results of a random cell, or nothing."""
    try:
        close(run(seed, True, **options), run(seed, False, **options), 1e-11)
        return ""
    except Exception as error:  # a crash is a finding like any other
        return f"cell {seed}: {type(error).__name__}: {error}: {recipe(seed, options.get('sums', ''))}"
