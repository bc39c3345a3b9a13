"""Derived mode: a step is traced, its backward pass derived, and both run as the loops of `source`.

In the graph the whole recurrence is one node, whose vjp is the derived backward pass. What is learned about a step
is kept by the structure of its ops, so that a new batch size or length costs nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np

from ..config import mode
from ..core.arrays import copy_unless_frozen
from ..core.op import Array, Node, Op, Port
from ..core.tensor import Tensor, Variable
from .body import Underivable
from .build import build, examine
from .plan import Call, Plan, Rerun, forward_only, start
from .segments import Segments
from .trial import Unrolled, try_out

BLOCK = 31 * 2**20  # bytes; glibc raises the size from which it returns memory to the system up to 32 MB
PLANS_KEPT = 64  # structures whose source is kept
TRACES_KEPT = 8  # shapes for which a layer remembers its plan


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
    step: Any, inputs: Any, constants: Any, several_in: bool, owner: Any, recording: bool, again: Unrolled
) -> tuple[Plan, list[Any], bool]:
    """The plan for a step, the Tensors and arrays from outside that it uses, and whether these stay the same.

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
                    return plan, bound, True
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
    fixed = shapes is not None and all(isinstance(b, Variable) for b in body.bound)
    if fixed:
        while len(owner.traces) >= TRACES_KEPT:
            owner.traces.pop(next(iter(owner.traces)))
        owner.traces[shapes] = (
            objects,
            plan,
            body.bound,
            [(b._node is not None, b.dtype) for b in body.bound],
        )
    return plan, body.bound, fixed


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
    plan, bound, fixed = _traced(step, inputs, constants, several_in, owner, recording, again)
    saving = bool(plan.built.gradients)
    length = sequences[0].shape[1]
    arrays = [t._data for t in (*sequences, *states)]
    arrays += [b._data if isinstance(b, Tensor) else copy_unless_frozen(b) for b in bound] + plan.built.static
    monitor = mode().monitor
    if monitor is not None and (checkpoint or not fixed):
        monitor.refuse("a recurrence whose step may be another one the next time")
    if not saving:
        results = forward_only(plan, length, arrays)
        if monitor is not None:
            monitor.ran(Rerun(plan, turned, [], None), [*sequences, *states, *bound], results, None)
        made = [Tensor(r, None) for r in results]
        return tuple(made[: plan.built.outputs]), made[plan.built.outputs :], plan.built.several_out
    tensors = [*sequences, *states, *[b if isinstance(b, Tensor) else Tensor(b, None) for b in bound]]
    leaves = [Tensor(a, t._node) for a, t in zip(arrays, tensors, strict=False)]
    call: Call
    if checkpoint:
        unasked = [[(a, False) for a, _ in group] for group in inputs]
        keeping_none = _traced(step, unasked, constants, several_in, owner, False, again)[0]
        call = Segments(plan, arrays, (len(sequences), len(states)), leaves, keeping_none)
        call.turned = turned
        results = call.forward()
    else:
        results, call = start(plan, length, arrays, leaves, turned)
    nodes = tuple(t._node for t in leaves)
    shapes = tuple(r.shape for r in results)
    node = Node(SCAN, {}, nodes, (call, *[None] * len(nodes)), shapes, results[0].dtype, mode().scope)
    if monitor is not None:
        monitor.ran(Rerun(plan, turned, [n is not None for n in nodes], node), leaves, results, node)
    made = [Tensor(r, Port(node, i, r) if plan.built.recorded[i] else None) for i, r in enumerate(results)]
    return tuple(made[: plan.built.outputs]), made[plan.built.outputs :], plan.built.several_out
