"""Derived mode: a step is traced, its backward pass derived, and both run as the loops of `source`.

In the graph the whole recurrence is one node, whose vjp is the derived backward pass. What is learned about a step
is kept by the structure of its ops and their shapes, so that a new length costs nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..config import mode
from ..core.arrays import copy_unless_frozen
from ..core.op import Array, Node, Op, Port
from ..core.tensor import Tensor
from ..locks import new_lock
from .build import build
from .examine import examine
from .known import Known, Memory, Recurrence
from .masked import Masked
from .plan import Call, Plan, Rerun
from .segments import Segments
from .step.body import Underivable
from .step.tracer import Tracer
from .trial import Unrolled, sampled, try_out

BLOCK = 31 * 2**20  # bytes; glibc raises the size from which it returns memory to the system up to 32 MB
PLANS_KEPT = 512  # structures whose source is kept: 0.1 MB each, and 20 ms to make one again


def _scan_vjps(g: Sequence[Any], call: Any, *inputs: Any, active: Any = None) -> list[Any]:
    recorded = isinstance(call, Tensor)  # the gradient is recorded in turn
    owner: Any = call._data if recorded else call
    if recorded or any([isinstance(p, Tensor) for p in g]):
        found = owner.unrolled([p if isinstance(p, Tensor) else Tensor(p, None) for p in g], True, active)
    else:
        found = owner.backward(g)
    parts: list[Any] = [None] * len(inputs)
    for i, value in zip(owner.plan.inputs_of_gradients, found, strict=True):
        parts[i] = value
    return parts


def _no_kernel(*_: Array) -> Array:
    raise RuntimeError("a derived recurrence cannot be run again as one op")


SCAN = Op(
    "scan",
    _no_kernel,
    vjp_all=_scan_vjps,
    outputs=None,
    inner=True,
    doc="a whole recurrence, with derived BPTT",
)

# Or why there is none: a trial that failed is not repeated.
_plans: OrderedDict[Any, Plan | str] = OrderedDict()
_lock = new_lock()


class Found(NamedTuple):
    """What is known about a step: its plan, and which state each output is that the plan does not give."""

    plan: Plan
    states: list[int | None]


def _traced(
    recurrence: Recurrence, recording: bool, again: Unrolled, final: bool
) -> tuple[Found, list[Any], Known | None]:
    """What is known about a step, the Tensors and arrays from outside that it uses, and what all depends on, if known.

    A step is traced again if anything that it refers to was replaced, or cannot be watched. If `final`, only the last
    outputs are read: those that are states come with the last states.
    """
    inputs = recurrence.inputs(recording)
    memory = Memory(recurrence, inputs, (recording, final))
    if (known := memory.recall()) is not None:
        return known.found, known.bound(memory.given), known
    tracer = examine(recurrence.step, inputs, recurrence.constants, recurrence.several)
    # of the step alone, before anything is derived
    bound, has_read = list(tracer.body.bound), tracer.has_read
    states: list[int | None] = [None] * len(tracer.body.outputs)
    if final:
        states = tracer.body.leave_to_states()

    def remaining(xs: list[Tensor], first: list[Tensor]) -> Any:
        outputs, last = again(xs, first)
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple([o for o, j in zip(several, states, strict=True) if j is None]), last

    found = Found(_plan(tracer, bound, inputs, recording, remaining, recurrence.sequences), states)
    return found, bound, memory.keep(found, bound, has_read)


def outputs_of(recurrence: Recurrence) -> list[tuple[Any, Any, list[int]]]:
    """Shape and type of every output of a step, and which of the new states it is."""
    inputs = recurrence.inputs(False)
    memory = Memory(recurrence, inputs, "outputs")
    if (known := memory.recall()) is not None:
        return known.found  # type: ignore[no-any-return]
    tracer = examine(recurrence.step, inputs, recurrence.constants, recurrence.several)
    new = tracer.body.new_states
    found = [(o.shape, o.dtype, [j for j, v in enumerate(new) if v is o]) for o in tracer.body.outputs]
    memory.keep(found, tracer.body.bound, tracer.has_read)
    return found


def _plan(
    tracer: Tracer,
    bound: list[Any],
    inputs: Any,
    recording: bool,
    again: Unrolled,
    sequences: list[Tensor],
) -> Plan:
    """The plan of a structure, made and tried out if there is none; raises `Underivable`."""
    body = tracer.body
    asked = tuple([v.wanted for v in body.inputs])
    saving = recording and any(asked)
    key = (body.key(), asked, saving, mode().passes)
    with _lock:
        known = _plans.get(key)
        if known is not None:
            _plans.move_to_end(key)
    if isinstance(known, str):
        raise Underivable(known)
    if known is not None:
        return known
    np.empty(BLOCK, np.uint8)  # freed at once: from then on glibc keeps memory of this size for later
    try:
        plan = Plan(build(tracer, saving))
        try_out(plan.built, plan.functions, inputs, bound, again, steps=sampled(sequences))
    except Exception as error:  # the recorded steps do the same
        reason = f"deriving it failed ({type(error).__name__}: {error}); please report this step"
        reason = str(error) if isinstance(error, Underivable) else reason
        if not isinstance(error, (MemoryError, RecursionError)):  # may not come again
            _remember(key, reason)
        raise Underivable(reason) from error
    _remember(key, plan)
    return plan


def _remember(key: Any, found: Plan | str) -> None:
    """Keep a plan, or why there is none; the one that was not asked for the longest goes."""
    with _lock:
        _plans[key] = found
        while len(_plans) > PLANS_KEPT:
            _plans.popitem(last=False)


def forget() -> None:
    """Let go of all plans, with the memory that their calls use again, but for those of steps that still exist."""
    with _lock:
        _plans.clear()


def run(
    recurrence: Recurrence, again: Unrolled, checkpoint: bool, order: tuple[bool, bool]
) -> tuple[tuple[Tensor, ...], list[Tensor], bool]:
    """Outputs, last states and whether the outputs are several; raises `Underivable`.

    `again(sequences, states)` runs the same unrolled.
    `order` says that the sequences run from the last time step to the first, and that only the last output is wanted.
    With `checkpoint` only the states between segments are kept, and the backward pass runs each segment again.
    """
    sequences, states = recurrence.sequences, recurrence.states
    found, bound, known = _traced(recurrence, mode().grad, again, order[1])
    plan = found.plan
    saving = bool(plan.built.gradients)
    arrays = [t._data for t in (*sequences, *states)]
    arrays += [b._data if isinstance(b, Tensor) else copy_unless_frozen(b) for b in bound] + plan.built.static
    plan.look(arrays)
    monitor = mode().monitor
    if monitor is not None:
        if checkpoint or known is None or not known.fixed:
            monitor.refuse("a recurrence whose step may be another one the next time")
        else:
            monitor.depends(known.dependencies)
    tensors = [*sequences, *states, *[b if isinstance(b, Tensor) else Tensor(b, None) for b in bound]]
    nodes = tuple([t._node for t in tensors])
    masked = isinstance(recurrence.step, Masked)
    call: Call | None = None
    if checkpoint and saving:
        keeping_none = _traced(recurrence, False, again, order[1])[0].plan
        call = Segments(plan, arrays, (len(sequences), len(states)), nodes, order, keeping_none)
    try:
        with np.errstate(all="ignore"):
            if isinstance(call, Segments):
                results = call.forward()
            else:
                results, call = plan.run(arrays, nodes if saving else None, order, masked)
    except (LookupError, TypeError, ValueError) as error:  # the recorded steps will say it better
        raise Underivable(f"its loop raised {type(error).__name__}: {error}") from error
    node: Node | None = None
    if saving:
        shapes = tuple(r.shape for r in results)
        node = Node(SCAN, {}, nodes, (call, *[None] * len(nodes)), shapes, results[0].dtype, mode().scope)
    if monitor is not None:
        monitor.ran(Rerun(plan, order, nodes if saving else None, masked), tensors, results, node)
    ports = [node and Port(node, i, r) if plan.built.recorded[i] else None for i, r in enumerate(results)]
    made = [Tensor(r, port) for r, port in zip(results, ports, strict=True)]
    given: Iterator[Tensor] = iter(made[: plan.built.outputs])
    last = made[plan.built.outputs :]
    if order[1]:  # a view of each that is given for all steps
        given = (y[:, -1] for y in given)
    outputs = tuple([next(given) if j is None else last[j] for j in found.states])
    return outputs, last, plan.built.several_out
