"""What was found out about a step, kept with it for every shape: it holds until something that it refers to changes."""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import numpy as np

from ..config import epsilon, floatx, mode
from ..core.tensor import Tensor, Variable
from ..locks import new_lock
from .masked import Masked
from .outside.dependencies import LARGEST, Dependencies, Unsure
from .outside.purity import Traces
from .plan import Plan

TRACES_KEPT = 512  # shapes for which it is kept with a step what was found out about it
FAILURES = 3  # what a step depends on changed so many times in a row: it is traced at every call
REST = 100  # calls after which it is looked at again

_lock = new_lock()


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


def memory_of(recurrence: Recurrence, inputs: Any, what: Any) -> tuple[Traces | None, Any, list[Any]]:
    """Where it is kept what was found out about a step, under which key, and the Tensors among the constants."""
    step, flags = recurrence.step, (what, recurrence.several)
    given: list[Any] = []
    traces, structure = _traces(step), None
    if traces is not None and traces.failures >= FAILURES:
        traces.rested += 1
        if traces.rested >= REST:
            traces.failures, traces.rested = FAILURES - 1, 0
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


def keep(traces: Traces, key: Any, found: Any) -> None:
    """Keep what was found out about a step; None says that it was traced once."""
    with _lock:
        traces[key] = found
        if traces.failures >= FAILURES:
            traces.clear()
            traces.dependencies.clear()
        elif len(traces) > TRACES_KEPT:
            traces.pop(next(iter(traces)))


def dependencies_of(step: Any, traces: Traces) -> Dependencies | None:
    """What the step refers to; None, from now on, if that changes at every call, or cannot be watched."""
    step = step.step if isinstance(step, Masked) else step
    method = getattr(step, "__func__", None)
    known: Dependencies | None = traces.dependencies.get(method)
    if known is not None:
        if known.unchanged():  # found for another shape
            return known
        traces.failures += 1
    if traces.failures < FAILURES:
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
        self.shared = shared_with(dependencies, given)
        self.fixed = all(i >= 0 or isinstance(b, Variable) for i, b in self.found)

    def bound(self, given: list[Any]) -> list[Any] | None:
        """The Tensors and arrays from outside for a call with these constants; None if it must be traced."""
        if shared_with(self.dependencies, given) != self.shared or not self.dependencies.unchanged():
            return None
        return [b if i < 0 else given[i] for i, b in self.found]

    def aliased(self, given: list[Any]) -> bool:
        """Whether two of what it depends on hold the same memory now, such as `w` and `w.detach()`."""
        seen = (*self.dependencies.seen.values(), *given, *[b for _, b in self.found])
        known = {id(v): v for v in seen if isinstance(v, (Tensor, np.ndarray))}
        return len({id(_owner(v)) for v in known.values()}) < len(known)


def shared_with(dependencies: Dependencies, given: list[Any]) -> list[int]:
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
