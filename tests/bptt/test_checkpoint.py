"""`checkpoint="sqrt"`: the same values and gradients, with the states between segments kept alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, close, every_cell, problem
from bptt.steps import inputs, start

import tinygrad_rnn as tg
from tinygrad_rnn import ops


@every_cell
def test_values_and_gradients_are_equal(name: str) -> None:
    """Also those of inputs, for lengths that are no squares."""
    for steps in (1, 2, 7, 17):
        checkpointed = Result(problem(name, 2, steps), checkpoint="sqrt").everything()
        close(checkpointed, Result(problem(name, 2, steps), derive=False).everything())


@pytest.mark.parametrize("name", ["lstm", "flags", "swapped", "several_outputs"])
def test_with_masks_backwards_and_the_last_output_alone(name: str) -> None:
    mask = np.random.default_rng(0).random((2, 7)) < 0.6
    for options in ({"mask": mask}, {"go_backwards": True}, {"return_sequences": False, "mask": mask}):
        kept = Result(problem(name, 2, 7), checkpoint="sqrt", **options).everything()
        close(kept, Result(problem(name, 2, 7), derive=False, **options).everything())


def test_second_derivatives_and_a_second_pass() -> None:
    found = []
    for options in ({"checkpoint": "sqrt"}, {"derive": False}):
        r = Result(problem("lstm", 2, 7), **options)
        first = [np.array(g) for g in r.gradients(retain_graph=True)]
        recorded = r.gradients(create_graph=True)
        inner = sum((g * g).sum() for g in recorded)
        found.append([*first, *recorded, *tg.grad(inner, r.p.leaves)])
    close(*found)


def test_without_gradients() -> None:
    with tg.no_grad():
        values = Result(problem("lstm", 2, 7), checkpoint="sqrt").values
    close(values, Result(problem("lstm", 2, 7), derive=False).values)


def test_a_step_that_cannot_be_derived_is_an_error() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * float(ops.sum(x)), s

    with pytest.raises(ValueError, match="checkpoint needs derived mode, and .* reads the value of a tensor"):
        tg.scan(step, inputs(), start(), checkpoint="sqrt")


def test_a_checkpoint_inside_a_step_is_derived_with_it() -> None:
    def outer(x_t: Any, s: Any, c: Any) -> Any:
        def inner(a: Any, t: Any, c: Any) -> Any:
            h = tg.ops.tanh(a + 0.5 * t[0])
            return h, [h]

        _, last = tg.scan(inner, tg.ops.stack([x_t, s[0]], axis=1), s, checkpoint="sqrt")
        return last[0], last

    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    derived, _ = tg.scan(outer, x, [np.zeros((2, 3))], derive=True)  # a warning would be an error
    recorded, _ = tg.scan(outer, x, [np.zeros((2, 3))], derive=False)
    np.testing.assert_allclose(derived, recorded, rtol=1e-12)


def test_debug_nans_sees_into_it() -> None:
    x = np.ones((2, 6, 3))
    x[0, 3, 1] = -1
    with tg.debug_nans(), pytest.raises(FloatingPointError, match=r"op 'log' \(step 3\)"):
        tg.scan(lambda a, s, c: (s[0], [ops.log(a) + s[0]]), x, [np.zeros((2, 3))], checkpoint="sqrt")
