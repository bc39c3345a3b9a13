"""Derived mode against unrolled mode, for every cell: values and gradients of all sizes, directions and masks."""

from __future__ import annotations

import numpy as np
from bptt.problems import Result, agree, close, every_cell, problem

import tinygrad_rnn as tg

MASK = np.array(
    [
        [True, True, True, True, True, True],
        [False, False, True, True, True, True],
        [True, False, True, False, False, True],
        [True, True, True, False, False, False],
        [False] * 6,
        [False, True, False, True, True, False],
    ]
)


@every_cell
def test_equal_to_unrolled(name: str) -> None:
    """One source for all lengths: in an order in which what was kept of one could be wrong for the next."""
    for batch, steps in [(2, 4), (2, 7), (2, 1), (2, 2), (1, 5), (1, 1), (3, 2)]:
        agree(name, batch, steps)


@every_cell
def test_equal_within_rounding_in_float32(name: str) -> None:
    for steps in (1, 6):
        agree(name, 2, steps, "float32", 2e-5)


@every_cell
def test_backwards_in_time_and_the_last_output_alone(name: str) -> None:
    for steps in (1, 4):
        agree(name, 2, steps, go_backwards=True)
        agree(name, 2, steps, return_sequences=False)
    agree(name, go_backwards=True, return_sequences=False)


@every_cell
def test_masks(name: str) -> None:
    for go_backwards in (False, True):
        agree(name, 6, 6, mask=MASK, go_backwards=go_backwards)
    agree(name, 6, 6, mask=MASK, return_sequences=False)
    agree(name, 6, 2, mask=MASK[:, :2], go_backwards=True, return_sequences=False)


@every_cell
def test_without_gradients(name: str) -> None:
    with tg.no_grad():
        values = Result(problem(name), derive=True).values
    untracked = Result(problem(name, tracked=False), derive=True).values
    unrolled = Result(problem(name), derive=False).values
    assert not any(v.requires_grad for v in (*values, *untracked))
    close(values, unrolled)
    close(untracked, unrolled)


@every_cell
def test_the_gradient_of_each_input_alone(name: str) -> None:
    """Only what leads to it is derived then."""
    for k in range(len(problem(name).leaves)):
        derived = Result(problem(name, 2, 3).alone(name, k), derive=True)
        unrolled = Result(problem(name, 2, 3).alone(name, k), derive=False)
        close(derived.values, unrolled.values)
        assert set(unrolled.ends) <= set(derived.ends)
        extra = Result(problem(name, 2, 3).alone(name, k), derive=True)
        extra.ends = [i for i in derived.ends if i not in unrolled.ends]
        if extra.ends:  # unrolled finds out that nothing depends on it
            assert not any(np.any(np.asarray(g)) for g in extra.gradients())
        if unrolled.ends:
            derived.ends = unrolled.ends
            close(derived.gradients(), unrolled.gradients())
