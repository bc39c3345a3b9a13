"""Derived mode: a step is traced, its backward pass derived, and both run as the loops of `source`.

In the graph the whole recurrence is one node, whose vjp is the derived backward pass. What is learned about a step
is kept by the structure of its ops, so that a new batch size or length costs nothing.
"""

from __future__ import annotations

import itertools
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..config import enable_grad, mode, switched
from ..core.arrays import copy_unless_frozen
from ..core.autodiff import grad
from ..core.op import Array, Node, Op, Port
from ..core.tensor import Tensor
from . import algebra, schedule, source
from .adjoint import derive
from .body import Body, Tracer, Underivable, Value, dependents, trace
from .purity import Surroundings

PASSES = ("sums", "guards", "factors", "hoist", "defer")
PLANS_KEPT = 64  # structures whose source is kept
CACHES_KEPT = 4  # sets of buffers that wait for another call with the same structure


class Plan:
    """The compiled source of one structure, and the memory that its calls use again."""

    def __init__(self, text: str, body: Body, gradients: list[tuple[str, int]], guarded: bool, static: list[Any]) -> None:
        self.text = text
        self.functions = _compile(text)
        self.gradients = gradients  # in the order of backward's results: of which input
        self.outputs = len(body.outputs)
        self.several_out = body.several_out
        self.guarded = guarded  # `0 · ∞` was taken for granted not to happen
        self.static = static  # arrays that the backward pass made up
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

    def __init__(self, plan: Plan, length: int, arrays: list[Array], cache: Any, again: Callable[[], Any]) -> None:
        self.plan, self.length, self.arrays, self.cache = plan, length, arrays, cache
        self.again = again  # runs the recurrence unrolled: (results, inputs)

    def __del__(self) -> None:
        self.plan.give_back(self.length, self.cache)

    def backward(self, cotangents: Sequence[Array]) -> list[Any]:
        """The gradient of every input."""
        with np.errstate(all="ignore"):
            found = self.plan.functions["backward"](*self.arrays, *cotangents, self.cache)
        values = list(found.values())
        if self.plan.guarded and not all(np.isfinite(np.sum(v)) for v in values):
            return self.unrolled(cotangents, False)
        return values

    def unrolled(self, cotangents: Sequence[Any], create_graph: bool) -> list[Any]:
        """The gradients from the recorded steps."""
        with enable_grad(), switched(derive=False):
            results, inputs = self.again()
            pairs = [(r, g) for r, g in zip(results, cotangents, strict=True) if r.requires_grad]
            wanted = [inputs[i] for _, i in self.plan.gradients]
            targets = [w for w in wanted if w.requires_grad]
            found = grad([r for r, _ in pairs], targets, [g for _, g in pairs], create_graph, retain_graph=True)
        values = {id(w): g for w, g in zip(targets, found, strict=True)}
        gradients = [values.get(id(w)) for w in wanted]
        return gradients if create_graph else [None if g is None else g._data for g in gradients]


def _scan_vjps(g: Sequence[Any], call: Any, *inputs: Any) -> list[Any]:
    recorded = isinstance(call, Tensor)  # the gradient is recorded in turn
    owner: Any = call._data if recorded else call
    if recorded or any(isinstance(p, Tensor) for p in g):
        found = owner.unrolled([p if isinstance(p, Tensor) else Tensor(p, None) for p in g], True)
    else:
        found = owner.backward(g)
    parts: list[Any] = [None] * len(inputs)
    for (_, i), value in zip(owner.plan.gradients, found, strict=True):
        parts[i] = value
    return parts


def _no_kernel(*_: Array) -> Array:
    raise RuntimeError("a derived recurrence cannot be run again as one op")


SCAN = Op("scan", _no_kernel, vjp_all=_scan_vjps, outputs=None, doc="a whole recurrence, with derived BPTT")

_plans: OrderedDict[Any, Plan] = OrderedDict()
_refused: WeakKeyDictionary[Any, set[Any]] = WeakKeyDictionary()  # steps that were found to be underivable
_said: set[str] = set()
_lock = threading.Lock()


class UnrolledWarning(UserWarning):
    """A recurrence could not be derived, and runs unrolled."""


