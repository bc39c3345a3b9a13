"""The update rules. w: weight, g: gradient, lr: learning rate, t: number of the step, from 1.

Each rule makes one new array, which becomes the weight, and works in it: a pass over memory costs more than
the arithmetic.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..core.op import Array
from .optimizer import Optimizer


def _blend(average: Array, beta: float, value: Array, work: Array) -> None:
    """`average = beta · average + (1 − beta) · value`, in place."""
    np.multiply(value, 1.0 - beta, out=work)
    average *= beta
    average += work


class SGD(Optimizer):
    """Gradient descent: `w −= lr g`; with momentum µ: `v = µ v − lr g; w += v`, nesterov: `w += µ v − lr g`.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> SGD(0.5).apply([[1.0]], [w]); w.tolist()
    [0.5]
    """

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **options: Any
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum: expected a number in [0, 1], received {momentum!r}")
        self.momentum = momentum
        self.nesterov = nesterov
        self.slots = ("v",) if momentum else ()

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


class RMSprop(Optimizer):
    """`v = ρ v + (1 − ρ) g²; w −= lr g / √(v + ε)` (Tieleman & Hinton 2012); ε inside the root.

    `centered`: v − a² in place of v, with `a = ρ a + (1 − ρ) g`. `momentum` µ: `m = µ m + step; w −= m`.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> RMSprop(0.1).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.6840000152587891]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered
        self.slots = ("v",) + ("m",) * bool(momentum) + ("a",) * bool(centered)

    def update(
        self, w: Array, g: Array, lr: float, t: int, v: Array, m: Array | None = None, a: Array | None = None
    ) -> Array:
        """The new weight."""
        step = np.multiply(g, g)
        _blend(v, self.rho, step, step)
        if a is None:
            np.add(v, self.epsilon, out=step)
        else:
            _blend(a, self.rho, g, step)
            np.multiply(a, a, out=step)
            np.subtract(v, step, out=step)
            np.maximum(step, 0.0, out=step)  # v ≥ a², but for rounding
            step += self.epsilon
        np.sqrt(step, out=step)
        np.divide(g, step, out=step)
        step *= lr
        if m is not None:
            m *= self.momentum
            m += step
        return np.subtract(w, step if m is None else m, out=step)


class Adam(Optimizer):
    """`m = β₁ m + (1 − β₁) g; v = β₂ v + (1 − β₂) g²; w −= α m / (√v + ε)` (Kingma & Ba 2015).

    `α = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ)`; ε is outside the root and not bias-corrected. `amsgrad`: the largest v so
    far in place of v (Reddi et al. 2018).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adam(0.25).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.75]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad
        self.slots = ("m", "v", "v_max") if amsgrad else ("m", "v")

    def update(
        self, w: Array, g: Array, lr: float, t: int, m: Array, v: Array, v_max: Array | None = None
    ) -> Array:
        """The new weight."""
        alpha = lr * math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        step = np.empty_like(w)
        _blend(m, self.beta_1, g, step)
        np.multiply(g, g, out=step)
        _blend(v, self.beta_2, step, step)
        np.sqrt(v if v_max is None else np.maximum(v_max, v, out=v_max), out=step)
        step += self.epsilon
        np.divide(m, step, out=step)
        step *= alpha
        return np.subtract(w, step, out=step)


class AdamW(Adam):
    """Adam after a decay of the weights that is not part of the gradient (Loshchilov & Hutter 2019).

    >>> AdamW().weight_decay
    0.004
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )


class Adamax(Optimizer):
    """`m = β₁ m + (1 − β₁) g; u = max(β₂ u, |g|); w −= lr m / ((1 − β₁ᵗ) (u + ε))` (Kingma & Ba 2015).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adamax(0.25).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.75]
    """

    slots = ("m", "u")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def update(self, w: Array, g: Array, lr: float, t: int, m: Array, u: Array) -> Array:
        """The new weight."""
        step = np.empty_like(w)
        _blend(m, self.beta_1, g, step)
        u *= self.beta_2
        np.maximum(u, np.abs(g, out=step), out=u)
        np.add(u, self.epsilon, out=step)
        np.divide(m, step, out=step)
        step *= lr / (1.0 - self.beta_1**t)
        return np.subtract(w, step, out=step)


