"""Optimizers: a step that raises anywhere changes nothing; buffers that are used again are never seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from optimizer_cases import COMMON, RULES, gradients, run, weights

from tinygrad_rnn import Variable, optimizers, tensor
from tinygrad_rnn.optimizers.gradients import norms


def same_state(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a)


class Refusal(Exception):
    """What a user's constraint raises."""


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("common", COMMON)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_constraint_that_raises_undoes_the_step(name: str, common: dict[str, Any], before: int) -> None:
    optimizer, variables = getattr(optimizers, name)(**common), weights()
    other, undisturbed = getattr(optimizers, name)(**common), weights()
    steps = gradients(before + 3)
    for each, on in ((optimizer, variables), (other, undisturbed)):
        run(each, on, steps[:before])
    arrays, nodes = [v.numpy() for v in variables], [v._node for v in variables]
    values, state = [a.copy() for a in arrays], optimizer.state()

    def refuse(value: np.ndarray) -> np.ndarray:
        raise Refusal

    for constraint, error in ((refuse, Refusal), (lambda value: value[:2], ValueError)):
        variables[1].constraint = constraint
        for _ in range(2):
            with pytest.raises(error):
                optimizer.apply(steps[before], variables)
            for v, array, node, value in zip(variables, arrays, nodes, values, strict=True):
                assert v.numpy() is array and v._node is node
                assert_array_equal(array, value)
            assert same_state(optimizer.state(), state)
            assert optimizer.variables == ([] if before == 0 else variables)
    variables[1].constraint = None
    run(optimizer, variables, steps[before:])
    run(other, undisturbed, steps[before:])
    for a, b in zip(variables, undisturbed, strict=True):
        assert_array_equal(a.numpy(), b.numpy())
    assert same_state(optimizer.state(), other.state())


def test_the_constraints_shape_is_told() -> None:
    w = Variable(np.ones((2, 3)), name="layer/kernel")
    w.constraint = np.sum
    with pytest.raises(ValueError, match=r"layer/kernel: the constraint turned shape \(2, 3\) into \(\)"):
        optimizers.SGD().apply([np.ones((2, 3))], [w])


def test_a_rule_that_raises_undoes_the_step() -> None:
    class Fragile(optimizers.Optimizer):
        def slots(self) -> dict[str, float]:
            return {"v": 0.0}

        def update(self, w: Any, g: Any, lr: float, t: int, v: Any) -> Any:
            v += g
            if g.size == 3 and t == 2:
                raise Refusal
            return w - lr * v

    optimizer, variables, steps = Fragile(0.1), weights(), gradients(3)
    optimizer.apply(steps[0], variables)
    before, state = [v.numpy().copy() for v in variables], optimizer.state()
    for _ in range(2):
        with pytest.raises(Refusal):
            optimizer.apply(steps[1], variables)
        assert all(np.array_equal(a, v.numpy()) for a, v in zip(before, variables, strict=True))
        assert same_state(optimizer.state(), state)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("common", COMMON)
def test_what_was_handed_out_never_changes(name: str, common: dict[str, Any]) -> None:
    optimizer, variables, steps = getattr(optimizers, name)(**common), weights(), gradients(12)
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for grads in steps[:6]:
        optimizer.apply(grads, variables)
        kept += [(array, array.copy()) for array in optimizer.state().values()]
        kept += [(v.numpy(), v.numpy().copy()) for v in variables]
    snapshot, state = optimizer.snapshot(), optimizer.state()
    values = [v.numpy() for v in variables]
    first = run(optimizer, variables, steps[6:])
    for array, copy in kept:
        assert_array_equal(array, copy)
    optimizer.restore(snapshot)
    assert same_state(optimizer.state(), state)
    for v, value in zip(variables, values, strict=True):
        v.assign(value)
    for a, b in zip(run(optimizer, variables, steps[6:]), first, strict=True):
        assert_array_equal(a, b)


def test_slots_are_not_made_again_in_every_step() -> None:
    optimizer, w = optimizers.Adam(), Variable(np.ones((3, 4)))
    seen = []
    for _ in range(6):
        optimizer.apply([np.ones((3, 4))], [w])
        seen.append({name: id(array) for name, array in optimizer._arrays[id(w)].items()})
    assert seen[1:3] == seen[3:5] and seen[1] != seen[2]


@pytest.mark.parametrize("name", RULES)
def test_the_order_in_memory_does_not_matter(name: str) -> None:
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((5, 7)), [rng.standard_normal((5, 7)) for _ in range(3)]
    plain, turned = Variable(start), Variable(np.asfortranarray(start))
    a, b = getattr(optimizers, name)(0.1), getattr(optimizers, name)(0.1)
    for g in grads:
        a.apply([g], [plain])
        b.apply([np.asfortranarray(g)], [turned])
        assert turned.numpy().flags.c_contiguous
        assert_array_equal(plain.numpy(), turned.numpy())


