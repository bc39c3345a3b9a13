"""A compiled plan: the functions of a derived source, the memory that its calls use again, and its runs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..config import enable_grad, switched
from ..core.autodiff import grad, is_nothing
from ..core.op import Array, GradSlot, Leaf, Node
from ..core.tensor import Tensor
from .body import Underivable
from .build import Built
from .replay import needed, replay
from .tight import lending, tighten

SMALL = 8  # first states up to here count as bounded
CACHES_KEPT = 4  # sets of buffers that wait for another call with the same structure


class Plan:
    """The compiled source of one structure, and the memory that its calls use again."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.functions = compiled(tighten(built.text))
        self.inputs_of_gradients = [i for _, i in built.gradients]
        self.count = itertools.count()
        # by which results are unread: whether `0 · ∞` may come in, and which gradients there are
        self.reached: dict[tuple[bool, ...], tuple[bool, list[bool]]] = {}
        self.idle: dict[tuple[int, int], Any] = {}  # by age and number of steps

    @functools.cached_property
    def lending(self) -> dict[str, Any]:
        """The functions that do not copy what they return for all steps: it is good while the call is held."""
        return compiled(lending(tighten(self.built.text)))

    def checked(self, gradients: list[Any], call: Call, cotangents: Sequence[Array]) -> list[Any]:
        """The gradients: None of what only unread results depend on, as their cotangents are 0.

        All come from the recorded steps if some are not finite where `0 · ∞` may have come in. That is behind a
        `where`, and from results that the loss does not use: the recorded steps do not go there at all.
        """
        unread = tuple(map(is_nothing, cotangents))
        if unread not in self.reached:
            tape = self.built.tape
            found = needed(tape, unread)
            apart = len(needed(tape, unread, last=True) - set(range(tape.inputs))) < len(tape.ops)
            self.reached[unread] = self.built.guarded or apart, [i in found for i in self.inputs_of_gradients]
        guarded, reached = self.reached[unread]
        if guarded and not all(np.isfinite(np.sum(g)) for g in gradients):
            return call.unrolled(cotangents, False)
        return (
            gradients if all(reached) else [g if r else None for g, r in zip(gradients, reached, strict=True)]
        )

    def look(self, arrays: Sequence[Array]) -> None:
        """Raise `Underivable` for a first state that is not as small as it was taken for."""
        for i in self.built.small:
            if not np.abs(arrays[i]).max(initial=0) <= SMALL:
                raise Underivable(
                    f"a state begins with values beyond ±{SMALL}, which its weighted mean would round"
                )

    # Without a lock, as each access to a dict is whole: garbage collection may give back in the middle of anything.

    def take(self, length: int) -> Any:
        """Memory of an earlier call with as many steps, or None."""
        for age, steps in reversed(list(self.idle)):
            if steps == length and (cache := self.idle.pop((age, steps), None)) is not None:
                return cache
        return None

    def give_back(self, length: int, cache: Any) -> None:
        """Keep memory for later; the oldest goes."""
        self.idle[next(self.count), length] = cache
        if len(self.idle) > CACHES_KEPT:
            for oldest in list(self.idle)[:-CACHES_KEPT]:
                self.idle.pop(oldest, None)


def compiled(text: str) -> dict[str, Any]:
    """The functions of a source."""
    functions: dict[str, Any] = {}
    exec(compile(text, "<derived BPTT>", "exec"), functions)
    return functions


