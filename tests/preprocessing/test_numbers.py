"""Normalization, Rescaling, CategoryEncoding and Discretization against Keras, NumPy and by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.layers import CategoryEncoding, Discretization, Normalization, Rescaling
from tinygrad_rnn.utils.registry import plain


def again(layer: Any) -> Any:
    config = {key: plain(value) for key, value in layer.get_config().items()}
    return type(layer).from_config(json.loads(json.dumps(config)))


# --- Normalization --------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 1, 2, None, (1, 2), (0, 2)])
@pytest.mark.parametrize("invert", [False, True])
def test_normalization_is_kerass(keras: Any, rng: np.random.Generator, axis: Any, invert: bool) -> None:
    data, x = (rng.normal(3, 2, (6, 5, 4)).astype(np.float32) for _ in range(2))
    ours, theirs = Normalization(axis, invert=invert), keras.layers.Normalization(axis, invert=invert)
    for _ in range(2):
        ours.adapt(data)
        theirs.adapt(data)
        np.testing.assert_allclose(ours(x).numpy(), np.asarray(theirs(x)), rtol=2e-5, atol=1e-6)
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights] == ["mean", "variance", "count"]
    assert ours.trainable_weights == []


@pytest.mark.parametrize(
    ("axis", "mean", "variance"), [(-1, 3.0, 2.0), (-1, [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), (None, 1.0, 4.0)]
)
def test_given_mean_and_variance(
    keras: Any, rng: np.random.Generator, axis: Any, mean: Any, variance: Any
) -> None:
    x = rng.standard_normal((4, 3)).astype(np.float32)
    layer = Normalization(axis, mean, variance)
    want = np.asarray(keras.layers.Normalization(axis, mean, variance)(x))
    for made in (layer, again(layer)):
        np.testing.assert_allclose(made(x).numpy(), want, rtol=1e-6)
        assert made.weights == []
    with pytest.raises(ValueError, match="mean and variance were given"):
        layer.adapt(x)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.sampled_from([1e-3, 1.0, 1e4]))
def test_batches_add_up_to_the_whole(sizes: list[int], shift: float) -> None:
    rng = np.random.default_rng(sum(sizes))
    data = rng.standard_normal((sum(sizes), 3)) + shift
    parts = np.split(data, np.cumsum(sizes)[:-1])
    whole, batched = Normalization(dtype="float64"), Normalization(dtype="float64")
    whole.adapt(data)
    batched.adapt(part for part in parts)
    for layer in (whole, batched):
        np.testing.assert_allclose(layer.mean.numpy(), data.mean(0), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(layer.variance.numpy(), data.var(0), rtol=1e-9, atol=1e-20)
        assert int(layer.count.numpy()) == len(data)
    batched.adapt(iter(parts), steps=1)
    np.testing.assert_allclose(batched.mean.numpy(), parts[0].mean(0), rtol=1e-12, atol=1e-13)


def test_inverse_types_and_constants(rng: np.random.Generator) -> None:
    data = rng.normal(5, 3, (40, 2))
    there, back = Normalization(), Normalization(invert=True)
    for layer in (there, back):
        layer.adapt(data)
    x = data[:5].astype(np.float32)
    np.testing.assert_allclose(back(there(x)).numpy(), x, rtol=1e-5)
    assert there(x).dtype == "float32" and there(np.arange(4).reshape(2, 2)).dtype == "float32"
    flat = Normalization()
    flat.adapt(np.full((4, 1), 7.0))
    assert flat([[7.0], [8.0]]).numpy().ravel().tolist() == pytest.approx([0.0, 1e7])
    assert Normalization(axis=None)(3.0).numpy() == 3.0  # not adapted: mean 0, variance 1


def test_gradients_go_through() -> None:
    layer = Normalization(mean=1.0, variance=4.0)
    x = tg.tensor([[1.0, 3.0]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0.5, 0.5]]


def test_unlike_and_empty_data_change_nothing(rng: np.random.Generator) -> None:
    layer = Normalization()
    layer.adapt(rng.standard_normal((5, 3)))
    before = layer.get_weights()
    for bad in (
        rng.standard_normal((5, 4)),
        np.full((2, 3), np.nan),
        np.empty((0, 3)),
        iter([rng.standard_normal((5, 3)), rng.standard_normal((5, 2))]),
        [],
    ):
        with pytest.raises(ValueError):
            layer.adapt(bad)
        assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    with pytest.raises(ValueError, match=r"built for positions \(1, 3\), received shape \(2, 4\)"):
        layer(np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": 1.0}, "give both mean and variance"),
        ({"mean": 1.0, "variance": [1.0]}, "differ in shape"),
        ({"mean": [[1.0]], "variance": [[1.0]]}, "there are 1 axes to keep"),
    ],
)
def test_wrong_normalizations(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Normalization(**options)
    with pytest.raises(ValueError, match="axis .* does not exist"):
        Normalization(axis=5)(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no known length"):
        Normalization(axis=1)(tg.Input((None, 2)))


# --- Rescaling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "offset"), [(1 / 255, 0.0), (2.0, -1.0), ([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])]
)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_rescaling_is_kerass(keras: Any, scale: Any, offset: Any, dtype: str) -> None:
    x = (np.arange(12).reshape(4, 3) * 7).astype(dtype)
    layer = Rescaling(scale, offset)
    want = np.asarray(keras.layers.Rescaling(np.array(scale), np.array(offset))(x))
    for made in (layer, again(layer)):
        got = made(x)
        assert got.dtype == "float32"
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    assert Rescaling(0.5)([2, 4]).tolist() == [1.0, 2.0]


# --- CategoryEncoding -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(5,), (4, 1), (4, 3)])
def test_category_encoding_is_kerass(
    keras: Any, rng: np.random.Generator, mode: str, shape: tuple[int, ...]
) -> None:
    ids = rng.integers(4, size=shape)
    layer = CategoryEncoding(4, mode)
    want = np.asarray(keras.layers.CategoryEncoding(4, mode)(ids))
    for made in (layer, again(layer)):
        for inputs in (ids, ids.tolist(), ids.astype("uint8"), ids.astype(float)):
            assert made(inputs).dtype == "float32"
            np.testing.assert_array_equal(made(inputs), want)


def test_count_weights(keras: Any) -> None:
    ids, weights = np.array([[0, 1, 1], [2, 0, 2]]), np.array([[0.1, 0.2, 0.3], [1, 2, 3]])
    layer = CategoryEncoding(3, "count")
    want = np.asarray(keras.layers.CategoryEncoding(3, "count")(ids, count_weights=weights))
    np.testing.assert_allclose(layer(ids, count_weights=weights), want, rtol=1e-6)
    np.testing.assert_allclose(layer(ids.tolist(), weights.tolist()), want, rtol=1e-6)
    with pytest.raises(ValueError, match="count_weights are for output_mode='count'"):
        CategoryEncoding(3)(ids, count_weights=weights)


def test_wrong_categories() -> None:
    with pytest.raises(ValueError, match=r"4 at position \(1, 0\) is outside 0\.\.3"):
        CategoryEncoding(4)([[0], [4]])
    with pytest.raises(ValueError, match="-1 at position"):
        CategoryEncoding(4)([-1])
    with pytest.raises(ValueError, match="expected integers"):
        CategoryEncoding(4)([0.5])
    for num_tokens in (None, 0, 1.5):
        with pytest.raises(ValueError, match="use IntegerLookup"):
            CategoryEncoding(num_tokens)
    for options in ({"output_mode": "int"}, {"sparse": True}):
        with pytest.raises(ValueError):
            CategoryEncoding(4, **options)  # type: ignore[arg-type]


# --- Discretization -------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=6), st.lists(st.floats(-12, 12), min_size=1, max_size=9)
)
def test_bins_are_their_definition(boundaries: list[float], values: list[float]) -> None:
    boundaries = sorted(boundaries)
    want = [sum(b <= v for b in boundaries) for v in values]
    layer = Discretization(boundaries, dtype="float64")
    assert layer(values).tolist() == want == again(layer)(values).tolist()


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_discretization_is_kerass(keras: Any, rng: np.random.Generator, mode: str) -> None:
    x = rng.normal(0, 2, (5, 3)).astype(np.float32)
    want = np.asarray(keras.layers.Discretization([-1.0, 0.5], output_mode=mode)(x))
    np.testing.assert_array_equal(Discretization([-1.0, 0.5], output_mode=mode)(x), want)


def test_boundaries_are_compared_in_the_type_of_the_inputs() -> None:
    values = np.arange(1, 10) / 10
    layer = Discretization(values)
    for dtype in ("float32", "float64"):
        assert layer(values.astype(dtype)).tolist() == list(range(1, 10))


def test_adapted_boundaries() -> None:
    data = np.array([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
    layer = Discretization(num_bins=4, epsilon=0.01)
    with pytest.raises(ValueError, match="has no boundaries"):
        layer(data)
    for source in (data, iter([data[:1], data[1:]]), data):
        layer.adapt(source)
        assert layer(data).tolist() == [[0, 2, 3, 2], [1, 3, 3, 1]]  # as documented by Keras
    assert again(layer)(data).tolist() == layer(data).tolist()
    for bad in (np.array([np.nan]), np.array([]), iter([])):
        with pytest.raises(ValueError, match="expected finite numbers"):
            layer.adapt(bad)
    assert layer(data).tolist() == [[0, 2, 3, 2], [1, 3, 3, 1]]
    counts = Discretization(num_bins=5)
    many = np.random.default_rng(0).exponential(size=1000)
    counts.adapt(many)
    assert np.bincount(counts(many)).tolist() == pytest.approx([200] * 5, abs=1)
    few = Discretization(num_bins=9)
    few.adapt(np.array([3.0, 1.0, 2.0]))
    assert few.bin_boundaries == [1.0, 2.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give bin_boundaries, or num_bins"),
        ({"num_bins": 0}, "num_bins must be at least 1"),
        ({"bin_boundaries": [1.0, 0.0]}, "must increase"),
        ({"bin_boundaries": [0.0], "output_mode": "tf_idf"}, "output_mode must be one of"),
    ],
)
def test_wrong_bins(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Discretization(**options)
    with pytest.raises(ValueError, match="give num_bins to adapt it"):
        Discretization([0.0]).adapt(np.zeros(3))
