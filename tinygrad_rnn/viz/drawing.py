"""`Drawing`: a finished picture, as SVG, DOT, HTML, PNG or PDF."""

from __future__ import annotations

import os
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from ..files import replacing
from . import dot, svg
from .columns import Graph
from .layout import place
from .scene import Scene


class Drawing:
    """A picture of a graph: shows itself in a notebook, `save` writes it.

    `graph` is what was drawn (None for the layers of a model), `shown` the number of boxes, `total` the number
    of recorded nodes, `note` what was left out or put together, `view` and `layout` ("dot" or "builtin") how
    it was made, `source` the DOT text.
    """

    def __init__(
        self, graph: Graph | None, scene: Scene, view: str, note: str, direction: str, theme: str
    ) -> None:
        self.graph = graph
        self.view = view
        self.note = note
        self.shown = len(scene.boxes)
        self.total = self.shown if graph is None else len(graph)
        pinned = None if scene.columns is None else place(scene, direction)
        self._body = dot.body(scene, direction, theme == "dark", pinned)
        self.source: str = dot.digraph(self._body)
        placed, self.layout = (pinned, "builtin") if pinned else dot.arrange(scene, direction, self.source)
        title = f"computation graph, {view} view: {note}"
        self._svg = svg.write(scene, placed, title, note, theme)

    @cached_property
    def dot(self) -> Any:
        """The same as a `graphviz.Digraph`; raises `ImportError` with the pip line without that package."""
        try:
            from graphviz import Digraph
        except ImportError as error:
            raise ImportError(
                f"Drawing.dot needs the Python package graphviz (pip install graphviz): {error}"
            ) from error
        return Digraph(body=self._body)

    def svg(self) -> str:
        """The picture as SVG text."""
        return self._svg

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write the picture; the ending of `path`, or `format`, chooses svg, dot, html, png or pdf.

        PNG and PDF need the program `dot` (otherwise `GraphvizNotFound`). Raises `ValueError` for another
        format, `FileNotFoundError` for a missing folder. The file appears when it is complete.
        """
        target = Path(path)
        kind = (format or target.suffix.removeprefix(".") or "svg").lower()
        if kind == "svg":
            data = self._svg.encode()
        elif kind in ("dot", "gv"):
            data = self.source.encode()
        elif kind == "html":
            head = f'<meta charset="utf-8"><title>{escape(self.note)}</title>'
            page = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{self._svg}</body></html>\n'
            data = page.encode()
        elif kind in ("png", "pdf"):
            data = dot.run(self.source, kind)
        else:
            raise ValueError(f"save: expected svg, dot, html, png or pdf, received {kind!r}")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"save: there is no folder {str(target.parent)!r}; make it first")
        with replacing(target) as file:
            file.write(data)
        return target

    def _repr_svg_(self) -> str:
        return self._svg

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            return {"image/svg+xml": self._repr_svg_(), "text/plain": repr(self)}
        except Exception as error:  # a notebook must not stop for a picture
            return {"text/plain": f"<Drawing: {type(error).__name__}: {error}>"}

    def __repr__(self) -> str:
        """`<Drawing, folded view: 134 nodes: 22 shown, folded over 20 steps>`."""
        return f"<Drawing, {self.view} view: {self.note}>"
