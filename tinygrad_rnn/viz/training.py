"""Plots of training on matplotlib: the history of `fit`, and an optimiser's path on the cost surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.op import Array
from . import figure


class CostSurface(NamedTuple):
    """What `plot_cost_surface` drew; `cost[j, i]` is `f(x[i], y[j])`."""

    axes: Any
    x: Array
    y: Array
    cost: Array
    path: Array | None  # (steps + 1, 2)


class HistoryPlot(NamedTuple):
    """What `plot_history` drew; `axes` is a list if there are metrics beside the loss."""

    axes: Any
    epochs: Array
    values: dict[str, Array]


@figure.themed
def plot_cost_surface(
    f: Callable[[float, float], Any],
    x: tuple[float, float] = (-3.0, 3.0),
    y: tuple[float, float] = (-3.0, 3.0),
    *,
    n: int = 100,
    points: Mapping[str, Any] | Sequence[Any] | None = None,
    path: Any = None,
    levels: Any = None,
    scale: str = "auto",
    labels: tuple[str, str] = ("$w_x$", "$w_{rec}$"),
    theme: str = "auto",
    ax: Any = None,
) -> CostSurface:
    """Plot `f(x, y)` as filled contours, with points and the path of an optimiser on it.

    `f` takes two numbers and returns one (or a Tensor of one element); it is called on a grid of `n` × `n` points
    over the intervals `x` and `y`. `points` are pairs, or pairs by label; `path` has the shape (steps + 1, 2), the
    start first. `scale` is "log" (colours by log(f + 1), for f ≥ 0), "linear", or "auto": log if nothing is
    negative. `levels` are the values of f at the contours; what lies above the last one, or is not finite, stays
    grey. `labels` name the two parameters. `theme`: "light", "dark", or "auto", which follows matplotlib's
    style. `ax`: axes to draw into.

    Raises `ValueError` for empty intervals, for points and paths that are no pairs of numbers, for levels that do
    not increase, and if f is finite nowhere, `TypeError` if f is no function, `ImportError` without matplotlib.

    >>> import matplotlib; matplotlib.use("agg")
    >>> surface = plot_cost_surface(lambda a, b: a * a + b * b, n=5, path=[(2, 2), (1, 1), (0, 0)])
    >>> surface.cost.shape, surface.cost.min().item(), surface.path.shape
    ((5, 5), 0.0, (3, 2))
    """
    where = "plot_cost_surface"
    if not callable(f):
        raise TypeError(f"{where}: expected a function of two numbers, received {type(f).__name__}")
    if scale not in ("auto", "log", "linear"):
        raise ValueError(f"{where}: scale must be 'auto', 'log' or 'linear', received {scale!r}")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 2:
        raise ValueError(f"{where}: n must be an integer of at least 2, received {n!r}")
    across, up = (_interval(name, ends, n, where) for name, ends in (("x", x), ("y", y)))
    named = points if isinstance(points, Mapping) else {str(k + 1): p for k, p in enumerate(points or ())}
    marked = {str(label): _pairs("a point", [p], where)[0] for label, p in named.items()}
    steps = None if path is None else _pairs("path", path, where)
    with np.errstate(all="ignore"):
        cost = np.array([[float(f(a, b)) for a in across.tolist()] for b in up.tolist()])
    finite = np.isfinite(cost)
    if not finite.any():
        raise ValueError(f"{where}: f is not finite at any of the {n} × {n} points")
    if scale == "auto":
        scale = "log" if cost[finite].min() >= 0 else "linear"
    elif scale == "log" and cost[finite].min() <= -1:
        raise ValueError(f"{where}: scale='log' needs f > −1, but its minimum is {cost[finite].min():g}")
    ax = figure.axes_for(ax, where, (6.0, 4.8))
    _contours(ax, across, up, np.ma.masked_array(cost, ~finite), levels, scale, where)
    ax.set(xlim=(across[0], across[-1]), ylim=(up[0], up[-1]), xlabel=labels[0], ylabel=labels[1])
    if steps is not None:
        _path(ax, steps)
    for k, (label, point) in enumerate(marked.items()):
        _point(ax, k, label, point)
    if steps is not None:
        ax.legend(fontsize=8, framealpha=0.9)
    return CostSurface(ax, across, up, cost, steps)


def _interval(name: str, ends: Any, n: int, where: str) -> Array:
    low, high = _pairs(name, [ends], where)[0]
    if not low < high:
        raise ValueError(f"{where}: {name} must be an interval (low, high), received {ends!r}")
    return np.linspace(low, high, n)


def _pairs(what: str, values: Any, where: str) -> Array:
    """An array (n, 2) of finite numbers."""
    try:
        found = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise ValueError(f"{where}: {what} must be given as pairs of numbers, received {str(values)[:60]}")
    if not np.isfinite(found).all():
        raise ValueError(
            f"{where}: {what} holds NaN or infinity, at position {int(np.argmin(np.isfinite(found).all(1)))}"
        )
    return found


def _contours(ax: Any, x: Array, y: Array, cost: Any, levels: Any, scale: str, where: str) -> None:
    """Filled contours with thin lines between them, and the colour bar in values of f."""
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    shift = 1.0 if scale == "log" else 0.0
    low, high = float(cost.min()) + shift, float(cost.max()) + shift
    if levels is not None:
        edges = np.asarray(levels, dtype=float) + shift
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all() or (shift and edges[0] <= 0):
            raise ValueError(
                f"{where}: levels must be at least two increasing values of f, received {str(levels)[:60]}"
            )
    else:
        high = high if high > low else low + 1.0
        even = np.asarray(MaxNLocator(25).tick_values(low, high))
        edges = np.geomspace(low, high, 30) if scale == "log" else even
    norm = LogNorm(edges[0], edges[-1]) if scale == "log" else Normalize(edges[0], edges[-1])
    ax.set_facecolor(figure.GREY)
    filled = ax.contourf(x, y, cost + shift, levels=edges, cmap="cividis", norm=norm)
    ax.contour(x, y, cost + shift, levels=edges[::3], colors="white", linewidths=0.4, alpha=0.6)
    bar = ax.get_figure().colorbar(filled, ax=ax, pad=0.02, aspect=25)
    if scale == "log":
        bar.set_ticks(LogLocator(numticks=9).tick_values(edges[0], edges[-1]))
        bar.ax.yaxis.set_major_formatter(
            FuncFormatter(
                lambda value, _: f"{value:.0e}".replace("e+0", "e") if value >= 1e4 else f"{value:g}"
            )
        )
        bar.ax.minorticks_off()
        bar.ax.set_ylim(edges[0], edges[-1])
    bar.set_label("cost + 1" if scale == "log" else "cost")


def _path(ax: Any, path: Array) -> None:
    """Every position of the optimiser; the start is a triangle, the end a star."""
    ax.plot(*path.T, color="white", linewidth=2.6, zorder=3)
    ax.plot(
        *path.T,
        color="#d55e00",
        linewidth=1.2,
        marker=".",
        markersize=3.5,
        zorder=4,
        label=f"path, {len(path) - 1} steps",
    )
    edge = {"markeredgecolor": "black", "linestyle": "none", "zorder": 6, "clip_on": True}
    ax.plot(
        *path[0],
        marker="^",
        color="white",
        markersize=9,
        label="start ({:.3g}, {:.3g})".format(*path[0]),
        **edge,
    )
    ax.plot(
        *path[-1],
        marker="*",
        color="#f0e442",
        markersize=14,
        label="end ({:.3g}, {:.3g})".format(*path[-1]),
        **edge,
    )


def _point(ax: Any, k: int, label: str, point: Array) -> None:
    """A marker and its label beside it, inside the frame, with a halo so that it can be read on any colour."""
    from matplotlib.patheffects import withStroke

    look = {**figure.style(k), "linestyle": "none", "markeredgecolor": "white", "markersize": 8}
    ax.plot(*point, **look, zorder=5)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    at_right, at_top = point[0] > left + 0.8 * (right - left), point[1] > bottom + 0.93 * (top - bottom)
    ax.annotate(
        figure.plain(label), point, xytext=(-7 if at_right else 7, -13 if at_top else 5), textcoords="offset points",
        ha="right" if at_right else "left", fontsize=8, color="black", zorder=7,
        annotation_clip=True,
        path_effects=[withStroke(linewidth=2.4, foreground="white")],
    )  # fmt: skip


@figure.themed
def plot_history(history: Any, *, theme: str = "auto", ax: Any = None) -> HistoryPlot:
    """Plot loss and metrics of `fit` by epoch, training as a line and validation dashed, and mark the best epoch.

    `history` is what `fit` returned, its dict of lists, or the model. Metrics get panels of their own; `ax` takes
    the loss alone. The best epoch is that of the smallest validation loss (training loss, if there is none).
    `theme`: "light", "dark", or "auto", which follows matplotlib's style.

    Raises `TypeError` for something else, `ValueError` for a history without epochs or with lists of different
    lengths, `ImportError` without matplotlib.

    >>> import matplotlib; matplotlib.use("agg")
    >>> plot_history({"loss": [3.0, 2.0], "val_loss": [3.1, 2.5]}).values["val_loss"].tolist()
    [3.1, 2.5]
    """
    where = "plot_history"
    holder = history
    while not isinstance(holder, Mapping) and hasattr(holder, "history"):
        history, holder = holder, holder.history
    if not isinstance(holder, Mapping):
        raise TypeError(
            f"{where}: expected what fit returned, or a dict of lists, received {type(holder).__name__}"
        )
    values = {str(name): np.asarray(line, dtype=float).ravel() for name, line in holder.items()}
    lengths = {name: len(line) for name, line in values.items()}
    if not values or not max(lengths.values()):
        raise ValueError(f"{where}: the history holds no epochs; call fit first")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{where}: expected lists of equal length, received {lengths}")
    count = next(iter(lengths.values()))
    epochs = np.asarray(getattr(history, "epoch", None) or range(count), dtype=int) + 1
    panels = list(dict.fromkeys(name.removeprefix("val_") for name in values))
    if ax is not None:
        panels, places = panels[:1], [figure.axes_for(ax, where, (0, 0))]
    else:
        plt = figure.pyplot(where)
        size = (5.0 * min(len(panels), 3) + 0.6, 3.6 * -(-len(panels) // 3))
        _, grid = plt.subplots(
            -(-len(panels) // 3), min(len(panels), 3), figsize=size, layout="constrained", squeeze=False
        )
        places = list(grid.ravel())
        for place in places[len(panels) :]:
            place.set_visible(False)
    for place, name in zip(places, panels, strict=False):
        _history_lines(place, name, epochs, values)
    shown = places[: len(panels)]
    return HistoryPlot(shown if len(shown) > 1 else shown[0], epochs, values)


def _history_lines(ax: Any, name: str, epochs: Array, values: Mapping[str, Array]) -> None:
    """Training and validation of one quantity."""
    from matplotlib.ticker import MaxNLocator

    figure.tidy(ax)
    lines = [key for key in (name, f"val_{name}") if key in values]
    small = 3.5 if len(epochs) <= 40 else 0
    for key in lines:
        i = int(key.startswith("val_"))
        lost = int((~np.isfinite(values[key])).sum())
        label = ("validation" if i else "training") + (f" ({lost} not finite)" if lost else "")
        shown = np.where(np.isfinite(values[key]), values[key], np.nan)
        ax.plot(epochs, shown, markersize=small, linewidth=1.6, label=label, **figure.style(i))
    judged = values[lines[-1]]
    if name == "loss" and np.isfinite(judged).any():
        best = int(np.nanargmin(np.where(np.isfinite(judged), judged, np.nan)))
        ax.axvline(epochs[best], color="#777777", linewidth=1, linestyle=":", zorder=1)
        ax.plot([], [], " ", label=f"best: {judged[best]:.4g} at epoch {epochs[best]}")
    ax.set(xlabel="epoch", ylabel=figure.plain(name))
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.legend(fontsize=8, framealpha=0.9)
