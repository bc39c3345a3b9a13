"""Training steps of recurrent layers, against hand-optimised NumPy, PyTorch and JAX: one table of ratios.

One step is the forward pass, softmax cross-entropy at every time step after a read-out, and the gradients of all
parameters, in float32. All programs of one shape take turns in one process, and their gradients are compared before
anything is timed. `limit` is only the matrix products that cannot be avoided, through NumPy. `--cells custom` takes
the cells of `custom_cells.py`, which no library has ready-made.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from _timing import Times, arguments, import_torch, interleave, rest, table, versions

SHAPES = {  # batch, steps, features, units, classes
    "seed": (1, 100, 65, 64, 65),
    "small": (16, 50, 65, 128, 65),
    "medium": (32, 64, 128, 256, 128),
    "large": (64, 100, 256, 512, 256),
}
IN_A_ROW = {"seed": 10, "small": 3}  # calls in one turn: in training, too, the data are in the cache
CELLS = ("rnn", "lstm", "gru", "bidirectional")
CUSTOM = (
    "layer_norm_lstm", "peephole_lstm", "coupled_lstm", "minimal_gated_unit", "ind_rnn", "attention_rnn",
)  # fmt: skip
OURS, HAND, LIMIT, LAYER, COMPOSED, JAX = (
    "tinygrad_rnn", "hand-fast", "limit", "PyTorch nn", "PyTorch ops", "JAX scan",
)  # fmt: skip
PEERS = (HAND, LIMIT, LAYER, COMPOSED, JAX)

MEAN_TARGET = 1 / 1.5  # geometric mean of the twelve ratios to PyTorch's layers
EAGER_TARGET = {"seed": 1 / 3, "small": 1 / 3, "medium": 1 / 1.5, "large": 1 / 1.2}  # custom cells to PyTorch
FIRST_CALL_TARGET = 0.2  # seconds more than a later call


def targets(shape: str, cell: str) -> dict[str, float]:
    """The largest `ours / it` that is wanted."""
    if cell in CUSTOM:
        return {COMPOSED: EAGER_TARGET[shape], **({} if shape == "seed" else {JAX: 1.0})}
    if cell == "bidirectional":
        return {LAYER: 1.0}
    found = {HAND: 1.05, LAYER: 1 / 1.1}
    if cell == "lstm":
        found[LAYER] = 1.0 if shape == "large" else 1 / 0.85
    if shape in ("medium", "large"):
        found[LIMIT] = {"medium": 1.45, "large": 1.25}[shape]
    return found


# --- the programs -------------------------------------------------------------------------------------------


def ours(cell: str, problem: Any, units: int, classes: int) -> Callable[[], Any]:
    """What `fit` does for a batch, up to the update of the weights."""
    import tinygrad_rnn as tg

    layers = {"rnn": tg.layers.SimpleRNN, "lstm": tg.layers.LSTM, "gru": tg.layers.GRU}
    layer = layers.get(cell, tg.layers.LSTM)(units, return_sequences=True)
    if cell == "bidirectional":
        layer = tg.layers.Bidirectional(layer)
    model = tg.Sequential([layer, tg.layers.Dense(classes)])
    model(problem.X[:, :1])
    model.set_weights(problem.weights)
    model.compile("sgd", tg.losses.SparseCategoricalCrossentropy(from_logits=True))
    weights = model.trainable_weights

    def program() -> tuple[float, list[Any]]:
        with model._mode(training=True, grad=True):
            loss, _, gradients = model._loss_and_gradients(problem.X, problem.labels, None)
        return float(loss), [gradients[w._node] for w in weights]

    return program


def limit(cell: str, N: int, T: int, D: int, H: int, V: int) -> Callable[[], None]:
    """Projection, T products forwards and T backwards, two weight gradients, and the three of the read-out."""
    import hand_fast
    import numpy as np

    width = hand_fast.CELLS[cell].gates * H
    x, h, dz, logits = (np.ones((T * N, n), np.float32) for n in (D, H, width, V))
    kernel, recurrent, readout = (np.ones(s, np.float32) for s in ((D, width), (H, width), (H, V)))
    steps = list(zip(h.reshape(T, N, H), dz.reshape(T, N, width), strict=True))
    z, dh = np.empty((N, width), np.float32), np.empty((N, H), np.float32)

    def program() -> None:
        for a, b in ((x, kernel), (h, readout), (h.T, logits), (logits, readout.T), (x.T, dz), (h.T, dz)):
            a @ b
        for h_t, dz_t in steps:
            h_t.dot(recurrent, z)
            dz_t.dot(recurrent.T, dh)

    return program


def programs(shape: str, cell: str, threads: int) -> tuple[dict[str, Callable[[], Any]], list[Any]]:
    """Those whose library is installed, ours first; and the weights."""
    import peers_jax

    torch, jax, sizes = import_torch(threads), peers_jax.available(threads), SHAPES[shape]
    found: dict[str, Callable[[], Any]] = {}
    if cell in CUSTOM:
        import custom_cells

        own = custom_cells.random_problem(cell, *sizes)
        found[OURS] = custom_cells.in_tinygrad(own)
        if torch is not None:
            found[COMPOSED] = custom_cells.in_torch(own)
        if jax:
            found[JAX] = custom_cells.in_jax(own)
        return found, [value for name, value in own.weights.items() if name != "memory"]
    import hand_fast

    kind, directions = ("lstm", 2) if cell == "bidirectional" else (cell, 1)
    problem = hand_fast.random_problem(kind, *sizes, directions=directions)
    found[OURS] = ours(cell, problem, *sizes[3:])
    if torch is not None:
        import peers_torch

        found[LAYER] = peers_torch.layer(kind, problem, directions)
    if directions == 1:
        step = hand_fast.CELLS[kind](*sizes)
        found |= {HAND: lambda: step(*problem), LIMIT: limit(kind, *sizes)}
        if torch is not None:
            found[COMPOSED] = peers_torch.composed(kind, problem)
        if jax:
            found[JAX] = peers_jax.scanned(kind, problem)
    return found, problem.weights


# --- checking and timing ------------------------------------------------------------------------------------


class Measured(NamedTuple):
    times: Times  # of one call
    first: dict[str, float]  # seconds that the first call took more than a later one


def measure(shape: str, cell: str, threads: int, rounds: int) -> Measured:
    """Check, then run in turns. BLAS has as many threads as `fit` would give it in our turn, in others it has all."""
    from tinygrad_rnn.utils.threads import blas_threads_for

    found, weights = programs(shape, cell, threads)
    calls = IN_A_ROW.get(shape, 1)

    def turn(program: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(calls):
                program()

        return run

    def ours() -> Any:
        with blas_threads_for(weights):
            return program()

    program, found[OURS] = found[OURS], ours
    first = check(found)
    turns = {name: turn(program) for name, program in found.items()}
    times = interleave(turns, rounds, before=rest if threads > 1 else None)
    times.seconds = {name: [s / calls for s in times.seconds[name]] for name in found}
    return Measured(times, {name: first[name] - median(s) for name, s in times.seconds.items()})


def check(found: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Raise unless all give our loss and gradients, within the rounding of float32; the seconds of these calls."""
    import numpy as np

    seconds, results = {}, {}
    for name, program in found.items():
        start = perf_counter()
        results[name] = program()
        seconds[name] = perf_counter() - start
    loss, gradients = results[OURS]
    for name, result in results.items():
        if result is None:  # the limit computes nothing
            continue
        if name == LAYER:
            from peers_torch import in_keras_layout

            result = result[0], in_keras_layout(result[1], like=gradients)
        np.testing.assert_allclose(result[0], loss, rtol=1e-5, err_msg=name)
        for got, want in zip(result[1], gradients, strict=True):
            got, want = np.asarray(got), np.asarray(want)
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * abs(want).max(), err_msg=name)
    return seconds


