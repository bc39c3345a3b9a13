"""`plot_model`: a picture of the layers of a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..layers.layer import Layer
from ..layers.symbolic import Call, Symbol, flatten
from ..models.functional import calls_between
from ..models.model import Model
from ..models.sequential import Sequential
from ..viz.drawing import Drawing
from ..viz.scene import Box, Edge, Scene

DIRECTIONS = ("TB", "LR", "BT", "RL")


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] | None = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Drawing:
    """Draw the layers of a model, save the picture as `to_file` (None: do not), and return it.

    The ending chooses svg, html, dot, png or pdf; png (at `dpi`) and pdf need the program `dot`, without
    which they raise `GraphvizNotFound` with the ways to get it, and svg, html and dot still work.
    `rankdir` is "TB", "LR", "BT" or "RL"; `expand_nested` draws models inside the model as frames. A layer
    that is called twice has two boxes. The calls of a subclassed model are Python code, so its layers are
    drawn without arrows: `viz.draw_graph(model, x, view="layers")` records them from a run.

    Raises `ValueError` for a model that is not built yet, or an unknown direction.

    >>> from tinygrad_rnn.layers import Dense, Input, LSTM
    >>> from tinygrad_rnn.models import Sequential
    >>> model = Sequential([Input((None, 4)), LSTM(3), Dense(1)])
    >>> plot_model(model, to_file=None, show_shapes=True)
    <Drawing, layers view: 2 layers>
    """
    if not isinstance(model, Model):
        raise TypeError(f"plot_model: expected a model, received {type(model).__name__}")
    if not model.built:
        raise ValueError(f"plot_model: {model.name} is not built yet; call it on data, or give it an Input")
    if rankdir not in DIRECTIONS:
        raise ValueError(f"plot_model: rankdir must be one of {', '.join(DIRECTIONS)}, received {rankdir!r}")
    shown = {
        "shapes": show_shapes,
        "dtype": show_dtype,
        "names": show_layer_names,
        "activations": show_layer_activations,
        "trainable": show_trainable,
    }
    plan = _Plan({key for key, value in shown.items() if value}, expand_nested)
    plan.model(model, None, -1)
    drawing = Drawing(None, plan.scene, "layers", "; ".join(plan.notes()), rankdir, "auto")
    drawing.source = drawing.source.replace("{\n", f"{{\n\tgraph [dpi={int(dpi)}]\n", 1)
    if to_file is not None:
        drawing.save(to_file, None if Path(to_file).suffix else "png")
    return drawing


class _Plan:
    """A scene in the making."""

    def __init__(self, show: set[str], expand: bool) -> None:
        self.show, self.expand = show, expand
        self.scene = Scene()
        self.loose: list[str] = []  # models whose calls are not known

    def notes(self) -> list[str]:
        """How many layers there are, and what the arrows do not tell."""
        n = sum(box.kind == "layer" for box in self.scene.boxes)
        counted = f"{n} layer{'s' * (n != 1)}"
        return [
            counted,
            *(f"{name} is a subclass: its calls are Python code, not drawn" for name in self.loose),
        ]

    def model(self, model: Model, sources: list[list[int]] | None, group: int) -> list[list[int]]:
        """Draw a model that gets its inputs from boxes (None: from outside); the boxes of its outputs."""
        if model._input is not None:
            return self._functional(model, sources, group)
        if not isinstance(model, Sequential):
            self.loose.append(model.name)
            group = self.scene.group(f"{model.name} ({type(model).__name__})", "layer", group, model.name)
            return [[self._layer(layer, [], [layer.output_shape], group) for layer in model.layers]]
        symbols = list(flatten(model.built_on))
        ends = sources or [[self._input(symbol, group)] for symbol in symbols]
        shapes = [symbol.shape for symbol in symbols]
        for layer in model.layers:
            given, shapes = shapes, list(_shapes(layer.output_shape))
            ends = self._draw(layer, ends, given, shapes, group)
        return ends

    def _functional(self, model: Model, sources: list[list[int]] | None, group: int) -> list[list[int]]:
        inputs = model.inputs
        sources = sources or [[self._input(symbol, group)] for symbol in inputs]
        boxes = {id(symbol): ends for symbol, ends in zip(inputs, sources, strict=True)}
        results: dict[int, list[list[int]]] = {}

        def ends_of(symbol: Symbol) -> list[int]:
            if id(symbol) in boxes:
                return boxes[id(symbol)]
            ends = results[id(symbol.call)]
            return ends[min(symbol.index, len(ends) - 1)]

        calls = calls_between(model.inputs, model.outputs)
        read = [s for call in calls for s in call.inputs] + model.outputs
        for call in calls:
            given = [symbol.shape for symbol in call.inputs]
            results[id(call)] = self._draw(
                call.layer, [ends_of(s) for s in call.inputs], given, _made(call, read), group
            )
        return [ends_of(symbol) for symbol in model.outputs]

    def _draw(
        self, layer: Layer, sources: list[list[int]], given: list[Any], made: list[Any], group: int
    ) -> list[list[int]]:
        """A layer as a box, or a nested model as a frame; the boxes of its outputs."""
        if (
            self.expand
            and isinstance(layer, Model)
            and (layer._input is not None or isinstance(layer, Sequential))
        ):
            frame = self.scene.group(f"{layer.name} ({type(layer).__name__})", "layer", group, layer.name)
            return self.model(layer, sources, frame)
        box = self._layer(layer, given, made, group)
        for a in dict.fromkeys(end for ends in sources for end in ends):
            self.scene.edges.append(Edge(a, box))
        return [[box]]

    def _input(self, symbol: Symbol, group: int) -> int:
        lines = [_shape(symbol.shape)] * ("shapes" in self.show) + [symbol.dtype] * ("dtype" in self.show)
        label = symbol.name or "input"
        return self._box("input", label if "names" in self.show else "Input", f"input {label}", lines, group)

    def _layer(self, layer: Layer, given: list[Any], made: list[Any], group: int) -> int:
        kind, lines = type(layer).__name__, []
        activation = getattr(layer, "activation", None)
        if "activations" in self.show and activation is not None:
            lines.append(f"activation: {getattr(activation, '__name__', type(activation).__name__)}")
        if "shapes" in self.show:
            lines += [f"in: {_shape(s)}" for s in given] + [f"out: {_shape(s)}" for s in made]
        if "dtype" in self.show:
            lines.append(layer.dtype)
        if "trainable" in self.show:
            lines.append("trainable" if layer.trainable else "frozen")
        label = f"{layer.name} ({kind})" if "names" in self.show else kind
        count = f", {layer.count_params():,} parameters" if layer.built else ""
        return self._box("layer", label, f"layer {layer.name}: {kind}{count}", lines, group)

    def _box(self, kind: str, label: str, title: str, lines: list[str], group: int) -> int:
        i = len(self.scene.boxes)
        self.scene.boxes.append(Box(f"n{i}", kind, "", "", -1, label, title, -1, lines=lines, group=group))
        return i


def _made(call: Call, read: list[Symbol]) -> list[Any]:
    """The shapes of what a call makes, in its order: of all that is read somewhere."""
    return [shape for _, shape in sorted({s.index: s.shape for s in read if s.call is call}.items())]


def _shapes(shape: Any) -> list[Any]:
    """One shape, or several, as a list."""
    several = isinstance(shape, (list, tuple)) and any(isinstance(s, tuple) for s in shape)
    return list(shape) if several else [shape]


def _shape(shape: Any) -> str:
    return "?" if shape is None else str(tuple(shape))
