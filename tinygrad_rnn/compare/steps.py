"""A hand-written backward loop against autodiff, quantity by quantity, in the order of the derivation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..core.op import Array, Leaf, Port
from .causes import Judged, cause
from .divergence import Divergence
from .names import bare_name, spellings
from .recorded import Quantity, Recorded, Use
from .recorder import Entry, ManualRecorder
from .references import array_of, check_operation, laid_out
from .report import Row, number
from .sites import Source, computed_around
from .verdict import Reference, floor_of, judge


class Steps:
    """The quantities of a recorder beside those of a recorded loss (the first of `runs`; the rest are moved)."""

    def __init__(
        self, recorder: ManualRecorder, runs: list[Recorded], mapping: Mapping[str, Any], floors: bool
    ) -> None:
        self.entries = [entry for entry in recorder.entries if entry.t is not None]
        self.totals = recorder.totals()
        self.base, self.others, self.mapping, self.floors = runs[0], runs[1:], mapping, floors
        times = [entry.t for entry in self.entries if entry.t is not None]
        one_based = bool(times) and min(times) == 1 and max(times) == self.base.length
        self.first = 1 if one_based else 0  # the number of the first step
        self.last = max([self.base.length - 1, *(t for t in self.base.times if t is not None)])
        self.same = all(len(run.nodes) == len(self.base.nodes) for run in self.others)
        self.references: dict[Quantity, Reference] = {}

    def reference(self, quantity: Quantity) -> Reference:
        """The value that autodiff gives, and its noise floor."""
        if quantity not in self.references:
            g = self.base.evaluate(quantity)
            floor = None
            if self.floors:
                runs = [run.evaluate(quantity) for run in self.others] if self.same else []
                floor = floor_of(g, runs)
            self.references[quantity] = Reference(g, floor)
        return self.references[quantity]

    # --- which quantity is meant ----------------------------------------------------------------------

    def candidates(self, name: str, t: int) -> list[tuple[str, Quantity]]:
        """What a recorded name may stand for, each with a label, the most likely first."""
        target = self.mapping.get(name)
        if target is None:
            return self._meanings(*bare_name(name), t)
        target = target[0] if isinstance(target, (tuple, list)) else target
        return [pair for variable in target.split("|") for pair in self._meanings(variable, True, t)]

    def _meanings(self, base: str, gradient: bool, t: int) -> list[tuple[str, Quantity]]:
        found: list[tuple[str, Quantity]] = []
        for variable, shift in ((base, 0), (base.removesuffix("_prev"), -1), (base.removesuffix("_next"), 1)):
            if shift and variable == base:
                continue
            if gradient:
                found = self._gradients(variable, t, shift)
            else:
                found = [("value", Quantity("value", i)) for i in self.base.at(variable, t + shift)]
            if found:
                break
        if not gradient and not found:
            return self._gradients(base, t, 0)
        # a piece may be what other terms are still to be added to, with the same gradient
        return [p for p in found if p[1].kind != "value" or not self.base.pieces(p[1].row, t)]

    def _gradients(self, variable: str, t: int, shift: int) -> list[tuple[str, Quantity]]:
        base = self.base
        others = [i for i in base.find(variable) if not isinstance(base.nodes[i], Leaf)]
        leaf = base.leaf(variable, alias=not others)
        if leaf is not None and not shift:
            return self._of_parameter(leaf, t)
        found: list[tuple[str, Quantity]] = []
        if shift > 0:  # what has come from the next step; or, in a loop that has renewed it, what goes on
            found = [("arrived", Quantity("part", i, base.uses_at(i, t + 1))) for i in base.at(variable, t)]
            found += [("gradient 1", Quantity("gradient", i)) for i in base.at(variable, t + 1)]
            return found + self._gradients(variable, t, -1)
        for row in base.at(variable, t + shift):
            uses = base.uses_at(row, t)
            own = f"gradient {shift}" if shift else "gradient"
            found += [(own, Quantity("gradient", i)) for i in base.pieces(row, t + shift)]
            if base.times[row] is None and not shift and uses:  # made before the loop: as a parameter
                found += self._of_parameter(row, t)
                continue
            if shift and (uses or t + shift < 0):
                found.append(("carried", Quantity("part", row, uses)))
            found.append((own, Quantity("gradient", row)))
            node = base.nodes[row]
            parent = (node.inputs or (None,))[0]
            if node.op.name == "softmax" and parent is not None:
                found.append(("scores", Quantity("gradient", base.row[parent])))
            if isinstance(node, Port) and node.scope.layer and len(base.uses[row]) == 1:
                found.append(("activated", Quantity("gradient", base.uses[row][0][0])))
        if shift < 0 and not found:
            start = base.start(variable, t)
            found += [("carried", Quantity("part", -1, start))] if start else []
            leaf = base.leaf(f"{variable}0")
            found += [("gradient", Quantity("gradient", leaf))] if leaf is not None and not found else []
        return found

    def _of_parameter(self, leaf: int, t: int) -> list[tuple[str, Quantity]]:
        base, row, path = self.base, leaf, tuple[Use, ...]()
        while (
            len(base.uses[row]) == 1 and base.times[base.uses[row][0][0]] is None
        ):  # W.T, made before the loop
            path = (base.uses[row][0], *path)
            row = path[0][0]
        timed = [use for use in base.uses[row] if base.times[use[0]] is not None]
        found = []
        if timed:
            late = tuple(use for use in timed if base.times[use[0]] >= t)  # type: ignore[operator]
            early = tuple(use for use in timed if base.times[use[0]] <= t)  # type: ignore[operator]
            own = base.uses_at(row, t)
            parts = (("of this step", own), ("so far", late), ("so far, forward", early))
            found = [(label, Quantity("part", leaf, uses, path)) for label, uses in parts if uses]
        return [*found, ("total", Quantity("gradient", leaf))]

    # --- the comparison -------------------------------------------------------------------------------

    def judged(self) -> list[Judged]:
        """A row for every recorded quantity."""
        options: list[list[tuple[str, Judged]]] = [self._options(entry) for entry in self.entries]
        runs: dict[
            tuple[Any, str], list[tuple[bool, float]]
        ] = {}  # by line: two lines may mean different things
        passes: Counter[Any] = Counter()
        for entry, found in zip(self.entries, options, strict=True):
            before = passes[_line(entry)]
            passes[_line(entry)] += 1
            for label, judged in found:
                failed = judged.row.failed or judged.row.verdict == "missing"
                gap = 1.0 if np.isnan(judged.row.norm_rel) else judged.row.norm_rel
                run = runs.setdefault((_line(entry), label), [])
                run += [(True, 1.0)] * (before - len(run))  # a meaning must hold at every step
                if len(run) == before:
                    run.append((failed, gap))
                elif not failed:
                    run[-1] = (failed, gap)

        def score(entry: Entry, label: str) -> tuple[int, int, float]:
            run = runs[_line(entry), label]
            right = next((i for i, (failed, _) in enumerate(run) if failed), len(run))
            return -right, sum(failed for failed, _ in run), sum(gap for _, gap in run)

        chosen_labels = [
            min((label for label, _ in found), key=lambda label: score(entry, label))
            for entry, found in zip(self.entries, options, strict=True)
        ]
        sums = any(label.startswith("so far") for label in chosen_labels)
        result = []
        for entry, found, best in zip(self.entries, options, chosen_labels, strict=True):
            meant = entry.source.summed or (sums and entry.source.overwritten)
            if best == "of this step" and meant and "so far" in dict(found):
                best = "so far"
            alike = [judged for label, judged in found if label == best]
            chosen = next((j for j in alike if not j.row.failed), alike[0])
            chosen.others = [judged for _, judged in found if judged is not chosen]
            result.append(chosen)
        return result

    def _options(self, entry: Entry) -> list[tuple[str, Judged]]:
        assert entry.t is not None
        t = entry.t - self.first
        target = self.mapping.get(entry.name, entry.name)
        operation = list(target[1:]) if isinstance(target, (tuple, list)) else []
        named = target[0] if isinstance(target, (tuple, list)) else target
        meant = named if entry.name in self.mapping else bare_name(entry.name)[0]
        check_operation(entry.name, target, operation)
        m = laid_out(array_of(entry.value), operation)
        if not 0 <= t <= self.last:
            steps = f"steps {self.first} to {self.first + self.last}" if self.last else "one step, t=0"
            why = f"recorded at t={entry.t}, but the loss has {steps}"
            shape = () if m is None else m.shape
            row = Row(entry.name, shape, verdict="missing", diagnosis=why, t=entry.t)
            return [("", Judged(replace(entry, source=Source("", 0, "")), row))]  # no line of it is wrong
        found = []
        at_once = False
        for label, quantity in self.candidates(entry.name, t):
            reference = self.reference(quantity)
            if m is None:
                why = f"no array of real numbers was recorded but {type(entry.value).__name__}"
                found.append(
                    (label, Judged(entry, Row(entry.name, verdict="missing", diagnosis=why, t=entry.t)))
                )
            else:
                if self._one_of_all(quantity, m):
                    at_once = True
                    continue
                row = judge(entry.name, m, reference, t=entry.t, pair=(entry.name, meant))
                found.append((label, Judged(entry, row, quantity, m, reference, label)))
        if not found:
            known = sorted({name for table in self.base.by_name[:1] for name in table})
            near = get_close_matches(bare_name(entry.name)[0], known, n=3)
            hint = (
                f"; it has {', '.join(near or known[:8])}"
                if known
                else ", for it was not computed inside tg.trace()"
            )
            why = f"the loss function has no variable of this name at this step{hint}: see map="
            if at_once:
                why = "the loss function computes it for all steps at once: a step alone cannot be compared"
            shape = () if m is None else m.shape
            row = Row(entry.name, shape, verdict="missing", diagnosis=why, t=entry.t, extra=True)
            found = [("", Judged(entry, row, m=m))]
        return found

    def _one_of_all(self, quantity: Quantity, m: Array) -> bool:
        """Whether an array is one step of what the loss computes for all steps at once."""
        row = quantity.row
        if row < 0 or isinstance(self.base.nodes[row], Leaf) or self.base.times[row] is not None:
            return False
        shape = self.base.evaluate(quantity).shape
        axes = [k for k, size in enumerate(shape) if size == self.base.length]
        return any(shape[:k] + shape[k + 1 :] == m.shape for k in axes)


def _line(entry: Entry) -> tuple[str, str, int]:
    return entry.name, entry.source.file, entry.source.line


def compare_steps(
    steps: Steps,
) -> tuple[list[Row], Divergence | None, list[str]]:
    """Rows for every recorded quantity, the first divergence, and notes."""
    found = steps.judged()
    unknown = [j for j in found if j.row.extra]
    rows = [j.row for j in found if not j.row.extra]
    named: dict[str, Row] = {}
    for j in unknown:
        row = named.setdefault(j.row.parameter, j.row)
        row.t = None
    rows += named.values()
    if len(unknown) == len(found):
        for row in named.values():
            row.extra = False  # nothing was compared: that is no agreement
        why = (
            "no recorded quantity has a counterpart in the loss function" if found else "nothing was recorded"
        )
        rows += [] if rows else [Row("(recorder)", verdict="missing", diagnosis=why)]
        return rows, None, []
    wrong = [j for j in found if j.row.failed]
    first = _divergence(steps, found, wrong[0]) if wrong else None
    notes = [f"{name} was recorded as the sum {label}" for name, label in
             dict.fromkeys((j.entry.name, j.label) for j in found if j.label.startswith("so far"))]  # fmt: skip
    notes += _of_single_steps(steps, found)
    done = {j.quantity.row for j in found if j.quantity is not None}
    totals = {spellings(bare_name(name)[0])[1] for name in steps.totals}
    left = [
        name for name, row in steps.base.parameters() if row not in done and spellings(name)[1] not in totals
    ]
    notes += [f"not recorded, so not compared: {', '.join(left)}"] if left else []
    return rows, first, notes


def _of_single_steps(steps: Steps, found: list[Judged]) -> list[str]:
    """A note on variables that hold what one step adds, where a sum may be meant."""
    sums = any(j.label.startswith("so far") for j in found)
    names = {
        j.entry.name: j.entry.source.variable
        for j in found
        if j.label == "of this step" and j.entry.source.variable and (sums or j.entry.source.overwritten)
    }
    left = [name for name in names if name not in steps.totals and steps.base.length > 1]
    why = "recorded as what each step adds, so nothing is known of the sum (rec(None, ...) compares totals)"
    return [f"{', '.join(left)}: {why}"] if left else []


def _divergence(steps: Steps, found: list[Judged], first: Judged) -> Divergence:
    """Explain the first quantity that differs, and the first of each other name as far as it can be."""
    right = {
        j.quantity.row for j in found if j.quantity and j.quantity.kind == "gradient" and not j.row.failed
    }
    explained: set[str] = set()
    for j in found:
        if j.row.verdict == "differs" and j.entry.name not in explained:
            explained.add(j.entry.name)
            causes = [
                cause(steps.base, steps.first, found, k, right)
                for k in (j, *j.others)
                if k.row.verdict == "differs"
            ]
            why = next((c for c in causes if c != "unexplained"), "unexplained")
            if j is first or why != "unexplained":
                j.row.diagnosis = why
    entry, source = first.entry, first.entry.source
    around = computed_around(source.file, source.line)
    inputs, unseen = [], []
    position = next(i for i, j in enumerate(found) if j is first)
    for name in sorted(source.reads):
        same = [i for i, j in enumerate(found) if name in (j.entry.name, j.entry.source.variable)]
        compared = [i for i in same if found[i].row.verdict in ("rounding", "close", "differs")]
        lines = around.get(name, [])
        if any(line < source.line for line in lines):  # made in this step, not handed on by the one before
            compared = [i for i in compared if found[i].entry.t == entry.t]
            read = [found[i] for i in compared if i < position or found[i].entry.source.order < source.order]
        else:
            read = [found[i] for i in compared if i < position]
        if read:
            state = "differs" if read[-1].row.failed else "agrees"
            inputs.append(f"{name} {state} ({number(read[-1].row.ulp)} ulp)")
        elif lines and not compared and position not in same:
            unseen.append(f"{name} (line {max((n for n in lines if n < source.line), default=lines[-1])})")
    place = f"{os.path.basename(source.file)}:{source.line}"
    place += f" (called in line {source.called})" if source.called else ""
    return Divergence(
        t=int(entry.t or 0), quantity=entry.name, file=source.file, line=source.line, source=source.text,
        inputs=tuple(inputs), diagnosis=first.row.diagnosis or first.row.verdict,
        place=place if source.file else "", unseen=tuple(unseen), exact=source.exact, others=source.others,
    )  # fmt: skip