# --- the table ----------------------------------------------------------------------------------------------


def verdict(ratio: float, target: float | None) -> str:
    """A ratio, and whether it is small enough."""
    if target is None:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} {'met' if ratio <= target else 'missed'} {target:.2f}"


def report(measured: Mapping[tuple[str, str], Measured]) -> None:
    """Milliseconds; ratios beside their targets; first calls; the geometric mean."""
    shown = [name for name in PEERS if any(name in m.times.seconds for m in measured.values())]
    milliseconds: list[tuple[str, ...]] = [("", "", OURS, *shown)]
    ratios: list[tuple[str, ...]] = [("", "", *shown)]
    first_calls: list[tuple[str, ...]] = [("", "", OURS, JAX)]
    to_layers = []
    for place, (times, first) in measured.items():
        wanted, seconds = targets(*place), times.seconds
        milliseconds.append(
            (*place, *(f"{median(seconds[n]) * 1e3:.3g}" if n in seconds else "" for n in (OURS, *shown)))
        )
        ratios.append(
            (*place, *(verdict(times.ratio(OURS, n), wanted.get(n)) if n in seconds else "" for n in shown))
        )
        mine = verdict(first[OURS], FIRST_CALL_TARGET)
        first_calls.append((*place, mine, f"{first[JAX]:.2f}" if JAX in first else ""))
        if LAYER in wanted and LAYER in seconds and place[1] != "bidirectional":
            to_layers.append(times.ratio(OURS, LAYER))
    table("median milliseconds of a training step", milliseconds)
    table("\nours / it, and the largest that is wanted", ratios)
    table("\nseconds that the first call takes more than a later one", first_calls)
    texts = [text for row in ratios + first_calls for text in row]
    print()
    if to_layers:
        mean = math.exp(sum(map(math.log, to_layers)) / len(to_layers))
        texts.append(verdict(mean, MEAN_TARGET))
        print(f"geometric mean of the {len(to_layers)} ratios to {LAYER}: {texts[-1]}")
    met, missed = (sum(f" {word} " in text for text in texts) for word in ("met", "missed"))
    print(f"{met} targets met, {missed} missed")
    disturbed = sum(m.times.disturbed for m in measured.values())
    rounds = min(len(m.times.seconds[OURS]) for m in measured.values())
    print(f"medians of {rounds} interleaved rounds, {disturbed} disturbed ones repeated")
    print(f"{versions()}; {kernels()}")


