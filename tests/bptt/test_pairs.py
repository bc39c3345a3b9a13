"""The pass `pairs`: one call for two products of neighbours in memory, and the same numbers to the bit."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from bptt.pair_cells import CELLS
from bptt.problems import Result, agree, close, problem
from bptt.test_passes import loop_of
from bptt.test_rows import source

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.explain import calls_in_loops
from tinygrad_rnn.bptt.passes import pairs

NAMES = [*[f.__name__ for f in CELLS], "lstm", "layer_norm_lstm"]
every_pair = pytest.mark.parametrize("name", NAMES)
types = pytest.mark.parametrize(
    ("fast_tanh", "dtype"),
    [(False, "float32"), (True, "float32"), (False, "float64")],
    indirect=["fast_tanh"],
)


@pytest.fixture(params=[False, True], autouse=True)
def fast_tanh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tanh is fast all gates of float32 are one group, and their last is a part of it."""
    monkeypatch.setattr("tinygrad_rnn.bptt.passes.gates._has_fast_tanh", lambda: request.param)


@every_pair
@types
def test_one_call_less_where_factors_are_neighbours(name: str, dtype: str) -> None:
    p = problem(name, 2, 3, dtype)
    found, before = p.composed(), p.composed("pairs")
    count = {"no": 0, "pairs": 2}.get(name.partition("_")[0], 1)
    assert len(re.findall(r"^ +multiply\(.*out=products", found, re.M)) == count
    (forward, backward), calls_before = calls_in_loops(found), calls_in_loops(before)
    assert (forward + count, backward) == calls_before
    assert "products" not in before and (found == before) == (count == 0)


def test_how_the_source_reads(fast_tanh: None) -> None:
    text = source(problem("lstm"))
    loop = loop_of(text)
    assert "multiply(sigmoid_i_sigmoid_f[t], tanh_g_beside_cell[t], out=products)" in loop
    assert "add(sigmoid_f_cell, sigmoid_i_tanh_g, out=cell[t + 1])" in loop
    assert re.search(r"all_cell = all_tanh_\w+_beside_cell\[:, \d\]", text)
    assert "tanh_g_beside_cell[t] tanh_g of step t and, behind it, the state cell before" in text
    assert "_beside_" not in source(problem("lstm"), "pairs")


@every_pair
@types
def test_the_same_to_the_bit(name: str, dtype: str) -> None:
    """In a run that is recorded, in one that is not, and once more in their memory."""
    results = []
    for off in ((), ("pairs",)):
        found = []
        with tg.bptt.without(*off) if off else nullcontext():
            for seed in (0, 1, 0):
                p = problem(name, 2, 5, dtype, seed)
                found += Result(p, derive=True).everything()
                with tg.no_grad():
                    values, last = p.run(derive=True)
                    found += [*values, *last]
        results.append(found)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@every_pair
@pytest.mark.parametrize("fast_tanh", [False], indirect=True)
@pytest.mark.parametrize("batch", [1, 3])
def test_equal_to_unrolled(name: str, batch: int) -> None:
    mask = np.random.default_rng(0).random((batch, 5)) < 0.6
    agree(name, batch, 5)
    agree(name, batch, 5, mask=mask, go_backwards=True)
    agree(name, batch, 5, checkpoint="sqrt", mask=mask)
    for off in (("rows",), ("fold", "hoist"), ("defer", "share")):
        with tg.bptt.without(*off):
            agree(name, batch, 5, mask=mask)


@every_pair
@pytest.mark.parametrize("fast_tanh", [False], indirect=True)
def test_forward_alone(name: str) -> None:
    mask = np.array([[True, False, True], [False, True, True]])
    with tg.no_grad():
        for options in ({}, {"mask": mask}):
            found, last = problem(name, 2, 3).run(derive=True, **options)
            want, want_last = problem(name, 2, 3).run(derive=False, **options)
            close([*found, *last], [*want, *want_last])


def test_only_small_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "SMALL", 8)
    for batch, small in ((1, True), (3, False)):
        assert ("products" in source(problem("lstm", batch))) is small


def test_a_state_of_another_type_stays_where_it_is() -> None:
    rng = np.random.default_rng(0)
    W, U = (tg.tensor(rng.standard_normal((4, 16)), requires_grad=True) for _ in range(2))

    def step(x: Any, states: Any, constants: Any) -> Any:
        h, cell = states
        i, f, o, g = ops.split(x @ W + h @ U, 4, axis=-1)
        new = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
        return new, [ops.sigmoid(o) * ops.tanh(new), ops.cast(new, "float32")]

    x, states = rng.standard_normal((2, 5, 4)), [np.zeros((2, 4)), np.ones((2, 4), "float32")]
    assert "products" not in tg.bptt_source(step, x[:, 0], states)
    found = []
    for derive in (True, False):
        y, last = tg.scan(step, x, states, derive=derive)
        found.append([y, *last, *tg.grad(y.sum() + last[1].sum(), [W, U])])
    close(*found, rtol=1e-6)
