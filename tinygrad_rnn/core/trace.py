"""Where ops come from: inside `trace()`, every node keeps its call path, its value, and later its gradient.

Outside it nothing is kept, and ops cost what they cost without this file.
"""

from __future__ import annotations

import dis
import os
import sys
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ..config import Monitor, Scope, switched
from .op import LEAF, PORT, Node
from .tensor import Tensor

MOST_PARTS = 2**28  # bytes of contributions to gradients that a `trace()` keeps
DEPTH = 4  # frames that are kept of a call path
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ENGINE = tuple(os.path.join(_PACKAGE, part) for part in ("core", "ops", "bptt", "config"))

Path = tuple[tuple[CodeType, int], ...]


class Traced:
    """What `trace()` keeps of a node: where it was made, what it computed, and what a backward pass did with it.

    `path` is the call path, innermost frame first; `value` the array, or a tuple of them; `seconds` the time
    since the op before, with the Python in between. `name` is that of the local variable in which the node
    was first seen, looked up whenever a function was entered or left between two ops; None if there was none.
    What a function assigns directly is not looked up: it can be read off the call path.

    The rest is set by a backward pass inside `trace()`, the last one if there are several: `order` numbers the
    nodes as they were visited, 1, 2, … (0: not visited); `grad` is the gradient that had arrived (a list, with
    None for what was not used, if the op has several outputs); `parts` has one entry per argument: what the
    node added to the gradient of that argument, None if nothing. The engine adds the parts that arrive at
    one node in this order, from the first one on. Once `MOST_PARTS` bytes are kept, a part is its norm only.
    """

    __slots__ = ("grad", "name", "order", "parts", "path", "seconds", "value")

    def __init__(self, path: Path, value: Any, seconds: float = 0.0) -> None:
        self.path = path  # (code, offset of the instruction), without the frames of the engine
        self.value = value
        self.seconds = seconds
        self.name: str | None = None
        self.order = 0
        self.grad: Any = None
        self.parts: list[Any] = []


class Trace(Monitor):
    """Stamps every node with a `Traced`."""

    def __init__(self) -> None:
        self._frame: FrameType | None = None  # the innermost frame of the last op
        self._clock = perf_counter()
        self._visited = 0
        self._argument = 0  # of the visited node: where to look for the next parent
        self._kept = 0  # bytes of parts

    def forward(self, op: Any, args: tuple[Any, ...], attrs: dict[str, Any], y: Any, scope: Scope) -> None:
        """Note the values of leaves, which nothing else keeps."""
        for a in args:
            if isinstance(a, Tensor):
                node = a._node
                if node is not None and node.op is LEAF and not hasattr(node, "trace"):
                    node.trace = Traced((), a._data)

    def recorded(self, node: Node, y: Any) -> None:
        """Note where a node was made."""
        frame: FrameType | None = sys._getframe(1)
        path: list[tuple[CodeType, int]] = []
        inner: FrameType | None = None
        while frame is not None and len(path) < DEPTH:
            code = frame.f_code
            user = _USER.get(code.co_filename)
            if user is None:
                user = _USER[code.co_filename] = not code.co_filename.startswith(_ENGINE)
            if user:
                inner = inner or frame
                path.append((code, frame.f_lasti))
            frame = frame.f_back
        if inner is not self._frame:
            self._look_around(inner)
            self._frame = inner
        clock = perf_counter()
        node.trace = Traced(tuple(path), y, clock - self._clock)
        self._clock = clock

    def arrived(self, node: Node, g: Any) -> None:
        """Note the gradient of a node, and that it is its turn."""
        if node.op is not PORT:
            kept = _traced(node)
            self._visited += 1
            kept.order, kept.grad = self._visited, _array(g)
            kept.parts = [None] * len(node.inputs or ())
            self._argument = 0

    def backward(self, node: Node, parent: Node, part: Any) -> None:
        """Note what a node adds to the gradient of its parent."""
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
            if _USER.get(frame.f_code.co_filename):
                held = frame.f_locals
                for name in _stored(frame.f_code):
                    value = held.get(name)
                    if isinstance(value, Tensor) and value._node is not None:
                        node = value._node
                        kept = _traced(node, value._data)
                        kept.name = kept.name or name
            frame = frame.f_back

    def close(self) -> None:
        """Let go of the frame."""
        self._frame = None


def _traced(node: Node, value: Any = None) -> Traced:
    """What is kept of a node; leaves, and nodes from before, have nothing yet."""
    if not hasattr(node, "trace"):
        node.trace = Traced((), value)
    kept: Traced = node.trace
    return kept


def _array(g: Any) -> Any:
    """A gradient without its graph."""
    return [_array(p) for p in g] if isinstance(g, list) else getattr(g, "_data", g)


_USER: dict[str, bool] = {}  # by file: a code object takes long to hash
_STORED: dict[CodeType, tuple[str, ...]] = {}


def _stored(code: CodeType) -> tuple[str, ...]:
    """The variables that a function assigns to."""
    if code not in _STORED:
        found = [i.argval for i in dis.get_instructions(code) if i.opname.startswith("STORE_")]
        _STORED[code] = tuple(dict.fromkeys(name for name in found if isinstance(name, str)))
    return _STORED[code]


class trace(switched):
    """Context manager in which ops keep where they were called and what they computed; recurrences unroll.

    A backward pass inside also keeps the gradient of every node, the order of its visits, and what each adds to
    the gradients of its arguments (`backward(retain_graph=True)`, so that the graph is still there to look at). What is recorded inside can be compared with a hand derivation step by step, by the variable names of
    the function that computed it (`compare_gradients` with a `ManualRecorder`).

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
