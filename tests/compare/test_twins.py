"""The autodiff twins: by hand == by autodiff == by numbers == by PyTorch, at two seeds, called twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import manual
from tinygrad_rnn.compare import check_gradients, compare_gradients
from tinygrad_rnn.compare.twin import Twin
from tinygrad_rnn.compare.twins import TWINS, compare_twins

Arrays = Mapping[str, np.ndarray]
every_twin = pytest.mark.parametrize("name", TWINS)
two_seeds = pytest.mark.parametrize("seed", [0, 1])


def assert_same(got: Arrays, want: Arrays, rtol: float) -> None:
    """The same names and shapes, and no element off by more than `rtol` of the largest."""
    assert list(got) == list(want)
    for name in want:
        assert got[name].shape == want[name].shape, name
        scale = np.abs(want[name]).max()
        assert scale > 0, f"the twin says nothing about {name}"
        error = np.abs(got[name] - want[name]).max() / scale
        assert error < rtol, f"{name} is off by {error:.1e} of its largest element"


def test_every_hand_derivation_has_a_twin():
    assert set(manual.__all__) <= set(TWINS)
    assert {"rnn_cell", "lstm_cell", "gru_cell"} <= set(TWINS)  # those of seed 004
    assert [TWINS[name]().name for name in TWINS] == list(TWINS)


@two_seeds
@every_twin
def test_by_hand_equals_autodiff(name: str, seed: int):
    twin = TWINS[name](seed=seed)
    for _ in range(2):
        loss, gradients = twin.manual_loss(), twin.gradients()
        assert loss == pytest.approx(twin.loss_fn().item(), rel=1e-13)
        assert_same(twin.manual_gradients(), gradients, 1e-12)
        assert {array.dtype for array in gradients.values()} == {np.dtype(np.float64)}
        for variable in twin.variables.values():
            variable.assign(0.8 * variable.numpy() + 0.1)  # both move
        assert twin.manual_loss() != loss


@two_seeds
@every_twin
def test_autodiff_equals_numbers(name: str, seed: int):
    twin = TWINS[name](seed=seed)
    report = check_gradients(twin.loss_fn, twin.variables)
    assert {row.verdict for row in report.rows} == {"ok"}, str(report)
    assert [row.parameter for row in report.rows] == list(twin.variables)
    assert [row.shape for row in report.rows] == [v.shape for v in twin.variables.values()]


@every_twin
def test_second_derivatives(name: str):
    twin = TWINS[name]()
    report = check_gradients(twin.loss_fn, twin.variables, order=2, samples=4)
    assert report and {row.verdict for row in report.rows} <= {"ok", "unused"}, str(report)


@every_twin
def test_three_way_report(name: str):
    twin = TWINS[name]()
    for _ in range(2):
        report = twin.report()
        assert {row.verdict for row in report.rows} == {"rounding"}, str(report)
        for row in report.rows:
            assert row.numeric is not None and row.numeric[1] < 1e-8
            np.testing.assert_array_equal(twin.variables[row.parameter].grad, twin.gradients()[row.parameter])


def test_the_table_of_several_twins():
    report = compare_twins(seed=1, names=["vanilla_rnn", "gru"])
    assert report
    names = [row.parameter for row in report.rows]
    assert names[:2] == ["vanilla_rnn/Wax", "vanilla_rnn/Waa"] and "gru/recurrent_kernel" in names
    text = str(compare_twins())
    for name in ("vanilla_rnn/Waa", "lstm/kernel", "gru/bias", "bidirectional/backward/Wax"):
        assert name in text
    with pytest.raises(KeyError, match="lstn"):
        compare_twins(names=["lstn"])


# ---- a wrong derivation is found


@pytest.mark.parametrize("parameter", ["Wax", "Waa", "ba", "Wya", "by", "x", "a0"])
def test_a_planted_factor_is_found(parameter: str):
    right = TWINS["vanilla_rnn"]()

    def wrong_derivation(values: Any) -> Any:
        loss, gradients = right.derivation(values)
        return loss, {**gradients, parameter: 2 * gradients[parameter]}

    report = replace(right, derivation=wrong_derivation).report()
    assert not report
    verdicts = {row.parameter: row.verdict for row in report.rows}
    assert verdicts.pop(parameter) == "differs" and set(verdicts.values()) == {"rounding"}


def test_a_wrong_graph_is_found():
    right = TWINS["vanilla_rnn"]()
    wrong = replace(right, loss_fn=lambda: right.loss_fn() * 1.000001)
    loss = wrong.loss_fn()
    report = compare_gradients(right.manual_gradients, loss, loss_fn=wrong.loss_fn)
    assert not report and {row.verdict for row in report.rows} == {"differs"}


# ---- PyTorch computes the same loss from the same numbers


def weigh(constants: Any, outputs: Any) -> Any:
    """The loss of a layer's twin; outputs (m, T, n) or (m, n), their weights in columns."""
    return sum((d.movedim(0, -1) * y).sum() for d, y in zip(constants, outputs, strict=True))


