"""Optimizers: five steps against formulas and Keras; Rprop bit for bit; what can go wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinygrad_rnn import Variable, optimizers, tensor
from tinygrad_rnn.manual import linear_rnn

RULES = ["SGD", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "Nadam", "Rprop"]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.1, "rho": 0.8, "momentum": 0.5}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.1, "amsgrad": True, "epsilon": 1e-3, "beta_2": 0.6}),
    ("AdamW", {"learning_rate": 0.1}),
    ("Adagrad", {"learning_rate": 0.1}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adamax", {"learning_rate": 0.1}),
    ("Nadam", {"learning_rate": 0.1}),
]
COMMON: list[dict[str, Any]] = [
    {},
    {"clipnorm": 0.5},
    {"global_clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"weight_decay": 0.1},
    {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 2},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2, "clipnorm": 0.4},
]


def weights(dtype: str = "float64") -> list[Variable]:
    rng = np.random.default_rng(0)
    return [
        Variable(rng.standard_normal(s), dtype=dtype, name=n)
        for s, n in (((2, 3), "kernel"), ((3,), "bias"), ((), "s"))
    ]


def gradients(steps: int = 5, dtype: str = "float64") -> list[list[np.ndarray]]:
    rng = np.random.default_rng(1)
    return [[np.asarray(rng.standard_normal(s), dtype) for s in ((2, 3), (3,), ())] for _ in range(steps)]


def by_formula(name: str, w: np.ndarray, grads: list[np.ndarray], o: dict[str, Any]) -> np.ndarray:
    """The formulas of the rules, one line per line of the literature, with Keras's placing of epsilon."""
    defaults = {
        "learning_rate": 0.01 if name == "SGD" else 0.001,
        "epsilon": 1e-7,
        "beta_1": 0.9,
        "beta_2": 0.999,
    }
    o = {**defaults, **o}
    lr, eps, b1, b2 = (o[k] for k in ("learning_rate", "epsilon", "beta_1", "beta_2"))
    mu, rho = o.get("momentum", 0.0), o.get("rho", 0.95 if name == "Adadelta" else 0.9)
    m = v = u = a = d_sum = v_hat = np.zeros_like(w)
    acc, product = np.full_like(w, 0.1), 1.0
    for t, g in enumerate(grads, 1):
        if name == "AdamW":
            w = w - w * 0.004 * lr
        if name == "SGD":
            v = mu * v - lr * g
            w = w + mu * v - lr * g if o.get("nesterov") else w + v
        elif name == "RMSprop":
            v = rho * v + (1 - rho) * g**2
            a = rho * a + (1 - rho) * g
            m = mu * m + lr * g / np.sqrt(v - (a**2 if o.get("centered") else 0) + eps)
            w = w - m
        elif name in ("Adam", "AdamW"):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            v_hat = np.maximum(v_hat, v) if o.get("amsgrad") else v
            w = w - lr * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v_hat) + eps)
        elif name == "Adagrad":
            acc = acc + g**2
            w = w - lr * g / np.sqrt(acc + eps)
        elif name == "Adadelta":
            v = rho * v + (1 - rho) * g**2
            d = -g * np.sqrt(d_sum + eps) / np.sqrt(v + eps)
            d_sum = rho * d_sum + (1 - rho) * d**2
            w = w + lr * d
        elif name == "Adamax":
            m, u = b1 * m + (1 - b1) * g, np.maximum(b2 * u, np.abs(g))
            w = w - lr / (1 - b1**t) * m / (u + eps)
        elif name == "Nadam":
            now, later = (b1 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
            product *= now
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            m_hat = later * m / (1 - product * later) + (1 - now) * g / (1 - product)
            w = w - lr * m_hat / (np.sqrt(v / (1 - b2**t)) + eps)
    return w


def run(optimizer: Any, variables: list[Variable], steps: list[list[np.ndarray]]) -> list[np.ndarray]:
    for grads in steps:
        optimizer.apply_gradients(zip(grads, variables, strict=True))
    return [v.numpy() for v in variables]


def test_every_rule_has_a_variant() -> None:
    assert set(RULES) == set(optimizers.REGISTRY._entries) == {n for n, _ in VARIANTS} | {"Rprop"}


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_five_steps_against_the_formulas(name: str, options: dict[str, Any]) -> None:
    start, steps = [v.numpy() for v in weights()], gradients()
    kept = [[g.copy() for g in grads] for grads in steps]
    result = run(getattr(optimizers, name)(**options), weights(), steps)
    for i, value in enumerate(result):
        assert value.dtype == np.float64
        assert_allclose(
            value, by_formula(name, start[i], [g[i] for g in steps], options), rtol=1e-12, atol=1e-15
        )
    for before, after in zip(kept, steps, strict=True):
        for a, b in zip(before, after, strict=True):
            assert_array_equal(a, b)  # the user's gradients are not touched


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras on NumPy 2
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_common_options_against_keras(keras: Any, name: str, options: dict[str, Any]) -> None:
    for common in COMMON if name in ("SGD", "Adam", "Nadam") else COMMON[:1]:
        theirs = getattr(keras.optimizers, name)(**options, **common)
        ours = getattr(optimizers, name)(**options, **common)
        mine = weights("float32")
        foreign = [keras.Variable(v.numpy().copy()) for v in mine]
        for grads in gradients(6, "float32"):
            theirs.apply([keras.ops.convert_to_tensor(g) for g in grads], foreign)
            ours.apply(grads, mine)
            for a, b in zip(mine, foreign, strict=True):
                assert a.dtype == np.float32
                assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-6, err_msg=f"{name} {common}")
        assert ours.iterations == int(theirs.iterations)
        ours.finalize_variable_values(mine)
        theirs.finalize_variable_values(foreign)
        assert_allclose(mine[0].numpy(), foreign[0].numpy(), rtol=2e-5, atol=2e-6)


