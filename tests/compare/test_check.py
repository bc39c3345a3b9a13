"""Truth tests of `check_gradients`: right gradients pass, planted errors are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare.networks import Rnn
from op_samples import ELEMENTWISE
from reflection import FUNCTIONS

import tinygrad_rnn as tg
from tinygrad_rnn import Variable, layers, ops
from tinygrad_rnn.compare import check_gradients, numeric_gradients
from tinygrad_rnn.core.op import OPS

ACTIVATIONS = {"tanh": ops.tanh, "sigmoid": ops.sigmoid, "relu": ops.relu, "softsign": ops.softsign}


def variable(*values: float, name: str = "x") -> Variable:
    return Variable(np.array(values), name=name)


def wrong_cube(factor: Any) -> Any:
    """`x³` whose gradient is multiplied by `factor(3 x²)`."""

    @tg.custom_gradient
    def cube(x: Any) -> Any:
        return x * x * x, lambda *args, upstream=None: upstream * factor(3 * x * x)

    return cube


# --- right gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", range(12))
def test_right_gradients_pass(activation: str, seed: int) -> None:
    steps, scale = ((5, 0.3), (12, 1.0), (30, 1.5))[seed % 3]
    rnn = Rnn(seed, steps, scale, activation=ACTIVATIONS[activation])
    report = check_gradients(rnn.loss, rnn.params, samples=6, seed=seed)
    assert report, str(report)
    assert {row.verdict for row in report.rows} == {"ok"}, str(report)


@pytest.mark.parametrize("method", ["forward", "central", "richardson", "complex", "auto"])
def test_every_method(method: str) -> None:
    rnn = Rnn(1, steps=8)
    report = check_gradients(rnn.smooth_loss, rnn.params, method=method, samples=8)
    assert all(row.verdict == "ok" for row in report.rows), str(report)
    worst = max(row.max_rel for row in report.rows)
    assert worst < {"forward": 1e-4, "central": 1e-7, "richardson": 1e-7}.get(method, 1e-11), str(report)
    assert not report.notes
    assert ("complex" if method in ("complex", "auto") else method) in report.title


@pytest.mark.parametrize("seed", range(4))
def test_second_order(seed: int) -> None:
    rnn = Rnn(seed, steps=5)
    for loss in (rnn.loss, rnn.smooth_loss):
        report = check_gradients(loss, rnn.params, order=2, samples=6)
        assert all(row.verdict == "ok" for row in report.rows), str(report)
        assert any("order 2" in note for note in report.notes)


def test_linear_loss_has_nothing_to_check_at_second_order() -> None:
    x = variable(1.0, 2.0)
    (row,) = check_gradients(lambda: (x * 3).sum(), [x], order=2).rows
    assert row.verdict == "unused" and "the gradient does not depend on it" in row.diagnosis


def test_float32_is_evaluated_in_float64_and_marked() -> None:
    rnn = Rnn(0, steps=6, dtype=np.float32)
    report = check_gradients(rnn.loss, rnn.params, samples=8)
    assert all(row.float64 and row.verdict == "ok" and row.max_rel < 1e-6 for row in report.rows), str(report)
    assert "Wh *" in str(report) and "float64 copy" in str(report)
    assert all(v.dtype == np.float32 for v in rnn.params.values())
    with pytest.raises(TypeError, match="do not mix"):  # the rule of the op is back
        ops.matmul(tg.tensor(np.ones((2, 2), np.float32)), tg.tensor(np.ones((2, 2))))
    assert tg.tensor([1.0], dtype="float64").astype("float32").dtype == np.float32


def test_layers_of_float32() -> None:
    first, second = layers.LSTM(4, return_sequences=True), layers.GRU(3)  # each casts its input to float32
    x = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)
    second(first(x))
    weights = first.trainable_weights + second.trainable_weights
    report = check_gradients(lambda: ops.square(second(first(x))).sum(), weights, samples=8)
    assert [row.parameter for row in report.rows] == [v.path for v in weights]
    assert not any("less than float64" in note for note in report.notes)
    assert all(row.verdict == "ok" and row.float64 and row.max_rel < 1e-8 for row in report.rows), str(report)


def test_precision_lost_inside_is_noticed() -> None:
    x = variable(0.3, -0.7)
    numbers = np.array([1.0, 2.0])

    def loss() -> Any:  # a kernel that works in float32 whatever it is given
        y = tg.custom_gradient(lambda a: (a.numpy().astype("f"), lambda *args, upstream=None: upstream))(x)
        return (y * y * numbers.astype(np.float32)).sum()

    report = check_gradients(loss, [x], method="richardson")
    assert report, str(report)
    assert any("less than float64" in note for note in report.notes)


# --- wrong gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "cause"),
    [
        (lambda g: 2 * g, "constant factor 2;"),
        (lambda g: -g, "constant factor -1 (sign)"),
        (lambda g: g / 3, "constant factor 1/3"),
        (lambda g: g * 0, "zero everywhere"),
        (lambda g: ops.clip(g, -1.0, 1.0), "clipped at 1"),
        (lambda g: g * np.array([[1, 1, 1], [1, 1.001, 1]]), "1 of 6 elements, such as (1, 1)"),
    ],
)
@pytest.mark.parametrize("method", ["richardson", "complex"])
def test_planted_errors_are_found(factor: Any, cause: str, method: str) -> None:
    x = Variable(np.array([[0.5, -1.2, 0.3], [0.1, 0.9, -0.4]]), name="x")
    report = check_gradients(lambda: wrong_cube(factor)(x).sum(), [x], method=method)
    (row,) = report.rows
    assert not report and row.verdict == "bad"
    assert cause in row.diagnosis, row.diagnosis
    with pytest.raises(AssertionError, match="bad"):
        check_gradients(lambda: wrong_cube(factor)(x).sum(), [x], method=method, raise_on_fail=True)


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_element_in_many_is_found_and_located(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = Variable(rng.standard_normal((30, 40)), name="x")
    place = (int(rng.integers(30)), int(rng.integers(40)))
    mask = np.ones((30, 40))
    mask[place] = 1.001
    (row,) = check_gradients(lambda: wrong_cube(lambda g: g * mask)(x).sum(), [x], samples=4, seed=seed).rows
    assert row.verdict == "bad" and row.worst is not None and row.worst.position == place
    assert row.worst.value == pytest.approx(1.001 * row.worst.expected, rel=1e-6)


@pytest.mark.parametrize("name", ["tanh", "matmul", "sparse_cross_entropy"])
def test_a_mutated_vjp_in_the_table_is_found(name: str) -> None:
    rnn = Rnn(0, steps=5)
    assert check_gradients(rnn.loss, rnn.params, samples=4)
    op = OPS[name]
    vjps = tuple(v and (lambda g, *a, v=v, **k: 1.001 * v(g, *a, **k)) for v in op.vjps)
    before = op.vjps
    object.__setattr__(op, "vjps", vjps)
    try:
        assert not check_gradients(rnn.loss, rnn.params, samples=4)
    finally:
        object.__setattr__(op, "vjps", before)


def test_a_cut_path_is_found() -> None:
    a, b = variable(1.0, 2.0, name="a"), variable(3.0, name="b")
    report = check_gradients(lambda: (a * a).sum() + (b.detach() ** 2).sum(), [a, b])
    assert [row.verdict for row in report.rows] == ["ok", "bad"]
    assert "no path" in report.rows[1].diagnosis


def test_a_gradient_that_is_not_finite_is_bad() -> None:
    x = variable(1.0, 2.0)
    (row,) = check_gradients(lambda: wrong_cube(lambda g: g * np.array([1, np.inf]))(x).sum(), [x]).rows
    assert row.verdict == "bad" and "inf at (1,)" in row.diagnosis


def test_rtol_accepts_more() -> None:
    x = variable(0.5, -1.2)
    loss = lambda: wrong_cube(lambda g: g * 1.001)(x).sum()  # noqa: E731
    assert not check_gradients(loss, [x])
    assert check_gradients(loss, [x], rtol=1e-2)


# --- kinks, zeros, nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("f", [ops.relu, ops.abs, ops.leaky_relu, lambda x: ops.relu(x) * 7 + ops.sin(x)])
@pytest.mark.parametrize("at", [0.0, 1e-8, -3e-7])
def test_kink(f: Any, at: float) -> None:
    x = variable(at, 1.0, -2.0)
    report = check_gradients(lambda: f(x).sum(), [x])
    (row,) = report.rows
    assert report and row.verdict in (("kink",) if at == 0 else ("kink", "ok"))
    assert row.verdict == "ok" or "(0,)" in row.diagnosis


@pytest.mark.parametrize("at", [1e-5, 3e-5, 7e-5, -4e-5, -1e-4])
def test_a_kink_within_the_step_is_no_error(at: float) -> None:
    x = variable(at, 1.0, -2.0)
    (row,) = check_gradients(lambda: (ops.relu(x) * 3).sum(), [x]).rows
    assert row.verdict == "ok", row.diagnosis


def test_a_wrong_gradient_at_a_kink_is_bad() -> None:
    x = variable(0.0, 1.0)
    wrong = tg.custom_gradient(lambda v: (ops.relu(v), lambda *a, upstream=None: upstream * 5.0))
    assert check_gradients(lambda: wrong(x).sum(), [x]).rows[0].verdict == "bad"


@pytest.mark.parametrize("power", [2, 3, 4])
@pytest.mark.parametrize("method", ["auto", "richardson"])
def test_a_flat_place_is_ok(power: int, method: str) -> None:
    x = variable(0.0, 0.0)
    (row,) = check_gradients(lambda: (x**power).sum(), [x], method=method).rows
    assert row.verdict == "ok", row.diagnosis


def test_zeros_inside_a_gradient_are_ok() -> None:
    table = Variable(np.random.default_rng(0).standard_normal((5, 2)), name="table")
    for method in ("auto", "richardson"):
        loss = lambda: (ops.take(table, [1, 1, 3], axis=0) ** 2).sum()  # noqa: E731
        (row,) = check_gradients(loss, [table], method=method).rows
        assert row.verdict == "ok", row.diagnosis


def test_unused() -> None:
    a, b, c = variable(1.0, 2.0, name="a"), variable(1.0, name="b"), variable(1.0, name="c")
    report = check_gradients(lambda: (a * a).sum() + 0 * c.sum(), {"a": a, "b": b, "c": c})
    assert report and [row.verdict for row in report.rows] == ["ok", "unused", "unused"]
    assert "None" in report.rows[1].diagnosis and "gradient is 0" in report.rows[2].diagnosis


def test_complex_step_falls_back_and_says_so() -> None:
    x = variable(0.5, 2.0)
    report = check_gradients(lambda: ops.erf(x).sum(), [x], method="complex")
    assert report and report.rows[0].verdict == "ok"
    assert any("Richardson instead" in note for note in report.notes)
    report = check_gradients(lambda: ops.softplus(x).sum() + ops.abs(x).sum(), [x], method="complex")
    assert report and any("Richardson instead" in note for note in report.notes)


# --- cost and wrong arguments -----------------------------------------------------------------------


def test_the_number_of_evaluations_is_bounded() -> None:
    rnn = Rnn(0, steps=3)
    calls = 0

    def loss() -> Any:
        nonlocal calls
        calls += 1
        return rnn.loss()

    check_gradients(loss, rnn.params, samples=4)
    assert calls <= 4 * 4 * len(rnn.params) + 4 * len(rnn.params) + 8


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (lambda x: (lambda: x * x, [x]), ValueError, r"scalar.*\(2,\)"),
        (lambda x: (lambda: 3.0, [x]), TypeError, "float"),
        (lambda x: (lambda: (x * np.nan).sum(), [x]), ValueError, "nan"),
        (lambda x: (lambda: (x * ops.uniform((2,))).sum(), [x]), ValueError, "[dD]ropout"),
        (lambda x: (x.sum, [Variable(np.arange(3))]), TypeError, "int64"),
        (lambda x: (x.sum, [np.ones(3)]), TypeError, "ndarray"),
        (lambda x: (x.sum, [x * 2]), ValueError, "no leaf"),
        (lambda x: (x.sum, []), ValueError, "no parameters"),
        (lambda x: (x.sum, 5), TypeError, "int"),
    ],
)
def test_wrong_arguments(arguments: Any, error: type[Exception], text: str) -> None:
    x = variable(1.0, 2.0)
    with pytest.raises(error, match=text):
        check_gradients(*arguments(x))


@pytest.mark.parametrize(
    "options", [{"method": "magic"}, {"eps": -1.0}, {"eps": "small"}, {"order": 3}, {"samples": 0}]
)
def test_wrong_options(options: Any) -> None:
    x = variable(1.0, 2.0)
    with pytest.raises(ValueError, match=next(iter(options))):
        check_gradients(lambda: (x * x).sum(), [x], **options)


# --- numeric_gradients ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "richardson", "central", "forward"])
def test_numeric_gradients(method: str) -> None:
    rnn = Rnn(2, steps=6, units=3)
    found = numeric_gradients(rnn.loss, rnn.params, method=method)
    for name, g in rnn.by_hand().items():
        assert found[name[1:]].shape == g.shape and found[name[1:]].dtype == np.float64
        np.testing.assert_allclose(found[name[1:]], g, atol=1e-5 if method == "forward" else 1e-8)


def test_numeric_gradients_do_not_ask_autodiff() -> None:
    x = variable(0.5, -1.2)
    found = numeric_gradients(lambda: wrong_cube(lambda g: g * 7)(x).sum(), [x])
    np.testing.assert_allclose(found["x"], 3 * x.numpy() ** 2, rtol=1e-10)


# --- every op by itself, and each of them mutated ---------------------------------------------------

SMOOTH = [
    name for name, draws in ELEMENTWISE.items()
    if any(OPS[name].vjps) and name not in ("sign", "floor", "ceil", "round", "mod", "where", "binary_cross_entropy")
]  # fmt: skip


def one_op(name: str) -> tuple[Any, list[Variable]]:
    rng = np.random.default_rng(3)
    args = [
        Variable(np.asarray(draw(rng, (2, 3)), np.float64), name=f"x{i}")
        for i, draw in enumerate(ELEMENTWISE[name])
    ]
    weights = rng.standard_normal((2, 3))
    return lambda: (FUNCTIONS[name](*args) * weights).sum(), args


def test_there_are_twenty_to_mutate() -> None:
    assert len(SMOOTH) >= 20


@pytest.mark.parametrize("name", SMOOTH)
def test_a_right_op_passes_and_a_mutated_one_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, args = one_op(name)
    report = check_gradients(loss, args)
    assert report and {row.verdict for row in report.rows} <= {"ok", "unused"}, str(report)
    mask = np.ones((2, 3))
    mask[1, 2] = 1.001
    op = OPS[name]
    before = op.vjps
    vjps = tuple(v and (lambda g, *a, v=v, **k: mask * v(g, *a, **k)) for v in before)
    object.__setattr__(op, "vjps", vjps)
    try:
        report = check_gradients(loss, args)
    finally:
        object.__setattr__(op, "vjps", before)
    bad = [row for row in report.rows if row.verdict == "bad"]
    still = [i for i, x in enumerate(args) if tg.grad(loss(), [x])[0].numpy()[1, 2] == 0]
    assert len(bad) == len(args) - len(still) > 0, str(report)
    assert all(row.worst is not None and row.worst.position == (1, 2) for row in bad)
