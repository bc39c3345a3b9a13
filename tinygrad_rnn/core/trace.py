"""Where ops come from: inside `trace()`, every node keeps its call path, its value, and later its gradient.

Outside it nothing is kept, and ops cost what they cost without this file.
"""

from __future__ import annotations

import dis
import inspect
import os
import sys
from collections.abc import Sequence
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ..config import Mode, Monitor, mode, switched
from .op import LEAF, PORT, Node, Op
from .tensor import Tensor

MOST_PARTS = 2**28  # bytes of contributions to gradients that a `trace()` keeps
DEPTH = 4  # frames outside this package that are kept of a call path
ENGINE, PACKAGE, USER = range(3)  # where a file belongs
RESUMABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR  # by whom, may change
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_ENGINE = tuple(os.path.join(_PACKAGE, part) for part in ("core", "ops", "bptt", "config"))
Path = tuple[tuple[CodeType, int], ...]


class Traced:
    """What `trace()` keeps of a node: where it was made, what it computed, and what a backward pass did with it.

    `path` is the call path, innermost frame first; `value` the array, or a tuple of them; `seconds` the time
    since the op before, with the Python in between. `inner` is the way inside the engine, innermost frame first: it
    tells the ops of a composite function apart; () for an op that was called directly. `names` are those of
    local variables in which the node was seen, looked up whenever a function was entered or left between two ops.
    What a function assigns directly is not looked up: it can be read off the call path.

    The rest is set by a backward pass inside `trace()`, the last one if there are several: `order` numbers the
    nodes as they were visited, 1, 2, … (0: not visited); `grad` is the gradient that had arrived (a list, with
    None for what was not used, if the op has several outputs); `parts` has one entry per argument: what the
    node added to the gradient of that argument, None if nothing. The engine adds the parts that arrive at
    one node in this order, from the first one on. Once `MOST_PARTS` bytes are kept, a part is its norm only.
    `during` tells that pass from any other (None: there was none): a leaf is part of many graphs, and what it
    keeps belongs to the graph whose pass came last.
    """

    __slots__ = (
        "at",
        "code",
        "during",
        "grad",
        "inner",
        "names",
        "order",
        "outer",
        "parts",
        "seconds",
        "value",
    )

    code: CodeType | None  # the innermost frame, which differs from op to op, and where it stood
    at: int
    outer: Path  # the frames around it
    inner: Path
    value: Any
    seconds: float
    names: tuple[str, ...]
    order: int
    grad: Any
    parts: Sequence[Any]
    during: Mode | None  # every pass runs in a mode of its own

    def unvisited(self) -> Traced:
        """The same without what the backward pass left, except which one it was."""
        other = Traced()
        for name in self.__slots__:
            if hasattr(self, name):
                setattr(other, name, getattr(self, name))
        other.parts, other.order, other.grad = (), 0, None
        return other

    @property
    def path(self) -> Path:
        """(code, offset of the instruction), without the frames of the engine."""
        return () if self.code is None else ((self.code, self.at), *self.outer)


class Trace(Monitor):
    """Stamps every node with a `Traced`."""

    def __init__(self) -> None:
        self._here: FrameType | None = None  # the innermost frame of the last op, unless it may be resumed
        self._frame: FrameType | None = None  # the same, in any case
        self._back: FrameType | None = None  # its caller, and where that stands
        self._at = -1
        self._outer: Path = ()  # the path from there on
        self._leaves: set[Node] = set()  # whose value is kept already
        self._clock = perf_counter()
        self._visited = 0
        self._node: Node | None = None  # whose parts are coming in
        self._argument = 0  # of it: where to look for the next parent
        self._kept = 0  # bytes of parts

    def forward(self, op: Op, args: Sequence[Any], attrs: dict[str, Any], y: Any, node: Any) -> None:
        """Note where a node was made, and the values of leaves, which nothing else keeps.

        This runs for every op: a function is looked around in only when it is entered or left.
        """
        if node is None:
            return
        for parent in node.inputs:
            if parent is not None and parent.op is LEAF and parent not in self._leaves:
                self._leaves.add(parent)
                _traced(parent, args[node.inputs.index(parent)]._data)
        frame: Any = sys._getframe(2)
        kept = node.trace = Traced()
        kept.inner = ()
        if frame is not self._here:
            frame, kept.inner = self._moved(frame)
        if frame is None:
            kept.code = None
        else:
            kept.code, kept.at, kept.outer = frame.f_code, frame.f_lasti, self._outer
        kept.value = y
        kept.names = kept.parts = ()
        kept.order = 0
        kept.grad = kept.during = None
        clock = perf_counter()
        kept.seconds = clock - self._clock
        self._clock = clock

    def _moved(self, frame: FrameType | None) -> tuple[FrameType | None, Path]:
        """The innermost frame outside the engine, and those inside."""
        inner = []
        while frame is not None and _KIND[frame.f_code.co_filename] is ENGINE:
            inner.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        back = None if frame is None else frame.f_back
        at = -1 if back is None else back.f_lasti
        if frame is not self._frame or back is not self._back or at != self._at:
            self._look_around(frame)
            self._frame, self._back, self._at = frame, back, at
            self._here = None if frame is None or frame.f_code.co_flags & RESUMABLE else frame
            self._outer = _path(frame)[1:]  # these frames wait for the innermost one
        return frame, tuple(inner)

    def arrived(self, node: Node, g: Any) -> None:
        """Note the gradient of a node, and that it is its turn."""
        if node.op is not PORT:
            kept = _traced(node)
            self._visited += 1
            kept.order, kept.grad, kept.during = self._visited, _array(g), mode()
            kept.parts = [None] * len(node.inputs or ())
            self._node = None

    def backward(self, node: Node, parent: Node, part: Any) -> None:
        """Note what a node adds to the gradient of its parent."""
        if node is not self._node:  # its turn, or again, after a pass inside its vjp
            self._node, self._argument = node, 0
        k = (node.inputs or ()).index(parent, self._argument)
        self._argument = k + 1
        kept, part = node.trace, _array(part)
        if part is not kept.grad:
            self._kept += part.nbytes
        kept.parts[k] = part if self._kept <= MOST_PARTS else float(np.linalg.norm(part))

    def _look_around(self, frame: FrameType | None) -> None:
        """Note the names of the tensors that the current functions hold."""
        for _ in range(2 * DEPTH):
            if frame is None:
                break
            if _KIND[frame.f_code.co_filename]:
                held = frame.f_locals
                for name in _stored(frame.f_code):
                    value = held.get(name)
                    if isinstance(value, Tensor) and value._node is not None:
                        node = value._node
                        kept = _traced(node, value._data)
                        if name not in kept.names:
                            kept.names += (name,)
            frame = frame.f_back

    def close(self) -> None:
        """Let go of the frames and the leaves."""
        self._here = self._frame = self._back = self._node = None
        self._leaves.clear()


