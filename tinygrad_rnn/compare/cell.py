"""Each step of a hand derivation alone: `cell_backward` with what autodiff says arrives at the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..core.op import Array
from .divergence import Divergence
from .names import bare_name
from .parameters import jitter
from .recorded import Quantity, Recorded
from .recorder import Entry, ManualRecorder
from .references import array_of
from .report import Row
from .sites import returned
from .steps import Steps, compare_steps
from .verdict import Reference, eps_of, floor_of

CellBackward = Callable[[int, Mapping[str, Array], Mapping[str, Array]], Mapping[str, Any]]

ROUNDS = 2  # together with the four passes of a comparison no more than six


class _Known(Mapping[str, Array]):
    """What a recorded loss knows at one step, by name: copies, looked up when they are asked for."""

    def __init__(self, base: Recorded, t: int, what: str, find: Callable[[str], Array | None]) -> None:
        self._base, self._t, self._what, self._find = base, t, what, find

    def __getitem__(self, name: str) -> Array:
        found = self._find(name)
        if found is None:
            near = get_close_matches(bare_name(name)[0], self, n=3)
            known = ", ".join(near or list(self)[:8])
            raise KeyError(f"{self._what}[{name!r}]: step {self._t} of the loss has {known}")
        return np.array(found)

    def __iter__(self) -> Iterator[str]:
        rows = self._base.named_at(self._t)
        return iter(dict.fromkeys(name for row in rows for name in self._base.names_of(row)))

    def __len__(self) -> int:
        return len(list(iter(self)))


def upstream_of(base: Recorded, t: int) -> Mapping[str, Array]:
    """Gradients by name: `da` that of `a` at step t, `da_next` the part of it that step t + 1 sends back."""

    def find(name: str) -> Array | None:
        variable = bare_name(name)[0]
        rows = base.at(variable, t)
        rows = [*(piece for row in rows for piece in base.pieces(row, t)), *rows]
        if rows or not variable.endswith("_next"):
            return base.gradient(rows[0]) if rows else None
        rows = base.at(variable.removesuffix("_next"), t)
        return None if not rows else base.evaluate(Quantity("part", rows[0], base.uses_at(rows[0], t + 1)))

    return _Known(base, t, "upstream", find)


def cache_of(base: Recorded, t: int) -> Mapping[str, Array]:
    """Values by name: `a` at step t, `a_prev` that of the step before, parameters under their own names."""

    def find(name: str) -> Any:
        variable = name.removesuffix("_prev")
        rows = base.at(name, t) or (base.at(variable, t - 1) if variable != name else [])
        if rows:
            return base.value(rows[0])
        leaf = base.leaf(name)
        if leaf is not None:
            return base.value(leaf) if hasattr(base.nodes[leaf], "trace") else _argument(base, leaf)
        start = base.start(variable, t) if variable != name else ()
        return base.argument(*start[0]) if start else None

    return _Known(base, t, "cache", find)


def _argument(base: Recorded, leaf: int) -> Any:
    """The value of a leaf, as an op that reads it has kept it."""
    found = (base.argument(*use) for use in base.uses[leaf])
    return next((value for value in found if value is not None), None)


class _Cells(Steps):
    """The results of a cell beside the recorded loss; the floors are those of single steps."""

    def __init__(self, recorder: ManualRecorder, base: Recorded, mapping: Mapping[str, Any]) -> None:
        super().__init__(recorder, [base], mapping, floors=True)
        self._step: tuple[int | None, list[dict[int, Any]]] = None, []  # the last one that was moved

    def candidates(self, name: str, t: int) -> list[tuple[str, Quantity]]:
        """What a name stands for: of a parameter, what step t alone contributes."""
        found = super().candidates(name, t)
        return [pair for pair in found if pair[0] in ("of this step", "carried")] or found

    def reference(self, quantity: Quantity) -> Reference:
        """The value that autodiff gives, and how far changes of one ulp inside its step move it."""
        if quantity not in self.references:
            base, g = self.base, self.base.evaluate(quantity)
            rows = [use[0] for use in quantity.uses] or [quantity.row]
            t = base.times[rows[0]]
            moved = [] if t is None else [_at(base, quantity, run) for run in self._moved(t)]
            self.references[quantity] = Reference(g, floor_of(g, [run for run in moved if run is not None]))
        return self.references[quantity]

    def _moved(self, t: int) -> list[dict[int, Any]]:
        if self._step[0] != t:
            rng = np.random.default_rng(t)
            self._step = t, [_step_moved(self.base, t, rng) for _ in range(ROUNDS)]
        return self._step[1]


def _at(base: Recorded, quantity: Quantity, grads: dict[int, Any]) -> Array | None:
    """A quantity from the gradients of a step that was computed again."""
    if quantity.kind == "gradient":
        return grads.get(quantity.row)
    if quantity.kind == "value" or not all(row in grads for row, _ in quantity.uses):
        return None
    return base.along(quantity.path, sum(base.pull((row, k), grads[row]) for row, k in quantity.uses))


def _step_moved(base: Recorded, t: int, rng: np.random.Generator) -> dict[int, Any]:
    """The gradients of the nodes of step t from those that enter it, with all that is read moved by one ulp."""

    def move(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(map(move, value))
        real = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return jitter(value, eps_of(value), rng) if real else value

    grads: dict[int, Any] = {}
    for row in reversed([i for i, at in enumerate(base.times) if at == t]):
        parts = [
            base.pull((i, k), grads[i], move(base.nodes[i].saved)) if i in grads else move(base.part((i, k)))
            for i, k in base.uses[row]
        ]
        if not parts:
            grads[row] = base.cotangent(row)
        elif base.single(row):
            grads[row] = sum(parts)
        else:
            grads[row] = [sum(column) for column in zip(*parts, strict=True)]
    return grads


def compare_cells(
    cell_backward: CellBackward, base: Recorded, mapping: Mapping[str, Any]
) -> tuple[list[Row], Divergence | None]:
    """Rows `cell dz`, … for every step, and the first quantity that differs.

    Raises `TypeError` if `cell_backward` returns something else than a dict.
    """
    recorder = ManualRecorder()
    for t in reversed(range(base.length)):
        found = cell_backward(t, upstream_of(base, t), cache_of(base, t))
        if not isinstance(found, Mapping):
            raise TypeError(
                "compare_gradients: cell_backward must return a dict of name -> array, it returned "
                f"{type(found).__name__} at t={t}"
            )
        entries = []
        for name, value in found.items():
            array = array_of(value)
            kept = value if array is None else array.copy()
            entries.append(Entry(t, name, kept, returned(cell_backward, name)))
        recorder.entries += sorted(entries, key=lambda entry: entry.source.line)
    rows, first, _ = compare_steps(_Cells(recorder, base, mapping))
    for row in rows:
        row.parameter = f"cell {row.parameter}"
    return rows, first
