"""Draws docs/pictures and writes docs/gallery.md, which shows them: `python docs/make_gallery.py`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from gallery_pictures import SECTIONS

PAGE = Path(__file__).parent / "gallery.md"
PICTURES = Path(__file__).parent / "pictures"
HEAD = """# Gallery

The figures of the tutorials that people learn recurrent networks from, and a few more, each drawn from what the
engine recorded. This page is written by `docs/make_gallery.py`; `docs/gallery_pictures.py` has the networks.

Every drawing is one call, and so is every plot, which also returns what it shows:

```python
import numpy as np
import tinygrad_rnn as tg

layer = tg.layers.SimpleRNN(8, name="rnn", seed=0)
with tg.trace():  # variables are known by their names inside
    loss = (layer(np.ones((2, 20, 3), np.float32)) ** 2).sum()
drawing = tg.draw_graph(loss, view="folded")
flow = tg.plot_gradient_flow(loss)
print(flow.growth["rnn.h"])  # the factor by which the gradient grows per step backward
```

The plots need matplotlib: `pip install "tinygrad-rnn[plot]"`.
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for title, functions in SECTIONS.items():
        parts.append(f"## {title}\n")
        for function in functions:
            caption = " ".join((inspect.getdoc(function) or "").split())
            parts.append(f"{caption}\n\n![{caption}](pictures/{function.__name__}.svg)\n")
            code = f"```py\n{body(function)}\n```\n"
            parts += [code] if code not in parts else []
    return "\n".join(parts)


def body(function: Callable[[], Any]) -> str:
    """The source of a function without its head and docstring; what it returns is the last line."""
    source = inspect.getsource(function)
    lines = source.split('"""\n', 2 if source.count('"""\n') > 1 else 1)[-1] if '"""' in source else source
    return dedent(lines).strip()


@contextmanager
def repeatable() -> Iterator[None]:
    """Pictures that do not depend on an installed `dot`, on the day, or on the settings of matplotlib."""
    import matplotlib

    path = os.environ.get("PATH", "")
    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    settings = {"svg.hashsalt": "tinygrad_rnn", "svg.fonttype": "none", "font.family": "DejaVu Sans"}
    try:
        os.environ["PATH"] = ""
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **settings}):
            yield
    finally:
        os.environ["PATH"] = path
        matplotlib.use(backend)


def draw(folder: Path) -> list[Path]:
    """Make every picture."""
    import matplotlib.pyplot as plt

    folder.mkdir(exist_ok=True)
    made = []
    with repeatable():
        for function in [f for functions in SECTIONS.values() for f in functions]:
            picture, path = function(), folder / f"{function.__name__}.svg"
            if hasattr(picture, "save"):
                picture.save(path)
            else:
                axes = getattr(picture, "axes", picture)
                first = axes[0] if isinstance(axes, list) and axes else axes
                figure = picture if hasattr(picture, "savefig") else first.get_figure()
                for colours in first.collections:  # thousands of little pieces otherwise
                    colours.set_rasterized(True)
                figure.savefig(path, dpi=144, metadata={"Date": None, "Title": function.__name__})
                plt.close(figure)
            made.append(path)
    return made


if __name__ == "__main__":
    for path in draw(PICTURES):
        print(path)
    PAGE.write_text(page(), encoding="utf-8")
