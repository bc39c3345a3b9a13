"""A computation that was recorded once, and runs again on other arrays: the same ops and nodes, new values.

What Python does between the ops (layers called, shapes checked, Tensors and nodes made) is left out. The backward
pass is the engine's own walk over the recorded nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..config import Monitor
from ..core.autodiff import collect, propagate
from ..core.op import Array, Leaf, Node, Op
from ..core.tensor import Tensor, Variable


class Step(NamedTuple):
    """One op, or one function of arrays. Numbers are places in the list of all values."""

    function: Any
    args: list[int]
    attrs: dict[str, Any]
    filled: list[str]  # attributes that hold arrays, in tuples whose entries are `At` a place
    result: int
    parts: int  # how many results; they stand behind the tuple of them
    node: Node | None
    saved: list[tuple[int, Any]]  # what the node keeps: the value at a place, or (-1) always the same
    last: list[int] = []  # places that no later step reads


class At(int):
    """The place of an array in an attribute."""


class Recorder(Monitor):
    """Writes down what runs, as a `Recording`. Arrays are recognised by their identity.

    What cannot run again is the `reason` why there will be none; nothing is raised.
    """

    recording = True

    def __init__(self, inputs: Sequence[Array], variables: Sequence[Variable]) -> None:
        self.values: list[Any] = []
        self.known: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no array's identity is used again
        self.steps: list[Step] = []
        self.dependencies: list[Any] = []
        self.reason = ""
        self.inside = False  # a function of arrays is running: it may read them
        for array in inputs:
            self.enter(array)
        self.variables = [(self.enter(v._data), v) for v in variables]

    def enter(self, value: Any) -> int:
        """A place for a value that is new at every run; of Python's numbers, one object may be many values."""
        if isinstance(value, (np.ndarray, np.generic)):
            self.known[id(value)] = len(self.values)
        self.kept.append(value)
        self.values.append(None)
        return len(self.values) - 1

    def place(self, a: Any) -> int:
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
        self.values[at] = data
        return at

    def depends(self, dependencies: Any) -> None:
        """A user's step ran."""
        self.dependencies.append(dependencies)

    def refuse(self, reason: str) -> None:
        """There will be no recording."""
        self.reason = self.reason or reason

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
        places = [self.place(a) for a in args]
        self.steps.append(Step(function, places, {}, [], self.enter(result), 0, None, []))
        return result

    def ran(self, function: Any, args: Sequence[Any], y: Sequence[Array]) -> None:
        """Write down `y = function(*args)`, a function of arrays that gives its node what it keeps."""
        places = [self.place(a) for a in args]
        result = self.enter(y)
        for part in y:
            self.enter(part)
        self.steps.append(Step(function, places, {}, [], result, len(y), None, []))

    def forward(self, op: Op, args: Sequence[Any], attrs: dict[str, Any], y: Any, node: Any) -> None:
        """Write down one op."""
        if self.inside:
            return
        places = [self.place(a) for a in args]
        filled = [name for name, value in attrs.items() if self._holds_arrays(value)]
        template = {name: self._template(v) if name in filled else v for name, v in attrs.items()}
        several = isinstance(y, (tuple, list))
        result = self.enter(y)
        for part in y if several else ():
            self.enter(part)
        saved: list[tuple[int, Any]] = []
        if node is not None:
            saved = [(result, None) if "y" in op.reads else (-1, None)]
            saved += [
                (place, None) if op.keeps_input(i) else (-1, kept)
                for i, (place, kept) in enumerate(zip(places, node.saved[1:], strict=True))
            ]
        count = len(y) if several else 0
        self.steps.append(Step(op.fwd, places, template, filled, result, count, node, saved))

    def _holds_arrays(self, value: Any) -> bool:
        if isinstance(value, (tuple, list)):
            return any([self._holds_arrays(v) for v in value])
        return isinstance(value, np.ndarray)

    def _template(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)([self._template(v) for v in value])
        return At(self.place(value)) if isinstance(value, np.ndarray) else value

    def finish(self, loss: Tensor, results: Sequence[Tensor]) -> Recording | None:
        """What runs again for `loss`, with the arrays of `results` beside it; None if something cannot."""
        places = [self.place(t) for t in (loss, *results)]
        if loss._node is None:
            self.refuse("nothing has a gradient")
        return None if self.reason else Recording(self, loss, places)


