"""Optimizers: a step is atomic; settings, clipping, state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from optimizer_cases import COMMON, RULES, gradients, run, weights

from tinygrad_rnn import Variable, optimizers, tensor

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
    with pytest.raises(
        ValueError, match="no variables to update; a model has its weights after its first call"
    ):
        optimizer.apply([], [])


def test_gradients_may_be_tensors_and_of_another_float_type() -> None:
    w = Variable([1.0, 2.0])
    optimizers.SGD(1).apply([tensor(np.array([1.0, 0.5]))], [w])
    assert w.tolist() == [0.0, 1.5] and w.dtype == np.float32


def test_huge_and_tiny_gradients_stay_finite_and_silent() -> None:
    for name in [rule for rule in RULES if rule != "Ftrl"]:
        for value in (1e30, -1e30, 1e-40, 0.0):
            w = Variable(np.ones(2, "float32"))
            optimizer = getattr(optimizers, name)(1e-3)
            for options in range(3):
                optimizer.apply([np.full(2, value, "float32")], [w])
                assert np.isfinite(w.numpy()).all(), (name, value, options)


def test_ftrl_refuses_sums_that_overflow() -> None:
    ftrl, w = optimizers.Ftrl(), Variable(np.ones(2, "float32"))
    ftrl.apply([np.ones(2)], [w])
    before, state = w.tolist(), ftrl.state()
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="outgrew float32"):
            ftrl.apply([np.full(2, 1e30)], [w])
        assert w.tolist() == before and all(np.array_equal(v, state[k]) for k, v in ftrl.state().items())


@pytest.mark.parametrize("name", RULES)
def test_a_rate_of_zero_moves_nothing(name: str) -> None:
    w = Variable([1.0, -1.0])
    optimizer = getattr(optimizers, name)(0.0)
    for _ in range(2):
        optimizer.apply([np.ones(2)], [w])
        assert w.tolist() == [1.0, -1.0]


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
    for wrong in (-0.1, np.nan, np.inf, None, True, "fast", [w]):
        with pytest.raises(ValueError, match="learning_rate: expected"):
            optimizers.SGD(wrong)
    w = Variable([1.0], dtype="float64")
    plain = optimizers.SGD(lambda: 0.5)  # Keras calls a function without arguments
    plain.apply([[1.0]], [w])
    assert w.tolist() == [0.5] and plain.learning_rate == 0.5
    lost = optimizers.SGD(lambda step: np.nan)
    for _ in range(2):
        with pytest.raises(ValueError, match="learning_rate: expected"):
            lost.apply([[1.0]], [w])
    assert w.tolist() == [0.5] and lost.iterations == 0


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"lr": 0.1}, TypeError, "unknown argument 'lr'; use learning_rate="),
        ({"decay": 0.1}, TypeError, "give a schedule"),
        ({"jit_compile": True}, TypeError, "model.compile"),
        ({"loss_scale_factor": 2.0}, TypeError, "half precision"),
        ({"beta": 0.1}, TypeError, "unknown argument 'beta'$"),
        ({"epsilon": None}, ValueError, "epsilon: expected a number ≥ 0, received None"),
        ({"epsilon": -1e-7}, ValueError, "epsilon: expected a number ≥ 0"),
        ({"beta_1": 1}, ValueError, r"beta_1: expected a number in \[0, 1\), received 1"),
        ({"beta_2": np.nan}, ValueError, "beta_2"),
        ({"weight_decay": "a lot"}, ValueError, "weight_decay: expected a number ≥ 0, received 'a lot'"),
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
    optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["^b.as$"])
    optimizer.apply([np.zeros(v.shape) for v in variables], variables)
    assert_allclose(variables[0].numpy(), before[0] * 0.95, rtol=1e-14)
    assert_array_equal(variables[1].numpy(), before[1])
    assert_array_equal(variables[2].numpy(), before[2])


def test_what_is_spared_from_decay_comes_back_with_the_state() -> None:
    first, second = optimizers.SGD(0.1, weight_decay=0.5), optimizers.SGD(0.1, weight_decay=0.5)
    variables, others = weights(), weights()
    first.exclude_from_weight_decay(var_names=["kernel"])
    zeros = [np.zeros(v.shape) for v in variables]
    first.apply(zeros, variables)
    for v, other in zip(variables, others, strict=True):
        other.assign(v.numpy())
    second.build(others)
    second.load_state(first.state())
    for _ in range(2):
        first.apply(zeros, variables)
        second.apply(zeros, others)
    assert_array_equal(others[0].numpy(), weights()[0].numpy())
    for a, b in zip(variables, others, strict=True):
        assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", RULES)
def test_numbers_do_not_widen_float32(name: str) -> None:
    options = {"SGD": {"momentum": np.float64(0.9)}, "Ftrl": {"beta": np.float64(0.1)}, "Rprop": {}}
    made = getattr(optimizers, name)(np.float64(0.1), **options.get(name, {"weight_decay": np.float64(0.1)}))
    w = Variable(np.ones(3, "float32"))
    for _ in range(2):
        made.apply([np.ones(3)], [w])
    assert {a.dtype for k, a in made.state().items() if "/" in k} <= {np.dtype("float32")}
    numbers = [v for v in vars(made).values() if isinstance(v, float)]
    assert w.dtype == np.float32 and numbers and {type(v) for v in numbers} == {float}


def test_averages_and_weights_change_places() -> None:
    variables, steps = weights(), gradients(4)
    optimizer = optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5)
    run(optimizer, variables, steps[:2])
    trained, averages = [v.numpy() for v in variables], [optimizer.state()[f"{i}/average"] for i in range(3)]
    optimizer.swap_averages()
    for v, average in zip(variables, averages, strict=True):
        assert_array_equal(v.numpy(), average)
    with pytest.raises(RuntimeError, match=r"call swap_averages\(\) before a step"):
        optimizer.apply(steps[2], variables)
    optimizer.swap_averages()
    other, undisturbed = optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5), weights()
    run(other, undisturbed, steps[:2])
    for _ in range(2):
        for v, before, same in zip(variables, trained, undisturbed, strict=True):
            assert_array_equal(v.numpy(), same.numpy())
            assert before is not v.numpy()
        assert all(np.array_equal(a, other.state()[k]) for k, a in optimizer.state().items())
        run(optimizer, variables, steps[2:])
        run(other, undisturbed, steps[2:])
        trained = [v.numpy().copy() for v in variables]
    optimizer.swap_averages()
    kept = [v.numpy().copy() for v in variables]
    optimizer.finalize_variable_values(variables)  # they are the averages already
    other.finalize_variable_values(undisturbed)
    for v, value, same in zip(variables, kept, undisturbed, strict=True):
        assert_array_equal(v.numpy(), value)
        assert_array_equal(v.numpy(), same.numpy())
    run(optimizer, variables, steps[:1])
    with pytest.raises(ValueError, match="use_ema=True"):
        optimizers.SGD().swap_averages()


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
    second = getattr(optimizers, name)(**({"learning_rate": 0.7} | common))  # the rate comes with the state
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


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("SGD", "momentum", 0.9),
        ("RMSprop", "momentum", 0.9),
        ("RMSprop", "centered", True),
        ("Adam", "amsgrad", True),
        ("Adam", "use_ema", True),
        ("Adam", "gradient_accumulation_steps", 2),
    ],
)
def test_a_setting_that_is_changed_after_a_step_counts_from_then_on(
    name: str, setting: str, value: Any
) -> None:
    """Its slots start then, as they do in a new optimizer; switched off again, they wait."""
    optimizer, variables, steps = getattr(optimizers, name)(0.1), weights(), gradients(6)
    run(optimizer, variables, steps[:2])
    before = getattr(optimizer, setting)
    setattr(optimizer, setting, value)
    run(optimizer, variables, steps[2:4])
    setattr(optimizer, setting, before)
    run(optimizer, variables, steps[4:])
    assert all(np.isfinite(v.numpy()).all() for v in variables)


def test_momentum_switched_on_is_that_of_the_steps_from_then_on() -> None:
    w = Variable(np.array([1.0]))
    sgd = optimizers.SGD(0.5)
    sgd.apply([np.array([1.0])], [w])
    sgd.momentum = 0.5
    for expected in (0.5 - 0.5, 0.0 - 0.75):
        sgd.apply([np.array([1.0])], [w])
        assert w.tolist() == [expected]


def test_slots_of_variables_that_are_no_more_are_not_used_again() -> None:
    """A new variable may get the identity of one that is gone."""
    optimizer = optimizers.Adam(0.1)
    for dtype in ("float32", "float64"):
        variables = [Variable(np.ones((2, 3)), dtype=dtype) for _ in range(8)]
        snapshot = optimizer.snapshot()
        for _ in range(3):
            optimizer.apply([np.ones((2, 3))] * 8, variables)
        slots = [a for name, a in optimizer.state().items() if name.endswith(("/m", "/v"))]
        assert len(slots) == 16 and {a.dtype.name for a in slots} == {dtype}
        optimizer.restore(snapshot)
        assert not optimizer._spare
        del variables
