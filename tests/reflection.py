"""Walking the table of ops: the cases, numeric derivatives, and the vjps called by hand."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from op_samples import SAMPLED, Sample, samples

import tinygrad_rnn as tg
from tinygrad_rnn.core.op import OPS, Array, Op

# The callables that `primitive` returned: elementwise ones have a shorter path than `apply`.
FUNCTIONS = {
    value.op.name: value
    for module in [m for name, m in list(sys.modules.items()) if name.startswith("tinygrad_rnn.ops.")]
    for value in vars(module).values()
    if isinstance(getattr(value, "op", None), Op)
}
# An op that users made (custom gradients are not in the table) has no sample; ours all have.
CASES = [(name, i) for name in sorted(OPS) if name in SAMPLED for i in range(len(samples(name)))]
IDS = [f"{name}-{i}" for name, i in CASES]
every_sample = pytest.mark.parametrize(("name", "number"), CASES, ids=IDS)


def differentiable(op: Op, sample: Sample) -> list[int]:
    """Positions of the arguments that have a gradient."""
    if op.vjp_all is not None:
        return list(range(len(sample.args)))
    return [i for i, vjp in enumerate(op.vjps) if vjp is not None]


DIFFERENTIABLE = [(n, i) for n, i in CASES if differentiable(OPS[n], samples(n)[i])]
every_differentiable = pytest.mark.parametrize(
    ("name", "number"), DIFFERENTIABLE, ids=[f"{name}-{i}" for name, i in DIFFERENTIABLE]
)


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, NaN included (−0 and 0 are one)."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def weights(values: Any, seed: int) -> list[Array]:
    """A cotangent for each value."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(v.shape)) for v in values]


def project(values: Any, cotangents: list[Array]) -> Any:
    return sum(np.sum(np.asarray(v) * w) for v, w in zip(values, cotangents, strict=True))


def raw_vjps(op: Op, sample: Sample, args: list[Any], cotangents: list[Array]) -> list[Any]:
    """The gradients by the vjp text on arrays, each in the shape of its argument."""
    result = op.fwd(*args, **sample.attrs)
    g: Any = list(cotangents) if op.outputs != 1 else cotangents[0]
    with np.errstate(all="ignore"):
        return call_vjps(op, sample, g, result, args)


def call_vjps(op: Op, sample: Sample, g: Any, y: Any, args: list[Any]) -> list[Any]:
    if op.vjp_all is not None:
        parts = list(op.vjp_all(g, y, *args, **sample.attrs))
    else:
        parts = [op.vjps[i](g, y, *args, **sample.attrs) for i in differentiable(op, sample)]  # type: ignore[misc]
    shapes = [args[i].shape for i in differentiable(op, sample)]
    return [fit(part, s) if op.broadcasts else part for part, s in zip(parts, shapes, strict=True)]


def fit(part: Any, shape: tuple[int, ...]) -> Any:
    """Sum over broadcast axes, one axis at a time."""
    part = np.asarray(part)
    while part.ndim > len(shape):
        part = part.sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1:
            part = part.sum(axis=axis, keepdims=True)
    return part


def numeric(function: Any, args: list[Array], which: list[int], analytic: bool) -> list[Array]:
    """Differentiate a scalar function: by a complex step, or by central differences of order 4."""
    gradients = []
    for i in which:
        gradient = np.zeros(args[i].shape)
        for place in np.ndindex(args[i].shape):

            def moved(step: complex, i: int = i, place: Any = place) -> Any:
                shifted = args[i].astype(complex if analytic else float)
                shifted[place] += step
                return function([shifted if k == i else a for k, a in enumerate(args)])

            if analytic:
                gradient[place] = moved(1e-30j).imag / 1e-30
            else:
                h = 1e-3
                gradient[place] = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h)
        gradients.append(gradient)
    return gradients


def assert_close(got: Any, want: Any, rtol: float, scale: float = 0.0) -> None:
    """Relative to the largest element of everything compared."""
    got, want = [np.asarray(g) for g in got], [np.asarray(w) for w in want]
    scale = max([scale, *(float(np.abs(w).max(initial=0.0)) for w in want)])
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=0, atol=rtol * (scale or 1.0))


def run(name: str, args: list[Any], attrs: dict[str, Any]) -> tuple[Any, ...]:
    return as_tuple(FUNCTIONS[name](*args, **attrs))


def tracked(op: Op, sample: Sample, dtype: Any = None) -> tuple[list[Any], list[tg.Tensor]]:
    """The arguments, differentiable ones as Tensors that require a gradient; and these alone."""
    args: list[Any] = list(sample.args)
    for i in differentiable(op, sample):
        args[i] = tg.tensor(args[i], dtype, requires_grad=True)
    return args, [args[i] for i in differentiable(op, sample)]


def gradients(name: str, sample: Sample, seed: int = 5, **options: Any) -> tuple[Any, list[Any]]:
    op = OPS[name]
    args, leaves = tracked(op, sample)
    result = run(name, args, sample.attrs)
    return result, tg.grad(list(result), leaves, weights(result, seed), **options)