class Recording:
    """What a `Recorder` wrote down. One run at a time: its nodes hold the values of the run."""

    def __init__(self, recorder: Recorder, loss: Tensor, places: list[int]) -> None:
        assert loss._node is not None
        self.values, self.variables = recorder.values, recorder.variables
        self.steps = _with_last_uses(recorder.steps, set(places))
        self.dependencies, self.places = recorder.dependencies, places
        self.root, self.seed = loss._node, np.ones(loss.shape, loss.dtype)
        self.nodes = collect([(self.root, None)])
        leaves = {v._node: v for _, v in self.variables}
        self.leaves = [(node, leaves.get(node)) for node in self.nodes if isinstance(node, Leaf)]
        self._forget()

    @property
    def whole(self) -> bool:
        """Whether all gradients are those of variables that were announced."""
        return all(variable is not None for _, variable in self.leaves)

    def unchanged(self) -> bool:
        """Whether the steps of recurrences are what they were."""
        return all([d.unchanged() for d in self.dependencies])

    def __call__(self, inputs: Sequence[Array]) -> tuple[list[Any], dict[Node, Any]]:
        """The values asked for, and the gradient for every variable's leaf."""
        values = self.values.copy()
        values[: len(inputs)] = inputs
        for place, variable in self.variables:
            values[place] = variable._data
        try:
            with np.errstate(all="ignore"):
                for step in self.steps:
                    self._run(step, values)
            found = propagate(self.nodes, [(self.root, self.seed)], None, False)
        finally:
            self._forget()
        pairs = [(v._node, found.get(leaf)) for leaf, v in self.leaves if v is not None]
        gradients = {node: g for node, g in pairs if node is not None and g is not None}
        return [values[place] for place in self.places], gradients

    def _run(self, step: Step, values: list[Any]) -> None:
        function, args, attrs, filled, result, parts, node, saved, last = step
        if filled:
            attrs = {**attrs, **{name: _filled(attrs[name], values) for name in filled}}
        given = [values[i] for i in args]
        y = function(*given, **attrs) if attrs else function(*given)
        values[result] = y
        if parts:
            values[result + 1 : result + 1 + parts] = y
        if node is not None:
            node.saved = tuple([values[i] if i >= 0 else kept for i, kept in saved])
            if filled:
                node.attrs = attrs
        for place in last:
            values[place] = None

    def _forget(self) -> None:
        """Let the values of a run go."""
        for node in self.nodes:
            if node.inputs:
                node.saved = None


def _with_last_uses(steps: list[Step], later: set[int]) -> list[Step]:
    """The steps, each with the results that only it and steps before it read; `later` are read at the end."""
    made = {place for step in steps for place in range(step.result, step.result + 1 + step.parts)}
    found = []
    for step in reversed(steps):
        read = {*step.args, *(place for name in step.filled for place in _places(step.attrs[name]))}
        own = set(range(step.result, step.result + 1 + step.parts))
        found.append(step._replace(last=sorted(((read & made) | own) - later)))
        later = later | read
    return found[::-1]


def _places(template: Any) -> list[int]:
    if isinstance(template, (tuple, list)):
        return [place for t in template for place in _places(t)]
    return [int(template)] if type(template) is At else []


def _filled(template: Any, values: list[Any]) -> Any:
    if isinstance(template, (tuple, list)):
        return type(template)([_filled(t, values) for t in template])
    return values[template] if type(template) is At else template
