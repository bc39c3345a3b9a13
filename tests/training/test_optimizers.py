"""Optimizers: five steps against formulas and Keras; Rprop bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optimizer_cases import COMMON, RULES, gradients, run, weights

from tinygrad_rnn import Variable, optimizers
from tinygrad_rnn.manual import linear_rnn

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
    ("Lion", {"beta_1": 0.8, "beta_2": 0.7}),
    ("Ftrl", {"learning_rate": 0.1}),
    ("Ftrl", {"l1_regularization_strength": 0.3, "l2_regularization_strength": 0.1, "beta": 0.2}),
    ("Ftrl", {"l2_shrinkage_regularization_strength": 0.2, "learning_rate_power": -0.3}),
]


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
        elif name == "Lion":
            w = w - lr * np.sign(b1 * m + (1 - b1) * g)
            m = b2 * m + (1 - b2) * g
        elif name == "Ftrl":
            p, l1 = -o.get("learning_rate_power", -0.5), o.get("l1_regularization_strength", 0.0)
            l2 = o.get("l2_regularization_strength", 0.0) + o.get("beta", 0.0) / (2 * lr)
            sigma = ((acc + g**2) ** p - acc**p) / lr
            v = v + g + 2 * o.get("l2_shrinkage_regularization_strength", 0.0) * w - sigma * w
            acc = acc + g**2
            w = np.where(np.abs(v) <= l1, 0.0, (np.sign(v) * l1 - v) / (acc**p / lr + 2 * l2))
    return w


def test_every_rule_has_a_variant() -> None:
    assert set(RULES) == {n for n, _ in VARIANTS} | {"Rprop"}


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


@pytest.fixture
def keras64(keras: Any) -> Iterator[Any]:
    keras.config.set_floatx("float64")
    yield keras
    keras.config.set_floatx("float32")


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras on NumPy 2
@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("common", COMMON, ids=[", ".join(c) for c in COMMON])
def test_every_option_against_keras(
    keras64: Any, name: str, options: dict[str, Any], common: dict[str, Any]
) -> None:
    keras, options = keras64, options | common
    ours, theirs = getattr(optimizers, name)(**options), dict(options)
    rate = options.get("learning_rate")
    if isinstance(rate, optimizers.schedules.LearningRateSchedule):
        theirs["learning_rate"] = getattr(keras.optimizers.schedules, type(rate).__name__)(
            **rate.get_config()
        )
    other = getattr(keras.optimizers, name)(**theirs)
    mine = weights()
    foreign = [keras.Variable(v.numpy().copy(), dtype="float64") for v in mine]
    tolerance = 1e-7 if any("clipnorm" in key for key in common) else 1e-9  # Keras's norms are float32
    for grads in gradients(6):
        other.apply([keras.ops.convert_to_tensor(g) for g in grads], foreign)
        ours.apply(grads, mine)
        for a, b in zip(mine, foreign, strict=True):
            assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)
    assert ours.iterations == int(other.iterations)
    ours.finalize_variable_values(mine)
    other.finalize_variable_values(foreign)
    for a, b in zip(mine, foreign, strict=True):
        assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


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