def test_without_epsilon_against_torch() -> None:
    torch = pytest.importorskip("torch")
    for ours, theirs in [
        (optimizers.SGD(0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
        (optimizers.SGD(0.1, 0.9, True), lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)),
        (optimizers.Adamax(0.1, epsilon=1e-30), lambda p: torch.optim.Adamax(p, 0.1, eps=1e-30)),
        (optimizers.Adam(0.1, epsilon=1e-30), lambda p: torch.optim.Adam(p, 0.1, eps=1e-30)),
    ]:
        mine = weights()
        foreign = [torch.tensor(v.numpy().copy(), requires_grad=True) for v in mine]
        other = theirs(foreign)
        for grads in gradients():
            for p, g in zip(foreign, grads, strict=True):
                p.grad = torch.tensor(g)
            other.step()
            ours.apply(grads, mine)
        for a, b in zip(mine, foreign, strict=True):
            assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-10)


# --- Rprop: the numbers of the seed ---------------------------------------------------------------


def test_rprop_gives_the_seeds_weights_bit_for_bit() -> None:
    X, t = linear_rnn.make_data()
    wx, w_rec = Variable(-1.5, dtype="float64"), Variable(2.0, dtype="float64")
    rprop = optimizers.Rprop(0.001, etas=(0.5, 1.2))
    expected = {
        1: (-1.4995, 1.9995),
        10: (-1.487020658944, 1.987020658944),
        50: (1.718161444505056, 0.8341022946382431),
        100: (1.2120221196576606, 0.9518451331314709),
        200: (1.0477309671353028, 0.9887494654280373),
        500: (1.001355547207059, 0.9996744737846419),
    }
    for i in range(1, 501):
        rprop.apply(linear_rnn.gradient(X, t, wx.item(), w_rec.item()), [wx, w_rec])
        if i in expected:
            assert (wx.item(), w_rec.item()) == expected[i]
    state = rprop.state()
    assert (state["0/delta"].item(), state["1/delta"].item()) == (
        3.371389415102182e-05,
        5.853106623441289e-06,
    )


def test_rprop_treats_signs_one_by_one() -> None:
    w = Variable([0.0, 0.0, 0.0, 0.0], dtype="float64")
    rprop = optimizers.Rprop(1.0)
    rprop.apply([np.array([5.0, -5.0, 5.0, 0.0])], [w])
    assert w.tolist() == [-0.5, 0.5, -0.5, 0.0]
    rprop.apply([np.array([5.0, 5.0, 0.0, 0.0])], [w])  # same, other, to zero, zero again
    assert rprop.state()["0/delta"].tolist() == [0.6, 0.25, 0.25, 1.44]
    assert w.tolist() == [-1.1, 0.25, -0.5, 0.0]
    with pytest.raises(ValueError, match="etas"):
        optimizers.Rprop(etas=(1.2, 0.5))


