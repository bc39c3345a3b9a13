"""Tracing: one run of a step function becomes a `Body`, with the names that the user gave to things."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from ...config import Monitor, Scope, mode, switched
from ...core.op import LEAF, OPS, PORT, Array, Leaf, Node, Op, tick
from ...core.tensor import Tensor, Variable
from ...core.trace import ENGINE, USER, where
from .body import Body, Underivable, Value

PACKAGE = Path(__file__).parents[2]
HELD = 100  # by a container whose parts get names
HELPERS = [  # have no names to give
    str(PACKAGE / part)
    for part in ("activations.py", "layers/layer.py", "layers/symbolic.py", "layers/rnn.py")
]


class Tracer(Monitor):
    """Writes down the ops that run; arrays are recognised by their identity."""

    tracing = True

    def __init__(self, naming: bool = False) -> None:
        self.body = Body([], [])
        self.known: dict[int, Value] = {}
        # Variables by their own identity: what is assigned to them is another array
        self.variables: dict[int, Value] = {}
        self.kept: list[Any] = []  # so that no array's identity is used again
        self.foreign: dict[Op, str] = {}  # where what is not in the table of ops was called
        self.start = tick()
        self.names: dict[int, tuple[int, str]] = {}
        self.naming = naming
        self.eq = ""  # for ops of the backward pass: the equation that they are the derivative of
        self.deriving = False  # the backward pass is traced: there are no recorded nodes
        self.steps_frame: FrameType | None = None
        self.has_read = False  # the value of a Tensor left the world of ops
        self.refused = ""  # why it may not, for instance
        # random ones by identity: itself, so that it stays; a copy; and the state in which that was made
        self.streams: dict[int, tuple[Any, np.random.Generator, str]] = {}

    def bind(self, data: Any, value: Value, tensor: Tensor | None = None) -> Value:
        """Recognise `data` as `value` from now on."""
        self.known[id(data)] = value
        self.kept.append(data)
        self.body.tensors[value] = Tensor(data, None) if tensor is None else tensor
        return value

    def placeholder(self, op: str, data: Array, index: int, active: bool) -> tuple[Value, Tensor]:
        """An input of the step: a Tensor with a node of its own."""
        data = np.array(data)
        node = Leaf(data.shape, data.dtype) if data.dtype.kind in "fc" else None
        tensor = Tensor(data, node)
        value = Value(op, (), {"index": index}, data.shape, data.dtype, node is not None)
        value.wanted = active and node is not None
        self.bind(data, value, tensor)
        return value, tensor

    def lookup(self, a: Any) -> Any:
        """The Value of an argument; numbers stay numbers, and what is new is a constant from outside."""
        if isinstance(a, Tensor):
            data = a._data
        elif isinstance(a, np.ndarray) and a.ndim > 0:
            data = a
        else:
            return a.item() if isinstance(a, (np.ndarray, np.generic)) else a
        value = self.known.get(id(data))
        if value is None and id(a) in self.variables:  # another thread moved it meanwhile
            value = self.bind(data, self.variables[id(a)], a)
        if value is None or self._asks_later(value, a):
            return self._constant(a, data)
        if not self.deriving:
            self._node(a, True)
        if value.active and not self.deriving and isinstance(a, Tensor) and a._node is None:
            stopped = Value("stop", (value,), {}, value.shape, value.dtype)
            self.body.values.append(stopped)
            self.body.tensors[stopped] = Tensor(data, None)
            return stopped
        return value

    def _asks_later(self, value: Value, a: Any) -> bool:
        """Whether what was a constant without a gradient, as after `detach`, now comes with one."""
        asks = isinstance(a, Tensor) and a._node is not None
        return asks and value.op == "constant" and not value.wanted and not self.deriving

    def _node(self, a: Any, known: bool) -> Node | None:
        """The node of a Tensor; refuses `custom_gradient`, whose ops can be seen, but their gradient is another one."""
        node = a._node if isinstance(a, Tensor) else None
        if node is not None and node.seq > self.start and node.op is not LEAF:
            if not (known and (node.op is PORT or OPS.get(node.op.name) is node.op)):
                raise Underivable(
                    f"{self.foreign.get(node.op) or self._here()}: {node.op.name!r} has a gradient of its own, which "
                    "cannot be read; as s + ops.stop_gradient(y - s), y has the gradient of s"
                )
        return node

    def _constant(self, a: Any, data: Any) -> Value:
        node = self._node(a, False)
        value = Value(
            "constant", (), {"index": len(self.body.constants)}, data.shape, data.dtype, node is not None
        )
        if isinstance(a, Tensor):
            name = a.path.rsplit("/", 1)[-1] if isinstance(a, Variable) else a.name
            value.label = "" if isinstance(a, Variable) and name == "variable" else _identifier(name or "")
        self.body.constants.append(value)
        self.body.bound.append(a)
        if isinstance(a, Variable):
            self.variables[id(a)] = value
        return self.bind(data, value, a if isinstance(a, Tensor) else None)

    # --- what the engine tells ----------------------------------------------------------------------

    def forward(self, op: Op, args: Sequence[Any], attrs: dict[str, Any], y: Any, node: Any) -> None:
        """Write down one op; of one that `custom_gradient` made, its inner ops were."""
        if OPS.get(op.name) is not op:
            self.foreign[op] = self._here()
            return
        found = tuple([self.lookup(a) for a in args])
        active = op.vjps != (None,) and any([isinstance(a, Value) and a.active for a in found])
        several = op.outputs != 1
        shape = tuple([p.shape for p in y]) if several else np.shape(y)
        dtype = y[0].dtype if several else y.dtype
        found = _shortest(found)
        value = Value(op.name, found, attrs, shape, dtype, active and (several or dtype.kind in "fc"))
        value.eq = self.eq
        self.body.values.append(value)
        if not self.deriving:
            value.site = self._here()
            if self.naming:  # the step's own names go before those in what it calls
                for frame in reversed([*self._frames(sys._getframe(2))]):
                    self._names_of(frame)
        if not several:
            self.bind(y, value)
            return
        for i, piece in enumerate(y):
            part = Value("part", (value,), {"index": i}, piece.shape, piece.dtype, value.active)
            self.body.values.append(part)
            self.bind(piece, part)

    def stream(self, rng: np.random.Generator) -> np.random.Generator:
        """A copy: what is drawn in a trace must not be missing to what runs, in this thread or another."""
        if id(rng) not in self.streams:
            copy = deepcopy(rng)
            self.streams[id(rng)] = rng, copy, repr(copy.bit_generator.state)
        return self.streams[id(rng)][1]

    def drawn(self) -> list[int]:
        """The identities of the streams from which the trace drew."""
        now = {i: repr(copy.bit_generator.state) for i, (_, copy, _) in self.streams.items()}
        return [i for i, (_, _, before) in self.streams.items() if now[i] != before]

    def read(self, tensor: Any) -> None:
        """A traced value must not steer Python: the next steps would have to steer it again.

        A value from outside may: it is the same for all steps of a call, but not for all calls.
        """
        self.has_read = True
        value = self.known.get(id(tensor._data))
        if value is not None and (self.deriving or value.op != "constant"):
            raise self._refusal("reads the value of a tensor (a branch, an index, a number, assign)")

    def asked(self, tensor: Any) -> None:
        """In a trace all is recorded; in the call that it stands for, an input may ask for no gradient."""
        value = self.known.get(id(tensor._data))
        if value is not None and value.op != "constant" and tensor._node is not None:
            raise self._refusal("depends on whether a tensor requires a gradient")

    def assigned(self, variable: Any, value: Any) -> None:
        """A step that changes a variable does so at every step."""
        raise self._refusal(f"assigns to the variable {variable.path!r}")

    def _refusal(self, what: str) -> Underivable:
        """The error for what the line that runs does; a step that catches it is refused when it returns."""
        self.refused = self.refused or f"{self._here()} {what}"
        return Underivable(self.refused)

    # --- places and names ---------------------------------------------------------------------------

    def _here(self) -> str:
        """The line that runs: the user's in the step, or that of the layer which the step is."""
        if self.steps_frame is None and not self.deriving:  # it has returned
            return "the step"
        frames = [*self._frames(sys._getframe(1))]
        users = [f for f in frames if self.steps_frame is None or where(f.f_code) == USER]
        if not frames:
            return ""
        found = (users or frames)[0]
        return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}()"

    def _frames(self, frame: FrameType | None) -> Iterator[FrameType]:
        """This frame and those around it, as far as the step, but for those of the engine."""
        while frame is not None and frame is not self.steps_frame:
            if where(frame.f_code) != ENGINE:
                yield frame
            frame = frame.f_back

    def _names_of(self, frame: FrameType) -> None:
        if frame.f_code.co_filename in HELPERS:
            return
        code = frame.f_code
        parameters = code.co_varnames[: code.co_argcount]
        for name, item in list(frame.f_locals.items()):
            found = [(name, item)]
            if type(item) is dict:  # of gates, for instance
                found = [(f"{name}_{k}", v) for k, v in item.items() if isinstance(k, str)]
            if name == "self":
                found = [(k, v) for k, v in getattr(item, "__dict__", {}).items() if isinstance(v, Tensor)]
            for label, tensor in found:
                value = self.known.get(id(tensor))  # of an array
                if isinstance(tensor, Tensor) or (value is not None and value.op == "constant"):
                    inner = label in parameters or label.startswith("_") or label in ("inputs", "z")
                    weak = int(inner or type(item) is dict)
                    number = id(getattr(tensor, "_data", tensor))
                    if self.names.get(number, (2, ""))[0] > weak:
                        self.names[number] = (weak, label)
        places = (code.co_names, frame.f_globals), (code.co_freevars, frame.f_locals)
        for name, item in [(n, place[n]) for names, place in places for n in names if n in place]:
            for weak, (label, held) in enumerate([(name, item), *_held_by(name, item)]):
                number = id(getattr(held, "_data", held))
                if (value := self.known.get(number)) is not None and value.op == "constant":
                    self.names.setdefault(number, (min(weak, 1), label))

    def watch(self, frame: FrameType, event: str, arg: Any) -> None:
        """For `sys.setprofile`: the names in a function that returns."""
        if event == "return" and where(frame.f_code) != ENGINE:
            self._names_of(frame)

    def apply_names(self) -> None:
        """Give every value the name that the user gave it."""
        for number, value in self.known.items():
            weak, name = self.names.get(number, (2, ""))
            if name and not value.label:
                value.label = _identifier(name)