def call(module: Any, p: Any, weights: Mapping[str, Any], states: Any) -> Any:
    """Run torch's own recurrent layer with leaves as its weights, and states in torch's layout."""
    from torch.func import functional_call

    return functional_call(module.double(), dict(weights), (p["X"].permute(1, 2, 0), states))


def torch_rnn_weights(p: Any, suffix: str = "_l0", prefix: str = "") -> dict[str, Any]:
    bias = p[prefix + "bias"]
    return {
        f"weight_ih{suffix}": p[prefix + "kernel"].T,
        f"weight_hh{suffix}": p[prefix + "recurrent_kernel"].T,
        f"bias_ih{suffix}": bias,
        f"bias_hh{suffix}": 0 * bias,
    }


def torch_simple_rnn(torch: Any, p: Any, constants: Any) -> Any:
    A, last = call(torch.nn.RNN(3, 4, batch_first=True), p, torch_rnn_weights(p), p["a0"].T[None])
    return weigh(constants, [A, last[0]])


def torch_lstm(torch: Any, p: Any, constants: Any) -> Any:
    states = p["h0"].T[None], p["c0"].T[None]
    H, (h, c) = call(torch.nn.LSTM(3, 4, batch_first=True), p, torch_rnn_weights(p), states)
    return weigh(constants, [H, h[0], c[0]])


def torch_gru(torch: Any, p: Any, constants: Any) -> Any:
    def reorder(w: Any) -> Any:  # z, r, n -> r, z, n
        z, r, n = w.chunk(3, dim=-1)
        return torch.cat([r, z, n], dim=-1)

    weights = {
        "weight_ih_l0": reorder(p["kernel"]).T, "weight_hh_l0": reorder(p["recurrent_kernel"]).T,
        "bias_ih_l0": reorder(p["bias"][0]), "bias_hh_l0": reorder(p["bias"][1]),
    }  # fmt: skip
    H, h = call(torch.nn.GRU(3, 4, batch_first=True), p, weights, p["h0"].T[None])
    return weigh(constants, [H, h[0]])


def torch_gru_reset_before(torch: Any, p: Any, constants: Any) -> Any:
    h, hs = p["h0"].T, []
    U_gates, U_new = p["recurrent_kernel"].split([8, 4], dim=1)
    for x in p["X"].permute(2, 1, 0):
        gates, new = (x @ p["kernel"] + p["bias"]).split([8, 4], dim=1)
        z, r = torch.sigmoid(gates + h @ U_gates).chunk(2, dim=1)
        h = z * h + (1 - z) * torch.tanh(new + (r * h) @ U_new)
        hs.append(h)
    return weigh(constants, [torch.stack(hs, dim=1), h])


def torch_both_directions(torch: Any, p: Any) -> Any:
    weights = torch_rnn_weights(p, prefix="forward/") | torch_rnn_weights(p, "_l0_reverse", "backward/")
    states = torch.stack([p["forward/a0"].T, p["backward/a0"].T])
    return call(torch.nn.RNN(3, 4, batch_first=True, bidirectional=True), p, weights, states)[0]


def torch_bidirectional_concat(torch: Any, p: Any, constants: Any) -> Any:
    return weigh(constants, [torch_both_directions(torch, p)])


