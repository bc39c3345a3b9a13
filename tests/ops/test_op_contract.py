"""What every kernel and vjp in the table promises: `out=`, `reads`, memory layouts, untouched inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_samples import ELEMENTWISE, Sample, samples
from reflection import (
    as_tuple,
    assert_close,
    call_vjps,
    differentiable,
    every_differentiable,
    every_sample,
    raw_vjps,
    run,
    same,
    tracked,
    weights,
)

import tinygrad_rnn as tg
from tinygrad_rnn.core.op import OPS, Array, Node, Spec

# --- the contract of kernels ------------------------------------------------------------------------


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


# --- reads ------------------------------------------------------------------------------------------


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
    y, *xs = node.saved[: 1 + len(args)]
    assert (y is not None) == ("y" in op.reads)
    for i, (x, a) in enumerate(zip(xs, args, strict=True)):
        assert isinstance(x, Spec | Node) != op.keeps_input(i)
        assert x.shape == a.shape and x.dtype == a.dtype and x.ndim == a.ndim and x.size == a.size


@pytest.mark.parametrize("name", [name for name, op in sorted(OPS.items()) if op.keeping is not None])
def test_what_a_kernel_keeps_saves_work_and_changes_no_bit(name: str) -> None:
    op = OPS[name]
    for sample in samples(name):
        y, kept = op.keeping(*sample.args, **sample.attrs)  # type: ignore[misc]
        assert same(y, op.fwd(*sample.args, **sample.attrs))
        args, leaves = tracked(op, sample)
        (result,) = run(name, args, sample.attrs)
        assert len(result._node.saved) == 2 + len(args)
        g, before = weights([result], 5)[0], [np.array(k) for k in kept]
        want = raw_vjps(op, sample, sample.args, [g])
        for _ in range(2):
            for vjp, part in zip([op.vjps[i] for i in differentiable(op, sample)], want, strict=True):
                assert same(vjp(g, *result._node.saved, **sample.attrs), part)  # type: ignore[misc]
            assert all(same(a, b) for a, b in zip(kept, before, strict=True))
        assert all(
            same(a, b) for a, b in zip(tg.grad(result, leaves, g, retain_graph=True), want, strict=True)
        )
        with tg.no_grad():
            assert run(name, args, sample.attrs)[0]._node is None


# --- layouts ----------------------------------------------------------------------------------------


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
        leaves = [
            tg.Tensor(a, tg.tensor(a, requires_grad=True)._node) if i in which else a
            for i, a in enumerate(moved.args)
        ]
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
