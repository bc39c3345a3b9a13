"""Derived mode: a step is traced, its backward pass derived, and both run as the loops of `source`.

In the graph the whole recurrence is one node, whose vjp is the derived backward pass. What is learned about a step
is kept by the structure of its ops and their shapes, so that a new length costs nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import numpy as np

from ..config import epsilon, floatx, mode
from ..core.arrays import copy_unless_frozen
from ..core.op import Array, Node, Op, Port
from ..core.tensor import Tensor, Variable
from .build import build
from .examine import examine
from .masked import Masked
from .outside.dependencies import LARGEST, Dependencies, Unsure
from .outside.purity import Traces
from .plan import Call, Plan, Rerun, forward_only, start
from .segments import Segments
from .step.body import Underivable
from .step.tracer import Tracer
from .trial import Unrolled, sampled, try_out

BLOCK = 31 * 2**20  # bytes; glibc raises the size from which it returns memory to the system up to 32 MB
PLANS_KEPT = 512  # structures whose source is kept: 0.1 MB each, and 20 ms to make one again
TRACES_KEPT = 512  # shapes for which it is kept with a step what was found out about it
FAILURES = 3  # what a step depends on changed so many times: it is traced at every call


def _scan_vjps(g: Sequence[Any], call: Any, *inputs: Any) -> list[Any]:
    recorded = isinstance(call, Tensor)  # the gradient is recorded in turn
    owner: Any = call._data if recorded else call
    if recorded or any([isinstance(p, Tensor) for p in g]):
        found = owner.unrolled([p if isinstance(p, Tensor) else Tensor(p, None) for p in g], True)
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
_lock = threading.Lock()


class Recurrence(NamedTuple):
    """A step function, and what it is run on."""

    step: Any
    sequences: list[Tensor]
    states: list[Tensor]
    constants: Any
    several: bool  # the step takes a tuple of inputs

    def inputs(self, recording: bool) -> Any:
        """Inputs of a step and states, with whether their gradient is asked for."""
        xs = [(x._data[:, 0], recording and x._node is not None) for x in self.sequences]
        return [xs, [(s._data, recording and s._node is not None) for s in self.states]]


def _traced(recurrence: Recurrence, recording: bool, again: Unrolled) -> tuple[Plan, list[Any], Known | None]:
    """The plan for a step, the Tensors and arrays from outside that it uses, and what both depend on, if known.

    A step is traced again if anything that it refers to was replaced, or cannot be watched.
    """
    step, inputs = recurrence.step, recurrence.inputs(recording)
    traces, key, given = _memory(recurrence, inputs, recording)
    dependencies: Dependencies | None = None
    if traces is not None and key in traces:  # not the first time: many a function is made for one call
        known = traces.get(key)  # another thread may have given up meanwhile
        if known is not None:
            if (bound := known.bound(given)) is not None:
                traces.failures = 0
                return known.plan, bound, known
            traces.failures += 1
        dependencies = _dependencies(step, traces)
    tracer = examine(step, inputs, recurrence.constants, recurrence.several)
    # of the step alone, before anything is derived
    bound, has_read = list(tracer.body.bound), tracer.has_read
    plan = _plan(tracer, bound, inputs, recording, again, recurrence.sequences)
    if traces is None or key is None:
        return plan, bound, None
    found: Known | None = None
    if dependencies is not None and dependencies.unchanged():  # also by another thread
        found = Known(plan, bound, given, dependencies)
        if has_read or found.aliased(given):
            found, traces.failures = None, FAILURES
    _keep(traces, key, found)
    return plan, bound, found


def outputs_of(recurrence: Recurrence) -> list[tuple[Any, Any, list[int]]]:
    """Shape and type of every output of a step, and which of the new states it is."""
    step, inputs = recurrence.step, recurrence.inputs(False)
    traces, key, given = _memory(recurrence, inputs, "outputs")
    dependencies: Dependencies | None = None
    if traces is not None and key in traces:
        known = traces.get(key)
        if known is not None and known[0].unchanged() and known[2] == _shared(known[0], given):
            return known[1]  # type: ignore[no-any-return]
        dependencies = _dependencies(step, traces)
    tracer = examine(step, inputs, recurrence.constants, recurrence.several)
    new = tracer.body.new_states
    found = [(o.shape, o.dtype, [j for j, v in enumerate(new) if v is o]) for o in tracer.body.outputs]
    if traces is not None and key is not None:
        sure = dependencies is not None and dependencies.unchanged() and not tracer.has_read
        shared = _shared(dependencies, given) if dependencies is not None else []
        _keep(traces, key, (dependencies, found, shared) if sure else None)
    return found


def _memory(recurrence: Recurrence, inputs: Any, what: Any) -> tuple[Traces | None, Any, list[Any]]:
    """Where it is kept what was found out about a step, under which key, and the Tensors among the constants."""
    step, flags = recurrence.step, (what, recurrence.several)
    given: list[Any] = []
    traces, structure = _traces(step), None
    if traces is not None and traces.failures < FAILURES:
        given, structure = _given(recurrence.constants)
    if structure is None:
        return traces, None, given
    here = mode()
    if isinstance(step, Masked):
        flags = (*flags, step.several_in, *step.repeated)
        step = step.step
    shapes = [(a.shape, a.dtype, w) for group in inputs for a, w in group]
    code = getattr(step, "__func__", None)  # a layer has several
    switches = (here.passes, here.training, floatx(), epsilon())
    return traces, (structure, code, flags, switches, len(inputs[0]), *shapes), given


def _keep(traces: Traces, key: Any, found: Any) -> None:
    """Keep what was found out about a step; None says that it was traced once."""
    with _lock:
        traces[key] = found
        if traces.failures >= FAILURES:
            traces.clear()
            traces.dependencies.clear()
        elif len(traces) > TRACES_KEPT:
            traces.pop(next(iter(traces)))


def _dependencies(step: Any, traces: Traces) -> Dependencies | None:
    """What the step refers to; None, from now on, if that changes at every call, or cannot be watched."""
    if traces.failures < FAILURES:
        step = step.step if isinstance(step, Masked) else step
        method = getattr(step, "__func__", None)
        known = traces.dependencies.get(method)
        if known is not None and known.unchanged():  # found for another shape
            return known  # type: ignore[no-any-return]
        try:
            found = traces.dependencies[method] = Dependencies(step)
            return found
        except Unsure:
            traces.failures = FAILURES
    return None


class Known:
    """What a trace found, with what it depends on."""

    def __init__(self, plan: Plan, bound: list[Any], given: list[Any], dependencies: Dependencies) -> None:
        places = {id(g): i for i, g in enumerate(given)}
        self.plan, self.dependencies = plan, dependencies
        self.found = [(i, None if i >= 0 else b) for b in bound for i in (places.get(id(b), -1),)]
        self.shared = _shared(dependencies, given)
        self.fixed = all(i >= 0 or isinstance(b, Variable) for i, b in self.found)

    def bound(self, given: list[Any]) -> list[Any] | None:
        """The Tensors and arrays from outside for a call with these constants; None if it must be traced."""
        if _shared(self.dependencies, given) != self.shared or not self.dependencies.unchanged():
            return None
        return [b if i < 0 else given[i] for i, b in self.found]

    def aliased(self, given: list[Any]) -> bool:
        """Whether two of what it depends on hold the same memory now, such as `w` and `w.detach()`."""
        seen = (*self.dependencies.seen.values(), *given, *[b for _, b in self.found])
        known = {id(v): v for v in seen if isinstance(v, (Tensor, np.ndarray))}
        return len({id(_owner(v)) for v in known.values()}) < len(known)


def _shared(dependencies: Dependencies, given: list[Any]) -> list[int]:
    """Which of what the step knows by itself these are, too."""
    return [id(dependencies.seen.get(id(g))) for g in given]


def _owner(value: Any) -> Any:
    """The object that has the memory of a Tensor or array."""
    value = getattr(value, "_data", value)
    while isinstance(value, np.ndarray) and value.base is not None:
        value = value.base
    return value


def _traces(step: Any) -> Traces | None:
    """Where it is kept what was found out about a step: with the layer that it belongs to, or the function."""
    step = step.step if isinstance(step, Masked) else step
    owner, name = (step.__self__, "traces") if isinstance(step, MethodType) else (step, "__traces__")
    attributes = getattr(owner, "__dict__", {})
    held = attributes.get(name)
    if isinstance(held, Traces) and held.of(owner):
        return held
    if isinstance(held, Traces) or isinstance(step, (FunctionType, partial)):
        held = attributes[name] = Traces(owner)
        return held
    return None


def _given(constants: Any) -> tuple[list[Any], Any]:
    """Tensors and arrays among the constants, and all else about them; None if there are things of other kinds.

    Of an array it is all its values, as nothing shows what a step does with them.
    """
    given: list[Any] = []
    try:
        return given, _structure(constants, given, {})
    except (Unsure, RecursionError):
        return given, None


def _structure(value: Any, given: list[Any], first: dict[int, int]) -> Any:
    """What a value is made of; puts Tensors and arrays on the list, whose first places are kept by identity."""
    kind = type(value)
    if kind in (Tensor, Variable):
        given.append(value)
        data = value._data
        return data.shape, data.dtype, kind, value._node is None, first.setdefault(id(data), len(given))
    if kind is np.ndarray and value.nbytes <= LARGEST and not value.dtype.hasobject:
        given.append(value)
        return value.shape, value.dtype, value.tobytes(), first.setdefault(id(value), len(given))
    if kind in (tuple, list):
        return kind, *[_structure(v, given, first) for v in value]
    if kind is dict:
        return kind, *[(_structure(k, given, first), _structure(v, given, first)) for k, v in value.items()]
    if value is None or kind in (bool, int, float, str):
        return kind, value.hex() if kind is float else value  # with the sign of 0, and NaN is NaN
    raise Unsure(kind.__name__)


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


def run(
    recurrence: Recurrence, again: Unrolled, checkpoint: bool, order: tuple[bool, bool]
) -> tuple[tuple[Tensor, ...], list[Tensor], bool]:
    """Outputs, last states and whether the outputs are several; raises `Underivable`.

    `again(sequences, states)` runs the same unrolled.
    `order` says that the sequences run from the last time step to the first, and that only the last output is read.
    With `checkpoint` only the states between segments are kept, and the backward pass runs each segment again.
    """
    sequences, states = recurrence.sequences, recurrence.states
    plan, bound, known = _traced(recurrence, mode().grad, again)
    saving = bool(plan.built.gradients)
    length = sequences[0].shape[1]
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
    call: Call | None = None
    if checkpoint and saving:
        keeping_none = _traced(recurrence, False, again)[0]
        call = Segments(plan, arrays, (len(sequences), len(states)), nodes, order, keeping_none)
    try:
        with np.errstate(all="ignore"):
            if isinstance(call, Segments):
                results = call.forward()
            elif saving:
                results, call = start(plan, length, arrays, nodes, order)
            else:
                results = forward_only(plan, length, arrays)
    except (LookupError, TypeError, ValueError) as error:  # the recorded steps will say it better
        raise Underivable(f"its loop raised {type(error).__name__}: {error}") from error
    node: Node | None = None
    if saving:
        shapes = tuple(r.shape for r in results)
        node = Node(SCAN, {}, nodes, (call, *[None] * len(nodes)), shapes, results[0].dtype, mode().scope)
    if monitor is not None:
        monitor.ran(Rerun(plan, order, nodes if saving else None), tensors, results, node)
    ports = [node and Port(node, i, r) if plan.built.recorded[i] else None for i, r in enumerate(results)]
    made = [Tensor(r, port) for r, port in zip(results, ports, strict=True)]
    return tuple(made[: plan.built.outputs]), made[plan.built.outputs :], plan.built.several_out
