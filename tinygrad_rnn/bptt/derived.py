"""Derived mode: a step is traced, its backward pass derived, and both run as the loops of `source`.

In the graph the whole recurrence is one node, whose vjp is the derived backward pass. What is learned about a step
is kept by the structure of its ops, so that a new batch size or length costs nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from ..config import epsilon, floatx, mode
from ..core.arrays import copy_unless_frozen
from ..core.op import Array, Node, Op, Port
from ..core.tensor import Tensor, Variable
from .body import Underivable
from .build import build, examine
from .dependencies import Dependencies, Unsure
from .plan import Call, Plan, Rerun, forward_only, start
from .purity import Traces
from .segments import Segments
from .trial import Unrolled, try_out

BLOCK = 31 * 2**20  # bytes; glibc raises the size from which it returns memory to the system up to 32 MB
PLANS_KEPT = 64  # structures whose source is kept
TRACES_KEPT = 8  # shapes for which it is kept with a step what was found out about it
FAILURES = 3  # what a step depends on changed so many times: it is traced at every call


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
    step: Any, inputs: Any, constants: Any, several_in: bool, recording: bool, again: Unrolled
) -> tuple[Plan, list[Any], Known | None]:
    """The plan for a step, the Tensors and arrays from outside that it uses, and what both depend on, if known.

    A step is traced again if anything that it refers to was replaced, or cannot be watched.
    """
    given, structure = _given(constants)
    traces = _traces(step)
    key: Any = None
    if traces is not None and structure is not None:
        here = mode()
        flags = (recording, several_in, here.passes, here.training, floatx(), epsilon(), structure)
        key = (flags, *[(a.shape, a.dtype, w) for group in inputs for a, w in group])
        known = traces.get(key)
        if known is not None:
            if (bound := known.bound(given)) is not None:
                traces.failures = 0
                return known.plan, bound, known
            traces.failures += 1
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
    if traces is None or key is None or traces.failures >= FAILURES:
        return plan, body.bound, None
    found: Known | None = None
    try:
        if key in traces:  # the second time: many a function is made for one call
            found = Known(step, plan, body.bound, given)
    except Unsure:
        traces.failures = FAILURES
    traces[key] = found
    while len(traces) > TRACES_KEPT:
        traces.pop(next(iter(traces)))
    return plan, body.bound, found


class Known:
    """What a trace found, with what it depends on."""

    def __init__(self, step: Any, plan: Plan, bound: list[Any], given: list[Any]) -> None:
        places = {id(g): i for i, g in enumerate(given)}
        self.plan = plan
        self.found = [(places.get(id(b), -1), b) for b in bound]
        self.leaves = [(getattr(b, "_node", None) is not None, b.dtype) for b in bound]
        self.dependencies = Dependencies(step, bound)
        if any(id(g) in self.dependencies.seen for g in given):
            raise Unsure("a constant that the step knows already")
        self.fixed = all(isinstance(b, Variable) or i >= 0 for i, b in self.found)

    def bound(self, given: list[Any]) -> list[Any] | None:
        """The Tensors and arrays from outside for a call with these constants; None if it must be traced."""
        if not self.dependencies.unchanged():
            return None
        bound = [b if i < 0 else given[i] for i, b in self.found]
        same = [
            (getattr(b, "_node", None) is not None, b.dtype) == leaf
            for b, leaf in zip(bound, self.leaves, strict=True)
        ]
        return bound if all(same) else None


def _traces(step: Any) -> Traces | None:
    """Where it is kept what was found out about a step: with the layer that it belongs to, or the function."""
    owner = getattr(step, "__self__", None)
    if owner is None and isinstance(step, (FunctionType, partial)):
        found: Traces = step.__dict__.setdefault("__traces__", Traces())
        return found
    held = getattr(owner, "traces", None)
    return held if isinstance(held, Traces) else None


def _given(constants: Any) -> tuple[list[Any], Any]:
    """Tensors and arrays among the constants, and all else about them; None if there are things of other kinds."""
    given: list[Any] = []
    first: dict[int, int] = {}

    def structure(value: Any) -> Any:
        if isinstance(value, (Tensor, np.ndarray)):
            given.append(value)
            data = getattr(value, "_data", value)
            return data.shape, data.dtype, type(value), first.setdefault(id(data), len(given))
        if type(value) in (tuple, list):
            return type(value), *[structure(v) for v in value]
        if type(value) is dict:
            return dict, *[(k, structure(v)) for k, v in value.items()]
        if value is None or type(value) in (bool, int, float, str):
            return type(value), value
        raise Unsure(type(value).__name__)

    try:
        return given, structure(constants)
    except Unsure:
        return given, None


def _plan(
    key: Any,
    step: Any,
    inputs: Any,
    constants: Any,
    several_in: bool,
    saving: bool,
    bound: list[Any],
    again: Unrolled,
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
    again: Unrolled,
    checkpoint: bool,
    turned: bool,
) -> tuple[tuple[Tensor, ...], list[Tensor], bool]:
    """Outputs, last states and whether the outputs are several; raises `Underivable`.

    `again(sequences, states)` runs the same unrolled.
    `turned` says that the sequences run from the last time step to the first.
    With `checkpoint` only the states between segments are kept, and the backward pass runs each segment again.
    """
    recording = mode().grad
    wanted = [[recording and t._node is not None for t in ts] for ts in (sequences, states)]
    inputs = [
        [(t._data[:, 0], w) for t, w in zip(sequences, wanted[0], strict=True)],
        [(t._data, w) for t, w in zip(states, wanted[1], strict=True)],
    ]
    plan, bound, known = _traced(step, inputs, constants, several_in, recording, again)
    saving = bool(plan.built.gradients)
    length = sequences[0].shape[1]
    arrays = [t._data for t in (*sequences, *states)]
    arrays += [b._data if isinstance(b, Tensor) else copy_unless_frozen(b) for b in bound] + plan.built.static
    monitor = mode().monitor
    if monitor is not None:
        if checkpoint or known is None or not known.fixed:
            monitor.refuse("a recurrence whose step may be another one the next time")
        else:
            monitor.depends(known.dependencies)
    if not saving:
        results = forward_only(plan, length, arrays)
        if monitor is not None:
            monitor.ran(Rerun(plan, turned, (), None), [*sequences, *states, *bound], results, None)
        made = [Tensor(r, None) for r in results]
        return tuple(made[: plan.built.outputs]), made[plan.built.outputs :], plan.built.several_out
    tensors = [*sequences, *states, *[b if isinstance(b, Tensor) else Tensor(b, None) for b in bound]]
    nodes = tuple([t._node for t in tensors])
    call: Call
    if checkpoint:
        unasked = [[(a, False) for a, _ in group] for group in inputs]
        keeping_none = _traced(step, unasked, constants, several_in, False, again)[0]
        call = Segments(plan, arrays, (len(sequences), len(states)), nodes, keeping_none)
        call.turned = turned
        results = call.forward()
    else:
        results, call = start(plan, length, arrays, nodes, turned)
    shapes = tuple(r.shape for r in results)
    node = Node(SCAN, {}, nodes, (call, *[None] * len(nodes)), shapes, results[0].dtype, mode().scope)
    if monitor is not None:
        monitor.ran(Rerun(plan, turned, nodes, node), tensors, results, node)
    made = [Tensor(r, Port(node, i, r) if plan.built.recorded[i] else None) for i, r in enumerate(results)]
    return tuple(made[: plan.built.outputs]), made[plan.built.outputs :], plan.built.several_out
