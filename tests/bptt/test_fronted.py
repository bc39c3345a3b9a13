"""The pass `fronted`: the weight in front of its product with gradients, where that is faster."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, agree, every_cell, problem
from bptt.test_passes import loop_of
from bptt.test_rows import source

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.passes import fronted, strips

RNG = np.random.default_rng(0)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is done for all sizes."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    for name, value in (("EXAMPLES", (1, 100)), ("UNITS", 1), ("GATES", 0)):
        monkeypatch.setattr(fronted, name, value)
    yield


@every_cell
def test_every_cell(name: str, everywhere: None) -> None:
    agree(name, 3, 4)
    agree(name, 1, 2)


def test_how_the_source_reads(everywhere: None) -> None:
    found, before = source(problem("lstm")), source(problem("lstm"), "fronted")
    assert "dot(Wh, di_df_dg_do_T[t], out=columns)" in found
    assert [s for s in loop_of(found.partition("def backward(")[2]) if "columns_T" in s] == [
        "dh[...] = columns_T"
    ]
    assert "columns  " in found.partition("import")[0]  # how to read it
    assert "columns" not in before and "dot(di_df_dg_do[t], Wh_T, out=" in before


def test_only_products_in_the_loop_with_a_weight(everywhere: None) -> None:
    """The gradient of the inputs is one product over all steps."""
    text = source(problem("lstm"))
    assert text.count("out=columns") == 1 and "= np.matmul(all_di_df_dg_do.reshape(T * N, 16), Wx.T)" in text


@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU])
@pytest.mark.parametrize("batch", fronted.EXAMPLES)
def test_layers_of_the_sizes_for_which_it_is_done(make: Any, batch: int) -> None:
    layer = make(fronted.UNITS, return_sequences=True, dtype="float64")
    xs = RNG.standard_normal((2, batch, 3, 4))
    layer(xs[0])
    weights = layer.trainable_weights
    for x in xs:
        want = tg.grad(ops.sum(ops.sin(layer(x))), weights)
        with tg.derived():
            found = tg.grad(ops.sum(ops.sin(layer(x))), weights)
        for g, w in zip(found, want, strict=True):
            np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-11, atol=1e-12 * np.abs(w.numpy()).max())


@pytest.mark.parametrize(
    ("batch", "units", "gates", "done"),
    [(16, 256, 3, 1), (32, 256, 4, 1), (15, 256, 3, 0), (33, 256, 3, 0), (16, 255, 3, 0), (16, 256, 1, 0)],
)
def test_the_sizes_for_which_it_is_done(
    batch: int, units: int, gates: int, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    turned = fronted._turned
    monkeypatch.setattr(strips, "takes_small_matrices_as_they_are", lambda: False)  # else in strips
    monkeypatch.setattr(fronted, "_turned", lambda v: made.append(v) or turned(v))
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    u = tg.Variable(RNG.standard_normal((units, gates * units)).astype("float32") / units)

    def step(x: Any, states: Any, constants: Any) -> Any:
        z = ops.tanh(states[0] @ u + x)
        h = sum(ops.split(z, gates, axis=1)[1:], start=ops.split(z, gates, axis=1)[0])
        return h, [h]

    x = RNG.standard_normal((batch, 2, gates * units)).astype("float32")
    y, _ = tg.scan(step, x, [np.zeros((batch, units), "float32")], derive=True)
    assert y.shape == (batch, 2, units) and len(made) == done


def test_it_can_be_switched_off(everywhere: None) -> None:
    with tg.bptt.without("fronted"):
        before = Result(problem("lstm"), derive=True).everything()
    after = Result(problem("lstm"), derive=True).everything()
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
