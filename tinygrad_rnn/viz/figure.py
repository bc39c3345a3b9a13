"""What the plots share on matplotlib: axes, colours, markers, heat maps with characters along the time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.op import Array

# Okabe and Ito's colours, which colour-blind readers can tell apart; markers and dashes say the same again
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
GREY = "#d0d0d0"
MOST_NUMBERS = 180  # cells of a heat map that get their number written into them
MOST_LABELS = 60  # characters along an axis


def pyplot(where: str) -> Any:
    """matplotlib's pyplot; raises `ImportError` with the pip line where there is none."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{where} needs matplotlib: pip install 'tinygrad-rnn[plot]' ({error})") from error
    return plt


def axes_for(ax: Any, where: str, size: tuple[float, float]) -> Any:
    """The axes given, or those of a new figure (inches)."""
    plt = pyplot(where)
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    elif not hasattr(ax, "get_figure"):
        raise TypeError(f"{where}: ax must be matplotlib Axes, received {type(ax).__name__}")
    return ax


def tidy(ax: Any) -> None:
    """A light grid, and no frame above and to the right."""
    ax.grid(True, color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def style(i: int) -> dict[str, Any]:
    """Colour, marker and dashes of the i-th line."""
    return {
        "color": COLORS[i % len(COLORS)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": DASHES[i % len(DASHES)],
    }


def plain(text: Any) -> str:
    """A text as it is written: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def visible(character: str) -> str:
    """A character so that it can be seen."""
    shown = {" ": "␣", "\n": "↵", "\t": "→"}.get(character, character)
    return plain(shown if shown.isprintable() else "·")


def plain_numbers(axis: Any) -> None:
    """Write 0.6, 1, 2 at a logarithmic axis that is short, instead of powers of ten."""
    from matplotlib.ticker import LogFormatter

    def label(self: Any, x: float, pos: Any = None) -> str:
        return f"{x:g}" if LogFormatter.__call__(self, x, pos) else ""  # it chooses which ticks get a label

    plain: Any = type("Plain", (LogFormatter,), {"__call__": label})
    axis.set_major_formatter(plain(labelOnlyBase=False))
    axis.set_minor_formatter(plain(labelOnlyBase=False))


def label_steps(axis: Any, text: Sequence[str] | None, t: Array, where: str) -> None:
    """Number the steps along a matplotlib axis, or write the characters of `text` there."""
    if text is not None and len(text) != len(t):
        raise ValueError(f"{where}: the text has {len(text)} characters, but there are {len(t)} time steps")
    if text is not None and len(t) <= MOST_LABELS:
        axis.set_ticks(range(len(t)), [visible(c) for c in text])
        return
    rounded = [m * 10**k for k in range(9) for m in (1, 2, 5)]
    every = next(step for step in rounded if 12 * step >= len(t))
    axis.set_ticks(range(0, len(t), every), [str(k) for k in t[::every]])


def heat_map(ax: Any, values: Array, label: str, *, zero: bool = True, log: bool = False) -> Any:
    """Draw a matrix: cividis from 0, or around 0 from orange to purple; what is not finite (or 0, if `log`) is grey.

    Small matrices get their numbers written into the cells. Returns the image.
    """
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm, Normalize

    finite = np.isfinite(values) & ((values > 0) if log else True)
    shown = np.ma.masked_array(values, ~finite)
    low, high = (float(shown.min()), float(shown.max())) if finite.any() else (0.0, 1.0)
    norm: Any
    if log:
        name, norm = "cividis", LogNorm(max(low, high * 1e-6, 1e-300), max(high, 1e-299))
    elif zero and low >= 0:
        name, norm = "cividis", Normalize(0.0, 1.0 if high <= 1 else high)
    else:
        most = max(abs(low), abs(high), 1e-12)
        name, norm = "PuOr", Normalize(-most, most)
    colours = colormaps[name].with_extremes(bad=GREY)
    ax.grid(False)
    image = ax.imshow(shown, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    if values.size <= MOST_NUMBERS:
        for (i, k), value in np.ndenumerate(values):
            red, green, blue, _ = colours(norm(value)) if finite[i, k] else (1, 1, 1, 1)
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            ax.text(
                k, i, _number(value), ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )
    bar = ax.get_figure().colorbar(image, ax=ax, pad=0.015, aspect=25)
    bar.set_label(plain(label))
    if log:
        plain_numbers(bar.ax.yaxis)
    return image


def _number(value: float) -> str:
    """A number in a few characters: .83, −1.2, 5e-3."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "∞" if value > 0 else "−∞"
    size = abs(value)
    text = f"{size:.2f}" if 0.01 <= size < 100 else f"{size:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return "0" if size == 0 else ("−" if value < 0 else "") + text.removeprefix("0")
