"""The pass `joins`: the gradients of gates are written in one piece each, and put side by side in one copy."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from bptt.problems import every_cell, problem, same_bits_without
from bptt.test_passes import loop_of
from bptt.test_rows import source

from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.passes import joins


@pytest.fixture(autouse=True)
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done for few examples, too, and nothing is known of earlier runs."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(joins, "EXAMPLES", 1)


@every_cell
def test_the_bits_are_those_without_it(name: str) -> None:
    same_bits_without(name, "joins", 1 + 2 * (len(name) % 2))  # both sizes, over all cells


@pytest.mark.parametrize("name", ["lstm", "gru_after", "coupled"])
def test_how_the_source_reads(name: str) -> None:
    loop = loop_of(source(problem(name)).partition("def backward(")[2])
    before = loop_of(source(problem(name), "joins").partition("def backward(")[2])
    (copy,) = [line for line in loop if line not in before and "[...] =" in line]
    assert copy == "joined[t][...] = stack_T"
    columns = [line for line in before if line not in loop]
    assert len(columns) >= 3 and all(
        line.startswith("multiply(") and line.endswith("[t])") for line in columns
    )
    assert loop[loop.index(copy) + 1].startswith("dot(d") and loop.index(copy) >= 3
    assert "joined[t]  " in source(problem(name)).partition("import")[0]  # how to read it


def test_few_examples_and_large_gates_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = source(problem("lstm"), "joins")
    monkeypatch.setattr(joins, "SMALL", 7)  # a gate has 8 elements
    assert source(problem("lstm")) == text
    monkeypatch.setattr(joins, "SMALL", 2**12)
    monkeypatch.setattr(joins, "EXAMPLES", 20)
    assert source(problem("lstm")) == text


def test_gradients_that_are_read_elsewhere_stay_columns() -> None:
    """Those of a peephole LSTM's gates are, by the gradients of the peepholes."""
    assert source(problem("peephole")) == source(problem("peephole"), "joins")
