"""What compile, fit, evaluate and predict say about wrong arguments and data; nothing is changed by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers

IDS, LABELS = np.arange(12).reshape(4, 3) % 5, np.array([0.0, 1.0, 1.0, 0.0])
UNEVEN = [[1, 2], [3], [4, 0, 1], [2]]
PAD = r"expected rows of one length, received lengths 1 to 3; fill them up with utils\.pad_sequences"


def at(value: float) -> np.ndarray:
    return np.where(np.arange(4) == 2, value, 1.0)


def made(**options: Any) -> Any:
    model = tg.Sequential([layers.Embedding(5, 2), layers.LSTM(3), layers.Dense(1)], name="m")
    model.compile(**{"optimizer": "sgd", "loss": "mse", **options})
    return model


def trained(model: Any, loss: Any, y: Any = LABELS) -> None:
    """Train another model of the same layers with a loss."""
    other = tg.Sequential(model.layers)
    other.compile("sgd", loss)
    other.fit(IDS, y, verbose=0, shuffle=True)


BAD: list[tuple[Any, str]] = [
    (lambda m: m.fit(UNEVEN, LABELS, verbose=0), f"x: {PAD}"),
    (lambda m: m.fit(IDS, UNEVEN, verbose=0), f"y: {PAD}"),
    (lambda m: m.fit(iter([(UNEVEN, LABELS)]), verbose=0), f"x: {PAD}"),
    (lambda m: m.predict(UNEVEN, verbose=0), f"x: {PAD}"),
    (lambda m: m.predict(np.array(UNEVEN, object), verbose=0), "x: expected numbers.*utils.pad_sequences"),
    (lambda m: m(UNEVEN), f"embedding.*id: {PAD}"),
    (lambda m: m.fit(IDS, at(np.inf), verbose=0), r"mean_squared_error: y_true is infinite.*\(2,\)"),
    (lambda m: m.fit(IDS, at(-1e200), verbose=0), r"y_true is infinite as float32 at position \(2,\)"),
    (lambda m: m.fit(IDS, LABELS, sample_weight=at(np.nan)), r"sample_weight is NaN or infinite.*\(2,\)"),
    (lambda m: m.fit(iter([(IDS, LABELS, at(np.nan))]), verbose=0), r"sample_weight is NaN or.*\(2,\)"),
    (lambda m: trained(m, lambda y, p: None), "<lambda>: a loss returns a Tensor, received NoneType"),
    (
        lambda m: trained(m, lambda y, p: np.mean(np.asarray(p))),
        "a loss returns a Tensor, received float32.*tg.ops",
    ),
    (lambda m: trained(m, lambda y, p: 0.5), "a loss returns a Tensor, received float"),
    (
        lambda m: trained(m, "binary_crossentropy", at(3)),
        r"value 3.0 at position \(2,\) is out of range.* 0 to 1",
    ),
    (
        lambda m: trained(m, "binary_crossentropy", at(-1)),
        r"value -1.0 at position \(2,\).*-1 and 1 with hinge",
    ),
    (
        lambda m: m.fit(IDS, LABELS, class_weight="balanced"),
        "class_weight: expected a dict.*received 'balanced'",
    ),
    (lambda m: m.fit(IDS, LABELS, epoch=2), "m.fit: unknown argument 'epoch'; did you mean 'epochs'"),
    (lambda m: m.evaluate(IDS, LABELS, batchsize=2), "m.evaluate: .*'batchsize'; did you mean 'batch_size'"),
    (lambda m: m.predict(IDS, step=2), "m.predict: unknown argument 'step'; did you mean 'steps'"),
    (lambda m: m.compile("sgd", loss_fn=3), "m.compile: unknown argument 'loss_fn'; did you mean 'loss'"),
    (lambda m: m.fit(IDS, LABELS, epochs="3"), "fit: epochs must be a whole number, received '3'"),
    (lambda m: m.fit(IDS, LABELS, epochs=2.5), "fit: epochs must be a whole number, received 2.5"),
    (lambda m: m.fit(IDS, LABELS, steps_per_epoch="1"), "steps_per_epoch must be a whole number"),
    (lambda m: m.evaluate(IDS, LABELS, steps="1"), "evaluate: steps must be a whole number, received '1'"),
    (lambda m: m.predict(IDS, batch_size="a"), "predict: batch_size must be a whole number, received 'a'"),
    (lambda m: m.fit(IDS, verbose=0), "the output 'dense.*no target for it: give y beside x"),
    (lambda m: m.fit(IDS, LABELS, validation_data=IDS, verbose=0), r"validation_data=\(x, y\)"),
    (lambda m: m.fit([np.array(row) for row in UNEVEN], LABELS, verbose=0), "one array per input"),
]


@pytest.mark.parametrize("value", [3, -1, np.inf, np.nan])
def test_a_bad_label_in_a_later_batch_names_the_users_row(value: float) -> None:
    ids, labels = np.random.default_rng(0).integers(0, 5, (100, 3)), np.arange(100) % 2.0
    model = made(loss="binary_crossentropy", optimizer=tg.optimizers.SGD(1e-3))
    model.layers[-1].activation = tg.activations.sigmoid
    model.fit(ids, labels, batch_size=16, verbose=0)
    labels[97] = value
    for _ in range(2):
        with pytest.raises(ValueError, match=r"binary_crossentropy: .* at position \(97,\)"):
            model.fit(ids, labels, batch_size=16, epochs=2, verbose=0)


@pytest.mark.parametrize(("call", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_named_and_changes_nothing(call: Any, message: str) -> None:
    model = made()
    model.train_on_batch(IDS, LABELS)
    before = model.get_weights()
    for _ in range(2):
        with pytest.raises((ValueError, TypeError, FloatingPointError), match=message):
            call(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.optimizer.iterations == 1
