"""The update rules. w: weight, g: gradient, lr: learning rate, t: number of the step, from 1.

An optimizer is its arguments, the arrays it keeps for each weight, and the formula. The formula makes one new
array, which becomes the weight, and works in it: a pass over memory costs more than the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.op import Array
from .optimizer import Optimizer
from .rate import Rate


def blend(average: Array, beta: float, value: Array, work: Array) -> Array:
    """`average = β · average + (1 − β) · value`, in place; `work` is an array to work in, or `value` itself.

    >>> blend(np.array([2.0]), 0.5, np.array([4.0]), np.empty(1))
    array([3.])
    """
    np.multiply(value, 1.0 - beta, out=work)
    average *= beta
    average += work
    return average


def root(value: Array, inside: float, work: Array) -> Array:
    """`√(value + inside)`, in `work`."""
    np.add(value, inside, out=work)
    return np.sqrt(work, out=work)


def moved(w: Array, factor: float, direction: Array, length: Array) -> Array:
    """`w − factor · direction / length`, in `length`."""
    np.divide(direction, length, out=length)
    length *= factor
    return np.subtract(w, length, out=length)


@dataclass(eq=False)
class SGD(Optimizer):
    """Gradient descent: `w −= lr g`; with momentum µ: `v = µ v − lr g; w += v`, nesterov: `w += µ v − lr g`.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> SGD(0.5).apply([[1.0]], [w]); w.tolist()
    [0.5]
    """

    learning_rate: Any = Rate(0.01)
    momentum: float = 0.0
    nesterov: bool = False

    def slots(self) -> dict[str, float]:
        """v, with momentum."""
        return {"v": 0.0} if self.momentum else {}

    def update(self, w: Array, g: Array, lr: float, t: int, v: Array | None = None) -> Array:
        """The new weight."""
        step = np.multiply(g, lr)
        if v is None:
            return np.subtract(w, step, out=step)
        v *= self.momentum
        v -= step
        if not self.nesterov:
            return np.add(w, v, out=step)
        np.subtract(w, step, out=step)
        step += self.momentum * v
        return step


@dataclass(eq=False)
class RMSprop(Optimizer):
    """`v = ρ v + (1 − ρ) g²; w −= lr g / √(v + ε)` (Tieleman & Hinton 2012); ε inside the root.

    `centered`: v − a² in place of v, with `a = ρ a + (1 − ρ) g`. `momentum` µ: `m = µ m + step; w −= m`.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> RMSprop(0.1).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.6840000152587891]
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def slots(self) -> dict[str, float]:
        """v; m with momentum; a if centered."""
        return {"v": 0.0} | ({"m": 0.0} if self.momentum else {}) | ({"a": 0.0} if self.centered else {})

    def update(
        self, w: Array, g: Array, lr: float, t: int, v: Array, m: Array | None = None, a: Array | None = None
    ) -> Array:
        """The new weight."""
        step = np.multiply(g, g)
        blend(v, self.rho, step, step)
        if a is not None:
            blend(a, self.rho, g, step)
            np.multiply(a, a, out=step)
            np.subtract(v, step, out=step)
            np.maximum(step, 0.0, out=step)  # v ≥ a², but for rounding
        root(v if a is None else step, self.epsilon, step)
        if m is None:
            return moved(w, lr, g, step)
        np.divide(g, step, out=step)
        step *= lr
        m *= self.momentum
        m += step
        return np.subtract(w, m, out=step)


@dataclass(eq=False)
class Adagrad(Optimizer):
    """`a += g²; w −= lr g / √(a + ε)`, a starts at `initial_accumulator_value` (Duchi et al. 2011).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adagrad(0.5, initial_accumulator_value=0.0).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.5]
    """

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        """a."""
        return {"a": self.initial_accumulator_value}

    def update(self, w: Array, g: Array, lr: float, t: int, a: Array) -> Array:
        """The new weight."""
        step = np.multiply(g, g)
        a += step
        return moved(w, lr, g, root(a, self.epsilon, step))


