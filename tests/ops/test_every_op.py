"""Every op in the table, by reflection: documented, sampled, and right to the second derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from op_samples import ELEMENTWISE, SAMPLED, Sample, samples
from reflection import (
    FUNCTIONS,
    as_tuple,
    assert_close,
    differentiable,
    every_differentiable,
    every_sample,
    gradients,
    numeric,
    project,
    raw_vjps,
    run,
    same,
    tracked,
    weights,
)

import tinygrad_rnn as tg
from tinygrad_rnn.core.op import OPS
from tinygrad_rnn.core.record import apply


def test_every_op_has_a_sample_and_every_sample_an_op() -> None:
    assert set(OPS) == SAMPLED


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_op_can_be_called_and_is_documented(name: str) -> None:
    op = OPS[name]
    assert op.doc.strip()
    assert op.name == name and name in FUNCTIONS
    assert (op.vjp_all is None) or not op.vjps
    assert set(op.reads) <= set("xy0123456789")


# --- gradients --------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("some_are_0", [False, True])
def test_second_order(name: str, number: int, some_are_0: bool) -> None:
    """Also by cotangents, of which some may be 0: as that of `√b` is in `x √b`, for an x of 0."""
    op, sample = OPS[name], samples(name)[number]
    which = differentiable(op, sample)
    args, leaves = tracked(op, sample)
    result = run(name, args, sample.attrs)
    cotangents = weights(result, 5)
    if some_are_0:
        cotangents = [np.asarray(w * (np.arange(w.size).reshape(w.shape) % 2)) for w in cotangents]
    seeds = [tg.tensor(w, requires_grad=True) for w in cotangents]
    first = tg.grad(list(result), leaves, seeds, create_graph=True)
    directions = weights(first, 6)
    recorded = [(f, d) for f, d in zip(first, directions, strict=True) if f.requires_grad]
    targets = leaves + seeds
    second = (
        tg.grad([f for f, _ in recorded], targets, [d for _, d in recorded])
        if recorded
        else [None] * len(targets)
    )
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


# --- broadcasting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(n for n in ELEMENTWISE if len(ELEMENTWISE[n]) > 1))
def test_broadcasting(name: str) -> None:
    """The gradient of a broadcast argument is the adjoint of broadcasting: ⟨v, ∂a⟩ = ⟨broadcast v, ∂A⟩."""
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
        for leaf, g, full in zip(
            leaves, tg.grad([y], leaves, w), tg.grad([wide_y], wide_leaves, w), strict=True
        ):
            assert g.shape == leaf.shape
            v = rng.standard_normal(leaf.shape)
            np.testing.assert_allclose(
                np.sum(v * np.asarray(g)), np.sum(v * np.asarray(full)), rtol=1e-9, atol=1e-9
            )

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
