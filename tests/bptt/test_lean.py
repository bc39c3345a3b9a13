"""Without a backward pass, what is large is read while it is there, and not kept for all steps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bptt.problems import close

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.idle import size_of

N, D = 9, 32
READS: dict[str, Any] = {
    "einsum": lambda S, q: ops.einsum("nvk,nk->nv", S, q),
    "product": lambda S, q: (S @ q[:, :, None])[:, :, 0],
    "sum": lambda S, q: ops.sum(S * q[:, None, :], axis=2),
    "in_two": lambda S, q: ops.tanh(ops.sum(S, axis=2) + q),
}


def run(read: Any, T: int, derive: bool) -> tuple[list[Any], int]:
    """Outputs and last state, and the bytes that are kept for the next call."""
    rng = np.random.default_rng(T)

    def step(x: Any, states: Any, constants: Any) -> Any:
        q, k, v = ops.split(x, 3, axis=-1)
        S = 0.9 * states[0] + v[:, :, None] * k[:, None, :]
        return read(S, q), [S]

    with tg.no_grad():
        y, last = tg.scan(step, rng.standard_normal((N, T, 3 * D)), [np.zeros((N, D, D))], derive=derive)
    sets = [s for plan in derived._plans.values() for s in plan.idle.sets.values()] if derive else []
    return [y, *last], max(map(size_of, sets), default=0)


@pytest.mark.parametrize("name", READS)
def test_a_memory_is_read_in_the_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    found, few = run(READS[name], 5, True)
    close(found, run(READS[name], 5, False)[0])
    found, many = run(READS[name], 105, True)
    close(found, run(READS[name], 105, False)[0])
    assert many - few < 100 * N * D * D * 8 / 2  # bytes of the memory at 100 steps


def test_what_the_backward_pass_needs_is_read_after_the_loop() -> None:
    """It is kept, and one call reads all of it."""
    U = tg.tensor(np.eye(D), requires_grad=True)

    def step(x: Any, states: Any, constants: Any) -> Any:
        S = 0.9 * states[0] + x[:, :, None] * (x @ U)[:, None, :]
        return READS["product"](S, x), [S]

    text = str(tg.bptt_source(step, np.ones((N, D)), [np.zeros((N, D, D))]))
    loop, after = text.partition("inside the loop")[2].partition("def backward(")[0].split("# after the loop")
    assert "np.matmul(" in after and "np.matmul(" not in loop
