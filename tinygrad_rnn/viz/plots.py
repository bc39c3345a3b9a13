"""Plots over time on matplotlib: how gradients flow back, what gates do, what an output depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.op import Array
from . import figure
from .columns import Graph
from .flows import Flow, gradient_flow, ids_of, input_gradients, over_time, run
from .graph import graph


class GradientFlow(NamedTuple):
    """What `plot_gradient_flow` drew, by line: `"lstm.h"`, or the label of the loss."""

    axes: Any
    t: dict[str, Array]  # time steps, in the order in which they ran
    gradients: dict[str, Array]  # norm or sum at each step
    growth: dict[str, float]  # factor per step backward


class Activations(NamedTuple):
    """What `plot_activations` drew; `axes` is a list if there are several heat maps."""

    axes: Any
    t: dict[str, Array]
    values: dict[str, Array]  # (units, T)


class InputGradients(NamedTuple):
    """What `plot_input_gradients` drew."""

    axes: Any
    gradients: Array  # (output steps, input steps)


@figure.themed
def plot_gradient_flow(
    target: Any,
    inputs: Any = None,
    targets: Any = None,
    *,
    quantity: str = "h",
    loss: Any = None,
    measure: str = "norm",
    scale: str = "auto",
    reverse: bool = False,
    theme: str = "auto",
    ax: Any = None,
) -> GradientFlow:
    """Plot `‖∂L/∂h_t‖` at every time step, and how it grows or vanishes per step of back-propagation.

    `target` is a loss that was computed inside `tg.trace()`, a dict of such losses by label, a `Graph` taken after
    `backward` inside, or a model with `inputs` and `targets` (`loss(targets, predictions)` is that of `compile`,
    unless it is given). `quantity` names the variable: `"h"` in every layer, `"lstm.c"` in one. `measure` is "norm"
    (Frobenius, over examples and units) or "sum" (with its sign). `scale`: "log", "symlog", "linear", or "auto" as
    the values need it. With `reverse` time runs from right to left, so that back-propagation reads from left to
    right. `theme`: "light", "dark", or "auto", which follows matplotlib's style. `ax`: axes to draw into.

    The growth factor is `exp(−slope)` of a line fitted to log gradient over the steps: |w| for h_t = w·h_{t−1}.
    Raises `TypeError` or `ValueError` for a loss that is no recorded scalar or has no time steps, and for
    unknown names, `ImportError` without matplotlib.

    >>> import tinygrad_rnn as tg, matplotlib; matplotlib.use("agg")
    >>> layer = tg.layers.SimpleRNN(3, name="rnn", seed=0)
    >>> with tg.trace():
    ...     loss = (layer(np.ones((2, 5, 4), np.float32)) ** 2).sum()
    >>> plot_gradient_flow(loss).gradients["rnn.h"].shape
    (5,)
    """
    where = "plot_gradient_flow"
    if scale not in ("auto", "log", "symlog", "linear"):
        raise ValueError(f"{where}: scale must be 'auto', 'log', 'symlog' or 'linear', received {scale!r}")
    losses = target if isinstance(target, Mapping) else {"": _loss(target, inputs, targets, loss, where)}
    if not losses:
        raise ValueError(f"{where}: expected at least one loss, received an empty dict")
    flows: dict[str, Flow] = {}
    for label, one in losses.items():
        found = gradient_flow(one, quantity, measure, where)
        for key, flow in found.items():
            flows[key if not label else str(label) if len(found) == 1 else f"{label}: {key}"] = flow
    few = len(flows) <= 3
    ax = figure.axes_for(ax, where, (7.2 if few else 9.2, 4.0))
    figure.tidy(ax)
    name = quantity.rpartition(".")[2]
    _flow_axes(ax, [flow.size for flow in flows.values()], name, measure, scale)
    for i, (key, flow) in enumerate(flows.items()):
        _flow_line(ax, i, key, flow, few)
    ax.set_xlabel("time step t   (← gradient)")
    if reverse:
        ax.invert_xaxis()
        ax.set_xlabel("time step t, reversed   (gradient →)")
    place = {} if few else {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    ax.legend(fontsize=8, framealpha=0.9, **place).set_in_layout(not few)  # it may be wider than small axes
    return GradientFlow(
        ax,
        {key: flow.t for key, flow in flows.items()},
        {key: flow.size for key, flow in flows.items()},
        {key: flow.growth for key, flow in flows.items()},
    )


def _loss(target: Any, inputs: Any, targets: Any, loss: Any, where: str) -> Any:
    """The loss itself, or that of a model on data."""
    if not callable(target):
        if inputs is not None or targets is not None or loss is not None:
            raise TypeError(
                f"{where}: inputs, targets and loss are for a model; the target is a {type(target).__name__}"
            )
        return target
    if loss is None and getattr(target, "loss", None) is not None:

        def function(y: Any, predictions: Any) -> Any:
            return target.compute_loss(y=y, y_pred=predictions)
    else:
        function = loss
    if not callable(function):
        raise ValueError(
            f"{where}: {target!r} has no loss: compile it with one, or hand over loss=function(y, predictions)"
        )
    if targets is None:
        raise ValueError(f"{where}: a model needs inputs and targets, received no targets")
    return run(lambda x: function(targets, target(x)), inputs, where)


def _flow_line(ax: Any, i: int, key: str, flow: Flow, fitted: bool) -> None:
    """One line, its words in the legend, the fit behind it, and crosses on top where nothing is finite."""
    style = figure.style(i)
    lost = flow.t[~np.isfinite(flow.size)]
    drawn = _drawable(flow.size)
    label = f"{key}: {flow.words}"
    if len(lost):
        label += f"; not finite at t = {', '.join(map(str, lost[:5]))}{', …' if len(lost) > 5 else ''}"
    if not np.array_equal(drawn, flow.size, equal_nan=True) and not len(lost) == len(drawn):
        label += "; drawn within 1e±100"
    every = max(1, len(drawn) // 40)
    ax.plot(flow.t, drawn, markersize=4, markevery=every, linewidth=1.6, label=figure.plain(label), **style)
    usable = np.isfinite(flow.size) & (flow.size > 0)
    if fitted and not (flow.size < 0).any() and usable.sum() > 2 and flow.growth > 0:
        steps = np.arange(len(flow.t))
        middle = np.log(flow.size[usable]).mean()
        line = np.exp(np.clip(middle - np.log(flow.growth) * (steps - steps[usable].mean()), -230, 230))
        ax.plot(flow.t, line, color=style["color"], linewidth=5, alpha=0.18, solid_capstyle="round", zorder=1)
    if not len(lost):
        return
    top = {"transform": ax.get_xaxis_transform(), "linestyle": "none", "marker": "x", "clip_on": False}
    ax.plot(lost, np.ones(len(lost)), color=style["color"], markersize=5, **top)


def _drawable(size: Array) -> Array:
    """The values within the range that axes can take; NaN for what is not finite."""
    inside = np.sign(size) * np.clip(np.abs(size), 1e-100, 1e100)
    return np.where(np.isfinite(size), inside, np.nan)


def _flow_axes(ax: Any, sizes: Sequence[Array], name: str, measure: str, scale: str) -> None:
    from matplotlib.ticker import MaxNLocator

    every = np.abs(_drawable(np.concatenate(list(sizes))))
    every = every[np.isfinite(every)]
    small = float(every[every > 0].min()) if (every > 0).any() else 1.0
    if scale == "auto":
        scale = "log" if measure == "norm" and (every > 0).all() and len(every) else "symlog"
    if scale == "symlog":
        least = 10.0 ** np.floor(np.log10(max(small, float(every.max(initial=0)) * 1e-12)))
        ax.set_yscale("symlog", linthresh=least)
        ax.yaxis.get_major_locator().set_params(numticks=11)
    else:
        ax.set_yscale(scale)
    if scale == "log":
        figure.plain_numbers(ax.yaxis)
    name = figure.plain(name)
    ax.set_ylabel(f"‖∂L/∂{name}$_t$‖" if measure == "norm" else f"Σ ∂L/∂{name}$_t$, over examples and units")
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


@figure.themed
def plot_activations(
    target: Any,
    quantity: str | Sequence[str] = "h",
    inputs: Any = None,
    *,
    text: str | None = None,
    example: int = 0,
    theme: str = "auto",
    ax: Any = None,
) -> Activations:
    """Plot a variable over time as a heat map, units × steps: what a gate does at every character.

    `target` is a Tensor (or several) that was computed inside `tg.trace()`, a `Graph` of it, or a layer or model
    with its `inputs`. `quantity` names a variable, `"lstm.f"`, or is a list of names; a name that several layers
    have gives a heat map for each. Gates are shown after their activation. `text` is written along the time axis; a
    character model needs no inputs beside it. `example` is the row of the batch. `theme`:
    "light", "dark", or "auto", which follows matplotlib's style. `ax`: axes for one heat map.

    Raises `ValueError` for an unknown name (with the nearest known one), a text of another length than the
    sequence and an example that is not in the batch, `ImportError` without matplotlib.

    >>> import tinygrad_rnn as tg, matplotlib; matplotlib.use("agg")
    >>> layer = tg.layers.LSTM(3, name="lstm", seed=0)
    >>> plot_activations(layer, "lstm.f", np.ones((1, 5, 4), np.float32), text="hello").values["lstm.f"].shape
    (3, 5)
    """
    where = "plot_activations"
    if callable(target) and inputs is None and text is not None:
        inputs = ids_of(target, text, where)
    recorded = run(target, inputs, where)
    recorded = recorded if isinstance(recorded, Graph) else graph(recorded)
    tracks = {}
    for name in [quantity] if isinstance(quantity, str) else quantity:
        for track in over_time(recorded, name, where):
            steps = track.values(recorded)
            if steps[0].ndim == 0 or not -len(steps[0]) <= example < len(steps[0]):
                raise ValueError(
                    f"{where}: there is no example {example}; {track.key} has shape {steps[0].shape}"
                )
            order = np.argsort(track.t)  # a backward layer ran from the end
            tracks[track.key] = track.t[order], np.array([steps[i][example].ravel() for i in order]).T
    panels = list(tracks.items())
    if ax is not None and len(panels) != 1:
        raise ValueError(f"{where}: ax takes one heat map, but there are {len(panels)}: {', '.join(tracks)}")
    longest = max(values.shape[1] for _, values in tracks.values())
    heights = [min(max(0.16 * len(values), 0.9), 4.0) for _, values in tracks.values()]
    width = min(max(0.24 * longest, 4.5), 18.0) + 1.4
    if ax is None:
        plt = figure.pyplot(where)
        size = (width, sum(heights) + 0.55 * len(panels) + 0.5)
        _, grid = plt.subplots(
            len(panels), 1, figsize=size, layout="constrained", squeeze=False, height_ratios=heights
        )
        places = list(grid[:, 0])
    else:
        places = [figure.axes_for(ax, where, size=(0, 0))]
    for place, (key, (t, values)) in zip(places, panels, strict=True):
        figure.label_steps(place.xaxis, text, t, where)
        figure.heat_map(place, values, key.rpartition(".")[2])
        place.set_title(figure.plain(key), fontsize=10, loc="left")
        place.set_ylabel("unit")
        place.set_yticks(range(0, len(values), max(1, len(values) // 6)))
    places[-1].set_xlabel("time step t" if text is None else "character read at the step")
    return Activations(
        places if len(places) > 1 else places[0],
        {key: t for key, (t, _) in panels},
        {key: values for key, (_, values) in panels},
    )


@figure.themed
def plot_input_gradients(
    function: Any,
    inputs: Any = None,
    *,
    text: str | None = None,
    unit: int | None = None,
    theme: str = "auto",
    ax: Any = None,
) -> InputGradients:
    """Plot how much the output at step t depends on the input at step k: `‖∂out_t / ∂in_k‖`, t downward.

    `function` is a layer, a model or a function of one Tensor, from one sequence `(1, time, …)` to outputs
    `(1, time, units)` or `(1, units)`. Ids stand for the vectors that are looked up by them. `text` is written
    along the axes; a character model needs no `inputs` beside it. `unit` looks at one output alone. What is
    exactly 0, as for inputs that come later, is grey; the colours are logarithmic. `theme`: "light", "dark", or "auto",
    which follows matplotlib's style.

    Raises `TypeError` or `ValueError` for outputs or inputs of another shape and for a text of another length,
    `ImportError` without matplotlib.

    >>> import tinygrad_rnn as tg, matplotlib; matplotlib.use("agg")
    >>> layer = tg.layers.SimpleRNN(3, return_sequences=True, seed=0)
    >>> plot_input_gradients(layer, np.ones((1, 5, 4), np.float32), text="hello").gradients.shape
    (5, 5)
    """
    where = "plot_input_gradients"
    if inputs is None:
        if text is None:
            raise ValueError(
                f"{where}: expected inputs (1, time, …), or the text that a character model reads"
            )
        inputs = ids_of(function, text, where)
    found = input_gradients(function, inputs, unit, where)
    rows, steps = found.shape
    width = min(max(0.32 * steps, 4.0), 10.0)
    ax = figure.axes_for(ax, where, (width + 1.6, (width if rows > 1 else 0.6) * min(rows / steps, 1) + 1.2))
    figure.label_steps(ax.xaxis, text, np.arange(steps), where)
    if rows == steps:
        figure.label_steps(ax.yaxis, text, np.arange(rows), where)
        ax.set_ylabel("output after step t" if text is None else "output after the character")
    else:
        ax.set_yticks([0], ["output"])
    figure.heat_map(ax, found, "‖∂out/∂in‖" + (f", output {unit}" if unit is not None else ""), log=True)
    ax.set_xlabel("input at step k" if text is None else "input character")
    return InputGradients(ax, found)
