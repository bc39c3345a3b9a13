"""Makes every text of a scene fit to be drawn: of some length, with characters that can be shown, in their order."""

from __future__ import annotations

import re
import unicodedata

from .scene import Scene

MOST = 60  # characters of a text in a picture; tooltips tell more
UNFIT = re.compile("[^\t\n -\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # for XML
TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # the text that follows
RIGHT_TO_LEFT = ("R", "AL", "AN")


def fit(text: object) -> str:
    """The text with "�" for characters that no document may hold."""
    return UNFIT.sub("�", str(text))


def legible(text: str, most: int = MOST) -> str:
    """A text of at most `most` characters, without its middle if it is longer; right-to-left parts keep to themselves.

    >>> legible("a" * 40 + "b" * 40, 20)
    'aaaaaaaaaaaa…bbbbbbb'
    """
    text = TURNING.sub("�", fit(text))
    if len(text) > most:
        tail = (most - 1) * 2 // 5
        text = text[: most - 1 - tail] + "…" + text[-tail:]
    turned = [unicodedata.bidirectional(c) in RIGHT_TO_LEFT for c in text]
    if not any(turned):
        return text
    parts, k = [], 0
    while k < len(text):
        end = k + 1
        if turned[k]:  # the words from here to the last of this direction, with what joins them
            while (after := next((j for j in range(end, len(text)) if turned[j]), 0)) and not any(
                unicodedata.bidirectional(c) in ("L", "EN") for c in text[end:after]
            ):
                end = after + 1
            parts.append(f"\u2068{text[k:end]}\u2069")
        else:
            parts.append(text[k])
        k = end
    return "".join(parts)


def tidy(scene: Scene) -> None:
    """Make all texts of a scene legible."""
    for box in scene.boxes:
        box.label, box.lines = legible(box.label), [legible(row) for row in box.lines]
        box.badge, box.title = legible(box.badge), "\n".join(legible(t, 300) for t in box.title.split("\n"))
        for chip in [*box.before, *box.after]:
            chip.text, chip.title = legible(chip.text), legible(chip.title, 300)
    for group in scene.groups:
        group.title = legible(group.title)
    for edge in scene.edges:
        edge.label = legible(edge.label)
    scene.legend = [(kind, legible(text)) for kind, text in scene.legend]
