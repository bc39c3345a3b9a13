"""The bodies of `forward` and `backward`: what runs before, inside and after the loop, and what is returned."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from ...ops.indexing import is_basic
from ..step.body import Value
from ..step.schedule import Regions
from ..step.text import index_text, is_view, shape_text
from .layout import Place
from .statements import Statements

_FORWARD = (
    "what does not need the states, for all steps at once",
    "what the next step needs{}",
    "what no later step needs",
)
_BACKWARD = (
    "factors made of what was saved, for all steps at once",
    "what the step before needs{}",
    "gradients that add up over the steps",
)

AS_GIVEN = 2**11  # elements of a step from which on a list of views is made in less time than a copy

COPIED = ".copy().swapaxes(0, 1)"  # a result for all steps, which nobody else holds


class Sections(Statements):
    """Writes the statements of the two functions in order."""

    def _sections(
        self, regions: Regions, loop: str, reasons: Sequence[str], ends: list[str], wholes: Sequence[str] = ()
    ) -> list[str]:
        """The statements of one direction; `ends` end the loop, `wholes` are gradients that are put together."""
        before = [*self._accumulators(regions), *(s for v in regions.before for s in self._marked(v))]
        inner = [s for v in regions.loop for s in self._marked(v, inside=True)] + ends
        after = [*wholes, *(s for v in regions.after for s in self._marked(v))]
        follows = ", and what follows from it while it is in cache" if regions.at_hand else ""
        return [
            *(("", f"    # before the loop: {reasons[0]}", *_inside(before)) if before else ()),
            *(
                "",
                f"    # inside the loop: {reasons[1].format(follows)}",
                f"    {loop}",
                *_inside(inner or ["pass"], 8),
            ),
            *("", f"    # after the loop: {reasons[2]}", *_inside(after)),
        ]

    def _accumulators(self, regions: Regions) -> list[str]:
        found = [v for v in regions.loop if v.op == "time_sum"]
        if not self.program.deferred:  # one sum for each constant, in the order of arrival
            times = Counter(part for parts in self.adjoint.constants for part in parts)
            alone = {v for v in found if times[v] == 1 and not self.layout.users.get(v)}
            for parts in self.adjoint.constants:
                shared = [part for part in parts if part in alone]
                for part in shared[1:]:
                    self.places[part] = self.place(shared[0])
        return list(dict.fromkeys(f"{self.place(v).name}[...] = 0" for v in found))

    def forward(self) -> list[str]:
        """What `forward` does with its memory, and what it returns."""
        body = self.body
        start = [
            f"{self.places[x].whole}[...] = {n}.swapaxes(0, 1)"
            for x, n in zip(body.xs, self.names.xs, strict=True)
        ]
        for state, name in zip(body.states, self.names.first_states, strict=True):
            place = self.place(state)
            start.append(f"{place.whole}[0]{'[...]' * (place.kind == 'ring')} = {name}")
        ends = []
        for j, (state, new) in enumerate(zip(body.states, body.new_states, strict=True)):
            if new is not state and self.layout.state_of.get(self.layout.root(new)) == j:
                continue
            place = self.place(state)
            ends.append(f"{self.step_of(Place(place.name, place.kind, 1))}[...] = {self.step(new)}")
        lines = self._sections(self.program.forward, "for t in range(T):", _FORWARD, ends)
        results = [self._copied(o) for o in body.outputs]
        results += [f"{self.place(state).whole}[T].copy()" for state in body.states]
        return [
            *_inside(start),
            *lines,
            "    return (",
            *_inside([f"{r}," for r in [*results, "cache"]], 8),
            "    )",
        ]

    def backward(self) -> list[str]:
        """What `backward` does with its memory, and what it returns."""
        adjoint, body = self.adjoint, self.body
        arguments, start = self.names.cotangents, []
        outputs = [(c, name) for c, name in zip(adjoint.cotangents, arguments, strict=False) if c is not None]
        for c, _ in outputs:
            self.place(c)
        moves: dict[Value, Value | None] = {}  # into each carry what is not in its memory
        for j, (carries, parts) in enumerate(zip(adjoint.carries, adjoint.states, strict=True)):
            if not body.states[j].active:
                continue
            for k, carry in enumerate(carries):
                place, part = self.place(carry), parts[k] if k < len(parts) else None
                start.append(f"{place.name}[...] = {arguments[len(adjoint.cotangents) + j] if k == 0 else 0}")
                if part is None or self.place(part).name != place.name:
                    moves[carry] = part
        self._find_new()
        whole = self._pieced()
        lines = self._sections(
            self.program.backward,
            "for t in range(T - 1, -1, -1):",
            _BACKWARD,
            self._moved(moves),
            [f"{gradient} = np.zeros_like({weight})" for weight, gradient in whole.items()],
        )
        inputs = zip(self.names.xs, adjoint.xs, strict=True)
        results = [f'"d{n}": {self._copied(v)},' for n, v in inputs if v]
        for n, state, carries in zip(self.names.first_states, body.states, adjoint.carries, strict=True):
            if state.active:
                total = " + ".join(self.place(c).name for c in carries)
                results.append(f'"d{n}": {total if len(carries) > 1 else total + ".copy()"},')
        given: set[str] = set()
        for n, parts in zip(self.names.constants, adjoint.constants, strict=True):
            if parts:
                names = [whole[n]] if n in whole else self._summands(parts)
                total = " + ".join(names)
                words = set(re.findall(r"\w+", total))
                # a sum is new; a name may be memory, or the gradient of another weight
                copied = len(names) == 1 and (total in given or not words.isdisjoint(self.memory.made))
                given.add(total)
                results.append(f'"d{n}": {total}{".copy()" * copied},')
        start = [line for c, name in outputs for line in self._arriving(c, name)] + start
        return [*_inside(start), *lines, "    return {", *_inside(results, 8), "    }"]

    def _arriving(self, c: Value, name: str) -> list[str]:
        """How the gradient of an output gets in: as it is, if it is large and nothing is written over it."""
        place, made = self.place(c), self.memory.made
        others = [e for n, e in made.items() if n != place.name and re.search(rf"\b{place.whole}\b", e)]
        inside = [v for v in self.layout.order if v is not c and self.layout.memory(v) is c]
        if math.prod(c.shape) < AS_GIVEN or others or inside or place.whole not in made:
            return [f"{place.whole}[...] = {name}.swapaxes(0, 1)"]
        del made[place.whole]
        steps = [f"{place.name} = list({place.whole})"] if made.pop(place.name, "") else []
        return [f"{place.whole} = {name}.swapaxes(0, 1)", *steps]

    def _find_new(self) -> None:
        """Let the gradients of inputs that a product after the loop gives, to nobody else, be no memory."""
        for v in self.adjoint.xs:
            if v and v.op == "matmul" and self.layout.region[v] == "b-after" and self._alone(v):
                if self._of_all_rows(v, 1) and self.memory.made.pop(self.place(v).whole, ""):
                    self.new.add(v)

    def _alone(self, v: Value) -> bool:
        """Whether a value has memory to itself, and is one result."""
        shared = self.layout.placed(v) or v in self.program.once or self.layout.users.get(v)
        return not shared and self.adjoint.ends.count(v) == 1

    def _pieced(self) -> dict[str, str]:
        """The gradients to which parts of a weight contribute: these are added to their places in them."""
        found: dict[str, str] = {}
        for name, parts in zip(self.names.constants, self.adjoint.constants, strict=True):
            every = [p for others in self.adjoint.constants for p in others]
            once = all(every.count(p) == 1 for p in parts)  # no part arrives twice, or elsewhere, too
            if parts and once and all(self._goes_into_part(p) for p in parts):
                found[name] = self.names.new(f"d{name}")
                for p in parts:
                    place = f"{found[name]}[{index_text(p.attrs['index'], 0)}]"
                    self.added[p.args[0] if self._only_for(p) else p] = place
                    self.added.setdefault(p, "")
        return found

    def _copied(self, v: Value) -> str:
        """A result for all steps. Of a view, whose axes may stand in another order, the memory is never lent."""
        once, whole = v in self.program.once, self.whole(v)
        if v in self.new:
            return f"{whole}.swapaxes(0, 1)"
        if once:
            whole = f"np.broadcast_to({whole}, {shape_text(('T', *v.shape))})"
        return whole + (COPIED.replace("()", '("C")') if once or is_view(v) else COPIED)

    def _goes_into_part(self, v: Value) -> bool:
        after = self.layout.region.get(v) == "b-after" and not self.layout.users.get(v)
        return after and v.op == "put_back" and is_basic(v.attrs["index"])

    def _only_for(self, v: Value) -> bool:
        """Whether what is a statement of its own is made for one part of a gradient alone."""
        total, whole = v.args[0], {"product", "axis", "keepdims", "contracts"}
        sums = total.op == "time_sum" and total.attrs.keys() <= whole
        own = self.layout.region.get(total) == "b-after" and (sums or total.op == "concatenate")
        return own and self.layout.users[total] == [v] and total not in self.layout.ends

    def _summands(self, parts: list[Value]) -> list[str]:
        """The contributions to one constant; those that the loop adds up share one sum."""
        names: list[str] = []
        for part in parts:
            name = self.place(part).name
            inner = part.op == "time_sum" and self.layout.region[part] == "b-loop"
            arrives_twice = parts.count(part) > 1  # and counts twice
            if arrives_twice or not (inner and name in names):
                names.append(name)
        return names

    def _moved(self, moves: dict[Value, Value | None]) -> list[str]:
        """Copies at the end of the loop: none writes over what a later one reads; only in a circle one is kept."""
        texts = {carry: "0" if part is None else self.step(part) for carry, part in moves.items()}
        read = {carry: self._carry_under(part) for carry, part in moves.items()}
        lines: list[str] = []
        while texts:
            to = next(
                (c for c in texts if all(read[other] is not c for other in texts if other is not c)), None
            )
            if to is not None:
                lines.append(f"{self.place(to).name}[...] = {texts.pop(to)}")
                continue
            overwritten = next(iter(texts))
            reader = next(c for c in texts if read[c] is overwritten)
            kept = self.names.new("kept")
            self.memory.made[kept] = self.empty(reader)
            lines.append(f"{kept}[...] = {texts[reader]}")
            texts[reader], read[reader] = kept, None
        return lines

    def _carry_under(self, v: Value | None) -> Value | None:
        """The carry in whose memory a value lies."""
        memory = v and self.layout.memory(v)
        return self.layout.carry_of.get(memory, memory) if memory else None


def _inside(statements: list[str], columns: int = 4) -> list[str]:
    return [" " * columns + s for s in statements]
