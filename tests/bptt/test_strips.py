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
from tinygrad_rnn.bptt.passes.strips import Tiles

RNG = np.random.default_rng(0)


def divides(number: int, *divisors: int) -> int:
    """The first of the divisors that divides a number, or 1."""
    return next((d for d in divisors if number % d == 0), 1)


CUTS = {
    "strips": lambda rows, inner, columns: Tiles(1, 1, divides(columns, 2)),
    "blocks and parts": lambda rows, inner, columns: Tiles(
        divides(inner, 4, 3, 2), divides(rows, 2, 3), divides(columns, 3, 2)
    ),
}


@pytest.fixture(params=CUTS)
def everywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """It is done for all sizes, with strips of two or three columns or of one."""
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    monkeypatch.setattr(strips, "tiles", CUTS[request.param])
    yield request.param


@every_cell
def test_every_cell(name: str, everywhere: str) -> None:
    agree(name, 3, 4)


def test_how_the_source_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "tiles", CUTS["strips"])
    found, before = source(problem("lstm")), source(problem("lstm"), "strips")
    loops = loop_of(found), loop_of(found.partition("def backward(")[2])
    assert "np.matmul(rows[t], weights_folded_strips, out=i_f_o_g_strips)" in loops[0]
    assert "np.matmul(di_df_dg_do[t], Wh_T_strips, out=dh_strips)" in loops[1]
    assert "Wh_T_strips[...] = Wh.T.reshape((16, 2, 2)).swapaxes(0, 1)" in found
    assert "dh_strips = dh.reshape((N, 2, 2)).transpose(1, 0, 2)" in found
    assert "weights_folded in 8 strips of 2 columns" in found.partition("import")[0]
    assert "strips" not in before


def test_how_the_source_of_a_product_in_tiles_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "tiles", lambda *_: Tiles(4, 1, 2))
    found = source(problem("lstm"))
    assert "np.matmul(di_df_dg_do_tiles[t], Wh_T_strips, out=dh_pieces_strips)" in found
    assert "np.add.reduce(dh_pieces, axis=0, out=dh)" in found
    assert "Wh_T_strips[...] = Wh.T.reshape((4, 1, 4, 2, 2)).swapaxes(2, 3)" in found
    introduction = " ".join(found.partition("import")[0].split())
    assert "weights_folded in 4 parts below each other, each in 8 strips of 2 columns" in introduction
    assert "rows_tiles rows, a part of its rows and columns at a time" in introduction
    assert "the products with the parts of a weight, whose sum is i_f_o_g" in introduction


def test_a_product_that_is_kept_for_all_steps_and_one_that_is_a_state(everywhere: str) -> None:
    W = tg.Variable(RNG.standard_normal((4, 4)) / 2, name="W")

    def step(x: Any, states: Any, constants: Any) -> Any:
        product = (states[0] + x) @ W
        return ops.sin(product), [product]

    x, h0 = RNG.standard_normal((3, 5, 4)), RNG.standard_normal((3, 4))
    assert "[t]" in (text := str(tg.bptt_source(step, x[:, 0], [h0])))
    assert (
        "np.add.reduce(product_pieces, axis=0, out=" if "parts" in everywhere else "_strips[t + 1])"
    ) in text
    found = []
    for derive in (True, False):
        y, last = tg.scan(step, x, [h0], derive=derive)
        found.append([y, *last, *tg.grad((y * y).sum(), [W])])
    close(*found)


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "cut"),
    [
        (16, 194, 512, (1, 1, 64)), (2, 1024, 512, (1, 1, 64)), (20, 230, 400, (1, 1, 80)),
        (8, 300, 500, (1, 1, 100)),        (16, 1024, 512, (1, 1, 32)), (64, 73, 256, (1, 1, 64)),
        (20, 2048, 512, (2, 1, 32)), (20, 1024, 256, (1, 2, 64)),
        (1, 2048, 1024, None), (25, 385, 512, None), (24, 194, 512, (1, 1, 64)),
        (16, 122, 512, None), (8, 300, 510, None), (19, 2048, 510, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_the_sizes_for_which_it_is_done(
    rows: int, inner: int, columns: int, cut: Any, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "takes_small_matrices_as_they_are", lambda: fast)
    monkeypatch.setattr(strips, "threads_in_loops", lambda: 2)
    assert strips.tiles(rows, inner, columns) == (cut if fast else None)


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "cut"),
    [
        (64, 257, 512, (1, 2, 64)), (64, 512, 512, (1, 4, 64)), (64, 512, 2048, (1, 2, 32)),
        (64, 2048, 512, (4, 4, 64)),        (64, 1536, 512, (2, 4, 64)), (32, 1024, 256, (1, 4, 64)),
        (24, 2048, 512, (2, 1, 32)), (256, 256, 256, (1, 8, 64)),
        (61, 257, 512, (1, 1, 32)), (128, 512, 2048, None), (257, 256, 256, None), (127, 512, 512, None),
    ],
)  # fmt: skip
def test_one_thread_takes_some_of_many_rows_at_a_time(
    rows: int, inner: int, columns: int, cut: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "takes_small_matrices_as_they_are", lambda: True)
    monkeypatch.setattr(strips, "threads_in_loops", lambda: 1)
    found = strips.tiles(rows, inner, columns)
    assert found == cut
    if found is not None:
        assert rows // found.blocks * (inner // found.parts) * found.width <= strips.MOST


def test_the_number_of_threads_is_that_of_now() -> None:
    with threadpool_limits(1, user_api="blas"):
        assert blas.threads() == 1


@pytest.mark.parametrize("batch", [12, 48])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_layers_of_a_size_for_which_it_is_done(
    make: Any, dtype: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three calls, with other weights each time."""
    monkeypatch.setattr(strips, "threads_in_loops", lambda: 1)
    monkeypatch.setattr(strips, "takes_small_matrices_as_they_are", lambda: True)
    monkeypatch.setattr(derived, "_plans", OrderedDict())
    layer = make(320, return_sequences=True, dtype=dtype)
    xs = RNG.standard_normal((3, batch, 3, 5)).astype(dtype)
    layer(xs[0])
    for x in xs:
        layer_agrees(layer, x, rtol=1e-12 if dtype == "float64" else 2e-5)
        layer.set_weights([0.9 * w for w in layer.get_weights()])
    assert all("strips" in plan.built.text for plan in derived._plans.values())


def test_it_can_be_switched_off(everywhere: str) -> None:
    with tg.bptt.without("strips"):
        before = Result(problem("lstm"), derive=True).everything()
    close(Result(problem("lstm"), derive=True).everything(), before)
