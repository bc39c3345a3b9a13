"""What the passes over the forward ops have in common: they write the values of a traced step down anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.op import OPS
from ...core.record import apply
from ..step.body import Value, parts_of
from ..step.tracer import Tracer
from ..step.walks import dependents, needed, users_of


class Rewriting:
    """A traced step, and what it is made of from now on."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer, self.body = tracer, tracer.body
        self.carried = dependents(self.body.values, self.body.states)
        self.varying = dependents(self.body.values, [*self.body.xs, *self.body.states])
        self.users = users_of(self.body.values, self.body.ends)
        self.made: list[Value] = []

    def each(self, write: Callable[[Value], None]) -> None:
        """Write down every value behind the new ones that `write` makes for it; these belong to its equation."""
        for value in self.body.values:
            first = len(self.made)
            write(value)
            for new in self.made[first:]:
                new.eq = value.eq
            self.made.append(value)
        self.body.values = needed(self.made, self.body.ends)

    def computed(self, name: str, *args: Any, **attrs: Any) -> Value:
        """A new value, computed like a traced one."""
        tensors = self.body.tensors
        given = tuple([tensors[a].detach() if isinstance(a, Value) else a for a in args])
        data = apply(OPS[name], given, attrs)
        values = [a for a in args if isinstance(a, Value)]
        eq = next((a.eq for a in values[::-1] if a.eq), "")
        active = any([a.active for a in values])
        self.made.append(Value(name, args, attrs, data.shape, data.dtype, active, eq=eq))
        return self.tracer.bind(data._data, self.made[-1])

    def several(self, name: str, x: Value, **attrs: Any) -> list[Value]:
        """The parts of a new op with several outputs."""
        pieces = apply(OPS[name], (self.body.tensors[x].detach(),), attrs)
        whole = Value(name, (x,), attrs, tuple([p.shape for p in pieces]), x.dtype, x.active)
        parts = parts_of(whole)
        self.made += [whole, *parts]
        return [self.tracer.bind(piece._data, part) for piece, part in zip(pieces, parts, strict=True)]