class Call:
    """One run of a plan: what its backward pass needs. Its memory goes back to the plan when nobody needs it."""

    turned = False  # the sequences were turned round: the first step that runs is the last in time

    def __init__(
        self,
        plan: Plan,
        length: int,
        arrays: list[Array],
        cache: Any,
        nodes: Sequence[Node | None],
        functions: dict[str, Any],
    ) -> None:
        self.plan, self.length, self.arrays, self.cache = plan, length, arrays, cache
        self.functions = functions
        self.nodes = nodes  # of sequences, states and constants

    def __del__(self) -> None:
        if hasattr(self, "plan"):  # not if it was interrupted
            self.plan.give_back(self.length, self.cache)

    def backward(self, cotangents: Sequence[Array]) -> list[Any]:
        """The gradient of every input that has one; as all vjps, it runs without NumPy's warnings."""
        found = self.functions["backward"](*self.arrays, *cotangents, self.cache)
        return self.plan.checked(list(found.values()), self, cotangents)

    def opened(self) -> list[Tensor]:
        """Outputs and last states, with every op of every step recorded."""
        return self._replayed([Tensor(a, n) for a, n in zip(self.arrays, self.nodes, strict=False)])

    def _replayed(self, leaves: list[Tensor]) -> list[Tensor]:
        recorded = self.plan.built.tape
        inputs = recorded.xs + len(recorded.states)
        xs, states, constants = leaves[: recorded.xs], leaves[recorded.xs : inputs], leaves[inputs:]
        with enable_grad(), switched(derive=False):
            return replay(recorded, xs, states, constants, self.turned)

    def unrolled(self, cotangents: Sequence[Any], create_graph: bool) -> list[Any]:
        """The gradients from the recorded steps."""
        nodes = self.nodes
        if not create_graph:  # the walk ends at the recurrence's own inputs
            nodes = [
                n and Leaf(a.shape, a.dtype, None, GradSlot())
                for a, n in zip(self.arrays, nodes, strict=False)
            ]
        leaves = [Tensor(a, n) for a, n in zip(self.arrays, nodes, strict=False)]
        with enable_grad(), switched(derive=False):
            results = self._replayed(leaves)
            read = [
                not is_nothing(getattr(g, "_data", g)) or getattr(g, "_node", None) is not None
                for g in cotangents
            ]
            pairs = [
                (r, g)
                for r, g, used in zip(results, cotangents, read, strict=True)
                if used and r.requires_grad
            ]
            wanted = [leaves[i] for _, i in self.plan.built.gradients]
            targets = [w for w in wanted if w.requires_grad]
            found = grad(
                [r for r, _ in pairs], targets, [g for _, g in pairs], create_graph, retain_graph=True
            )
        values = {id(w): g for w, g in zip(targets, found, strict=True)}
        gradients = [values.get(id(w)) for w in wanted]
        return gradients if create_graph else [None if g is None else g._data for g in gradients]


def start(
    plan: Plan,
    length: int,
    arrays: list[Array],
    nodes: Sequence[Node | None],
    turned: bool,
    functions: dict[str, Any],
) -> tuple[list[Array], Call]:
    """Outputs and last states, and the call that holds what the backward pass needs."""
    results: list[Array]
    *results, cache = functions["forward"](*arrays, cache=plan.take(length))
    call = Call(plan, length, arrays, cache, nodes, functions)
    call.turned = turned
    return results, call


def forward_only(plan: Plan, length: int, arrays: list[Array]) -> list[Array]:
    """Run forwards and keep nothing."""
    results: list[Array]
    *results, cache = plan.functions["forward"](*arrays, cache=plan.take(length))
    plan.give_back(length, cache)
    return results


class Rerun:
    """Runs a plan once more on other arrays, as a step of a recorded batch.

    `lent` says which of its results, and which gradients of its call, are for all steps.
    """

    def __init__(self, plan: Plan, turned: bool, nodes: Sequence[Node | None] | None) -> None:
        self.plan, self.turned, self.functions = plan, turned, plan.functions
        built = plan.built
        self.lent = list(range(built.outputs)), [i for kind, i in built.gradients if kind == "x"]
        self.ends = nodes and [n and Leaf(n.shape, n.dtype, None, GradSlot()) for n in nodes]

    def lend(self, lent: bool = True) -> None:
        """Whether, from now on, outputs and gradients of sequences are good only as long as the call is held."""
        self.functions = self.plan.lending if lent else self.plan.functions

    def __call__(self, *inputs: Array) -> list[Any]:
        """Outputs and last states and, if nodes were given, the call that the backward pass needs."""
        arrays, length = [*inputs, *self.plan.built.static], inputs[0].shape[1]
        self.plan.look(arrays)
        if self.ends is None:
            return forward_only(self.plan, length, arrays)
        results, call = start(self.plan, length, arrays, self.ends, self.turned, self.functions)
        return [*results, call]
