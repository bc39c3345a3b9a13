"""A loss recorded under `trace()`: its variables by name and step, their gradients, and what each use adds."""

from __future__ import annotations

import os
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.autodiff import grad, sum_to
from ..core.op import PORT, Array, Leaf, Port
from ..core.tensor import Tensor
from ..viz.sites import assigned, position, text_of
from .names import spellings
from .parameters import ancestors
from .sites import runs_backwards

_PACKAGE = os.path.join(Path(__file__).parents[1], "")
_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@"}

Use = tuple[int, int]  # row of the op that reads a value, and the number of the argument


class Quantity(NamedTuple):
    """Something of a recorded loss that a hand derivation may compute.

    `kind` is "gradient" of `row`, "value" of it, or "part": the sum of what `uses` send back to it, where they
    read what was made of it before the loop through the uses of `path`.
    """

    kind: str
    row: int
    uses: tuple[Use, ...] = ()
    path: tuple[Use, ...] = ()  # the last one made first


class Recorded:
    """The graph of a loss, in rows: nodes in the order in which they were made."""

    def __init__(self, loss: Tensor) -> None:
        self.nodes = ancestors(loss)
        self.row = {node: i for i, node in enumerate(self.nodes)}
        self.uses: list[list[Use]] = [[] for _ in self.nodes]
        for i, node in enumerate(self.nodes):
            for k, parent in enumerate(node.inputs or ()):
                if parent is not None:
                    self.uses[self.row[parent]].append((i, k))
        single = list(filter(self.single, range(len(self.nodes))))
        handles = [
            Tensor(np.broadcast_to(np.zeros((), n.dtype), n.shape), n)
            for n in map(self.nodes.__getitem__, single)
        ]
        found = grad(loss, handles, retain_graph=True)
        self.grads: dict[int, Array] = {
            i: g._data for i, g in zip(single, found, strict=True) if g is not None
        }
        self._parts: dict[Use, Any] = {}

    # --- what was computed --------------------------------------------------------------------------

    def single(self, row: int) -> bool:
        """Whether a node has one value; an op with several outputs has a port for each."""
        return isinstance(self.nodes[row], Port) or self.nodes[row].op.outputs == 1

    def gradient(self, row: int) -> Array:
        """The gradient of a node; zeros if the loss does not depend on it."""
        node = self.nodes[row]
        return self.grads[row] if row in self.grads else np.zeros(node.shape, node.dtype)

    def value(self, row: int) -> Any:
        """The value of a node, None if it was not kept, or if there are several."""
        node = self.nodes[row]
        if not self.single(row):
            return None
        if isinstance(node, Port) and node.parent is not None and hasattr(node.parent, "trace"):
            return node.parent.trace.value[node.index]
        return node.trace.value if hasattr(node, "trace") else None

    def argument(self, row: int, k: int) -> Any:
        """The value of an argument of an op, None if it was not kept."""
        node = self.nodes[row]
        saved: Any = (node.saved or ())[1 + k : 2 + k]
        if saved and isinstance(saved[0], (np.ndarray, np.generic)):
            return saved[0]
        parent = (node.inputs or ())[k]
        return None if parent is None else self.value(self.row[parent])

    def cotangent(self, row: int) -> Any:
        """The gradient of a node; of one with several outputs, a list of them."""
        node = self.nodes[row]
        if self.single(row):
            return self.gradient(row)
        parts: list[Any] = [np.zeros(shape, node.dtype) for shape in node.shape]
        for i, _ in self.uses[row]:
            parts[self.nodes[i].index] = self.gradient(i)  # type: ignore[attr-defined]
        return parts

    def part(self, use: Use) -> Array:
        """What one use sends back to the value that it reads."""
        if use not in self._parts:
            self._parts[use] = self.pull(use, self.cotangent(use[0]))
        return self._parts[use]  # type: ignore[no-any-return]

    def pull(self, use: Use, g: Any, saved: Any = None) -> Any:
        """A gradient of an op, sent back to one of its arguments; through a port, to that output.

        `saved` may replace what the op has kept for this.
        """
        row, k = use
        node = self.nodes[row]
        if node.op is PORT:
            parent: Any = node.inputs[0]  # type: ignore[index]
            zeros: list[Any] = [np.zeros(shape, parent.dtype) for shape in parent.shape]
            zeros[node.index] = g  # type: ignore[attr-defined]
            return zeros
        saved = node.saved if saved is None else saved
        with np.errstate(all="ignore"):
            if node.op.vjp_all is not None:
                part = node.op.vjp_all(g, *saved, **node.attrs)[k]
            else:
                vjp = node.op.vjps[k]
                part = None if vjp is None else vjp(g, *saved, **node.attrs)
        if isinstance(part, Tensor):
            part = part._data
        parent = (node.inputs or ())[k]
        shape = np.shape(saved[1 + k]) if parent is None else parent.shape
        if part is None:  # no gradient goes this way
            return np.zeros(shape)
        return sum_to(part, shape) if node.op.broadcasts and part.shape != shape else part

    def evaluate(self, quantity: Quantity) -> Array:
        """The array of a quantity."""
        if quantity.kind == "gradient":
            return self.gradient(quantity.row)
        if quantity.kind == "value":
            return np.asarray(self.value(quantity.row))
        if not quantity.uses:
            return np.zeros_like(self.gradient(quantity.row))
        return self.along(quantity.path, sum(self.part(use) for use in quantity.uses))

    def along(self, path: tuple[Use, ...], g: Any) -> Array:
        """A gradient, sent back through several uses, one after the other."""
        for use in path:
            g = self.pull(use, g)
        return np.asarray(g)

    # --- names and steps ----------------------------------------------------------------------------

    @cached_property
    def sites(self) -> list[Any]:
        """For every row the place in the source where it was made; None if that was not recorded."""
        found: list[Any] = []
        for node in self.nodes:
            owner = node.parent if isinstance(node, Port) else node
            path = owner.trace.path if owner is not None and hasattr(owner, "trace") else ()
            index = getattr(node, "index", None)
            spans = tuple((id(code), position(code, at)) for code, at in path)
            found.append((spans, index, node.op.name) if spans else None)
        return found

    @cached_property
    def _same_site(self) -> dict[Any, list[int]]:
        found: dict[Any, list[int]] = {}
        for i, site in enumerate(self.sites):
            found.setdefault(site, []).append(i)
        return found

    def alike(self, row: int) -> list[int]:
        """The rows that were made at the same place as this one."""
        return self._same_site[self.sites[row]] if self.sites[row] is not None else []

    @cached_property
    def length(self) -> int:
        """The number of time steps: as the layers say, or how often most places of a loop were passed."""
        marked = [node.scope.t for node in self.nodes if node.scope.t is not None]
        if marked:
            return max(marked) + 1
        counts = Counter(n for site, n in Counter(self.sites).items() if site is not None and n > 1)
        return counts.most_common(1)[0][0] if counts else 1

    @cached_property
    def times(self) -> list[int | None]:
        """The time step of every row; None outside loops.

        What a branch leaves out in several steps belongs to the step of what was made just before it.
        """
        total = Counter(self.sites)
        seen: Counter[Any] = Counter()
        found: list[int | None] = []
        current: int | None = None
        for node, site in zip(self.nodes, self.sites, strict=True):
            if node.scope.t is not None or site is None:
                found.append(node.scope.t)
                continue
            n, i, steps = total[site], seen[site], self.length
            seen[site] += 1
            t = i // (n // steps) if n % steps == 0 else i + steps - n if n < steps else i
            owner: Any = node.parent if isinstance(node, Port) else node
            if any(runs_backwards(*frame) for frame in owner.trace.path[:2]):  # further out are other loops
                t = steps - 1 - t
            if n == steps:
                current = t
            elif n < steps - 1 and n > 1 and current is not None:
                t = current
            found.append(t if n > 1 or steps == 1 else None)
        return found

    def names_of(self, row: int) -> tuple[str, ...]:
        """The variables that held the value of a node; none of one with several outputs: they have names."""
        node = self.nodes[row]
        if not self.single(row):
            return ()
        if isinstance(node, Leaf):
            given = (node.name,) if node.name else ()
            return (*given, *(node.trace.names if hasattr(node, "trace") else ()))
        owner: Any = node.parent if isinstance(node, Port) else node
        direct: tuple[str, ...] = ()
        if hasattr(owner, "trace") and owner.trace.path:
            direct = assigned(*owner.trace.path[0])
            if isinstance(node, Port):
                direct = direct[node.index : node.index + 1]
            elif len(direct) > 1:
                direct = ()
        seen = node.trace.names if hasattr(node, "trace") else ()
        kept = [n for n in seen if not n.endswith(("prev", "next", "old", "last"))]
        return tuple(dict.fromkeys([*direct, *kept]))

    @cached_property
    def by_name(self) -> list[dict[str, list[int]]]:
        """Rows by name: as written; without regard to case and underscores; and without a final t."""
        tables: list[dict[str, list[int]]] = [{}, {}, {}]
        for row in range(len(self.nodes)):
            for name in self.names_of(row):
                for table, key in zip(tables, spellings(name), strict=True):
                    rows = table.setdefault(key, [])
                    if row not in rows[-1:]:
                        rows.append(row)
        return tables

    def find(self, name: str) -> list[int]:
        """The rows of a variable, latest first; a layer may stand before it: `rnn/z`."""
        *layer, last = name.replace(".", "/").split("/")
        for table, key in zip(self.by_name, spellings(last), strict=True):
            rows = table.get(key, [])
            if layer:
                rows = [i for i in rows if self.nodes[i].scope.layer.endswith("/".join(layer))]
            if rows:
                return rows[::-1]
        return []

    def at(self, name: str, t: int) -> list[int]:
        """The rows of a variable at a time step."""
        return [
            i for i in self.find(name) if self.times[i] in (t, None) and not isinstance(self.nodes[i], Leaf)
        ]

    def pieces(self, row: int, t: int) -> list[int]:
        """What step t reads of a value that was made before the loop and holds all steps, perhaps with a sum."""
        found, waiting, shape = list[int](), [row], self.nodes[row].shape
        while waiting and self.times[row] is None and self.single(row):
            for i, _ in self.uses[waiting.pop()]:
                name, before = self.nodes[i].op.name, self.times[i] is None
                if before and (name == "unstack" or (name == "add" and self.nodes[i].shape == shape)):
                    waiting.append(i)
                elif name == "port" and self.uses_at(i, t):
                    found.append(i)
                elif name == "getitem" and self.times[i] == t and len(self.nodes[i].shape) == len(shape) - 1:
                    found.append(i)
        return found

    def named_at(self, t: int | None) -> list[int]:
        """The rows of all variables of a time step."""
        return [] if t is None else self._by_step.get(t, [])

    @cached_property
    def _by_step(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for row, t in enumerate(self.times):
            if t is not None and self.names_of(row):
                found.setdefault(t, []).append(row)
        return found

    def parameters(self) -> list[tuple[str, int]]:
        """Names and rows of the Variables."""
        return [(n.name or "", i) for i, n in enumerate(self.nodes) if isinstance(n, Leaf) and n.name]

    def leaf(self, name: str, alias: bool = True) -> int | None:
        """The row of a parameter, by its own name, or also by that of a variable that held it.

        None if there are several of that name.
        """
        exact = [row for row, node in self._leaves if node.name == name]
        if exact:
            return exact[0]
        for table, key in zip(self.by_name, spellings(name), strict=True):
            rows = [row for row in table.get(key, []) if isinstance(self.nodes[row], Leaf)]
            rows = [
                i for i in rows if key in spellings(self.nodes[i].name or "") or (alias and self._shared(i))
            ]
            if rows:
                return rows[0] if len(rows) == 1 else None
        return None

    @cached_property
    def _leaves(self) -> list[tuple[int, Leaf]]:
        return [(row, node) for row, node in enumerate(self.nodes) if isinstance(node, Leaf)]

    def _shared(self, row: int) -> bool:
        """Whether several steps read a leaf: an initial state, held by `h` at first, is read by one."""
        return self.length == 1 or len({self.times[i] for i, _ in self.uses[row]}) > 1

    def uses_at(self, row: int, t: int) -> tuple[Use, ...]:
        """The uses of a value in one time step."""
        return tuple(use for use in self.uses[row] if self.times[use[0]] == t)

    def start(self, variable: str, t: int) -> tuple[Use, ...]:
        """The uses at step t of an initial state that is no variable: as the next step uses its own."""
        found = []
        for row in self.at(variable, t):
            for user, k in self.uses_at(row, t + 1):
                found += [(i, k) for i in self.alike(user) if self.times[i] == t]
        return tuple(found)

    def _operands(self, node: Any) -> str:
        """An operation of a helper of the library, by the names of what it was given; "" if they have none."""
        names = [self.names_of(self.row[p])[:1] if p is not None else () for p in node.inputs or ()]
        sign = _SIGNS.get(node.op.name)
        return f" {sign} ".join(name.split("/")[-1] for (name,) in names) if sign and all(names) else ""

    def text(self, row: int) -> str:
        """The user's expression for a node, or the name of its op; with its step."""
        node = self.nodes[row]
        owner: Any = node.parent if isinstance(node, Port) else node
        path = owner.trace.path if hasattr(owner, "trace") else ()
        text = self._operands(node) if path and path[0][0].co_filename.startswith(_PACKAGE) else ""
        text = text or (text_of(*path[0]) if path else "")
        t = self.times[row]
        return f"`{text or node.op.name}`" + ("" if t is None else f" of step {t}")
