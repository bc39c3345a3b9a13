"""A compiled plan: the functions of a derived source, the memory that its calls use again, and its runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..config import enable_grad, mode, switched
from ..core.arrays import is_nothing
from ..core.autodiff import collect, propagate
from ..core.op import Array, Leaf, Node
from ..core.tensor import Tensor
from .build import Built
from .idle import Idle
from .padding import Span
from .passes import NATIVE
from .step.body import Underivable
from .step.replay import leading, replay, uneven
from .writing.native import compiled
from .writing.sections import COPIED

LENGTHS_KEPT = 64  # for which it is known which gradients there are
SMALL = 8  # first states up to here count as bounded


class Large(Underivable):
    """A first state is too large for the pass `lerp`, with which the plan was made."""


class Plan:
    """The compiled source of one structure, and the memory that its calls use again."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.native = NATIVE not in mode().passes
        self.functions = compiled(built.text, self.native)
        self.inputs_of_gradients = [i for _, i in built.gradients]
        self.masked = any(name == "where" for name, *_ in built.tape.ops)
        # by the number of steps and which results are unread: whether `0 · ∞` may come in, which gradients there are
        self.reached: dict[tuple[Any, ...], tuple[bool, list[bool]]] = {}
        self.idle = Idle()

    @cached_property
    def lending(self) -> Any:
        """A `forward` that gives outputs as views of its memory, which hold until `idle` gets that back."""
        text = self.built.text.replace(COPIED, COPIED.removeprefix(".copy()"))
        return compiled(text, self.native)["forward"]

    def run(
        self,
        arrays: list[Array],
        nodes: Sequence[Node | None] | None,
        order: tuple[bool, bool],
        masked: bool,
        lends: bool = False,
    ) -> tuple[list[Array], Call | None]:
        """Outputs and last states and, if the nodes of the inputs are given, the call that their gradients need.

        If `masked`, the last sequence says what is padding.
        """
        span = Span.of(arrays[self.built.tape.xs - 1]) if masked else None
        if nodes is None:
            return self.forward_only(arrays, span), None
        results, cache = self.forward(arrays, lends, span)
        return results, Call(self, arrays, cache, nodes, order, span)

    def forward(
        self, arrays: Sequence[Array], lends: bool = False, span: Span | None = None
    ) -> tuple[list[Array], Any]:
        """Outputs and last states, and the memory with what the backward pass needs, which `idle` is to get back."""
        if span is not None:
            arrays, lends = span.arrays(arrays, self.built.tape.xs), False
        run = self.lending if lends else self.functions["forward"]
        *results, cache = run(*arrays, cache=self.idle.take(arrays[0].shape[1]))
        if span is not None:
            count = self.built.outputs
            results = [*map(span.outputs, results[:count]), *results[count:]]
        return results, cache

    def forward_only(self, arrays: Sequence[Array], span: Span | None = None) -> list[Array]:
        """Outputs and last states; nothing is kept."""
        results, cache = self.forward(arrays, span=span)
        self.idle.give_back(length_of(arrays, span), cache)
        return results

    def checked(self, gradients: list[Any], call: Call, cotangents: Sequence[Array]) -> list[Any]:
        """The gradients: None of what only unread results depend on, or what no step that is read could reach.

        All come from the recorded steps if some are not finite where `0 · ∞` may have come in. That is behind a
        `where`, and from results that the loss does not use: the recorded steps do not go there at all.
        """
        unread = tuple(map(is_nothing, cotangents))
        key = call.length, call.final, unread
        known = self.reached.get(key)  # another thread may let go of all
        if known is None:
            tape = self.built.tape
            found = leading(tape, unread, call.length, call.final)
            guarded = self.built.guarded or uneven(tape, unread, call.final)
            if len(self.reached) >= LENGTHS_KEPT:
                self.reached.clear()
            self.reached[key] = known = guarded, [i in found for i in self.inputs_of_gradients]
        guarded, reached = known
        if (guarded or call.guarded) and not all(np.isfinite(np.sum(g)) for g in gradients):
            return call.unrolled(cotangents, False)
        return (
            gradients if all(reached) else [g if r else None for g, r in zip(gradients, reached, strict=True)]
        )

    def look(self, arrays: Sequence[Array]) -> None:
        """Raise `Large` for a first state that is not as small as it was taken for."""
        for i in self.built.small:
            if not np.abs(arrays[i]).max(initial=0) <= SMALL:
                raise Large(
                    f"a state begins with values beyond ±{SMALL}, which its weighted mean would round"
                )


def length_of(arrays: Sequence[Array], span: Span | None) -> int:
    """How many steps are run."""
    return arrays[0].shape[1] if span is None else span.end - span.first


