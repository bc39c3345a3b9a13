"""Models that record batches beside models that do not: they must have the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg


def silenced(model: Any, silent: bool) -> Any:
    """Nothing is recorded any more."""
    if silent:
        model._recordings.begin = lambda *_: None
    return model


def made(model: Any) -> list[bool]:
    """For each shape that came twice whether there is a recording."""
    return [recorded is not None for recorded in model._recordings.made.values()]


def both(build: Callable[[bool], Any], train: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A model that records and one that does not, trained alike from one seed: they must have the same bits."""
    pair, results = [], []
    for recorded in (True, False):
        tg.config.set_random_seed(3)
        model = build(recorded)
        results.append(train(model))
        pair.append(model)
    np.testing.assert_equal(results[0], results[1])
    for a, b in zip(pair[0].get_weights(), pair[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not pair[1]._recordings.made
    return pair[0], results[0]


def fitted(x: Any, y: Any, **options: Any) -> Callable[[Any], Any]:
    """Three epochs of `fit`; the history."""
    options = {"batch_size": 8, "epochs": 3, "verbose": 0, **options}
    return lambda model: model.fit(x, y, **options).history