def torch_bidirectional_sum(torch: Any, p: Any, constants: Any) -> Any:
    forward, backward = torch_both_directions(torch, p).chunk(2, dim=-1)
    return weigh(constants, [forward + backward])


def torch_tanh(torch: Any, x: Any, p: Any, prefix: str = "", reverse: bool = False) -> Any:
    """Hidden states (n_a, m, T) in the seeds' notation."""
    a, states = p[prefix + "a0"], {}
    for t in reversed(range(x.shape[2])) if reverse else range(x.shape[2]):
        a = torch.tanh(p[prefix + "Waa"] @ a + p[prefix + "Wax"] @ x[:, :, t] + p[prefix + "ba"])
        states[t] = a
    return torch.stack([states[t] for t in sorted(states)], dim=2)


def torch_cross_entropy(torch: Any, A: Any, p: Any, Y: Any) -> Any:
    zy = torch.tensordot(p["Wya"], A, dims=1) + p["by"][..., None]
    return -(Y * torch.log_softmax(zy, dim=0)).sum()


def torch_vanilla_rnn(torch: Any, p: Any, constants: Any) -> Any:
    return torch_cross_entropy(torch, torch_tanh(torch, p["x"], p), p, *constants)


def torch_bidirectional(torch: Any, p: Any, constants: Any) -> Any:
    sides = [torch_tanh(torch, p["x"], p, f"{s}/", s == "backward") for s in ("forward", "backward")]
    return torch_cross_entropy(torch, torch.cat(sides), p, *constants)


def torch_deep(torch: Any, p: Any, constants: Any) -> Any:
    A = p["x"]
    for layer in (1, 2, 3):
        A = torch_tanh(torch, A, p, f"layer{layer}/")
    return torch_cross_entropy(torch, A, p, *constants)


def torch_linear_rnn(torch: Any, p: Any, constants: Any) -> Any:
    s = torch.zeros(20, dtype=torch.float64)
    for k in range(10):
        s = p["X"][:, k] * p["wx"] + s * p["wRec"]
    return torch.nn.functional.mse_loss(s, *constants)


def torch_dense(torch: Any, p: Any, constants: Any) -> Any:
    return weigh(constants, [p["X"].permute(1, 2, 0) @ p["kernel"] + p["bias"]])


def torch_rnn_cell(torch: Any, p: Any, constants: Any) -> Any:
    h = torch.nn.functional.tanh(p["Wx"] @ p["x"] + p["Wh"] @ p["h_prev"] + p["b"])
    return (constants[0] * h).sum()


def torch_lstm_cell(torch: Any, p: Any, constants: Any) -> Any:
    f, i, o, g = (p["W"] @ torch.vstack([p["h_prev"], p["x"]]) + p["b"]).chunk(4)
    c = torch.sigmoid(f) * p["c_prev"] + torch.sigmoid(i) * torch.tanh(g)
    return (constants[0] * torch.sigmoid(o) * torch.tanh(c)).sum() + (constants[1] * c).sum()


def torch_gru_cell(torch: Any, p: Any, constants: Any) -> Any:
    x, h, W, b = p["x"], p["h_prev"], p["W"], p["b"]
    z, r = torch.sigmoid(W[:8] @ torch.vstack([h, x]) + b[:8]).chunk(2)
    candidate = torch.tanh(W[8:] @ torch.vstack([r * h, x]) + b[8:])
    return (constants[0] * ((1 - z) * h + z * candidate)).sum()


def torch_gradients(twin: Twin, loss_fn: Callable[..., Any]) -> tuple[float, dict[str, np.ndarray]]:
    torch = pytest.importorskip("torch")
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in twin.values().items()}
    loss = loss_fn(torch, leaves, [torch.tensor(c) for c in twin.constants])
    loss.backward()
    return loss.item(), {name: leaf.grad.numpy() for name, leaf in leaves.items()}


@two_seeds
@every_twin
def test_torch_agrees(name: str, seed: int):
    twin = TWINS[name](seed=seed)
    loss, gradients = torch_gradients(twin, globals()[f"torch_{name}"])
    assert twin.loss_fn().item() == pytest.approx(loss, rel=1e-10)
    assert_same(twin.gradients(), gradients, 1e-10)
