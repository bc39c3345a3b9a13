"""`ManualRecorder`: right derivations pass, planted bugs are named with step, quantity, line and cause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare.networks import Rnn
from compare.planted import BUGS, LSTM, LSTM_BUGS, RNN, load

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, ops
from tinygrad_rnn.compare import GradReport


def compared(module: Any) -> GradReport:
    rec = tg.ManualRecorder()
    module.backward(rec)
    return tg.compare_gradients(rec, module.P, loss_fn=module.loss_fn, inputs=[module.X])


@pytest.mark.parametrize(("source", "quantities"), [(RNN, 12 * 9), (LSTM, 9 * 14)])
def test_a_right_derivation_passes(tmp_path: Path, source: str, quantities: int) -> None:
    module, _ = load(tmp_path, source, "right")
    for _ in range(2):
        report = compared(module)
        assert report and report.first_divergence is None, str(report)
        assert {row.verdict for row in report.rows} == {"rounding"}, str(report)
        assert len(report.rows) == quantities


CASES = [(RNN, bug) for bug in BUGS.values()] + [(LSTM, bug) for bug in LSTM_BUGS.values()]


@pytest.mark.parametrize(("source", "bug"), CASES, ids=[*BUGS, *(f"lstm {name}" for name in LSTM_BUGS)])
def test_planted_bugs_are_named(tmp_path: Path, source: str, bug: Any) -> None:
    module, line = load(tmp_path, source, "wrong", bug)
    report = compared(module)
    first = report.first_divergence
    assert not report and first is not None, str(report)
    assert (first.t, first.quantity, first.line, first.source) == (bug.t, bug.quantity, line, bug.wrong), str(
        first
    )
    assert first.file == str(tmp_path / "wrong.py")
    assert bug.cause in first.diagnosis.split(" or ")[0], str(first)  # as the first diagnosis
    assert f"t={bug.t}, {bug.quantity}, your line wrong.py:{line}: {bug.wrong}" in str(report).replace(
        "\n    ", " "
    )
    assert json.loads(report.to_json())["first_divergence"]["line"] == line


FROM_TOTALS = [
    "factor 2",
    "transposed",
    "batch mean",
    "last step only",
    "a_t",
    "wrong operand",
    "bias mean",
    "sign",
]


@pytest.mark.parametrize("name", FROM_TOTALS)
def test_from_totals_alone(tmp_path: Path, name: str) -> None:
    module, _ = load(tmp_path, RNN, "wrong", BUGS[name])
    report = tg.compare_gradients(module.backward(lambda *_, **__: None), module.P, loss_fn=module.loss_fn)
    said = " ".join(row.diagnosis for row in report.rows if row.failed)
    if name == "factor 2":
        assert "constant factor" not in said  # it is compounded over time
    else:
        cause = {"last step only": "only the first step, t=0"}.get(name, BUGS[name].cause)
        assert not report and cause in said, str(report)


def test_mean_over_time_and_cut_flow_from_totals() -> None:
    rnn = Rnn(1, 12)
    right = rnn.by_hand()
    report = tg.compare_gradients({k: g / 12 for k, g in right.items()}, rnn.params, loss_fn=rnn.loss)
    assert all("1/12 (a mean over the 12 time steps" in row.diagnosis for row in report.rows), str(report)
    late: dict[int, Any] = {}
    rnn.by_hand(rec=lambda t, **q: late.setdefault(t, q["dWh"].copy()))
    report = tg.compare_gradients({**right, "dWh": late[7]}, rnn.params, loss_fn=rnn.loss)
    (row,) = [row for row in report.rows if row.failed]
    assert "only the last 5 of 12 steps, from t=7 on" in row.diagnosis


# --- other ways to write the same -----------------------------------------------------------------------


def test_contributions_sums_values_and_totals() -> None:
    rnn = Rnn(2, 6)
    p = {k: v.numpy() for k, v in rnn.params.items()}
    sums: dict[int, Any] = {}
    total = rnn.by_hand(rec=lambda t, **q: sums.setdefault(t, {k: np.copy(v) for k, v in q.items()}))
    rec = tg.ManualRecorder()
    a = np.zeros((3, 5))
    for t in range(6):  # values, forward
        a = np.tanh(rnn.x[t] @ p["Wx"] + a @ p["Wh"] + p["b"])
        rec(t, a=a)
    for t in reversed(range(6)):
        rec(t, dWh=sums[t]["dWh"] - (sums[t + 1]["dWh"] if t < 5 else 0), dZ=sums[t]["dz"])
    rec(None, dWh=total["dWh"], **{"by": total["dby"]})
    report = tg.compare_gradients(rec, rnn.params, loss_fn=rnn.loss)
    assert report and len(report.rows) == 20, str(report)
    per_step = {"dz": [sums[t]["dz"] for t in range(6)], "da": np.stack([sums[t]["da"] for t in range(6)])}
    assert tg.compare_gradients(total, rnn.params, per_step=per_step, loss_fn=rnn.loss)
    per_step["dz"][2] = per_step["dz"][2] * (1 + 1e-9)
    report = tg.compare_gradients(total, rnn.params, per_step=per_step, loss_fn=rnn.loss)
    assert report.first_divergence is not None and report.first_divergence.t == 2


def test_scan_layers_and_transposed_layouts() -> None:
    rng = np.random.default_rng(0)
    layer = tg.layers.SimpleRNN(4, return_sequences=True, dtype="float64", name="rnn")
    x = rng.standard_normal((2, 5, 3))
    layer(x)
    h = np.zeros((5 + 1, 2, 4))
    k, u, b = (w.numpy() for w in layer.weights)
    for t in range(5):
        h[t] = np.tanh(x[:, t] @ k + h[t - 1] @ u + b)
    rec, dh_prev, du = tg.ManualRecorder(), np.zeros((2, 4)), np.zeros((4, 4))
    for t in reversed(range(5)):
        dh = 2 * h[t] + dh_prev
        dz = (1 - h[t] ** 2) * dh
        du += h[t - 1].T @ dz
        dh_prev = dz @ u.T
        rec(t, dh=dh.T, dU=du, dh_prev=dh_prev)
    loss = lambda: (layer(x) ** 2).sum()  # noqa: E731
    mapping = {"dh": ("rnn/h", "T"), "dU": "recurrent_kernel"}
    report = tg.compare_gradients(rec, layer, map=mapping, loss_fn=loss)
    assert report and {row.verdict for row in report.rows} == {"rounding"}, str(report)
    report = tg.compare_gradients(rec, layer, map={"dU": "recurrent_kernel"}, loss_fn=loss)
    assert not report and report.first_divergence.quantity == "dh", str(report)
    assert "transposed it fits" in str(report)


def test_the_loss_recorded_inside_trace() -> None:
    rnn = Rnn(0, 5)
    with tg.trace():
        loss = rnn.loss()
    rec = tg.ManualRecorder()
    rnn.by_hand(rec=rec)
    report = tg.compare_gradients(rec, loss)
    assert report and "not measured" in " ".join(report.notes)
    with pytest.raises(ValueError, match="tg.trace"):
        tg.compare_gradients(rec, rnn.params)


@pytest.mark.parametrize(
    ("bug", "cause"), [(0, ""), (1, "the derivative of tanh"), (2, "the matrix itself instead")]
)
def test_vectors_branches_and_an_initial_state_that_is_a_variable(bug: int, cause: str) -> None:
    rng = np.random.default_rng(0)
    W, h0 = Variable(rng.standard_normal((4, 4)) * 0.6, name="W"), Variable(rng.standard_normal(4), name="h0")
    x = rng.standard_normal((7, 4))

    def loss() -> Any:
        h, total = h0, 0.0
        for t in range(7):
            z = W @ h + x[t]
            h = ops.relu(z) if t % 2 else ops.tanh(z)
            total = total + (h * h).sum()
        return total

    w, hs, zs = W.numpy(), [h0.numpy()], []
    for t in range(7):
        zs.append(w @ hs[-1] + x[t])
        hs.append(np.maximum(zs[-1], 0) if t % 2 else np.tanh(zs[-1]))
    rec, dh_next, dW = tg.ManualRecorder(), np.zeros(4), np.zeros((4, 4))
    for t in range(6, -1, -1):
        dh = 2 * hs[t + 1] + dh_next
        slope = zs[t] > 0 if t % 2 else 1 - hs[t + 1] ** 2
        dz = dh if bug == 1 else dh * slope
        dW += np.outer(dz, hs[t])
        dh_next = w @ dz if bug == 2 else w.T @ dz
        rec(t, dh=dh, dz=dz, dW=dW, dh_prev=dh_next)
    rec(None, dh0=dh_next)
    report = tg.compare_gradients(rec, [W, h0], loss_fn=loss, inputs=[x])
    assert bool(report) is (bug == 0), str(report)
    if bug:
        assert cause in report.first_divergence.diagnosis and report.first_divergence.t == 6, str(report)
    else:
        assert {row.verdict for row in report.rows} == {"rounding"} and len(report.rows) == 29


def test_a_backward_direction() -> None:
    rng = np.random.default_rng(0)
    W, U = (Variable(rng.standard_normal(s) * 0.5, name=n) for n, s in (("W", (3, 4)), ("U", (4, 4))))
    x = rng.standard_normal((6, 2, 3))

    def loss() -> Any:
        h, total = np.zeros((2, 4)), 0.0
        for t in reversed(range(6)):
            h = ops.tanh(x[t] @ W + h @ U)
            total = total + (t + 1) * (h * h).sum()
        return total

    h = np.zeros((8, 2, 4))
    for t in reversed(range(6)):
        h[t] = np.tanh(x[t] @ W.numpy() + h[t + 1] @ U.numpy())
    rec, carry = tg.ManualRecorder(), np.zeros((2, 4))
    for t in range(6):
        dh = 2 * (t + 1) * h[t] + carry
        dz = (1 - h[t] ** 2) * dh
        dU = h[t + 1].T @ dz
        carry = dz @ U.numpy().T
        rec(t, dh=dh, dU=dU)
    report = tg.compare_gradients(rec, [W, U], loss_fn=loss, inputs=[x])
    assert report and len(report.rows) == 12, str(report)
    assert "not recorded, so not compared: W" in report.notes


# --- what may go wrong ------------------------------------------------------------------------------------


def test_unknown_names_nan_shapes_and_nothing() -> None:
    rnn = Rnn(0, 40)

    def broken(rec: Any) -> Any:
        def record(t: int, **q: Any) -> None:
            if t == 37:
                q["dz"] = q["dz"] * np.nan
            rec(t, dz=q["dz"], dfoo=q["dz"])

        return record

    rec = tg.ManualRecorder()
    rnn.by_hand(rec=broken(rec))
    report = tg.compare_gradients(rec, rnn.params, loss_fn=rnn.loss)
    first = report.first_divergence
    assert not report and first is not None and (first.t, first.quantity) == (37, "dz")
    assert "non-finite at t=37" in str(first)
    unknown = [row for row in report.rows if row.parameter == "dfoo"]
    assert (
        len(unknown) == 1
        and unknown[0].verdict == "missing"
        and "no variable of this name" in unknown[0].diagnosis
    )
    rec = tg.ManualRecorder()
    rec(0, dfoo=np.ones(2), dbar="text", dz=[[1.0], [2.0, 3.0]])
    assert not tg.compare_gradients(rec, rnn.params, loss_fn=rnn.loss)  # nothing was compared
    assert not tg.compare_gradients(tg.ManualRecorder(), rnn.params, loss_fn=rnn.loss)
    rec = tg.ManualRecorder()
    rec(3, dz=np.ones((2, 2)))
    report = tg.compare_gradients(rec, rnn.params, loss_fn=rnn.loss)
    assert not report and report.rows[0].verdict == "shape"
    with pytest.raises(TypeError, match="time step"):
        rec("3", dz=np.ones(2))


def test_a_chaotic_network_is_inconclusive_step_by_step() -> None:
    rnn = Rnn(0, 400, 3.0, units=16)
    rec = tg.ManualRecorder()
    rnn.by_hand(rec=lambda t, **q: rec(t, dz=q["dz"]) if t % 40 == 0 else None)
    report = tg.compare_gradients(rec, rnn.params, loss_fn=rnn.loss)
    verdicts = {row.t: row.verdict for row in report.rows}
    assert verdicts[0] == "inconclusive" and "chaotic" in str(report), str(report)
    assert not report and str(report).endswith("10 inconclusive: nothing could be said"), str(report)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("wrong", [True, False])
def test_at_most_six_backward_passes(recorded: bool, wrong: bool) -> None:
    calls = 0

    @tg.custom_gradient
    def counted(x: Any) -> Any:
        def gradient(*_: Any, upstream: Any = None) -> Any:
            nonlocal calls
            calls += 1
            return upstream

        return ops.tanh(x), lambda *_, upstream=None: gradient(upstream=upstream)

    w = Variable(np.array([0.5, 0.3]), name="w")

    def loss() -> Any:
        h = w
        for _ in range(40):
            h = counted(h * w)
        return h.sum()

    rec = tg.ManualRecorder()
    rec(39, dh=np.full(2, 1.0 + wrong))
    manual = rec if recorded else {"w": tg.grad(loss(), [w])[0].numpy() * (1 + wrong)}
    calls = 0
    report = tg.compare_gradients(manual, loss(), loss_fn=loss)
    assert bool(report) is not wrong
    assert calls <= 6 * 40


def test_nothing_is_changed() -> None:
    rnn = Rnn(0, 6)
    rnn.loss().backward()
    before = [(v._data, v._node, v.grad.tobytes()) for v in rnn.params.values()]
    rec = tg.ManualRecorder()
    rnn.by_hand(rec=rec)
    for _ in range(2):
        assert tg.compare_gradients(rec, rnn.params, loss_fn=rnn.loss, inputs=[rnn.x])
        for v, (data, node, gradient) in zip(rnn.params.values(), before, strict=True):
            assert v._data is data and v._node is node and v.grad.tobytes() == gradient


def test_a_generator_is_asked_from_several_places() -> None:
    w = Variable(np.array([0.5, 0.3]), name="w")

    def states() -> Any:
        h = w
        while True:
            h = ops.tanh(h * w)
            yield h

    with tg.trace():
        steps = states()
        first = next(steps)
        second, third = next(steps), next(steps)
    paths = [tensor._node.trace.path for tensor in (first, second, third)]
    assert len({path[0] for path in paths}) == 1  # the same line of the generator
    assert len({path[1] for path in paths}) == 3 and all(len(path) == 4 for path in paths)


@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.parametrize("wrong", [True, False])
def test_da_next_before_and_after_it_is_renewed(renewed: bool, wrong: bool) -> None:
    rnn, rec, arrived = Rnn(0, 6), tg.ManualRecorder(), [np.zeros((3, 5))]

    def record(t: int, **q: Any) -> None:
        da_next = q["da_prev"] if renewed else arrived[0]
        arrived[0] = q["da_prev"].copy()
        rec(t, da=q["da"], dz=q["dz"], da_next=da_next * (2 if wrong and t == 2 else 1))

    rnn.by_hand(rec=record)
    report = tg.compare_gradients(rec, rnn.params, loss_fn=rnn.loss, inputs=[rnn.x])
    assert len(report.rows) == 18 and bool(report) is not wrong, str(report)
    failed = [(row.t, row.parameter, row.diagnosis) for row in report.rows if row.failed]
    assert failed == ([(2, "da_next", "constant factor 2")] if wrong else []), str(report)
