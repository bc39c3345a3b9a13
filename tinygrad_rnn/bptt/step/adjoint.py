"""The backward pass of one step: the vjps of its ops, run on the traced Tensors and written down in turn.

Going through the step from its end to its beginning, every value collects the cotangents that its users send
back. What leaves the step is kept as a list of contributions: for every state (they become the carry of the
step before), for every input, and for every constant, where they add up over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...config import switched
from ...core.autodiff import sum_to
from ...core.op import OPS, Spec
from ...core.record import apply
from ...core.tensor import Tensor
from .body import Body, Underivable, Value
from .tracer import Tracer
from .walks import activation_of, dependents, needed, users_of


@dataclass
class Adjoint:
    """The backward pass of a body."""

    cotangents: list[Value | None]  # of the outputs; None where no gradient can arrive
    carries: list[list[Value]]  # of each state: one value for each contribution of the step after
    values: list[Value] = field(default_factory=list)
    states: list[list[Value]] = field(default_factory=list)  # contributions to the state before
    xs: list[Value | None] = field(default_factory=list)
    constants: list[list[Value]] = field(default_factory=list)  # contributions to each constant

    @property
    def arriving(self) -> list[Value]:
        """What the step after sends back."""
        return [carry for carries in self.carries for carry in carries]

    @property
    def sent(self) -> list[Value]:
        """What the step before needs."""
        return [v for parts in self.states for v in parts]

    @property
    def ends(self) -> list[Value]:
        """All that leaves the step."""
        return [*self.sent, *[v for parts in self.constants for v in parts], *[v for v in self.xs if v]]

    def replace(self, by: Callable[[Any], Any]) -> None:
        """Let `by(v)` leave the step in place of each `v` that leaves it."""
        self.states = [[by(v) for v in parts] for parts in self.states]
        self.xs = [by(v) for v in self.xs]
        self.constants = [[by(v) for v in parts] for parts in self.constants]


def nothing(body: Body) -> Adjoint:
    """The backward pass where no gradient is asked for."""
    return Adjoint([], [[] for _ in body.states], states=[[] for _ in body.states])


def users_in(body: Body, adjoint: Adjoint) -> dict[Value, list[Any]]:
    """Who uses each value, forwards and backwards; "result" for those that leave."""
    return users_of([*body.values, *adjoint.values], [*body.ends, *adjoint.ends])


def derive(tracer: Tracer, once: set[Value], guarded: bool) -> Adjoint:
    """Trace the backward pass of the body in `tracer`.

    `once` holds the values that are the same at every step: contributions to them are added up over time
    ("time_sum") before the gradient goes on to what they were computed from. `guarded` keeps what `where` does
    not take out of the gradient, op by op, as the engine does.
    """
    body = tracer.body
    values = needed(body.values, body.ends)
    terms = [1] * len(body.states)  # how many terms the gradient of each state has: known when it was traced
    single: set[int] = set()  # states whose terms would become more with every step: added up in the step
    for attempt in range(4):
        result = _Walk(tracer, body, once, guarded).run(values, terms, single)
        found = [max(len(parts), 1) for parts in result.states]
        if found == terms:
            tracer.body = body
            return result
        single |= {j for j, (a, b) in enumerate(zip(found, terms, strict=True)) if attempt and a != b}
        terms = [1 if j in single else n for j, n in enumerate(found)]
    raise Underivable("the gradients of the states do not settle")  # pragma: no cover


class _Walk:
    def __init__(self, tracer: Tracer, body: Body, once: set[Value], guarded: bool) -> None:
        self.tracer, self.body, self.once, self.guarded = tracer, body, once, guarded
        self.parts: dict[Value, list[Value]] = {}
        tracer.deriving = True
        tracer.body = Body([], [], constants=body.constants, bound=body.bound, tensors=body.tensors)

    def run(self, values: list[Value], terms: list[int], single: set[int]) -> Adjoint:
        body = self.body
        self.leads, self.activated = _leading(body, values), _activated(values)
        result = Adjoint([], [], self.tracer.body.values)
        carries = [
            [self._input("carry", state, state.attrs["index"], k) for k in range(count)]
            for state, count in zip(body.states, terms, strict=True)
        ]
        result.cotangents = [
            self._input("cotangent", v, i, 0) if v.active else None for i, v in enumerate(body.outputs)
        ]
        for output, cotangent in reversed(list(zip(body.outputs, result.cotangents, strict=True))):
            if cotangent is not None:  # as the engine does it: the last output first
                self._enter(output, cotangent)
        for new, arriving in zip(body.new_states, carries, strict=True):
            for carry in arriving if new.active else ():
                self._enter(new, carry)
        result.carries = carries
        outputs: dict[Value, dict[int, Any]] = {}  # cotangents of the parts of ops with several outputs
        with switched(grad=False, monitor=self.tracer), np.errstate(all="ignore"):
            for value in reversed(values):
                arrived = outputs.pop(value, None)
                if arrived is None and value not in self.parts:
                    continue
                g = self._total(value) if arrived is None else arrived
                if value.op == "part":
                    outputs.setdefault(value.args[0], {})[value.attrs["index"]] = g
                    continue
                self.tracer.eq = _derivative_of(value.eq)
                self._through(value, g)
            for j, state in enumerate(body.states):
                if j in single and len(self.parts.get(state, [])) > 1:
                    self.parts[state] = [self._total(state)]
            result.xs = [self._total(x) if x.wanted and x in self.parts else None for x in body.xs]
        result.states = [self.parts.get(s, []) for s in body.states]
        result.constants = [self.parts.get(c, []) if c.wanted else [] for c in body.constants]
        return result

    def _input(self, kind: str, of: Value, index: int, k: int) -> Value:
        """A placeholder for a gradient that arrives."""
        data = np.array(self.body.tensors[of]._data)
        label = self.body.output_name(index) if kind == "cotangent" else self._state(index)
        return self.tracer.bind(
            data, Value(kind, (), {"index": index, "k": k}, of.shape, of.dtype, True, label and f"d{label}")
        )

    def _state(self, j: int) -> str:
        """The name that a state is given, not the one by which the next step takes it: `h`, not `h_prev`."""
        old, new = self.body.states[j], self.body.new_states[j]
        own = new in self.body.values and self.body.new_states.count(new) == 1
        return own and new.label or old.label

    def _total(self, value: Value) -> Value:
        """The sum of what has arrived, in the order of arrival."""
        parts = self.parts.pop(value)
        total = self.body.tensors[parts[0]]
        self.tracer.eq = next((p.eq for p in parts[::-1] if p.eq), _derivative_of(value.eq))
        for part in parts[1:]:
            total = total + self.body.tensors[part]
        found: Value = self.tracer.lookup(total)
        label = value.label or self.activated.get(value, "")
        if label and (not found.label or value.label and found.label.startswith("dpre_")):
            found.label = f"d{label.removesuffix('_without_bias')}"  # the user's name, if there is one
        return found

    def _through(self, value: Value, g: Any) -> None:
        """Send the gradient of one op to its inputs."""
        op = OPS[value.op]
        sent = [isinstance(a, Value) and a.active and a in self.leads for a in value.args]
        if not any(sent):
            return
        specs: list[Any] = []
        for i, a in enumerate(value.args):
            if not isinstance(a, Value):
                specs.append(np.asarray(a))
            elif not op.keeps_input(i):
                specs.append(Spec(a.shape, a.dtype))
            else:
                specs.append(self.body.tensors[a])
        several = op.outputs != 1
        pieces = [self._piece(g, i, value) for i in range(len(value.shape))] if several else []
        got: Any = pieces if several else self.body.tensors[g]
        y = self.body.tensors[value] if "y" in op.reads and not several else None
        parts: Sequence[Any]
        if op.vjp_all is not None:
            parts = op.vjp_all(got, y, *specs, **value.attrs)
        else:
            parts = [
                vjp(got, y, *specs, **value.attrs) if vjp and s else None
                for vjp, s in zip(op.vjps, sent, strict=True)
            ]
        for a, part, send in zip(value.args, parts, sent, strict=True):
            if send and part is not None:
                found = self.tracer.lookup(self._fit(op, got, part, a, value))
                self._enter(a, found, value in self.once)

    def _fit(self, op: Any, g: Any, part: Any, a: Value, value: Value) -> Any:
        """The gradient in the shape and type of its input."""
        if not isinstance(part, Tensor):
            part = Tensor(np.broadcast_to(np.asarray(part, a.dtype), value.shape).copy(), None)
        if self.guarded and op.broadcasts:
            part = apply(OPS["where"], (g == 0, np.zeros((), part.dtype), part), {})
        if op.broadcasts and value.shape != a.shape:
            part = sum_to(part, a.shape)
        return part.astype(a.dtype) if part.dtype != a.dtype else part

    def _enter(self, a: Value, part: Value, is_sum: bool = False) -> None:
        """A gradient arrives at a value; one that is the same at every step gets the sum, unless it `is_sum`."""
        if a in self.once and not is_sum:
            label = f"d{a.label}" if a.label else ""
            summed = Value("time_sum", (part,), {}, part.shape, part.dtype, True, label, self.tracer.eq)
            self.tracer.body.values.append(summed)
            part = self.tracer.bind(self.body.tensors[part]._data.view(), summed)
        self.parts.setdefault(a, []).append(part)

    def _piece(self, arrived: dict[int, Value], i: int, value: Value) -> Tensor:
        if i in arrived:
            return self.body.tensors[arrived[i]]
        zeros = Value("zeros", (), {}, value.shape[i], value.dtype)
        self.tracer.body.values.append(zeros)
        self.tracer.bind(np.zeros(zeros.shape, zeros.dtype), zeros)
        return self.body.tensors[zeros]


def _derivative_of(eq: str) -> str:
    """`∂(1), ∂(2)` for `(1), (2)`."""
    return ", ".join([f"∂{e}" for e in eq.split(", ") if e])


def _activated(values: list[Value]) -> dict[Value, str]:
    """Names for what has none: `pre_i` if `i` is its activation."""
    found: dict[Value, str] = {}
    users = users_of(values, [])
    for v in reversed(values):
        user = activation_of(v, users)
        label = user and (user.label or found.get(user))
        if label and not v.label and v.op != "part":
            found[v] = f"pre_{label.removeprefix('pre_')}"
    return found


def _leading(body: Body, values: list[Value]) -> set[Value]:
    """The values through which a gradient is asked for: those of states, and of inputs that want one."""
    sources = [v for v in body.inputs if v.op == "state" or v.wanted]
    return dependents([v for v in values if v.op != "stop"], sources)
