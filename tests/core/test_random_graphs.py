"""Random compositions of ops against PyTorch: value, gradient, gradient of the squared gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaves import leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "tanh": (ops.tanh, lambda torch, a: torch.tanh(a)),
    "sigmoid": (ops.sigmoid, lambda torch, a: torch.sigmoid(a)),
    "softplus": (ops.softplus, lambda torch, a: torch.nn.functional.softplus(a)),
    "sin": (ops.sin, lambda torch, a: torch.sin(a)),
    "exp": (lambda a: ops.exp(ops.sin(a)), lambda torch, a: torch.exp(torch.sin(a))),
    "softmax": (ops.softmax, lambda torch, a: torch.softmax(a, -1)),
    "transpose": (lambda a: a.T, lambda torch, a: a.T),
    "mean": (lambda a: a - a.mean(axis=0), lambda torch, a: a - a.mean(0)),
    "logsumexp": (
        lambda a: 0.5 * (ops.logsumexp(a, axis=1, keepdims=True) + a),
        lambda torch, a: 0.5 * (a.logsumexp(1, True) + a),
    ),
    "flip": (lambda a: ops.flip(a, 0), lambda torch, a: torch.flip(a, (0,))),
    "index": (lambda a: a[[0, 2, 2]], lambda torch, a: a[[0, 2, 2]]),
    "cumsum": (lambda a: ops.cumsum(a, axis=1) / 3, lambda torch, a: torch.cumsum(a, 1) / 3),
    "reshape": (
        lambda a: a.reshape(9)[::-1].reshape(3, 3),
        lambda torch, a: a.reshape(9).flip(0).reshape(3, 3),
    ),
    "norm": (lambda a: a / (1 + ops.norm(a)), lambda torch, a: a / (1 + a.norm())),
    "square": (lambda a: ops.tanh(a) ** 2, lambda torch, a: torch.tanh(a) ** 2),
}
PAIRS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any, Any], Any]]] = {
    "add": (lambda a, b: 0.5 * (a + b), lambda torch, a, b: 0.5 * (a + b)),
    "subtract": (lambda a, b: 0.5 * a - 0.5 * b[0], lambda torch, a, b: 0.5 * a - 0.5 * b[0]),
    "multiply": (lambda a, b: ops.sin(a) * b[:, :1], lambda torch, a, b: torch.sin(a) * b[:, :1]),
    "divide": (lambda a, b: a / (1.5 + b * b), lambda torch, a, b: a / (1.5 + b * b)),
    "matmul": (lambda a, b: ops.tanh(a @ b), lambda torch, a, b: torch.tanh(a @ b)),
    "einsum": (
        lambda a, b: ops.tanh(ops.einsum("ij,kj->ik", a, b)),
        lambda torch, a, b: torch.tanh(torch.einsum("ij,kj->ik", a, b)),
    ),
    "where": (lambda a, b: ops.where(a > b, a, 1.1 * b), lambda torch, a, b: torch.where(a > b, a, 1.1 * b)),
    "concatenate": (
        lambda a, b: ops.concatenate([a, b], axis=1)[:, 1:4],
        lambda torch, a, b: torch.cat([a, b], 1)[:, 1:4],
    ),
    "stack": (
        lambda a, b: ops.stack([a, b], 1).mean(axis=1),
        lambda torch, a, b: torch.stack([a, b], 1).mean(1),
    ),
    "split": (
        lambda a, b: ops.split(ops.concatenate([a, b], 0), 2)[1] * ops.sin(ops.unstack(a, axis=0)[2]),
        lambda torch, a, b: torch.cat([a, b], 0).chunk(2)[1] * torch.sin(a.unbind(0)[2]),
    ),
    "outer": (
        lambda a, b: ops.outer(ops.sin(a[0]), b[:, 1]),
        lambda torch, a, b: torch.outer(torch.sin(a[0]), b[:, 1]),
    ),
}
step = st.one_of(
    st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 20)),
    st.tuples(st.sampled_from(sorted(PAIRS)), st.integers(0, 20), st.integers(0, 20)),
)


@given(st.lists(step, min_size=1, max_size=12), st.integers(0, 2**16))
def test_random_graphs_against_torch(program: list[Any], seed: int) -> None:
    """Every step takes any earlier values and keeps their size; the last one is summed."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    starts = [rng.standard_normal((3, 3)) for _ in range(2)]

    def build(values: list[Any], take: Callable[[str], Any]) -> Any:
        for name, *places in program:
            values.append(take(name)(*[values[p % len(values)] for p in places]))
        return values[-1].sum() + 0 * (values[0].sum() + values[1].sum())

    ours = [leaf(s) for s in starts]
    theirs = [torch.tensor(s, requires_grad=True) for s in starts]
    y = build(list(ours), lambda name: (UNARY.get(name) or PAIRS[name])[0])
    z = build(list(theirs), lambda name: lambda *xs: (UNARY.get(name) or PAIRS[name])[1](torch, *xs))
    scale = max(1.0, abs(z.item()))
    np.testing.assert_allclose(y.item(), z.item(), rtol=1e-10, atol=1e-10 * scale)
    first = tg.grad(y, ours, create_graph=True)
    reference = torch.autograd.grad(z, theirs, create_graph=True)
    compare(first, reference)
    second = tg.grad(sum((g * g).sum() for g in first) + 0 * y, ours)
    compare(second, torch.autograd.grad(sum((g * g).sum() for g in reference) + 0 * z, theirs))


def compare(got: Any, want: Any) -> None:
    want = [w.detach().numpy() for w in want]
    scale = max(float(np.abs(w).max()) for w in want)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(g), w, rtol=1e-10, atol=1e-10 * max(scale, 1.0))
