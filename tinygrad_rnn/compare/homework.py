"""`tinygrad-rnn compare FILE`: runs a hand-written RNN, LSTM or GRU and compares its gradients with autodiff's.

The file runs in a process of its own, so that a loop without end, an `exit()` or a crash is reported.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.tensor import Tensor, Variable
from ..ops import log_softmax, tanh
from .homework_file import (
    N_A,
    N_X,
    N_Y,
    M,
    Problem,
    T,
    Unusable,
    arguments,
    compared,
    derivation,
    forward_rows,
    loaded,
    run,
)
from .homework_gates import check_gated, is_gated
from .report import GradReport

_STATE, _CARRY, _SUM, _SCORES = "a", "a_prev", "z", "zy"  # the variables of `_loss`
_NAMES = {  # what people call the gradients of these
    **dict.fromkeys(("dy", "dyt", "dy_t", "dzy", "dzyt", "dzy_t", "dlogits", "dscores"), _SCORES),
    **dict.fromkeys(("da", "dat", "da_t", "dh", "dht", "dh_t"), f"{_STATE}|{_CARRY}"),
    **dict.fromkeys(("da_prev", "dat_prev", "da_next", "dat_next", "dh_prev", "dh_next", "dhnext"), _CARRY),
    **dict.fromkeys(("dz", "dzt", "dz_t", "dzx", "dzxt", "dzx_t", "du", "dhraw", "dh_raw", "dtanh"), _SUM),
}


# --- in the parent ----------------------------------------------------------------------------------


def compare_file(path: str, seconds: float = 60.0) -> tuple[int, str]:
    """Compare the derivation in a file; returns exit code and text.

    0 and the report if all gradients agree, 1 and the report if not, 2 and one line if the file could not
    be compared: it does not import, has no forward and backward, raises, calls `exit`, or takes too long.
    """
    if not Path(path).is_file():
        return 2, f"{path}: {'it is a folder' if Path(path).is_dir() else 'there is no such file'}"
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        package = str(Path(__file__).resolve().parents[2])
        known = os.environ.get("PYTHONPATH")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([package, known] if known else [package])}
        command = [
            sys.executable, "-P",  # a file html.py beside the user's is not the html that we import
            "-m", "tinygrad_rnn.compare.homework", str(Path(path).resolve()), str(answer),
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        said: deque[bytes] = deque(maxlen=3)
        reader = threading.Thread(target=_read, args=(process.stderr, said), daemon=True)
        reader.start()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return 2, f"{path}: still running after {seconds:g} s: does it loop for ever? (--time-limit)"
        finally:
            if process.poll() is None and os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)  # with what it may have started itself
            process.kill()
            process.wait()
            reader.join(1.0)  # what it has started may hold the pipe open
        if not answer.exists():
            last = " ".join(b" ".join(said).decode(errors="replace").split())
            why = f"its last words: {last}" if last else "does it call exit?"
            return 2, f"{path}: the program ended by itself (exit code {process.returncode}): {why}"
        return told(path, answer)


def _read(stream: Any, kept: deque[bytes]) -> None:
    """Keep the last pieces of what a program writes."""
    with stream:
        kept.extend(iter(partial(stream.readline, 500), b""))


def told(path: str, answer: Path) -> tuple[int, str]:
    """Exit code and text that the child has written."""
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
    forward, backward, owner = derivation(loaded(path))
    rng = np.random.default_rng(seed)
    if is_gated(path, forward, backward):
        return check_gated(path, forward, backward, owner, rng)
    shapes = {"Wax": (N_A, N_X), "Waa": (N_A, N_A), "Wya": (N_Y, N_A), "ba": (N_A, 1), "by": (N_Y, 1)}
    variables = {
        name: Variable(rng.standard_normal(shape) * 0.6, name=name) for name, shape in shapes.items()
    }
    X, a0 = rng.standard_normal((N_X, M, T)), rng.standard_normal((N_A, M))
    Y = np.eye(N_Y)[:, rng.integers(N_Y, size=(M, T))]
    values = {n: v.numpy().copy() for n, v in variables.items()}
    given: dict[str, Any] = {"X": X, "Y": Y, "a0": a0, "parameters": values}
    with contextlib.suppress(Exception):
        owner.parameters = values
    outputs = run(path, "forward", forward, arguments(forward, ("X", "a0", "parameters"), given))
    given["caches"] = outputs[-1] if isinstance(outputs, (tuple, list)) else outputs
    A, Y_hat = _states(variables, X, a0)
    rows = forward_rows(outputs, {"A": A, "Y_hat": Y_hat})
    factor, notes = _scale(path, owner, Y_hat, Y)
    wanted = arguments(backward, ("X", "Y", "parameters", "caches"), given)

    def loss() -> Tensor:
        return _loss(variables, X, a0, Y, factor)

    totals = {name: ("d" + name, name) for name in variables}
    problem = Problem(variables, loss, [X, a0], {**_NAMES, **{"d" + n: n for n in variables}}, totals)
    return compared(path, problem, backward, wanted, rows, notes)


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


def _scale(path: str, owner: Any, Y_hat: Array, Y: Array) -> tuple[float, list[str]]:
    """What the file's own `compute_loss` is, in units of the sum over examples and steps."""
    compute = getattr(owner, "compute_loss", None)
    if compute is None:
        return 1.0, []
    value = run(path, "compute_loss", compute, [Y_hat.copy(), Y.copy()])
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


if __name__ == "__main__":
    main(*sys.argv[1:])
