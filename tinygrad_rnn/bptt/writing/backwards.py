"""The equations of a step of the backward pass, as a hand derivation writes them down, in the names of the source."""

from __future__ import annotations

import re
from typing import Any

from ..step.body import Value
from ..step.text import is_view
from .equations import Expressions
from .places import Places

HEADING = "One step back:"
LONGEST = 160  # characters of an equation
MOST = 60  # equations
PASSING = re.compile(r"(.*_part|tmp)(_\d+)?$")  # names of what is of no interest by itself
UNSEEN = ("alias", "copy", "stop", "cast", "broadcast_to")  # ops that change no number


def backward_equations(places: Places) -> tuple[list[str], list[str]]:
    """What is computed inside the backward loop, and the factors that are known before it; nothing if that is too much.

    A name stands for what is in its memory: `dh = dy + dh` writes over dh.
    """
    writer = _Backwards(places)
    loop, factors = writer.loop(), writer.factors()
    found = [*loop, *factors]
    return (loop, factors) if len(found) <= MOST and max(map(len, found), default=0) <= LONGEST else ([], [])


class _Backwards(Expressions):
    def __init__(self, places: Places) -> None:
        super().__init__({})
        self.places, self.regions = places, places.program.backward
        self.position = {v: i for i, v in enumerate(self.regions.loop)}
        self.users = places.layout.users
        self.numbers: dict[Value, set[str]] = {}
        own = [*self.regions.before, *self.regions.loop, *self.regions.after]
        adjoint = places.program.adjoint
        given = [*adjoint.arriving, *[c for c in adjoint.cotangents if c]]
        leaves = {*given, *[a for v in own for a in v.inputs]}.difference(own)
        self.targets = {v: self._name(v) for v in leaves}

    def _name(self, v: Value) -> str:
        """What a value is called in the loop; a state before the step is `h[t]`."""
        place = self.places.place(v)
        return f"{place.name}[t]" if place.long and not place.shift else place.name

    # --- before the loop ----------------------------------------------------------------------------

    def factors(self) -> list[str]:
        """What is computed before the loop, and read in it or behind it."""
        return [
            self._equation(v) for v in self.regions.before if v in self.targets and not self._says_itself(v)
        ]

    def _is_factor(self, v: Value) -> bool:
        later = [u for u in self._readers(v) if u in self.position or u in self.regions.after]
        read = bool(later) or v in self.places.program.adjoint.sent
        return read and not is_view(v) and v not in self.places.program.once

    def _readers(self, v: Value) -> list[Value]:
        """The ops that read a value, through views of it."""
        users = self.users.get(v, [])
        return [r for u in users for r in (self._readers(u) if is_view(u) else [u])]

    def _says_itself(self, v: Value) -> bool:
        """Whether it is only another name of something."""
        return self.whole(v) == self.targets[v]

    # --- inside it ----------------------------------------------------------------------------------

    def loop(self) -> list[str]:
        """The equations of a step."""
        self.targets |= {v: self._name(v) for v in self.regions.before if self._is_factor(v)}
        computed = [v for v in self.regions.loop if not is_view(v) and v.op != "time_sum"]
        names = {v: self._name(v) for v in computed}
        passing = {v for v in computed if self._may_pass(v, names)}
        while overtaken := {v for v in passing if self._is_overtaken(v, names, passing)}:
            passing -= overtaken
        self.targets |= {v: names[v] for v in computed if v not in passing}
        return [*[self._equation(v) for v in computed if v not in passing], *self._handed_back()]

    def _may_pass(self, v: Value, names: dict[Value, str]) -> bool:
        """Whether a value may be written out where it is read: there alone, and it is of no interest by itself."""
        users = self.users.get(v, [])
        if len(users) != 1 or users[0] not in names or v in self.places.layout.ends:
            return False
        (user,) = users
        interests = not PASSING.match(names[v]) and names[user] != names[v]
        return not (interests or user.op in ("concatenate", "stack"))

    def _is_overtaken(self, v: Value, names: dict[Value, str], passing: set[Value]) -> bool:
        """Whether something that a value is made of has changed where it would be written out."""
        (user,) = self.users[v]
        while user in passing:
            (user,) = self.users[user]
        between = self.regions.loop[self.position[v] + 1 : self.position[user]]
        changed = {names[u] for u in between if u in names and u not in passing}
        return not changed.isdisjoint(
            [names.get(a) or self.targets.get(a) for a in v.inputs if a not in passing]
        )

    def _handed_back(self) -> list[str]:
        """Which gradients of states go to the step before under another name."""
        moves: dict[str, str] = {}
        adjoint = self.places.program.adjoint
        for carries, parts in zip(adjoint.carries, adjoint.states, strict=True):
            for k, carry in enumerate(carries):
                name, sent = self._name(carry), self.text(parts[k]) if k < len(parts) else "0"
                if name != sent:
                    moves[name] = sent
        return [f"and for the step before, {', '.join(moves)} = {', '.join(moves.values())}"] if moves else []

    # --- how they are written -----------------------------------------------------------------------

    def _equation(self, v: Value) -> str:
        numbers = sorted(self._numbers(v), key=lambda n: (n.startswith("∂"), int(n.strip("∂()"))))
        return f"{', '.join(numbers) or ' ' * 4} {self.targets[v]} = {self.whole(v)}"

    def _numbers(self, v: Value) -> set[str]:
        """The equations of the step that a value belongs to, with what is written out in it."""
        if v not in self.numbers:
            own = {n for n in v.eq.split(", ") if n}
            self.numbers[v] = own.union(*[self._numbers(a) for a in v.inputs if a not in self.targets])
        return self.numbers[v]

    def text(self, v: Any, binding: int = 0) -> str:
        """Names stand for what has one here; everything else is written out."""
        if not isinstance(v, Value) or v in self.targets:
            return super().text(v, binding)
        if (v, binding) not in self.known:
            self.known[v, binding] = self.whole(v, binding)
        return self.known[v, binding]

    def whole(self, v: Value, binding: int = 0) -> str:
        """An expression that is written out, also if it has a name."""
        if v.op == "transpose" and len(v.shape) == 2:
            turned = v.attrs["axes"][0] % 2 == 1
            return f"{self.text(v.args[0], 9)}.T" if turned else self.text(v.args[0], binding)
        if v.op == "negative":
            return f"−{self.text(v.args[0], 9)}"
        if v.op in UNSEEN and not _narrows(v):
            return self.text(v.args[0], binding)
        if v.op == "zeros":
            return "0"
        if (
            v.op == "add"
            and isinstance(v.args[1], Value)
            and v.args[1] not in self.targets
            and v.args[1].op == "negative"
        ):
            text = f"{self.text(v.args[0], 1)} − {self.text(v.args[1].args[0], 2)}"
            return f"({text})" if binding > 1 else text
        if v.op == "multiply" and len(v.inputs) == 2:
            left, right = self.text(v.args[0], 2), self.text(v.args[1], 3)
            if self.text(v.args[0], 3) == right:
                return f"{self.text(v.args[0], 5)}²"
            if left.endswith(f" · {right}"):
                return f"({left}²)" if binding > 2 else f"{left}²"
        return super().whole(v, binding)


def _narrows(v: Value) -> bool:
    """Whether numbers are rounded to a smaller type."""
    (a,) = v.inputs
    return bool(v.dtype.kind == a.dtype.kind and v.dtype.itemsize < a.dtype.itemsize)