# --- a step is atomic -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("bad", ["nan", "inf", "shape", "none"])
def test_nothing_changes_when_a_step_raises(name: str, bad: str) -> None:
    optimizer, variables, steps = getattr(optimizers, name)(), weights(), gradients(2)
    optimizer.apply(steps[0], variables)
    before, state = [v.numpy().copy() for v in variables], optimizer.state()
    wrong: dict[str, Any] = {
        "nan": [steps[1][0], np.array([0.0, np.nan, 0.0]), steps[1][2]],
        "inf": [steps[1][0], np.array([0.0, np.inf, 0.0]), steps[1][2]],
        "shape": [steps[1][0], np.ones((3, 1)), steps[1][2]],
        "none": [None, None, None],
    }
    error, said = {
        "nan": (FloatingPointError, "gradient of 'bias' is not finite"),
        "inf": (FloatingPointError, "gradient of 'bias' is not finite"),
        "shape": (ValueError, r"gradient of shape \(3, 1\) for 'bias' of shape \(3,\)"),
        "none": (ValueError, r"every gradient is None.*\['kernel', 'bias', 's'\]"),
    }[bad]
    with pytest.raises(error, match=said):
        optimizer.apply(wrong[bad], variables)
    for v, value in zip(variables, before, strict=True):
        assert_array_equal(v.numpy(), value)
    after = optimizer.state()
    assert list(after) == list(state)
    for key, value in state.items():
        assert_array_equal(after[key], value)


def test_first_nonfinite_names_the_variable() -> None:
    w, b, s = weights()
    assert optimizers.first_nonfinite([np.ones((2, 3)), None, tensor(1.0)], [w, b, s]) is None
    assert optimizers.first_nonfinite([np.ones((2, 3)), np.array([1, np.inf]), np.nan], [w, b, s]) == "bias"


def test_missing_gradients_are_skipped_with_a_warning() -> None:
    variables = weights()
    before = variables[1].numpy().copy()
    optimizer = optimizers.Adam()
    with pytest.warns(UserWarning, match=r"no gradient for \['bias'\]"):
        optimizer.apply([np.ones((2, 3)), None, 1.0], variables)
    assert_array_equal(variables[1].numpy(), before)
    with pytest.raises(ValueError, match="received 1 gradients for 3 variables"):
        optimizer.apply([None], variables)


def test_gradients_may_be_tensors_and_of_another_float_type() -> None:
    w = Variable([1.0, 2.0])
    optimizers.SGD(1).apply([tensor(np.array([1.0, 0.5]))], [w])
    assert w.tolist() == [0.0, 1.5] and w.dtype == np.float32


def test_huge_and_tiny_gradients_stay_finite_and_silent() -> None:
    for name in RULES:
        for value in (1e30, -1e30, 1e-40, 0.0):
            w = Variable(np.ones(2, "float32"))
            optimizer = getattr(optimizers, name)(1e-3)
            for options in range(3):
                optimizer.apply([np.full(2, value, "float32")], [w])
                assert np.isfinite(w.numpy()).all(), (name, value, options)


def test_old_values_are_not_changed_in_place() -> None:
    for name in RULES:
        w = Variable([1.0, 2.0])
        old = w.numpy()
        optimizer = getattr(optimizers, name)()
        optimizer.apply([np.ones(2)], [w])
        first = w.numpy()
        copy = first.copy()
        optimizer.apply([np.ones(2)], [w])
        assert old.tolist() == [1.0, 2.0] and np.array_equal(first, copy)


# --- settings -------------------------------------------------------------------------------------


