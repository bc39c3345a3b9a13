"""What the plots share on matplotlib: axes, colours, markers, heat maps with characters along the time axis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..core.op import Array

Plot = TypeVar("Plot", bound=Callable[..., Any])


class Theme(NamedTuple):
    """Colours of a plot; those of lines have a contrast of 3 : 1 to the page, that of text 4.5 : 1."""

    page: str
    ink: str
    grid: str
    lines: tuple[str, ...]


# Okabe and Ito's colours, which colour-blind readers can tell apart, darker or lighter where the page asks for it;
# markers and dashes say the same again
THEMES = {
    "light": Theme(
        "#ffffff", "#1b2430", "#e6e6e6",
        ("#0072b2", "#d55e00", "#00875f", "#b8568c", "#2b8cc4", "#a06e00", "#000000"),
    ),
    "dark": Theme(
        "#15191f", "#e8ecf2", "#323a46",
        ("#56b4e9", "#f08c42", "#2fc49a", "#e39ac4", "#a9c8f5", "#e6b93c", "#ffffff"),
    ),
}  # fmt: skip
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


def themed(plot: Plot) -> Plot:
    """Give a plotting function the colours of its keyword argument `theme`.

    "light" and "dark" set all colours of a new figure. "auto" leaves the page to matplotlib's style, or to the axes
    given, and takes lines that can be seen on it. Raises `ValueError` for another name.
    """

    @functools.wraps(plot)
    def in_theme(*args: Any, **kwargs: Any) -> Any:
        theme: str = kwargs.get("theme", "auto")
        ax: Any = kwargs.get("ax")
        plt = pyplot(plot.__name__)
        if theme not in ("auto", *THEMES):
            raise ValueError(f"{plot.__name__}: theme must be 'light', 'dark' or 'auto', received {theme!r}")
        page = ax.get_facecolor() if hasattr(ax, "get_facecolor") else plt.rcParams["axes.facecolor"]
        chosen = THEMES[theme if theme != "auto" else "dark" if is_dark(page) else "light"]
        settings = {"axes.prop_cycle": plt.cycler(color=chosen.lines), "grid.color": chosen.grid}
        if theme != "auto":
            settings |= dict.fromkeys(("figure.facecolor", "axes.facecolor"), chosen.page)
            settings |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), chosen.ink)
            settings |= dict.fromkeys(("xtick.color", "ytick.color"), chosen.ink)
        with plt.rc_context(settings):
            result = plot(*args, **kwargs)
        drawn = result.axes[0] if isinstance(result.axes, list) else result.axes
        for place in drawn.get_figure().axes if theme != "auto" and ax is None else ():
            place.tick_params(which="both", colors=chosen.ink)  # ticks are made when the figure is drawn
        return result

    made: Any = in_theme
    return made  # type: ignore[no-any-return]


def is_dark(color: Any) -> bool:
    """Whether white can be read better on a colour than black, by WCAG's relative luminance; the contrast is ≥ 4.5."""
    from matplotlib.colors import to_rgb

    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722]) < 0.179


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
    ax.grid(True, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def style(i: int) -> dict[str, Any]:
    """Colour, marker and dashes of the i-th line, in the current theme."""
    from matplotlib import rcParams

    colors = rcParams["axes.prop_cycle"].by_key()["color"]
    return {
        "color": colors[i % len(colors)],
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
            color = "white" if finite[i, k] and is_dark(colours(norm(value))) else "black"
            ax.text(k, i, _number(value), ha="center", va="center", fontsize=7, color=color)
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
