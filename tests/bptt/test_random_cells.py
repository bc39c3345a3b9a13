"""Cells put together at random: derived against unrolled, and LSTM-like ones against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bptt.random_cells import SUMS, H, N, T, problem_of

import tinygrad_rnn as tg
from tinygrad_rnn import ops

CELLS, MASKED, WITH_SUMS = 160, 30, 60
# were refused once, and ran unrolled
FOUND = (1031, 1162, 2363, 2561, 2672, 3595, 4140, 8111, 10290, 30112, 62120, 70499)


def test_random_cells_are_derived_and_agree_with_unrolled() -> None:
    """None of them falls back: the warning is an error."""
    found = [problem for seed in (*range(CELLS), *FOUND) if (problem := problem_of(seed))]
    assert not found, f"{len(found)} of {CELLS}:\n" + "\n".join(found[:12])


def test_random_cells_agree_with_masks_and_backwards() -> None:
    mask = np.array([[False, True, False, True], [True, True, False, False]])
    seeds = range(CELLS, CELLS + MASKED)
    found = [p for seed in seeds if (p := problem_of(seed, mask=mask, go_backwards=bool(seed % 2)))]
    assert not found, f"{len(found)} of {MASKED}:\n" + "\n".join(found[:12])


@pytest.mark.parametrize("sums", SUMS)
def test_random_cells_with_sums_of_products_agree(sums: str) -> None:
    seeds = range(CELLS, CELLS + WITH_SUMS)
    found = [p for seed in seeds if (p := problem_of(seed, sums=sums, go_backwards=bool(seed % 2)))]
    assert not found, f"{len(found)} of {WITH_SUMS}:\n" + "\n".join(found[:12])


@pytest.mark.parametrize("seed", range(4))
def test_random_cells_agree_with_pytorch(seed: int) -> None:
    """The gates of an LSTM-like cell, mixed anew for every seed."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    activations = [("tanh", "sigmoid", "relu", "sin")[k] for k in rng.integers(0, 4, 4)]
    order = rng.permutation(4)
    arrays = {
        n: 0.6 * rng.standard_normal(s) for n, s in {"W": (3, 4 * H), "U": (H, 4 * H), "b": (4 * H,)}.items()
    }
    x, h0, c0 = rng.standard_normal((N, T, 3)), rng.standard_normal((N, H)), rng.standard_normal((N, H))

    def cell(f: Any, p: Any, split: Any, x: Any, h: Any, c: Any) -> Any:
        gates = split(x @ p["W"] + h @ p["U"] + p["b"])
        gates = [getattr(f, activations[k])(gates[order[k]]) for k in range(4)]
        c = gates[0] * c + gates[1] * gates[2] - 0.1 * c * c
        return gates[3] * f.tanh(c), c

    leaves = {n: tg.tensor(a, requires_grad=True) for n, a in arrays.items()}

    def step(x: Any, s: Any, _: Any) -> Any:
        h, c = cell(ops, leaves, lambda z: ops.split(z, 4, axis=-1), x, *s)
        return h, [h, c]

    y, last = tg.scan(step, x, [h0, c0], derive=True)
    got = [y, last[1], *tg.grad((y * y).sum() + last[1].sum(), list(leaves.values()))]
    theirs = {n: torch.tensor(a, requires_grad=True) for n, a in arrays.items()}
    h, c, outputs = torch.tensor(h0), torch.tensor(c0), []
    for t in range(T):
        h, c = cell(torch, theirs, lambda z: z.chunk(4, -1), torch.tensor(x[:, t]), h, c)
        outputs.append(h)
    stacked = torch.stack(outputs, 1)
    ((stacked * stacked).sum() + c.sum()).backward()
    want = [stacked, c, *(p.grad for p in theirs.values())]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-10, atol=1e-12)
