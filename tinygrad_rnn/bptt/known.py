"""What was found out about a step, kept with it for every shape: it holds until something that it refers to changes."""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..config import epsilon, floatx, mode
from ..core.arrays import owner
from ..core.tensor import Tensor, Variable
from ..locks import new_lock
from .masked import Masked
from .outside.dependencies import Dependencies, Unsure
from .outside.purity import Traces

LARGEST_CONSTANT = 100_000  # bytes of an array whose values are kept with every trace
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


class Memory:
    """Where it is kept with a step what is found out about it, for calls that are like this one."""

    def __init__(self, recurrence: Recurrence, inputs: Any, what: Any) -> None:
        step, flags = recurrence.step, (what, recurrence.several)
        if isinstance(step, Masked):
            flags = (*flags, step.several_in, *step.repeated)
            step = step.step
        self.step, self.method = step, getattr(step, "__func__", None)  # a layer has several
        self.dependencies: Dependencies | None = None
        self.given: list[Any] = []  # the Tensors and arrays among the constants
        self.key: Any = None
        self.traces = traces = _traces(step)
        if traces.failures >= FAILURES:
            traces.rested += 1
            if traces.rested < REST:
                return
            traces.failures, traces.rested = FAILURES - 1, 0
        self.given, structure = _given(recurrence.constants)
        if structure is not None:
            here = mode()
            switches = (here.passes, here.training, floatx(), epsilon())
            shapes = [(a.shape, a.dtype, w) for group in inputs for a, w in group]
            self.key = (structure, self.method, flags, switches, len(inputs[0]), *shapes)

    def recall(self) -> Known | None:
        """What was found, if it still holds; the second time, it is looked at what the step depends on."""
        if self.key is None or self.key not in self.traces:  # many a function is made for one call
            return None
        known: Known | None = self.traces.get(self.key)  # another thread may have given up meanwhile
        if known is not None and known.holds(self.given):
            self.traces.failures = 0
            return known
        self.dependencies = self._look()
        return None

    def _look(self) -> Dependencies | None:
        """What the step refers to; None, from now on, if that changes at every call, or cannot be watched."""
        known: Dependencies | None = self.traces.dependencies.get(self.method)
        if known is not None:
            if known.unchanged():  # found for another shape
                return known
            self.traces.failures += 1
        if self.traces.failures < FAILURES:
            try:
                found = self.traces.dependencies[self.method] = Dependencies(self.step)
                return found
            except Unsure:
                self.traces.failures = FAILURES
        return None

    def keep(self, found: Any, bound: list[Any], has_read: bool) -> Known | None:
        """Keep what a trace found with the Tensors and arrays `bound` from outside, or that there was one."""
        if self.key is None:
            return None
        known: Known | None = None
        if self.dependencies is not None and self.dependencies.unchanged():  # also by another thread
            known = Known(found, bound, self.given, self.dependencies)
            if has_read or known.aliased(self.given):
                known, self.traces.failures = None, FAILURES
        with _lock:
            self.traces[self.key] = known
            if self.traces.failures >= FAILURES:
                self.traces.clear()
                self.traces.dependencies.clear()
            elif len(self.traces) > TRACES_KEPT:
                self.traces.pop(next(iter(self.traces)))
        return known


class Known:
    """What a trace found, with what it depends on."""

    def __init__(self, found: Any, bound: list[Any], given: list[Any], dependencies: Dependencies) -> None:
        self.found, self.dependencies = found, dependencies
        places = {id(g): i for i, g in enumerate(given)}
        self.places = [places.get(id(b)) for b in bound]  # among the constants
        self.others = [b if i is None else None for i, b in zip(self.places, bound, strict=True)]
        self.shared = self._shared(given)
        self.fixed = all(b is None or isinstance(b, Variable) for b in self.others)

    def holds(self, given: list[Any]) -> bool:
        """Whether a trace with these constants would find the same."""
        return self._shared(given) == self.shared and self.dependencies.unchanged()

    def _shared(self, given: list[Any]) -> list[int]:
        """Which of what the step knows by itself these are, too."""
        return [id(self.dependencies.seen.get(id(g))) for g in given]

    def bound(self, given: list[Any]) -> list[Any]:
        """The Tensors and arrays from outside for a call with these constants."""
        return [b if i is None else given[i] for i, b in zip(self.places, self.others, strict=True)]

    def aliased(self, given: list[Any]) -> bool:
        """Whether two of what it depends on hold the same memory now, such as `w` and `w.detach()`.

        A part of an array whose values are compared, such as its transpose, may: it changes with it, or not at all.
        """
        seen = self.dependencies.seen
        known = {
            id(v): v for v in (*seen.values(), *given, *self.others) if isinstance(v, (Tensor, np.ndarray))
        }
        watched = [a for a in seen.values() if isinstance(a, np.ndarray)]
        others = {id(b) for b in self.others} - {id(g) for g in given}
        apart = [v for i, v in known.items() if i not in others or i in seen or not _is_part(v, watched)]
        return len({id(owner(getattr(v, "_data", v))) for v in apart}) < len(apart)


def _is_part(value: Any, arrays: list[Any]) -> bool:
    """Whether an array shows memory of one of some arrays alone, all of which that has."""
    if not isinstance(value, np.ndarray):
        return False
    start, end = byte_bounds(value)
    bounds = [byte_bounds(a) for a in arrays if a.flags.forc]
    return any(a <= start and end <= b for a, b in bounds)


def _traces(step: Any) -> Traces:
    """Where it is kept what was found out about a step: with the layer that it belongs to, or the function."""
    owner, name = (step.__self__, "traces") if isinstance(step, MethodType) else (step, "__traces__")
    attributes = getattr(owner, "__dict__", {})
    held = attributes.get(name)
    if isinstance(held, Traces) and held.of(owner):
        return held
    if isinstance(held, Traces) or isinstance(step, (FunctionType, partial)):
        held = attributes[name] = Traces(owner)
        return held
    return Traces()  # which the next call will not find


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
    if kind is np.ndarray and value.nbytes <= LARGEST_CONSTANT and not value.dtype.hasobject:
        given.append(value)
        return value.shape, value.dtype, value.tobytes(), first.setdefault(id(value), len(given))
    if kind in (tuple, list):
        return kind, *[_structure(v, given, first) for v in value]
    if kind is dict:
        return kind, *[(_structure(k, given, first), _structure(v, given, first)) for k, v in value.items()]
    if value is None or kind in (bool, int, float, str):
        return kind, value.hex() if kind is float else value  # with the sign of 0, and NaN is NaN
    raise Unsure(kind.__name__)
