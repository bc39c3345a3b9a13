"""`tinygrad-rnn compare FILE`: runs a hand-written RNN in the style of seed 000 and compares its gradients.

The file runs in a process of its own, so that a loop without end, an `exit()` or a crash is reported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.tensor import Tensor, Variable
from ..ops import log_softmax, tanh
from .compare import compare_gradients
from .recorder import Entry
from .report import GradReport, Row, measure
from .sites import Source
from .watch import Watch

N_X, N_A, N_Y, M, T = 4, 5, 3, 2, 6  # all different, so that a wrong axis does not fit by accident
_STATE, _CARRY, _SUM, _SCORES = "a", "a_prev", "z", "zy"  # the variables of `_loss`
_NAMES = {  # what people call the gradients of these
    **dict.fromkeys(("dy", "dyt", "dy_t", "dzy", "dzyt", "dzy_t", "dlogits", "dscores"), _SCORES),
    **dict.fromkeys(("da", "dat", "da_t", "dh", "dht", "dh_t"), f"{_STATE}|{_CARRY}"),
    **dict.fromkeys(("da_prev", "dat_prev", "da_next", "dat_next", "dh_prev", "dh_next", "dhnext"), _CARRY),
    **dict.fromkeys(("dz", "dzt", "dz_t", "dzx", "dzxt", "dzx_t", "du", "dhraw", "dh_raw", "dtanh"), _SUM),
}
_WEIGHTS = ("Wax", "Waa", "Wya", "ba", "by")
_ROLES = {  # argument -> the names that it has in such files; else the order of seed 000 counts
    "X": ("X", "x", "inputs"), "Y": ("Y", "y", "targets", "labels"), "a0": ("a0", "a_prev", "at_prev", "h0", "h_prev"),
    "parameters": ("parameters", "params", "weights"), "caches": ("caches", "cache"),
}  # fmt: skip


class Unusable(ValueError):
    """A file that cannot be compared; the message says why."""


# --- in the parent ----------------------------------------------------------------------------------


def compare_file(path: str, seconds: float = 60.0) -> tuple[int, str]:
    """Compare the derivation in a file; returns exit code and text.

    0 and the report if all gradients agree, 1 and the report if not, 2 and one line if the file could not
    be compared: it does not import, has no forward and backward, raises, calls `exit`, or takes too long.
    """
    if not Path(path).is_file():
        return 2, f"{path}: there is no such file"
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        package = str(Path(__file__).resolve().parents[2])
        known = os.environ.get("PYTHONPATH")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([package, known] if known else [package])}
        command = [
            sys.executable,
            "-m",
            "tinygrad_rnn.compare.homework",
            str(Path(path).resolve()),
            str(answer),
        ]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return 2, f"{path}: still running after {seconds:g} s: does it loop for ever? (--time-limit)"
        finally:
            if process.poll() is None and os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)  # with what it may have started itself
            process.kill()
            process.wait()
        if not answer.exists():
            return (
                2,
                f"{path}: the program ended by itself (exit code {process.returncode}): does it call exit?",
            )
        code, text = json.loads(answer.read_text(encoding="utf-8"))
    return code, f"{path}: {text}" if code == 2 else text


# --- in the child -----------------------------------------------------------------------------------


def main(path: str, answer: str) -> None:
    """Run the file and write exit code and text."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            report = check(path)
        result = (0 if report else 1, str(report))
    except Unusable as error:
        result = 2, str(error)
    except SystemExit as stop:
        result = 2, f"it calls exit ({stop.code})"
    part = Path(answer + ".part")
    part.write_text(json.dumps(result), encoding="utf-8")
    part.replace(answer)


def check(path: str, seed: int = 0) -> GradReport:
    """The report on the derivation in a file; raises `Unusable` with the reason if there is none."""
    forward, backward, owner = _derivation(_loaded(path))
    rng = np.random.default_rng(seed)
    shapes = {"Wax": (N_A, N_X), "Waa": (N_A, N_A), "Wya": (N_Y, N_A), "ba": (N_A, 1), "by": (N_Y, 1)}
    variables = {
        name: Variable(rng.standard_normal(shape) * 0.6, name=name) for name, shape in shapes.items()
    }
    X, a0 = rng.standard_normal((N_X, M, T)), rng.standard_normal((N_A, M))
    Y = np.eye(N_Y)[:, rng.integers(N_Y, size=(M, T))]
    given: dict[str, Any] = {
        "X": X,
        "Y": Y,
        "a0": a0,
        "parameters": {n: v.numpy().copy() for n, v in variables.items()},
    }
    for target in filter(None, (owner,)):
        with contextlib.suppress(Exception):
            target.parameters = given["parameters"]
    outputs = _run(path, "forward", forward, _arguments(forward, ("X", "a0", "parameters"), given))
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    given["caches"] = outputs[-1]
    A, Y_hat = _states(variables, X, a0)
    rows = [row for o in outputs for row in _forward_row(o, A, Y_hat)]
    factor, notes = _scale(path, owner, Y_hat, Y)
    watch = Watch(str(path), T)
    arguments = _arguments(backward, ("X", "Y", "parameters", "caches"), given)
    gradients = _run(path, "backward", lambda *a: watch(backward, *a), arguments)
    if not isinstance(gradients, Mapping):
        raise Unusable(
            f"backward must return a dict of gradients (dWaa, dWax, …), it returned {type(gradients).__name__}"
        )
    recorder = watch.recorder
    known = {*_NAMES, *("d" + name for name in _WEIGHTS)}
    recorder.entries = [entry for entry in recorder.entries if entry.name in known]
    here = Source("", 0, "")
    if any(d.failed for d in rows):
        recorder.entries = []  # a wrong forward pass says nothing about the backward pass
    totals = {"d" + name: gradients.get("d" + name, gradients.get(name)) for name in _WEIGHTS}
    recorder.entries += [Entry(None, name, value, here) for name, value in totals.items()]

    def loss() -> Tensor:
        return _loss(variables, X, a0, Y, factor)

    manual: Any = recorder if any(entry.t is not None for entry in recorder.entries) else totals
    report = compare_gradients(manual, variables, map=_NAMES, loss_fn=loss, inputs=[X, a0])
    report.rows = rows + [row for row in report.rows if not row.extra]
    report.notes = notes + [note for note in report.notes if "recorded as" not in note]
    report.title = f"{os.path.basename(path)}: gradients by hand against autodiff, T = {T}, m = {M}"
    return report


