"""Random whole models against Keras in true float64: outputs, losses, gradients, metrics, five steps of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from keras64 import array, true_float64
from keras_models import Case

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")

CASES = 48
RTOL = 1e-9


@pytest.fixture
def keras64(keras: Any, float64: None) -> Iterator[Any]:
    with true_float64(keras):
        yield keras


def near(got: Any, want: Any, what: str, scale: float = 0.0) -> None:
    """Within 1e-9 of the largest number."""
    got, want = array(got), array(want)
    assert got.shape == want.shape and got.dtype == np.float64, what
    error = np.abs(got - want).max(initial=0.0) / max(np.abs(want).max(initial=0.0), scale, 1e-3)
    assert error < RTOL, f"{what}: {error:.1e}"


def gradients(model: Any, case: Case, differentiate: Any) -> tuple[Any, Any, list[Any]]:
    y_pred = model(case.x, training=True)
    loss = model.compute_loss(case.x, case.y, y_pred, case.weights)
    return y_pred, loss, differentiate(loss, model.trainable_weights)


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.filterwarnings("ignore")  # of both: losses given logits, Keras's arrays
def test_a_model_trains_as_in_keras(keras64, seed):
    case = Case(seed)
    theirs, ours = case.model(keras64), case.model(tg)
    rng = np.random.default_rng(seed)
    start = [0.6 * rng.standard_normal(w.shape) if w.trainable else array(w) for w in theirs.weights]
    for model in (theirs, ours):
        model.set_weights(start)
    y_pred, loss, grads = gradients(
        theirs, case, lambda loss, ws: torch.autograd.grad(loss, [w.value for w in ws], allow_unused=True)
    )
    mine, own_loss, own_grads = gradients(ours, case, tg.grad)
    near(mine, y_pred, "outputs")
    near(own_loss, loss, "loss")
    scale = max(float(np.abs(array(g)).max(initial=0.0)) for g in grads if g is not None)
    for w, got, want in zip(ours.trainable_weights, own_grads, grads, strict=True):
        near(
            np.zeros(w.shape) if got is None else got,
            np.zeros(w.shape) if want is None else want,
            w.path,
            scale,
        )
    for step in range(5):
        logs = [
            m.train_on_batch(case.x, case.y, sample_weight=case.weights, return_dict=True)
            for m in (ours, theirs)
        ]
        assert set(logs[1]) <= set(logs[0])  # one name twice: Keras keeps one of the two
        for name, value in logs[1].items():
            near(np.float64(logs[0][name]), np.float64(value), f"{name}, step {step}")
    for got, want in zip(ours.weights, theirs.weights, strict=True):
        near(got, want, f"{got.path} after five steps", 1.0)