def test_learning_rate_is_a_number_or_a_schedule() -> None:
    w = Variable([1.0], dtype="float64")
    optimizer = optimizers.SGD(1)
    optimizer.apply([[1.0]], [w])
    optimizer.learning_rate = 0.5
    optimizer.apply([[1.0]], [w])
    assert w.tolist() == [-0.5] and optimizer.learning_rate == 0.5 and optimizer.iterations == 2
    seen: list[int] = []

    def rate(step: int) -> float:
        seen.append(step)
        return 1.0 / (1 + step)

    scheduled = optimizers.SGD(rate)
    for _ in range(3):
        scheduled.apply([[1.0]], [w])
    assert seen == [0, 1, 2] and scheduled.learning_rate == 0.25
    assert_allclose(w.item(), -0.5 - 1 - 0.5 - 1 / 3)
    with pytest.raises(TypeError, match="follows a schedule"):
        scheduled.learning_rate = 0.1
    with pytest.raises(ValueError, match="has no config"):
        scheduled.get_config()
    for wrong in (-0.1, np.nan, np.inf, None, True, "fast"):
        with pytest.raises(ValueError, match="learning_rate: expected"):
            optimizers.SGD(wrong)
    lost = optimizers.SGD(lambda step: np.nan)
    with pytest.raises(ValueError, match="learning_rate: expected"):
        lost.apply([[1.0]], [w])


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"lr": 0.1}, TypeError, "unknown argument 'lr'; use learning_rate="),
        ({"decay": 0.1}, TypeError, "schedule"),
        ({"beta": 0.1}, TypeError, "unknown argument 'beta'$"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, ValueError, "at most one of"),
        ({"clipnorm": 0.0}, ValueError, "> 0"),
        ({"ema_momentum": 1.5}, ValueError, "ema_momentum"),
        ({"ema_overwrite_frequency": 0}, ValueError, "integer ≥ 1"),
        ({"gradient_accumulation_steps": 1}, ValueError, "integer ≥ 2"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        optimizers.Adam(**options)
    with pytest.raises(ValueError, match="momentum"):
        optimizers.SGD(momentum=2.0)


def test_names_are_found_in_any_case() -> None:
    for name in RULES:
        for spelling in (name, name.lower(), name.upper()):
            assert type(optimizers.get(spelling)).__name__ == name
    adam = optimizers.Adam(0.5, clipnorm=1.0, weight_decay=0.1, name="mine")
    again = optimizers.get(optimizers.serialize(adam))
    assert again.get_config() == adam.get_config() and again.clipnorm == 1.0 and again.learning_rate == 0.5
    assert optimizers.get(adam) is adam


@given(limit=st.floats(0.01, 10), seed=st.integers(0, 50))
def test_clipping(limit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g = [rng.standard_normal((2, 3)), 3 * rng.standard_normal(3), rng.standard_normal(())]
    norms = [np.linalg.norm(a) for a in g]
    total = np.sqrt(sum(n**2 for n in norms))
    for option, expected in {
        "clipvalue": [np.clip(a, -limit, limit) for a in g],
        "clipnorm": [a * limit / max(n, limit) for a, n in zip(g, norms, strict=True)],
        "global_clipnorm": [a * limit / max(total, limit) for a in g],
    }.items():
        variables = [Variable(np.zeros(a.shape)) for a in g]
        optimizers.SGD(1.0, **{option: limit}).apply(g, variables)
        for v, e in zip(variables, expected, strict=True):
            assert_allclose(-v.numpy(), e, rtol=1e-12)


def test_weight_decay_spares_what_is_excluded() -> None:
    variables = weights()
    before = [v.numpy() for v in variables]
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias"])
    optimizer.apply([np.zeros(v.shape) for v in variables], variables)
    assert_allclose(variables[0].numpy(), before[0] * 0.95, rtol=1e-14)
    assert_array_equal(variables[1].numpy(), before[1])
    assert_array_equal(variables[2].numpy(), before[2])


def test_constraints_are_applied_after_the_update() -> None:
    w = Variable([1.0, -1.0], name="w")
    w.constraint = lambda value: np.maximum(value, 0)
    optimizers.SGD(1.0).apply([np.array([2.0, -3.0])], [w])
    assert w.tolist() == [0.0, 2.0] and w.dtype == np.float32


# --- state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("common", [COMMON[0], COMMON[7]])
def test_going_on_from_a_state_is_bit_exact(name: str, common: dict[str, Any]) -> None:
    steps = gradients(7)
    straight, variables = getattr(optimizers, name)(**common), weights()
    run(straight, variables, steps)
    first, begun = getattr(optimizers, name)(**common), weights()
    run(first, begun, steps[:3])
    second = getattr(optimizers, name)(0.7, **common)  # the rate comes back with the state
    moved = [Variable(v.numpy()) for v in begun]
    second.build(moved)
    second.load_state(first.state())
    run(second, moved, steps[3:])
    for a, b in zip(variables, moved, strict=True):
        assert_array_equal(a.numpy(), b.numpy())
    assert second.iterations == straight.iterations


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    optimizer, variables = optimizers.Adam(), weights()
    optimizer.build(variables)
    good = optimizer.state()
    bad = {k: v for k, v in good.items() if k != "1/m"} | {"0/v": np.ones(7), "9/m": np.ones(1)}
    with pytest.raises(
        ValueError, match=r"1/m is missing; 9/m is unknown; 0/v has shape \(7,\), expected \(2, 3\)"
    ):
        optimizer.load_state(bad)
    assert all(np.array_equal(v, good[k]) for k, v in optimizer.state().items())
    with pytest.raises(ValueError, match="build it first"):
        optimizers.Adam().load_state(good)


def test_iterations_can_be_set_and_nadam_goes_on() -> None:
    a, b, w, x = optimizers.Nadam(), optimizers.Nadam(), Variable([1.0]), Variable([1.0])
    a.iterations = b.iterations = 50
    a.apply([[1.0]], [w])
    b.iterations = 3
    b.apply([[1.0]], [Variable([1.0])])
    b.iterations = 50
    b.apply([[1.0]], [x])
    assert a.iterations == 51 and w.item() == x.item()