def kernels() -> str:
    """For which processor NumPy's BLAS computes: what matters most besides the programs."""
    found = [
        f"{library['internal_api']} for {library.get('architecture', '?')}" for library in blas_libraries()
    ]
    return ", ".join(found)


def blas_libraries() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    return [library for library in threadpool_info() if library["user_api"] == "blas"]


def options() -> argparse.Namespace:
    """`--shapes` and `--cells` besides the arguments of every benchmark."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--cells", nargs="+", choices=(*CELLS, *CUSTOM, "custom"), default=list(CELLS))
    chosen, sys.argv[1:] = parser.parse_known_args()
    if "custom" in chosen.cells:
        chosen.cells = [c for c in chosen.cells if c in CELLS] + list(CUSTOM)
    usage = parser.format_usage().replace("usage: recurrent.py", "Besides: ")
    return argparse.Namespace(**vars(chosen), **vars(arguments(f"{__doc__} {usage}", rounds=15)))


def main() -> None:
    chosen = options()
    measured = {}
    for shape in chosen.shapes:
        for cell in chosen.cells:
            if cell == "bidirectional" and shape not in ("medium", "large"):
                continue
            print(f"{shape} {cell}", file=sys.stderr, flush=True)
            measured[shape, cell] = measure(shape, cell, chosen.threads, chosen.rounds)
    report(measured)


if __name__ == "__main__":
    main()
