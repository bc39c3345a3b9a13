"""What is said about a time loop that runs in the wrong order, or not over all steps."""

from __future__ import annotations

from collections.abc import Sequence

from .divergence import Divergence
from .loops import Run, carried
from .report import GradReport


def tell_order(
    file: str, report: GradReport, loops: Sequence[tuple[Run, tuple[int, ...]]], length: int
) -> list[str]:
    """Put a loop that begins at a wrong step in the place of the first divergence; else, notes on the loops.

    It begins wrongly if it hands something on from pass to pass that is zero at first, but not at the last step.
    """
    notes = []
    whole = tuple(reversed(range(length)))
    covered = {t for _, steps in loops for t in steps}
    failed = any(row.failed for row in report.rows if row.t is not None)
    for run, steps in loops:
        place = f"{file}:{run.loop.lineno}"
        names = ", ".join(
            n for n in run.started if n.endswith(("next", "prev"))
        )  # dh may begin with its own part
        if steps[:1] == whole[:1] and names and _begins(report, steps[0]):
            notes.append(
                f"{place}: {names} is not zero when the loop begins, but nothing comes after the last step"
            )
        if not steps or steps == whole:
            continue
        span = f"from step {steps[0]} to {steps[-1]}"
        forwards = len(steps) > 1 and list(steps) == sorted(steps)
        if carried(run.loop) and not run.started and steps[0] != whole[0]:
            why = (
                f"the loop does not begin at the last step: it runs {span}, and the steps are 0 to {whole[0]}"
            )
            if forwards:
                why = (
                    f"the loop runs forwards, {span}: every step needs what the step after it sends back, so it "
                    f"has to run from step {whole[0]} to 0"
                )
            _replace(report, run, steps[0], place, why)
            return []
        missing = sorted(set(whole) - covered)
        if missing and not failed:
            left = ", ".join(map(str, missing))
            notes.append(f"{place}: the loop `{run.text}` runs {span} and leaves out step {left}")
        elif forwards and _unexplained(report):
            notes.append(f"{place}: the loop `{run.text}` runs forwards, {span}: is that meant?")
    return notes


def _begins(report: GradReport, t: int) -> bool:
    """Whether it is at a step that the derivation goes wrong first."""
    return report.first_divergence is not None and report.first_divergence.t == t


def _unexplained(report: GradReport) -> bool:
    return report.first_divergence is None or report.first_divergence.diagnosis == "unexplained"


def _replace(report: GradReport, run: Run, t: int, place: str, why: str) -> None:
    """Let a loop be the first divergence: what its lines compute is not to be blamed on them."""
    first = report.first_divergence
    quantity = first.quantity if first else next(row.parameter for row in report.rows if row.failed)
    report.first_divergence = Divergence(
        t=first.t if first else t, quantity=quantity, file=run.frame.f_code.co_filename, line=run.loop.lineno,
        source=run.text, diagnosis=why, place=place,
    )  # fmt: skip
    for row in report.rows:
        if row.failed and row.verdict == "differs" and (row.t is not None or row.diagnosis == "unexplained"):
            row.diagnosis = ""
