"""Three or four gradients side by side: `compare_three`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.op import Array
from .compare import compare_gradients
from .names import flatten
from .references import array_of, pair, references_of
from .report import GradReport


def compare_three(
    manual: Any,
    auto: Any,
    numeric: Mapping[str, Any],
    *,
    derived: Mapping[str, Any] | None = None,
    tolerance: float = 1e-4,
    **options: Any,
) -> GradReport:
    """Three gradients side by side: by hand, by autodiff, and by numbers (`numeric_gradients`).

    `derived` adds a fourth: those of derived mode (computed under `tinygrad_rnn.derived()`), which are held to the
    rounding of autodiff on the unrolled graph (1e-10 in float64, 1e-4 in float32, relative to the largest element).

    Rows are those of `compare_gradients`, which also takes `options`; they gain the largest difference of
    the numerical gradient from autodiff, absolute and relative to the largest element. Above `tolerance`
    the verdict is "differs". A `ManualRecorder` for `manual` adds the rows of single steps, and where the derivation
    goes wrong first; its totals, `rec(None, dW=dW)`, are the rows beside the other columns.

    >>> three = {"w": np.array([1.0, 2.0])}
    >>> print(compare_three(three, three, {"w": np.array([1.0, 2.0 + 1e-9])}))
    three gradients: by hand, by autodiff, by numbers
    parameter  shape  |manual-auto|  relative  |numeric-auto|  relative  verdict
    ---------  -----  -------------  --------  --------------  --------  --------
    w          2                  0         0         1.0e-09   5.0e-10  rounding
      the noise floor was not measured (no loss_fn): verdicts by norm_rel
    1 rounding: passed
    """
    report = compare_gradients(manual, auto, **options)
    references, _ = references_of(auto)
    numbers, others = (pair(flatten(g), list(references), {})[0] for g in (numeric, derived or {}))
    for row in report.rows:
        if row.t is not None:
            continue
        reference = references.get(row.parameter)
        g = None if reference is None else reference.gradient
        row.numeric, row.derived = _gap(numbers.get(row.parameter), g), _gap(others.get(row.parameter), g)
        exact = 1e-10 if g is not None and g.dtype == np.float64 else 1e-4
        for gap, bar, what in (
            (row.numeric, tolerance, "the numerical gradient disagrees with autodiff: see check_gradients"),
            (row.derived, exact, "derived mode disagrees with the unrolled graph: please report this cell"),
        ):
            if gap is not None and not gap[1] <= bar and not row.failed:
                row.verdict, row.diagnosis = "differs", what
    report.title = "three gradients: by hand, by autodiff, by numbers"
    if derived is not None:
        report.title = "four gradients: differences from autodiff on the unrolled graph"
    return report


def _gap(value: Any, reference: Array | None) -> tuple[float, float] | None:
    """The largest difference, absolute and relative to the largest element; None if there is nothing to compare."""
    array = array_of(value)
    if array is None or reference is None or array.shape != reference.shape:
        return None
    gap, size = float(np.abs(array - reference).max(initial=0)), float(np.abs(reference).max(initial=0))
    return gap, 0.0 if gap == 0 else gap / size if size else math.inf
