"""Every op in the table, by reflection: gradients of order 1 and 2, `out=`, `reads`, layouts, dtypes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from op_samples import ELEMENTWISE, SAMPLED, Sample, samples

import tinygrad_rnn as tg
from tinygrad_rnn.core.op import OPS, Array, Node, Op, Spec
from tinygrad_rnn.core.record import apply
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


# --- the table ----------------------------------------------------------------------------------------


def test_every_op_has_a_sample_and_every_sample_an_op() -> None:
    assert set(OPS) == SAMPLED


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_op_can_be_called_and_is_documented(name: str) -> None:
    op = OPS[name]
    assert op.doc.strip()
    assert op.name == name and name in FUNCTIONS
    assert (op.vjp_all is None) or not op.vjps
    assert set(op.reads) <= set("xy0123456789")


# --- gradients ----------------------------------------------------------------------------------------


@every_differentiable
def test_first_order(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    result, got = gradients(name, sample)
    cotangents = weights(result, 5)

    def loss(args: list[Any]) -> Any:
        return project(as_tuple(op.fwd(*args, **sample.attrs)), cotangents)

    analytic = op.analytic and name != "cast"
    want = numeric(loss, sample.args, differentiable(op, sample), analytic)
    assert_close(got, want, 1e-12 if analytic else 1e-8)


@every_differentiable
def test_second_order(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    which = differentiable(op, sample)
    args, leaves = tracked(op, sample)
    result = run(name, args, sample.attrs)
    cotangents = weights(result, 5)
    seeds = [tg.tensor(w, requires_grad=True) for w in cotangents]
    first = tg.grad(list(result), leaves, seeds, create_graph=True)
    directions = weights(first, 6)
    recorded = [(f, d) for f, d in zip(first, directions, strict=True) if f.requires_grad]
    targets = leaves + seeds
    second = tg.grad([f for f, _ in recorded], targets, [d for _, d in recorded]) if recorded else [None] * len(targets)
    got = [np.zeros(t.shape) if s is None else s for t, s in zip(targets, second, strict=True)]

    def slope(values: list[Any]) -> Any:
        inputs, weight = values[: len(sample.args)], values[len(sample.args) :]
        return project(raw_vjps(op, sample, inputs, weight), directions)

    analytic = op.analytic and name != "cast"
    everything = [*sample.args, *cotangents]
    places = which + list(range(len(sample.args), len(everything)))
    want = numeric(slope, everything, places, analytic)
    assert_close(got, want, 1e-12 if analytic else 1e-8)


@every_differentiable
def test_raw_and_recorded_gradients_agree_bit_for_bit(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    result, raw = gradients(name, sample)
    _, recorded = gradients(name, sample, create_graph=True)
    by_hand = raw_vjps(op, sample, sample.args, weights(result, 5))
    for a, b, c in zip(raw, recorded, by_hand, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert same(a, b)
        assert_close([a], [c], 1e-14)


@every_differentiable
def test_gradients_are_float32_for_float32(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    args, leaves = tracked(op, sample, "float32")
    if name == "cast":
        sample = Sample(sample.args, {"dtype": np.dtype("float32")})
    args = [a.astype("float32") if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
    result = run(name, args, sample.attrs)
    assert {r.dtype for r in result} == {np.dtype("float32")}
    for recorded in (False, True):
        found = tg.grad(list(result), leaves, weights(result, 5), create_graph=recorded, retain_graph=True)
        assert {g.dtype for g in found} == {np.dtype("float32")}
        reference = raw_vjps(op, sample, sample.args, weights(result, 5))
        assert_close(found, reference, 1e-4)


@every_sample
def test_an_op_without_gradient_ends_the_graph(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    args = [tg.tensor(a, requires_grad=a.dtype.kind == "f") for a in sample.args]
    if differentiable(op, sample):
        args = [a if i in differentiable(op, sample) else sample.args[i] for i, a in enumerate(args)]
    result = run(name, args, sample.attrs)
    assert all(r.requires_grad == bool(differentiable(op, sample)) for r in result)
    bare = as_tuple(op.fwd(*sample.args, **sample.attrs))
    for recorded, plain in zip(result, bare, strict=True):
        assert isinstance(recorded, tg.Tensor) and recorded.dtype == np.asarray(plain).dtype
        assert same(recorded, plain)


# --- the contract of kernels --------------------------------------------------------------------------


@every_sample
def test_out_receives_the_result(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    if op.view or op.outputs != 1:
        pytest.skip("views and ops with several outputs have no out=")
    want = np.asarray(op.fwd(*sample.args, **sample.attrs))
    out = np.full_like(want, -7)
    got = op.fwd(*sample.args, out=out, **sample.attrs)
    assert got is out
    assert got.dtype == want.dtype and same(got, want)


@every_sample
def test_views_share_memory_and_kernels_do_not(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    for result in as_tuple(op.fwd(*sample.args, **sample.attrs)):
        assert op.view or name == "cast" or not any(np.shares_memory(result, a) for a in sample.args)


@every_sample
def test_inputs_are_not_modified(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    before = [a.copy() for a in sample.args]
    result = run(name, list(sample.args), sample.attrs)
    if which := differentiable(op, sample):
        args, leaves = tracked(op, sample)
        recorded = run(name, args, sample.attrs)
        cotangents = weights(recorded, 5)
        kept, values = [w.copy() for w in cotangents], [np.array(r) for r in recorded]
        for _ in range(2):
            tg.grad(list(recorded), leaves, cotangents, retain_graph=True)
        assert all(same(a, b) for a, b in zip(cotangents, kept, strict=True))
        assert all(same(a, b) for a, b in zip(recorded, values, strict=True))
        assert all(same(leaf, before[i]) for leaf, i in zip(leaves, which, strict=True))
    assert len(result) >= 1
    for a, b in zip(sample.args, before, strict=True):
        assert same(a, b)


# --- reads --------------------------------------------------------------------------------------------


def poison(value: Any) -> Any:
    """The same shape and dtype, with values that spoil everything they touch."""
    value = np.asarray(value)
    if value.dtype.kind == "f":
        return np.full_like(value, np.nan)
    return ~value if value.dtype.kind == "b" else (value + 1) % 2


@every_differentiable
@pytest.mark.parametrize("replace", [poison, lambda v: Spec(v.shape, v.dtype)], ids=["nan", "spec"])
def test_what_is_not_in_reads_is_not_read(name: str, number: int, replace: Any) -> None:
    op, sample = OPS[name], samples(name)[number]
    result = op.fwd(*sample.args, **sample.attrs)
    cotangents = weights([np.asarray(r) for r in as_tuple(result)], 5)
    g = list(cotangents) if op.outputs != 1 else cotangents[0]
    want = raw_vjps(op, sample, sample.args, cotangents)
    y = result if "y" in op.reads else None if op.outputs != 1 else replace(np.asarray(result))
    args = [a if op.keeps_input(i) else replace(a) for i, a in enumerate(sample.args)]
    with np.errstate(all="ignore"):
        got = call_vjps(op, sample, g, y, args)
    assert all(same(a, b) for a, b in zip(got, want, strict=True))


READ = [
    (name, what)
    for name, op in sorted(OPS.items())
    for what in ["y", *range(len(samples(name)[0].args))]
    if differentiable(op, samples(name)[0]) and ("y" in op.reads if what == "y" else op.keeps_input(what))  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("name", "what"), READ)
def test_what_is_in_reads_is_needed(name: str, what: Any) -> None:
    """Keeping an array that no vjp looks at would cost memory for nothing."""
    op = OPS[name]
    changed = False
    for sample in samples(name):
        if what != "y" and what >= len(sample.args):
            continue
        result = op.fwd(*sample.args, **sample.attrs)
        cotangents = weights([np.asarray(result)], 5)
        want = raw_vjps(op, sample, sample.args, cotangents)
        y = poison(result) if what == "y" else result
        args = [poison(a) if i == what else a for i, a in enumerate(sample.args)]
        with np.errstate(all="ignore"):
            got = call_vjps(op, sample, cotangents[0], y, args)
        changed |= not all(same(a, b) for a, b in zip(got, want, strict=True))
    assert changed


@every_differentiable
def test_only_what_is_read_is_kept(name: str, number: int) -> None:
    op, sample = OPS[name], samples(name)[number]
    args, _ = tracked(op, sample)
    node = run(name, args, sample.attrs)[0]._node
    node = node.inputs[0] if node.op.name == "port" else node
    y, *xs = node.saved
    assert (y is not None) == ("y" in op.reads)
    for i, (x, a) in enumerate(zip(xs, args, strict=True)):
        assert isinstance(x, Spec | Node) != op.keeps_input(i)
        assert x.shape == a.shape and x.dtype == a.dtype and x.ndim == a.ndim and x.size == a.size


# --- layouts ------------------------------------------------------------------------------------------


def fortran(a: Array) -> Array:
    return np.asarray(a, order="F")


def reversed_memory(a: Array) -> Array:
    every = (slice(None, None, -1),) * a.ndim
    return a[every].copy()[every]


def gapped(a: Array) -> Array:
    return np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a


def read_only(a: Array) -> Array:
    a = a.copy()
    a.flags.writeable = False
    return a


@every_sample
@pytest.mark.parametrize("layout", [fortran, reversed_memory, gapped, read_only])
def test_memory_layout_does_not_matter(name: str, number: int, layout: Any) -> None:
    op, sample = OPS[name], samples(name)[number]
    moved = Sample([layout(a) for a in sample.args], sample.attrs)
    want = [np.asarray(r) for r in as_tuple(op.fwd(*sample.args, **sample.attrs))]
    got = [np.asarray(r) for r in as_tuple(op.fwd(*moved.args, **moved.attrs))]
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)
    if which := differentiable(op, sample):
        cotangents = weights(want, 5)
        reference = raw_vjps(op, sample, sample.args, cotangents)
        leaves = [tg.Tensor(a, tg.tensor(a, requires_grad=True)._node) if i in which else a for i, a in enumerate(moved.args)]
        found = tg.grad(
            list(run(name, leaves, sample.attrs)), [leaves[i] for i in which], [layout(w) for w in cotangents]
        )
        assert_close(found, reference, 1e-13)


@pytest.mark.parametrize("name", sorted(OPS))
def test_samples_cover_no_axes_and_no_elements(name: str) -> None:
    """Guards the samples themselves: an elementwise op meets 0-d and empty arrays."""
    if name in ELEMENTWISE:
        shapes = [a.shape for sample in samples(name) for a in sample.args]
        assert () in shapes and any(0 in s for s in shapes)


# --- broadcasting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(n for n in ELEMENTWISE if len(ELEMENTWISE[n]) > 1))
def test_broadcasting(name: str) -> None:
    """The gradient of a broadcast argument is the adjoint of the broadcasting: ⟨v, ∂a⟩ = ⟨broadcast v, ∂A⟩."""
    op, draws = OPS[name], ELEMENTWISE[name]

    @given(
        hnp.mutually_broadcastable_shapes(num_shapes=len(draws), min_side=0, max_side=3, max_dims=3),
        st.integers(0, 2**16),
    )
    def check(shapes: hnp.BroadcastableShapes, seed: int) -> None:
        rng = np.random.default_rng(seed)
        sample = Sample([draw(rng, s) for draw, s in zip(draws, shapes.input_shapes, strict=True)])
        wide = Sample([np.broadcast_to(a, shapes.result_shape).copy() for a in sample.args])
        args, leaves = tracked(op, sample)
        wide_args, wide_leaves = tracked(op, wide)
        (y,), (wide_y,) = run(name, args, {}), run(name, wide_args, {})
        assert y.shape == shapes.result_shape
        np.testing.assert_array_equal(y, wide_y)
        if not leaves:
            return
        w = weights([y], seed)
        for leaf, g, full in zip(leaves, tg.grad([y], leaves, w), tg.grad([wide_y], wide_leaves, w), strict=True):
            assert g.shape == leaf.shape
            v = rng.standard_normal(leaf.shape)
            np.testing.assert_allclose(np.sum(v * np.asarray(g)), np.sum(v * np.asarray(full)), rtol=1e-9, atol=1e-9)

    check()


def test_the_general_path_agrees_with_the_short_ones() -> None:
    """Unary and binary elementwise ops bypass `apply`; both must record the same."""
    for name in sorted(ELEMENTWISE):
        op, sample = OPS[name], samples(name)[1]
        args, leaves = tracked(op, sample)
        if leaves:
            short, general = run(name, args, {})[0], apply(op, tuple(args), {})
            w = weights([short], 3)
            assert same(short, general) and short.requires_grad and general.requires_grad
            for a, b in zip(tg.grad([short], leaves, w), tg.grad([general], leaves, w), strict=True):
                assert same(a, b)
