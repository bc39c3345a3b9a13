"""Every public function of `tg.ops` against PyTorch or NumPy: values and gradients in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from leaves import same_bits

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





# --- creation ---------------------------------------------------------------------------------------

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
