"""What is drawn, before it has a place: boxes with chips, edges and groups."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from typing import Any

FONT, SMALL = 12.0, 10.0
SIGNS = {"added": "+", "removed": "−", "changed": "~"}  # of a difference, as never colour alone


@dataclass
class Chip:
    """A weight or a constant that is written into the box of the op that reads it."""

    text: str
    kind: str  # "parameter" | "constant" | "name" | "added" | "changed" | "removed"
    title: str
    row: int = -1
    place: int = -1  # among the arguments of the op
    fill: str = ""  # a colour ("#…") or a place on the scale ("s0" … "s16"), if color_by asks for one


@dataclass
class Box:
    """One drawn node."""

    id: str
    kind: str  # "op" | "input" | "parameter" | "constant" | "output" | "layer"
    op: str
    layer: str
    t: int
    label: str
    title: str
    row: int  # the row of the graph that it shows
    count: int = 1
    before: list[Chip] = field(default_factory=list)
    after: list[Chip] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    badge: str = ""  # how often it was recorded, if a frame does not say so
    mark: str = ""  # "added" | "changed" | "removed" in a diff
    group: int = -1
    fill: str = ""
    role: int = -1  # the folded node that it belongs to
    side: int = 0  # unrolled: +1 if it hands a value to the next step, −1 if it gets one from the last

    @property
    def top(self) -> float:
        """Width of the first line, of the label and the chips."""
        return text_width(self.label, FONT) + sum(chip_width(c) + 4 for c in [*self.before, *self.after])

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        width = max([self.top + 16, *(text_width(line, SMALL) + 14 for line in self.under)])
        return max(width, 32.0), 26.0 + 12.0 * len(self.under)

    @property
    def under(self) -> list[str]:
        """The texts below the first line."""
        return [*self.lines, self.badge] if self.badge else self.lines


@dataclass
class Edge:
    """An arrow between two boxes; `delay` is the number of steps that it carries a value, if not 0."""

    source: int
    target: int
    label: str = ""
    carried: bool = False
    delay: int = 0
    flow: float = math.nan  # norm of the gradient that goes back along it
    fill: str = ""
    mark: str = ""  # "added" | "removed" in a diff


@dataclass
class Group:
    """A frame with a title around boxes: a layer, or one step of it."""

    title: str
    kind: str  # "layer" | "step"
    parent: int = -1
    layer: str = ""
    t: int = -1
    row: int = 0  # 1, 2, … for the same steps in a later pass


@dataclass
class Scene:
    """Everything that one drawing shows. `columns` are the time steps drawn, for the unrolled view."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    columns: list[int] | None = None
    loose: list[tuple[int, int, bool]] = field(
        default_factory=list
    )  # box, delay, whether it leaves: to hidden steps
    total_steps: int = 0
    backward: bool = False  # the arrows show the way of the gradient
    legend: list[tuple[str, str]] = field(default_factory=list)  # kind or colour, text

    @property
    def carry(self) -> str:
        """The look of arrows to other steps: "carry", a colour of its own, or "dash" where colours are quantities."""
        return "dash" if any(edge.fill for edge in self.edges) else "carry"

    def group(
        self, title: str, kind: str, parent: int = -1, layer: str = "", t: int = -1, row: int = 0
    ) -> int:
        """Number of the group with this place, made if it is new."""
        for i, g in enumerate(self.groups):
            if (g.kind, g.parent, g.layer, g.t, g.row) == (kind, parent, layer, t, row):
                return i
        self.groups.append(Group(title, kind, parent, layer, t, row))
        return len(self.groups) - 1


def text_width(text: str, size: float) -> float:
    """Generous estimate of the width of a text in a sans-serif font."""
    total = 0.0
    for c in text:
        if c in "iljtf.,:;'|!()[] I/":
            total += 0.4
        elif c in "mwMW@%—…" or unicodedata.east_asian_width(c) in "WF":
            total += 1.0
        else:
            total += 0.72 if c.isupper() else 0.64
    return total * size


def chip_width(chip: Chip) -> float:
    """Width of a chip."""
    return text_width(chip.text, SMALL) + 10


def shape_text(shape: Any) -> str:
    """`(8, 16)`; for an op with several outputs the shape of each."""
    if shape and isinstance(shape[0], tuple):
        return (
            f"{shape[0]} each"
            if len(set(shape)) == 1
            else ", ".join(map(str, shape[:4])) + "…" * (len(shape) > 4)
        )
    return str(shape) if shape else "scalar"


def bytes_text(n: float) -> str:
    """`512 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"
