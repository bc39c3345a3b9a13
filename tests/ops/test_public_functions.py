"""Every public function of `tg.ops` against PyTorch or NumPy: values and gradients in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops

RTOL = 1e-10


class Row(NamedTuple):
    """One call: of ours, of the reference (torch, arrays) and the arrays that are differentiated."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]  # theirs(torch, *tensors)
    inputs: tuple[Any, ...]


rng = np.random.default_rng(3)
A, B, V = rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.standard_normal(4)
P, Q = rng.uniform(0.2, 2.0, (3, 4)), rng.uniform(0.2, 0.8, (3, 4))
C3 = rng.standard_normal((2, 3, 4))
WIDE = np.array([-20.0, -3.5, -1.0, -0.2, 0.1, 0.7, 2.5, 3.5, 20.0])
ZEROS = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 4.0], [1.0, 2.0, 3.0]])
IDS = np.array([2, 0, 2])
PROBABILITIES = rng.dirichlet(np.ones(4), 3)


def nn(torch: Any) -> Any:
    return torch.nn.functional


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
    *[same(n, A) for n in ("negative", "square", "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "arctan", "erf")],
    *[same(n, A) for n in ("abs", "absolute", "tanh", "sigmoid")],
    *[same(n, P) for n in ("sqrt", "rsqrt", "reciprocal", "log", "log1p", "log2", "log10")],
    *[same(n, Q) for n in ("arcsin", "arccos", "arctanh")],
    Row("clip", lambda x: ops.clip(x, -0.5, 0.7), lambda t, x: x.clamp(-0.5, 0.7), (A,)),
    Row("clip", lambda x: ops.clip(x, x_max=0.7), lambda t, x: x.clamp(max=0.7), (A,)),
    Row("clip", lambda x, y: ops.clip(x, -np.ones(4), y), lambda t, x, y: t.minimum(x.clamp(min=-1), y), (A, V + 2)),
    Row("cast", lambda x: ops.cast(ops.cast(x, "float32"), "float64") * 2, lambda t, x: x.float().double() * 2, (A,)),
    # activations
    same("relu", WIDE),
    Row("leaky_relu", ops.leaky_relu, lambda t, x: nn(t).leaky_relu(x, 0.2), (WIDE,)),
    Row("leaky_relu", lambda x: ops.leaky_relu(x, 0.01), lambda t, x: nn(t).leaky_relu(x), (WIDE,)),
    Row("elu", ops.elu, lambda t, x: nn(t).elu(x), (WIDE,)),
    Row("elu", lambda x: ops.elu(x, 0.3), lambda t, x: nn(t).elu(x, 0.3), (WIDE,)),
    Row("selu", ops.selu, lambda t, x: nn(t).selu(x), (WIDE,)),
    Row("gelu", ops.gelu, lambda t, x: nn(t).gelu(x), (WIDE,)),
    Row("gelu", lambda x: ops.gelu(x, True), lambda t, x: nn(t).gelu(x, approximate="tanh"), (WIDE,)),
    Row("hard_sigmoid", ops.hard_sigmoid, lambda t, x: (x / 6 + 0.5).clamp(0, 1), (WIDE,)),
    Row("silu", ops.silu, lambda t, x: nn(t).silu(x), (WIDE,)),
    Row("swish", ops.swish, lambda t, x: nn(t).silu(x), (WIDE,)),
    Row("softplus", ops.softplus, lambda t, x: t.logaddexp(x, 0 * x), (WIDE,)),
    Row("softsign", ops.softsign, lambda t, x: nn(t).softsign(x), (WIDE,)),
    *[
        Row(n, lambda x, n=n, a=a: getattr(ops, n)(x, axis=a), lambda t, x, n=n, a=a: getattr(t, n)(x, a), (C3,))
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
            "sum": lambda x: x.sum(), "mean": lambda x: x.mean(), "max": lambda x: x.max(), "min": lambda x: x.min(),
            "var": lambda x: x.var(correction=0), "std": lambda x: x.std(correction=0), "prod": lambda x: x.prod(),
            "logsumexp": lambda x: x.logsumexp((0, 1, 2)), "norm": lambda x: x.norm(),
        }.items()
    ],
    Row("sum", lambda x: ops.sum(x, keepdims=True), lambda t, x: x.sum((0, 1, 2), keepdim=True), (C3,)),
    Row("prod", lambda x: ops.prod(x, axis=-1), prod, (ZEROS,)),
    Row("prod", lambda x: ops.prod(x, axis=(0, 1), keepdims=True), lambda t, x: x.prod().reshape(1, 1), (ZEROS,)),
    Row("cumsum", lambda x: ops.cumsum(x, axis=1), lambda t, x: t.cumsum(x, 1), (C3,)),
    Row("cumsum", ops.cumsum, lambda t, x: t.cumsum(x.reshape(-1), 0), (C3,)),
    Row("norm", lambda x: ops.norm(x, axis=-1), lambda t, x: x.norm(dim=-1), (C3,)),
    Row("norm", lambda x: ops.norm(x, 1, axis=0), lambda t, x: x.abs().sum(0), (C3,)),
    Row("norm", lambda x: ops.norm(x, np.inf, axis=1), lambda t, x: x.abs().amax(1), (C3,)),
    Row("norm", lambda x: ops.norm(x, "fro", keepdims=True), lambda t, x: x.norm().reshape(1, 1, 1), (C3,)),
    # products
    same("matmul", A, B.T),
    same("matmul", C3, V),
    same("outer", V, B[0, :3]),
    Row("dot", ops.dot, lambda t, a, b: a @ b, (A, V)),
    Row("dot", ops.dot, lambda t, a, b: t.tensordot(a, b, ([-1], [-2])), (C3, rng.standard_normal((2, 4, 3)))),
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
            ("...i,ij->...j", (C3, A.T)), ("ij,ij", (A, B)), ("i j , k j -> i k", (A, B)), ("...ij->...ji", (C3,)),
            ("b...,...->b...", (A, V)), ("ii->i", (A[:, :3],)), ("ji", (A,)), ("bij,bkj,j->bik", (C3, C3, V)),
        ]
    ],
    # shapes
    Row("reshape", lambda x: ops.reshape(x, (4, -1)), lambda t, x: x.reshape(4, -1), (C3,)),
    Row("reshape", lambda x: ops.reshape(x, -1), lambda t, x: x.reshape(-1), (C3,)),
    Row("ravel", ops.ravel, lambda t, x: x.reshape(-1), (C3,)),
    Row("transpose", ops.transpose, lambda t, x: x.permute(2, 1, 0), (C3,)),
    Row("transpose", lambda x: ops.transpose(x, (1, -1, 0)), lambda t, x: x.permute(1, 2, 0), (C3,)),
    Row("swapaxes", lambda x: ops.swapaxes(x, 0, -1), lambda t, x: x.swapaxes(0, -1), (C3,)),
    Row("moveaxis", lambda x: ops.moveaxis(x, 0, -1), lambda t, x: x.moveaxis(0, -1), (C3,)),
    Row("squeeze", ops.squeeze, lambda t, x: x.squeeze(), (A[:1, :, None],)),
    Row("squeeze", lambda x: ops.squeeze(x, (0, -1)), lambda t, x: x[0, :, 0], (A[:1, :, None],)),
    Row("expand_dims", lambda x: ops.expand_dims(x, (0, -1)), lambda t, x: x[None, ..., None], (A,)),
    Row("broadcast_to", lambda x: ops.broadcast_to(x, (3, 4)), lambda t, x: x.expand(3, 4), (V,)),
    Row("flip", ops.flip, lambda t, x: x.flip(0, 1, 2), (C3,)),
    Row("flip", lambda x: ops.flip(x, -1), lambda t, x: x.flip(-1), (C3,)),
    Row("roll", lambda x: ops.roll(x, 2), lambda t, x: x.roll(2), (A,)),
    Row("roll", lambda x: ops.roll(x, (1, -1), (0, 1)), lambda t, x: x.roll((1, -1), (0, 1)), (A,)),
    Row("roll", lambda x: ops.roll(x, 1, (0, 1)), lambda t, x: x.roll((1, 1), (0, 1)), (A,)),
    Row("stack", lambda *xs: ops.stack(xs, axis=-1), lambda t, *xs: t.stack(xs, -1), (A, B)),
    Row("concatenate", lambda *xs: ops.concatenate(xs), lambda t, *xs: t.cat(xs, -1), (A, B)),
    Row("concatenate", lambda *xs: ops.concatenate(xs, axis=0), lambda t, *xs: t.cat(xs, 0), (A, B)),
    Row("concatenate", lambda *xs: ops.concatenate(xs, None), lambda t, *xs: t.cat([x.flatten() for x in xs]), (A, V)),
    Row("split", lambda x: ops.split(x, 2, axis=1)[1], lambda t, x: x.chunk(2, 1)[1], (A,)),
    Row("split", lambda x: ops.split(x, [1, 3], axis=-1)[1], lambda t, x: x[:, 1:3], (A,)),
    Row("unstack", lambda x: ops.unstack(x, 3)[2] * 2, lambda t, x: x.unbind(0)[2] * 2, (A,)),
    Row("pad", lambda x: ops.pad(x, 1), lambda t, x: nn(t).pad(x, (1, 1, 1, 1)), (A,)),
    Row("pad", lambda x: ops.pad(x, ((1, 0), (0, 2)), constant_values=3.0), lambda t, x: nn(t).pad(x, (0, 2, 1, 0), value=3.0), (A,)),
    *[
        Row("pad", lambda x, m=m: ops.pad(x, ((0, 0), (2, 1), (0, 2)), mode=m), lambda t, x, n=n: nn(t).pad(x[None], (0, 2, 2, 1), mode=n)[0], (C3,))
        for m, n in {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}.items()
    ],
    Row("pad", lambda x: ops.pad(x, (2, 1), mode="symmetric"), lambda t, x: x[[1, 0, 0, 1, 2, 3, 3]], (V,)),
    Row("repeat", lambda x: ops.repeat(x, 2, axis=1), lambda t, x: x.repeat_interleave(2, 1), (A,)),
    Row("repeat", lambda x: ops.repeat(x, [2, 0, 1], 0), lambda t, x: x.repeat_interleave(t.tensor([2, 0, 1]), 0), (A,)),
    Row("repeat", lambda x: ops.repeat(x, 3), lambda t, x: x.repeat_interleave(3), (A,)),
    Row("tile", lambda x: ops.tile(x, (2, 3)), lambda t, x: x.tile(2, 3), (A,)),
    Row("tile", lambda x: ops.tile(x, 2), lambda t, x: x.tile(2), (A,)),
    Row("tile", lambda x: ops.tile(x, (2, 1, 2)), lambda t, x: x.tile(2, 1, 2), (A,)),
    # positions
    Row("getitem", lambda x: ops.getitem(x, (slice(None), [0, 2, 2])), lambda t, x: x[:, [0, 2, 2]], (A,)),
    Row("take", lambda x: ops.take(x, [[1, -1], [0, 0]], axis=1), lambda t, x: x[:, [[1, -1], [0, 0]]], (C3,)),
    Row("take", lambda x: ops.take(x, [5, 0, 5]), lambda t, x: x.flatten()[[5, 0, 5]], (A,)),
    Row(
        "take_along_axis",
        lambda x: ops.take_along_axis(x, np.argsort(A, 1)[:, :2], axis=1),
        lambda t, x: x.gather(1, t.tensor(np.argsort(A, 1)[:, :2])),
        (A,),
    ),
    Row(
        "take_along_axis",
        lambda x: ops.take_along_axis(x, np.array([[0, -1, 0, 1]]), axis=0),
        lambda t, x: x.gather(0, t.tensor([[0, 2, 0, 1]])),
        (A,),
    ),
    Row("segment_sum", lambda x: ops.segment_sum(x, IDS, 4), lambda t, x: t.zeros(4, 4, dtype=x.dtype).index_add(0, t.tensor(IDS), x), (A,)),
    Row("segment_sum", lambda x: ops.segment_sum(x, IDS), lambda t, x: t.stack([x[1], 0 * x[0], x[0] + x[2]]), (A,)),
    Row(
        "scatter",
        lambda x: ops.scatter([[0, 1], [2, 0], [0, 1]], x, (3, 2)),
        lambda t, x: t.zeros(3, 2, dtype=x.dtype).index_put((t.tensor([0, 2, 0]), t.tensor([1, 0, 1])), x, True),
        (V[:3],),
    ),
    Row("scatter", lambda x: ops.scatter([[2], [0]], x, (3, 4)), lambda t, x: t.stack([x[1], 0 * x[0], x[0]]), (A[:2],)),
    Row("shuffle", lambda x: ops.shuffle(x, axis=1, seed=4), lambda t, x: x[:, np.random.default_rng(4).permutation(4)], (A,)),
    Row("stop_gradient", lambda x: x * ops.stop_gradient(x), lambda t, x: x * x.detach(), (A,)),
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
]  # fmt: skip

