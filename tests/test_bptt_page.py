"""The page of derived sources is generated, complete, and true: docs/derived_bptt.md."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture
def maker(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("make_bptt")


def test_the_page_is_what_the_generator_writes(maker):
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(), "run `python docs/make_bptt.py`"
    assert maker.page() == maker.page()
    assert tg.floatx() == "float32"


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_every_line_of_both_sides_has_a_row(maker, name):
    cell, text = getattr(maker, name), maker.PAGE.read_text(encoding="utf-8")
    part = text.partition(f"## {cell.title}\n")[2].partition("\n## ")[0]
    source = re.search(r"^Derived.*?```py\n(.*?)^```", part, re.M | re.S)[1]
    table = "\n".join(line for line in part.splitlines() if line.startswith("|"))
    shown = [code for _, code in maker.statements(maker.functions_of(source))]
    assert len(shown) > 15
    for code in shown:  # the copies of inputs into the memory apart
        assert f"`{code}`" in table or re.match(r"all_\w+\[(0|\.\.\.)\] = (X\.|\w0)", code), code
    numbers = set(re.findall(r" \((\d+[ab]?)\)", table))
    assert set(cell.equations.split()) <= numbers
    for line in table.splitlines():
        for code in re.findall(r"`(.+?)`", line.split("|")[1]):
            assert any(code in maker.without_docstring(getattr(m, f)) for m, f in cell.functions)


def test_a_statement_without_a_row_is_reported(maker):
    call = (np.zeros((2, 3)), [np.zeros((2, 4))], maker.RNN.weights())
    functions = maker.functions_of(maker.bptt_source(maker.RNN.step, *call))
    maker.fill(maker.RNN, functions)
    functions["b"] = functions["b"].replace("    for t in", "    fma(1.0, 2.0)\n    for t in")
    with pytest.raises(maker.Outdated, match="no row for `fma"):
        maker.fill(maker.RNN, functions)
    with pytest.raises(maker.Outdated, match="0 lines of the hand derivation begin with 'dq ='"):
        maker.hand_line(maker.RNN, "dq =")


def test_the_sources_on_the_page_agree_with_the_hand_derivations(maker):
    """Run the printed functions, as saved to a file, beside `tg.manual`."""
    rng = np.random.default_rng(0)
    X, h0, c0 = (rng.standard_normal(s) for s in ((3, 2, 6), (4, 2), (4, 2)))  # columns: (n, m, T)
    dH = rng.standard_normal((4, 2, 6))
    rows = [X.transpose(1, 2, 0), h0.T]
    for name, gates in (("LSTM", 4), ("GRU", 3)):
        cell, states = getattr(maker, name), [h0, c0][: 2 if name == "LSTM" else 1]
        kernel, recurrent = rng.standard_normal((3, 4 * gates)), rng.standard_normal((4, 4 * gates))
        bias = rng.standard_normal(4 * gates if name == "LSTM" else (2, 4 * gates))
        manual = getattr(tg.manual, name.lower())
        params = {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
        by_hand = manual.backward(dH, manual.forward(X, *states, params)[1])
        values = {"Wx": kernel, "Wh": recurrent, "b": bias, "bx": bias[0], "bh": bias[-1]}
        weights = {k: tg.Variable(values[k], dtype="float64", name=k) for k in cell.weights()}
        text = tg.bptt_source(cell.step, rows[0][:, 0], [s.T for s in states], weights)
        module: dict = {}
        exec(text, module)
        arguments = [rows[0], *[s.T for s in states], *[w.numpy() for w in weights.values()]]
        cache = None
        for _ in range(2):  # the second time in the memory of the first
            *_, cache = module["forward"](*arguments, cache=cache)
            zeros = [np.zeros((2, 4)) for _ in states]
            found = module["backward"](*arguments, dH.transpose(1, 2, 0), *zeros, cache)
            np.testing.assert_allclose(found["dWx"], by_hand["dkernel"], rtol=1e-10)
            np.testing.assert_allclose(found["dWh"], by_hand["drecurrent_kernel"], rtol=1e-10)
            np.testing.assert_allclose(found["dX"], by_hand["dX"].transpose(1, 2, 0), rtol=1e-10)
            np.testing.assert_allclose(found["dh0"], by_hand["dh0"].T, rtol=1e-10)
            biases = found["db"] if name == "LSTM" else np.stack([found["dbx"], found["dbh"]])
            np.testing.assert_allclose(biases, by_hand["dbias"], rtol=1e-10)
