"""A hand-written derivation in a file of its own: what it defines, what it wants, and what goes wrong in it."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.tensor import Tensor, Variable
from .compare import compare_gradients
from .loops import Run, over_time
from .order import tell_order
from .recorder import Entry, ManualRecorder
from .report import GradReport, Row, measure
from .sites import Source
from .totals import STEPWISE
from .watch import Watch

N_X, N_A, N_Y, M, T = 4, 5, 3, 2, 6  # all different, so that a wrong axis does not fit by accident
_ROLES = {  # argument -> the names that it has in such files; else the order counts
    "X": ("X", "x", "inputs"), "Y": ("Y", "y", "targets", "labels"),
    "a0": ("a0", "a_prev", "at_prev", "h0", "h_prev"), "c0": ("c0", "c_prev"), "dH": ("dH", "dh", "d_outputs"),
    "parameters": ("parameters", "params", "weights"), "caches": ("caches", "cache"),
}  # fmt: skip


class Unusable(ValueError):
    """A file that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Problem:
    """What a derivation is compared with.

    `names` maps what people call the gradients of a step to the variables of `loss`, `totals` the parameters
    to the keys that their gradients may have in the result.
    """

    variables: dict[str, Variable]
    loss: Callable[[], Tensor]
    inputs: list[Array]
    names: dict[str, Any]
    totals: Mapping[str, tuple[str, ...]]

    def laid_out(self, name: str, gradient: Any) -> Any:
        """A gradient in the layout of its parameter, if it is only transposed or a column."""
        shape = self.variables[name].shape
        if not isinstance(gradient, np.ndarray) or gradient.shape == shape:
            return gradient
        if len(set(shape)) > 1 and gradient.shape == shape[::-1]:
            return gradient.T
        return gradient.ravel() if len(shape) == 1 and gradient.shape == (*shape, 1) else gradient

    def report(self, entries: list[Entry], totals: Mapping[str, Any]) -> GradReport:
        """The quantities of single steps, of those whose names are known, and the totals against autodiff."""
        recorder = ManualRecorder()
        recorder.entries = [entry for entry in entries if entry.name in self.names]
        given = {entry.name for entry in recorder.entries} | set(totals)
        stepwise = bool(recorder.entries)
        recorder.entries += [Entry(None, name, value, Source("", 0, "")) for name, value in totals.items()]
        return compare_gradients(
            recorder if stepwise else dict(totals), self.variables, loss_fn=self.loss, inputs=self.inputs,
            map={name: meant for name, meant in self.names.items() if name in given},
        )  # fmt: skip

    def order(self, loop: Run) -> tuple[int, ...]:
        """The step of every pass of a loop: of what it may be, that with which most quantities agree."""
        orders = loop.orders(T)
        if len(orders) < 2:
            return orders[0] if orders else ()
        agreeing: dict[tuple[int, ...], int] = {}
        for order in orders:
            rows = self.report(loop.at(order), {}).rows
            agreeing[order] = sum(row.t is not None and row.verdict == "rounding" for row in rows)
            if agreeing[order] == len(rows):
                break
        return max(agreeing, key=lambda order: agreeing[order])


