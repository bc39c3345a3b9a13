"""Preprocessing layers in front of a network: trained on their results, run inside a model, saved with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.models import load_model

TEXTS = ["good", "very good", "not bad", "bad", "not good", "very bad 🙂"] * 4
LABELS = np.array([1.0, 1, 1, 0, 0, 0] * 4, np.float32)


def test_the_same_names_in_both_places() -> None:
    for name in tg.layers.preprocessing.__all__:
        assert getattr(layers, name) is getattr(tg.preprocessing, name)


@pytest.mark.parametrize("mode", ["int", "multi_hot", "count", "tf_idf"])
def test_fit_on_the_numbers_of_texts(mode: str) -> None:
    vectorize = layers.TextVectorization(output_mode=mode)
    vectorize.adapt(TEXTS)
    x = vectorize(TEXTS)
    size = vectorize.vocabulary_size()
    body = (
        [layers.Embedding(size, 4, mask_zero=True), layers.GRU(6)]
        if mode == "int"
        else [layers.Dense(6, "tanh")]
    )
    model = tg.Sequential([*body, layers.Dense(1, "sigmoid")])
    model.compile(tg.optimizers.Adam(0.05), "binary_crossentropy")
    losses = model.fit(x, LABELS, epochs=14, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert {w.dtype.name for w in model.weights} == {"float32"} == {model.predict(x).dtype.name}


def text_model() -> Any:
    vectorize = layers.TextVectorization()
    vectorize.adapt(TEXTS)
    x = tg.Input((1,), dtype="string")
    y = layers.GRU(3)(layers.Embedding(vectorize.vocabulary_size(), 2, mask_zero=True)(vectorize(x)))
    return tg.Model(x, layers.Dense(1)(y))


def test_texts_go_into_a_model_that_is_called_and_saved(tmp_path: Path) -> None:
    model = text_model()
    assert model.layers[0].output_shape == (None, None) and model.layers[1].output_shape == (None, None, 2)
    texts = np.array([["very good"], ["unheard of 🙂"]])
    want = model(texts).numpy()
    longer = model(np.array([["very good"], ["a b c d e f"]])).numpy()
    np.testing.assert_allclose(longer[0], want[0], rtol=1e-6)  # padding is masked
    model.save(tmp_path / "m.tgr")
    for _ in range(2):
        loaded = load_model(tmp_path / "m.tgr")
        assert loaded.layers[0].get_vocabulary() == model.layers[0].get_vocabulary()
        np.testing.assert_array_equal(loaded(texts).numpy(), want)
        loaded.save(tmp_path / "m.tgr")


def test_texts_given_to_a_network_are_refused() -> None:
    model = tg.Sequential([tg.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    texts = np.array([["good"], ["bad"]])
    for call in (lambda: model.fit(texts, LABELS[:2], verbose=0), lambda: model.predict(texts)):
        with pytest.raises(TypeError, match="expected numbers, received an array of <U4"):
            call()


def test_numbers_in_a_model(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(50, 20, (64, 6, 2)).astype(np.float32)
    y = (x[:, -1, 0] / 20).astype(np.float32)
    normalize = layers.Normalization()
    normalize.adapt(x)
    model = tg.Sequential(
        [tg.Input((None, 2)), normalize, layers.Rescaling(0.5, 0.1), layers.GRU(4), layers.Dense(1)]
    )
    model.compile(tg.optimizers.Adam(0.05), "mse")
    kept = normalize.get_weights()
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all(np.array_equal(a, b) for a, b in zip(kept, normalize.get_weights(), strict=True))
    model.save(tmp_path / "m.tgr")
    loaded = load_model(tmp_path / "m.tgr")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert all(np.array_equal(a, b) for a, b in zip(kept, loaded.layers[0].get_weights(), strict=True))
    assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)


def test_categories_in_a_model(tmp_path: Path, rng: np.random.Generator) -> None:
    age, kind = tg.Input((1,), name="age"), tg.Input((2,), dtype="int64", name="kind")
    bins = layers.Discretization(num_bins=3, output_mode="one_hot")
    ages = rng.uniform(0, 90, (30, 1)).astype(np.float32)
    bins.adapt(ages)
    ids = layers.IntegerLookup(vocabulary=[10, 20, 30], output_mode="count")
    out = [layers.Dense(1)(bins(age)), layers.Dense(1)(ids(kind))]
    model = tg.Model([age, kind], out)
    assert bins.output_shape == (None, 3) and ids.output_shape == (None, 4)
    kinds = rng.choice([10, 20, 30, 40], (30, 2))
    model.compile("adam", ["mse", "mse"])
    targets = [np.zeros((30, 1), np.float32)] * 2
    losses = model.fit([ages, kinds], targets, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "m.tgr")
    for a, b in zip(
        load_model(tmp_path / "m.tgr").predict([ages, kinds]), model.predict([ages, kinds]), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def texts_first(kind: str) -> Any:
    vectorize = layers.TextVectorization()
    vectorize.adapt(TEXTS)
    behind = [
        layers.Embedding(vectorize.vocabulary_size(), 2, mask_zero=True),
        layers.GRU(3),
        layers.Dense(1),
    ]
    if kind == "functional":
        return text_model()
    start = [tg.Input((1,), dtype="string")] if kind == "with Input" else []
    return tg.Sequential([*start, vectorize, *behind])


@pytest.mark.parametrize("kind", ["functional", "with Input", "without"])
@pytest.mark.parametrize("form", ["object", "U", "list"])
def test_fit_evaluate_and_predict_on_texts(tmp_path: Path, kind: str, form: str) -> None:
    model = texts_first(kind)
    model.compile("adam", "mse")
    array = np.array(TEXTS)[:, None]
    x = array.tolist() if form == "list" else array.astype(object) if form == "object" else array
    for _ in range(2):
        history = model.fit(x, LABELS, batch_size=7, epochs=2, verbose=0, validation_split=0.25)
        assert np.isfinite(history.history["val_loss"]).all()
        assert np.isfinite(model.evaluate(x, LABELS, verbose=0))
        want = model.predict(x)
        np.testing.assert_allclose(model.predict(array, batch_size=5), want, rtol=1e-5)
        np.testing.assert_allclose(model(x).numpy(), want, rtol=1e-5)
        model.save(tmp_path / "m.tgr")
        model = load_model(tmp_path / "m.tgr")


def test_a_plain_list_of_texts() -> None:
    model = texts_first("without")
    model.compile("adam", "mse")
    model.fit(TEXTS, LABELS, verbose=0)
    assert model.predict(TEXTS).shape == (24, 1)
    np.testing.assert_allclose(model(["bad", "very good"]), model.predict(["bad", "very good"]), rtol=1e-6)
    with pytest.raises(ValueError, match=r"expected an input of shape \(None, 1\), received \(2,\)"):
        texts_first("with Input")(["bad", "good"])
    for wrong in (np.array([["a", None]]), np.array([[b"a"]])):
        with pytest.raises(TypeError, match="expected numbers, received an array"):
            model.predict(wrong)
    with pytest.raises(TypeError, match="y: expected numbers"):
        model.fit(TEXTS, TEXTS, verbose=0)
    with pytest.raises(TypeError, match="x must be arrays or an iterable of batches, received str"):
        model.predict("bad")