class Nadam(Adamax):
    """Adam with Nesterov's momentum (Dozat 2016).

    `µₜ = β₁ (1 − 0.96ᵗ / 2)`, `P = µ₁ … µₜ`; m and v as in Adam; `m̂ = µₜ₊₁ m / (1 − P µₜ₊₁) + (1 − µₜ) g /
    (1 − P)`, `v̂ = v / (1 − β₂ᵗ)`; `w −= lr m̂ / (√v̂ + ε)`.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Nadam(0.25).apply([[1.0]], [w]); bool(w.item() < 0.8)
    True
    """

    slots = ("m", "v")
    _product: tuple[int, float] = (0, 1.0)

    def _mu(self, t: int) -> float:
        return float(self.beta_1 * (1.0 - 0.5 * 0.96**t))

    def _product_at(self, t: int) -> float:
        """P, from the last step where possible; from the start otherwise (a state was loaded)."""
        last, product = self._product if self._product[0] <= t else (0, 1.0)
        for i in range(last + 1, t + 1):
            product *= self._mu(i)
        self._product = (t, product)
        return product

    def update(self, w: Array, g: Array, lr: float, t: int, m: Array, v: Array) -> Array:
        """The new weight."""
        product, mu, mu_next = self._product_at(t), self._mu(t), self._mu(t + 1)
        step = np.empty_like(w)
        _blend(m, self.beta_1, g, step)
        np.multiply(g, g, out=step)
        _blend(v, self.beta_2, step, step)
        m_hat = m * (mu_next / (1.0 - product * mu_next)) + g * ((1.0 - mu) / (1.0 - product))
        np.divide(v, 1.0 - self.beta_2**t, out=step)
        np.sqrt(step, out=step)
        step += self.epsilon
        np.divide(m_hat, step, out=step)
        step *= lr
        return np.subtract(w, step, out=step)


class Adagrad(Optimizer):
    """`a += g²; w −= lr g / √(a + ε)`, a starts at `initial_accumulator_value` (Duchi et al. 2011).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adagrad(0.5, initial_accumulator_value=0.0).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.5]
    """

    slots = ("a",)
    initial: ClassVar[dict[str, str]] = {"a": "initial_accumulator_value"}

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def update(self, w: Array, g: Array, lr: float, t: int, a: Array) -> Array:
        """The new weight."""
        step = np.multiply(g, g)
        a += step
        np.add(a, self.epsilon, out=step)
        np.sqrt(step, out=step)
        np.divide(g, step, out=step)
        step *= lr
        return np.subtract(w, step, out=step)


class Adadelta(Optimizer):
    """`E = ρ E + (1 − ρ) g²; d = −g √(D + ε) / √(E + ε); D = ρ D + (1 − ρ) d²; w += lr d` (Zeiler 2012).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adadelta(1.0).apply([[1.0]], [w]); bool(0.998 < w.item() < 0.999)
    True
    """

    slots = ("E", "D")

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **options: Any
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.epsilon = epsilon

    def update(self, w: Array, g: Array, lr: float, t: int, E: Array, D: Array) -> Array:
        """The new weight."""
        step = np.multiply(g, g)
        _blend(E, self.rho, step, step)
        d = g * np.sqrt(D + self.epsilon)  # minus d of the formula
        np.add(E, self.epsilon, out=step)
        d /= np.sqrt(step, out=step)
        np.multiply(d, d, out=step)
        _blend(D, self.rho, step, step)
        d *= lr
        new: Array = np.subtract(w, d, out=d)
        return new


class Rprop(Optimizer):
    """Resilient backpropagation: a step size per weight; only the sign of g counts (Riedmiller & Braun 1993).

    `Δ` starts at the learning rate and is multiplied by `etas[1]` where sign g is what it was at the last
    step, by `etas[0]` elsewhere; `w −= Δ sign g`. Before the first step the sign counts as 0.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Rprop(0.5).apply([[123.0]], [w]); w.tolist()
    [0.75]
    """

    slots = ("sign", "delta")
    initial: ClassVar[dict[str, str]] = {"delta": "learning_rate"}

    def __init__(
        self, learning_rate: Any = 0.001, etas: tuple[float, float] = (0.5, 1.2), **options: Any
    ) -> None:
        super().__init__(learning_rate, **options)
        low, high = etas
        if not 0 < low < 1 < high:
            raise ValueError(f"etas: expected 0 < etas[0] < 1 < etas[1], received {etas!r}")
        self.etas = (low, high)

    def update(self, w: Array, g: Array, lr: float, t: int, sign: Array, delta: Array) -> Array:
        """The new weight."""
        low, high = self.etas
        now = np.sign(g)
        delta *= np.where(now == sign, high, low)
        sign[...] = now
        new: Array = w - now * delta
        return new
