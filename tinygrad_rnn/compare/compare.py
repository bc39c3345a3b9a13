"""Does a hand-written backpropagation agree with autodiff? `compare_gradients` and `compare_three`."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.autodiff import grad
from ..core.op import Array, Leaf
from ..core.tensor import Tensor
from .diagnose import diagnose
from .names import flatten, match
from .numeric import FLOORS
from .parameters import ROUNDS, Carried, Probe, distance, jitter, leaves_of, named, untouched
from .report import GradReport, Row, measure, number

CHAOTIC = 1e-3  # a noise floor above this share of the gradient decides nothing
EPS = float(np.finfo(np.float64).eps)
_UNMEASURED = {  # rounding unit -> norm_rel up to which two gradients count as "rounding" and as "close"
    EPS: (1e-12, 1e-7),
    float(np.finfo(np.float32).eps): (2e-6, 1e-4),
    float(np.finfo(np.float16).eps): (2e-2, 1e-1),
}


@dataclass
class Reference:
    """The gradient of autodiff for one parameter, and the noise floor under it where it was measured."""

    gradient: Array | None
    floor: float | None = None


def compare_gradients(
    manual: Any,
    auto: Any,
    *,
    map: Mapping[str, Any] | None = None,
    per_step: None = None,
    loss_fn: Callable[[], Any] | None = None,
    inputs: Sequence[Any] | None = None,
) -> GradReport:
    """Compare the gradients of a hand-written backpropagation with those of autodiff, one row per parameter.

    `manual`: a dict of arrays, nested or not, or a callable that returns one; names are matched leniently
    (`dWaa` is `Waa`, `rnn/Waa` or `grads["Waa"]`), or by `map={"dWaa": "rnn/Waa"}`, with a transpose
    `map={"dWaa": ("rnn/Waa", "T")}`. `auto`: a dict or list of Variables that have gradients, a dict of
    arrays, a model, or the loss Tensor (its graph is kept).

    With `loss_fn`, which computes the loss again from the same Variables, no tolerance is needed: every
    element of every parameter and of every one of `inputs` (float arrays and Tensors that `loss_fn` reads)
    is moved by about one ulp, three times; `floor = max |g_i − g|`, at least `4 ε max |g|`, is how far two
    right derivations may differ. With `d = max |manual − g|` the verdicts are "inconclusive" (floor above
    1e-3 of `max |g|`: chaotic), "rounding" (`d ≤ 10 floor`) and "differs". Without it, by `norm_rel` in
    float64: "rounding" up to 1e-12, "close" up to 1e-7, else "differs". Besides, "missing", "shape" and
    "non-finite". A gradient that only the hand derivation has is reported, but is no failure.

    Nothing is changed by the measurement. Raises `TypeError` for another kind of `manual` or `auto`, and
    `ValueError` for a transformation in `map` other than "T". `per_step` must be None.

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
    if per_step is not None:
        raise TypeError(f"compare_gradients: per_step must be None, received {type(per_step).__name__}")
    ours = _manual(manual)
    references, tensors = _references(auto, owners=loss_fn is not None)
    notes = []
    if loss_fn is None:
        notes.append("the noise floor was not measured (no loss_fn): verdicts by norm_rel")
    elif not tensors:
        notes.append("the noise floor was not measured: auto holds no Variables that could be moved")
    else:
        coarsest = _eps(*[a for a in (_array(v) for v in ours.values()) if a is not None])
        notes += _measure_floors(references, tensors, Carried(auto), loss_fn, inputs or (), coarsest)
    if not references:
        raise ValueError("compare_gradients: auto holds no gradients to compare with")
    pairs, extra = _pair(ours, list(references), map or {})
    sizes = [_size(r.gradient) for r in references.values() if r.gradient is not None]
    rows = [_row(name, pairs.get(name), r, max(sizes, default=0.0)) for name, r in references.items()]
    return GradReport(rows + extra, "hand-written gradients against autodiff", notes)


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
    the verdict is "differs".

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
    references, _ = _references(auto)
    numbers, others = (_pair(flatten(g), list(references), {})[0] for g in (numeric, derived or {}))
    for row in report.rows:
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
    array = _array(value)
    if array is None or reference is None or array.shape != reference.shape:
        return None
    gap, size = float(np.abs(array - reference).max(initial=0)), float(np.abs(reference).max(initial=0))
    return gap, 0.0 if gap == 0 else gap / size if size else math.inf


