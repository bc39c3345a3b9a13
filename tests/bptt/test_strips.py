"""The pass `strips`: products of a few rows with a large weight, strip by strip of its columns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, agree, close, every_cell, layer_agrees, problem
from bptt.test_passes import loop_of
from bptt.test_rows import source
from threadpoolctl import threadpool_limits

import tinygrad_rnn as tg
from tinygrad_rnn import blas, layers, ops
from tinygrad_rnn.bptt import derived
from tinygrad_rnn.bptt.passes import strips

RNG = np.random.default_rng(0)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is done for all sizes, with strips of two columns or of one."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(strips, "width", lambda rows, inner, columns: 2 if columns % 2 == 0 else 1)
    yield


@every_cell
def test_every_cell(name: str, everywhere: None) -> None:
    agree(name, 3, 4)
    agree(name, 1, 2)


def test_how_the_source_reads(everywhere: None) -> None:
    found, before = source(problem("lstm")), source(problem("lstm"), "strips")
    loops = loop_of(found), loop_of(found.partition("def backward(")[2])
    assert "np.matmul(rows[t], weights_folded_strips, out=i_f_o_g_strips)" in loops[0]
    assert "np.matmul(di_df_dg_do[t], Wh_T_strips, out=dh_strips)" in loops[1]
    assert "Wh_T_strips[...] = Wh.T.reshape((16, 2, 2)).swapaxes(0, 1)" in found
    assert "dh_strips = dh.reshape((N, 2, 2)).transpose(1, 0, 2)" in found
    assert "weights_folded in 8 strips of 2 columns" in found.partition("import")[0]
    assert "strips" not in before


def test_a_product_that_is_kept_for_all_steps_and_one_that_is_a_state(everywhere: None) -> None:
    W = tg.Variable(RNG.standard_normal((4, 4)) / 2, name="W")

    def step(x: Any, states: Any, constants: Any) -> Any:
        product = (states[0] + x) @ W
        return ops.sin(product), [product]

    x, h0 = RNG.standard_normal((3, 5, 4)), RNG.standard_normal((3, 4))
    assert "[t]" in (text := str(tg.bptt_source(step, x[:, 0], [h0]))) and "_strips[t + 1])" in text
    found = []
    for derive in (True, False):
        y, last = tg.scan(step, x, [h0], derive=derive)
        found.append([y, *last, *tg.grad((y * y).sum(), [W])])
    close(*found)


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "wide"),
    [
        (16, 194, 512, 64), (2, 1024, 512, 64), (20, 230, 400, 80), (8, 300, 500, 100),
        (16, 1024, 512, 32), (64, 73, 256, 64), (1, 2048, 1024, 0), (21, 194, 512, 0), (16, 122, 512, 0),
        (20, 2048, 512, 0), (8, 300, 510, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_the_sizes_for_which_it_is_done(
    rows: int, inner: int, columns: int, wide: int, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "takes_small_matrices_as_they_are", lambda: fast)
    monkeypatch.setattr(strips, "threads", lambda: 2)
    assert strips.width(rows, inner, columns) == (wide if fast else 0)


def test_one_thread_has_strips_for_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "takes_small_matrices_as_they_are", lambda: True)
    for threads, widths in ((1, [64, 64, 64, 32, 0]), (2, [64, 0, 0, 0, 0])):
        monkeypatch.setattr(strips, "threads", lambda n=threads: n)
        assert [strips.width(rows, 257, 512) for rows in (20, 21, 60, 64, 81)] == widths


def test_the_number_of_threads_is_that_of_now() -> None:
    with threadpool_limits(1, user_api="blas"):
        assert blas.threads() == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_layers_of_a_size_for_which_it_is_done(
    make: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three calls, with other weights each time."""
    monkeypatch.setattr(strips, "takes_small_matrices_as_they_are", lambda: True)
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    layer = make(320, return_sequences=True, dtype=dtype)
    xs = RNG.standard_normal((3, 12, 3, 5)).astype(dtype)
    layer(xs[0])
    for x in xs:
        layer_agrees(layer, x, rtol=1e-12 if dtype == "float64" else 2e-5)
        layer.set_weights([0.9 * w for w in layer.get_weights()])
    assert all("strips" in plan.built.text for plan in derived._plans.values())


def test_it_can_be_switched_off(everywhere: None) -> None:
    with tg.bptt.without("strips"):
        before = Result(problem("lstm"), derive=True).everything()
    close(Result(problem("lstm"), derive=True).everything(), before)
