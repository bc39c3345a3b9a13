"""Normalization layers: values and gradients against Keras and PyTorch, moving averages, masks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from keras_twins import check_config, check_formula, check_keras, check_numerically, data, keras, torch

import tinygrad_rnn as tg
from tinygrad_rnn import layers

F = torch.nn.functional
MASK = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
X = [(3, 4, 6)]
TRAINING = {"training": True}
# name, options, call arguments
KERAS = [
    ("LayerNormalization", {}, {}),
    ("LayerNormalization", {"epsilon": 0.1, "center": False}, TRAINING),
    ("LayerNormalization", {"axis": [1, 2], "scale": False}, {}),
    ("LayerNormalization", {"center": False, "scale": False}, {}),
    ("BatchNormalization", {}, {}),
    ("BatchNormalization", {}, TRAINING),
    ("BatchNormalization", {"axis": 1, "scale": False, "epsilon": 0.1}, TRAINING),
    ("BatchNormalization", {"momentum": 0.6}, {**TRAINING, "mask": MASK}),
    ("BatchNormalization", {"momentum": 0.6}, {"mask": MASK}),
    ("BatchNormalization", {"center": False, "trainable": False}, TRAINING),
    ("GroupNormalization", {"groups": 2}, {}),
    ("GroupNormalization", {"groups": -1, "axis": 1, "scale": False}, {}),
    ("GroupNormalization", {"groups": 3, "center": False, "epsilon": 0.1}, TRAINING),
    ("RMSNormalization", {}, {}),
    ("RMSNormalization", {"axis": (1, 2), "epsilon": 0.1}, {}),
    ("UnitNormalization", {}, {}),
    ("UnitNormalization", {"axis": (1, 2)}, {}),
]


@pytest.mark.parametrize(("name", "options", "call"), KERAS)
def test_keras(name: str, options: dict[str, Any], call: dict[str, Any]) -> None:
    check_keras(name, options, X, call)


def spread(weight: Any, axis: int, ndim: int = 3) -> Any:
    return weight.reshape([-1 if a == axis % ndim else 1 for a in range(ndim)])


def batch_norm(axis: int = -1, mask: Any = None, training: bool = True) -> Any:
    def formula(xs: Any, w: Any) -> Any:
        (x,), (gamma, beta, mean, variance) = xs, w
        if training and mask is None:
            axes = [a for a in range(3) if a != axis % 3]
            mean, variance = x.mean(axes), x.var(axes, correction=0)
        elif training:
            rows = x[torch.tensor(mask)]
            mean = rows.sum(0) / (len(rows) + 1e-7)
            variance = ((rows - mean) ** 2).sum(0) / (len(rows) + 1e-7)
        mean, variance, gamma, beta = (spread(v, axis) for v in (mean, variance, gamma, beta))
        return gamma * (x - mean) / torch.sqrt(variance + 1e-3) + beta

    return formula


FORMULAS = [
    (layers.LayerNormalization, {}, {}, lambda x, w: F.layer_norm(*x, (6,), *w, eps=1e-3)),
    (
        layers.LayerNormalization,
        {"axis": 1},
        {},
        lambda x, w: F.layer_norm(x[0].mT, (4,), *w, eps=1e-3).mT,
    ),
    (layers.BatchNormalization, {}, TRAINING, batch_norm()),
    (layers.BatchNormalization, {"axis": 1}, TRAINING, batch_norm(1)),
    (layers.BatchNormalization, {}, {**TRAINING, "mask": MASK}, batch_norm(mask=MASK)),
    (layers.BatchNormalization, {}, {}, batch_norm(training=False)),
    (
        layers.GroupNormalization,
        {"groups": 3},
        {},
        lambda x, w: F.group_norm(x[0].mT, 3, *w, eps=1e-3).mT,
    ),
    (
        layers.RMSNormalization,
        {"axis": 1},
        {},
        lambda x, w: x[0] / torch.sqrt((x[0] ** 2).mean(1, keepdim=True) + 1e-6) * spread(w[0], 1),
    ),
    (layers.UnitNormalization, {}, {}, lambda x, w: F.normalize(*x, dim=-1)),
]


@pytest.mark.parametrize(("cls", "options", "call", "formula"), FORMULAS)
def test_float64_formula(cls: Any, options: Any, call: Any, formula: Any) -> None:
    check_formula(cls(**options, dtype="float64"), formula, X, call)


@pytest.mark.parametrize(
    ("name", "options", "call"),
    [c for c in KERAS if not (c[0] == "BatchNormalization" and "epsilon" in c[1])],
)
def test_numeric_gradients(name: str, options: dict[str, Any], call: dict[str, Any]) -> None:
    check_numerically(getattr(layers, name)(**options, dtype="float64"), X, **call)


@pytest.mark.parametrize(("name", "options", "_"), KERAS)
def test_configuration(name: str, options: dict[str, Any], _: Any) -> None:
    check_config(getattr(layers, name)(**options))


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize("name", sorted({name for name, _, _ in KERAS}))
def test_masks_go_on_as_in_keras(name: str) -> None:
    options = {"groups": 2} if name == "GroupNormalization" else {}
    ids = np.array([[1, 2, 0]])
    ours = getattr(layers, name)(**options)(layers.Embedding(5, 6, mask_zero=True)(ids))
    with warnings.catch_warnings():  # Keras says that it drops a mask
        warnings.simplefilter("ignore")
        theirs = getattr(keras.layers, name)(**options)(keras.layers.Embedding(5, 6, mask_zero=True)(ids))
    mask, expected = getattr(ours, "_mask", None), getattr(theirs, "_keras_mask", None)
    assert (None if mask is None else mask.tolist()) == (None if expected is None else expected.tolist())


def test_moving_averages() -> None:
    layer = layers.BatchNormalization(momentum=0.9)
    mean, variance = np.zeros(6), np.ones(6)
    for seed in range(3):
        (x,) = data(X, "float32", seed)
        layer(x, training=True)
        mean = 0.9 * mean + 0.1 * x.mean((0, 1), dtype=float)
        variance = 0.9 * variance + 0.1 * x.var((0, 1), dtype=float)
        np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)
        np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)
        layer(x)  # without training they stay
        with tg.no_grad():
            layer(x, training=False)
    assert layer.moving_mean.dtype == np.float32
    assert len(layer.trainable_weights) == len(layer.non_trainable_weights) == 2
    assert layer.non_trainable_variables == layer.non_trainable_weights


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_batches_that_say_nothing_leave_the_averages(bad: float) -> None:
    (x,) = data(X)
    layer = layers.BatchNormalization()
    layer(x, training=True)
    kept = layer.get_weights()
    layer(np.where(np.arange(6) == 2, bad, x), training=True)
    y = layer(x, training=True, mask=np.zeros((3, 4), bool))
    assert np.isfinite(y).all()
    layer(np.zeros((0, 4, 6)), training=True)
    for before, after in zip(kept, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    hidden = np.where(MASK[..., None], x, bad)  # behind the mask, nothing is looked at
    y = layer(hidden, training=True, mask=MASK).numpy()
    assert np.isfinite(y[MASK]).all()
    assert np.isfinite(layer.moving_mean).all() and not np.array_equal(layer.moving_mean, kept[2])


def test_frozen_is_inference_and_thawing_trains_no_averages() -> None:
    (x,) = data(X, "float32")
    layer = layers.BatchNormalization()
    layer(x, training=True)
    layer.trainable = False
    kept = layer.get_weights()
    np.testing.assert_array_equal(layer(x, training=True), layer(x))
    assert layer.trainable_weights == []
    assert type(layer).from_config(layer.get_config()).trainable is False
    layer.trainable = True
    assert [w.name for w in layer.trainable_weights] == ["gamma", "beta"]
    for before, after in zip(kept, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    layer(x, training=True)
    assert not np.array_equal(kept[2], layer.moving_mean)


def network(on_nonfinite: str = "raise", build: bool = True) -> Any:
    first = [layers.Input((6,))] if build else []
    model = tg.Sequential(
        [*first, layers.Dense(5), layers.BatchNormalization(), layers.Dense(3, activation="softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", on_nonfinite=on_nonfinite)
    return model


@pytest.mark.parametrize("derive", [True, False])
def test_training_prediction_and_saving(derive: bool, tmp_path: Any) -> None:
    (x,) = data([(12, 6)], "float32")
    model = network()
    assert not model.weights[4].numpy().any()  # building on symbols moved nothing
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=derive)
    model.fit(x, np.arange(12) % 3, epochs=2, batch_size=4, verbose=0)
    kept = model.get_weights()
    assert kept[4].any() and (kept[5] != 1).all()
    predicted = model.predict(x)
    model.evaluate(x, np.arange(12) % 3)
    for before, after in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    model.layers[1].trainable = False
    model.save(tmp_path / "model.tgr")
    again = tg.models.load_model(tmp_path / "model.tgr")
    np.testing.assert_array_equal(again.predict(x), predicted)
    assert again.layers[1].trainable is False
    again.fit(x, np.arange(12) % 3, verbose=0)
    np.testing.assert_array_equal(again.weights[4], kept[4])


@pytest.mark.parametrize("build", [True, False])
@pytest.mark.parametrize("kind", ["label", "inputs", "behind", "skip"])
def test_a_batch_that_fails_changes_nothing(kind: str, build: bool) -> None:
    (x,) = data([(4, 6)], "float32")
    model = network("skip" if kind == "skip" else "raise", build)
    if build:
        model.train_on_batch(x, np.arange(4) % 3)
    labels = np.full(4, 7) if kind == "label" else np.arange(4) % 3
    wrong = np.where(x > 1, np.nan, x) if kind == "inputs" else x
    if kind in ("behind", "skip"):  # the averages have moved when the values go wrong
        model.layers[-1].activation = lambda y: tg.ops.softmax(y) * np.nan
    kept = model.get_weights()[-4:-2] if build else [np.zeros(5), np.ones(5)]
    for _ in range(2):
        if kind == "skip":
            assert np.isnan(model.train_on_batch(wrong, labels))
        else:
            with pytest.raises((FloatingPointError, ValueError)):
                model.train_on_batch(wrong, labels)
        for before, after in zip(kept, model.get_weights()[-4:-2], strict=True):
            np.testing.assert_array_equal(before, after)
    model.layers[-1].activation = tg.ops.softmax
    model.train_on_batch(x, np.arange(4) % 3)
    assert not np.array_equal(model.get_weights()[-4], kept[0])


class NormalizedCell(tg.Layer):
    """A user's cell with batch normalization inside."""

    state_size = 5

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kernel = layers.Dense(5, name="kernel")
        self.norm = layers.BatchNormalization(name="norm")

    def call(self, inputs: Any, states: Any) -> Any:
        h = tg.ops.tanh(self.norm(self.kernel(inputs)) + 0.5 * states[0])
        return h, [h]