def _path(frame: FrameType | None) -> Path:
    """The frames outside the engine, innermost first: `DEPTH` of the user's, and those of this package between."""
    path: list[tuple[CodeType, int]] = []
    limit = DEPTH
    while frame is not None and len(path) < limit:
        kind = _KIND[frame.f_code.co_filename]
        if kind:
            path.append((frame.f_code, frame.f_lasti))
            if kind is PACKAGE and limit < 4 * DEPTH:
                limit += 1
        frame = frame.f_back
    return tuple(path)


def _traced(node: Node, value: Any = None) -> Traced:
    """What is kept of a node; leaves, and nodes from before, have nothing yet, or no value."""
    kept: Traced | None = getattr(node, "trace", None)
    if kept is None:
        kept = node.trace = Traced()
        kept.code = kept.grad = kept.during = kept.value = None
        kept.seconds, kept.order = 0.0, 0
        kept.inner = kept.names = kept.parts = ()
    if kept.value is None:
        kept.value = value
    return kept


def _array(g: Any) -> Any:
    """A gradient without its graph."""
    return [_array(p) for p in g] if isinstance(g, list) else getattr(g, "_data", g)


class _Kinds(dict[str, int]):
    """Where a file belongs, by its name; code objects would take long to hash."""

    def __missing__(self, file: str) -> int:
        kind = ENGINE if file.startswith(_ENGINE) else PACKAGE if file.startswith(_PACKAGE) else USER
        self[file] = kind
        return kind


_KIND = _Kinds()
_STORED: dict[CodeType, tuple[str, ...]] = {}


def _stored(code: CodeType) -> tuple[str, ...]:
    """The variables that a function assigns to."""
    if code not in _STORED:
        found = [i.argval for i in dis.get_instructions(code) if i.opname.startswith("STORE_")]
        _STORED[code] = tuple(dict.fromkeys(name for name in found if isinstance(name, str)))
    return _STORED[code]


def where(code: CodeType) -> int:
    """`ENGINE`, `PACKAGE` or `USER`: where a function belongs."""
    return _KIND[code.co_filename]


class trace(switched):
    """Context manager in which ops keep where they were called and what they computed; recurrences unroll.

    A backward pass inside also keeps the gradient of every node, the order of its visits, and what each adds
    to the gradients of its arguments: `backward(retain_graph=True)`, so that there is still a graph to draw.

    What is recorded inside can be compared with a hand derivation step by step, by the variable names of the
    function that computed it (`compare_gradients` with a `ManualRecorder`).

    >>> from tinygrad_rnn import ops, tensor
    >>> x = tensor([0.5], requires_grad=True)
    >>> with trace():
    ...     y = ops.tanh(x)
    >>> y._node.trace.value.shape
    (1,)
    """

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        super().__init__(derive=False)

    def _recreate_cm(self) -> trace:
        return trace()

    def __enter__(self) -> None:
        self.traces.append(Trace())
        self.changes["monitor"] = self.traces[-1]
        super().__enter__()

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self.traces.pop().close()
