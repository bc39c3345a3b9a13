"""Where a hand derivation goes wrong first: `Divergence`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Divergence:
    """The first quantity of a hand-written loop that differs: step, name, and the line that computed it.

    The line is wrong if the diagnosis explains it, or if its inputs agree. Else, and where it reads what was not
    compared or only passes the quantity on, the mistake may be before it: "first seen in your line".

    >>> print(Divergence(3, "dz", "/my/bptt.py", 7, "dz = da", place="bptt.py:7", diagnosis="unexplained"))
    t=3, dz, first seen in your line bptt.py:7: dz = da; unexplained
    """

    t: int
    quantity: str
    file: str
    line: int
    source: str
    inputs: tuple[str, ...] = ()  # what that line reads, and whether it agrees
    diagnosis: str = ""
    place: str = ""
    unseen: tuple[str, ...] = ()  # what it reads and the derivation computes, but was not compared
    exact: bool = True  # it is known to be the line that computed the quantity
    others: tuple[int, ...] = ()  # lines of branches that computed it instead, if they ran

    def __str__(self) -> str:
        """`t=11, dz, your line bptt.py:63: dz = (1 - a) * da; its input da agrees (2 ulp); …`."""
        shown = self.exact and not self.unseen and (self.diagnosis != "unexplained" or self.inputs)
        where = f"{'' if shown else 'first seen in '}your line {self.place}: {self.source}"
        if not self.source:
            where = f"at {self.place}, whose source is not available: save it as a file to see the line"
        if self.others:
            where += f"; or line {', '.join(map(str, self.others))}, if that ran"
        inputs = f"; its input {', '.join(self.inputs)}" if self.inputs else ""
        if self.unseen:
            inputs += f"; not compared, so perhaps the mistake is there: {', '.join(self.unseen)}"
        return f"t={self.t}, {self.quantity}{', ' + where if self.place else ''}{inputs}; {self.diagnosis}"