# --- what was handed over -------------------------------------------------------------------------


def _manual(manual: Any) -> dict[str, Any]:
    tree = manual() if callable(manual) else manual
    if not isinstance(tree, Mapping):
        raise TypeError(
            "compare_gradients: manual must be a dict of arrays (nested dicts are welcome) or a callable "
            f"that returns one, received {type(tree).__name__}"
        )
    return flatten(tree)


def _array(value: Any) -> Array | None:
    """A real array; None for anything else."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "fiub" else None


def _references(auto: Any, owners: bool = False) -> tuple[dict[str, Reference], dict[str, Tensor]]:
    """The gradients of autodiff by name, and the tensors that they belong to, where these are known."""
    if isinstance(auto, Tensor) and not isinstance(auto._node, Leaf):
        leaves = leaves_of(auto)
        tensors = _owners(leaves) if owners else {}
        handles = [Tensor(np.broadcast_to(np.zeros((), n.dtype), n.shape), n) for n in leaves.values()]
        found = grad(auto, handles, retain_graph=True)
        return {name: Reference(_array(g)) for name, g in zip(leaves, found, strict=True)}, tensors
    if not isinstance(auto, Mapping):
        tensors = named(auto, "compare_gradients: auto")
        return {name: Reference(t.grad) for name, t in tensors.items()}, tensors
    values = flatten(auto)
    tensors = {k: v for k, v in values.items() if isinstance(v, Tensor) and isinstance(v._node, Leaf)}
    return {k: Reference(v.grad if k in tensors else _array(v)) for k, v in values.items()}, tensors


def _owners(leaves: Mapping[str, Leaf]) -> dict[str, Tensor]:
    """The Variables and tensors behind leaves: a leaf does not point at what holds it."""
    holders = {t._node: t for t in gc.get_referrers(*leaves.values()) if isinstance(t, Tensor)}
    return {name: holders[leaf] for name, leaf in leaves.items() if leaf in holders}


def _pair(
    ours: Mapping[str, Any], known: list[str], mapping: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Row]]:
    """For each known name the value by hand; and rows for what found no partner."""
    pairs: dict[str, Any] = {}
    keys: dict[str, str] = {}
    extra = []
    for key, value in ours.items():
        target = mapping.get(key, key)
        name, *operation = target if isinstance(target, (tuple, list)) else (target,)
        if operation not in ([], ["T"]):
            raise ValueError(f"compare_gradients: map[{key!r}] must be a name or (name, 'T'), got {target!r}")
        found = [name] if name in known else match(name, known)
        array = _array(value)
        if len(found) == 1 and found[0] not in pairs:
            keys[found[0]], pairs[found[0]] = key, array.T if operation and array is not None else value
            continue
        why = "autodiff has no gradient of this name"
        if found:
            rivals = f"{keys[found[0]]!r} is {found[0]!r} already" if len(found) == 1 else " or ".join(found)
            why = f"ambiguous ({rivals}): say which by map={{{key!r}: name}}"
        shape = () if array is None else array.shape
        extra.append(Row(key, shape, verdict="missing", diagnosis=why, extra=True))
    return pairs, extra


# --- the noise floor --------------------------------------------------------------------------------


def _size(array: Array) -> float:
    return float(np.abs(array).max(initial=0))


def _eps(*arrays: Array) -> float:
    """The coarsest rounding unit among arrays, at least that of float64."""
    return max([EPS, *[float(np.finfo(a.dtype).eps) for a in arrays if a.dtype.kind == "f"]])


def _measure_floors(
    references: dict[str, Reference],
    tensors: dict[str, Tensor],
    carried: Carried,
    loss_fn: Callable[[], Any],
    inputs: Sequence[Any],
    coarsest: float,
) -> list[str]:
    """Fill in the floors, and the gradients that nobody has computed; return notes."""
    own = {id(t) for t in tensors.values()}
    moving = [x for x in inputs if isinstance(x, Tensor) and x.dtype.kind == "f" and id(x) not in own]
    arrays = [x for x in inputs if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.flags.writeable]
    with untouched([*tensors.values(), *moving], carried, arrays):
        probe = Probe(loss_fn, tensors, carried)
        base = {name: t._data for name, t in tensors.items()}
        originals = [x.copy() for x in arrays], [t._data for t in moving]
        rng = np.random.default_rng(0)

        def jittered(a: Array) -> Array:
            return jitter(a, max(coarsest, _eps(a)), rng)

        first = probe.gradients(probe.record(base))
        runs = []
        for _ in range(ROUNDS):
            for array, original in zip(arrays, originals[0], strict=True):
                array[...] = jittered(original)
            for tensor, original in zip(moving, originals[1], strict=True):
                tensor._data = jittered(original)
            runs.append(probe.gradients(probe.record({name: jittered(a) for name, a in base.items()})))
    notes = []
    for name, found in first.items():
        g = np.zeros_like(base[name]) if found is None else found
        reference = references[name]
        moves = [distance(run[name], g) for run in runs]
        reference.floor = float(np.max([4 * max(coarsest, _eps(g)) * _size(g), *moves]))
        if reference.gradient is None:
            reference.gradient = g
            continue
        same_shape = reference.gradient.shape == g.shape
        if same_shape and distance(reference.gradient, g) > FLOORS * reference.floor:
            notes.append(f"{name}: the gradient in auto is not that of loss_fn (an earlier backward pass?)")
    return notes


# --- the verdict --------------------------------------------------------------------------------------


def _row(name: str, value: Any, reference: Reference, peak: float) -> Row:
    g, m = reference.gradient, None if value is None else _array(value)
    if g is None:
        why = "autodiff has no gradient here (.grad is None): call backward first, or give loss_fn"
        return Row(name, verdict="missing", diagnosis=why)
    if m is None:
        why = "there is no hand-written gradient of this name"
        if value is not None:
            why = f"the hand-written gradient is no array of real numbers but {type(value).__name__}"
        return Row(name, g.shape, verdict="missing", diagnosis=why)
    if m.shape != g.shape:
        hint = ""
        if m.ndim == 2 and m.T.shape == g.shape:
            hint = f'; transposed it fits: map={{"...": ({name!r}, "T")}}'
        why = f"by hand {m.shape}, by autodiff {g.shape}{hint}"
        return Row(name, g.shape, verdict="shape", diagnosis=why)
    for who, array in (("the hand-written gradient", m), ("autodiff", g)):
        if not np.isfinite(array).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            return Row(name, g.shape, verdict="non-finite", diagnosis=f"{who} is {array[at]} at {at}")
    row = measure(name, m, g)
    size, eps = _size(g), _eps(m, g)
    if reference.floor is None:
        rounding, close = _UNMEASURED[eps]
        row.verdict = "close" if row.norm_rel <= close else "differs"
        if row.norm_rel <= rounding:
            row.verdict = "rounding"
        tolerance = close * size
    else:
        tolerance = FLOORS * reference.floor
        agrees = row.max_abs <= tolerance
        row.verdict = "rounding" if agrees else "differs"
        zero = agrees and size <= 64 * eps * peak  # nothing but rounding on both sides
        if row.max_abs > 0 and not reference.floor <= CHAOTIC * size and not zero:
            row.verdict = "inconclusive"
            share = number(reference.floor / size) if size else "all"
            row.diagnosis = f"chaotic: changes of one ulp move this gradient by {share} of its size"
    if row.verdict == "differs":
        row.diagnosis = diagnose(m, g, tolerance)
    return row
