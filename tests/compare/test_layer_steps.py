"""`ManualRecorder` against layers: quantities of single steps, by the names that their cells use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(x: Any, g: Any, w: Any, u: Any, b: Any, rec: Any, wrong: float = 1.0) -> None:
    h = c = np.zeros((B, H))
    cache = []
    for t in range(T):
        z = x[:, t] @ w + h @ u + b
        i, f, n, o = np.split(z, 4, axis=1)
        i, f, n, o = sigmoid(i), sigmoid(f), np.tanh(n), sigmoid(o)
        cache.append((c, i, f, n, o))
        c = f * c + i * n
        h = o * np.tanh(c)
    dh, dc = np.zeros((B, H)), np.zeros((B, H))
    for t in reversed(range(T)):
        c_prev, i, f, n, o = cache[t]
        c = f * c_prev + i * n
        dh = dh + g[:, t]
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        di, df, dn, do = dc * n, dc * c_prev, dc * i, dh * np.tanh(c)
        parts = [di * i * (1 - i), df * f * (1 - f), dn * (1 - n * n), do * o * (1 - o) ** wrong]
        dz = np.concatenate(parts, axis=1)
        rec(t, dh=dh, dc=dc, dz=dz)
        dh, dc = dz @ u.T, dc * f


def rnn_by_hand(x: Any, g: Any, w: Any, u: Any, b: Any, rec: Any, wrong: float = 1.0) -> None:
    h = [np.zeros((B, H))]
    for t in range(T):
        h.append(np.tanh(x[:, t] @ w + h[-1] @ u + b))
    dh = np.zeros((B, H))
    for t in reversed(range(T)):
        dh = dh + g[:, t]
        dz = dh * (1 - h[t + 1] ** 2) ** wrong
        rec(t, dh=dh, dz=dz, z=np.arctanh(h[t + 1]))
        dh = dz @ u.T


LAYERS = {
    "SimpleRNN": (rnn_by_hand, lambda: layers.SimpleRNN(H, return_sequences=True, dtype="float64", seed=0)),
    "LSTM": (lstm_by_hand, lambda: layers.LSTM(H, return_sequences=True, dtype="float64", seed=0)),
    "RNN(LSTMCell)": (
        lstm_by_hand,
        lambda: layers.RNN(layers.LSTMCell(H, dtype="float64"), return_sequences=True, dtype="float64"),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_arguments_of_the_activations_of_a_layer(name: str) -> None:
    by_hand, make = LAYERS[name]
    rng = np.random.default_rng(2)
    x, g = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, H))
    layer = make()
    layer(x)
    weights = [v.numpy() for v in layer.trainable_variables]
    for wrong in (1.0, 2.0):
        rec = tg.ManualRecorder()
        by_hand(x, g, *weights, rec, wrong)
        report = tg.compare_gradients(rec, layer, loss_fn=lambda: (layer(x) * g).sum(), inputs=[x])
        steps = [row.verdict for row in report.rows if row.parameter == "dz"]
        first = report.first_divergence
        if wrong == 1:
            assert report and steps == ["rounding"] * T, str(report)
        else:
            assert first is not None and (first.t, first.quantity) == (T - 1, "dz"), str(report)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_what_is_computed_for_all_steps_at_once(factor: float) -> None:
    rng = np.random.default_rng(3)
    p = {"W": rng.standard_normal((D, H)), "U": rng.standard_normal((H, H)), "V": rng.standard_normal((H, 2))}
    v = {name: tg.Variable(value, name=name) for name, value in p.items()}
    x = rng.standard_normal((T, B, D))

    def loss_fn() -> Any:
        z = x @ v["W"]
        states, h = [], np.zeros((B, H))
        for t in range(T):
            h = ops.tanh(z[t] + h @ v["U"])
            states.append(h)
        y = ops.stack(states) @ v["V"]
        return (y * y).sum()

    h = [np.zeros((B, H))]
    for t in range(T):
        h.append(np.tanh(x[t] @ p["W"] + h[-1] @ p["U"]))
    rec, dh = tg.ManualRecorder(), np.zeros((B, H))
    for t in reversed(range(T)):
        dy = 2 * h[t + 1] @ p["V"]
        dh = dy @ p["V"].T + dh
        dz = factor * dh * (1 - h[t + 1] ** 2)
        rec(t, dy=dy, dh=dh, dz=dz)  # dy has no node of its own at a step, dz has: z[t]
        dh = dz @ p["U"].T
    report = tg.compare_gradients(rec, v, loss_fn=loss_fn, inputs=[x])
    assert bool(report) == (factor == 1), str(report)
    assert {row.t for row in report.rows if row.parameter == "dy"} == {None}, str(report)
    if factor != 1:
        first = report.first_divergence
        assert first is not None and (first.t, first.quantity) == (T - 1, "dz"), str(report)
        assert "constant factor 2" in first.diagnosis


@pytest.mark.parametrize("turned", [np.transpose, np.ravel])
def test_the_hint_of_another_layout_can_be_followed(turned: Any) -> None:
    w, x = tg.Variable(np.ones((H, D)), name="W"), np.random.default_rng(4).standard_normal((T, D, 2))

    def loss_fn() -> Any:
        loss: Any = 0.0
        for t in range(T):
            z = w @ x[t]
            loss = loss + (z * z).sum()
        return loss

    rec = tg.ManualRecorder()
    for t in reversed(range(T)):
        rec(t, delta_z=turned(2 * w.numpy() @ x[t]), dW=turned(2 * w.numpy() @ x[t] @ x[t].T))
    first: dict[str, Any] = {"delta_z": "z"}
    report = tg.compare_gradients(rec, [w], loss_fn=loss_fn, inputs=[x], map=first)
    hints = [row.diagnosis.partition("map=")[2] for row in report.rows[:2]]
    assert not report and all(hints), str(report)
    followed = {name: target for hint in hints for name, target in eval(hint).items()}
    assert set(followed) == {"delta_z", "dW"}
    assert tg.compare_gradients(rec, [w], loss_fn=loss_fn, inputs=[x], map=followed)


@pytest.mark.parametrize(
    ("wrong", "said"), [(-1, "is missing"), (-2, "has the wrong sign"), (1, "is counted twice")]
)
@pytest.mark.parametrize("kind", [layers.GRU, layers.LSTM])
def test_the_flow_from_the_next_step(kind: Any, wrong: int, said: str) -> None:
    rng = np.random.default_rng(5)
    x, g = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, H))
    layer = kind(H, return_sequences=True, dtype="float64", seed=0)
    layer(x)
    with tg.trace():
        loss = (layer(x) * g).sum()
    right = tg.compare.recorded.Recorded(loss)
    rec = tg.ManualRecorder()
    for t in (T - 1, T - 2):
        (row,) = right.at("h", t)
        dh = right.gradient(row)
        rec(t, dh=dh + wrong * (dh - g[:, t]))
    report = tg.compare_gradients(rec, layer, loss_fn=lambda: (layer(x) * g).sum(), inputs=[x])
    first, where = (
        report.first_divergence,
        f"step {T - 1}" if kind is layers.GRU else "`h @ recurrent_kernel`",
    )
    assert first is not None and first.t == T - 2, str(report)
    assert f"what comes back through {where}" in first.diagnosis and said in first.diagnosis, str(first)