def _held_by(name: str, item: Any) -> list[tuple[str, Any]]:
    """What a container or an object of the user holds, with names; nothing of a large one."""
    if type(item) in (list, tuple):
        found = [(f"{name}_{k}", held) for k, held in enumerate(item[: HELD + 1])]
    elif type(item) is dict:
        found = [(f"{name}_{k}", held) for k, held in islice(item.items(), HELD + 1) if isinstance(k, str)]
    elif isinstance(item, (type, ModuleType, Tensor)):
        return []
    else:
        found = list(islice(getattr(item, "__dict__", {}).items(), HELD + 1))
    return found if len(found) <= HELD else []


def _shortest(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments, with numbers among float32 values as they are written: 0.001, not 0.0010000000474974513."""
    types = {a.dtype for a in args if isinstance(a, Value)}
    if types != {np.dtype("float32")}:
        return args
    return tuple([float(str(np.float32(a))) if type(a) is float else a for a in args])


def _identifier(name: str) -> str:
    """Letters, digits and underscores: names go into source, and nothing else of what a user writes does.

    >>> _identifier("α_t"), _identifier("W/k")
    ('alpha_t', 'W_k')
    """
    plain = "".join(c if c.isascii() else unicodedata.name(c, "_").split()[-1].lower() for c in name)
    return re.sub(r"\W", "_", plain, flags=re.ASCII)[:40]


def trace(
    step: Callable[..., Any],
    xs: Sequence[tuple[Array, bool]],
    states: Sequence[tuple[Array, bool]],
    constants: Any,
    several_in: bool,
    naming: bool = False,
    before: Tracer | None = None,
) -> Tracer:
    """Run `step` once on placeholders; `xs` and `states` are arrays with whether their gradient is asked for.

    Random streams go on where an earlier trace left them, those of this package without moving.
    Raises `Underivable` for what cannot be written down. Exceptions of the step itself come through.
    """
    tracer = Tracer(naming)
    if before is not None:
        tracer.streams = before.streams
    body = tracer.body
    placed = [tracer.placeholder("x", a, i, w) for i, (a, w) in enumerate(xs)]
    held = [tracer.placeholder("state", a, i, w) for i, (a, w) in enumerate(states)]
    body.xs, body.states = [v for v, _ in placed], [v for v, _ in held]
    x_t: Any = tuple(t for _, t in placed) if several_in else placed[0][1]
    tracer.steps_frame = sys._getframe(0)
    watched = naming and sys.getprofile() is None  # another profiler is left alone, and some names are lost
    with switched(grad=True, monitor=tracer, scope=Scope(mode().scope.layer)):
        try:
            if watched:
                sys.setprofile(tracer.watch)
            made = step(x_t, [t for _, t in held], constants)
        except Exception:
            if not tracer.refused:
                raise
        finally:
            tracer.steps_frame = None  # a frame would keep everything that it holds alive
            if watched:
                sys.setprofile(None)
    if tracer.refused:  # also if the step caught it
        raise Underivable(tracer.refused)
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise Underivable("the step does not return a pair (output, new states)")
    output, new = made
    body.several_out = isinstance(output, tuple)
    outputs = list(output) if isinstance(output, tuple) else [output]
    new = list(new) if isinstance(new, (list, tuple)) else [new]
    if len(new) != len(held) or not all(isinstance(v, Tensor) for v in (*new, *outputs)):
        raise Underivable("the step returns something else than Tensors, or another number of states")
    for after, (before_, _) in zip(new, held, strict=True):
        if after.shape != before_.shape or after.dtype != before_.dtype:
            raise Underivable(
                f"a state changes from {before_.shape} {before_.dtype} to {after.shape} {after.dtype}"
            )
    body.outputs = [tracer.lookup(v) for v in outputs]
    body.new_states = [tracer.lookup(v) for v in new]
    if naming:
        tracer.apply_names()
    return tracer
