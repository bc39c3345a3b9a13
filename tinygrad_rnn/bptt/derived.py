"""Derived mode: a step is traced, its backward pass derived, and both run as the loops of `source`.

In the graph the whole recurrence is one node, whose vjp is the derived backward pass. What is learned about a step
is kept by the structure of its ops, so that a new batch size or length costs nothing.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np

from ..config import enable_grad, mode, switched
from ..core.arrays import copy_unless_frozen
from ..core.autodiff import grad
from ..core.op import Array, Node, Op, Port
from ..core.tensor import Tensor, Variable
from .body import Underivable
from .build import Built, build, examine
from .replay import replay
from .tight import tighten
from .trial import Again, try_out

BLOCK = 31 * 2**20  # bytes; glibc raises the size from which it returns memory to the system up to 32 MB
PLANS_KEPT = 64  # structures whose source is kept
TRACES_KEPT = 8  # shapes for which a layer remembers its plan
CACHES_KEPT = 4  # sets of buffers that wait for another call with the same structure


class Plan:
    """The compiled source of one structure, and the memory that its calls use again."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.functions: dict[str, Any] = {}
        exec(compile(tighten(built.text), "<derived BPTT>", "exec"), self.functions)
        self.idle: OrderedDict[int, tuple[int, Any]] = OrderedDict()
        self.count = itertools.count()
        self.lock = threading.Lock()

    def take(self, length: int) -> Any:
        """Memory of an earlier call with as many steps, or None."""
        with self.lock:
            for key, (steps, cache) in reversed(self.idle.items()):
                if steps == length:
                    del self.idle[key]
                    return cache
        return None

    def give_back(self, length: int, cache: Any) -> None:
        """Keep memory for later; the oldest goes."""
        with self.lock:
            self.idle[next(self.count)] = (length, cache)
            while len(self.idle) > CACHES_KEPT:
                self.idle.popitem(last=False)


class Call:
    """One run of a plan: what its backward pass needs. Its memory goes back to the plan when nobody needs it."""

    turned = False  # the sequences were turned round: the first step that runs is the last in time

    def __init__(
        self, plan: Plan, length: int, arrays: list[Array], cache: Any, leaves: list[Tensor]
    ) -> None:
        self.plan, self.length, self.arrays, self.cache = plan, length, arrays, cache
        self.leaves = leaves  # sequences, states and constants as they were

    def __del__(self) -> None:
        self.plan.give_back(self.length, self.cache)

    def backward(self, cotangents: Sequence[Array]) -> list[Any]:
        """The gradient of every input."""
        with np.errstate(all="ignore"):
            found = self.plan.functions["backward"](*self.arrays, *cotangents, self.cache)
        values = list(found.values())
        if self.plan.built.guarded and not all(np.isfinite(np.sum(v)) for v in values):
            return self.unrolled(cotangents, False)
        return values

    def opened(self) -> list[Tensor]:
        """Outputs and last states, with every op of every step recorded."""
        recorded = self.plan.built.tape
        xs, states = self.leaves[: recorded.xs], self.leaves[recorded.xs :][: len(recorded.states)]
        with enable_grad(), switched(derive=False):
            constants = self.leaves[recorded.xs + len(recorded.states) :]
            return replay(recorded, xs, states, constants, self.turned)

    def unrolled(self, cotangents: Sequence[Any], create_graph: bool) -> list[Any]:
        """The gradients from the recorded steps."""
        built = self.plan.built
        with enable_grad(), switched(derive=False):
            results = self.opened()
            pairs = [(r, g) for r, g in zip(results, cotangents, strict=True) if r.requires_grad]
            wanted = [self.leaves[i] for _, i in built.gradients]
            targets = [w for w in wanted if w.requires_grad]
            found = grad(
                [r for r, _ in pairs], targets, [g for _, g in pairs], create_graph, retain_graph=True
            )
        values = {id(w): g for w, g in zip(targets, found, strict=True)}
        gradients = [values.get(id(w)) for w in wanted]
        return gradients if create_graph else [None if g is None else g._data for g in gradients]


