"""Does autodiff agree with numerical differentiation? `check_gradients` and `numeric_gradients`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..config import enable_grad, switched
from ..core.autodiff import grad
from ..core.op import Array
from ..core.tensor import Tensor, tensor
from .diagnose import diagnose
from .numeric import Estimate, Trial
from .parameters import Carried, Probe, named, untouched
from .report import GradReport, Row, Worst, measure, number

_WORST_FIRST = ("bad", "kink", "inconclusive", "ok")  # a parameter is what its worst element is


def check_gradients(
    f: Callable[[], Any],
    params: Any,
    *,
    method: str = "auto",
    eps: float | str = "auto",
    samples: int = 32,
    rtol: float | None = None,
    order: int = 1,
    seed: int = 0,
    raise_on_fail: bool = False,
) -> GradReport:
    """Compare the gradients of autodiff with numerical ones, element by element, each with an error bar.

    `f` takes no arguments and returns the loss, a scalar Tensor. `params` is a dict of Variables, a list,
    or a model. At most `samples` elements of each parameter are moved (the largest gradient among them),
    and beyond that one random direction over all elements.

    `method`: "forward", "central", "richardson" (`(4 c(h/2) − c(h)) / 3`, c the central difference),
    "complex" (`Im f(p + ih) / h`, Squire and Trapp 1998) or "auto": complex if every op allows it. `eps` is
    the step h. Verdicts: "ok" (within the error bar), "bad", "kink" (the two one-sided derivatives differ),
    "inconclusive" (the bar is above 1 % of the gradient), "unused" (the loss does not depend on it). `rtol`
    accepts relative differences beyond the bar. `order=2` checks the gradient of `⟨gradient, v⟩`, v random.

    float32 parameters are evaluated in a float64 copy. Whatever happens, values, `.grad`, random streams
    and NumPy's error switches are what they were before. In an `f` that is not deterministic, or gives no
    scalar, and for other wrong arguments, raises `ValueError`; for integer parameters `TypeError`; with
    `raise_on_fail`, `AssertionError` if a gradient is bad.

    >>> from tinygrad_rnn import Variable, ops
    >>> w = Variable(np.array([[1.0, -2.0], [0.5, 3.0]]), name="w")
    >>> print(check_gradients(lambda: ops.tanh(w @ w).sum(), [w]))  # doctest: +ELLIPSIS
    autodiff against numerical differentiation (complex)
    parameter  shape  max abs  max rel    cosine  verdict
    ---------  -----  -------  -------  --------  -------
    w          2x2    ...      ...      1.000000  ok
    1 ok: passed
    """
    tensors = named(params, "check_gradients")
    if order not in (1, 2):
        raise ValueError(f"check_gradients: order must be 1 or 2, got {order!r}")
    if samples < 1:
        raise ValueError(f"check_gradients: samples must be at least 1, got {samples!r}")
    rng = np.random.default_rng(seed)
    carried = Carried(params)
    with untouched(tensors.values(), carried), switched(wide=True):
        target = f if order == 1 else _directional(f, tensors, carried, rng)
        trial = Trial(target, tensors, carried, method, eps)
        trial.differentiate()
        trial.subject = "the loss" if order == 1 else "the gradient"
        rows = [_row(trial, name, samples, rtol or 0.0, rng) for name in tensors]
    for row in rows:
        row.float64 = tensors[row.parameter].dtype != np.float64
    if order == 2:
        trial.notes.append("order 2: the gradient of <gradient, v> with a random v")
    report = GradReport(rows, f"autodiff against numerical differentiation ({trial.method})", trial.notes)
    if raise_on_fail:
        report.raise_if_bad()
    return report


def numeric_gradients(
    f: Callable[[], Any], params: Any, *, method: str = "auto", eps: float | str = "auto"
) -> dict[str, Array]:
    """Numerical gradients of a loss, all elements: float64 arrays by parameter name.

    One to four evaluations of `f` per element, so for small parameters only. Arguments, errors and what is
    left untouched as in `check_gradients`.

    >>> from tinygrad_rnn import Variable
    >>> w = Variable(np.array([1.0, 3.0]), name="w")
    >>> numeric_gradients(lambda: (w * w).sum(), [w])["w"].round(6).tolist()
    [2.0, 6.0]
    """
    tensors = named(params, "numeric_gradients")
    carried = Carried(params)
    with untouched(tensors.values(), carried), switched(wide=True):
        trial = Trial(f, tensors, carried, method, eps)
        return {
            name: np.reshape([trial.derivative(name, _unit(p, i)) for i in range(p.size)], p.shape)
            for name, p in trial.base.items()
        }


def _unit(base: Array, i: int) -> Array:
    """The direction of element `i`."""
    direction = np.zeros(base.shape)
    direction.flat[i] = 1.0
    return direction


def _directional(
    f: Callable[[], Any], tensors: Mapping[str, Tensor], carried: Carried, rng: np.random.Generator
) -> Callable[[], Tensor]:
    """The scalar `Σ ⟨∂f/∂p, v⟩`, v random: its gradient is the Hessian of `f` times v."""
    directions = [rng.standard_normal(leaf.shape) for leaf in tensors.values()]
    inner = Probe(f, tensors, carried)

    def slope() -> Tensor:
        with enable_grad():
            y = inner.loss()
            none: list[Any] = [None] * len(directions)
            found = none if y._node is None else grad(y, list(tensors.values()), create_graph=True)
            parts = [(g * v).sum() for g, v in zip(found, directions, strict=True) if g is not None]
            total: Tensor = sum(parts, tensor(np.zeros(())))
            return total

    return slope


def _row(trial: Trial, name: str, samples: int, rtol: float, rng: np.random.Generator) -> Row:
    base, found = trial.base[name], trial.gradients[name]
    g = np.zeros(base.shape) if found is None else found
    if not np.isfinite(g).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(g))[0])
        return Row(name, base.shape, verdict="bad", diagnosis=f"autodiff gives {g[at]} at {at}")
    random = rng.choice([-1.0, 1.0], base.shape) / np.sqrt(max(base.size, 1))
    if not g.any() and _is_still(trial, name, random):
        what = "None" if found is None else "0"
        row = measure(name, g, g, verdict="unused")
        row.diagnosis = f"{trial.subject} does not depend on it here; its gradient is {what}"
        return row
    picks = range(base.size) if base.size <= samples else _pick(g, samples, rng)
    judged = [trial.judge(name, _unit(base, i), rtol) for i in picks]
    indices = [tuple(int(k) for k in np.unravel_index(i, base.shape)) for i in picks]
    values = np.array([estimate.value for estimate, _ in judged])
    row = measure(name, g.reshape(-1)[list(picks)], values, indices)
    row.shape = base.shape
    row.verdict = min((verdict for _, verdict in judged), key=_WORST_FIRST.index)
    row.diagnosis = _explain(row.verdict, g, indices, judged, found is None)
    if base.size > samples and row.verdict != "bad" and trial.judge(name, random, rtol)[1] == "bad":
        place, estimate = _locate(trial, name, random, rtol)
        row.verdict, row.worst = "bad", Worst(place, float(g[place]), estimate.value)
        row.max_abs = max(row.max_abs, abs(row.worst.value - row.worst.expected))
        row.diagnosis = (
            f"found by a random direction, beyond the {samples} samples: at {place} autodiff "
            f"{g[place]:.9g} against {estimate.value:.9g} +- {number(estimate.bar)}"
        )
    return row


def _locate(trial: Trial, name: str, direction: Array, rtol: float) -> tuple[tuple[int, ...], Estimate]:
    """Halve a direction in which the gradient is bad until one element is left."""
    left = np.flatnonzero(direction)
    while len(left) > 1:
        half = np.zeros(direction.shape)
        half.flat[left[: len(left) // 2]] = direction.flat[left[: len(left) // 2]]
        bad = trial.judge(name, half, rtol)[1] == "bad"
        left = left[: len(left) // 2] if bad else left[len(left) // 2 :]
    place = tuple(int(k) for k in np.unravel_index(int(left[0]), direction.shape))
    return place, trial.judge(name, _unit(direction, int(left[0])), rtol)[0]


def _is_still(trial: Trial, name: str, direction: Array) -> bool:
    """Whether the loss stays the same bit for bit when the parameter moves."""
    step = trial.first_step(name, direction)
    return all(trial.along(name, direction, s) == trial.value for s in (step, -step))


def _pick(g: Array, samples: int, rng: np.random.Generator) -> list[int]:
    """Flat indices: the largest gradient, and others at random."""
    largest = int(np.abs(g).argmax())
    others = [int(i) for i in rng.choice(g.size, samples, replace=False) if i != largest]
    return sorted([largest, *others[: samples - 1]])


def _explain(
    verdict: str, g: Array, indices: list[tuple[int, ...]], judged: list[tuple[Estimate, str]], missing: bool
) -> str:
    """What there is to say about the worst element of a parameter."""
    places = [k for k, (_, v) in enumerate(judged) if v == verdict]
    worst = max(places, key=lambda k: abs(judged[k][0].value - g[indices[k]]))
    found, slope = judged[worst][0], float(g[indices[worst]])
    if verdict == "ok":
        return ""
    if verdict == "kink":
        sides = f"{found.low + 0.0:.6g} and {found.high:.6g}"
        return f"not differentiable at or next to {indices[worst]}: slopes {sides}"
    if missing:
        return (
            "autodiff finds no path to it (its gradient is None), yet the loss depends on it: detach, "
            "stop_gradient, no_grad or .numpy() on the way?"
        )
    where = (
        f"{len(places)} of {len(judged)} elements, such as {indices[worst]}: autodiff {slope:.6g} against "
        f"{found.value:.6g} +- {number(found.bar)}"
    )
    if verdict == "inconclusive":
        return where
    ours = np.array([float(g[index]) for index in indices])
    cause = diagnose(ours, np.array([e.value for e, _ in judged]), 10 * max(e.bar for e, _ in judged))
    return where if cause == "unexplained" else f"{cause}; {where}"
