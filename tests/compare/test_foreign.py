"""Any two of: by hand, autodiff, derived, numbers, PyTorch; arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import ops

T = 5


def by_hand(W: Any, U: Any, x: Any) -> dict[str, Any]:
    h = np.zeros((T + 1, x.shape[0], U.shape[0]), x.dtype)
    for t in range(T):
        h[t] = np.tanh(x[:, t] @ W + h[t - 1] @ U)
    dW, dU, dh = np.zeros_like(W), np.zeros_like(U), np.zeros_like(h[0])
    for t in reversed(range(T)):
        dz = (1 - h[t] ** 2) * (dh + 2 * h[t])
        dW += x[:, t].T @ dz
        dU += h[t - 1].T @ dz
        dh = dz @ U.T
    return {"dW": dW, "dU": dU}


def _loss(W: Any, U: Any, x: Any) -> Any:
    def step(x_t: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x_t @ W + states[0] @ U)
        return h, [h]

    h, _ = tg.scan(step, x, [np.zeros((x.shape[0], 3), x.dtype)])
    return (h * h).sum()


def engine(W: Any, U: Any, x: Any) -> Any:
    w, u = tg.Variable(W), tg.Variable(U)
    return tuple(g.numpy() for g in tg.grad(_loss(w, u, x), [w, u]))


def derived(W: Any, U: Any, x: Any) -> Any:
    with tg.derived():
        return engine(W, U, x)


def numbers(W: Any, U: Any, x: Any) -> Any:
    w, u = tg.Variable(W, name="W"), tg.Variable(U, name="U")
    return tg.compare.numeric_gradients(lambda: _loss(w, u, x), {"W": w, "U": u})


def pytorch(W: Any, U: Any, x: Any) -> Any:
    torch = pytest.importorskip("torch")
    w, u = (torch.tensor(a, requires_grad=True) for a in (W, U))
    h, total = torch.zeros(x.shape[0], 3, dtype=w.dtype), 0.0
    for t in range(T):
        h = torch.tanh(torch.tensor(x[:, t]) @ w + h @ u)
        total = total + (h * h).sum()
    total.backward()
    return {"W": w.grad, "U": u.grad}


FUNCTIONS = [by_hand, engine, derived, numbers, pytorch]


@pytest.mark.parametrize("auto", FUNCTIONS)
@pytest.mark.parametrize("manual", FUNCTIONS)
def test_any_two_agree(manual: Any, auto: Any) -> None:
    rng = np.random.default_rng(0)
    inputs = {
        "W": rng.standard_normal((4, 3)),
        "U": rng.standard_normal((3, 3)),
        "x": rng.standard_normal((2, T, 4)),
    }
    before = {name: array.copy() for name, array in inputs.items()}
    report = tg.compare_gradients(manual, auto, inputs=inputs)
    assert report and {row.verdict for row in report.rows} == {"rounding"}, str(report)
    assert not report.notes and len(report.rows) == 2
    assert all(np.array_equal(before[name], array) for name, array in inputs.items())


def test_a_difference_is_found_in_float32_and_positionally() -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3), (3, 3), (2, T, 4))]
    assert tg.compare_gradients(by_hand, pytorch, inputs=arrays)
    report = tg.compare_gradients(
        lambda W, U, x: {k: 2 * g for k, g in by_hand(W, U, x).items()}, engine, inputs=arrays
    )
    assert not report and all(row.diagnosis == "constant factor 2" for row in report.rows)


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3), (3, 3), (2, T, 4))]

    def loss(W: Any, U: Any, x: Any) -> Any:
        h, total = jax.numpy.zeros((2, 3), W.dtype), 0.0
        for t in range(T):
            h = jax.numpy.tanh(x[:, t] @ W + h @ U)
            total = total + (h * h).sum()
        return total

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))

    def theirs(W: Any, U: Any, x: Any) -> Any:
        return gradients(W, U, x)

    for manual, auto in ((by_hand, theirs), (theirs, by_hand), (theirs, engine)):
        report = tg.compare_gradients(manual, auto, inputs=arrays)
        assert report and {row.verdict for row in report.rows} == {"rounding"}, str(report)
    report = tg.compare_gradients(
        lambda W, U, x: {k: -g for k, g in by_hand(W, U, x).items()}, theirs, inputs=arrays
    )
    assert {row.diagnosis for row in report.rows} == {"constant factor -1 (sign)"}


def test_a_tensor_with_a_graph_a_single_result_and_none() -> None:
    torch = pytest.importorskip("torch")

    def square(x: Any) -> Any:
        return torch.tensor(x, requires_grad=True) * 2  # not detached

    x = np.array([1.0, 3.0])
    assert tg.compare_gradients(lambda x: 2 * x, square, inputs=[x])
    assert tg.compare_gradients(square, lambda x: (2 * x, None), inputs=[x])
    report = tg.compare_gradients(lambda: {"x": 2 * x}, lambda: {"x": 2 * x})
    assert report and "not measured" in report.notes[0]