def run(
    step: Callable[..., Any],
    sequences: list[Tensor],
    states: list[Tensor],
    constants: Any,
    several_in: bool,
    again: Callable[[list[Tensor], list[Tensor]], Any],
    place: str,
) -> tuple[tuple[Tensor, ...], list[Tensor], bool] | None:
    """Outputs, last states and whether the outputs are several; None if the step cannot be derived.

    `again(sequences, states)` runs the same unrolled.
    """
    recording = mode().grad
    wanted = [[recording and t._node is not None for t in ts] for ts in (sequences, states)]
    first = [t._data[:, 0] for t in sequences]
    owner = getattr(step, "__self__", step)
    signature = tuple((a.shape, a.dtype) for a in (*first, *(s._data for s in states)))
    if signature in _refused.get(owner, ()):
        return None
    inputs = (list(zip(first, wanted[0], strict=True)), [(s._data, w) for s, w in zip(states, wanted[1], strict=True)])
    try:
        tracer = trace(step, *inputs, constants, several_in)
        body = tracer.body
        saving = recording and any(v.wanted for v in (*body.xs, *body.states, *body.constants))
        key = (body.key(), tuple(v.wanted for v in (*body.xs, *body.states, *body.constants)), saving, mode().passes)
        plan = _plans.get(key)
        if plan is None:
            plan = _build(step, inputs, constants, several_in, saving)
            with _lock:
                _plans[key] = plan
                while len(_plans) > PLANS_KEPT:
                    _plans.popitem(last=False)
    except Underivable as reason:
        refuse(owner, signature, f"{place}: {reason}; the recurrence runs unrolled")
        return None
    length = sequences[0].shape[1]
    bound = tracer.body.bound
    arrays = [t._data for t in (*sequences, *states)]
    arrays += [b._data if isinstance(b, Tensor) else copy_unless_frozen(b) for b in bound] + plan.static
    cache = plan.take(length)
    with np.errstate(all="ignore"):
        *results, cache = plan.functions["forward"](*arrays, cache=cache)
    if not saving:
        plan.give_back(length, cache)
        made = [Tensor(r, None) for r in results]
    else:
        leaves = [*sequences, *states, *[b if isinstance(b, Tensor) else Tensor(b, None) for b in bound]]

        def unrolled() -> Any:
            inner = [Tensor(t._data, t._node) for t in (*sequences, *states)]
            outputs, last = again(inner[: len(sequences)], inner[len(sequences) :])
            return [*(outputs if isinstance(outputs, tuple) else (outputs,)), *last], leaves

        call = Call(plan, length, arrays, cache, unrolled)
        nodes = tuple(t._node for t in leaves)
        shapes = tuple(r.shape for r in results)
        node = Node(SCAN, {}, nodes, (call, *[None] * len(nodes)), shapes, results[0].dtype, mode().scope)
        made = [Tensor(r, Port(node, i, r)) for i, r in enumerate(results)]
    return tuple(made[: plan.outputs]), made[plan.outputs :], plan.several_out


def refuse(owner: Any, signature: Any, message: str) -> None:
    """Remember that a step cannot be derived, and say so once."""
    try:
        _refused.setdefault(owner, set()).add(signature)
    except TypeError:
        pass
    message = re.sub(r" at 0x\w+", "", message)
    if message not in _said:
        _said.add(message)
        warnings.warn(message, UnrolledWarning, stacklevel=2)


# --- deriving ---------------------------------------------------------------------------------------


def _build(step: Any, inputs: Any, constants: Any, several_in: bool, saving: bool) -> Plan:
    """Trace with names, check that the step depends on nothing else, and write the source."""
    surroundings = Surroundings(step)
    tracer = trace(step, *inputs, constants, several_in, naming=True)
    _check_pure(step, inputs, constants, several_in, tracer, surroundings)
    changed = surroundings.undo()
    if changed:
        raise Underivable(f"the step changes {changed}")
    body = tracer.body
    text, gradients, guarded = compose(tracer, saving)
    static = body.bound[tracer.forward_constants :]
    try:
        larger = _enlarged(inputs, constants)
        other = trace(step, *larger[0], larger[1], several_in, naming=True)
        text = _with_batch(text, compose(other, saving)[0], inputs[0][0][0].shape[0])
    except Exception:  # the step needs this batch size: its source holds for this one only
        pass
    finally:
        surroundings.undo()
    return Plan(text, body, gradients, guarded, static)


