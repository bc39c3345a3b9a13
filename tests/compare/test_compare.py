"""Truth tests of `compare_gradients`: right derivations pass in every regime, planted errors are named."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from compare.networks import Rnn

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, layers
from tinygrad_rnn.compare import GradReport, compare_gradients, compare_three, numeric_gradients


def rows(report: GradReport) -> dict[str, Any]:
    return {row.parameter: row for row in report.rows}


def differentiated(*args: Any, **kwargs: Any) -> Rnn:
    rnn = Rnn(*args, **kwargs)
    rnn.loss().backward()
    return rnn


# --- right derivations ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("steps", "seeds"), [(5, 10), (50, 5), (200, 1)])
@pytest.mark.parametrize("scale", [0.3, 1.0, 1.5, 3.0])
def test_right_derivations_never_differ(dtype: Any, steps: int, seeds: int, scale: float) -> None:
    for seed in range(seeds):
        rnn = differentiated(seed, steps, scale, units=8, dtype=dtype)
        report = compare_gradients(rnn.by_hand(), rnn.params, loss_fn=rnn.loss, inputs=[rnn.x])
        assert report, str(report)
        verdicts = {row.verdict for row in report.rows}
        assert verdicts <= {"rounding", *(["inconclusive"] if scale == 3.0 else [])}, str(report)
        assert not report.notes


def test_a_chaotic_network_is_inconclusive() -> None:
    rnn = differentiated(0, 400, 3.0, units=16)
    report = compare_gradients(rnn.by_hand(), rnn.params, loss_fn=rnn.loss)
    assert report and rows(report)["Wh"].verdict == "inconclusive"
    assert "chaotic" in rows(report)["Wh"].diagnosis


@pytest.mark.parametrize("stream", ["numpy", "layer"])
def test_a_random_loss_is_refused(stream: str) -> None:
    rnn, dropout = differentiated(0, 6), layers.Dropout(0.5, seed=1)

    def loss() -> Any:
        keep = np.random.rand(5, 4) > 0.5 if stream == "numpy" else dropout(np.ones((5, 4)), training=True)
        return rnn.loss() * (keep * np.sqrt(np.arange(20.0)).reshape(5, 4)).sum()

    before = [v._data for v in rnn.params.values()]
    for _ in range(2):
        with pytest.raises(ValueError, match="not deterministic.*training=False.*seed"):
            compare_gradients(rnn.by_hand(), rnn.params, loss_fn=loss)
    assert all(v._data is data for v, data in zip(rnn.params.values(), before, strict=True))

    def seeded() -> Any:
        return rnn.loss() * float(np.random.default_rng(1).random() > 0)

    assert compare_gradients(rnn.by_hand(), rnn.params, loss_fn=seeded)


def test_a_random_function_is_refused() -> None:
    def noisy(x: Any) -> Any:
        return {"x": 2 * x * np.random.rand()}

    with pytest.raises(ValueError, match="auto is not deterministic.*'x'.*seed"):
        compare_gradients({"x": np.zeros(3)}, noisy, inputs={"x": np.ones(3)})


@pytest.mark.parametrize("k", [15, 20])
def test_truncation_hidden_by_vanishing_gradients_is_found(k: int) -> None:
    rnn = differentiated(0, 40, 0.3, units=16)
    wrong = rnn.by_hand(truncate=k)
    right: Any = rnn.params["Wh"].grad
    assert np.allclose(wrong["dWh"], right)  # what a fixed tolerance says
    assert np.abs(wrong["dWh"] - right).max() < {15: 1e-7, 20: 4e-12}[k] * np.abs(right).max()
    report = compare_gradients(wrong, rnn.params, loss_fn=rnn.loss)
    assert not report and rows(report)["Wh"].verdict == "differs"
    said = [rows(report)[name].diagnosis for name in ("Wx", "Wh", "b")]
    assert all(f"perhaps truncated: what is missing has the size of what flows back more than about {k}" in d or
               f"more than about {k + 1} steps" in d for d in said)  # fmt: skip
    assert rows(report)["Wy"].verdict == "rounding"


def test_without_the_floor_the_report_says_so() -> None:
    rnn = differentiated(0, 5)
    report = compare_gradients(rnn.by_hand(), rnn.params)
    assert {row.verdict for row in report.rows} == {"rounding"}
    assert any("not measured" in note for note in report.notes)
    near = {k: v * (1 + 1e-9) for k, v in rnn.by_hand().items()}
    assert {row.verdict for row in compare_gradients(near, rnn.params).rows} == {"close"}
    far = {k: v * (1 + 1e-5) for k, v in rnn.by_hand().items()}
    assert {row.verdict for row in compare_gradients(far, rnn.params).rows} == {"differs"}


# --- planted errors -------------------------------------------------------------------------------

BUGS = {
    "twice": (lambda g: 2 * g, "constant factor 2"),
    "sign": (lambda g: -g, "constant factor -1 (sign)"),
    "mean": (lambda g: g / 3, "constant factor 1/3 (a mean over 3"),
    "transposed": (lambda g: g.T, "transposed"),
    "clipped": (lambda g: g.clip(-0.5, 0.5), "clipped at 0.5"),
    "zero": (lambda g: 0 * g, "zero everywhere"),
    "element": (lambda g: g * np.where(np.arange(g.size).reshape(g.shape) == 7, 1.001, 1), "unexplained"),
}


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("floor", [True, False])
def test_planted_errors_are_named(bug: str, dtype: Any, floor: bool) -> None:
    rnn = differentiated(1, 12, dtype=dtype)
    mutate, cause = BUGS[bug]
    wrong = rnn.by_hand()
    wrong["dWh"] = mutate(wrong["dWh"]).astype(dtype)
    report = compare_gradients(wrong, rnn.params, loss_fn=rnn.loss if floor else None)
    row = rows(report).pop("Wh")
    assert not report and row.verdict == "differs" and row.diagnosis.startswith(cause), str(report)
    assert " or " not in row.diagnosis or bug in ("mean", "zero")  # the first step adds nothing to Wh
    assert all(r.verdict == "rounding" for r in report.rows if r is not row)
    if bug == "element":
        assert row.worst.position == (1, 2)
    if bug == "twice":
        assert row.ratio == pytest.approx(2, rel=1e-5) and row.cosine == pytest.approx(1, rel=1e-5)
    with pytest.raises(AssertionError, match="differs"):
        report.raise_if_bad()


def test_two_answers_that_fit_are_both_given() -> None:
    r = np.array([[1.0, 2.0], [-2.0, -1.0]])  # its transpose, turned round: −r has no other name
    skew = r - r.T
    (row,) = compare_gradients({"w": -skew}, {"w": skew}).rows
    assert row.diagnosis == "constant factor -1 (sign) or transposed"


# --- names, forms, mismatches -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["Waa", "dWaa", "rnn/Waa", "rnn.Waa", 'grads["Waa"]', "grads/dWaa", "d_Waa", "grad_Waa", "DWAA"]
)
def test_names_are_matched_leniently(key: str) -> None:
    g = np.arange(6.0).reshape(2, 3)
    report = compare_gradients({key: g, "other": g}, {"rnn/Waa": g, "rnn/Wax": g + 1})
    assert rows(report)["rnn/Waa"].verdict == "rounding"
    assert rows(report)["rnn/Wax"].verdict == "missing" and not report


def test_nested_dicts_and_ambiguous_names() -> None:
    g, h = np.ones(2), np.full(2, 3.0)
    auto = {"lstm/kernel": g, "dense/kernel": h}
    assert compare_gradients({"grads": {"lstm": {"dkernel": g}, "dense": {"dkernel": h}}}, auto)
    report = compare_gradients({"kernel": g}, auto)
    assert not report and "ambiguous" in rows(report)["kernel"].diagnosis
    clear = {"kernel": "lstm/kernel", "k2": "dense/kernel"}
    assert compare_gradients({"kernel": g, "k2": h}, auto, map=clear)


def test_transposed_layouts_by_map() -> None:
    g = np.arange(6.0).reshape(2, 3)
    report = compare_gradients({"dWaa": g.T}, {"rnn/Waa": g})
    assert not report and report.rows[0].verdict == "shape"
    assert "'T'" in report.rows[0].diagnosis or '"T"' in report.rows[0].diagnosis
    assert compare_gradients({"dWaa": g.T}, {"rnn/Waa": g}, map={"dWaa": ("rnn.Waa", "T")})
    with pytest.raises(ValueError, match="'T'"):
        compare_gradients({"dWaa": g.T}, {"rnn/Waa": g}, map={"dWaa": ("rnn/Waa", "flip")})


def test_names_in_map_that_the_derivation_does_not_have_are_refused():
    w = Variable(np.array([1.0, 3.0]), name="w")
    recorder, loss_fn = tg.ManualRecorder(), lambda: (w * w).sum()
    recorder(None, delta=2 * w.numpy())
    for manual in ({"delta": 2 * w.numpy()}, recorder):
        rows = compare_gradients(manual, [w], loss_fn=loss_fn, map={"delta": "w"}).rows
        assert ("w", "rounding") in [(row.parameter, row.verdict) for row in rows]
        with pytest.raises(ValueError, match="map names 'dleta', .*: did you mean 'delta'"):
            compare_gradients(manual, [w], loss_fn=loss_fn, map={"delta": "w", "dleta": "w"})
    with pytest.raises(ValueError, match="no such gradient: it has delta"):
        compare_gradients(manual, [w], loss_fn=loss_fn, map={"k": "w"})


def test_what_autodiff_has_no_gradient_of_is_shown_with_its_shape():
    w = Variable(np.ones((2, 3)), name="w")
    row = str(compare_gradients({"dw": 2 * w.numpy()}, [w])).splitlines()[3]
    assert row.split()[:2] == ["w", "2x3"] and row.endswith("missing")
    row = str(compare_gradients({"b": np.ones(2)}, [w])).splitlines()[3]
    assert row.split()[:2] == ["w", "-"] and row.endswith("missing")


def test_missing_extra_and_strange_values_are_rows() -> None:
    g = np.ones((2, 2))
    report = compare_gradients(
        {"a": g, "dx": g, "d": None, "e": [[1.0], [2.0, 3.0]], "f": np.ones(3)},
        {"a": g, "b": g, "d": g, "e": g, "f": g, "h": Variable(g)},
    )
    expected = dict.fromkeys(["b", "d", "e", "h", "dx"], "missing") | {"a": "rounding", "f": "shape"}
    assert {k: r.verdict for k, r in rows(report).items()} == expected
    assert not report
    assert compare_gradients({"a": g, "dx": g}, {"a": g})  # one gradient more than autodiff has is no failure
    assert not compare_gradients({"dx": g}, {"a": g})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_place_of_what_is_not_finite_is_named(value: float) -> None:
    g = np.ones((2, 3))
    wrong = g.copy()
    wrong[1, 2] = value
    for manual, auto, who in ((wrong, g, "hand-written"), (g, wrong, "autodiff")):
        report = compare_gradients({"w": manual}, {"w": auto})
        assert not report and report.rows[0].verdict == "non-finite"
        assert "(1, 2)" in report.rows[0].diagnosis and who in report.rows[0].diagnosis
        assert json.loads(report.to_json())["rows"][0]["max_abs"] is None


def test_every_form_of_auto_and_manual() -> None:
    rnn = differentiated(0, 6)
    grads = rnn.by_hand()
    arrays = {name: v.grad for name, v in rnn.params.items()}
    tensors = {name: tg.tensor(g) for name, g in arrays.items()}

    class Model:
        trainable_weights = list(rnn.params.values())

    for auto in (rnn.params, list(rnn.params.values()), arrays, tensors, Model(), {"rnn": rnn.params}):
        assert compare_gradients(grads, auto, loss_fn=rnn.loss), str(compare_gradients(grads, auto))
        assert compare_gradients(lambda: grads, auto)


def test_the_loss_tensor_keeps_its_graph_and_reaches_its_variables() -> None:
    rnn = Rnn(0, 6)
    loss = rnn.loss()
    for _ in range(2):
        report = compare_gradients(rnn.by_hand(), loss, loss_fn=rnn.loss, inputs=[rnn.x])
        assert report and not report.notes, str(report)
        assert set(rows(report)) == set(rnn.params)
    assert all(v.grad is None for v in rnn.params.values())
    loss.backward()
    assert compare_gradients(rnn.by_hand(), rnn.params)


def test_gradients_that_nobody_computed_come_from_loss_fn() -> None:
    rnn = Rnn(0, 6)
    assert compare_gradients(rnn.by_hand(), rnn.params, loss_fn=rnn.loss)
    assert {row.verdict for row in compare_gradients(rnn.by_hand(), rnn.params).rows} == {"missing"}


def test_a_gradient_left_from_before_is_noticed() -> None:
    rnn = differentiated(0, 6)
    rnn.loss().backward()  # adds to the first
    report = compare_gradients(rnn.by_hand(), rnn.params, loss_fn=rnn.loss)
    assert not report and "1/2" in report.rows[0].diagnosis
    assert any("earlier backward" in note for note in report.notes)


def test_a_zero_gradient_agrees_with_a_zero() -> None:
    w, unused = Variable(np.array([1.0, 2.0]), name="w"), Variable(np.ones(3), name="unused")
    report = compare_gradients(
        {"w": 2 * w.numpy(), "unused": np.zeros(3)}, [w, unused], loss_fn=lambda: (w * w).sum()
    )
    assert [row.verdict for row in report.rows] == ["rounding", "rounding"]


def test_nothing_is_changed_by_the_measurement() -> None:
    rnn = differentiated(0, 6, dtype=np.float32)
    x, before = rnn.x.copy(), [(v._data, v._node, v.grad.copy()) for v in rnn.params.values()]
    calls = 0

    def loss() -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyError("on the way")
        return rnn.loss()

    for attempt in range(2):
        if attempt:
            assert compare_gradients(rnn.by_hand(), rnn.params, loss_fn=rnn.loss, inputs=[rnn.x])
        else:
            with pytest.raises(KeyError):
                compare_gradients(rnn.by_hand(), rnn.params, loss_fn=loss, inputs=[rnn.x])
        assert rnn.x.tobytes() == x.tobytes()
        for v, (data, node, g) in zip(rnn.params.values(), before, strict=True):
            assert v._data is data and v._node is node and v.grad.tobytes() == g.tobytes()


def test_wrong_arguments() -> None:
    for manual in (3, [np.ones(2)], np.ones(2), lambda: 5):
        with pytest.raises(TypeError, match="dict of arrays"):
            compare_gradients(manual, {"w": np.ones(2)})
    with pytest.raises(TypeError, match="per_step"):
        compare_gradients({}, {"w": np.ones(2)}, per_step=5)
    with pytest.raises(TypeError, match="auto"):
        compare_gradients({}, 5)


# --- three ways -----------------------------------------------------------------------------------


def test_three_ways_side_by_side() -> None:
    rnn = differentiated(0, 6, units=3)
    numeric = numeric_gradients(rnn.loss, rnn.params)
    report = compare_three(rnn.by_hand(), rnn.params, numeric, loss_fn=rnn.loss)
    assert report and all(row.numeric is not None and row.numeric[1] < 1e-8 for row in report.rows)
    assert max(map(len, str(report).splitlines())) <= 100 and "|numeric-auto|" in str(report)
    numeric["Wh"] = numeric["Wh"] * 1.01
    report = compare_three(rnn.by_hand(), rnn.params, numeric)
    assert not report and rows(report)["Wh"].verdict == "differs"
    assert "numerical" in rows(report)["Wh"].diagnosis