class Call:
    """One run of a plan: what its backward pass needs. Its memory goes back to the plan when nobody needs it."""

    guarded = False  # the backward pass has come through a `where`

    def __init__(
        self,
        plan: Plan,
        arrays: list[Array],
        cache: Any,
        nodes: Sequence[Node | None],
        order: tuple[bool, bool],
        span: Span | None = None,
    ) -> None:
        self.plan, self.length, self.arrays = plan, arrays[0].shape[1], arrays
        self.span = span  # of the steps that were run, if not all
        self.nodes = nodes  # of sequences, states and constants
        # the sequences were turned round: the first step that runs is the last in time; only the last output is read
        self.turned, self.final = order
        self.cache = cache

    def __del__(self) -> None:
        if getattr(self, "cache", None) is not None:  # it has none if it was interrupted
            self.plan.idle.give_back(length_of(self.arrays, self.span), self.cache)

    def backward(self, cotangents: Sequence[Array]) -> list[Any]:
        """The gradient of every input that has one; as all vjps, it runs without NumPy's warnings."""
        built, span, run = self.plan.built, self.span, self.plan.functions["backward"]
        if span is None:
            found = list(run(*self.arrays, *cotangents, self.cache).values())
        else:
            count = built.outputs
            inner = [*map(span.cotangent, cotangents[:count]), *cotangents[count:]]
            found = list(run(*span.arrays(self.arrays, built.tape.xs), *inner, self.cache).values())
            pairs = zip(built.gradients, found, strict=True)
            found = [span.gradient(g) if kind == "x" else g for (kind, _), g in pairs]
        return self.plan.checked(found, self, cotangents)

    def pass_on(self, guarded: bool) -> bool:
        """Whether a backward pass that came through a `where`, or did not, has done so behind this recurrence."""
        self.guarded = guarded
        return guarded or self.plan.masked

    def opened(self) -> list[Tensor]:
        """Outputs and last states, with every op of every step recorded."""
        leaves = [Tensor(a, n) for a, n in zip(self.arrays, self.nodes, strict=False)]
        return self._replayed(leaves, False)

    def _replayed(self, leaves: list[Tensor], final: bool) -> list[Tensor]:
        recorded = self.plan.built.tape
        inputs = recorded.xs + len(recorded.states)
        xs, states, constants = leaves[: recorded.xs], leaves[recorded.xs : inputs], leaves[inputs:]
        with enable_grad(), switched(derive=False):
            return replay(recorded, xs, states, constants, self.turned, final)

    def unrolled(self, cotangents: Sequence[Any], create_graph: bool, active: Any = None) -> list[Any]:
        """The gradients from the recorded steps: those of `active` nodes, if these are given.

        Each for itself: that one input was computed from another, or is the same, is seen by the walk outside.
        """
        nodes = self.nodes if create_graph else _leaves(self.nodes)
        leaves = [Tensor(a, n) for a, n in zip(self.arrays, nodes, strict=False)]
        roots = []
        for i, (result, g) in enumerate(zip(self._replayed(leaves, self.final), cotangents, strict=True)):
            read = getattr(g, "_node", None) is not None or not is_nothing(getattr(g, "_data", g))
            if read and result._node is not None:
                roots.append((result._node, g[:, -1:] if self.final and i < self.plan.built.outputs else g))
        wanted = [leaves[i]._node for _, i in self.plan.built.gradients]
        ends = {node for node in wanted if node is not None}
        targets = ends if active is None else ends & active
        with enable_grad(), switched(derive=False):
            found = propagate(collect(roots, ends), roots, targets, create_graph, self.guarded, through=False)
        return [None if node is None else found.pop(node, None) for node in wanted]


def _leaves(nodes: Sequence[Node | None]) -> list[Node | None]:
    """Nodes like these, at which a backward pass ends."""
    return [n and Leaf(n.shape, n.dtype) for n in nodes]


class Rerun:
    """Runs a plan once more on other arrays, as a step of a recorded batch."""

    def __init__(
        self, plan: Plan, order: tuple[bool, bool], nodes: Sequence[Node | None] | None, masked: bool
    ) -> None:
        self.plan, self.order = plan, order
        self.masked = masked
        self.ends = nodes and _leaves(nodes)
        self.lends = False  # outputs are views of memory: if they are let go before the call that is returned

    def __call__(self, *inputs: Array) -> list[Any]:
        """Outputs and last states and, if nodes were given, the call that the backward pass needs."""
        arrays = [*inputs, *self.plan.built.static]
        self.plan.look(arrays)
        results, call = self.plan.run(arrays, self.ends, self.order, self.masked, self.lends)
        return results if call is None else [*results, call]
