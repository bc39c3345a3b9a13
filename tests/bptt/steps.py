"""What the tests of odd steps share: numbers to run on, both modes beside each other, and an LSTM."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import UnrolledWarning

H, T, N = 3, 5, 2


def weight(shape: Any = (H, H), seed: int = 0) -> tg.Tensor:
    return tg.tensor(0.7 * np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def inputs(seed: int = 1, steps: int = T) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((N, steps, H))


def start() -> list[Any]:
    return [np.zeros((N, H))]


@contextmanager
def may_unroll() -> Iterator[None]:
    """Without the warning of a step that runs unrolled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnrolledWarning)
        yield


def equal(got: Any, want: Any, rtol: float = 1e-12) -> None:
    """Number by number, with dtypes."""
    for g, w in zip(got, want, strict=True):
        g, w = np.asarray(g), np.asarray(w)
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol)


def both(make: Any, steps: int = T, leaves: Any = (), warn: bool = False) -> None:
    """`make()` gives a fresh step; derived (three times) and unrolled results agree. `warn`: it has to say so, once."""
    results: list[Any] = []
    for derive in (False, True):
        step, said = make(), []
        for k in range(3):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                y, last = tg.scan(step, inputs(k + 10, steps), start(), derive=derive)
            said += [str(c.message) for c in caught if c.category is UnrolledWarning]
            end = (y * y).sum() + last[0].sum()
            grads = tg.grad(end, list(leaves)) if leaves else []
            results.append([np.array(y), np.array(last[0]), *map(np.array, grads)])
        assert len(said) == (warn and derive), said
    for got, want in zip(results[3:], results[:3], strict=True):
        equal(got, want)


def lstm_step(w: tg.Tensor, u: tg.Tensor) -> Any:
    def step(x: Any, s: Any, c: Any) -> Any:
        i, f, g, o = ops.split(x @ w + s[0] @ u, 4, axis=-1)
        cell = ops.sigmoid(f) * s[1] + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(cell)
        return h, [h, cell]

    return step


def lstm_run(seed: int, derive: bool, steps: int = 20, batch: int = N) -> list[np.ndarray[Any, Any]]:
    w, u = weight((H, 4 * H), seed), weight((H, 4 * H), seed + 100)
    x = np.random.default_rng(seed).standard_normal((batch, steps, H))
    y, last = tg.scan(lstm_step(w, u), x, [np.zeros((batch, H)), np.zeros((batch, H))], derive=derive)
    end = (y * y).sum() + last[1].sum()
    return [np.array(a) for a in (y, *last, *tg.grad(end, [w, u]))]
