"""How far two right derivations may differ: `Meter` computes a loss again with everything moved by one ulp."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..config import mode
from ..core.op import Array
from ..core.tensor import Tensor
from ..core.trace import trace
from .numeric import FLOORS
from .parameters import ROUNDS, Carried, Probe, jitter, require_same, untouched
from .recorded import Recorded
from .verdict import Reference, eps_of, floor_of, size_of


class Meter:
    """Computes a loss again, as it is and with everything moved by about one ulp."""

    def __init__(
        self,
        tensors: dict[str, Tensor],
        carried: Carried,
        loss_fn: Callable[[], Any],
        inputs: Any,
        coarsest: float,
    ) -> None:
        values = list(inputs.values()) if isinstance(inputs, Mapping) else list(inputs)
        own = {id(t) for t in tensors.values()}
        self.tensors, self.carried, self.coarsest = tensors, carried, coarsest
        self.moving = [
            x for x in values if isinstance(x, Tensor) and x.dtype.kind == "f" and id(x) not in own
        ]
        self.arrays = [
            x for x in values if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.flags.writeable
        ]
        self.probe = Probe(loss_fn, tensors, carried)
        self.base = {name: t._data for name, t in tensors.items()}

    def untouched(self) -> Any:
        """Put everything back afterwards."""
        return untouched([*self.tensors.values(), *self.moving], self.carried, self.arrays)

    def measure(self, references: dict[str, Reference], traced: bool) -> tuple[list[Recorded], list[str]]:
        """Fill in the floors, and the gradients that nobody has computed; return what was recorded, and notes.

        The loss as it is comes first; with `traced` the moved ones follow. Raises `ValueError` for a loss that
        has another value when it is computed again.
        """
        recorded: list[Recorded] = []
        runs: list[dict[str, Array | None]] = []

        def evaluated(arrays: Mapping[str, Array], traced: bool) -> Tensor:
            with trace() if traced else nullcontext():
                return self.probe.record(arrays)

        def once(arrays: Mapping[str, Array], traced: bool) -> Tensor:
            loss = evaluated(arrays, traced)
            if not traced:
                runs.append(self.probe.gradients(loss))
                return loss
            recorded.append(Recorded(loss))
            nodes = {name: tensor._node for name, tensor in self.tensors.items()}
            rows = {name: recorded[-1].row.get(node) for name, node in nodes.items() if node is not None}
            runs.append({n: None if i is None else recorded[-1].grads.get(i) for n, i in rows.items()})
            return loss

        rng = np.random.default_rng(0)

        def jittered(a: Array) -> Array:
            return jitter(a, max(self.coarsest, eps_of(a)), rng)

        with self.untouched():
            originals = [x.copy() for x in self.arrays], [t._data for t in self.moving]
            unrolled = traced or not mode().derive  # derived mode has no steps that could be looked at
            loss, again = once(self.base, unrolled), evaluated(self.base, unrolled)
            require_same(float(loss.item()), float(again.item()), eps_of(loss._data))
            for _ in range(ROUNDS):
                for array, original in zip(self.arrays, originals[0], strict=True):
                    array[...] = jittered(original)
                for tensor, original in zip(self.moving, originals[1], strict=True):
                    tensor._data = jittered(original)
                once({name: jittered(a) for name, a in self.base.items()}, traced)
        notes = []
        for name, reference in references.items():
            if name not in self.tensors:
                continue
            zeros = np.zeros_like(self.base[name])
            g, *moved = [zeros if (own := run[name]) is None else own for run in runs]
            reference.floor = floor_of(g, moved, self.coarsest)
            given = reference.gradient
            if given is None:
                reference.gradient = g
            elif given.shape == g.shape and size_of(np.subtract(given, g)) > FLOORS * reference.floor:
                notes.append(
                    f"{name}: the gradient in auto is not that of loss_fn (an earlier backward pass?)"
                )
        return recorded, notes
