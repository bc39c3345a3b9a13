"""A traced step run again, op by op: second derivatives through a derived recurrence go over its recorded steps.

The user's function is not called again: what it closes over may be another thing by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...config import Scope, mode, switched
from ...core.op import OPS, Op
from ...core.operands import to_float
from ...core.record import apply
from ...core.tensor import Tensor
from ...ops.shape import stack, unstack
from .body import Body, Value


class Tape(NamedTuple):
    """The ops of a step by number: inputs, states and constants come first."""

    xs: int
    inputs: int  # with states and constants
    ops: list[
        tuple[str, list[tuple[bool, Any]], dict[str, Any]]
    ]  # name, (is a number of a value, it), attributes
    outputs: list[int]
    states: list[int]
    active: list[bool]  # whether a gradient can flow through an op


def tape(body: Body) -> Tape:
    """Write down a body before the passes change it."""
    number = {v: i for i, v in enumerate((*body.inputs, *body.values))}
    ops = [
        (v.op, [(isinstance(a, Value), number[a] if isinstance(a, Value) else a) for a in v.args], v.attrs)
        for v in body.values
    ]
    inputs = len(number) - len(ops)
    results = [number[v] for v in body.outputs], [number[v] for v in body.new_states]
    return Tape(len(body.xs), inputs, ops, *results, [v.active for v in body.values])


def leading(recorded: Tape, unread: Sequence[bool], length: int, final: bool) -> set[int]:
    """The inputs to which results that are read lead a gradient: those of any step, but states of the first alone.

    `final`: of the outputs only those of the last step are read.
    """
    count, states = len(recorded.outputs), range(recorded.xs, recorded.xs + len(recorded.states))
    each = set() if final else _read(recorded, [*unread[:count], *[True] * len(states)])
    wanted, found = _read(recorded, unread), set()
    carried: list[frozenset[int]] = []  # what is asked of the step before, from the last step on
    for t in range(length):
        reached = _in_step(recorded, wanted, active=True)
        found |= {n for n in reached if n < recorded.inputs and n not in states}
        before = frozenset(reached.intersection(states))
        if before in carried:  # it goes round in a circle
            first = carried.index(before)
            before = carried[first + (length - 1 - t) % (t - first)]
            break
        carried.append(before)
        wanted = each | {recorded.states[n - recorded.xs] for n in before}
    return found | before


def uneven(recorded: Tape, unread: Sequence[bool], final: bool) -> bool:
    """Whether some steps have ops that nothing reads: of a state that only its last value counts of, say.

    `final`: of the outputs, too, only those of the last step are read.
    """
    count, seen = len(recorded.outputs), set()
    found = _in_step(recorded, _read(recorded, unread))  # in the last step, then in those before
    each = set() if final else _read(recorded, [*unread[:count], *[True] * len(recorded.states)])
    while len([n for n in found if n >= recorded.inputs]) == len(recorded.ops):
        states = frozenset(j for j in range(len(recorded.states)) if recorded.xs + j in found)
        if states in seen:
            return False
        seen.add(states)
        found = _in_step(recorded, each | {recorded.states[j] for j in states})
    return True


def _read(recorded: Tape, unread: Sequence[bool]) -> set[int]:
    results = [*recorded.outputs, *recorded.states]
    return {n for n, none in zip(results, unread, strict=True) if not none}


def _in_step(recorded: Tape, wanted: set[int], active: bool = False) -> set[int]:
    """The values of one step that these are made of, and they themselves; `active`: those with a gradient from them."""
    found = set(wanted)
    for n in range(recorded.inputs + len(recorded.ops) - 1, recorded.inputs - 1, -1):
        if n in found and (recorded.active[n - recorded.inputs] or not active):
            name, args, _ = recorded.ops[n - recorded.inputs]
            vjps = OPS[name].vjps if active and name in OPS else ()
            found.update([a for i, (value, a) in enumerate(args) if value and (i >= len(vjps) or vjps[i])])
    return found


def _as_floats(op: Op, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Floats for a function of real numbers that is given integers or flags alone, as when it was called."""
    if not op.broadcasts or not any(op.vjps) or op.name == "where":
        return given
    data = [np.asarray(getattr(a, "_data", a)) for a in given]
    if any(a.dtype.kind not in "iub" for a in data) or op.fwd(*data).dtype.kind != "f":
        return given
    return tuple([Tensor(to_float(a), None) for a in data])


def replay(
    recorded: Tape,
    sequences: Sequence[Tensor],
    states: Sequence[Tensor],
    constants: Sequence[Tensor],
    turned: bool,
    final: bool,
) -> list[Tensor]:
    """Outputs for all steps and last states, with every op recorded; if `turned`, the first is the last in time.

    With `final` the outputs are those of the last step alone.
    """
    pieces = [unstack(x, axis=1) for x in sequences]
    collected: list[list[Any]] = [[] for _ in recorded.outputs]
    current: list[Any] = list(states)
    layer = mode().scope.layer
    length = sequences[0].shape[1]
    for t in range(length):
        values: list[Any] = [*(p[t] for p in pieces), *current, *constants]
        with switched(scope=Scope(layer, length - 1 - t if turned else t)):
            for name, args, attrs in recorded.ops:
                given = tuple([values[a] if is_value else a for is_value, a in args])
                if name == "part":
                    values.append(given[0][attrs["index"]])
                elif name == "stop":
                    values.append(given[0].detach())
                else:
                    values.append(apply(OPS[name], _as_floats(OPS[name], given), attrs))
        if t == length - 1 or not final:
            for outputs, i in zip(collected, recorded.outputs, strict=True):
                outputs.append(values[i])
        current = [values[i] for i in recorded.states]
    return [*(stack(outputs, axis=1) for outputs in collected), *current]
