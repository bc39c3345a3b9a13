"""`Report`: a finished page of `inspect_graph`."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from ..files import replacing


class Report:
    """A page that shows a graph: displays itself in a notebook, `save` writes it.

    `path` is where it was written (None if nowhere yet), `nbytes` its size, `note` what it shows and what was
    left out.
    """

    def __init__(self, page: bytes, note: str) -> None:
        self._page = page
        self.path: Path | None = None
        self.nbytes = len(page)
        self.note = note

    def html(self) -> str:
        """The page as text."""
        return self._page.decode()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page; the file appears when it is complete. `FileNotFoundError` for a missing folder."""
        target = Path(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(f"save: there is no folder {str(target.parent)!r}; make it first")
        with replacing(target) as file:
            file.write(self._page)
        self.path = target
        return target

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" title="{escape(self.note)}" '
            f'style="width:100%;height:720px;border:0" srcdoc="{escape(self.html())}"></iframe>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            return {"text/html": self._repr_html_(), "text/plain": repr(self)}
        except Exception as error:  # a notebook must not stop for a picture
            return {"text/plain": f"<Report: {type(error).__name__}: {error}>"}

    def __repr__(self) -> str:
        """`<Report, 0.4 MB: 134 nodes, 22 after folding>`."""
        where = f" in {str(self.path)!r}" if self.path else ""
        return f"<Report{where}, {self.nbytes / 1e6:.2g} MB: {self.note}>"
