"""The passes of derived mode: each can be switched off, all off gives the engine's bits, and `explain` counts them."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from bptt.problems import FUNCTIONS, Result, agree, close, every_cell, problem

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.build import PASSES
from tinygrad_rnn.config import mode


@every_cell
def test_each_pass_can_be_switched_off(name: str) -> None:
    for off in PASSES:
        with tg.bptt.without(off):
            agree(name, 2, 3)
    with tg.bptt.without():
        agree(name, 2, 3)


OTHER_ORDER = {
    "same_output_twice": "one tensor is two outputs: their gradients meet before the last step, not in it",
    "twin_states": "one tensor is two states: their gradients meet before the last step, not in it",
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - OTHER_ORDER.keys()))
def test_all_passes_off_is_bit_for_bit_the_same(name: str) -> None:
    with tg.bptt.without():
        derived = Result(problem(name), derive=True).everything()
        unrolled = Result(problem(name), derive=False).everything()
    for i, (a, b) in enumerate(zip(derived, unrolled, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"number {i}")


def test_without_takes_names_of_passes() -> None:
    with tg.bptt.without("hoist"):
        assert mode().passes == {"hoist", "factors", "terms", "rows", "merge", "fold"}  # the others need it
    with tg.bptt.without("sums", "defer"):
        assert mode().passes == {"sums", "defer"}
    with tg.bptt.without():
        assert mode().passes == set(PASSES)
    assert not mode().passes
    with pytest.raises(ValueError, match="without: unknown pass 'hoists'; there are sums, guards"):
        tg.bptt.without("hoist", "hoists")


def counts(text: str) -> dict[str, list[int]]:
    """Forward before and after, backward before and after, for every line of `explain`."""
    pattern = r"^(.+?) +(\d+) -> (\d+) +(\d+) -> (\d+)(?:   .+)?$"
    found = [re.fullmatch(pattern, line) for line in text.splitlines()[1:]]
    assert all(found)
    return {m[1]: [int(n) for n in m.groups()[1:]] for m in found if m}


def test_explain_says_what_every_pass_does_to_an_lstm() -> None:
    layer = tg.layers.LSTM(4)
    x = np.zeros((2, 3), "float32")
    text = tg.explain(layer, x, layer.get_initial_state(2))
    first = text.splitlines()[0]
    assert re.fullmatch(r"pass +forward +backward   calls inside the loop", first)
    rows = counts(text)
    assert list(rows) == ["(the step as it is)", *PASSES]
    for before, after in zip(list(rows.values()), list(rows.values())[1:], strict=False):
        assert after[0::2] == before[1::2]  # each begins where the one before ended
    for forward, forward_after, backward, backward_after in rows.values():
        assert forward_after <= forward and backward_after <= backward
    start, end = rows["(the step as it is)"], rows["fold"]
    assert end[1] <= start[0] / 2 and end[3] < start[2] / 3  # 11 of 22; one less where tanh is fast
    assert tg.explain(layer, x, layer.get_initial_state(2)) == text
    with tg.bptt.without("merge", "fold"):
        assert list(counts(tg.explain(layer, x, layer.get_initial_state(2)))) == [
            "(the step as it is)",
            *list(PASSES)[:-2],
        ]


def backward_of(name: str, *off: str) -> str:
    """The derived backward pass of a cell, without some passes."""
    with tg.bptt.without(*off) if off else nullcontext():
        p = problem(name, 2, 3)
        return str(tg.bptt_source(p.step, p.xs[0][:, 0], p.states, p.constants).partition("def backward(")[2])


def loop_of(text: str) -> list[str]:
    """The statements inside the loop."""
    inside = text.partition("for t in range(T - 1, -1, -1):\n")[2].partition("\n\n")[0]
    return [line.partition("  #")[0].strip() for line in inside.splitlines()]


def test_terms_leave_one_carry_and_one_product_for_a_state_that_comes_in_several() -> None:
    loop, before = loop_of(backward_of("peephole")), loop_of(backward_of("peephole", "terms"))
    onto = [line for line in loop if line.endswith("out=dcell)")]
    assert len(onto) == 2  # what the output sends is added, then all ways to the state before are one factor
    assert "dcell_by_dcell[t]" in onto[1]
    assert len(before) >= len(loop) + 4  # two more carries, each multiplied and added


def test_dots_contract_sums_of_products() -> None:
    text, before = backward_of("layer_norm_lstm"), backward_of("layer_norm_lstm", "dots")
    assert "np.vecdot(" in text and "np.vecdot(" not in before
    assert len(loop_of(text)) < len(loop_of(before))
    assert not re.search(r"negative\(.*\n.*np\.add\.reduce", text)


def test_defer_takes_sums_of_stacked_products_out_of_the_loop() -> None:
    text = backward_of("attention_by_matmul")
    for beside, stacked in (("beside", "stacked"), ("beside_2", "stacked_2")):
        assert f"np.matmul({beside}, {stacked})" in text
    assert "beside" not in "\n".join(loop_of(text))


def test_a_test_is_a_factor_without_a_choice() -> None:
    assert "np.where" not in backward_of("ind_rnn")


def test_a_factor_made_of_tests_and_numbers_is_a_float() -> None:
    """Also beside states that count, of which there are so many here that one is met first."""

    def step(x: Any, s: Any, constants: Any) -> Any:
        h, *counts = s
        h = ops.where(counts[0] > 1, 0.5 * h, ops.tanh(x + h))
        return h, [h, *[n + 1 for n in counts]]

    found = []
    for derive in (True, False):
        h0 = tg.tensor(np.ones((2, 3)), requires_grad=True)
        states = [h0, *[np.zeros((2, 1), np.int64) for _ in range(60)]]
        y, _ = tg.scan(step, np.ones((2, 5, 3)), states, derive=derive)
        found.append([y, *tg.grad(y.sum(), [h0])])
    close(*found)


def test_weights_alone_need_no_factors() -> None:
    text = backward_of("peephole")
    assert re.search(r"multiply\(all_do\w*, all_cell\[1:\]", text)  # dpo is the sum of do * c, as by hand


@pytest.mark.parametrize("name", ["ind_rnn", "minimal_gated", "gru_after", "lstm"])
def test_carries_are_written_without_copies(name: str) -> None:
    assert not any("[...] =" in line for line in loop_of(backward_of(name)))


@pytest.mark.parametrize("fast_tanh", [False, True])
def test_a_lone_gate_has_its_sign_in_the_weights(fast_tanh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64 whatever the processor does well in float32."""
    monkeypatch.setattr("tinygrad_rnn.bptt.gates._has_fast_tanh", lambda: fast_tanh)
    p = problem("minimal_gated", 2, 3)
    text = str(tg.bptt_source(p.step, p.xs[0][:, 0], p.states, p.constants))
    assert "negative(" not in text.partition("def backward(")[0]
    with tg.bptt.without("fold"):
        text = str(tg.bptt_source(p.step, p.xs[0][:, 0], p.states, p.constants))
        assert "negative(" in text.partition("def backward(")[0]
