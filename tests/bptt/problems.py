"""Every cell with numbers to run it on, and the comparison of derived with unrolled results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bptt import (
    gate_cells,
    hard_cells,
    known_cells,
    odd_cells,
    op_cells,
    product_cells,
    row_cells,
    wiring_cells,
)
from bptt.cells import Cell, M

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.compose import compose
from tinygrad_rnn.bptt.step.tracer import trace
from tinygrad_rnn.config import switched
from tinygrad_rnn.ops import convert_to_tensor

FUNCTIONS: dict[str, tuple[Callable[..., Any], Cell]] = {
    f.__name__: (f, cell)
    for module in (
        known_cells,
        wiring_cells,
        op_cells,
        row_cells,
        gate_cells,
        product_cells,
        hard_cells,
        odd_cells,
    )
    for f, cell in module.CELLS.items()
}
every_cell = pytest.mark.parametrize("name", sorted(FUNCTIONS))


class Step:
    """The function of a cell with its weights."""

    def __init__(self, name: str, weights: dict[str, Any]) -> None:
        self.f, self.w = FUNCTIONS[name][0], SimpleNamespace(**weights)

    def __call__(self, x: Any, states: Any, constants: Any) -> Any:
        return self.f(self.w, x, states, constants)


@dataclass
class Problem:
    """A cell with everything that it is run on."""

    step: Step
    xs: list[Any]
    states: list[Any]
    weights: dict[str, Any]
    constants: list[Any]

    @property
    def leaves(self) -> list[tg.Tensor]:
        """Everything that has a gradient."""
        found = [*self.xs, *self.states, *self.weights.values(), *self.constants]
        return [t for t in found if isinstance(t, tg.Tensor) and t.requires_grad]

    def run(self, **options: Any) -> tuple[list[tg.Tensor], list[tg.Tensor]]:
        """Outputs, last states."""
        xs = tuple(self.xs) if len(self.xs) > 1 else self.xs[0]
        outputs, last = tg.scan(self.step, xs, self.states, self.constants, **options)
        return list(outputs) if isinstance(outputs, tuple) else [outputs], last

    def composed(self, *off: str, naming: bool = True) -> str:
        """The source for this batch size, without some passes: as it is written, not tried out."""
        xs = [(t._data[:, 0], True) for t in map(convert_to_tensor, self.xs)]
        states = [(t._data, True) for t in map(convert_to_tensor, self.states)]
        with switched(grad=True, monitor=None), tg.bptt.without(*off) if off else nullcontext():
            return compose(trace(self.step, xs, states, self.constants, len(self.xs) > 1, naming), True)[0]

    def alone(self, name: str, k: int) -> Problem:
        """The same, where only the leaf of number `k` has a gradient."""
        others = {id(leaf) for i, leaf in enumerate(self.leaves) if i != k}

        def detached(values: Any) -> list[Any]:
            return [v.detach() if id(v) in others else v for v in values]

        weights = dict(zip(self.weights, detached(self.weights.values()), strict=True))
        step = Step(name, weights)
        return Problem(step, detached(self.xs), detached(self.states), weights, detached(self.constants))


def problem(
    name: str, batch: int = 2, steps: int = 4, dtype: str = "float64", seed: int = 0, tracked: bool = True
) -> Problem:
    """The same numbers for the same arguments."""
    cell, rng = FUNCTIONS[name][1], np.random.default_rng(seed)

    def leaf(shape: Sequence[int], scale: float = 0.7, name: str | None = None) -> tg.Tensor:
        return tg.tensor(scale * rng.standard_normal(shape), dtype, requires_grad=tracked, name=name)

    def sequence(shape: Any) -> Any:
        if shape == "ids":
            return rng.integers(0, M, (batch, steps))
        return rng.random((batch, steps, 1)) < 0.6 if shape == "flags" else leaf((batch, steps, *shape), 1.0)

    def state(shape: Any) -> Any:
        kinds = {"count": np.int64, "done": np.bool_}
        return np.zeros((batch, 1), kinds[shape]) if shape in kinds else leaf((batch, *shape), 0.5)

    weights = {n: leaf(s, name=n) for n, s in cell.weights.items()}
    xs, states = [sequence(s) for s in cell.xs], [state(s) for s in cell.states]
    return Problem(Step(name, weights), xs, states, weights, [leaf((batch, *s)) for s in cell.constants])


class Result:
    """Outputs and last states of a run, and the gradients of everything."""

    def __init__(self, p: Problem, **options: Any) -> None:
        self.p = p
        outputs, last = p.run(**options)
        self.values = [*outputs, *last]
        rng = np.random.default_rng(5)
        self.cotangents = [rng.standard_normal(v.shape).astype(v.dtype) for v in self.values]
        self.ends = [i for i, v in enumerate(self.values) if v.requires_grad and v.dtype.kind == "f"]

    def gradients(self, **options: Any) -> list[Any]:
        """In the order of the leaves; zeros where nothing arrives."""
        leaves = self.p.leaves
        found = tg.grad(
            [self.values[i] for i in self.ends], leaves, [self.cotangents[i] for i in self.ends], **options
        )
        return zeros_for_none(found, leaves)

    def everything(self, **options: Any) -> list[Any]:
        """Values and gradients."""
        return [*self.values, *(self.gradients(**options) if self.ends else [])]


def zeros_for_none(found: Any, leaves: Any) -> list[Any]:
    """Gradients where those that did not arrive are zeros."""
    pairs = zip(found, leaves, strict=True)
    return [tg.tensor(np.zeros(leaf.shape, leaf.dtype)) if g is None else g for g, leaf in pairs]


def layer_agrees(layer: Any, x: Any, rtol: float = 1e-12) -> None:
    """A layer's outputs and the gradients of its weights: derived equal to unrolled."""
    found = []
    for mode in (tg.derived, tg.unrolled):
        with mode():
            y = layer(x)
            found.append([y, *tg.grad((y * y).sum(), layer.trainable_weights)])
    close(*found, rtol=rtol)