# Functions without gradient: against the NumPy function of the same name (or the one given).
SMALL = np.array([[-1.5, -0.5, 0.0], [0.5, 2.5, 0.5]])
OTHER = np.array([[-1.5, 0.5, 0.0], [0.25, 2.5, -2.0]])
ODD = np.array([1.0, np.nan, np.inf, -np.inf])
PLAIN: dict[str, tuple[Any, ...]] = {
    "sign": (SMALL,), "floor": (SMALL,), "ceil": (SMALL,), "round": (SMALL,), "isfinite": (ODD,), "isnan": (ODD,),
    "isinf": (ODD,), "logical_not": (SMALL > 0,), "equal": (SMALL, OTHER), "not_equal": (SMALL, OTHER),
    "less": (SMALL, OTHER), "less_equal": (SMALL, OTHER), "greater": (SMALL, OTHER), "greater_equal": (SMALL, OTHER),
    "logical_and": (SMALL > 0, OTHER > 0), "logical_or": (SMALL > 0, OTHER > 0), "floor_divide": (SMALL, OTHER + 9),
    "argmax": (SMALL,), "argmin": (SMALL,), "all": (SMALL,), "any": (SMALL,), "zeros_like": (SMALL,),
    "ones_like": (SMALL,),
}  # fmt: skip

