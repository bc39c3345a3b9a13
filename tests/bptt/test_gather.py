"""The pass `gather`: one product and one sum for all gates, however a cell writes them, and no other numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from bptt.gate_cells import CELLS
from bptt.problems import agree, problem
from bptt.random_gates import problem_of
from bptt.test_passes import loop_of
from bptt.test_rows import source

from tinygrad_rnn.bptt.explain import calls_in_loops
from tinygrad_rnn.bptt.passes import gather

every_gate = pytest.mark.parametrize("name", [f.__name__ for f in CELLS])
# Sums of parts of a matrix larger than what is kept for all steps; an input in two rows.
FOUND = (236, 246, 252, 333)
SAME = [  # ways to write an LSTM
    "gates_by_slices", "gates_by_slices_in_another_order", "gates_by_reshape", "gates_unstacked",
    "gates_of_two_splits", "gates_apart", "gates_apart_of_joined_inputs",
]  # fmt: skip


@every_gate
@pytest.mark.parametrize("batch", [1, 6])
def test_equal_to_unrolled(name: str, batch: int) -> None:
    """Small batches have biases elsewhere."""
    agree(name, batch, 5, mask=np.random.default_rng(0).random((batch, 5)) < 0.6)
    agree(name, batch, 5, checkpoint="sqrt", go_backwards=True)
    agree(name, batch, 5, dtype="float32", rtol=3e-6)


@pytest.mark.parametrize("batch", [2, 6])
@pytest.mark.parametrize("name", SAME)
def test_an_lstm_has_the_same_loops_however_it_is_written(name: str, batch: int) -> None:
    expected = calls_in_loops(problem("lstm", batch).composed())
    p = problem(name, batch)
    assert calls_in_loops(p.composed()) == expected
    forward, backward = calls_in_loops(p.composed("gather"))
    assert forward > expected[0] + 8 and backward >= expected[1] - 1  # `unstack` goes back in one copy


@pytest.mark.parametrize(
    ("name", "products"),
    [("gru_apart", 1), ("gru_by_slices", 1), ("gru_with_the_candidate_first", 1), ("gru_before", 2)],
)
def test_one_product_for_what_is_multiplied_with_the_state(name: str, products: int) -> None:
    forward, _, backward = source(problem(name, 6)).partition("def backward(")
    for loop in (loop_of(forward), loop_of(backward)):
        assert sum(line.lstrip().startswith("dot(") for line in loop) == products
    assert backward.count("np.add.reduce(") <= 1  # of all columns


def test_a_bias_that_meets_another_one_is_added_before_the_loop() -> None:
    """That of the candidate, which the reset gate multiplies, stays inside."""
    text = source(problem("gru_after", 6))
    before, loop = text.partition("# inside the loop")[0], loop_of(text)
    assert "add(b[:8], bh[:8], out=both_biases)" in before
    assert "np.concatenate((both_biases, b[8:]), axis=0, out=biases)" in before
    assert [line for line in loop if "bias_spread" in line and "add(" in line] == [
        "add(hn_without_bias, hn_bias_spread, out=hn[t])"
    ]


def test_nothing_is_copied_that_stands_side_by_side_already() -> None:
    for name in ("gru_with_the_candidate_first", "gates_by_slices_in_another_order"):
        assert not re.search(r"np.concatenate\(\(W.*axis=1", source(problem(name, 6)))


@pytest.mark.parametrize("name", ["columns_that_overlap", "vanilla", "lstm"])
def test_what_gains_nothing_stays_as_it_is(name: str) -> None:
    assert source(problem(name, 6)) == source(problem(name, 6), "gather")


def test_only_what_the_next_step_needs_is_gathered() -> None:
    loop = loop_of(source(problem("gates_and_what_only_the_output_reads", 6)))
    (product,) = [line for line in loop if "dot(" in line]
    assert "Ui_Uf" in product and "Uo" not in product


def test_random_gates_agree_with_unrolled() -> None:
    """Weights used twice, sums read in several ways, biases here and there."""
    found = [problem for seed in (*range(50), *FOUND) if (problem := problem_of(seed))]
    assert not found, "\n".join(found[:12])


def test_only_small_weights_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands side by side already has no limit."""
    for limit in ("PRODUCT", "WEIGHTS"):
        with monkeypatch.context() as here:
            here.setattr(gather, limit, 63)  # 4 examples or units, times four gates of 4
            assert "Wi_Wf" not in problem("gates_apart", 4).composed()
            slices, lstm = (problem(name, 4).composed() for name in ("gates_by_slices", "lstm"))
            assert calls_in_loops(slices) == calls_in_loops(lstm)
    assert "Wi_Wf_Wg_Wo" in problem("gates_apart", 4).composed()
