"""Who runs derived: layers, models and twins; training gives the same weights either way."""

from __future__ import annotations

import cProfile
import sys
from typing import Any

import numpy as np
import pytest
from bptt.problems import is_derived
from bptt.steps import inputs, start, weight

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops
from tinygrad_rnn.compare import compare_twins

X, Y = np.random.default_rng(0).standard_normal((4, 30, 3)).astype("float32"), np.ones((4, 1), "float32")


def test_scan_follows_the_switches_around_it() -> None:
    w = weight()

    def run(**options: Any) -> bool:
        y, _ = tg.scan(lambda x, s, c: (s[0], [ops.tanh(x + s[0] @ w)]), inputs(), start(), **options)
        return is_derived(y)

    assert not run()
    with tg.derived():
        assert run() and not run(derive=False)
        with tg.unrolled():
            assert not run() and run(derive=True)


@pytest.mark.parametrize(
    ("options", "unrolled"),
    [
        ({}, False),
        ({"jit_compile": True}, False),
        ({"jit_compile": False}, True),
        ({"run_eagerly": True}, True),
    ],
    ids=str,
)
def test_models_run_derived_unless_compiled_otherwise(
    options: Any, unrolled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from the node that the loss of a batch is computed from."""
    seen: list[bool] = []
    real = tg.Sequential.compute_loss

    def looking(self: Any, x: Any, y: Any, y_pred: Any, *rest: Any, **options: Any) -> Any:
        seen.append(is_derived(y_pred))
        return real(self, x, y, y_pred, *rest, **options)

    monkeypatch.setattr(tg.Sequential, "compute_loss", looking)
    model = tg.Sequential([layers.LSTM(4), layers.Dense(1)])
    model.compile("sgd", "mse", **options)
    model.fit(X, Y, epochs=2, verbose=0)
    assert seen == [not unrolled] * 2


def trained(**options: Any) -> list[np.ndarray[Any, Any]]:
    """The weights of a masked LSTM with both kinds of dropout, and what it predicts."""
    tg.utils.set_random_seed(3)
    model = tg.Sequential(
        [
            layers.Embedding(5, 3, mask_zero=True),
            layers.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.3),
            layers.Dropout(0.2),
            layers.LSTM(3, go_backwards=True),
            layers.Dense(1),
        ]
    )
    model.compile(tg.optimizers.Adam(0.01), "mse", **options)
    x = np.random.default_rng(0).integers(0, 5, (4, 12))  # 0 is masked
    model.fit(x, Y, epochs=3, batch_size=2, verbose=0)
    return [*[w.numpy() for w in model.weights], np.asarray(model.predict(x, verbose=0))]


def test_fit_gives_the_same_weights(float64: None) -> None:
    for derived, unrolled in zip(trained(), trained(jit_compile=False), strict=True):
        np.testing.assert_allclose(derived, unrolled, rtol=1e-8, atol=1e-10)


def test_twins_show_four_gradients() -> None:
    report = compare_twins(names=["vanilla_rnn", "lstm"])
    assert report
    for row in report.rows:
        assert row.derived is not None and row.numeric is not None
    header = str(report)
    for column in ("by hand", "derived", "numeric"):
        assert column in header, header


def test_another_profiler_is_left_alone() -> None:
    """Names are collected with `sys.setprofile`, which a running profiler keeps for itself."""
    profile = cProfile.Profile()
    layer = tg.layers.LSTM(3, return_sequences=True)
    x = np.ones((2, 4, 5), np.float32)
    profile.enable()
    try:
        with tg.derived():
            y = layer(x)
        kept = sys.getprofile()
    finally:
        profile.disable()
    assert kept is profile
    with tg.unrolled():
        np.testing.assert_allclose(y, layer(x), rtol=1e-5)


def test_gradients_of_a_float32_layer_are_checked_in_a_wide_copy() -> None:
    """`check_gradients` mixes float types; afterwards the layer runs derived again, on its own type."""
    layer = layers.LSTM(3, return_sequences=True)
    x = np.ones((1, 4, 2), "float32")
    with tg.derived():
        before = layer(x)
        assert tg.check_gradients(lambda: (layer(x) ** 2).sum(), layer)
        after = layer(x)
    assert is_derived(after) and after.dtype == np.float32
    np.testing.assert_array_equal(before, after)
