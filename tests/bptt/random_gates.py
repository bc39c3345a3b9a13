"""Cells with gates put together at random, in all the ways in which sums of products and their columns are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bptt.problems import close, zeros_for_none

import tinygrad_rnn as tg
from tinygrad_rnn import ops

STYLES = ("split", "slices", "reshape", "unstack", "overlap", "sums of parts", "apart")
ACTIVATIONS: tuple[Callable[[Any], Any], ...] = (ops.sigmoid, ops.sigmoid, ops.tanh, ops.relu, lambda z: z)


class Gates:
    """A step with weights of its own, and what it is run on."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.batch, self.features, self.units = (
            int(n) for n in (rng.choice([1, 2, 5, 7]), *rng.integers(1, 5, 2))
        )
        self.states, self.inputs = (int(n) for n in rng.integers(1, 3, 2))
        self.weights: list[tg.Variable] = []
        self.layers = [self._layer(str(rng.choice(STYLES))) for _ in range(rng.integers(1, 4))]

    def _weight(self, *shape: int) -> tg.Variable:
        """A new one, or one that stands elsewhere already."""
        same = [w for w in self.weights if w.shape == shape]
        if same and self.rng.random() < 0.15:
            return same[int(self.rng.integers(len(same)))]
        value = 0.5 * self.rng.standard_normal(shape)
        self.weights.append(tg.Variable(value, dtype="float64", name=f"w{len(self.weights)}"))
        return self.weights[-1]

    def _sum(self, width: int) -> Callable[..., Any]:
        """A sum of products and biases, in any order, that begins with a product."""
        rng, terms = self.rng, []
        for _ in range(rng.integers(1, 4)):
            kind, size = ("x", self.features) if rng.random() < 0.3 else ("h", self.units)
            several = self.inputs if kind == "x" else self.states
            terms.append((kind if rng.random() < 0.9 else "low", int(rng.integers(several)), size, width))
        products = [
            (kind, k, self._weight(self.units if kind == "low" else size, w)) for kind, k, size, w in terms
        ]
        biases = [self._weight(width) for _ in range(rng.integers(0, 3))]
        order = 1 + rng.permutation(len(products) + len(biases) - 1)

        def total(given: dict[str, Any]) -> Any:
            values = [given[kind][k % len(given[kind])] @ w for kind, k, w in products] + biases
            found = values[0]
            for k in order:
                found = found + values[k] if k % 2 else values[k] + found
            return found

        return total

    def _layer(self, style: str) -> Callable[..., Any]:
        """Several gates and what becomes of them."""
        rng, H = self.rng, self.units
        count = int(rng.integers(2, 5))
        sums = (
            [self._sum(H) for _ in range(count)]
            if style == "apart"
            else [self._sum(count * H), self._sum(count * H)]
        )
        activations = [ACTIVATIONS[k] for k in rng.integers(0, len(ACTIVATIONS), count)]
        peepholes = [self._weight(H) if rng.random() < 0.3 else None for _ in range(count)]
        ones, order = rng.random(count) < 0.2, rng.permutation(count)

        def cut(given: dict[str, Any]) -> list[Any]:
            if style == "apart":
                return [total(given) for total in sums]
            z = sums[0](given)
            if style == "sums of parts":
                return [
                    a + b
                    for a, b in zip(*[ops.split(z, count, axis=1) for z in (z, sums[1](given))], strict=True)
                ]
            if style == "split":
                return list(ops.split(z, count, axis=-1))
            if style == "overlap":
                return [z[:, k * max(H - 1, 1) :][:, :H] for k in range(count)]
            if style == "slices":
                return [z[:, k * H : (k + 1) * H] for k in range(count)]
            z = z.reshape(-1, count, H)
            return list(ops.unstack(z, axis=1)) if style == "unstack" else [z[:, k] for k in range(count)]

        def layer(given: dict[str, Any]) -> Any:
            gates = cut(given)
            for k in order:
                if peepholes[k] is not None:
                    gates[k] = gates[k] + peepholes[k] * given["h"][0]
                gates[k] = activations[k](gates[k] + 1.0 if ones[k] else gates[k])
            found = gates[0]
            for k, gate in enumerate(gates[1:]):
                found = found * gate if k % 2 else ops.tanh(found + gate)
            return found

        return layer

    def step(self, x: Any, states: Any, constants: Any) -> Any:
        """The layers one after another; each sees what the one before has made."""
        given = {"x": list(x) if isinstance(x, tuple) else [x], "h": states, "low": states}
        found = []
        for layer in self.layers:
            found.append(layer(given))
            given["low"] = [ops.tanh(0.5 * found[-1])]
        return found[0], [ops.tanh(found[-1] + 0.3 * found[0] + 0.1 * k * s) for k, s in enumerate(states)]


def problem_of(seed: int) -> str:
    """What is wrong with derived mode for a cell; empty if nothing is."""
    gates = Gates(seed)
    shape = gates.batch, 4, gates.features
    xs = [gates.rng.standard_normal(shape) for _ in range(gates.inputs)]
    states = [gates.rng.standard_normal((gates.batch, gates.units)) for _ in range(gates.states)]
    try:
        for _ in range(2):
            close(*[_results(gates, xs, states, derive) for derive in (True, False)], rtol=1e-11)
    except (AssertionError, Warning) as error:
        return f"seed {seed}: {str(error)[:300]}"
    return ""


def _results(gates: Gates, xs: list[Any], states: list[Any], derive: bool) -> list[Any]:
    leaves = [tg.tensor(x, requires_grad=True) for x in xs]
    y, last = tg.scan(gates.step, tuple(leaves) if len(leaves) > 1 else leaves[0], states, derive=derive)
    loss = (y * y).sum()
    for state in last:
        loss = loss + (state * state * state).sum()
    wanted = [*gates.weights, *leaves]
    return [y, *last, *zeros_for_none(tg.grad(loss, wanted), wanted)]
