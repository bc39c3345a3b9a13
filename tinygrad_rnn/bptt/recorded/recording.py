"""A computation that was recorded once, and runs again on other arrays: the same calls, new values.

What Python does between the calls (layers called, shapes checked, Tensors and nodes made, the graph walked) is left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...config import Monitor
from ...core.arrays import owner
from ...core.op import Array, Leaf, Node, Op, Spec
from ...core.tensor import Tensor, Variable
from ...denormals import flushed
from .program import At, Step, program
from .pullback import Pullback

MOST_STEPS = 4000  # compiling them takes 0.2 s


class Refused(Exception):
    """Why there will be no recording."""


class Recorder(Monitor):
    """Writes down what runs, as a `Recording`. Arrays are recognised by their identity.

    Raises `Refused` for what cannot run again, before it runs: a step that counts its calls must not be called.
    """

    recording = True

    def __init__(self, inputs: Sequence[Array], variables: Sequence[Variable]) -> None:
        self.values: list[Any] = []  # kept, so that no array's identity is used again
        self.known: dict[int, At] = {}
        self.constants: dict[int, Any] = {}
        self.steps: list[Step] = []
        self.saved: dict[Node, tuple[list[At], dict[str, Any]]] = {}  # what vjps get after the cotangent
        self.dependencies: list[Any] = []
        self.recurrences: list[tuple[Any, At]] = []  # with where their results are
        self.updates: dict[int, tuple[Variable, At]] = {}
        self.inside = False  # a function of arrays is running: it may read them
        self.inputs = [self.enter(array) for array in inputs]
        self.variables = [(self.enter(v._data), v) for v in variables]

    def enter(self, value: Any) -> At:
        """A place for a value that is new at every run; of Python's numbers, one object may be many values."""
        at = At(len(self.values))
        if isinstance(value, (np.ndarray, np.generic)):
            self.known[id(value)] = at
        self.values.append(value)
        return at

    def constant(self, value: Any) -> At:
        """A place for a value that is the same at every run."""
        at = At(len(self.values))
        self.values.append(value)
        self.constants[at] = value
        return at

    def place(self, a: Any) -> At:
        """Where the value of an argument stands; what is new is a constant."""
        data = a._data if isinstance(a, Tensor) else a
        found = self.known.get(id(data))
        if found is not None:
            return found
        if isinstance(data, np.ndarray):
            base = data.base
            while base is not None:
                if id(base) in self.known:
                    self.refuse("an array was made of another one outside of the ops")
                base = getattr(base, "base", None)
        if isinstance(a, Tensor) and a._node is not None and not isinstance(a._node, Leaf):
            self.refuse("a tensor comes from outside")
        at = self.enter(data)
        if isinstance(a, Variable):
            self.variables.append((at, a))
        else:
            self.constants[at] = data
        return at

    def assigned(self, variable: Variable, value: Array) -> None:
        """A variable has another value from now on, and after each run."""
        self.updates[id(variable)] = variable, self.place(value)

    def depends(self, dependencies: Any) -> None:
        """A user's step ran."""
        self.dependencies.append(dependencies)

    def refuse(self, reason: str) -> None:
        """There will be no recording."""
        raise Refused(reason)

    def read(self, tensor: Any) -> None:
        """Values that Python reads may steer it."""
        if not self.inside and id(tensor._data) in self.known:
            self.refuse("the value of a tensor was read")

    def computed(self, function: Any, args: Sequence[Any]) -> Any:
        """A function of arrays runs again, too."""
        if self.inside:
            return function(*args)
        self.inside = True
        try:
            result = function(*args)
        finally:
            self.inside = False
        self._step(function, [self.place(a) for a in args], {}, result)
        return result

    def ran(self, function: Any, args: Sequence[Any], y: Sequence[Array], node: Any) -> None:
        """Write down `y = function(*args)`, a recurrence; it returns what its node keeps beside its results."""
        places = [self.place(a) for a in args]
        kept = () if node is None else node.saved[:1]
        result = self._step(function, places, {}, (*y, *kept))
        self.recurrences.append((function, result))
        if node is not None:
            none = self.constant(None)
            self.saved[node] = [At(result + 1 + len(y)), *[none] * len(places)], {}

    def forward(self, op: Op, args: Sequence[Any], attrs: dict[str, Any], y: Any, node: Any) -> None:
        """Write down one op."""
        if self.inside:
            return
        places = [self.place(a) for a in args]
        template = {name: self._template(value) for name, value in attrs.items()}
        more = () if node is None else node.saved[1 + len(args) :]
        if more:
            result = At(self._step(op.keeping, places, template, (y, *more)) + 1)
        else:
            result = self._step(op.fwd, places, template, y)
        if node is not None:
            kept = [result if "y" in op.reads else self.constant(None)]
            for i, (place, value) in enumerate(zip(places, node.saved[1:], strict=False)):
                kept.append(place if op.keeps_input(i) else self.constant(_without_graph(value)))
            self.saved[node] = [*kept, *[At(result + 1) for _ in more]], template

    def run(
        self, function: Any, args: Sequence[Any], attrs: dict[str, Any] | None = None, parts: int = 0
    ) -> At:
        """Run a function on values that are known, and write it down; it returns `parts` results, or (0) one."""
        attrs = attrs or {}
        filled = {name: self.filled(value) for name, value in attrs.items()}
        y = function(*[self.filled(a) for a in args], **filled)
        return self._step(function, args, attrs, tuple(y) if parts else y)

    def _step(self, function: Any, args: Sequence[Any], attrs: dict[str, Any], y: Any) -> At:
        result = self.enter(y)
        parts = y if isinstance(y, (tuple, list)) else ()
        for part in parts:
            self.enter(part)
        self.steps.append(Step(getattr(function, "bare", function), args, attrs, result, len(parts)))
        return result

    def _template(self, value: Any) -> Any:
        """An attribute with places where arrays are."""
        if isinstance(value, (tuple, list)):
            return type(value)([self._template(v) for v in value])
        return self.place(value) if isinstance(value, np.ndarray) else value

    def filled(self, template: Any) -> Any:
        """The value of an argument or attribute."""
        if isinstance(template, (tuple, list)):
            return type(template)([self.filled(t) for t in template])
        return self.values[template] if type(template) is At else template

    def finish(self, loss: Tensor, results: Sequence[Tensor]) -> Recording:
        """What runs again for `loss`, with the arrays of `results` beside it."""
        places = [self.place(t) for t in (loss, *results)]
        if loss._node is None:
            self.refuse("nothing has a gradient")
        with np.errstate(all="ignore"):
            found = Pullback(self, loss).found
        variables = {v._node: v for _, v in self.variables}
        if not found.keys() <= variables.keys():
            self.refuse("something has a gradient that is no variable")
        if len(self.steps) > MOST_STEPS:
            self.refuse("too many steps")
        return Recording(self, places, [(variables[leaf], place) for leaf, place in found.items()])


