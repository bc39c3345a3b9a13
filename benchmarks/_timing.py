"""Timing programs against each other: interleaved rounds in one process, medians, ratios, one plain table."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def arguments(description: str, rounds: int = 25) -> argparse.Namespace:
    """Read `--threads` and `--rounds`; start over with that many BLAS threads (set before NumPy loads)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS and PyTorch (default 1)")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"timed rounds (default {rounds})")
    options = parser.parse_args()
    if any(os.environ.get(name) != str(options.threads) for name in _LIBRARIES):
        os.environ.update(dict.fromkeys(_LIBRARIES, str(options.threads)))
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return options


def import_torch(threads: int) -> object:
    """PyTorch with that many threads, or None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    return torch


@dataclass
class Times:
    """Seconds per round of each program, in step: the i-th numbers were measured one after the other."""

    seconds: dict[str, list[float]]
    disturbed: int = 0  # rounds that were thrown away because something else used the processor

    def ratio(self, ours: str, peer: str) -> float:
        """Median over the rounds of `ours / peer`."""
        return median(a / b for a, b in zip(self.seconds[ours], self.seconds[peer], strict=True))


def rest(_: str) -> None:
    """Wait until the threads of the program before have gone to sleep: OpenBLAS's look for work for 0.13 s."""
    end = time.perf_counter() + 0.15
    while time.perf_counter() < end:
        pass


def interleave(
    programs: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 3,
    before: Callable[[str], None] | None = None,
) -> Times:
    """Run every program once per round, after `before(its name)`.

    A round in which one waited for the processor is repeated.
    """
    times = Times({name: [] for name in programs})
    for _ in range(warm_up):
        for program in programs.values():
            program()
    while len(next(iter(times.seconds.values()))) < rounds:
        one_round, waited = [], False
        for name, program in programs.items():
            if before is not None:
                before(name)
            wall, processor = time.perf_counter(), time.process_time()
            program()
            processor, wall = time.process_time() - processor, time.perf_counter() - wall
            waited |= processor < 0.9 * wall - 1e-4
            one_round.append(wall)
        if waited and times.disturbed < 3 * rounds:
            times.disturbed += 1
            continue
        for values, seconds in zip(times.seconds.values(), one_round, strict=True):
            values.append(seconds)
    return times


def show(title: str, times: Times, unit: str, scale: float, targets: Mapping[str, float]) -> None:
    """Print medians, the ratio of the first program to each other one, and the target beside it."""
    ours = next(iter(times.seconds))
    rows = [("", unit, "ours / it", "target", "")]
    for name, seconds in times.seconds.items():
        ratio = times.ratio(ours, name)
        target = targets.get(name)
        verdict = "" if target is None else "met" if ratio <= target else "missed"
        wanted = "" if target is None else f"<= {target:.2f}"
        rows.append((name, f"{median(seconds) * scale:.2f}", f"{ratio:.2f}", wanted, verdict))
    table(title, rows)
    rounds = len(times.seconds[ours])
    print(f"medians of {rounds} interleaved rounds, {times.disturbed} disturbed ones repeated; {versions()}")


def table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print rows of text; the first column is flush left, the others flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(title)
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *[cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True)]]
        print("  ".join(cells).rstrip())


def versions() -> str:
    """What was measured, and with what."""
    found = [f"Python {platform.python_version()}"]
    for name in ("numpy", "torch", "jax", "autograd", "mygrad"):
        if name in sys.modules:
            found.append(f"{name} {importlib.metadata.version(name)}")
    threads = os.environ.get("OMP_NUM_THREADS", "?")
    return f"{', '.join(found)}; BLAS threads: {threads}, processors: {os.cpu_count()}"