def test_inside_a_derived_recurrence() -> None:
    (x,) = data(X, "float32")
    layer = layers.RNN(NormalizedCell())
    before = layer(x).numpy()
    with tg.derived():
        np.testing.assert_allclose(layer(x), before, rtol=1e-6)
    averages = []
    for switch in (tg.unrolled(), tg.derived()):
        layer.cell.norm._states = None  # from the start
        with switch:
            if switch.changes["derive"]:
                with pytest.warns(UserWarning, match="unrolled"):
                    layer(x, training=True)
            else:
                layer(x, training=True)
        averages.append(layer.cell.norm.moving_mean.numpy())
    np.testing.assert_array_equal(*averages)
    with tg.derived():
        assert not np.array_equal(layer(x), before)  # the new averages are seen


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.LayerNormalization(axis=3)(np.ones((2, 3))), "layer_normalization.*axis 3"),
        (lambda: layers.BatchNormalization(renorm=True), "renorm.*not offered"),
        (lambda: layers.BatchNormalization(synchronized=True), "synchronized.*not offered"),
        (lambda: layers.BatchNormalization()(layers.Input((None,))), "axis -1 must be known"),
        (
            lambda: layers.BatchNormalization()(np.ones((2, 3, 4)), training=True, mask=np.ones((2, 4))),
            r"mask of shape \(2, 3\), received \(2, 4\)",
        ),
        (lambda: layers.BatchNormalization(axis=[1, 2]), "BatchNormalization: axis must be an integer"),
        (lambda: layers.GroupNormalization(2, axis=(1, 2)), "GroupNormalization: axis must be an integer"),
        (lambda: layers.GroupNormalization(4)(np.ones((2, 6))), "4 groups do not divide 6"),
        (lambda: layers.GroupNormalization()(np.ones((2, 6))), "32 groups do not divide 6"),
        (lambda: layers.LayerNormalization(scales=True), "scales"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("name", ["LayerNormalization", "BatchNormalization", "RMSNormalization"])
def test_other_features_than_at_first_are_refused(name: str) -> None:
    layer = getattr(layers, name)()
    layer(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"expected length \(4,\) on axis -1, received shape \(2, 5\)"):
        layer(np.ones((2, 5)))
