"""Does a hand-written backpropagation agree with autodiff? `compare_gradients`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..core.op import Array
from ..core.tensor import Tensor
from .diagnose import diagnose
from .meter import Meter
from .parameters import Carried
from .recorded import Recorded
from .recorder import ManualRecorder, by_steps
from .references import array_of, function_references, manual_gradients, pair, references_of
from .report import Divergence, GradReport, Row
from .steps import compare_steps
from .totals import from_uses, window
from .verdict import Reference, eps_of, judge, size_of, tolerance


def compare_gradients(
    manual: Any,
    auto: Any,
    *,
    map: Mapping[str, Any] | None = None,
    per_step: Any = None,
    loss_fn: Callable[[], Any] | None = None,
    inputs: Any = None,
) -> GradReport:
    """Compare the gradients of a hand-written backpropagation with those of autodiff, one row per parameter.

    `manual`: a dict of arrays, nested or not, or a callable that returns one; names are matched leniently
    (`dWaa` is `Waa`, `rnn/Waa` or `grads["Waa"]`), or by `map={"dWaa": "rnn/Waa"}`, with a transpose
    `map={"dWaa": ("rnn/Waa", "T")}` or any function of the array. `auto`: a dict or list of Variables that
    have gradients, a dict of arrays, a model, or the loss Tensor (its graph is kept).

    Or a `ManualRecorder`, or `per_step`: a dict of name → array with the time steps first. Then every quantity
    of every step is compared too, in the order in which it was computed, with the variable of its name in
    the loss function, and `report.first_divergence` is the first that differs: step, quantity, the user's
    line, and what is probably wrong there. This needs `loss_fn`, or the loss computed inside `trace()`.

    Either side may be a function of another library, arrays in, gradients out (a dict, or a tuple in the
    order of its arguments); it is called with copies of `inputs`, a list or a dict.

    With `loss_fn`, which computes the loss again from the same Variables, no tolerance is needed: every
    element of every parameter and of every one of `inputs` (float arrays and Tensors that `loss_fn` reads)
    is moved by about one ulp, three times; `floor = max |g_i − g|`, at least `4 ε max |g|`, is how far two
    right derivations may differ. With `d = max |manual − g|` the verdicts are "inconclusive" (floor above
    1e-3 of `max |g|`: chaotic), "rounding" (`d ≤ 10 floor`) and "differs". Without it, by `norm_rel` in
    float64: "rounding" up to 1e-12, "close" up to 1e-7, else "differs". Besides, "missing", "shape" and
    "non-finite". A gradient that only the hand derivation has is reported, but is no failure.

    Costs at most 6 backward passes. Nothing is changed by the measurement. Raises `TypeError` for another kind
    of `manual` or `auto`, and `ValueError` for a transformation in `map` other than "T" or a function, and for
    quantities by step without a recorded loss.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable(np.array([1.0, 3.0]), name="w")
    >>> loss = lambda: (w * w).sum()
    >>> print(compare_gradients({"dw": w.numpy()}, [w], loss_fn=loss))
    hand-written gradients against autodiff
    parameter  shape  max abs  max rel    cosine  verdict
    ---------  -----  -------  -------  --------  -------
    w          2      3.0e+00  5.0e-01  1.000000  differs
      w: constant factor 1/2 (a mean over 2 instead of a sum, of the batch or the time steps?)
    1 differs: FAILED
    """
    recorder = manual if isinstance(manual, ManualRecorder) else None
    if per_step is not None:
        recorder = by_steps(per_step)
    mapping = map or {}
    ours = (
        recorder.totals() if recorder is manual and recorder is not None else manual_gradients(manual, inputs)
    )
    notes: list[str] = []
    runs: list[Recorded] = []
    foreign = (
        callable(auto) and not hasattr(auto, "trainable_weights") and not hasattr(auto, "trainable_variables")
    )
    if foreign:
        references, notes = function_references(auto, inputs)
        tensors: dict[str, Tensor] = {}
    else:
        references, tensors = references_of(auto, owners=loss_fn is not None)
    if loss_fn is None and not foreign:
        notes.append("the noise floor was not measured (no loss_fn): verdicts by norm_rel")
        if recorder is not None and isinstance(auto, Tensor):
            runs = [Recorded(auto)]
    elif not tensors and not foreign:
        notes.append("the noise floor was not measured: auto holds no Variables that could be moved")
    elif loss_fn is not None and tensors:
        arrays = [a for a in (array_of(v) for v in [*ours.values(), *(recorder or ())]) if a is not None]
        meter = Meter(tensors, Carried(auto), loss_fn, inputs or (), eps_of(*arrays))
        runs, more = meter.measure(references, traced=recorder is not None)
        notes += more
    if recorder is not None and not runs:
        raise ValueError(
            "compare_gradients: quantities by step need the recorded loss: give loss_fn and the Variables, or "
            "the loss Tensor, computed inside tg.trace()"
        )
    if not references:
        raise ValueError("compare_gradients: auto holds no gradients to compare with")
    rows: list[Row] = []
    first: Divergence | None = None
    if recorder is not None:
        rows, first, more = compare_steps(recorder, runs, mapping, floors=loss_fn is not None)
        notes += more
    if ours or recorder is None:
        pairs, extra = pair(ours, list(references), mapping)
        sizes = [size_of(r.gradient) for r in references.values() if r.gradient is not None]
        found = []
        for name, reference in references.items():
            if name in pairs or recorder is None:
                row = judge(name, array_of(pairs.get(name)), reference, max(sizes, default=0.0))
                if (
                    row.verdict == "missing"
                    and pairs.get(name) is not None
                    and reference.gradient is not None
                ):
                    row.diagnosis = (
                        f"the hand-written gradient is no array of real numbers: {type(pairs[name]).__name__}"
                    )
                found.append(row)
        wrong = [row for row in found if row.verdict == "differs"]
        unexplained: dict[int, tuple[Row, Array]] = {}
        for row in wrong:
            m, reference = np.asarray(array_of(pairs[row.parameter])), references[row.parameter]
            leaf = runs[0].leaf(row.parameter) if runs else None
            row.diagnosis = _why(m, reference, leaf, runs)
            if leaf is not None and row.diagnosis == "unexplained" and reference.gradient is not None:
                unexplained[leaf] = row, m - reference.gradient
        k = (
            window(runs[0], {leaf: gap for leaf, (_, gap) in unexplained.items()})
            if len(unexplained) > 1
            else None
        )
        for row, _ in unexplained.values() if k is not None else ():
            row.diagnosis = f"perhaps truncated: what is missing has the size of what flows back more than about {k} steps"
        rows += found + extra
    return GradReport(rows, "hand-written gradients against autodiff", notes, first)


def _why(m: Array, reference: Reference, leaf: int | None, runs: list[Recorded]) -> str:
    """What is wrong with a gradient that differs: from the arrays, or else from the uses of the parameter."""
    assert reference.gradient is not None
    bar = tolerance(m, reference)
    cause = diagnose(m, reference.gradient, bar, runs[0].length if runs else None)
    if leaf is not None and cause == "unexplained":
        found = from_uses(runs[0], leaf, m, bar)
        cause = " or ".join(found) or cause
    if m.dtype.kind != "f":
        cause += f" (it is an array of {m.dtype}: was the accumulator made of integers?)"
    return cause