def test_a_variable_that_is_named_twice_takes_both_gradients() -> None:
    w, sgd = Variable(np.array([1.0])), optimizers.SGD(0.5, momentum=0.5)
    for expected in (1 - 0.5 - 1.25, 1 - 1.75 - 1.125 - 1.5625):
        sgd.apply([np.array([1.0]), np.array([2.0])], [w, w])
        assert w.tolist() == [expected]


def test_pairs_the_wrong_way_round_and_tensors_are_named() -> None:
    w, g = Variable([1.0]), tensor([2.0], requires_grad=True)
    for pair in ((w, g), (g.numpy(), g)):
        with pytest.raises(
            TypeError, match=r"expected a Variable .* received a Tensor; pairs are \(gradient, "
        ):
            optimizers.Adam().apply_gradients([pair])


def test_the_old_name_of_the_rate_is_refused() -> None:
    adam = optimizers.Adam(0.5)
    with pytest.raises(AttributeError, match="adam: 'lr' is no more; instead: learning_rate"):
        adam.lr = 0.1
    assert not hasattr(adam, "lr") and adam.learning_rate == 0.5


# --- norms ----------------------------------------------------------------------------------------


@given(
    shape=st.lists(st.integers(0, 5), max_size=3).map(tuple),
    dtype=st.sampled_from(["float16", "float32", "float64", "complex64"]),
    exponent=st.integers(-300, 300),
    turned=st.booleans(),
)
def test_norms_of_any_size(shape: tuple[int, ...], dtype: str, exponent: int, turned: bool) -> None:
    info = np.finfo(dtype)
    lowest, highest = np.log10(float(info.tiny)) + 2, np.log10(float(info.max)) - 2
    scale = 10.0 ** np.clip(exponent, lowest, highest)
    g = (np.random.default_rng(0).uniform(0.5, 1.0, shape) * scale).astype(dtype)
    g = g.T if turned else g
    (length,) = norms([g])
    assert_allclose(length / scale, np.linalg.norm((np.abs(g).astype(float) / scale).ravel()), rtol=1e-3)


def test_norms_of_large_arrays_are_exact() -> None:
    g = np.random.default_rng(0).standard_normal((512, 1024)).astype("float32")
    for array in (g, g.T, g.ravel(), np.asfortranarray(g)):
        assert_allclose(norms([array])[0], np.linalg.norm(g.astype(float)), rtol=1e-6)


@pytest.mark.parametrize("value", [3e38, 1e30, 1e-30, 1e-40])
def test_clipping_holds_for_huge_and_tiny_gradients(value: float) -> None:
    for option in ("clipnorm", "global_clipnorm"):
        w = Variable(np.zeros(4, "float32"))
        limit = 1e-2 * value
        g = np.array([value, 0, 0, -value], "float32")
        optimizers.SGD(1.0, **{option: limit}).apply([g], [w])
        expected = limit / np.sqrt(2) * np.array([-1, 0, 0, 1])
        assert_allclose(w.numpy(), expected, rtol=1e-2 if value == 1e-40 else 1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_among_huge_values(bad: float) -> None:
    w, b = Variable(np.zeros((3, 4), "float32"), name="w"), Variable(np.zeros(2, "float32"), name="b")
    huge = np.full((3, 4), 3e38, "float32")
    optimizer = optimizers.Adam()
    optimizer.apply([huge, np.zeros(2)], [w, b])
    wrong = huge.copy()
    wrong[2, 1] = bad
    with pytest.raises(optimizers.NonFiniteGradient, match="gradient of 'w'") as caught:
        optimizer.apply([wrong, np.zeros(2)], [w, b])
    assert caught.value.path == "w" and isinstance(caught.value, FloatingPointError)


def test_a_length_beyond_all_floats_is_no_false_alarm() -> None:
    w, huge = Variable(np.zeros(4), name="w"), np.full(4, 1.7e308)
    sgd = optimizers.SGD(1e-308)
    for _ in range(2):
        sgd.apply([huge], [w])
    assert_allclose(w.numpy(), -3.4, rtol=1e-12)
    assert optimizers.first_nonfinite([huge], [w]) is None


def test_a_mean_that_overflows_is_refused() -> None:
    w, sgd = Variable(np.zeros(2, "float32"), name="w"), optimizers.SGD(gradient_accumulation_steps=2)
    sgd.apply([np.full(2, 3e38)], [w])
    state = sgd.state()
    for _ in range(2):
        with pytest.raises(optimizers.NonFiniteGradient):
            sgd.apply([np.full(2, 3e38)], [w])
        assert w.tolist() == [0.0, 0.0] and same_state(sgd.state(), state)
    sgd.apply([np.full(2, -3e38)], [w])
    assert sgd.iterations == 1 and w.tolist() == [0.0, 0.0]
