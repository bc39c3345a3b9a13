"""Watches a hand-written backward pass run: every gradient that a line assigns, with its step and line."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from ..viz.sites import label, targets_of, tree_of
from .loops import Loop, Run
from .recorder import Entry
from .sites import called, function_at, placed
from .sums import starts_from_zeros


class Watch:
    """Records what the functions of one file assign to names with a leading `d`, for as long as it runs.

    What is computed inside of loops, `for` or `while`, is kept with the run of each loop that it stands in.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.runs: list[Run] = []
        self._open: dict[int, Any] = {}  # frame -> the statement that is running in it
        self._inside: list[Run] = []  # the loops that are running, outermost first

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
        while self._inside and self._inside[-1].left(frame, event):
            self._inside.pop().end()
        if event == "line":
            self._follow(frame)
            found = _statement(frame)
            if found is not None:
                self._open[id(frame)] = found
        return self._step

    def _follow(self, frame: FrameType) -> None:
        """Begin the loop whose first line this is, and go on with those that the line stands in."""
        loop = _loops(tree_of(frame.f_code)).get(frame.f_lineno)
        inline = frame.f_code.co_name.startswith("<")  # a comprehension or lambda in the line of a loop
        if (
            loop is not None
            and not inline
            and not any(run.loop is loop and run.frame is frame for run in self._inside)
        ):
            run = Run(loop, frame, tuple(self._inside))
            self.runs.append(run)
            self._inside.append(run)
        for run in self._inside:
            if run.frame is frame:
                run.follow()

    def _finish(self, statement: Any, frame: FrameType, result: Any) -> None:
        if not self._inside:
            return
        for name, value, node, target in _made(statement, frame, result):
            array = np.asarray(value) if isinstance(value, (np.ndarray, np.generic)) else None
            if name.startswith("d") and array is not None and array.dtype.kind in "fiub":
                scope = function_at(tree_of(frame.f_code), frame.f_lineno)
                summed = target is not None and starts_from_zeros(target, scope)
                source = placed(node, self.file)._replace(variable=name, summed=summed)
                for run in self._inside:
                    run.add(Entry(None, name, array.copy(), source))


def _statement(frame: FrameType) -> Any:
    """The smallest statement that the next line belongs to."""
    kinds = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)
    around = [
        node for node in ast.walk(tree_of(frame.f_code))
        if isinstance(node, kinds) and node.lineno <= frame.f_lineno <= (node.end_lineno or 0)
    ]  # fmt: skip
    return max(around, key=lambda node: node.lineno, default=None)


@functools.lru_cache(maxsize=64)
def _loops(tree: ast.Module) -> dict[int, Loop]:
    """The loops of a file by their first line."""
    return {node.lineno: node for node in ast.walk(tree) if isinstance(node, (ast.For, ast.While))}


def _made(statement: Any, frame: FrameType, result: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Name and value of what a statement has assigned, the place that computed it, and the target."""
    if isinstance(statement, ast.Return):
        if isinstance(statement.value, ast.Dict) and isinstance(result, dict):
            yield from _items(statement.value, result)
        return
    for target, made, _ in targets_of(statement):
        several = isinstance(target, ast.Tuple)
        for i, part in enumerate(target.elts if isinstance(target, ast.Tuple) else [target]):
            place = called(made, i if several else None, label(part) or "", frame) or statement
            if isinstance(part, ast.Name) and part.id in frame.f_locals:
                value = frame.f_locals[part.id]
                if isinstance(made, ast.Dict) and isinstance(value, dict):
                    yield from _items(made, value)
                yield part.id, value, place, part
            elif isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name):
                key = part.slice.value if isinstance(part.slice, ast.Constant) else None
                container = frame.f_locals.get(part.value.id)
                if isinstance(key, str) and isinstance(container, dict) and key in container:
                    yield key, container[key], place, part


def _items(written: ast.Dict, value: dict[Any, Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    for key, node in zip(written.keys, written.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value in value:
            yield key.value, value[key.value], node, None
