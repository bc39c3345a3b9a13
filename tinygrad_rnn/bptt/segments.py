"""`checkpoint="sqrt"`: a run that keeps the states between segments, and runs each segment again backwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.op import Array, Node
from .plan import Call, Plan


class Segments(Call):
    """A run that kept nothing but the states between segments; the backward pass runs each segment again."""

    def __init__(
        self,
        plan: Plan,
        arrays: list[Array],
        counts: tuple[int, int],
        nodes: Sequence[Node | None],
        order: tuple[bool, bool],
        keeping_none: Plan,
    ) -> None:
        super().__init__(plan, arrays, None, nodes, order)
        (self.xs, self.states), self.keeping_none = counts, keeping_none
        self.inputs = len(arrays) - len(plan.built.static)  # what the backward pass made up comes last
        size = math.ceil(math.sqrt(self.length))
        self.segments = [(a, min(a + size, self.length)) for a in range(0, self.length, size)]
        self.starts: list[list[Array]] = []  # the states at the beginning of each segment

    def _arrays(self, a: int, b: int, states: list[Array]) -> list[Array]:
        rest = self.arrays[self.xs + self.states :]
        return [*[x[:, a:b] for x in self.arrays[: self.xs]], *states, *rest]

    def forward(self) -> list[Array]:
        """Outputs and last states, segment by segment."""
        outputs: list[Array] = []
        states = self.arrays[self.xs : self.xs + self.states]
        for a, b in self.segments:
            self.starts.append(states)
            made = self.keeping_none.forward_only(self._arrays(a, b, states)[: self.inputs])
            pieces, states = made[: self.plan.built.outputs], made[self.plan.built.outputs :]
            if not outputs:
                outputs = [np.empty((p.shape[0], self.length, *p.shape[2:]), p.dtype) for p in pieces]
            for whole, piece in zip(outputs, pieces, strict=True):
                whole[:, a:b] = piece
        return [*outputs, *states]

    def backward(self, cotangents: Sequence[Array]) -> list[Any]:
        """The gradient of every input: those of weights add up over the segments."""
        built, count = self.plan.built, self.plan.built.outputs
        carry = list(cotangents[count:])
        totals: dict[int, Any] = {}
        for (a, b), states in zip(reversed(self.segments), reversed(self.starts), strict=True):
            arrays = self._arrays(a, b, states)
            _, cache = self.plan.forward(arrays)
            pieces = [g[:, a:b] for g in cotangents[:count]]
            found = self.plan.functions["backward"](*arrays, *pieces, *carry, cache)
            self.plan.idle.give_back(b - a, cache)
            for (kind, i), value in zip(built.gradients, found.values(), strict=True):
                if kind == "x":
                    if i not in totals:
                        totals[i] = np.empty(self.arrays[i].shape, value.dtype)
                    totals[i][:, a:b] = value
                elif kind == "state":
                    totals[i] = carry[i - self.xs] = value
                else:
                    totals[i] = value if i not in totals else totals[i] + value
        return self.plan.checked([totals[i] for _, i in built.gradients], self, cotangents)
