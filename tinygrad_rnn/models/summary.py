"""`model.summary()`: the layers as a table, with output shapes, numbers of parameters and connections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..layers.layer import Layer

COLUMNS = ("Layer (type)", "Output shape", "Param #")


def summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Print the layers with output shapes and numbers of parameters; a functional model with connections.

    `line_length` in characters; `positions` are the right ends of the columns, in characters or as fractions of
    the line. `print_fn` gets the text in one call. `expand_nested` also lists the layers inside models,
    `show_trainable` adds a column, `layer_range` are two patterns of names: the first layer that fits the first
    one to the last that fits the second one. Raises `ValueError` if no layer fits, or for wrong `positions`.
    """
    from rich.console import Console
    from rich.table import Table

    connected = bool(model._calls)
    columns = [*COLUMNS, *(["Connected to"] if connected else []), *(["Trainable"] if show_trainable else [])]
    width = line_length or (100 if connected else 80)
    ends = _ends(positions, len(columns), width)
    table = Table(title=f'Model: "{model.name}"', title_justify="left")
    for i, column in enumerate(columns):
        space = None if ends is None else max(ends[i] - (ends[i - 1] if i else 0) - 3, 1)
        table.add_column(column, justify="right" if column == "Param #" else "left", width=space)
    for depth, owner, layer in _rows(model, _chosen(model, layer_range), expand_nested):
        row = [f"{'  ' * depth}{layer.name} ({type(layer).__name__})", _shape(layer), _count(layer)]
        if connected:
            row.append("" if owner is not model else _sources(model, layer))
        if show_trainable:
            row.append("yes" if layer.trainable else "no")
        table.add_row(*row)
    total, trained = sum(v.size for v in model.weights), sum(v.size for v in model.trainable_weights)
    console = Console(width=width, markup=False)
    with console.capture() as captured:
        console.print(table)
    text = f"{captured.get()} Total params: {total:,} ({trained:,} trainable)"
    (print if print_fn is None else print_fn)(text)


def _ends(positions: Sequence[float] | None, columns: int, width: int) -> list[int] | None:
    if positions is None:
        return None
    ends = [int(p * width) if p <= 1 else int(p) for p in positions]
    if len(ends) != columns or ends != sorted(set(ends)) or ends[0] < 1:
        raise ValueError(f"summary: positions must be {columns} growing numbers, received {list(positions)}")
    return ends


def _chosen(model: Any, layer_range: Sequence[str] | None) -> list[Layer]:
    """The layers from the first that fits the first pattern to the last that fits the second."""
    layers: list[Layer] = model.layers
    if layer_range is None:
        return layers
    first, last = layer_range
    starts = [i for i, layer in enumerate(layers) if re.match(first, layer.name)]
    stops = [i for i, layer in enumerate(layers) if re.match(last, layer.name)]
    if not starts or not stops:
        raise ValueError(
            f"summary: no layer fits {first if not starts else last!r}; "
            f"there are {', '.join(layer.name for layer in layers)}"
        )
    return layers[min(starts[0], stops[-1]) : max(starts[0], stops[-1]) + 1]


def _rows(owner: Any, layers: list[Layer], nested: bool, depth: int = 0) -> Iterator[tuple[int, Any, Layer]]:
    for layer in layers:
        yield depth, owner, layer
        inside = getattr(layer, "layers", None)
        if nested and isinstance(inside, list):
            yield from _rows(layer, inside, nested, depth + 1)


def _shape(layer: Layer) -> str:
    return "?" if layer.output_shape is None else str(layer.output_shape)


def _count(layer: Layer) -> str:
    return f"{layer.count_params():,}" if layer.built else "not built"


def _sources(model: Any, layer: Layer) -> str:
    """The layers (or inputs) whose outputs this one takes in this model."""
    taken = [symbol for call in model._calls if call.layer is layer for symbol in call.inputs]
    names = [symbol.name if symbol.call is None else symbol.call.layer.name for symbol in taken]
    return ", ".join(dict.fromkeys(str(name) for name in names))
