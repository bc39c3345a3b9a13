"""The pass `rows`: one product for what stands in a row, in the loop and for the gradients, and no other numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from bptt.problems import Problem, Result, agree, close, problem
from bptt.row_cells import CELLS
from bptt.test_passes import loop_of

import tinygrad_rnn as tg
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.explain import calls_in_loops
from tinygrad_rnn.bptt.passes import rows
from tinygrad_rnn.bptt.plan import Plan

every_row = pytest.mark.parametrize(
    "name", [f.__name__ for f in CELLS] + ["vanilla", "lstm", "gru_after", "joined"]
)

# What stands in the buffers of rows with states, by columns (H is 4, F is 3), and how many sums take their gradients
# from rows, also from those of inputs alone.
WIDTHS = {
    "row": ([8], 1),
    "row_without_bias": ([7], 1),
    "row_without_input": ([5], 1),
    "row_of_a_sum": ([8], 1),
    "row_with_two_biases": ([8], 1),
    "row_of_two_states_and_inputs": ([14], 1),
    "rows_of_layers": ([8, 5], 2),
    "row_of_several_gates": ([8], 1),
    "row_and_the_state_once_more": ([8], 1),
    "row_read_in_other_ways": ([8], 1),
    "row_to_the_output_alone": ([8], 1),
    "no_row_product_read_twice": ([], 1),
    "no_row_other_term_of_the_input": ([], 1),
    "lstm": ([8], 1),
    "gru_after": ([5], 1),
}


def source(p: Problem, *off: str) -> str:
    """The derived source, without some passes."""
    x = tuple(x[:, 0] for x in p.xs)
    call = (p.step, x if len(x) > 1 else x[0], p.states, p.constants)
    if not off:
        return str(tg.bptt_source(*call))
    with tg.bptt.without(*off):
        return str(tg.bptt_source(*call))


@pytest.mark.parametrize("name", WIDTHS)
def test_what_stands_in_a_row(name: str) -> None:
    widths, gradients = WIDTHS[name]
    text = problem(name).composed()
    found = re.findall(r"all_rows\w* = empty\(\(T \+ 1, 2, (\d+)\)", text)
    assert [int(n) for n in found] == widths
    assert len(re.findall(r"dweights\w* = np.matmul\(all_rows", text)) == gradients
    assert "rows" not in source(problem(name), "rows")


def test_a_state_of_two_sums_stands_in_the_first_row() -> None:
    text = source(problem("no_row_state_in_two_sums"), "gather")
    assert "all_rows" in text and "all_rows_2" not in text
    loop = text.partition("for t in range(T):")[2].partition("\n\n")[0]
    assert "dot(h[t], " in loop and "dot(rows[t], weights" in loop


@pytest.mark.parametrize(
    ("name", "fewer"), [("row", 1), ("lstm", 1), ("row_of_two_states_and_inputs", 3), ("gru_after", 1)]
)
def test_the_loop_has_fewer_calls(name: str, fewer: int) -> None:
    p = problem(name)
    forward, backward = calls_in_loops(source(p, "joins"))
    before = calls_in_loops(source(p, "joins", "rows"))
    assert before == (forward + fewer, backward)


def test_without_copies_and_with_one_product_for_all_gradients() -> None:
    forward, _, backward = source(problem("row")).partition("def backward(")
    lines = [v.partition("  #")[0].strip() for v in forward.partition("range(T):\n")[2].splitlines()[:2]]
    assert lines == ["dot(rows[t], weights, out=pre_h)", "tanh(pre_h, out=h[t + 1])"]
    assert not any("[...] =" in line for line in loop_of(backward))
    after = backward.partition("# after the loop")[2]
    assert after.count("np.matmul(") == 2 and "reduce" not in after  # all weights, and x
    assert sorted(re.findall(r": (dweights\[.*\]),", after)) == [
        "dweights[0:4]",
        "dweights[4]",
        "dweights[5:8]",
    ]


@pytest.mark.parametrize(
    ("name", "written"),
    [("row_of_a_sigmoid", 1), ("row_of_a_softmax", 1), ("row_of_a_sigmoid_and_its_argument", 4)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_only_the_last_statement_writes_into_columns_of_rows(name: str, written: int, dtype: str) -> None:
    """Each call takes longer there; the argument is memory in one piece, if nothing reads it afterwards."""
    loop = source(problem(name, dtype=dtype)).partition("for t in range(T):")[2].partition("\n\n")[0]
    assert loop.count("out=h[t + 1])") == written


def test_a_state_that_a_mask_keeps_stands_in_a_row() -> None:
    derived.forget()
    mask = np.random.default_rng(0).random((6, 5)) < 0.6
    Result(problem("lstm", 6, 5), mask=mask, derive=True)
    (plan,) = derived._plans.values()
    assert isinstance(plan, Plan) and "dot(rows[t], weights" in plan.built.text


@every_row
@pytest.mark.parametrize("batch", [1, 6])
def test_equal_to_unrolled(name: str, batch: int) -> None:
    mask = np.random.default_rng(0).random((batch, 5)) < 0.6
    agree(name, batch, 5)
    agree(name, batch, 5, mask=mask, go_backwards=True)
    agree(name, batch, 5, checkpoint="sqrt", mask=mask)
    agree(name, batch, 5, dtype="float32", rtol=3e-6)
    with tg.bptt.without("sums", "merge"):
        agree(name, batch, 5)


@every_row
def test_memory_of_earlier_calls_and_other_lengths(name: str) -> None:
    """One step function, so one plan: rows of other lengths, and a run between forward and backward pass."""
    results = []
    for derive in (True, False):
        found = []
        step = problem(name).step
        for steps in (4, 7, 4):
            p = problem(name, 2, steps, seed=steps)
            run = Result(Problem(step, p.xs, p.states, step.w.__dict__, p.constants), derive=derive)
            with tg.no_grad():
                other = problem(name, 2, steps, seed=9)
                Problem(step, other.xs, other.states, {}, []).run(derive=derive)
            found += run.everything()
        results.append(found)
    close(*results)


@every_row
def test_forward_alone(name: str) -> None:
    with tg.no_grad():
        found, last = problem(name, 2, 6).run(derive=True)
        want, want_last = problem(name, 2, 6).run(derive=False)
    close([*found, *last], [*want, *want_last])


def test_only_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of the input times units, by the root of the batch; rows without inputs are not limited."""
    monkeypatch.setattr(rows, "FEATURES", 12 / 20**0.5)
    for batch, kept in ((2, False), (20, True)):
        text = problem("row", batch).composed()
        assert ("all_rows = empty((T + 1, " in text) is kept and "all_rows" in text
        assert "all_rows" in source(problem("row_without_input", batch))


def test_inputs_of_few_examples_do_not_stand_in_a_row_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "FEATURES", 0)
    monkeypatch.setattr(rows, "PER_EXAMPLE", 1)
    for batch, kept in ((2, False), (3, True)):  # there are three features
        text = problem("row", batch).composed()
        assert ("np.concatenate((b[None], Wx), axis=0, out=weights)" in text) is kept
        assert ("all_rows" in text) is kept


def test_the_gradient_of_a_bias_has_its_type() -> None:
    rng = np.random.default_rng(0)
    W, U = (tg.tensor(rng.standard_normal((4, 4))) for _ in range(2))
    b = tg.tensor(rng.standard_normal(4).astype("float32"), requires_grad=True)

    def step(x, s, c):
        h = tg.ops.tanh(x @ W + s[0] @ U + b)
        return h, [h]

    x, h = rng.standard_normal((2, 5, 4)), [np.zeros((2, 4))]
    assert "all_rows" in tg.bptt_source(step, x[:, 0], h)
    found = [tg.scan(step, x, h, derive=d)[0] for d in (True, False)]
    close([found[0]], [found[1]])
    close(*[[tg.grad(y.sum(), [b])[0]] for y in found], rtol=1e-6)