def _check_pure(step: Any, inputs: Any, constants: Any, several_in: bool, tracer: Tracer, around: Surroundings) -> None:
    """Run the step on other values: what it does must not depend on them, nor on how often it was called."""
    changed = around.undo()
    if changed:
        raise Underivable(f"the step changes {changed}")
    rng = np.random.default_rng(0)
    other = [[(_other(a, rng), w) for a, w in group] for group in inputs]
    again = trace(step, *other, constants, several_in)
    if again.body.key() != tracer.body.key():
        raise Underivable("the step does something else when it is called again, or with other values")
    for a, b in zip(tracer.body.bound, again.body.bound, strict=True):
        if a is not b and not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind in "fc"):
            raise Underivable("the step makes arrays that are random, or depend on values that are no longer Tensors")


def _other(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype.kind not in "fc":
        return array
    return rng.standard_normal(array.shape).astype(array.dtype)


def _enlarged(inputs: Any, constants: Any) -> Any:
    """Inputs with one more example in the batch."""
    batch = inputs[0][0][0].shape[0]

    def grow(a: Any) -> Any:
        if isinstance(a, (list, tuple)):
            return type(a)([grow(v) for v in a])
        data = a._data if isinstance(a, Tensor) else a
        if not isinstance(data, np.ndarray) or data.ndim == 0 or data.shape[0] != batch:
            return a
        more = np.concatenate([data, data[:1]])
        return Tensor(more, a._node) if isinstance(a, Tensor) else more

    return [[(grow(a), w) for a, w in group] for group in inputs], grow(constants)


_INTEGER = re.compile(r"(?<![\w.])(\d+)(?![\w.])")


def _with_batch(text: str, other: str, batch: int) -> str:
    """Write `N` for every number that follows the batch size; two sources for sizes n and n + 1 tell which."""
    a, b = _INTEGER.split(text), _INTEGER.split(other)
    if len(a) != len(b) or a[::2] != b[::2]:
        return text
    for i in range(1, len(a), 2):
        if a[i] == b[i]:
            continue
        times = int(b[i]) - int(a[i])
        if times <= 0 or int(a[i]) != times * batch:
            return text
        a[i] = "N" if times == 1 else f"{times} * N"
    joined = "".join(a)
    if "N" not in a:
        return text
    joined = re.sub(r"    T, dtype = (X\w*)\.shape\[1\], ", r"    N, T, dtype = *\1.shape[:2], ", joined)
    return re.sub(r"    T = (X\w*)\.shape\[1\]\n", r"    N, T = \1.shape[:2]\n", joined)


def compose(tracer: Tracer, saving: bool) -> tuple[str, list[tuple[str, int]], bool]:
    """Passes, schedule and text; with the inputs that get gradients, in order."""
    off = mode().passes
    body = tracer.body
    if "sums" not in off:
        algebra.sums(tracer)
    tracer.forward_constants = len(body.bound)
    if not saving:
        return source.write(schedule.program(body, None, "hoist" not in off, True)), [], False
    once = set(body.constants)
    if "hoist" not in off:
        once |= set(body.values) - dependents(body.values, [*body.xs, *body.states])
    masked = any(v.op == "where" for v in body.values)
    adjoint = derive(tracer, once, masked and "guards" in off)
    guarded = masked
    if "guards" not in off:
        guarded = algebra.guards(adjoint) or masked
    if "factors" not in off:
        algebra.factors(adjoint)
        algebra.tidy(adjoint)
    if "defer" not in off:
        schedule.defer(adjoint, once, schedule.largest(body))
    algebra._resolve(adjoint)
    program = schedule.program(body, adjoint, "hoist" not in off, "defer" not in off)
    if "factors" not in off:
        schedule.order_carries(program)
    gradients: list[tuple[str, int]] = []
    inputs: list[Value] = [*body.xs, *body.states, *body.constants]
    for i, v in enumerate(inputs):
        if v.op == "x" and adjoint.xs[i] or v.op == "state" and v.active:
            gradients.append((v.op, i))
        elif v.op == "constant" and adjoint.constants[i - len(body.xs) - len(body.states)]:
            gradients.append((v.op, i))
    return source.write(program), gradients, guarded


def _compile(text: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(text, "<derived BPTT>", "exec"), namespace)
    return namespace
