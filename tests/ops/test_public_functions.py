"""Every public function of `tg.ops` against PyTorch or NumPy: values and gradients in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rows_math
import rows_shape
from leaves import same_bits
from rows import Row

import tinygrad_rnn as tg
from tinygrad_rnn import ops

RTOL = 1e-10


ROWS = rows_math.ROWS + rows_shape.ROWS

# Functions without gradient: against the NumPy function of the same name (or the one given).
SMALL = np.array([[-1.5, -0.5, 0.0], [0.5, 2.5, 0.5]])
OTHER = np.array([[-1.5, 0.5, 0.0], [0.25, 2.5, -2.0]])
ODD = np.array([1.0, np.nan, np.inf, -np.inf])
PLAIN: dict[str, tuple[Any, ...]] = {
    "sign": (SMALL,),
    "floor": (SMALL,),
    "ceil": (SMALL,),
    "round": (SMALL,),
    "isfinite": (ODD,),
    "isnan": (ODD,),
    "isinf": (ODD,),
    "logical_not": (SMALL > 0,),
    "equal": (SMALL, OTHER),
    "not_equal": (SMALL, OTHER),
    "less": (SMALL, OTHER),
    "less_equal": (SMALL, OTHER),
    "greater": (SMALL, OTHER),
    "greater_equal": (SMALL, OTHER),
    "logical_and": (SMALL > 0, OTHER > 0),
    "logical_or": (SMALL > 0, OTHER > 0),
    "logical_xor": (SMALL, OTHER),
    "floor_divide": (SMALL, OTHER + 9),
    "argmax": (SMALL,),
    "argmin": (SMALL,),
    "all": (SMALL,),
    "any": (SMALL,),
    "zeros_like": (SMALL,),
    "ones_like": (SMALL,),
}

# Each of these has a test of its own below (CTC: in training/test_ctc.py; full_like: in test_matrices.py).
TESTED_APART = {
    "arange",
    "categorical",
    "convert_to_numpy",
    "convert_to_tensor",
    "ctc_decode",
    "ctc_loss",
    "dropout",
    "eye",
    "full",
    "full_like",
    "identity",
    "linspace",
    "ndim",
    "normal",
    "one_hot",
    "ones",
    "randint",
    "shape",
    "size",
    "truncated_normal",
    "uniform",
    "zeros",
}

LABELS = [f"{row.name}-{i}" for i, row in enumerate(ROWS)]


def test_every_public_function_is_in_a_table() -> None:
    functions = {name for name in ops.__all__ if callable(getattr(ops, name))}
    assert functions == {row.name for row in ROWS} | set(PLAIN) | TESTED_APART
    assert all(getattr(ops, name).__doc__ for name in ops.__all__)


def test_everything_public_is_exported() -> None:
    made_here = {
        n for n, f in vars(ops).items() if callable(f) and n[0] != "_" and "tinygrad_rnn" in f.__module__
    }
    assert made_here - {"Tensor"} == {name for name in ops.__all__ if callable(getattr(ops, name))}


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


def test_identity_and_linspace_are_numpys() -> None:
    assert same_bits(ops.identity(3).numpy(), np.identity(3, "float32"))
    assert same_bits(ops.linspace(-1, 2, 7).numpy(), np.linspace(-1, 2, 7, dtype="float32"))
    found, step = ops.linspace(
        [0.0, 1.0], [1.0, 9.0], 4, endpoint=False, retstep=True, dtype="float64", axis=1
    )
    want, distance = np.linspace([0.0, 1.0], [1.0, 9.0], 4, endpoint=False, retstep=True, axis=1)
    assert same_bits(found.numpy(), want) and np.allclose(step, distance)
    assert same_bits(ops.linspace(-2, 1, 5, dtype="int64").numpy(), np.linspace(-2, 1, 5, dtype="int64"))


def test_numbers_are_joined_as_vectors_of_one() -> None:
    assert ops.hstack([1.0, 2.0]).tolist() == [1.0, 2.0] and ops.vstack([1.0, 2.0]).tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: ops.slice(SMALL, (1, 1), (2, 2)),
            r"slice: a block of shape \(2, 2\) at \(1, 1\) does not lie",
        ),
        (
            lambda: ops.slice_update(SMALL, (0,), np.ones((1, 1))),
            r"slice_update: a block of shape \(1, 1\) at \(0,\)",
        ),
        (lambda: ops.average(SMALL, weights=np.ones(3)), r"average: weights of shape \(3,\) fit neither x"),
        (lambda: ops.average(SMALL, axis=0, weights=np.ones(3)), "average: weights of shape"),
    ],
    ids=["slice", "slice_update", "average", "average along"],
)
def test_what_does_not_fit_is_said(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_nan_to_num_has_the_ends_of_the_type() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 2.0], "float32")
    assert same_bits(ops.nan_to_num(odd), np.nan_to_num(odd))
    assert ops.nan_to_num(np.arange(3)).tolist() == [0, 1, 2]


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
    for value, dtype, expected in (
        (5, "float32", 5.0), (1.9, "int32", 1), (True, "float64", 1.0), ([[1], [0]], "bool", [[True], [False]]),
    ):  # fmt: skip
        cast = ops.cast(value, dtype)
        assert isinstance(cast, tg.Tensor) and cast.dtype == dtype and cast.tolist() == expected
    assert ops.shape([[1, 2, 3]]) == ops.shape(tg.tensor([[1, 2, 3]])) == (1, 3)
    assert (ops.ndim([[1]]), ops.size([[1, 2]]), ops.size(tg.tensor(1.0))) == (2, 2, 1)


def test_one_hot() -> None:
    ids = np.array([[0, 2], [1, 0]])
    assert same_bits(ops.one_hot(ids, 3), np.eye(3)[ids])
    assert ops.one_hot(ids, 3, axis=0).shape == (3, 2, 2)
    assert same_bits(ops.one_hot(ids, 3, axis=1), np.moveaxis(np.eye(3)[ids], -1, 1))
    assert ops.one_hot(ids, 3).dtype == np.float32 and ops.one_hot(ids, 3, dtype="int8").dtype == np.int8
    assert isinstance(ops.one_hot(tg.tensor(ids), 3), tg.Tensor)


def test_clip_takes_every_kind_of_number() -> None:
    for low in (1, 1.0, np.float32(1), np.float64(1), np.int64(1), np.array(1.0)):
        x = tg.tensor([0.0, 1.0, 2.0], requires_grad=True)
        y = ops.clip(x, low, np.inf)
        y.sum().backward()
        assert y.dtype == np.float32 and y.tolist() == [1.0, 1.0, 2.0] and x.grad.tolist() == [0.0, 1.0, 1.0]
    ids = tg.tensor([1, 5])
    assert ops.clip(ids, x_max=3).dtype == ops.clip(ids, 2).dtype == np.int64
    assert ops.clip(ids, x_max=3).tolist() == [1, 3] and ops.clip(ids, 2).tolist() == [2, 5]


@pytest.mark.parametrize(
    ("of", "to"), [(0, -1), ((0, 1), (1, 0)), ([0, 2], [-1, 0]), ((2, 0, 1), (0, 1, 2)), ((), ())]
)
def test_moveaxis_moves_several_axes(of: Any, to: Any) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(ops.moveaxis(x, of, to), np.moveaxis(x, of, to))
    with pytest.raises(
        ValueError, match=r"moveaxis: \(0, 1\) and \(1, 1\) are not as many axes, each named once"
    ):
        ops.moveaxis(x, (0, 1), (1, 1))


@pytest.mark.parametrize("left", [(6,), (4, 6), (2, 4, 6)])
@pytest.mark.parametrize("right", [(6,), (6, 3), (2, 6, 3)])
def test_dot_is_one_product_if_it_can_be(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    """`np.dot(h, W)` is how many a step is written; it took 70 µs where `h @ W` takes 3."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    y = np.dot(tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True))
    np.testing.assert_allclose(y, np.dot(a, b), rtol=1e-12)
    if len(right) < 3:
        assert tg.graph(y).op.tolist() == ["leaf", "leaf", "matmul"]