def loaded(path: str) -> Any:
    """The module of a file."""
    sys.path.insert(0, os.path.dirname(path))
    sys.argv = [path]
    spec = importlib.util.spec_from_file_location("homework", path)
    if spec is None or spec.loader is None:
        raise Unusable("this is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["homework"] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Unusable(f"it does not import: {_told(path, error)}") from error
    return module


def derivation(module: Any) -> tuple[Callable[..., Any], Callable[..., Any], Any]:
    """Forward, backward, and what they belong to: a class of the file, or the file itself."""
    for value in vars(module).values():
        own = inspect.isclass(value) and value.__module__ == module.__name__
        if own and all(callable(getattr(value, name, None)) for name in ("forward", "backward")):
            owner = _instance(value)
            return owner.forward, owner.backward, owner
    if all(callable(getattr(module, name, None)) for name in ("forward", "backward")):
        return module.forward, module.backward, module
    raise Unusable(
        "it defines no forward(X, a0, parameters) and backward(X, Y, parameters, caches), or for an LSTM or GRU "
        "forward(X, h0[, c0], params) and backward(dH, cache), as functions or in a class"
    )


def _instance(kind: Any) -> Any:
    """An object of a class, made with its sizes if it asks for them."""
    for arguments in ((), (N_A, N_X, N_Y), (N_X, N_A, N_Y)):
        with contextlib.suppress(Exception):
            return kind(*arguments)
    return object.__new__(kind)


def arguments(function: Callable[..., Any], order: tuple[str, ...], given: Mapping[str, Any]) -> list[Any]:
    """The arguments that a function wants, by their names; else in that order."""
    names = required(function)
    if all(role(name) in given for name in names):
        return [given[role(name)] for name in names]
    if len(names) != len(order):
        name = getattr(function, "__name__", "it")
        raise Unusable(f"{name} takes ({', '.join(names)}); expected ({', '.join(order)})")
    return [given[name] for name in order]


def role(name: str) -> str:
    """What an argument stands for, by its name; "" if that does not say."""
    return next((meant for meant, others in _ROLES.items() if name in others), "")


def run(path: str, name: str, function: Callable[..., Any], arguments: list[Any]) -> Any:
    """Call a function of the file; what it raises becomes `Unusable`, with the line."""
    try:
        with np.errstate(all="ignore"):
            return function(*arguments)
    except Exception as error:
        raise Unusable(f"{name} raises {_told(path, error)}") from error


def _told(path: str, error: Exception) -> str:
    """An error in one line, with the last line of the user's file that it passed."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    at = lines[-1] if lines else getattr(error, "lineno", None)
    where = f" (line {at})" if at else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def required(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments that a function must be given."""
    found = inspect.signature(function).parameters.values()
    return [p.name for p in found if p.kind < 2 and p.default is p.empty]


def forward_rows(outputs: Any, wanted: Mapping[str, Array]) -> list[Row]:
    """A row for every output of the forward pass that has the shape of one of the arrays, (n, m, T)."""
    rows, left = [], dict(wanted)
    for output in outputs if isinstance(outputs, (tuple, list)) else [outputs]:
        for name, right in left.items():
            if not isinstance(output, np.ndarray) or output.shape != right.shape:
                continue
            row = measure(f"forward: {name}", output, right)
            row.verdict = "rounding" if row.max_abs <= 1e-12 else "differs"
            if row.verdict == "differs":
                off = np.abs(output - right).max(axis=(0, 1))
                row.diagnosis = f"the forward pass differs, first at t={int((~(off <= 1e-12)).argmax())}"
            rows.append(row)
            del left[name]
            break
    return rows


def compared(
    path: str,
    problem: Problem,
    backward: Callable[..., Any],
    arguments: list[Any],
    rows: list[Row],
    notes: list[str],
) -> GradReport:
    """Watch the backward pass run, and compare all that it computes; `rows` are those of the forward pass."""
    watch = Watch(str(path))
    gradients = run(path, "backward", lambda *a: watch(backward, *a), arguments)
    if not isinstance(gradients, Mapping):
        known = ", ".join(names[0] for names in problem.totals.values())
        raise Unusable(
            f"backward must return a dict of gradients ({known}), it returned {type(gradients).__name__}"
        )
    notes = list(notes)
    loops: list[tuple[Run, tuple[int, ...]]] = []
    if not any(row.failed for row in rows):  # a wrong forward pass says nothing about the backward pass
        loops = [(loop, problem.order(loop)) for loop in over_time(watch.runs, T)]
        if not any(steps for _, steps in loops):
            notes.append("no loop over the time steps was found in backward: only totals were compared")
    totals: dict[str, Any] = {}
    for name, spellings in problem.totals.items():
        totals["d" + name] = next((gradients[s] for s in spellings if s in gradients), None)
        totals["d" + name] = problem.laid_out(name, totals["d" + name])
    report = problem.report([entry for loop, steps in loops for entry in loop.at(steps)], totals)
    found = [row for row in report.rows if not row.extra]
    if any(row.failed for row in found if row.t is None):
        notes += tell_order(os.path.basename(path), report, loops, T)
    else:  # right: a name that differs means something else
        found = [row for row in found if not row.failed]
        report.first_divergence = None
    report.rows = rows + found
    report.notes = notes + [note for note in report.notes if "recorded as" not in note and note != STEPWISE]
    report.title = f"{os.path.basename(path)}: gradients by hand against autodiff, T = {T}, m = {M}"
    return report
