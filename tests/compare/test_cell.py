"""`cell_backward`: every step alone, with what autodiff sends to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare.networks import Rnn
from compare.planted import LSTM, load

import tinygrad_rnn as tg
from tinygrad_rnn import ops


def cell_of(rnn: Rnn) -> Any:
    def cell(t: int, upstream: Mapping[str, Any], cache: Mapping[str, Any]) -> dict[str, Any]:
        da = upstream["dy"] @ cache["Wy"].T + upstream["da_next"]
        dz = (1 - cache["a"] ** 2) * da
        dWh = cache["a_prev"].T @ dz
        return {"da": da, "dz": dz, "dWx": rnn.x[t].T @ dz, "dWh": dWh, "da_prev": dz @ cache["Wh"].T}

    return cell


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [0.3, 1.5])
def test_a_right_cell_passes_with_and_without_totals(dtype: Any, scale: float) -> None:
    rnn = Rnn(0, 7, scale, dtype=dtype)
    for manual, totals in ((None, 0), (rnn.by_hand(), 5), (None, 0)):
        report = tg.compare_gradients(
            manual, rnn.params, loss_fn=rnn.loss, inputs=[rnn.x], cell_backward=cell_of(rnn)
        )
        assert report and report.first_divergence is None, str(report)
        assert {row.verdict for row in report.rows} == {"rounding"}, str(report)
        assert len(report.rows) == 7 * 5 + totals
        assert [row.parameter for row in report.rows[:2]] == ["cell da", "cell dz"]


def test_steps_of_a_chaotic_network_can_be_judged() -> None:
    rnn = Rnn(0, 100, 8.0, units=16)
    report = tg.compare_gradients(
        rnn.by_hand(), rnn.params, loss_fn=rnn.loss, inputs=[rnn.x], cell_backward=cell_of(rnn)
    )
    cells = {row.verdict for row in report.rows if row.parameter.startswith("cell")}
    assert cells == {"rounding"} and "inconclusive" in {row.verdict for row in report.rows}


def test_every_wrong_step_is_found_and_no_error_hides_another() -> None:
    rnn = Rnn(1, 7)

    def wrong(t: int, upstream: Mapping[str, Any], cache: Mapping[str, Any]) -> dict[str, Any]:
        right = cell_of(rnn)(t, upstream, cache)
        dz = (1 - cache["a"]) * upstream["da"] if t == 4 else right["dz"]
        dWh = cache["a"].T @ right["dz"] if t == 2 else right["dWh"]
        return {"dz": dz, "dWh": dWh}

    with tg.trace():
        loss = rnn.loss()
    for arguments in ((rnn.params, rnn.loss), (loss, None)):
        report = tg.compare_gradients(None, arguments[0], loss_fn=arguments[1], cell_backward=wrong)
        found = {(row.t, row.parameter): row.diagnosis for row in report.rows if row.failed}
        assert list(found) == [(4, "cell dz"), (2, "cell dWh")], str(report)
        assert "1 - a instead of 1 - a**2" in found[4, "cell dz"]
        assert "a of the step after the right one" in found[2, "cell dWh"]
        first = report.first_divergence
        assert first is not None and (first.t, first.quantity) == (4, "dz")
        assert first.source.startswith("dz = (1 - cache") and first.file == __file__


def test_a_factor_of_a_billionth_is_found() -> None:
    rnn = Rnn(2, 5)

    def wrong(t: int, upstream: Mapping[str, Any], cache: Mapping[str, Any]) -> dict[str, Any]:
        return {"dz": cell_of(rnn)(t, upstream, cache)["dz"] * (1 + 1e-12 * (t == 3))}

    report = tg.compare_gradients(None, rnn.params, loss_fn=rnn.loss, cell_backward=wrong)
    assert [row.t for row in report.rows if row.failed] == [3]


def test_the_two_states_of_an_lstm(tmp_path: Path) -> None:
    module, _ = load(tmp_path, LSTM, "right")

    def cell(t: int, upstream: Mapping[str, Any], cache: Mapping[str, Any]) -> dict[str, Any]:
        i, f, g, o = (cache[name] for name in "ifgo")
        dh = upstream["dh"]
        tanh_c = np.tanh(cache["c_new"])
        dc = upstream["dc_next"] + dh * o * (1 - tanh_c**2)
        dz = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * cache["c_prev"] * f * (1 - f),
                dc * i * (1 - g**2),
                dh * tanh_c * o * (1 - o),
            ],
            axis=1,
        )
        return {"dz": dz, "dU": cache["h_prev"].T @ dz, "db": dz.sum(axis=0), "dh_prev": dz @ cache["U"].T}

    report = tg.compare_gradients(
        None, module.P, loss_fn=module.loss_fn, inputs=[module.X], cell_backward=cell
    )
    assert report and len(report.rows) == 9 * 4, str(report)


def test_a_layer_has_its_own_names() -> None:
    model = tg.Sequential(
        [tg.Input((4, 2), dtype="float64"), tg.layers.GRU(3, dtype="float64")], dtype="float64"
    )
    x = np.random.default_rng(0).standard_normal((2, 4, 2))

    def cell(t: int, upstream: Mapping[str, Any], cache: Mapping[str, Any]) -> dict[str, Any]:
        return {"dh": upstream["dh"], "dkernel": np.zeros((2, 9))}

    report = tg.compare_gradients(None, model, loss_fn=lambda: (model(x) ** 2).sum(), cell_backward=cell)
    verdicts = {(row.parameter, row.verdict) for row in report.rows}
    assert verdicts == {("cell dh", "rounding"), ("cell dkernel", "differs")}


def test_misuse() -> None:
    rnn = Rnn(0, 3)

    def compare(cell: Any) -> Any:
        return tg.compare_gradients(None, rnn.params, loss_fn=rnn.loss, cell_backward=cell)

    with pytest.raises(KeyError, match="upstream\\['dzz'\\]: step 2 of the loss has z"):
        compare(lambda t, upstream, cache: {"dz": upstream["dzz"]})
    with pytest.raises(TypeError, match="must return a dict of name -> array, it returned int at t=2"):
        compare(lambda t, upstream, cache: 5)
    with pytest.raises(ValueError, match="need the recorded loss"):
        tg.compare_gradients({"Wx": np.zeros(2)}, {"Wx": np.zeros(2)}, cell_backward=cell_of(rnn))
    report = compare(lambda t, upstream, cache: {"dz": np.zeros((1, 1)), "nothing": 1.0, "da": "text"})
    assert not report and {row.verdict for row in report.rows if not row.extra} == {"shape", "missing"}


def test_what_the_cell_is_given_are_copies() -> None:
    rnn = Rnn(0, 5)

    def cell(t: int, upstream: Mapping[str, Any], cache: Mapping[str, Any]) -> dict[str, Any]:
        found = cell_of(rnn)(t, upstream, cache)
        for name in ("a", "z", "Wh"):
            cache[name][...] = np.nan
        upstream["da"][...] = np.nan
        return found

    for _ in range(2):
        assert tg.compare_gradients(None, rnn.params, loss_fn=rnn.loss, cell_backward=cell)
    assert ops.isfinite(rnn.loss()).item()
