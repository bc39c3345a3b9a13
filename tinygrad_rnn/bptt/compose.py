"""From a traced step to its source: the passes in their order, the schedule, and the text."""

from __future__ import annotations

from typing import Any

from ..config import mode
from .native.loops import runs_in_c
from .passes import NATIVE, NEED_HOIST, PASSES
from .passes.tidy import resolve
from .step import schedule
from .step.adjoint import derive, nothing
from .step.tracer import Tracer
from .step.walks import dependents
from .writing import source
from .writing.equations import number_equations
from .writing.names import Names


def compose(tracer: Tracer, saving: bool) -> tuple[str, list[tuple[str, int]], bool]:
    """Passes, schedule and text; with the inputs that get gradients, in order."""
    off = mode().passes
    if "hoist" in off:
        off |= NEED_HOIST

    def apply(name: str, *given: Any) -> None:
        """Apply a pass, unless it is off."""
        if name not in off:
            PASSES[name](*given)

    body = tracer.body
    names = Names(body)
    body.equations = number_equations(body, names)
    for name in ("share", "powers", "einsum", "regroup", "center", "sums", "gather", "lerp"):
        apply(name, tracer)
    fixed = {*body.constants, *set(body.values) - dependents(body.values, [*body.xs, *body.states])}
    once = set(body.constants) if "hoist" in off else fixed
    chooses = saving and any(v.op == "where" for v in body.values)
    adjoint = derive(tracer, once, chooses and "guards" in off) if saving else nothing(body)
    guarded = chooses or any(v.op == "where" for v in adjoint.values)  # those of relu, clip or maximum
    apply("guards", adjoint)
    apply("factors", body, adjoint)
    apply("terms", adjoint)
    apply("dots", body, adjoint)
    apply("defer", adjoint, fixed, schedule.largest(body))
    apply("pieces", adjoint)
    resolve(adjoint)
    apply("rows", body, adjoint)
    apply("merge", body, adjoint, "fold" not in off)
    apply("pairs", body, adjoint)
    apply("joins", adjoint)
    apply("fronted", adjoint)
    in_c = not tracer.naming and NATIVE not in off and runs_in_c([*body.values, *adjoint.values])
    program = schedule.program(body, adjoint, "hoist" not in off, "defer" not in off, 1 if in_c else None)
    if "factors" not in off:
        schedule.order_carries(program)
    apply("strips", program)
    apply("turned", program)
    apply("spread", program)
    sent = [*adjoint.xs, *[s.active for s in body.states], *adjoint.constants] if saving else []
    gradients = [(body.inputs[i].op, i) for i, parts in enumerate(sent) if parts]
    return source.write(program, names, saving, tracer.naming), gradients, guarded
