"""A new plan is tried out on three steps: what it computes must be what the recorded steps give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from ..config import enable_grad, mode, switched
from ..core.autodiff import collect, propagate
from ..core.op import Array, Leaf
from ..core.tensor import Tensor
from .build import Built
from .step.body import Underivable

STEPS = 3
TRIALS = 10
TOLERANCE = {"e": 0.2, "f": 5e-3, "F": 5e-3}  # relative to the largest element, by the character of the type
FINER = 1e-7  # for all other floats and complex numbers
NEGLIGIBLE = 1e-6  # of the largest gradient: one so small may be rounding alone, such as that of Σ softmax
ROUNDING = 16  # ε of the largest gradient, which is noise in all others
Unrolled = Callable[[list[Tensor], list[Tensor]], Any]


def try_out(
    built: Built,
    functions: dict[str, Any],
    inputs: Any,
    bound: list[Any],
    again: Unrolled,
    scale: float = 1.0,
    steps: Sequence[Array] | None = None,
) -> None:
    """Run three steps both ways; raises `Underivable` if they differ.

    These are `steps` of the sequences, or values like those of the first one, times `scale`. Where they leave no
    digits, as behind a gate that is saturated, float64 decides. If weights moved meanwhile, as another thread trains
    them, it is tried again.
    """
    run = partial(_try_out, built, functions, inputs, bound, again, scale, steps)
    narrow = any(a.dtype in (np.float16, np.float32) for group in inputs for a, _ in group)
    for _ in range(TRIALS):
        before = [np.array(getattr(b, "_data", b)) for b in bound]
        try:
            return run()
        except Underivable:
            if narrow:
                with suppress(Exception):
                    return run(wide=True)
            after = [getattr(b, "_data", b) for b in bound]
            if all(
                np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
                for a, b in zip(before, after, strict=True)
            ):
                raise
    raise Underivable("what it depends on changes all the time")


def _try_out(
    built: Built,
    functions: dict[str, Any],
    inputs: Any,
    bound: list[Any],
    again: Unrolled,
    scale: float,
    steps: Sequence[Array] | None,
    wide: bool = False,
) -> None:
    rng = np.random.default_rng(0)
    typed = _widened if wide else np.asarray
    if steps is None:
        steps = [np.stack([_near(a, rng, scale) for _ in range(STEPS)], axis=1) for a, _ in inputs[0]]
    steps = [rng.random(a.shape) < 0.5 if a.dtype.kind == "b" else a for a in steps]  # all may be padding
    xs = [_leaf(typed(a)) for a in steps]
    states = [_leaf(typed(_near(a, rng, scale))) for a, _ in inputs[1]]
    arrays = [t._data for t in (*xs, *states)]
    constants = [b for i, b in enumerate((*bound, *built.static)) if i not in built.written]
    arrays += [typed(getattr(b, "_data", b)) for b in constants]
    with np.errstate(all="ignore"):
        *results, cache = functions["forward"](*arrays)
    with enable_grad(), switched(derive=False, monitor=None, wide=wide or mode().wide):
        outputs, last = again(xs, states)
        expected = [*(outputs if isinstance(outputs, tuple) else (outputs,)), *last]
        _agree([e._data for e in expected], results, "values", wide)
        if not built.gradients:
            return
        cotangents = [rng.standard_normal(r.shape).astype(r.dtype) for r in results]
        pairs = [(e._node, c) for e, c in zip(expected, cotangents, strict=True)]
        roots = [(node, c) for node, c in pairs if node is not None]
        leaves = [*xs, *states, *bound]
        targets = [leaves[i] for _, i in built.gradients]
        nodes = {id(t): t._node for t in targets if isinstance(t, Tensor) and t._node is not None}
        if not roots or not nodes:
            return
        # of each for itself, though one may be computed from another
        ends = set(nodes.values())
        found = propagate(collect(roots, ends), roots, ends, False, through=False)
    with np.errstate(all="ignore"):
        gradients = list(functions["backward"](*arrays, *cotangents, cache).values())
    if built.guarded and not all(np.isfinite(g).all() for g in gradients):
        return  # such gradients are not used
    known = [(found.get(nodes[id(t)]), g) for t, g in zip(targets, gradients, strict=True) if id(t) in nodes]
    given = [np.zeros(g.shape) if e is None else e for e, g in known]
    _agree(given, [g for _, g in known], "gradients", wide)


def _widened(array: Any) -> Array:
    """In float64, if it holds floats."""
    found: Array = np.asarray(array)
    return found.astype(np.float64) if found.dtype.kind == "f" else found


def sampled(sequences: Sequence[Tensor]) -> list[Array]:
    """The first, middle and last step: what comes later may be padding, or not start with zeros."""
    return [x._data[:, [0, x.shape[1] // 2, -1]] for x in sequences]


def _near(array: Array, rng: np.random.Generator, scale: float) -> Array:
    """Values in the neighbourhood: of the same sign, as a logarithm may be taken of them. A mask is true and false.

    Whole numbers stay, as they may be ids.
    """
    if array.dtype.kind == "b":
        return rng.random(array.shape) < 0.5
    if array.dtype.kind != "f" or scale == 1.0 and np.any(array) and np.array_equal(array, np.floor(array)):
        return array
    moved = (
        array * (1 + 0.1 * rng.standard_normal(array.shape))
        if np.any(array)
        else 0.1 * rng.random(array.shape)
    )
    return np.asarray(scale * moved, array.dtype)


def _leaf(data: Array) -> Tensor:
    node = Leaf(data.shape, data.dtype) if data.dtype.kind in "fc" else None
    return Tensor(data, node)


def _size(array: Any) -> float:
    """The largest finite element."""
    largest = float(np.abs(array).max(initial=0))
    if np.isfinite(largest):
        return largest
    finite = np.asarray(array)[np.isfinite(array)]
    return float(np.abs(finite).max(initial=0))


def _agree(expected: list[Any], found: list[Any], what: str, wide: bool) -> None:
    sizes = [_size(e) for e in expected]
    bars = [_bar(f) for f in found]
    for e, f, size in zip(expected, found, sizes, strict=True):
        if np.shape(e) != np.shape(f):
            raise Underivable(
                f"derived {what} have shape {np.shape(f)}, not {np.shape(e)}; please report this step"
            )
        bar = _bar(f)
        if bar:  # where types are mixed, a float64 may be made of what was rounded to float32
            bar = TOLERANCE["f"] if wide else max(bars)
        noise = ROUNDING * np.finfo(np.asarray(f).dtype).eps * max(sizes) if bar else 0.0
        if not _close(f, e, bar, max(bar * max(size, NEGLIGIBLE * max(sizes)), noise) + 1e-30):
            raise Underivable(
                f"derived {what} differ from those of the recorded steps; please report this step"
            )


def _bar(found: Any) -> float:
    """How far from what is expected it may be; integers are to be equal."""
    dtype = np.asarray(found).dtype
    return TOLERANCE.get(dtype.char, FINER) if dtype.kind in "fc" else 0.0


def _close(found: Any, expected: Any, rtol: float, atol: float) -> bool:
    """`np.allclose`; mostly one difference is enough to know."""
    with np.errstate(all="ignore"):
        if rtol and np.abs(found - expected).max(initial=0) <= atol:
            return True
    return np.allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True)