# Each of these has a test of its own below.
TESTED_APART = {
    "arange", "categorical", "convert_to_numpy", "convert_to_tensor", "dropout", "eye", "full", "ndim", "normal",
    "one_hot", "ones", "randint", "shape", "size", "truncated_normal", "uniform", "zeros",
}  # fmt: skip

LABELS = [f"{row.name}-{i}" for i, row in enumerate(ROWS)]


def test_every_public_function_is_in_a_table() -> None:
    assert set(ops.__all__) == {row.name for row in ROWS} | set(PLAIN) | TESTED_APART
    assert all(getattr(ops, name).__doc__ for name in ops.__all__)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("row", ROWS, ids=LABELS)
def test_value_and_gradient_against_torch(row: Row) -> None:
    torch = pytest.importorskip("torch")
    ours = [tg.tensor(x, requires_grad=True) for x in row.inputs]
    theirs = [torch.tensor(x, requires_grad=True) for x in row.inputs]
    y, z = row.ours(*ours), row.theirs(torch, *theirs)
    assert isinstance(y, tg.Tensor) and y.dtype == np.float64
    assert_close(y, z.detach())
    bare = row.ours(*row.inputs)
    assert not isinstance(bare, tg.Tensor) and same_bits(bare, y)
    w = np.random.default_rng(0).standard_normal(y.shape)
    reference = torch.autograd.grad(z, theirs, torch.tensor(w), allow_unused=True)
    for g, r, x in zip(tg.grad(y, ours, w), reference, row.inputs, strict=True):
        assert_close(np.zeros(x.shape) if g is None else g, np.zeros(x.shape) if r is None else r)


def assert_close(got: Any, want: Any) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    scale = np.abs(want).max(initial=0.0)
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=RTOL * scale)