def _without_graph(value: Any) -> Any:
    """What a vjp gets in place of an input that was not kept."""
    return Spec(value.shape, value.dtype) if isinstance(value, Node) else value


def _lenders(recorder: Recorder, results: Sequence[At]) -> dict[Any, At]:
    """The recurrences of whose outputs no result is a view, and where the call is that holds their memory."""
    given = {id(owner(recorder.values[place])) for place in results}
    found = {}
    for recurrence, first in recorder.recurrences:
        *arrays, _ = recorder.values[first]
        if recurrence.ends is not None and given.isdisjoint([id(owner(a)) for a in arrays]):
            found[recurrence] = At(first + len(arrays) + 1)
    return found


class Recording:
    """What a `Recorder` wrote down, as one function."""

    def __init__(
        self,
        recorder: Recorder,
        places: Sequence[At],
        gradients: Sequence[tuple[Variable, At]],
    ) -> None:
        self.variables = [v for _, v in recorder.variables]
        self.trained = [v for v, _ in gradients]
        self.updated = [v for v, _ in recorder.updates.values()]
        self.dependencies, self.count = recorder.dependencies, len(places)
        results = [*places, *[place for _, place in (*recorder.updates.values(), *gradients)]]
        self.lenders = _lenders(recorder, results)
        self.program = program(
            recorder.steps,
            [*recorder.inputs, *[place for place, _ in recorder.variables]],
            results,
            recorder.constants,
            kept=self.lenders.values(),
        )

    def lend(self, lends: bool) -> bool:
        """Let recurrences give outputs that do not leave the recording as views of their memory, or copies again."""
        for recurrence in self.lenders:
            recurrence.lends = lends
        return bool(self.lenders)

    def unchanged(self) -> bool:
        """Whether the steps of recurrences are what they were."""
        return all([d.unchanged() for d in self.dependencies])

    def __call__(self, inputs: Sequence[Array]) -> tuple[Sequence[Any], dict[Node, Any]]:
        """The values asked for, and the gradient for every variable's leaf; variables that follow are moved."""
        with flushed(), np.errstate(all="ignore"):
            values = self.program(*inputs, *[v._data for v in self.variables])
        first = self.count
        for variable in self.updated:
            variable.replace(values[first])
            first += 1
        gradients = zip(self.trained, values[first:], strict=True)
        return values[: self.count], {v._node: g for v, g in gradients if v._node is not None}