@dataclass(eq=False)
class Adadelta(Optimizer):
    """`E = ρ E + (1 − ρ) g²; d = −g √(D + ε) / √(E + ε); D = ρ D + (1 − ρ) d²; w += lr d` (Zeiler 2012).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adadelta(1.0).apply([[1.0]], [w]); bool(0.998 < w.item() < 0.999)
    True
    """

    rho: float = 0.95
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        """E and D."""
        return {"E": 0.0, "D": 0.0}

    def update(self, w: Array, g: Array, lr: float, t: int, E: Array, D: Array) -> Array:
        """The new weight."""
        step = np.multiply(g, g)
        blend(E, self.rho, step, step)
        d = g * np.sqrt(D + self.epsilon)  # minus d of the formula
        d /= root(E, self.epsilon, step)
        np.multiply(d, d, out=step)
        blend(D, self.rho, step, step)
        d *= lr
        new: Array = np.subtract(w, d, out=d)
        return new


@dataclass(eq=False)
class Rprop(Optimizer):
    """Resilient backpropagation: a step size per weight; only the sign of g counts (Riedmiller & Braun 1993).

    `Δ` starts at the learning rate and is multiplied by `etas[1]` where sign g is what it was at the last
    step, by `etas[0]` elsewhere; `w −= Δ sign g`. Before the first step the sign counts as 0.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Rprop(0.5).apply([[123.0]], [w]); w.tolist()
    [0.75]
    """

    etas: tuple[float, float] = (0.5, 1.2)

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        low, high = self.etas
        if not 0 < low < 1 < high:
            raise ValueError(f"etas: expected 0 < etas[0] < 1 < etas[1], received {self.etas!r}")

    def slots(self) -> dict[str, float]:
        """The last sign, and Δ."""
        return {"sign": 0.0, "delta": self.learning_rate}

    def update(self, w: Array, g: Array, lr: float, t: int, sign: Array, delta: Array) -> Array:
        """The new weight."""
        low, high = self.etas
        now = np.sign(g)
        delta *= np.where(now == sign, high, low)
        sign[...] = now
        new: Array = w - now * delta
        return new


@dataclass(eq=False)
class Ftrl(Optimizer):
    """Follow the regularized leader: weights that L1 sets to exactly 0 (McMahan et al. 2013).

    `n' = n + g²; z += g + 2 s w − (n'^−p − n^−p) w / lr; w = (clip(z, ±l₁) − z) / (n'^−p / lr + 2 l₂ + β / lr)`
    with p the `learning_rate_power`, s the `l2_shrinkage_regularization_strength`; n starts at
    `initial_accumulator_value`. A learning rate of 0 changes nothing. Raises `FloatingPointError` if n outgrows
    the float type.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Ftrl(0.5, l1_regularization_strength=9.0).apply([[1.0]], [w]); w.tolist()
    [0.0]
    """

    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    def slots(self) -> dict[str, float]:
        """n and z."""
        return {"n": self.initial_accumulator_value, "z": 0.0}

    def update(self, w: Array, g: Array, lr: float, t: int, n: Array, z: Array) -> Array:
        """The new weight."""
        if lr == 0:
            return w.copy()
        power, l1 = -self.learning_rate_power, self.l1_regularization_strength
        before = n**power
        n += g * g
        if not np.isfinite(n).all():
            raise FloatingPointError(
                f"{self.name}: the sum of g² outgrew {n.dtype}; clip the gradients (clipnorm)"
            )
        after = n**power
        z += g + 2.0 * self.l2_shrinkage_regularization_strength * w - (after - before) / lr * w
        quadratic = after / lr + (2.0 * self.l2_regularization_strength + self.beta / lr)
        new: Array = (np.clip(z, -l1, l1) - z) / quadratic
        return new
