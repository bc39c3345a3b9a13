"""The difference of two folded graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any


@dataclass(frozen=True, eq=False)
class GraphDiff:
    """What one folded graph has that another has not; falsy if there is no difference."""

    added: Mapping[int, str]  # folded node of the new graph -> description
    removed: Mapping[int, str]  # folded node of the old graph -> description
    changed: Mapping[int, str]  # folded node of the new graph -> what changed

    def __len__(self) -> int:
        """Number of nodes that differ."""
        return len(self.added) + len(self.removed) + len(self.changed)

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return len(self) > 0

    def __str__(self) -> str:
        """One line per difference: `+ tanh`, `− add`, `~ matmul: (2, 3) → (2, 4)`."""
        marks = (("+", self.added), ("−", self.removed), ("~", self.changed))
        return (
            "\n".join(f"{mark} {text}" for mark, part in marks for text in part.values()) or "no difference"
        )


def compare(old: Any, new: Any) -> GraphDiff:
    """Align two folded graphs by op, layer and name, and list what differs."""
    a, b = old.described, new.described
    match = aligned(a, b)  # new -> old
    back = {i: j for j, i in match.items()}
    inputs_a, inputs_b = _inputs(old), _inputs(new)
    changed = {}
    for j, i in sorted(match.items()):
        p, q = old.first[i], new.first[j]
        what = [
            f"{x} → {y}"
            for x, y in (
                (old.graph.shape[p], new.graph.shape[q]),
                (old.graph.dtype[p], new.graph.dtype[q]),
                (f"×{old.counts[i]}", f"×{new.counts[j]}"),
            )
            if x != y
        ]
        if sorted((back.get(s, -1), c) for s, c in inputs_a[i]) != sorted(inputs_b[j]):
            what.append("other inputs")
        if what:
            changed[j] = f"{b[j]}: {', '.join(what)}"
    added = {j: text for j, text in enumerate(b) if j not in match}
    return GraphDiff(added, {i: text for i, text in enumerate(a) if i not in back}, changed)


def aligned(a: list[Any], b: list[Any]) -> dict[int, int]:
    """Equal items of two lists: for a place in `b` its place in `a`, in order."""
    head = next((i for i, (p, q) in enumerate(zip(a, b, strict=False)) if p != q), min(len(a), len(b)))
    a, b = a[head:], b[head:]
    back = zip(reversed(a), reversed(b), strict=False)
    tail = next((i for i, (p, q) in enumerate(back) if p != q), min(len(a), len(b)))
    match = {i: i for i in range(head)}
    match |= {head + len(b) - k: head + len(a) - k for k in range(1, tail + 1)}
    a, b = a[: len(a) - tail], b[: len(b) - tail]
    if len(a) * len(b) <= 4_000_000:  # otherwise everything in between counts as replaced
        for i, j, size in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
            match |= {head + j + k: head + i + k for k in range(size)}
    return match


def _inputs(fold: Any) -> list[list[tuple[int, bool]]]:
    found: list[list[tuple[int, bool]]] = [[] for _ in range(len(fold))]
    for source, target, carried in fold.edges:
        found[target].append((source, carried))
    return found
