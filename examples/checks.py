"""What the examples share: checks against reference numbers, the command line, matplotlib."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg


class Checks:
    """Collects named results and compares them with what they should be."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.failed: list[str] = []

    def __call__(self, what: str, got: Any, want: Any, rtol: float = 0.0) -> None:
        """Print and keep `got`; it must equal `want`, or differ by at most `rtol` of its largest element."""
        self.values[what] = got
        right = relative(got, want) <= rtol if rtol else np.array_equal(got, want)
        if not right:
            self.failed.append(what)
        shown = np.array2string(got, separator=", ") if isinstance(got, np.ndarray) else str(got)
        print(f"  {'ok   ' if right else 'WRONG'} {what}: {shown}" + ("" if right else f"; expected {want}"))

    def agree(self, what: str, got: Any, want: Any, rtol: float) -> None:
        """Like a call with `rtol`, for large arrays: prints and keeps the relative difference."""
        difference = self.values[what] = relative(got, want)
        if not difference <= rtol:
            self.failed.append(what)
        print(f"  {'ok   ' if difference <= rtol else 'WRONG'} {what}: they differ by {difference:.1e}")

    def finish(self) -> None:
        """Print the verdict."""
        wrong = f"{len(self.failed)} wrong: {', '.join(self.failed)}"
        print(f"\n{wrong if self.failed else 'all checks passed'}")


def relative(got: Any, want: Any) -> float:
    """The largest difference, divided by the largest wanted element; infinite for another shape."""
    got, want = np.asarray(got), np.asarray(want)
    return float(np.abs(got - want).max() / np.abs(want).max()) if got.shape == want.shape else np.inf


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'-' * len(text)}")


def options(argv: Sequence[str] | None, doc: str | None) -> argparse.Namespace:
    """The command line of an example: `--plot DIR`."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--plot", metavar="DIR", type=Path, help="write figures there (needs matplotlib)")
    return parser.parse_args(argv)


def pyplot(folder: Path) -> Any:
    """matplotlib.pyplot, drawing into files. Without matplotlib: a message, exit code 2."""
    try:
        import matplotlib
    except ImportError:
        print("--plot needs matplotlib: pip install 'tinygrad-rnn[plot]'")
        raise SystemExit(2) from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    return plt


def picture(folder: Path, name: str, target: Any, inputs: Any = None, **options: Any) -> None:
    """Write the graph of a loss or layer to `name`.svg: see `draw_graph`."""
    folder.mkdir(parents=True, exist_ok=True)
    tg.draw_graph(target, inputs, **options).save(folder / f"{name}.svg")
    print(f"written: {folder / name}.svg")


def plot_losses(folder: Path, name: str, losses: Mapping[str, Sequence[float]]) -> None:
    """Write `name`.png with one curve for each entry, on a logarithmic scale."""
    plt = pyplot(folder)
    figure, axes = plt.subplots(figsize=(6, 4))
    for label, values in losses.items():
        axes.semilogy(values, label=label)
    axes.set(xlabel="iteration", ylabel="loss", title=name.replace("_", " "))
    axes.legend()
    figure.savefig(folder / f"{name}.png")
    plt.close(figure)
    print(f"\nwritten: {folder / name}.png")
