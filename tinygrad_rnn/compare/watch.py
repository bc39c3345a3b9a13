"""Watches a hand-written backward pass run: every gradient that a line assigns, with its step and line."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from ..core.sites import targets_of, tree_of
from .recorder import Entry, ManualRecorder
from .sites import function_at, source_of, starts_from_zeros


class Watch:
    """Records what the functions of one file assign to names with a leading `d`, for as long as it runs.

    Steps are counted by the outermost loop of `backward`, from the last one down.
    """

    def __init__(self, file: str, steps: int) -> None:
        self.file, self.steps = file, steps
        self.recorder = ManualRecorder()
        self._open: dict[int, Any] = {}  # frame -> the statement that is running in it
        self._loop: tuple[FrameType, ast.For] | None = None
        self._passes = 0

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function and watch it."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return function(*args)
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._step if frame.f_code.co_filename == self.file else None

    def _step(self, frame: FrameType, event: str, result: Any) -> Any:
        if event not in ("line", "return"):
            return self._step
        running = self._open.pop(id(frame), None)
        if running is not None:
            self._finish(running, frame, result if event == "return" else None)
        if event == "line":
            found = self._statement(frame)
            if isinstance(found, ast.For):
                if self._loop is None:
                    self._loop = frame, found
                if self._loop == (frame, found):
                    self._passes += 1
            elif found is not None:
                self._open[id(frame)] = found
        return self._step

    def _statement(self, frame: FrameType) -> Any:
        """The smallest statement that the next line belongs to."""
        kinds = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.For)
        around = [
            node for node in ast.walk(tree_of(frame.f_code))
            if isinstance(node, kinds) and node.lineno <= frame.f_lineno <= (node.end_lineno or 0)
            and (not isinstance(node, ast.For) or node.lineno == frame.f_lineno)
        ]  # fmt: skip
        return max(around, key=lambda node: node.lineno, default=None)

    def _finish(self, statement: Any, frame: FrameType, result: Any) -> None:
        if not 1 <= self._passes <= self.steps:
            return
        for name, value, node, target in _made(statement, frame, result):
            array = np.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else None
            if name.startswith("d") and array is not None and array.dtype.kind in "fiub":
                scope = function_at(tree_of(frame.f_code), frame.f_lineno)
                summed = target is not None and starts_from_zeros(target, scope)
                source = source_of(node, self.file)._replace(variable=name, summed=summed)
                self.recorder.entries.append(Entry(self.steps - self._passes, name, array.copy(), source))


def _made(statement: Any, frame: FrameType, result: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Name and value of what a statement has assigned, its syntax, and that of the target."""
    if isinstance(statement, ast.Return):
        if isinstance(statement.value, ast.Dict) and isinstance(result, dict):
            yield from _items(statement.value, result)
        return
    for target, made, _ in targets_of(statement):
        for part in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(part, ast.Name) and part.id in frame.f_locals:
                value = frame.f_locals[part.id]
                if isinstance(made, ast.Dict) and isinstance(value, dict):
                    yield from _items(made, value)
                yield part.id, value, statement, part
            elif isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
                key = part.slice.value if isinstance(part.slice, ast.Constant) else None
                container = frame.f_locals.get(part.value.id)
                if isinstance(key, str) and isinstance(container, dict) and key in container:
                    yield key, container[key], statement, part


def _items(written: ast.Dict, value: dict[Any, Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    for key, node in zip(written.keys, written.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value in value:
            yield key.value, value[key.value], node, None
