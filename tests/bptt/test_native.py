"""Loops that run in C: the same bits as in Python on one thread, and the same numbers on two, for every cell."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from bptt.problems import every_cell, problem
from bptt.steps import equal

from tinygrad_rnn.bptt import UnrolledWarning, derived
from tinygrad_rnn.bptt.native import loops
from tinygrad_rnn.bptt.writing.native import as_it_stands, how_loops_run
from tinygrad_rnn.bptt.writing.tight import tighten
from tinygrad_rnn.native.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="there was no C compiler at installation")

# Cells with a statement that only Python runs, and those with a loop whose arrays lie in a way that C does not take.
IN_PYTHON = set(
    """
    countdown cumulated flags_and_a_number indexed_by_array kinks picked_along_an_axis rolled taken_in_pairs turned
""".split()
)
ODD = set(
    """
    convolution count_as_condition counting flag_first one_column_times_a_number one_element_of_a_vector
    row_read_in_other_ways
""".split()
)


class Ran:
    """Which loops ran in C, and which did not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.native, self.python = 0, 0
        run = loops.NativeLoop.run

        def counted(loop: Any, *args: Any) -> bool:
            done = run(loop, *args)
            self.native, self.python = self.native + done, self.python + (not done)
            return done

        monkeypatch.setattr(loops.NativeLoop, "run", counted)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """What ran during the test."""
    return Ran(monkeypatch)


def both(
    name: str, batch: int, steps: int, dtype: str, plans: Any
) -> tuple[list[Any], list[Any], dict[str, str]]:
    """Results and gradients of a cell from loops in C and in Python, and how its loops run."""
    p, rng = problem(name, batch, steps, dtype), np.random.default_rng(0)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UnrolledWarning)
        p.run(derive=True)
    if not plans:
        pytest.skip("it is not derived")
    plan = next(iter(plans.values()))
    arrays: list[Any] = []
    kept = plan.forward
    try:
        plan.forward = lambda given, *rest: arrays.append(list(given)) or kept(given, *rest)
        with np.errstate(all="ignore"):
            p.run(derive=True)
    finally:
        del plan.forward
    found = []
    for functions in (plan.functions, as_it_stands(tighten(plan.built.text))):
        with np.errstate(all="ignore"):
            rng, cache = np.random.default_rng(0), None
            for _ in range(2):  # in the memory of the first call, too
                *results, cache = functions["forward"](*arrays[0], cache=cache)
                cotangents = [rng.standard_normal(r.shape).astype(r.dtype) for r in results]
                gradients = (
                    functions["backward"](*arrays[0], *cotangents, cache) if plan.built.gradients else {}
                )
        found.append([*map(np.array, results), *map(np.array, gradients.values())])
    return *found, how_loops_run(plan.built.text)


@every_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits(name: str, dtype: str, plans: Any, ran: Ran) -> None:
    for batch, steps in ((3, 6), (1, 5)):
        derived.forget()
        native, python, how = both(name, batch, steps, dtype, plans)
        assert any("Python" in said for said in how.values()) == (name in IN_PYTHON)
        for a, b in zip(native, python, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            assert a.tobytes() == b.tobytes()
    assert ran.native > ran.python or name in IN_PYTHON | ODD


@every_cell
def test_the_same_numbers_on_two_threads(name: str, two_threads: None, plans: Any, ran: Ran) -> None:
    for batch, steps in ((4, 6), (5, 3)):
        derived.forget()
        native, python, _ = both(name, batch, steps, "float64", plans)
        equal(native, python, 1e-10)
    assert ran.native > ran.python or name in IN_PYTHON | ODD
