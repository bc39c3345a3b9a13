"""Every op of the table inside derived recurrences: equal to its kernel, before the loop and inside it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from bptt.problems import zeros_for_none
from op_samples import SAMPLED, samples
from reflection import FUNCTIONS, as_tuple

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import UnrolledWarning
from tinygrad_rnn.core.op import OPS

DECLINED = {  # the samples of these that run unrolled, and what the warning says
    "broadcast_to": (2, "deriving it failed"),  # axes before the batch
    "scatter_add": (1, "derived values differ"),  # an index with several axes
    "take": (1, "derived gradients differ"),
    "sparse_cross_entropy": (9, "reads the value of a tensor"),  # it looks at the labels
}


def one_op(name: str, number: int, as_state: bool, derive: bool) -> list[np.ndarray[Any, Any]]:
    """The op on per-step inputs (before the loop, all steps at once), or on states (inside it)."""
    sample = samples(name)[number]
    floats = [a.dtype.kind == "f" for a in sample.args]
    steps, rng = 3, np.random.default_rng(number)
    arrays = [np.stack([a] * steps, axis=1) for a in sample.args]
    xs = [tg.tensor(a, requires_grad=f) for a, f in zip(arrays, floats, strict=True)]
    if as_state:
        xs = [tg.tensor(np.ones((len(sample.args[0]), steps)))]
    held = (
        [tg.tensor(a, requires_grad=f) for a, f in zip(sample.args, floats, strict=True)] if as_state else []
    )

    def step(x: Any, s: Any, c: Any) -> Any:
        given = s if as_state else x
        y = FUNCTIONS[name](*given, **sample.attrs)
        kept = [v * 1.0 if f else v for v, f in zip(s, floats, strict=False)]
        return (y if OPS[name].outputs != 1 else (y,)), kept

    with np.errstate(all="ignore"):
        y, last = tg.scan(step, tuple(xs), held, derive=derive)
        results = [*y, *last]
        pairs = [(e, rng.standard_normal(e.shape)) for e in results]
        ends = [(e, g) for e, g in pairs if e.requires_grad and e.dtype.kind == "f"]
        leaves = [t for t in (*xs, *held) if t.requires_grad]
        if not ends or not leaves:
            return results
        return [
            *results,
            *zeros_for_none(tg.grad([e for e, _ in ends], leaves, [g for _, g in ends]), leaves),
        ]


@pytest.mark.parametrize("as_state", [False, True], ids=["before the loop", "inside"])
@pytest.mark.parametrize("name", sorted(set(OPS) & SAMPLED))
def test_every_op_has_its_text(name: str, as_state: bool) -> None:
    """Equal to its kernel, or known to run unrolled."""
    found, declined = [], []
    for number, sample in enumerate(samples(name)):
        if any(a.size == 0 or a.ndim == 0 for a in sample.args):
            continue  # no elements, or no batch
        if any(np.ndim(r) == 0 for r in as_tuple(FUNCTIONS[name](*sample.args, **sample.attrs))):
            continue  # scan stacks outputs along axis 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UnrolledWarning)
            got = one_op(name, number, as_state, True)
        declined += [str(w.message) for w in caught]
        for i, (a, b) in enumerate(zip(got, one_op(name, number, as_state, False), strict=True)):
            equal = np.allclose(a, b, rtol=1e-12, atol=1e-13, equal_nan=True)
            if a.shape != b.shape or a.dtype != b.dtype or not equal:
                shapes = [s.shape for s in sample.args]
                found.append(
                    f"sample {number} {shapes} {sample.attrs}: result {i} differs {a.dtype} {b.dtype}"
                )
    assert not found, "\n".join(found)
    most, reason = DECLINED.get(name, (0, ""))
    assert len(declined) <= most and all(reason in message for message in declined), declined
