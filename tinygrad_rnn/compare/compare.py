"""Does a hand-written backpropagation agree with autodiff? `compare_gradients`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from ..core.tensor import Tensor
from .cell import CellBackward, compare_cells
from .divergence import Divergence
from .meter import Meter
from .parameters import Carried
from .recorded import Recorded
from .recorder import ManualRecorder, by_steps
from .references import array_of, function_references, is_function, manual_gradients, references_of
from .report import GradReport, Row
from .steps import Steps, compare_steps
from .totals import BY_TOTALS, STEPWISE, compare_totals
from .verdict import eps_of


def compare_gradients(
    manual: Any,
    auto: Any,
    *,
    map: Mapping[str, Any] | None = None,
    per_step: Any = None,
    loss_fn: Callable[[], Any] | None = None,
    inputs: Any = None,
    cell_backward: CellBackward | None = None,
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

    With `cell_backward(t, upstream, cache)` each step is checked alone as well, so that nothing explodes on the
    way and one error does not hide the next. It returns a dict, as a recorder would be given it:
    `{"dz": dz, "dWaa": dz @ a_prev.T, "da_prev": Waa.T @ dz}`, a parameter's being what this step contributes.
    `upstream` has the gradients of autodiff by the names of variables: `upstream["da"]` that of `a` at step t,
    `upstream["da_next"]` the part of it that step t + 1 sends back (zeros after the last step); `cache` the
    values: `cache["a"]`, `cache["a_prev"]`, `cache["Waa"]`. `manual` may then be None.

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
    of `manual` or `auto`, and `ValueError` for a name in `map` that `manual` does not have, for a transformation
    in it other than "T" or a function, for quantities by step without a recorded loss, and for a loss (or a
    function `auto`) that gives something else the second time, as with dropout: no hand derivation has its
    gradient.

    >>> import numpy as np
    >>> from tinygrad_rnn import Variable
    >>> w = Variable(np.array([1.0, 3.0]), name="w")
    >>> loss = lambda: (w * w).sum()
    >>> print(compare_gradients({"dw": w.numpy()}, [w], loss_fn=loss))
    hand-written gradients against autodiff
    parameter  shape  max abs  max rel    cosine  verdict
    ---------  -----  -------  -------  --------  -------
    w          2      3.0e+00  5.0e-01  1.000000  differs
      w: constant factor 1/2 (a mean over 2 instead of a sum?)
    1 differs: FAILED
    """
    recorder = (
        by_steps(per_step) if per_step is not None else manual if isinstance(manual, ManualRecorder) else None
    )
    stepwise = recorder is not None or cell_backward is not None
    if manual is None and cell_backward is not None:
        manual = ManualRecorder()  # nothing but the cell
    partial = isinstance(manual, ManualRecorder)
    ours = manual.totals() if partial else manual_gradients(manual, inputs)
    tensors: dict[str, Tensor] = {}
    notes: list[str] = []
    runs: list[Recorded] = []
    if is_function(auto):
        references, notes = function_references(auto, inputs)
    else:
        references, tensors = references_of(auto, owners=loss_fn is not None)
        if loss_fn is None:
            notes.append("the noise floor was not measured (no loss_fn): verdicts by norm_rel")
            runs = [Recorded(auto)] if stepwise and isinstance(auto, Tensor) else []
        elif not tensors:
            notes.append("the noise floor was not measured: auto holds no Variables that could be moved")
        else:
            arrays = [a for a in (array_of(v) for v in [*ours.values(), *(recorder or ())]) if a is not None]
            meter = Meter(tensors, Carried(auto), loss_fn, inputs or (), eps_of(*arrays))
            runs, more = meter.measure(references, traced=stepwise)
            notes += more
    if stepwise and not runs:
        raise ValueError(
            "compare_gradients: quantities by step need the recorded loss: give loss_fn and the Variables, or "
            "the loss Tensor, computed inside tg.trace()"
        )
    if not references:
        raise ValueError("compare_gradients: auto holds no gradients to compare with")
    rows: list[Row] = []
    first: Divergence | None = None
    if recorder is not None:
        rows, first, more = compare_steps(Steps(recorder, runs, map or {}, floors=loss_fn is not None))
        notes += more
    if cell_backward is not None:
        alone, wrong = compare_cells(cell_backward, runs[0], map or {})
        rows, first = rows + alone, first or wrong
    given = {*ours, *(entry.name for entry in (recorder.entries if recorder else ()))}
    _require_known(
        map or {}, given | {row.parameter[5:] for row in rows if row.parameter.startswith("cell ")}
    )
    rows += compare_totals(ours, references, map or {}, runs, partial)
    if recorder is None and (tensors or runs) and any(BY_TOTALS in row.diagnosis for row in rows):
        notes.append(STEPWISE)
    return GradReport(rows, "hand-written gradients against autodiff", notes, first)


def _require_known(mapping: Mapping[str, Any], given: set[str]) -> None:
    """Raise `ValueError` for a name in `map` that the derivation does not have."""
    for name in mapping:
        if name not in given:
            near = get_close_matches(name, sorted(given), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(given)) or 'none'}"
            raise ValueError(
                f"compare_gradients: map names {name!r}, but the derivation has no such gradient: {hint}"
            )