class Segments(Call):
    """A run that kept nothing but the states between segments; the backward pass runs each segment again."""

    def __init__(
        self,
        plan: Plan,
        arrays: list[Array],
        counts: tuple[int, int],
        leaves: list[Tensor],
        keeping_none: Plan,
    ) -> None:
        super().__init__(plan, 0, arrays, None, leaves)
        (self.xs, self.states), self.keeping_none = counts, keeping_none
        self.inputs = len(arrays) - len(plan.built.static)  # what the backward pass made up comes last
        length = arrays[0].shape[1]
        size = math.ceil(math.sqrt(length))
        self.segments = [(a, min(a + size, length)) for a in range(0, length, size)]
        self.starts: list[list[Array]] = []  # the states at the beginning of each segment

    def __del__(self) -> None:
        """There is no memory to give back."""

    def _arrays(self, a: int, b: int, states: list[Array]) -> list[Array]:
        rest = self.arrays[self.xs + self.states :]
        return [*[x[:, a:b] for x in self.arrays[: self.xs]], *states, *rest]

    def forward(self) -> list[Array]:
        """Outputs and last states, segment by segment."""
        outputs: list[Array] = []
        states = self.arrays[self.xs : self.xs + self.states]
        length = self.segments[-1][1]
        for a, b in self.segments:
            self.starts.append(states)
            made = _forward_only(self.keeping_none, b - a, self._arrays(a, b, states)[: self.inputs])
            pieces, states = made[: self.plan.built.outputs], made[self.plan.built.outputs :]
            if not outputs:
                outputs = [np.empty((p.shape[0], length, *p.shape[2:]), p.dtype) for p in pieces]
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
            cache = self.plan.take(b - a)
            with np.errstate(all="ignore"):
                *_, cache = self.plan.functions["forward"](*arrays, cache=cache)
                pieces = [g[:, a:b] for g in cotangents[:count]]
                found = self.plan.functions["backward"](*arrays, *pieces, *carry, cache)
            self.plan.give_back(b - a, cache)
            for (kind, i), value in zip(built.gradients, found.values(), strict=True):
                if kind == "x":
                    if i not in totals:
                        totals[i] = np.empty(self.arrays[i].shape, value.dtype)
                    totals[i][:, a:b] = value
                elif kind == "state":
                    totals[i] = carry[i - self.xs] = value
                else:
                    totals[i] = value if i not in totals else totals[i] + value
        values = [totals[i] for _, i in built.gradients]
        if built.guarded and not all(np.isfinite(np.sum(v)) for v in values):
            return self.unrolled(cotangents, False)
        return values


def _forward_only(plan: Plan, length: int, arrays: list[Array]) -> list[Array]:
    """Run forwards and keep nothing."""
    cache = plan.take(length)
    results: list[Array]
    *results, cache = _forward(plan, arrays, cache)
    plan.give_back(length, cache)
    return results


def _forward(plan: Plan, arrays: list[Array], cache: Any) -> Any:
    """Run forwards; what NumPy refuses, such as an index out of range, the recorded steps will say better."""
    try:
        with np.errstate(all="ignore"):
            return plan.functions["forward"](*arrays, cache=cache)
    except (LookupError, TypeError, ValueError) as error:
        raise Underivable(f"its loop raised {type(error).__name__}: {error}") from error


def _scan_vjps(g: Sequence[Any], call: Any, *inputs: Any) -> list[Any]:
    recorded = isinstance(call, Tensor)  # the gradient is recorded in turn
    owner: Any = call._data if recorded else call
    if recorded or any(isinstance(p, Tensor) for p in g):
        found = owner.unrolled([p if isinstance(p, Tensor) else Tensor(p, None) for p in g], True)
    else:
        found = owner.backward(g)
    parts: list[Any] = [None] * len(inputs)
    for (_, i), value in zip(owner.plan.built.gradients, found, strict=True):
        parts[i] = value
    return parts


def _no_kernel(*_: Array) -> Array:
    raise RuntimeError("a derived recurrence cannot be run again as one op")


SCAN = Op("scan", _no_kernel, vjp_all=_scan_vjps, outputs=None, doc="a whole recurrence, with derived BPTT")

_plans: OrderedDict[Any, Plan] = OrderedDict()
_lock = threading.Lock()


