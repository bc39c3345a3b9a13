"""`ManualRecorder` against layers: quantities of single steps, by the names that their cells use."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops

B, T, D, H = 3, 5, 4, 3


def test_a_gate_that_was_split_off_unevenly() -> None:
    x = np.random.default_rng(0).standard_normal((B, T, D))
    gru = layers.GRU(H, dtype="float64", seed=0)
    gru(x)
    rec = tg.ManualRecorder()
    rec(T - 1, dr=np.ones((B, H)))
    report = tg.compare_gradients(rec, gru, loss_fn=lambda: gru(x).sum(), inputs=[x])
    assert not report and report.rows[0].verdict == "differs", str(report)


def test_parts_that_are_kept_in_one_list() -> None:
    rng = np.random.default_rng(0)
    u, x = tg.Variable(rng.standard_normal((H, 3 * H)), name="U"), rng.standard_normal((T, B, H))

    def loss_fn() -> Any:
        loss: Any = 0.0
        for t in range(T):
            parts = ops.split(x[t] @ u, [2 * H], axis=1)
            r = ops.tanh(parts[0][:, :H])
            s = r * parts[1]
            loss = loss + (s * s).sum()
        return loss

    rec = tg.ManualRecorder()
    rec(T - 1, dr=np.ones((B, H)), parts=[np.ones((B, 2 * H)), np.ones((B, H))])
    report = tg.compare_gradients(rec, [u], loss_fn=loss_fn, inputs=[x])
    assert not report and report.rows[0].verdict == "differs", str(report)
