"""Slices that are added up by id have the bits of NumPy's own `add.at`, whatever is added up at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.ops import indexing


@given(st.data())
def test_gradients_of_take_are_those_of_add_at(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    of_ids = tuple(data.draw(st.lists(st.integers(0, 4), max_size=2)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    kind = data.draw(st.sampled_from(["int8", "uint8", "int64"]))
    ids = rng.integers(0 if kind == "uint8" else -shape[axis], shape[axis], of_ids).astype(kind)
    x = tg.tensor(rng.standard_normal(shape), requires_grad=True)
    g = rng.standard_normal((*shape[:axis], *of_ids, *shape[axis + 1 :]))
    want = np.zeros((shape[axis], *shape[:axis], *shape[axis + 1 :]))
    rows = g.reshape(*shape[:axis], ids.size, *shape[axis + 1 :])
    np.add.at(want, ids.reshape(-1), np.moveaxis(rows, axis, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "AT_ONCE", data.draw(st.sampled_from([1, 5, 2**16])))
        taken = tg.ops.take(x, ids, axis=axis)
        assert np.array_equal(tg.grad(taken, x, grad_outputs=g), np.moveaxis(want, 0, axis))
        if axis == 0:
            assert np.array_equal(tg.grad(x[ids], x, grad_outputs=g), want)
