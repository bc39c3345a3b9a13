"""What is kept of a derived step: its source, and what a run has to know besides."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..locks import new_lock
from .compose import compose
from .step.body import Body
from .step.replay import Tape, tape
from .step.tracer import Tracer
from .step.walks import dependents

CALLS_PER_OP = 20  # of functions inside functions, for a chain of ops
_one_at_a_time = new_lock()  # the limit belongs to all threads


@dataclass
class Built:
    """What is known about one structure."""

    text: str
    outputs: int
    several_out: bool
    recorded: list[bool]  # which results have gradients
    gradients: list[tuple[str, int]]  # in the order of backward's results: of which input
    guarded: bool  # `0 · ∞` was taken for granted not to happen
    static: list[Any]  # arrays that the backward pass made up
    tape: Tape  # the ops of the step, for second derivatives
    written: set[int]  # the constants that the source makes itself: they are no arguments
    small: list[int]  # the arguments that must be small: first states that were taken for bounded


def build(tracer: Tracer, saving: bool) -> Built:
    """Derive what `examine` traced, and write it for the batch size that it was traced with."""
    body = tracer.body
    recorded_ops, recorded = tape(body), _recorded(body)
    given = len(body.bound)
    with _deep(len(body.values)):
        text, gradients, guarded = compose(tracer, saving)
    static = body.bound[given:]
    written = {i for i, c in enumerate(body.constants) if c in body.written}
    small = [len(body.xs) + j for j in sorted(body.small)]
    return Built(
        text,
        len(body.outputs),
        body.several_out,
        recorded,
        gradients,
        guarded,
        static,
        recorded_ops,
        written,
        small,
    )


@contextmanager
def _deep(ops: int) -> Iterator[None]:
    """Let passes and texts follow a chain of so many ops by recursion, which takes no more than memory in Python."""
    with _one_at_a_time:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(before, CALLS_PER_OP * ops))
        try:
            yield
        finally:
            sys.setrecursionlimit(before)


def _recorded(body: Body) -> list[bool]:
    """Which outputs and last states depend on what has a gradient, also through the states of earlier steps."""
    sources = [v for v in body.inputs if v.wanted]
    active = [v for v in body.values if v.active]  # not the condition of a `where`, for instance
    while True:
        reached = dependents(active, sources)
        more = [
            s
            for s, new in zip(body.states, body.new_states, strict=True)
            if new in reached and s not in reached
        ]
        if not more:
            return [v in reached and v.active for v in body.ends]
        sources += more
