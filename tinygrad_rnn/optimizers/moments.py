"""Adam and its family: rules that follow means of gradients. w: weight, g: gradient, t: number of the step, from 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.op import Array
from .optimizer import Optimizer
from .rules import blend, moved


@dataclass(eq=False)
class Adam(Optimizer):
    """`m = β₁ m + (1 − β₁) g; v = β₂ v + (1 − β₂) g²; w −= α m / (√v + ε)` (Kingma & Ba 2015).

    `α = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ)`; ε is outside the root and not bias-corrected. `amsgrad`: the largest v so
    far in place of v (Reddi et al. 2018).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adam(0.25).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.75]
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def slots(self) -> dict[str, float]:
        """m and v; the largest v with amsgrad."""
        return {"m": 0.0, "v": 0.0} | ({"v_max": 0.0} if self.amsgrad else {})

    def update(
        self, w: Array, g: Array, lr: float, t: int, m: Array, v: Array, v_max: Array | None = None
    ) -> Array:
        """The new weight."""
        step = np.empty_like(w)
        blend(m, self.beta_1, g, step)
        blend(v, self.beta_2, np.multiply(g, g, out=step), step)
        np.sqrt(v if v_max is None else np.maximum(v_max, v, out=v_max), out=step)
        step += self.epsilon
        return moved(w, lr * math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t), m, step)


@dataclass(eq=False)
class AdamW(Adam):
    """Adam after a decay of the weights that is not part of the gradient (Loshchilov & Hutter 2019).

    >>> AdamW().weight_decay
    0.004
    """

    weight_decay: float | None = 0.004


@dataclass(eq=False)
class Adamax(Optimizer):
    """`m = β₁ m + (1 − β₁) g; u = max(β₂ u, |g|); w −= lr m / ((1 − β₁ᵗ) (u + ε))` (Kingma & Ba 2015).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Adamax(0.25).apply([[1.0]], [w]); w.numpy().round(3).tolist()
    [0.75]
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def slots(self) -> dict[str, float]:
        """m and u."""
        return {"m": 0.0, "u": 0.0}

    def update(self, w: Array, g: Array, lr: float, t: int, m: Array, u: Array) -> Array:
        """The new weight."""
        step = np.empty_like(w)
        blend(m, self.beta_1, g, step)
        u *= self.beta_2
        np.maximum(u, np.abs(g, out=step), out=u)
        np.add(u, self.epsilon, out=step)
        return moved(w, lr / (1.0 - self.beta_1**t), m, step)


@dataclass(eq=False)
class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016).

    `µₜ = β₁ (1 − 0.96ᵗ / 2)`, `P = µ₁ … µₜ`; m and v as in Adam; `m̂ = µₜ₊₁ m / (1 − P µₜ₊₁) + (1 − µₜ) g /
    (1 − P)`, `v̂ = v / (1 − β₂ᵗ)`; `w −= lr m̂ / (√v̂ + ε)`.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0])
    >>> Nadam(0.25).apply([[1.0]], [w]); bool(w.item() < 0.8)
    True
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    _product = (0, 1.0)  # a step t, and P at it

    def slots(self) -> dict[str, float]:
        """m and v."""
        return {"m": 0.0, "v": 0.0}

    def _mu(self, t: int) -> float:
        return self.beta_1 * (1.0 - 0.5 * float(0.96**t))

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
        blend(m, self.beta_1, g, step)
        blend(v, self.beta_2, np.multiply(g, g, out=step), step)
        m_hat = m * (mu_next / (1.0 - product * mu_next)) + g * ((1.0 - mu) / (1.0 - product))
        np.divide(v, 1.0 - self.beta_2**t, out=step)
        np.sqrt(step, out=step)
        step += self.epsilon
        return moved(w, lr, m_hat, step)


@dataclass(eq=False)
class Lion(Optimizer):
    """`w −= lr sign(β₁ m + (1 − β₁) g)`, then `m = β₂ m + (1 − β₂) g` (Chen et al. 2023).

    >>> from tinygrad_rnn import Variable
    >>> w = Variable([1.0, 1.0])
    >>> Lion(0.25).apply([[7.0, -0.1]], [w]); w.tolist()
    [0.75, 1.25]
    """

    beta_1: float = 0.9
    beta_2: float = 0.99

    def slots(self) -> dict[str, float]:
        """m."""
        return {"m": 0.0}

    def update(self, w: Array, g: Array, lr: float, t: int, m: Array) -> Array:
        """The new weight."""
        step, work = m * self.beta_1, g * (1.0 - self.beta_1)
        step += work
        np.sign(step, out=step)
        step *= lr
        blend(m, self.beta_2, g, work)
        new: Array = np.subtract(w, step, out=step)
        return new
