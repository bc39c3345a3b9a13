"""`Twin`: one network differentiated twice, by hand and by the engine; and what the twins are built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import config
from ..core.autodiff import grad
from ..core.op import Array
from ..core.tensor import Tensor, Variable
from .check import numeric_gradients
from .report import GradReport
from .three import compare_three

N_X, N_A, N_Y, M, T = 3, 4, 2, 2, 5  # inputs, hidden units, outputs, examples, time steps

Values = Mapping[str, Any]  # Variables, or their arrays, by name
Gradients = dict[str, Array]
ByHand = Callable[[Values, list[Array]], tuple[list[Array], Gradients]]


@dataclass(frozen=True)
class Twin:
    """One network, differentiated by hand and by the engine.

    `variables` are float64 leaves in the names and shapes of the hand derivation: weights, initial states,
    inputs. `loss_fn()` computes the scalar loss from them; `derivation(values)` gives the loss and all of its
    gradients by hand, from their arrays. Assign to the variables to move both. `constants` is what else the
    loss reads: labels, targets, or the cotangents of the outputs.

    >>> w = Variable(np.array([1.0, 3.0]), name="w")
    >>> by_hand = lambda p: (float((p["w"] ** 2).sum()), {"w": 2 * p["w"]})
    >>> twin = Twin("square", {"w": w}, lambda: (w * w).sum(), by_hand)
    >>> twin.gradients()["w"].tolist(), twin.manual_gradients()["w"].tolist()
    ([2.0, 6.0], [2.0, 6.0])
    """

    name: str
    variables: dict[str, Variable]
    loss_fn: Callable[[], Tensor]
    derivation: Callable[[Values], tuple[float, Gradients]]
    constants: tuple[Array, ...] = ()

    def values(self) -> Gradients:
        """The arrays that the variables hold now (read-only)."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def manual_loss(self) -> float:
        """The loss by hand, at the current values."""
        return self.derivation(self.values())[0]

    def manual_gradients(self) -> Gradients:
        """The gradients by hand, under the variables' names, at the current values."""
        gradients = self.derivation(self.values())[1]
        return {name: gradients[name] for name in self.variables}

    def gradients(self) -> Gradients:
        """The gradients by autodiff, under the variables' names, at the current values."""
        found = grad(self.loss_fn(), list(self.variables.values()))
        return {name: g.numpy() for name, g in zip(self.variables, found, strict=True)}

    def report(self) -> GradReport:
        """Four gradients side by side: by hand, by autodiff on the unrolled graph, by derived BPTT, by numbers.

        Leaves autodiff's in `.grad`.
        """
        numeric = numeric_gradients(self.loss_fn, self.variables)
        with config.derived():
            derived = self.gradients()
        for name, gradient in self.gradients().items():
            self.variables[name].grad = gradient
        return compare_three(
            self.manual_gradients, self.variables, numeric, derived=derived, loss_fn=self.loss_fn
        )


def weighted(
    name: str,
    variables: dict[str, Variable],
    outputs: Callable[[], list[Any]],
    by_hand: ByHand,
    rng: np.random.Generator,
) -> Twin:
    """A twin whose loss is `Σ ⟨d, output⟩` with fixed random d, one for every output.

    `by_hand(values, d)` gives the outputs and the gradients of that loss.

    >>> w = Variable(np.array([1.0, 3.0]), name="w")
    >>> by_hand = lambda p, d: ([p["w"] ** 2], {"dw": 2 * p["w"] * d[0]})
    >>> bool(weighted("square", {"w": w}, lambda: [w * w], by_hand, np.random.default_rng(0)).report())
    True
    """
    d = [rng.normal(size=output.shape) for output in outputs()]

    def derivation(p: Values) -> tuple[float, Gradients]:
        found, gradients = by_hand(p, d)
        return float(sum((a * b).sum() for a, b in zip(d, found, strict=True))), bare(gradients)

    def loss() -> Tensor:
        parts = [(a * b).sum() for a, b in zip(d, outputs(), strict=True)]
        return sum(parts[1:], parts[0])  # type: ignore[no-any-return]

    return Twin(name, variables, loss, derivation, tuple(d))


def leaves(rng: np.random.Generator, **shapes: tuple[int, ...]) -> dict[str, Variable]:
    """Random float64 leaves of the shapes given.

    >>> leaves(np.random.default_rng(0), W=(2, 3))["W"].shape
    (2, 3)
    """
    return {name: Variable(np.asarray(rng.normal(size=s) * 0.6), name=name) for name, s in shapes.items()}


def part(values: Values, name: str) -> dict[str, Any]:
    """The entries `name/…`, without the prefix.

    >>> part({"forward/W": 1, "backward/W": 2}, "backward")
    {'W': 2}
    """
    prefix = name + "/"
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def bare(gradients: Mapping[str, Any], prefix: str = "") -> Gradients:
    """The gradients of a hand derivation under the names of the parameters.

    >>> bare({"forward": {"dWax": 1}, "dx": 2})
    {'forward/Wax': 1, 'x': 2}
    """
    found: Gradients = {}
    for key, value in gradients.items():
        if isinstance(value, Mapping):
            found |= bare(value, f"{prefix}{key}/")
        else:
            found[prefix + key.removeprefix("d")] = value
    return found
