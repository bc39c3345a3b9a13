"""Gradients at kinks, and infinities in the branch that `where` did not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from leaves import close, leaf

import tinygrad_rnn as tg
from tinygrad_rnn import ops


def gradient_at(f: Callable[[Any], Any], value: Any) -> Any:
    x = leaf(value)
    f(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("f", "x", "want"),
    [
        (ops.abs, [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]),
        (ops.relu, [-2.0, 0.0, 2.0], [0.0, 0.0, 1.0]),
        (ops.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (ops.min, [1.0, 1.0, 3.0], [0.5, 0.5, 0.0]),
        (lambda x: ops.maximum(x, 0.0), [-1.0, 0.0, 1.0], [0.0, 0.5, 1.0]),
        (lambda x: ops.minimum(x, 0.0), [-1.0, 0.0, 1.0], [1.0, 0.5, 0.0]),
        (lambda x: ops.maximum(x, x), [1.0], [1.0]),
        (lambda x: ops.clip(x, 0.0, 1.0), [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
        (ops.sign, [-1.0, 2.0], None),
        (ops.norm, [0.0, 0.0], [0.0, 0.0]),
        (ops.norm, [3.0, 4.0], [0.6, 0.8]),
        (lambda x: x**2, [0.0, 3.0], [0.0, 6.0]),
        (lambda x: x**0, [0.0, 3.0], [0.0, 0.0]),
        (lambda x: x**1, [0.0, -3.0], [1.0, 1.0]),
        (lambda x: x**3, [0.0, -2.0], [0.0, 12.0]),
        (lambda x: 0.0**x, [1.0, 2.0], [0.0, 0.0]),
    ],
)
def test_kinks(f: Any, x: Any, want: Any) -> None:
    if want is None:
        assert not f(leaf(x)).requires_grad
    else:
        close(gradient_at(f, x), want)


GUARDED: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "sqrt": (lambda x: ops.where(x > 0, ops.sqrt(x), 0.0), [0.0, 4.0]),
    "sqrt of negative": (lambda x: ops.where(x > 0, ops.sqrt(x), x), [-1.0, 4.0]),
    "rsqrt": (lambda x: ops.where(x > 0, ops.rsqrt(x), 0.0), [0.0, 4.0]),
    "log": (lambda x: ops.where(x > 0, ops.log(x), 0.0), [0.0, 2.0]),
    "log2": (lambda x: ops.where(x > 0, ops.log2(x), 0.0), [0.0, 2.0]),
    "log10": (lambda x: ops.where(x > 0, ops.log10(x), 0.0), [0.0, 2.0]),
    "log1p": (lambda x: ops.where(x > -1, ops.log1p(x), 0.0), [-1.0, 2.0]),
    "reciprocal": (lambda x: ops.where(x != 0, ops.reciprocal(x), 0.0), [0.0, 2.0]),
    "1 / x": (lambda x: ops.where(x != 0, 1 / x, 0.0), [0.0, 2.0]),
    "x / x": (lambda x: ops.where(x != 0, x / x, 0.0), [0.0, 2.0]),
    "power": (lambda x: ops.where(x > 0, x**0.5, 0.0), [0.0, 4.0]),
    "negative power": (lambda x: ops.where(x != 0, x**-1.0, 0.0), [0.0, 4.0]),
    "x ** x": (lambda x: ops.where(x > 0, x**x, 0.0), [0.0, 2.0]),
    "arccos": (lambda x: ops.where(abs(x) < 1, ops.arccos(x), 0.0), [1.0, 0.5]),
    "arcsin": (lambda x: ops.where(abs(x) < 1, ops.arcsin(x), 0.0), [-1.0, 0.5]),
    "arctanh": (lambda x: ops.where(abs(x) < 1, ops.arctanh(x), 0.0), [1.0, 0.5]),
    "exp overflow": (lambda x: ops.where(x < 100, ops.exp(x), 0.0), [1e4, 1.0]),
    "expm1 overflow": (lambda x: ops.where(x < 100, ops.expm1(x), 0.0), [1e4, 1.0]),
    "exp of exp": (lambda x: ops.where(x < 1, ops.exp(ops.exp(x)), 0.0), [1e3, 0.5]),
    "sinh overflow": (lambda x: ops.where(x < 100, ops.sinh(x), 0.0), [1e4, 1.0]),
    "cosh overflow": (lambda x: ops.where(x < 100, ops.cosh(x), 0.0), [1e4, 1.0]),
    "sin of inf": (lambda x: ops.where(x < 100, ops.sin(ops.exp(x)), 0.0), [1e4, 1.0]),
    "cos of inf": (lambda x: ops.where(x < 100, ops.cos(ops.exp(x)), 0.0), [1e4, 1.0]),
    "mod by 0": (lambda x: ops.where(x != 0, ops.mod(5.0, x), 0.0), [0.0, 2.0]),
    "tan overflow": (lambda x: ops.where(x < 10, ops.tan(ops.exp(x)), 0.0), [1e4, 0.5]),
    "sqrt of square": (lambda x: ops.where(x != 0, ops.sqrt(x * x), 0.0), [0.0, 2.0]),
}


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_where_keeps_nan_of_the_other_branch_out(name: str) -> None:
    """The element in the branch not taken has gradient 0 (or the taken branch's), the other one its own."""
    f, x = GUARDED[name]
    got, alone = gradient_at(f, x), gradient_at(f, x[1:])
    assert np.isfinite(got).all() and got[1] == alone[0]
    assert got[0] == (1.0 if name == "sqrt of negative" else 0.0)
    if name in ("reciprocal", "rsqrt", "tan overflow"):
        return  # their second derivative multiplies 0 by the infinite y
    t = leaf(x)
    g = tg.grad(f(t).sum(), t, create_graph=True)
    second = np.zeros(2) if not g.requires_grad else np.asarray(tg.grad(g.sum(), t))
    assert np.isfinite(second).all()


def test_x_over_its_norm_at_zero() -> None:
    def unit(x: Any) -> Any:
        n = ops.norm(x)
        return ops.where(n > 0, x / n, 0.0)

    assert gradient_at(unit, [0.0, 0.0]) == [0.0, 0.0]
    close(gradient_at(lambda x: unit(x) * np.array([1.0, 0.0]), [3.0, 4.0]), [0.128, -0.096])


@pytest.mark.parametrize("derive", [False, True])
def test_second_derivatives_by_a_factor_of_0_behind_a_where(derive: bool) -> None:
    """In a masked recurrence from a state of zeros, the cotangent of `b + 1` is 0, but not by a branch not taken."""
    h, b = leaf(np.zeros((2, 1))), leaf([1.0])
    mask = np.array([[True, True], [True, False]])

    def step(x: Any, states: Any, constants: Any) -> Any:
        new = states[0] * (b + 1.0) + x
        return new, [new]

    _, (last,) = tg.scan(step, np.zeros((2, 2, 1)), [h], mask=mask, derive=derive)
    (slope,) = tg.grad(
        last.sum(), [b], create_graph=True
    )  # 2 (b + 1) h of the first example, h of the second
    (by_h,) = tg.grad(slope.sum(), [h])
    assert by_h.tolist() == [[4.0], [1.0]]