def same_bits(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_functions_without_gradient_against_numpy(name: str) -> None:
    want = getattr(np, name)(*PLAIN[name])
    bare = getattr(ops, name)(*PLAIN[name])
    assert same_bits(bare, want)
    inputs = [tg.tensor(x, requires_grad=x.dtype.kind == "f") for x in PLAIN[name]]
    got = getattr(ops, name)(*inputs)
    assert isinstance(got, tg.Tensor) and not got.requires_grad
    assert got.dtype == np.asarray(want).dtype and same_bits(got, want)


def test_flags_and_places_over_an_axis() -> None:
    t = tg.tensor(SMALL)
    for name in ("all", "any"):
        for axis in (None, 0, -1, (0, 1)):
            for keep in (False, True):
                got = getattr(ops, name)(t, axis=axis, keepdims=keep)
                assert same_bits(got, getattr(np, name)(SMALL, axis=axis, keepdims=keep))
    for name in ("argmax", "argmin"):
        assert same_bits(getattr(ops, name)(t, axis=1), getattr(np, name)(SMALL, axis=1))
    assert ops.round(tg.tensor(1.256, "float64"), 2).item() == pytest.approx(1.26)


# --- creation -----------------------------------------------------------------------------------------


def test_creation() -> None:
    cases = [
        (ops.zeros((2, 3)), np.zeros((2, 3), "float32")),
        (ops.ones(2, "int32"), np.ones(2, "int32")),
        (ops.full((2,), 1.5, "float64"), np.full(2, 1.5)),
        (ops.eye(2, 3), np.eye(2, 3, dtype="float32")),
        (ops.arange(3), np.arange(3)),
        (ops.arange(1, 7, 2, "float64"), np.arange(1, 7, 2.0)),
        (ops.arange(0.0, 1.0, 0.25), np.arange(0, 1, 0.25, "float32")),
        (ops.zeros_like(tg.tensor([1, 2]), "float64"), np.zeros(2)),
    ]
    for got, want in cases:
        assert isinstance(got, tg.Tensor) and got.dtype == want.dtype and same_bits(got, want)


def test_conversion() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert ops.convert_to_tensor(x) is x and ops.convert_to_tensor([1.5]).dtype == np.float32
    assert ops.convert_to_tensor(x, "float64").dtype == np.float64
    source = np.array([1.0, 2.0])
    t = ops.convert_to_tensor(source)
    source[:] = 0
    assert t.tolist() == [1.0, 2.0] and t.dtype == np.float64
    assert ops.convert_to_numpy(x).flags.writeable is False
    assert ops.convert_to_numpy([1, 2]).tolist() == [1, 2]
    assert ops.cast(x, "int64").dtype == np.int64 and not ops.cast(x, "int64").requires_grad
    assert ops.shape([[1, 2, 3]]) == ops.shape(tg.tensor([[1, 2, 3]])) == (1, 3)
    assert (ops.ndim([[1]]), ops.size([[1, 2]]), ops.size(tg.tensor(1.0))) == (2, 2, 1)


def test_one_hot() -> None:
    ids = np.array([[0, 2], [1, 0]])
    assert same_bits(ops.one_hot(ids, 3), np.eye(3)[ids])
    assert ops.one_hot(ids, 3, axis=0).shape == (3, 2, 2)
    assert same_bits(ops.one_hot(ids, 3, axis=1), np.moveaxis(np.eye(3)[ids], -1, 1))
    assert ops.one_hot(ids, 3).dtype == np.float32 and ops.one_hot(ids, 3, dtype="int8").dtype == np.int8
    assert isinstance(ops.one_hot(tg.tensor(ids), 3), tg.Tensor)


# --- errors -------------------------------------------------------------------------------------------

X23 = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.one_hot([[0, 1], [1, 3]], 3), r"value 3 at position \(1, 1\) is out of range; valid are 0\.\.2"),
        (lambda: ops.one_hot([-1], 3), r"value -1 at position \(0,\)"),
        (lambda: ops.one_hot([2**40], 3), r"value 1099511627776 at position"),
        (lambda: ops.one_hot([0.5], 3), r"expected integers, received 0\.5 at position \(0,\)"),
        (lambda: ops.one_hot([np.nan], 3), r"expected integers, received nan at position \(0,\)"),
        (lambda: ops.take(X23, [0, 2], axis=0), r"take: value 2 at position \(1,\) is out of range; valid are -2\.\.1"),
        (lambda: ops.take_along_axis(X23, np.array([[5]])), r"take_along_axis: value 5"),
        (lambda: ops.take_along_axis(X23, np.array([0])), r"indices of shape \(1,\) for x of shape \(2, 3\)"),
        (lambda: ops.segment_sum(X23, [0, 3], 3), r"segment_sum: value 3 at position \(1,\)"),
        (lambda: ops.segment_sum(X23, [0]), r"\(1,\) ids for data of shape \(2, 3\)"),
        (lambda: ops.scatter([[3]], np.ones(1), (3,)), r"scatter: value 3"),
        (lambda: ops.sparse_categorical_crossentropy([0, 3], X23), r"label: value 3 at position \(1,\).*0\.\.2"),
        (lambda: ops.sparse_categorical_crossentropy([0, -1], X23, True), r"label: value -1 at position \(1,\)"),
        (lambda: ops.sparse_categorical_crossentropy([0], X23), r"labels of shape \(1,\) .*\(2, 3\); expected \(2,\)"),
        (lambda: ops.categorical_crossentropy(X23[0], X23), r"targets of shape \(3,\) for predictions of shape \(2, 3\)"),
        (lambda: ops.binary_crossentropy(np.ones(2), np.ones((2, 1))), r"targets of shape \(2,\) .* \(2, 1\)"),
        (lambda: ops.softmax(X23, axis=2), r"softmax: axis 2 is out of range for 2 axes \(valid: -2\.\.1\)"),
        (lambda: ops.sum(X23, axis=-3), r"axis -3 is out of range for 2 axes"),
        (lambda: ops.squeeze(X23, 0), r"squeeze: axis 0 of shape \(2, 3\) is not of length 1"),
        (lambda: ops.split(X23, 2, axis=1), r"split: axis 1 of length 3 does not divide into 2 equal sections"),
        (lambda: ops.split(X23, 0), r"does not divide into 0"),
        (lambda: ops.unstack(X23, 3), r"num is 3, but axis 0 of shape \(2, 3\) has 2"),
        (lambda: ops.stack([]), "stack: expected at least one array"),
        (lambda: ops.concatenate([]), "concatenate: expected at least one array"),
        (lambda: ops.pad(X23, -1), "pad: widths must not be negative, received -1"),
        (lambda: ops.clip(X23, 2.0, 1.0), "x_min must not exceed x_max, received 2.0 and 1.0"),
        (lambda: ops.max(np.ones((0, 3)), axis=0), r"max: no elements to choose from along axis 0 of shape \(0, 3\)"),
        (lambda: ops.min(np.ones(0)), "min: no elements"),
        (lambda: ops.norm(X23, 3), "norm: expected ord None, 1, 2, 'fro' or inf, got 3"),
        (lambda: ops.tensordot(X23, X23, 1), r"tensordot: axes \[1\] of shape \(2, 3\) do not fit"),
        (lambda: ops.einsum("ij,jk->ik", X23), "has 2 terms for 1 operands"),
        (lambda: ops.einsum("ijk->i", X23), "'ijk' of 'ijk->i' does not fit an operand with 2 axes"),
        (lambda: ops.dropout(X23, 1.5), r"dropout: rate must be in \[0, 1\], got 1\.5"),
        (lambda: ops.categorical(np.ones(3), 2), r"expected logits \(batch, classes\), received shape \(3,\)"),
        (lambda: tg.tensor([1.0]).mT, r"mT: expected at least 2 axes, received shape \(1,\)"),
    ],
)
def test_wrong_arguments_are_explained(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types_are_explained() -> None:
    with pytest.raises(TypeError, match="one_hot: expected integers, received"):
        ops.one_hot(["a"], 3)
    with pytest.raises(IndexError, match="must be an integer or boolean tensor, received float32"):
        tg.tensor([1.0])[tg.tensor([0.0])]


# --- extreme values -----------------------------------------------------------------------------------

HUGE = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]])
STABLE: dict[str, Callable[[Any], Any]] = {
    "sigmoid": ops.sigmoid, "tanh": ops.tanh, "softplus": ops.softplus, "silu": ops.silu, "gelu": ops.gelu,
    "gelu tanh": lambda x: ops.gelu(x, True), "elu": ops.elu, "selu": ops.selu, "softsign": ops.softsign,
    "softmax": ops.softmax, "log_softmax": ops.log_softmax, "logsumexp": lambda x: ops.logsumexp(x, axis=1),
    "sparse": lambda x: ops.sparse_categorical_crossentropy([1, 0], x, from_logits=True),
    "dense": lambda x: ops.categorical_crossentropy(np.eye(3)[[1, 0]].astype(x.dtype), x, from_logits=True),
    "binary": lambda x: ops.binary_crossentropy(np.eye(3)[[1, 0]].astype(x.dtype), x, from_logits=True),
    "probabilities": lambda x: ops.binary_crossentropy(np.eye(3)[[1, 0]].astype(x.dtype), ops.sigmoid(x)),
    "sparse probabilities": lambda x: ops.sparse_categorical_crossentropy([1, 0], ops.softmax(x)),
    "dense probabilities": lambda x: ops.categorical_crossentropy(np.eye(3)[[1, 0]].astype(x.dtype), ops.softmax(x)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(STABLE))
def test_huge_logits_are_finite_and_silent(name: str, dtype: str) -> None:
    x = tg.tensor(HUGE, dtype, requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = STABLE[name](x)
        (g,) = tg.grad(y, [x], np.ones(y.shape), create_graph=True)
    assert y.dtype == g.dtype == dtype
    assert np.isfinite(y.numpy()).all() and np.isfinite(g.numpy()).all()


def test_losses_from_logits_at_the_extremes() -> None:
    loss = ops.sparse_categorical_crossentropy([1, 0], HUGE, from_logits=True)
    assert loss.tolist() == [2e4, 2e4 + np.log(2)]
    assert ops.binary_crossentropy(np.array([1.0, 0.0]), np.array([-1e4, 1e4]), from_logits=True).tolist() == [1e4, 1e4]
    assert ops.categorical_crossentropy(np.eye(2), np.array([[0.0, -np.inf], [-np.inf, 0.0]]), True).tolist() == [0, 0]
    near = ops.sparse_categorical_crossentropy([0], np.array([[40.0, 0.0]]), from_logits=True)
    assert near[0] == pytest.approx(np.exp(-40), rel=1e-3) or near[0] == 0.0


def test_exactness_where_the_plain_formula_loses_digits() -> None:
    small = np.array([1e-12, -1e-12])
    np.testing.assert_allclose(ops.expm1(small), small, rtol=1e-11)
    np.testing.assert_allclose(ops.log1p(small), small, rtol=1e-11)
    np.testing.assert_allclose(ops.elu(-np.abs(small)), -np.abs(small), rtol=1e-11)
    np.testing.assert_allclose(ops.softplus(np.array([-700.0])), np.exp([-700.0]), rtol=1e-12)
    np.testing.assert_allclose(ops.log_softmax(np.array([0.0, -800.0]))[1], -800.0)
    np.testing.assert_allclose(ops.logsumexp(np.array([-np.inf, -np.inf])), -np.inf)


def test_reductions_over_nothing() -> None:
    empty = tg.tensor(np.ones((0, 3)), requires_grad=True)
    assert ops.mean(empty).item() == 0.0 and ops.sum(empty).item() == 0.0 and ops.prod(empty).item() == 1.0
    assert ops.mean(empty, axis=0).tolist() == [0.0] * 3 and ops.var(empty, axis=0).tolist() == [0.0] * 3
    ops.mean(empty).backward()
    assert empty.grad.shape == (0, 3)
    assert ops.split(np.ones(0), 3)[1].shape == (0,) and ops.unstack(np.ones((0, 2))) == ()


# --- random numbers -----------------------------------------------------------------------------------

DRAWS: dict[str, Callable[[Any], Any]] = {
    "normal": lambda seed: ops.normal((50, 40), 2.0, 3.0, seed=seed),
    "truncated_normal": lambda seed: ops.truncated_normal((50, 40), 2.0, 3.0, seed=seed),
    "uniform": lambda seed: ops.uniform((50, 40), -1.0, 3.0, seed=seed),
    "randint": lambda seed: ops.randint((50, 40), -2, 3, seed=seed),
    "categorical": lambda seed: ops.categorical(np.zeros((50, 5)), 40, seed=seed),
    "dropout": lambda seed: ops.dropout(tg.tensor(np.ones((50, 40), "float32")), 0.3, seed=seed),
    "shuffle": lambda seed: ops.shuffle(tg.tensor(np.arange(2000.0)), seed=seed),
}


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_seeds(name: str) -> None:
    draw = DRAWS[name]
    assert same_bits(draw(5), draw(5)) and not same_bits(draw(5), draw(6))
    stream = tg.config.SeedGenerator(5)
    first, second = draw(stream), draw(stream)
    assert same_bits(first, draw(5)) and not same_bits(first, second)
    kept = stream.state
    third = draw(stream)
    stream.state = kept
    assert same_bits(draw(stream), third)
    tg.config.set_random_seed(3)
    free = [draw(None), draw(None)]
    tg.config.set_random_seed(3)
    assert same_bits(free[0], draw(None)) and same_bits(free[1], draw(None)) and not same_bits(*free)


def test_distributions() -> None:
    normal, uniform = DRAWS["normal"](1).numpy(), DRAWS["uniform"](1).numpy()
    assert normal.dtype == uniform.dtype == np.float32
    assert abs(normal.mean() - 2) < 0.3 and abs(normal.std() - 3) < 0.2
    assert -1 <= uniform.min() < -0.9 and 2.9 < uniform.max() < 3 and abs(uniform.mean() - 1) < 0.1
    truncated = DRAWS["truncated_normal"](1).numpy()
    assert np.abs(truncated - 2).max() <= 6 and abs(truncated.std() - 3 * 0.8796) < 0.2
    integers = DRAWS["randint"](1).numpy()
    assert integers.dtype == np.int32 and set(np.unique(integers)) == {-2, -1, 0, 1, 2}
    assert ops.truncated_normal((), seed=1).shape == ops.normal((), seed=1).shape == ()


def test_categorical_probabilities() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    with np.errstate(divide="ignore"):
        drawn = ops.categorical(tg.tensor(np.log(p)), 20_000, seed=2)
    assert drawn.dtype == np.int32 and drawn.shape == (2, 20_000)
    counts = np.stack([np.bincount(row, minlength=3) for row in drawn.numpy()]) / 20_000
    np.testing.assert_allclose(counts, p, atol=0.02)
    assert counts[1, 0] == 0


def test_dropout() -> None:
    x = tg.tensor(np.ones((200, 50)), requires_grad=True)
    y = ops.dropout(x, 0.25, seed=1)
    assert set(np.unique(y.numpy())) == {0.0, 1 / 0.75} and abs((y.numpy() == 0).mean() - 0.25) < 0.02
    y.sum().backward()
    assert same_bits(x.grad, y)
    assert same_bits(ops.dropout(x, 0.0), x) and not ops.dropout(x, 1.0).numpy().any()
    rows = ops.dropout(x, 0.5, noise_shape=(None, 1), seed=1).numpy()
    assert (rows == rows[:, :1]).all() and len(np.unique(rows)) == 2


# --- Python's and NumPy's protocols -------------------------------------------------------------------


@pytest.fixture
def t() -> tg.Tensor:
    return tg.tensor([[1.0, -2.0], [3.0, 4.0]], "float32", requires_grad=True)


def test_operators(t: tg.Tensor) -> None:
    a = t.numpy()
    for got, want in [
        (t + 1, a + 1), (1 + t, 1 + a), (t - 2.0, a - 2), (2.0 - t, 2 - a), (t * 3, a * 3), (3 * t, 3 * a),
        (t / 2, a / 2), (1 / t, 1 / a), (t**2, a**2), (2**t, np.float32(2) ** a), (-t, -a), (abs(t), abs(a)),
        (t // 2, a // 2), (5 // t, 5 // a), (t % 3, a % 3), (5 % t, 5 % a), (t @ t, a @ a), (t @ a, a @ a),
        (a @ t, a @ a), (t + t, a + a), (t * a, a * a), (a * t, a * a), (a - t, a - a), (a / t, a / a), (a**t, a**a),
        (t + [1, 2], a + np.array([1, 2], "float32")), ([1.0, 2.0] * t, np.array([1, 2], "float32") * a),
    ]:
        assert isinstance(got, tg.Tensor) and got.dtype == np.float32
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    for got, want in [
        (t < 0, a < 0), (t <= 3, a <= 3), (t > 0, a > 0), (t >= 3, a >= 3), (t == 3, a == 3), (t != 3, a != 3),
        (3 == t, a == 3), (0 < t, a > 0), (a < t, a < a), (t == a, a == a), ((t > 0) & (t < 4), (a > 0) & (a < 4)),
        ((t > 3) | (t < 0), (a > 3) | (a < 0)), (~(t > 0), ~(a > 0)),
    ]:
        assert isinstance(got, tg.Tensor) and got.dtype == bool and not got.requires_grad
        assert same_bits(got, want)


@pytest.mark.parametrize(
    "other",
    [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.int8(2), np.bool_(True), np.array(2.5),
     np.array(3), [1, 2], [1.0, 2.0], (1.5, 2.5), np.array([1, 2]), np.array([True, False]), np.array([1, 2], "int8")],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_and_integer_arrays_do_not_change_the_float_type(dtype: str, other: Any) -> None:
    t = tg.tensor([[1.0, -2.0], [3.0, 4.0]], dtype, requires_grad=True)
    for f in (
        lambda x, y: x + y, lambda x, y: y + x, lambda x, y: x * y, lambda x, y: y * x, lambda x, y: x - y,
        lambda x, y: y - x, lambda x, y: y / x, lambda x, y: ops.maximum(x, y), lambda x, y: ops.minimum(y, x),
        lambda x, y: ops.where(x > 0, x, y), lambda x, y: ops.where(x > 0, y, x), lambda x, y: ops.logaddexp(x, y),
        lambda x, y: x**2 * y,
    ):  # fmt: skip
        result = f(t, other)
        assert isinstance(result, tg.Tensor) and result.dtype == dtype
        (g,) = tg.grad(result, [t], np.ones(result.shape))
        assert g.dtype == dtype and g.shape == t.shape


def test_integer_tensors() -> None:
    i = tg.tensor([1, 2, 3])
    assert i.dtype == np.int64 and (i * 2).dtype == np.int64 and (i + 1).tolist() == [2, 3, 4]
    assert (i / 2).dtype == np.float32 and (i * 0.5).dtype == np.float32 and ops.sqrt(i).dtype == np.float32
    assert ops.exp(i).dtype == np.float32 and i.sum().item() == 6 and ops.mean(i).item() == 2.0
    x = tg.tensor([1.0, 2.0, 4.0], requires_grad=True)
    y = x * i
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]
    assert [10, 20, 30, 40][tg.tensor(2)] == 30 and list(range(tg.tensor(2))) == [0, 1]


def test_numpy_functions_run_our_ops(t: tg.Tensor) -> None:
    u = tg.tensor(np.full((2, 2), 2.0, "float32"))
    for f in (
        np.tanh, np.exp, np.square, np.negative, np.abs, np.sin, lambda x: np.multiply(np.ones((2, 2), "float32"), x),
        lambda x: np.add(x, 1), lambda x: np.power(x, 2), np.sum, np.mean, np.max, np.min, np.std, np.var, np.prod,
        lambda x: np.sum(x, axis=0), lambda x: np.sum(x, 1, keepdims=True), lambda x: np.mean(x, axis=(0, 1)),
        lambda x: np.concatenate([x, u]), lambda x: np.concatenate((u, x), axis=1), lambda x: np.stack([x, u], axis=1),
        lambda x: np.where(np.ones((2, 2), bool), x, u), lambda x: np.reshape(x, (4,)), np.transpose, np.ravel,
        lambda x: np.matmul(x, u), lambda x: np.dot(x, x), lambda x: np.einsum("ij,kj->ik", x, u),
        lambda x: np.clip(x, -1, 1), lambda x: np.expand_dims(x, 0), lambda x: np.squeeze(x[None]),
        lambda x: np.take(x, [0, 1], axis=1), lambda x: np.split(x, 2)[1], lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.cumsum(x, axis=0), lambda x: np.tensordot(x, u, 1), lambda x: np.outer(x, u),
        lambda x: np.repeat(x, 2, axis=0), lambda x: np.tile(x, 2), lambda x: np.flip(x, 0), lambda x: np.pad(x, 1),
        lambda x: np.broadcast_to(x, (3, 2, 2)), lambda x: np.moveaxis(x, 0, 1), lambda x: np.maximum(x, u),
    ):  # fmt: skip
        got, want = f(t), f(t.numpy())
        assert isinstance(got, tg.Tensor) and got.requires_grad
        np.testing.assert_allclose(got.numpy(), np.asarray(want), rtol=1e-6)
    assert np.shape(t) == (2, 2) and np.ndim(t) == 2 and np.size(t) == 4
    assert np.argmax(t).item() == 3 and np.all(t > -9) and np.zeros_like(t).tolist() == [[0, 0], [0, 0]]


def test_numpy_functions_without_a_rule(t: tg.Tensor) -> None:
    plain = t.detach()
    assert np.median(plain) == 2.0 and np.add.reduce(plain).tolist() == [4.0, 2.0] and np.cbrt(plain).shape == (2, 2)
    for call, name in [
        (lambda: np.median(t), "numpy.median"), (lambda: np.add.reduce(t), "numpy.add"), (lambda: np.cbrt(t), "numpy.cbrt"),
        (lambda: np.sort(t), "numpy.sort"), (lambda: np.tanh(t, out=np.zeros((2, 2))), "numpy.tanh"),
        (lambda: np.multiply.outer(t, t), "numpy.multiply"),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match=rf"{name} has no gradient rule here.*t\.detach\(\)"):
            call()
    with pytest.raises(TypeError, match="numpy.subtract.*the nearest op is tg.ops.subtract"):
        np.subtract.accumulate(t)


def test_asarray(t: tg.Tensor) -> None:
    a = np.asarray(t)
    assert a.dtype == np.float32 and not a.flags.writeable and np.shares_memory(a, t.numpy())
    assert np.asarray(t, dtype="float64").dtype == np.float64
    copied = np.array(t)
    assert copied.flags.writeable and not np.shares_memory(copied, a)
    assert np.array([t, t]).shape == (2, 2, 2)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(t, dtype="float64", copy=False)


def test_unknown_operands(t: tg.Tensor) -> None:
    for wrong in ("a", None, object()):
        with pytest.raises(TypeError):
            t + wrong
        with pytest.raises(TypeError):
            wrong * t

    class Other:
        def __radd__(self, other: Any) -> str:
            return "mine"

    assert t + Other() == "mine"


def test_python_protocols(t: tg.Tensor) -> None:
    assert len(t) == 2 and [row.tolist() for row in t] == [[1, -2], [3, 4]]
    first, second = t
    (first * second).sum().backward()
    assert t.grad.tolist() == [[3, 4], [1, -2]]
    one = tg.tensor(2.5)
    assert bool(one) and float(one) == 2.5 and int(one) == 2 and one.item() == 2.5 and not bool(tg.tensor(0.0))
    assert f"{one:.2f}" == "2.50" and f"{one}" == str(one) and format(tg.tensor([1.5]), ".1f") == "1.5"
    assert repr(one) == "tensor(2.5, dtype=float32)"
    assert repr(tg.tensor([1, 2], name="ids")) == "tensor([1, 2], dtype=int64, name='ids')"
    assert "requires_grad=True" in repr(t) and "op='tanh'" in repr(ops.tanh(t))
    assert repr(tg.Variable([1.0], name="w")).startswith("<Variable 'w' shape=(1,) dtype=float32 value=[1.]")
    assert len(repr(tg.tensor(np.zeros(10_000)))) < 200
    assert t.tolist() == [[1, -2], [3, 4]] and t.name is None and tg.tensor(1.0, name="x").name == "x"
    assert (t.shape, t.ndim, t.size, t.dtype) == ((2, 2), 2, 4, np.float32)
    for call in (lambda: len(one), lambda: iter(one)):
        with pytest.raises(TypeError):
            call()
    for call in (lambda: bool(t), lambda: float(t), lambda: t.item()):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError):
        [1, 2][one]  # type: ignore[call-overload]


def test_methods(t: tg.Tensor) -> None:
    a = t.numpy()
    for got, want in [
        (t.T, a.T), (t.mT, a.mT), (t.reshape(4), a.reshape(4)), (t.reshape(4, 1), a.reshape(4, 1)),
        (t.reshape((1, 4)), a.reshape(1, 4)), (t.reshape([-1]), a.reshape(-1)), (t.flatten(), a.flatten()),
        (t.transpose(), a.T), (t.transpose(1, 0), a.T), (t.transpose((0, 1)), a), (t.transpose(None), a.T),
        (t.swapaxes(0, 1), a.T), (t[None].squeeze(), a), (t[None].squeeze(0), a), (t.sum(), a.sum()),
        (t.sum(axis=0), a.sum(0)), (t.sum(1, keepdims=True), a.sum(1, keepdims=True)), (t.mean(), a.mean()),
        (t.mean(0), a.mean(0)), (t.prod(), a.prod()), (t.max(), a.max()), (t.min(axis=1), a.min(1)),
        (t.var(), a.var()), (t.std(axis=0), a.std(0)), (t.all(), a.all()), (t.any(axis=0), a.any(0)),
        (t.argmax(), a.argmax()), (t.argmin(axis=1), a.argmin(1)), (t.cumsum(axis=1), a.cumsum(1)),
        (t.dot(t), a @ a), (t.round(), a.round()), (t.clip(0, 3), a.clip(0, 3)), (t.clip(x_max=1), a.clip(max=1)),
        (t.astype("float64"), a.astype("float64")), (t.astype("int64"), a.astype("int64")),
        (t[0], a[0]), (t[..., 1], a[..., 1]), (t[t > 0], a[a > 0]), (t[tg.tensor([1, 0, 1])], a[[1, 0, 1]]),
        (t[[0, 1], [1, 1]], a[[0, 1], [1, 1]]), (t[::-1, None, 1:], a[::-1, None, 1:]),
    ]:  # fmt: skip
        assert isinstance(got, tg.Tensor) and got.dtype == np.asarray(want).dtype
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert tg.tensor(np.ones((2, 3, 4))).mT.shape == (2, 4, 3) and tg.tensor(np.ones((2, 3, 4))).T.shape == (4, 3, 2)
