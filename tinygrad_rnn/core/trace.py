"""Where ops come from: inside `trace()`, every node keeps its call path and its value.

Outside it nothing is kept, and ops cost what they cost without this file.
"""

from __future__ import annotations

import dis
import os
import sys
from types import CodeType, FrameType
from typing import Any

from ..config import Monitor, switched
from .op import Node
from .tensor import Tensor

DEPTH = 4  # frames that are kept of a call path
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ENGINE = tuple(os.path.join(_PACKAGE, part) for part in ("core", "ops", "bptt", "config"))

Path = tuple[tuple[CodeType, int], ...]


class Traced:
    """What `trace()` keeps of a node: call path (innermost frame first), value, and names of variables.

    The names are those of local variables in which the node was seen, looked up whenever a function was
    entered or left between two ops. What a function assigns directly is not looked up: it can be read off
    the call path.
    """

    __slots__ = ("names", "path", "value")

    def __init__(self, path: Path, value: Any) -> None:
        self.path = path  # (code, offset of the instruction), without the frames of the engine
        self.value = value  # the array, or a tuple of them
        self.names: tuple[str, ...] = ()


class Trace(Monitor):
    """Stamps every node with a `Traced`."""

    def __init__(self) -> None:
        self._frame: FrameType | None = None  # the innermost frame of the last op
        self._back: FrameType | None = None  # its caller, and where that stands
        self._at = -1
        self._outer: Path = ()  # the path from there on

    def recorded(self, node: Node, y: Any) -> None:
        """Note where a node was made."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            user = _USER.get(frame.f_code.co_filename)
            if user or (user is None and _is_user(frame.f_code.co_filename)):
                break
            frame = frame.f_back
        back = None if frame is None else frame.f_back
        at = -1 if back is None else back.f_lasti  # a generator may be asked from elsewhere
        if frame is not self._frame or back is not self._back or at != self._at:
            self._look_around(frame)
            self._frame, self._back, self._at = frame, back, at
            self._outer = _path(back, DEPTH - 1)  # these frames wait for the innermost one
        node.trace = Traced(() if frame is None else ((frame.f_code, frame.f_lasti), *self._outer), y)

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
                        if not hasattr(node, "trace"):  # a leaf, or one of several outputs
                            node.trace = Traced((), value._data)
                        if name not in node.trace.names:
                            node.trace.names += (name,)
            frame = frame.f_back

    def close(self) -> None:
        """Let go of the frames."""
        self._frame = self._back = None


_USER: dict[str, bool] = {}  # by file: a code object takes long to hash


def _is_user(file: str) -> bool:
    """Whether a file is no part of the engine."""
    if file not in _USER:
        _USER[file] = not file.startswith(_ENGINE)
    return _USER[file]


def _path(frame: FrameType | None, depth: int) -> Path:
    """The frames outside the engine, innermost first, at most `depth` of them."""
    path: list[tuple[CodeType, int]] = []
    while frame is not None and len(path) < depth:
        if _is_user(frame.f_code.co_filename):
            path.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(path)


_STORED: dict[CodeType, tuple[str, ...]] = {}


def _stored(code: CodeType) -> tuple[str, ...]:
    """The variables that a function assigns to."""
    if code not in _STORED:
        found = [i.argval for i in dis.get_instructions(code) if i.opname.startswith("STORE_")]
        _STORED[code] = tuple(dict.fromkeys(name for name in found if isinstance(name, str)))
    return _STORED[code]


class trace(switched):
    """Context manager in which ops keep where they were called and what they computed; recurrences unroll.

    What is recorded inside can be compared with a hand derivation step by step, by the variable names of
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