def close(got: list[Any], want: list[Any], rtol: float = 1e-12) -> None:
    """Relative to the largest element of everything compared."""
    found, right = [np.asarray(g) for g in got], [np.asarray(w) for w in want]
    scale = max([1.0, *(float(np.abs(w.astype(float)).max(initial=0.0)) for w in right)])
    assert [(g.shape, g.dtype) for g in found] == [(w.shape, w.dtype) for w in right]
    for i, (g, w) in enumerate(zip(found, right, strict=True)):
        atol = rtol * scale if g.dtype.kind == "f" else 0
        np.testing.assert_allclose(g, w, rtol=0, atol=atol, err_msg=f"number {i}")


def is_derived(t: tg.Tensor) -> bool:
    """Whether a recurrence in one node is among what it was computed from."""
    stack: list[Any] = [t._node]
    seen = set()
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        if node.op.name == "scan":
            return True
        seen.add(id(node))
        stack.extend(node.inputs or ())
    return False


def agree(
    name: str, batch: int = 2, steps: int = 4, dtype: str = "float64", rtol: float = 1e-12, **options: Any
):
    """Derived and unrolled mode give the same values and gradients."""
    derived = Result(problem(name, batch, steps, dtype), derive=True, **options)
    unrolled = Result(problem(name, batch, steps, dtype), derive=False, **options)
    assert any(is_derived(v) for v in derived.values)
    close(derived.everything(), unrolled.everything(), rtol)


def same_bits_without(name: str, off: str, batch: int) -> None:
    """A pass that only rearranges changes no bit, also in a second run, in the memory of the first."""
    p = problem(name, batch, 4)
    if p.composed() == p.composed(off):
        return  # it has nothing to do here
    first = Result(p, derive=True)
    found = [first.everything(), Result(problem(name, batch, 4), derive=True).everything()]
    with tg.bptt.without(off):
        want = Result(problem(name, batch, 4), derive=True).everything()
    for got in found:
        for g, w in zip(got, want, strict=True):
            np.testing.assert_array_equal(np.asarray(g), np.asarray(w), strict=True)