def _loss(p: Mapping[str, Any], X: Array, a0: Array, Y: Array, factor: float) -> Tensor:
    """The network of seed 000; the names of the variables are those that a derivation is compared with."""
    a: Any = a0
    loss: Any = 0.0
    for t in range(X.shape[2]):
        z = p["Wax"] @ X[:, :, t] + p["Waa"] @ a + p["ba"]
        a = tanh(z)
        zy = p["Wya"] @ a + p["by"]
        loss = loss - (Y[:, :, t] * log_softmax(zy, axis=0)).sum()
    return loss * factor  # type: ignore[no-any-return]


def _states(p: Mapping[str, Any], X: Array, a0: Array) -> tuple[Array, Array]:
    """All states (n_a, m, T) and probabilities (n_y, m, T)."""
    values = {name: v.numpy() for name, v in p.items()}
    a, states = a0, []
    for t in range(X.shape[2]):
        a = np.tanh(values["Wax"] @ X[:, :, t] + values["Waa"] @ a + values["ba"])
        states.append(a)
    A = np.stack(states, axis=2)
    e = np.exp(np.einsum("ya,amt->ymt", values["Wya"], A) + values["by"][:, :, np.newaxis])
    return A, e / e.sum(axis=0)


def _forward_row(output: Any, A: Array, Y_hat: Array) -> list[Row]:
    """A row for an output of the forward pass that has the shape of the states or of the probabilities."""
    for name, wanted in (("A", A), ("Y_hat", Y_hat)):
        if isinstance(output, np.ndarray) and output.shape == wanted.shape:
            row = measure(f"forward: {name}", output, wanted)
            row.verdict = "rounding" if row.max_abs <= 1e-12 else "differs"
            if row.verdict == "differs":
                off = np.abs(output - wanted).max(axis=(0, 1))
                row.diagnosis = f"the forward pass differs, first at t={int((off > 1e-12).argmax())}"
            return [row]
    return []


def _scale(path: str, owner: Any, Y_hat: Array, Y: Array) -> tuple[float, list[str]]:
    """What the file's own `compute_loss` is, in units of the sum over examples and steps."""
    compute = getattr(owner, "compute_loss", None)
    if compute is None:
        return 1.0, []
    value = _run(path, "compute_loss", compute, [Y_hat.copy(), Y.copy()])
    factor = float(value) / float(-(Y * np.log(Y_hat)).sum()) if np.size(value) == 1 else float("nan")
    if not np.isfinite(factor) or factor == 0:
        return 1.0, [
            "compute_loss is not understood; compared with the cross-entropy summed over examples and steps"
        ]
    if abs(factor - 1) < 1e-9:
        return 1.0, []
    return factor, [
        f"compute_loss is {factor:.6g} times the sum over examples and steps; so is the reference"
    ]


def _loaded(path: str) -> Any:
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


def _derivation(module: Any) -> tuple[Callable[..., Any], Callable[..., Any], Any]:
    """Forward, backward, and what they belong to: a class of the file, or the file itself."""
    for value in vars(module).values():
        own = inspect.isclass(value) and value.__module__ == module.__name__
        if own and all(callable(getattr(value, name, None)) for name in ("forward", "backward")):
            owner = _instance(value)
            return owner.forward, owner.backward, owner
    if all(callable(getattr(module, name, None)) for name in ("forward", "backward")):
        return module.forward, module.backward, module
    raise Unusable(
        "it defines no forward(X, a0, parameters) and backward(X, Y, parameters, caches), as functions or in a class"
    )


def _instance(kind: Any) -> Any:
    """An object of a class, made with its sizes if it asks for them."""
    for arguments in ((), (N_A, N_X, N_Y), (N_X, N_A, N_Y)):
        with contextlib.suppress(Exception):
            return kind(*arguments)
    return object.__new__(kind)


def _arguments(function: Callable[..., Any], order: tuple[str, ...], given: Mapping[str, Any]) -> list[Any]:
    """The arguments that a function wants, by their names; else in the order of seed 000."""
    names = [
        p.name for p in inspect.signature(function).parameters.values() if p.kind < 2 and p.default is p.empty
    ]
    roles = {name: role for role, others in _ROLES.items() for name in others}
    if all(name in roles and roles[name] in given for name in names):
        return [given[roles[name]] for name in names]
    if len(names) != len(order):
        name = getattr(function, "__name__", "it")
        raise Unusable(f"{name} takes ({', '.join(names)}); expected ({', '.join(order)})")
    return [given[role] for role in order]


def _run(path: str, name: str, function: Callable[..., Any], arguments: list[Any]) -> Any:
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


if __name__ == "__main__":
    main(*sys.argv[1:])
