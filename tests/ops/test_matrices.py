"""Systems of equations, the inverse, diagonals and triangles: NumPy's values, and gradients, also derived."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.ops.linalg import _product

RNG = np.random.default_rng(0)
STACK = RNG.standard_normal((2, 3, 4))
REGULAR = 2.0 * np.eye(3) + 0.3 * RNG.standard_normal((2, 3, 3))
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    *[("diag", (np.arange(3.0), k)) for k in (0, 1, -2)],
    *[("diag", (STACK[0], k)) for k in (0, 1, -1)],
    *[(name, (STACK, k)) for name in ("tril", "triu") for k in (0, 1, -1)],
    *[(name, (STACK, k, 1, 2)) for name in ("diagonal", "trace") for k in (0, 1, -1)],
    *[(name, (STACK, 0, 0, 2)) for name in ("diagonal", "trace")],
    ("tril", (np.arange(6).reshape(2, 3),)),
    ("diag", (np.array([np.inf, 1.0]),)),
    ("full_like", (STACK, 2.0)),
]


@pytest.mark.parametrize(("name", "args"), CALLS)
def test_the_values_are_numpys(name: str, args: Any) -> None:
    want = getattr(np, name)(*args)
    for found in (getattr(ops, name)(*args), getattr(ops, name)(tg.tensor(args[0]), *args[1:])):
        np.testing.assert_array_equal(found, want)
        assert found.dtype == want.dtype


def test_numpys_functions_find_them() -> None:
    x = tg.tensor(REGULAR, requires_grad=True)
    for y in (
        np.linalg.inv(x),
        np.linalg.solve(x, x),
        np.tril(x),
        np.trace(x),
        np.diagonal(x),
        np.diag(x[0]),
    ):
        assert isinstance(y, tg.Tensor) and y.requires_grad


@pytest.mark.parametrize("b", [STACK[:, :, 0], STACK, STACK[0]], ids=["vectors", "matrices", "one matrix"])
def test_solve(b: Any) -> None:
    a = REGULAR[0] if b.ndim == 2 and b.shape[0] == 3 else REGULAR
    y = ops.solve(a, b)
    np.testing.assert_allclose(
        np.matmul(a, y[..., None])[..., 0] if b.shape == (2, 3) else a @ y, b, rtol=1e-12
    )
    p, q = (tg.Variable(v, dtype="float64") for v in (a, b))
    assert tg.check_gradients(lambda: (ops.solve(p, q) ** 3).sum(), [p, q])


@pytest.mark.parametrize(
    "function",
    [
        ops.inv,
        ops.tril,
        ops.triu,
        ops.trace,
        ops.diagonal,
        lambda x: ops.diag(x[0], 1),
        lambda x: ops.diag(x[0, 0], -1),
    ],
)
def test_gradients(function: Any) -> None:
    x = tg.Variable(REGULAR, dtype="float64")
    assert tg.check_gradients(lambda: (function(x) ** 3).sum(), [x])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.solve(np.zeros((2, 2)), np.ones(2)), r"solve: Singular matrix; received \(2, 2\)"),
        (
            lambda: ops.solve(np.ones((2, 3)), np.ones(2)),
            r"solve: expected square matrices, received shape \(2, 3\)",
        ),
        (
            lambda: ops.solve(np.ones((2, 2)), np.ones((3, 2))),
            r"b of shape \(3, 2\) does not fit .* \(2, 2\)",
        ),
        (lambda: ops.inv(np.ones(3)), r"inv: expected square matrices, received shape \(3,\)"),
        (
            lambda: ops.diag(np.ones((2, 2, 2))),
            r"diag: expected a vector or a matrix, received shape \(2, 2, 2\)",
        ),
        (lambda: ops.triu(np.ones(3)), r"triu: expected at least 2 axes, received shape \(3,\)"),
        (
            lambda: ops.moveaxis(STACK, (0, 1), (1, 1)),
            r"moveaxis: \(0, 1\) and \(1, 1\) are not as many axes",
        ),
    ],
)
def test_the_errors_say_what_was_expected(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("gain", ["solve", "inv"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_kalman_filter_is_derived(gain: str, batch: int, recwarn: pytest.WarningsRecorder) -> None:
    """States that are matrices, an observation of three numbers: the gain needs a matrix's inverse."""
    rng = np.random.default_rng(1)
    shapes = {"F": (2, 2), "H": (3, 2), "log_r": (3,), "factor": (2, 2)}
    w = {k: tg.Variable(0.5 * rng.standard_normal(s), dtype="float64", name=k) for k, s in shapes.items()}

    def step(z: Any, states: Any, constants: Any) -> Any:
        m, P = states
        root = ops.tril(w["factor"])
        m, P = m @ w["F"].T, w["F"] @ P @ w["F"].T + root @ root.T
        S = w["H"] @ P @ w["H"].T + ops.diag(ops.exp(w["log_r"]))
        K = ops.solve(S, w["H"] @ P).mT if gain == "solve" else P @ w["H"].T @ ops.inv(S)
        m = m + (K @ (z - m @ w["H"].T)[..., None])[..., 0]
        P = P - K @ w["H"] @ P
        return (m, ops.trace(P, axis1=1, axis2=2)[:, None]), [m, P]

    z, first = rng.standard_normal((batch, 6, 3)), [np.zeros((batch, 2)), np.tile(np.eye(2), (batch, 1, 1))]

    def run(derive: bool) -> list[Any]:
        (m, P), last = tg.scan(step, z, first, derive=derive)
        return [m, P, *last, *tg.grad((m * m).sum() + ops.sin(P).sum(), list(w.values()))]

    for _ in range(3):
        for a, b in zip(run(True), run(False), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
    assert not recwarn.list


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_have_the_bits_of_matmul_however_matrices_lie(dtype: str) -> None:
    """A recorded batch is given arrays that calling the model would copy together first."""
    rng = np.random.default_rng(0)
    for m, k, n in [*rng.choice([1, 2, 3, 5, 8, 16, 31, 64, 65, 129], (100, 3)), (300, 257, 512)]:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        want = a @ b
        rows, columns = np.repeat(a, 2, axis=0)[::2], np.repeat(a, 2, axis=1)[:, ::2]
        for left in (a, np.asfortranarray(a), np.hstack([a, a])[:, :k], rows, columns):
            for right in (b, np.asfortranarray(b), np.hstack([b, b])[:, :n]):
                assert np.array_equal(_product(left, right), np.matmul(left, right))
        assert np.array_equal(_product(a, b), want)
