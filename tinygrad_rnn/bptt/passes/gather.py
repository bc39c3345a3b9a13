"""The pass over sums of products, one for each gate: products with one factor become one, however they are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial, reduce
from itertools import accumulate, pairwise
from typing import Any

from ..step.body import Value, equations
from ..step.tracer import Tracer
from ..step.walks import activation_of, dependents, in_order, needed
from .products import Columns, Gate, Product, Products, runs_of, width_of
from .rewriting import Rewriting
from .rows import FEW

LONGEST = 30  # characters in the names of weights that stand side by side

# Elements of a product, and of its weights, up to which weights are copied to stand side by side: that saves calls. An
# LSTM with weights for each gate took, in parts of its time without, by (batch, steps, inputs, units), on one core and
# on two: (1, 100, 65, 64) 0.72; (4, 50, 64, 64) 0.88, 0.84; (2, 50, 64, 128) 0.93, 1.03; (16, 50, 64, 64) 0.94, 1.00;
# (16, 50, 65, 128) 0.99, 1.00. Outside: (32, 50, 64, 128) 1.05, 1.12; (4, 50, 128, 256) 1.05, 1.08.
PRODUCT, WEIGHTS = 2**13, 2**17

Group = list[Gate]  # with the same factors
Factor = tuple[Value, int]  # what is multiplied with weights, and how often a gate has done that before


def gather(tracer: Tracer) -> None:
    """Multiply once for all gates: `x Wᵢ + h Uᵢ, x Wₒ + h Uₒ` are the parts of `x [Wᵢ | Wₒ] + h [Uᵢ | Uₒ]`.

    Gates may have weights of their own, be columns of one product, cut in any way, or sums of such columns. Those with
    the same factors become one sum, which is cut into them; others share the products. Biases are added to what does
    not depend on the states, if there is something. All that is done if less is left inside the loop, and weights that
    would have to be copied are small.
    """
    _Gather(tracer).run()


class _Gather(Rewriting):
    def __init__(self, tracer: Tracer) -> None:
        super().__init__(tracer)
        self.products = Products(self)
        self.rank: dict[Value, int] = {}  # of the weights, in the order of the step
        # of products; and whether that is their name with a bias
        self.names: dict[tuple[Value, Columns], tuple[str, bool]] = {}
        self.cuts: dict[Value, set[int]] = {}  # of weights and biases
        self.pieces: dict[Value, dict[tuple[int, int], Value]] = {}  # what they are cut into
        self.eq = ""

    def run(self) -> None:
        gates, visited = self.products.gates()
        labels = {gate.total: self._label_of(gate.total) for gate in gates}
        for v in visited:
            self._learn(v, labels.get(v) or v.label)
        groups = self._groups(gates)
        shared = self._shared(groups)
        if not all(self._may_join(factor, sharing) for factor, sharing in shared.items()):
            return
        found = self._write(groups, shared, labels)
        views = self.products.view_of.keys() & {gate.total for gate in gates}
        parts = {gate.total for gate, value in found if value.op == "part"}
        if self._cost(self.made, parts) >= self._cost(visited, views):
            return
        for gate, value in found:
            gate.total.become(value.op, *value.args, **value.attrs)
            gate.total.label = labels[gate.total]
        self.body.values = in_order(needed([*self.body.values, *self.made], self.body.ends))

    def _cost(self, values: list[Value], shown: Iterable[Value]) -> tuple[int, int]:
        """How many ops the loop has of them, and how much these write.

        Columns by an index cost something in the gradient, and those that are `shown` and leave the step are copied.
        """
        carried = dependents(in_order(values), [*self.carried])
        inside = [v for v in values if v in carried]
        cut = [v for v in inside if v in self.products.view_of and not _is_part_of_split(v)]
        copied = [v for v in shown if v in self.body.ends]
        written = [v for v in inside if v.op in ("add", "matmul")]
        return len(cut) + len(copied) + len(written), sum(math.prod(v.shape) for v in written)

    # --- names --------------------------------------------------------------------------------------

    def _label_of(self, total: Value) -> str:
        """The name of a sum; without one of its own, it is what its activation is computed from."""
        user = activation_of(total, self.users)
        return f"pre_{user.label}" if user and user.label and not total.label else total.label

    def _learn(self, v: Value, label: str) -> None:
        """Remember how a product is called."""
        gate, _ = self.products.written_out(v) if label else (Gate(v), [])
        if len(gate.products) == 1 and not gate.rest:
            (product,) = gate.products
            self.names.setdefault((product.factor, product.weight), (label, bool(gate.biases)))

    def _name(self, products: list[Product], has_bias: bool) -> str:
        """The user's name of products side by side, or their names, if they had some."""
        runs = runs_of([product.weight for product in products])
        whole = [(products[0].factor, runs[0])] if len(runs) == 1 else []
        parts = [(product.factor, product.weight) for product in products]
        for keys in (whole, parts):
            found = [self.names.get(key, ("", False)) for key in keys]
            if found and all(name for name, _ in found):
                suffix = "_without_bias" if not has_bias and any(bias for _, bias in found) else ""
                return "_".join([name for name, _ in found]) + suffix
        return ""

    def _name_of(self, group: Group, labels: dict[Value, str]) -> str:
        """The user's name for what is cut into some gates, or what their activations are called."""
        views = self.products.view_of
        bases = {views[gate.total].of if gate.total in views else None for gate in group}
        names = [labels[gate.total] for gate in group]
        base = bases.pop() if len(bases) == 1 else None
        if base is not None:
            return base.label
        pre = all(name.startswith("pre_") for name in names)
        return "_".join(["pre", *[name.removeprefix("pre_") for name in names]]) if pre else ""

    # --- order --------------------------------------------------------------------------------------

    def _groups(self, gates: list[Gate]) -> list[Group]:
        """The gates by their factors, in the order of the columns of their weights, or of the step."""
        found: dict[Any, Group] = {}
        for gate in gates:
            gate.products.sort(key=lambda product: product.factor in self.carried)
            for product in gate.products:
                self.rank.setdefault(product.weight.of, len(self.rank))
            found.setdefault((gate.factors, bool(gate.biases)), []).append(gate)
        for group in found.values():
            group.sort(key=lambda gate: self._place(gate.products[0]))
        return [*found.values()]

    def _place(self, product: Product) -> tuple[int, int]:
        """With which weight it is, and where in it."""
        return self.rank[product.weight.of], product.weight.start

    def _shared(self, groups: list[Group]) -> dict[Factor, list[Group]]:
        """The groups that have a factor, in the order of the columns of its weights; factors of the loop come last."""
        found: dict[Factor, list[Group]] = {}
        for group in groups:
            for factor in _numbered(group[0].factors):
                found.setdefault(factor, []).append(group)
        used: list[Iterable[Columns]] = []
        for factor, sharing in found.items():
            sharing.sort(key=lambda group: self._place(_product_of(group[0], factor)))
            used.append([_product_of(gate, factor).weight for group in sharing for gate in group])
        for group in groups:
            used += zip(*[gate.biases for gate in group], strict=False)
        for columns in used:
            for of, start, stop in runs_of(columns):
                self.cuts.setdefault(of, set()).update((start, stop))
        return dict(sorted(found.items(), key=lambda item: item[0][0] in self.carried))

    def _may_join(self, factor: Factor, sharing: list[Group]) -> bool:
        """Whether the weights of a factor stand side by side, or are small enough to be copied."""
        runs = runs_of([_product_of(gate, factor).weight for group in sharing for gate in group])
        batch, inner = factor[0].shape
        columns = sum(width_of(group) for group in sharing)
        return len(runs) == 1 or (batch * columns <= PRODUCT and inner * columns <= WEIGHTS)

    def _home(self, group: Group, shared: dict[Factor, list[Group]]) -> Factor | None:
        """The factor whose product the biases of some gates are added to."""
        if not group[0].biases:
            return None
        factors = _numbered(group[0].factors)
        if group[0].total.shape[0] <= FEW:  # a state and 1 stand in a row
            for factor in factors:
                if factor[0] in self.carried and all(g[0].biases for g in shared[factor]):
                    return factor
        return factors[0]

    # --- what becomes of it -------------------------------------------------------------------------

    def _write(
        self, groups: list[Group], shared: dict[Factor, list[Group]], labels: dict[Value, str]
    ) -> list[tuple[Gate, Value]]:
        """New sums; gives each gate with what it is from now on."""
        terms: dict[int, list[Value]] = {id(group): [] for group in groups}
        for factor, sharing in shared.items():
            at_home = [self._home(group, shared) == factor for group in sharing]
            for group, term in zip(sharing, self._products(factor, sharing, at_home), strict=True):
                terms[id(group)].append(term)
        found: list[tuple[Gate, Value]] = []
        for group in groups:
            self.eq = equations(*[gate.total.eq for gate in group])
            total = reduce(partial(self._new, "add"), terms[id(group)])
            total.label = total.label or self._name_of(group, labels)
            for gate, piece in zip(group, self._cut(total, [width_of([g]) for g in group]), strict=True):
                self.eq = gate.total.eq
                found.append((gate, reduce(partial(self._new, "add"), gate.rest, piece)))
        return found

    def _products(self, factor: Factor, sharing: list[Group], at_home: list[bool]) -> list[Value]:
        """The products of several groups with one factor, from one; with the biases of those that are at home."""
        products = [[_product_of(gate, factor) for gate in group] for group in sharing]
        all_ = [product for several in products for product in several]
        self.eq, has_bias = equations(*[product.eq for product in all_]), all(at_home)
        value = self._new("matmul", factor[0], self._joined([product.weight for product in all_], 1))
        value.label = self._name(all_, False)
        if has_bias:
            value = self._new("add", value, self._beside([self._bias(group) for group in sharing], 0))
            value.label = self._name(all_, True)
        pieces = self._cut(value, [width_of(group) for group in sharing])
        for i, (group, several, piece) in enumerate(zip(sharing, products, pieces, strict=True)):
            piece.label = piece.label or self._name(several, has_bias)
            if at_home[i] and not has_bias:
                self.eq = equations(*[product.eq for product in several])
                bias, name = self._bias(group), self._name(several, True)
                bias.label = bias.label or (f"{name}_bias" if name else "")
                pieces[i] = self._new("add", piece, bias)
                pieces[i].label = name
        return pieces

    def _new(self, name: str, *args: Value, **attrs: Any) -> Value:
        value = self.computed(name, *args, **attrs)
        value.eq = self.eq
        return value

    def _bias(self, group: Group) -> Value:
        """The bias of some gates."""
        if len({len(gate.biases) for gate in group}) > 1:
            return self._beside([self._bias([gate]) for gate in group], 0)
        several = zip(*[gate.biases for gate in group], strict=True)
        total = reduce(partial(self._new, "add"), [self._joined(columns, 0) for columns in several])
        total.label = total.label or ("both_biases" if total.op == "add" else "")
        return total

    def _joined(self, columns: Sequence[Columns], axis: int) -> Value:
        """Columns side by side, which need no copy if they are side by side already."""
        return self._beside([self._piece(c, axis) for c in runs_of(columns)], axis)

    def _piece(self, columns: Columns, axis: int) -> Value:
        of, start, stop = columns
        size = of.shape[axis]
        if stop - start == size:
            return of
        if of not in self.pieces:
            ends = sorted({0, size, *self.cuts[of]})
            parts = self.several("split", of, at=tuple(ends[1:-1]), axis=axis)
            self.pieces[of] = dict(zip(pairwise(ends), parts, strict=True))
        found = self.pieces[of].get((start, stop))
        return found or self._new("getitem", of, index=(*[slice(None)] * axis, slice(start, stop)))

    def _beside(self, values: Sequence[Value], axis: int) -> Value:
        if len(values) == 1:
            return values[0]
        joined = self._new("concatenate", *values, axis=axis)
        names = [v.label for v in values]
        joined.label = "" if axis else "biases"
        if all(names) and len("_".join(names)) <= LONGEST:
            joined.label = "_".join(names)
        return joined

    def _cut(self, value: Value, widths: list[int]) -> list[Value]:
        """Parts of a matrix, so many columns each."""
        at = tuple(accumulate(widths[:-1]))
        return self.several("split", value, at=at, axis=1) if at else [value]


def _is_part_of_split(v: Value) -> bool:
    return v.op == "part" and v.args[0].op == "split"


def _numbered(factors: Iterable[Value]) -> list[Factor]:
    """The factors, each with how many times it came before."""
    seen: dict[Value, int] = {}
    found = []
    for factor in factors:
        found.append((factor, seen.setdefault(factor, 0)))
        seen[factor] += 1
    return found


def _product_of(gate: Gate, factor: Factor) -> Product:
    """The product of a gate with a factor."""
    return gate.products[_numbered(gate.factors).index(factor)]