def _traced(
    step: Any, inputs: Any, constants: Any, several_in: bool, owner: Any, recording: bool, again: Again
) -> tuple[Plan, list[Any]]:
    """The plan for a step, and the Tensors and arrays from outside that it uses.

    A step is traced at every call, as what it closes over may be another thing now. Layers of this package say by
    `trace_key` what that could be, and are traced again only if one of these objects was replaced.
    """
    same = getattr(owner, "trace_key", None) if getattr(step, "__self__", None) is owner else None
    objects = same(constants) if same else None
    shapes = None
    if objects is not None:
        flags = (recording, mode().passes)
        shapes = (flags, *[(a.shape, a.dtype, w) for group in inputs for a, w in group])
        known = owner.traces.get(shapes)
        if known is not None:
            before, plan, bound, leaves = known
            if len(before) == len(objects) and all(map(is_, before, objects)):
                if all(
                    [(b._node is not None, b.dtype) == leaf for b, leaf in zip(bound, leaves, strict=True)]
                ):
                    return plan, bound
    tracer = examine(step, inputs, constants, several_in)
    body = tracer.body
    asked = tuple([v.wanted for v in (*body.xs, *body.states, *body.constants)])
    saving = recording and any(asked)
    plan = _plan(
        (body.key(), asked, saving, mode().passes),
        step,
        inputs,
        constants,
        several_in,
        saving,
        body.bound,
        again,
    )
    if shapes is not None and all(isinstance(b, Variable) for b in body.bound):
        while len(owner.traces) >= TRACES_KEPT:
            owner.traces.pop(next(iter(owner.traces)))
        owner.traces[shapes] = (
            objects,
            plan,
            body.bound,
            [(b._node is not None, b.dtype) for b in body.bound],
        )
    return plan, body.bound


def _plan(
    key: Any,
    step: Any,
    inputs: Any,
    constants: Any,
    several_in: bool,
    saving: bool,
    bound: list[Any],
    again: Again,
) -> Plan:
    """The plan of a structure, made and tried out if there is none; raises `Underivable`."""
    with _lock:
        if key in _plans:
            _plans.move_to_end(key)
            return _plans[key]
    np.empty(BLOCK, np.uint8)  # freed at once: from then on glibc keeps memory of this size for later
    try:
        plan = Plan(build(step, inputs, constants, several_in, saving))
        try_out(plan.built, plan.functions, inputs, bound, again)
    except Underivable:
        raise
    except (ArithmeticError, LookupError, NameError, SyntaxError, TypeError, ValueError) as error:
        reason = f"deriving it failed ({type(error).__name__}: {error}); please report this step"
        raise Underivable(reason) from error
    with _lock:
        _plans[key] = plan
        while len(_plans) > PLANS_KEPT:
            _plans.popitem(last=False)
    return plan


def run(
    step: Callable[..., Any],
    sequences: list[Tensor],
    states: list[Tensor],
    constants: Any,
    several_in: bool,
    again: Again,
    owner: Any,
    checkpoint: bool,
    turned: bool,
) -> tuple[tuple[Tensor, ...], list[Tensor], bool]:
    """Outputs, last states and whether the outputs are several; raises `Underivable`.

    `again(sequences, states)` runs the same unrolled. What was found out about a step is kept with its `owner`.
    `turned` says that the sequences run from the last time step to the first.
    With `checkpoint` only the states between segments are kept, and the backward pass runs each segment again.
    """
    recording = mode().grad
    wanted = [[recording and t._node is not None for t in ts] for ts in (sequences, states)]
    inputs = [
        [(t._data[:, 0], w) for t, w in zip(sequences, wanted[0], strict=True)],
        [(t._data, w) for t, w in zip(states, wanted[1], strict=True)],
    ]
    plan, bound = _traced(step, inputs, constants, several_in, owner, recording, again)
    saving = bool(plan.built.gradients)
    length = sequences[0].shape[1]
    arrays = [t._data for t in (*sequences, *states)]
    arrays += [b._data if isinstance(b, Tensor) else copy_unless_frozen(b) for b in bound] + plan.built.static
    if not saving:
        made = [Tensor(r, None) for r in _forward_only(plan, length, arrays)]
        return tuple(made[: plan.built.outputs]), made[plan.built.outputs :], plan.built.several_out
    tensors = [*sequences, *states, *[b if isinstance(b, Tensor) else Tensor(b, None) for b in bound]]
    leaves = [Tensor(a, t._node) for a, t in zip(arrays, tensors, strict=False)]
    call: Call
    if checkpoint:
        unasked = [[(a, False) for a, _ in group] for group in inputs]
        keeping_none = _traced(step, unasked, constants, several_in, owner, False, again)[0]
        call = Segments(plan, arrays, (len(sequences), len(states)), leaves, keeping_none)
        results = call.forward()
    else:
        cache = plan.take(length)
        *results, cache = _forward(plan, arrays, cache)
        call = Call(plan, length, arrays, cache, leaves)
    call.turned = turned
    nodes = tuple(t._node for t in leaves)
    shapes = tuple(r.shape for r in results)
    node = Node(SCAN, {}, nodes, (call, *[None] * len(nodes)), shapes, results[0].dtype, mode().scope)
    made = [Tensor(r, Port(node, i, r) if plan.built.recorded[i] else None) for i, r in enumerate(results)]
    return tuple(made[: plan.built.outputs]), made[plan.built.outputs :], plan.built.several_out
