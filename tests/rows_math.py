"""Arithmetic, activations, reductions, products and losses, each beside its counterpart in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from rows import C3, IDS, PROBABILITIES, WIDE, ZEROS, A, B, P, Q, Row, V, nn, rng

from tinygrad_rnn import ops


def along(name: str, **other: Any) -> list[Row]:
    """A reduction without axis, over one, over two, and with the axis kept."""
    theirs = other.get("theirs", name)
    rows = []
    for axis in (0, -1, (0, 2), (0, 1, 2)):
        for keep in (False, True):
            rows.append(
                Row(
                    name,
                    lambda x, axis=axis, keep=keep: getattr(ops, name)(x, axis=axis, keepdims=keep),
                    lambda torch, x, axis=axis, keep=keep: getattr(torch, theirs)(
                        x, dim=axis, keepdim=keep, **other.get("options", {})
                    ),
                    (C3,),
                )
            )
    return rows


def same(name: str, *inputs: Any, theirs: str | None = None) -> Row:
    """A function that has the same name and arguments in torch."""
    return Row(name, getattr(ops, name), lambda torch, *xs: getattr(torch, theirs or name)(*xs), inputs)


OF_TORCH = {
    "celu": "celu", "hard_shrink": "hardshrink", "hard_silu": "hardswish", "hard_swish": "hardswish",
    "hard_tanh": "hardtanh", "log_sigmoid": "logsigmoid", "relu6": "relu6", "soft_shrink": "softshrink",
    "tanh_shrink": "tanhshrink",
}  # fmt: skip
BESIDE = 1.01 * WIDE  # no kink at −1
REGULAR = 2.0 * np.eye(3) + 0.3 * rng.standard_normal((2, 3, 3))


def prod(torch: Any, x: Any) -> Any:
    return x[..., 0] * x[..., 1] * x[..., 2]


ROWS = [
    # arithmetic and elementary functions
    same("add", A, V),
    same("subtract", A, V),
    same("multiply", A, V),
    same("divide", A, P),
    same("true_divide", A, P),
    same("power", P, B, theirs="pow"),
    same("pow", P, B),
    same("mod", P, Q, theirs="remainder"),
    same("maximum", A, B),
    same("minimum", A, B),
    same("logaddexp", A, B),
    Row("where", lambda a, b: ops.where(A > 0, a, b), lambda t, a, b: t.where(t.tensor(A > 0), a, b), (A, V)),
    *[
        same(n, A)
        for n in ("negative", "square", "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "arctan", "erf")
    ],
    *[same(n, A) for n in ("abs", "absolute", "tanh", "sigmoid")],
    *[same(n, P) for n in ("sqrt", "rsqrt", "reciprocal", "log", "log1p", "log2", "log10")],
    *[same(n, Q) for n in ("arcsin", "arccos", "arctanh")],
    Row("clip", lambda x: ops.clip(x, -0.5, 0.7), lambda t, x: x.clamp(-0.5, 0.7), (A,)),
    Row("clip", lambda x: ops.clip(x, x_max=0.7), lambda t, x: x.clamp(max=0.7), (A,)),
    Row(
        "clip",
        lambda x, y: ops.clip(x, -np.ones(4), y),
        lambda t, x, y: t.minimum(x.clamp(min=-1), y),
        (A, V + 2),
    ),
    Row(
        "cast",
        lambda x: ops.cast(ops.cast(x, "float32"), "float64") * 2,
        lambda t, x: x.float().double() * 2,
        (A,),
    ),
    # activations
    same("relu", WIDE),
    Row("leaky_relu", ops.leaky_relu, lambda t, x: nn(t).leaky_relu(x, 0.2), (WIDE,)),
    Row("leaky_relu", lambda x: ops.leaky_relu(x, 0.01), lambda t, x: nn(t).leaky_relu(x), (WIDE,)),
    Row("elu", ops.elu, lambda t, x: nn(t).elu(x), (WIDE,)),
    Row("elu", lambda x: ops.elu(x, 0.3), lambda t, x: nn(t).elu(x, 0.3), (WIDE,)),
    Row("selu", ops.selu, lambda t, x: nn(t).selu(x), (WIDE,)),
    Row("gelu", lambda x: ops.gelu(x, False), lambda t, x: nn(t).gelu(x), (WIDE,)),
    Row("gelu", ops.gelu, lambda t, x: nn(t).gelu(x, approximate="tanh"), (WIDE,)),
    Row("hard_sigmoid", ops.hard_sigmoid, lambda t, x: (x / 6 + 0.5).clamp(0, 1), (WIDE,)),
    Row("silu", ops.silu, lambda t, x: nn(t).silu(x), (WIDE,)),
    *[
        Row(n, getattr(ops, n), lambda t, x, of=of: getattr(nn(t), of)(x), (BESIDE,))
        for n, of in OF_TORCH.items()
    ],
    Row("glu", ops.glu, lambda t, x: nn(t).glu(x), (C3,)),
    Row(
        "threshold",
        lambda x: ops.threshold(x, 0.5, -1.0),
        lambda t, x: nn(t).threshold(x, 0.5, -1.0),
        (WIDE,),
    ),
    Row("squareplus", ops.squareplus, lambda t, x: (x + t.sqrt(x * x + 4)) / 2, (WIDE,)),
    Row(
        "sparse_plus",
        ops.sparse_plus,
        lambda t, x: nn(t).relu(x + 1).clip(max=2) ** 2 / 4 + nn(t).relu(x - 1),
        (WIDE,),
    ),
    Row("sparse_sigmoid", ops.sparse_sigmoid, lambda t, x: ((x + 1) / 2).clip(0, 1), (BESIDE,)),
    Row("swish", ops.swish, lambda t, x: nn(t).silu(x), (WIDE,)),
    Row("softplus", ops.softplus, lambda t, x: t.logaddexp(x, 0 * x), (WIDE,)),
    Row("softsign", ops.softsign, lambda t, x: nn(t).softsign(x), (WIDE,)),
    *[
        Row(
            n,
            lambda x, n=n, a=a: getattr(ops, n)(x, axis=a),
            lambda t, x, n=n, a=a: getattr(t, n)(x, a),
            (C3,),
        )
        for n in ("softmax", "log_softmax")
        for a in (0, 1, -1)
    ],
    # reductions
    *along("sum"),
    *along("mean"),
    *along("logsumexp"),
    *along("var", options={"correction": 0}),
    *along("std", options={"correction": 0}),
    *along("max", theirs="amax"),
    *along("min", theirs="amin"),
    *along("amax"),
    *along("amin"),
    *[
        Row(n, getattr(ops, n), lambda t, x, f=f: f(x), (C3,))
        for n, f in {
            "sum": lambda x: x.sum(),
            "mean": lambda x: x.mean(),
            "max": lambda x: x.max(),
            "min": lambda x: x.min(),
            "var": lambda x: x.var(correction=0),
            "std": lambda x: x.std(correction=0),
            "prod": lambda x: x.prod(),
            "logsumexp": lambda x: x.logsumexp((0, 1, 2)),
            "norm": lambda x: x.norm(),
        }.items()
    ],
    Row("sum", lambda x: ops.sum(x, keepdims=True), lambda t, x: x.sum((0, 1, 2), keepdim=True), (C3,)),
    Row("prod", lambda x: ops.prod(x, axis=-1), prod, (ZEROS,)),
    Row(
        "prod",
        lambda x: ops.prod(x, axis=(0, 1), keepdims=True),
        lambda t, x: x.prod().reshape(1, 1),
        (ZEROS,),
    ),
    Row("cumsum", lambda x: ops.cumsum(x, axis=1), lambda t, x: t.cumsum(x, 1), (C3,)),
    Row("cumsum", ops.cumsum, lambda t, x: t.cumsum(x.reshape(-1), 0), (C3,)),
    Row("norm", lambda x: ops.norm(x, axis=-1), lambda t, x: x.norm(dim=-1), (C3,)),
    Row("norm", lambda x: ops.norm(x, 1, axis=0), lambda t, x: x.abs().sum(0), (C3,)),
    Row("norm", lambda x: ops.norm(x, np.inf, axis=1), lambda t, x: x.abs().amax(1), (C3,)),
    Row("norm", lambda x: ops.norm(x, "fro", keepdims=True), lambda t, x: x.norm().reshape(1, 1, 1), (C3,)),
    Row("average", lambda x: ops.average(x, 1), lambda t, x: x.mean(1), (C3,)),
    Row("average", lambda x, w: ops.average(x, weights=w), lambda t, x, w: (x * w).sum() / w.sum(), (A, P)),
    Row(
        "average",
        lambda x, w: ops.average(x, axis=-1, weights=w[0]),
        lambda t, x, w: (x * w[0]).sum(-1) / w[0].sum(),
        (C3, P),
    ),
    Row("moments", lambda x: ops.moments(x, [0, 2])[0], lambda t, x: x.mean((0, 2)), (C3,)),
    Row(
        "moments",
        lambda x: ops.moments(x, -1, keepdims=True)[1],
        lambda t, x: x.var(-1, correction=0, keepdim=True),
        (C3,),
    ),
    Row("normalize", lambda x: ops.normalize(x), lambda t, x: nn(t).normalize(x, dim=-1), (C3,)),
    Row("normalize", lambda x: ops.normalize(x, 1, 1), lambda t, x: nn(t).normalize(x, p=1, dim=1), (C3,)),
    Row("normalize", lambda x: ops.normalize(x, (0, 2)), lambda t, x: nn(t).normalize(x, dim=(0, 2)), (C3,)),
    Row("normalize", lambda x: ops.normalize(x, epsilon=9.0), lambda t, x: x / 9.0, (V,)),
    Row(
        "layer_normalization",
        lambda x, g, b: ops.layer_normalization(x, g, b, epsilon=1e-3),
        lambda t, x, g, b: nn(t).layer_norm(x, (4,), g, b, 1e-3),
        (C3, V, B[0]),
    ),
    Row(
        "layer_normalization",
        lambda x, g: ops.layer_normalization(x, g, axis=(1, 2)),
        lambda t, x, g: nn(t).layer_norm(x, (3, 4), g, None, 1e-7),
        (C3, A),
    ),
    Row(
        "layer_normalization",
        lambda x, b: ops.layer_normalization(x, beta=b[:3], axis=1),
        lambda t, x, b: nn(t).layer_norm(x.mT, (3,), None, b[:3], 1e-7).mT,
        (C3, V),
    ),
    Row(
        "rms_normalization",
        lambda x, g: ops.rms_normalization(x, g, epsilon=1e-3),
        lambda t, x, g: nn(t).rms_norm(x, (4,), g, 1e-3),
        (C3, V),
    ),
    Row(
        "rms_normalization",
        lambda x: ops.rms_normalization(x, axis=[1, 2]),
        lambda t, x: nn(t).rms_norm(x, (3, 4), None, 1e-7),
        (C3,),
    ),
    Row("divide_no_nan", ops.divide_no_nan, lambda t, x, y: x / y, (A, P)),
    Row(
        "divide_no_nan",
        lambda x: ops.divide_no_nan(x, ZEROS),
        lambda t, x: t.where(t.tensor(ZEROS) == 0, 0.0, x / t.tensor(np.where(ZEROS == 0, 1.0, ZEROS))),
        (A[:, :3],),
    ),
    Row(
        "nan_to_num",
        lambda x: ops.nan_to_num(ops.where(ZEROS == 0, [np.nan, np.inf, -np.inf], x), 1.0, 2.0, -3.0),
        lambda t, x: t.where(t.tensor(ZEROS) == 0, t.tensor([1.0, 2.0, -3.0], dtype=x.dtype), x),
        (A[:, :3],),
    ),
    # products
    same("matmul", A, B.T),
    same("matmul", C3, V),
    same("outer", V, B[0, :3]),
    Row("solve", ops.solve, lambda t, a, b: t.linalg.solve(a, b), (REGULAR, C3)),
    Row("solve", ops.solve, lambda t, a, b: t.linalg.solve(a, b), (REGULAR, C3[..., 0])),
    Row("inv", ops.inv, lambda t, x: t.linalg.inv(x), (REGULAR,)),
    same("diag", V),
    Row("diag", lambda x: ops.diag(x, -2), lambda t, x: t.diag(x, -2), (V,)),
    Row("diag", lambda x: ops.diag(x, 1), lambda t, x: t.diag(x, 1), (A,)),
    Row("diagonal", lambda x: ops.diagonal(x, 1, 0, 2), lambda t, x: t.diagonal(x, 1, 0, 2), (C3,)),
    same("trace", A),
    same("tril", C3),
    Row("triu", lambda x: ops.triu(x, 1), lambda t, x: t.triu(x, 1), (A,)),
    Row("dot", ops.dot, lambda t, a, b: a @ b, (A, V)),
    Row(
        "dot", ops.dot, lambda t, a, b: t.tensordot(a, b, ([-1], [-2])), (C3, rng.standard_normal((2, 4, 3)))
    ),
    Row("dot", ops.dot, lambda t, a, b: a * b, (A, np.array(2.0))),
    Row("tensordot", lambda a, b: ops.tensordot(a, b, 1), lambda t, a, b: t.tensordot(a, b, 1), (C3, A.T)),
    Row(
        "tensordot",
        lambda a, b: ops.tensordot(a, b, axes=([0, 2], [1, 0])),
        lambda t, a, b: t.tensordot(a, b, ([0, 2], [1, 0])),
        (C3, rng.standard_normal((4, 2, 5))),
    ),
    Row("tensordot", lambda a, b: ops.tensordot(a, b, (1, 0)), lambda t, a, b: a @ b, (A, A.T)),
    *[
        Row("einsum", lambda *xs, s=s: ops.einsum(s, *xs), lambda t, *xs, s=s: t.einsum(s, *xs), xs)
        for s, xs in [
            ("...i,ij->...j", (C3, A.T)),
            ("ij,ij", (A, B)),
            ("i j , k j -> i k", (A, B)),
            ("...ij->...ji", (C3,)),
            ("b...,...->b...", (A, V)),
            ("ii->i", (A[:, :3],)),
            ("ji", (A,)),
            ("bij,bkj,j->bik", (C3, C3, V)),
        ]
    ],
    # losses
    Row(
        "sparse_categorical_crossentropy",
        lambda x: ops.sparse_categorical_crossentropy(IDS, x, from_logits=True),
        lambda t, x: nn(t).cross_entropy(x, t.tensor(IDS), reduction="none"),
        (A,),
    ),
    Row(
        "sparse_categorical_crossentropy",
        lambda x: ops.sparse_categorical_crossentropy(IDS[:, None], x, from_logits=True, axis=0),
        lambda t, x: nn(t).cross_entropy(x.T, t.tensor(IDS), reduction="none"),
        (A[:, :3],),
    ),
    Row(
        "sparse_categorical_crossentropy",
        lambda p: ops.sparse_categorical_crossentropy(IDS, p),
        lambda t, p: -t.log(p / p.sum(-1, keepdim=True))[[0, 1, 2], IDS],
        (P,),
    ),
    Row(
        "categorical_crossentropy",
        lambda q, x: ops.categorical_crossentropy(q, x, from_logits=True),
        lambda t, q, x: -(q * t.log_softmax(x, -1)).sum(-1),
        (PROBABILITIES, A),
    ),
    Row(
        "categorical_crossentropy",
        lambda p: ops.categorical_crossentropy(PROBABILITIES, p, axis=0),
        lambda t, p: -(t.tensor(PROBABILITIES) * t.log(p / p.sum(0))).sum(0),
        (P,),
    ),
    Row(
        "binary_crossentropy",
        lambda q, x: ops.binary_crossentropy(q, x, from_logits=True),
        lambda t, q, x: nn(t).binary_cross_entropy_with_logits(x, q, reduction="none"),
        (Q, A),
    ),
    Row(
        "binary_crossentropy",
        lambda p: ops.binary_crossentropy(PROBABILITIES, p),
        lambda t, p: nn(t).binary_cross_entropy(p, t.tensor(PROBABILITIES), reduction="none"),
        (Q,),
    ),
]
