"""The sums of products in a step, as far as they are known gate by gate: what the pass `gather` works on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from ..step.body import Value
from ..step.walks import ancestors, is_product
from .rewriting import Rewriting


class Columns(NamedTuple):
    """Some columns of a matrix, or some numbers of a vector."""

    of: Value
    start: int
    stop: int


class Product(NamedTuple):
    """A product with columns of a weight, and the equations that it belongs to."""

    factor: Value
    weight: Columns
    eq: str


@dataclass
class Gate:
    """A sum of products, of biases, and of other terms."""

    total: Value
    products: list[Product] = field(default_factory=list)
    biases: list[Columns] = field(default_factory=list)
    rest: list[Value] = field(default_factory=list)

    @property
    def factors(self) -> tuple[Value, ...]:
        """What its weights are multiplied with."""
        return tuple([product.factor for product in self.products])


class Products:
    """Products with weights, sums of them, and columns of those, in a step that is written anew."""

    def __init__(self, step: Rewriting) -> None:
        self.step, self.users, self.varying = step, step.users, step.varying
        self.linear: list[Value] = []
        self.view_of: dict[Value, Columns] = {}  # columns of a sum, by what shows them
        self.absorbed: set[Value] = set()  # what is only a term of others, or read column by column
        self._sort()

    def _sort(self) -> None:
        pure: set[Value] = set()  # without other terms
        for v in self.step.body.values:
            if v.op == "add":
                fits = self._is_matrix(v) and all(self._is_term(a, v) or self._is_bias(a, v) for a in v.args)
                alone = all(self._is_bias(a, v) or a in pure and self.users[a] == [v] for a in v.args)
            else:
                fits = alone = self._is_product(v) or v in self.view_of
            if fits:
                self.linear.append(v)
            if fits and alone:
                pure.add(v)
                views = self._views(v)
                self.view_of |= views
                self.absorbed |= {v} if views else set()
        sums = {v for v in self.linear if v.op == "add"}
        self.absorbed |= {v for v in self.linear if len(u := self.users.get(v, [])) == 1 and u[0] in sums}

    def _is_matrix(self, v: Value) -> bool:
        return v in self.varying and len(v.shape) == 2 and v.dtype.kind == "f"

    def _is_product(self, v: Value) -> bool:
        fits = self._is_matrix(v) and is_product(v, self.varying) and len(v.args[0].shape) == 2
        return fits and v.dtype == v.args[0].dtype == v.args[1].dtype

    def _is_term(self, a: Any, total: Value) -> bool:
        return isinstance(a, Value) and a in self.varying and (a.shape, a.dtype) == (total.shape, total.dtype)

    def _is_bias(self, a: Any, total: Value) -> bool:
        fixed = isinstance(a, Value) and a not in self.varying
        return fixed and (a.shape, a.dtype) == (total.shape[1:], total.dtype)

    def _views(self, v: Value) -> dict[Value, Columns]:
        """Which columns others show, if nothing else reads the value and no column is shown twice."""
        found: dict[Value, Columns] = {}
        for user in self.users.get(v, []):
            cuts = isinstance(user, Value) and user.args[0] is v
            shown = shown_by(user, self.users) if cuts else None
            if shown is None:
                return {}
            found |= {view: Columns(v, start, stop) for view, (start, stop) in shown.items()}
        ranges = sorted((c.start, c.stop) for c in found.values())
        return {} if any(a[1] > b[0] for a, b in pairwise(ranges)) else found

    def gates(self) -> tuple[list[Gate], list[Value]]:
        """The sums that are needed inside the loop, and all those that share something with them; and their terms."""
        inside = ancestors(self.step.body.new_states)
        gates: dict[Value, Gate] = {}
        owners: dict[Value, list[Value]] = {}
        reached: dict[Value, list[Value]] = {}
        for v in self.linear:
            if v not in self.absorbed:
                gates[v], reached[v] = self.written_out(v)
                for u in reached[v]:
                    owners.setdefault(u, []).append(v)
        waiting = [v for v, gate in gates.items() if v in inside and gate.products]
        found: set[Value] = set()
        while waiting:
            v = waiting.pop()
            if v not in found:
                found.add(v)
                waiting += [owner for u in reached[v] for owner in owners[u]]
        kept = [v for v in gates if v in found]
        return [gates[v] for v in kept], list(dict.fromkeys([u for v in kept for u in reached[v]]))

    def written_out(self, total: Value) -> tuple[Gate, list[Value]]:
        """Of what a value is the sum; and all values on the way."""
        gate, visited = Gate(total), []
        stack = [Columns(total, 0, total.shape[1])]
        while stack:
            v, start, stop = stack.pop()
            visited.append(v)
            if v in self.view_of:
                of, first, _ = self.view_of[v]
                stack.append(Columns(of, first + start, first + stop))
            elif v.op == "matmul":
                gate.products.append(Product(v.args[0], Columns(v.args[1], start, stop), v.eq))
            else:
                for a in v.args[::-1]:
                    if self._is_bias(a, v):
                        gate.biases.append(Columns(a, start, stop))
                    elif a in self.absorbed:
                        stack.append(Columns(a, start, stop))
                    else:
                        gate.rest.append(a)
        return gate, visited


def shown_by(user: Value, users: dict[Value, list[Any]]) -> dict[Value, tuple[int, int]] | None:
    """The values that show columns of the matrix that an op cuts, and which ones; None for other ops."""
    (batch, width), own = user.args[0].shape, users.get(user, [])
    if user.op == "split" and user.attrs["axis"] == 1:
        ends = [*pairwise((0, *user.attrs["at"], width))]
        return {part: ends[part.attrs["index"]] for part in own}
    if user.op == "getitem":
        cut = _behind_batch(user.attrs["index"], batch)
        if isinstance(cut, slice) and cut.step in (None, 1):
            start, stop, _ = cut.indices(width)
            return {user: (start, stop)} if stop > start else None
    if user.op == "reshape" and len(user.shape) == 3 and user.shape[0] == batch:
        one = user.shape[2]
        places = [place for view in own for place in _gate_by_gate(view, user.shape[:2], users)]
        if all(place is not None for _, place in places):
            return {view: (place * one, (place + 1) * one) for view, place in places}
    return None


def _gate_by_gate(view: Any, shape: tuple[int, int], users: dict[Value, list[Any]]) -> list[tuple[Any, Any]]:
    """What shows one gate of `(batch, gates, units)` each, and which one; None for everything else."""
    if isinstance(view, Value) and view.op == "getitem":
        place = _behind_batch(view.attrs["index"], shape[0])
        return [(view, place % shape[1] if isinstance(place, int) else None)]
    if isinstance(view, Value) and view.op == "unstack" and view.attrs["axis"] == 1:
        return [(part, part.attrs["index"]) for part in users.get(view, [])]
    return [(view, None)]


def _behind_batch(index: Any, batch: int) -> Any:
    """The second index, if the first takes all examples and there are no more."""
    rows, *others = index if isinstance(index, tuple) else (index,)
    whole = isinstance(rows, slice) and rows.indices(batch) == (0, batch, 1)
    return others[0] if whole and len(others) == 1 else None


def runs_of(columns: Iterable[Columns]) -> list[Columns]:
    """The same columns, as few pieces of matrices."""
    runs: list[Columns] = []
    for c in columns:
        if runs and (runs[-1].of, runs[-1].stop) == (c.of, c.start):
            runs[-1] = Columns(c.of, runs[-1].start, c.stop)
        else:
            runs.append(c)
    return runs


def width_of(gates: Sequence[Gate]) -> int:
    """How many columns some gates have."""
    width: int = sum(gate.total.shape[1] for gate in gates)
    return width
