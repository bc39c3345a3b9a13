"""Labels, padding and normalizing: the numbers of Keras, and the inputs that Keras lets through in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import utils


@given(
    st.lists(st.lists(st.integers(-50, 50), max_size=6), min_size=1, max_size=5),
    st.none() | st.integers(1, 8),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["int32", "float32", "int64"]),
)
def test_pad_sequences_is_kerass(
    keras: Any, sequences: Any, maxlen: Any, padding: str, truncating: str, dtype: str
) -> None:
    options = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "dtype": dtype, "value": 7}
    got, want = utils.pad_sequences(sequences, **options), keras.utils.pad_sequences(sequences, **options)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def test_pad_sequences_of_rows_texts_and_nothing(keras: Any, rng: np.random.Generator) -> None:
    rows = [rng.standard_normal((n, 3)) for n in (2, 0, 5)]
    for options in ({"dtype": "float64"}, {"dtype": "float64", "maxlen": 3}):
        want = keras.utils.pad_sequences(rows, **options)
        np.testing.assert_array_equal(utils.pad_sequences(rows, **options), want)
    texts = utils.pad_sequences([["a", "bcd"], ["e"]], dtype=object, value="-")
    assert texts.tolist() == [["a", "bcd"], ["-", "e"]]
    assert utils.pad_sequences([]).shape == (0, 0)
    assert utils.pad_sequences([[], []]).shape == (2, 0)
    assert utils.pad_sequences([[1, 2]], maxlen=0).shape == (1, 0)


@pytest.mark.parametrize(
    ("sequences", "options", "words"),
    [
        ([[1]], {"padding": "left"}, "padding must be 'pre' or 'post', received 'left'"),
        ([[1]], {"truncating": "left"}, "truncating must be"),
        (3, {}, "expected a list of sequences, received int"),
        ([[1], 2], {}, r"sequences\[1\] is 2"),
        ([[1], [[1, 2]]], {}, r"sequences\[1\] have shape \(2,\), those of sequences\[0\] \(\)"),
        ([[1], [300]], {"dtype": "uint8"}, r"sequences\[1\] holds 300 to 300, which uint8 cannot"),
        ([np.array([1, 2**40])], {}, "which int32 cannot"),
        ([["a"]], {"value": "x"}, "give dtype=object"),
    ],
)
def test_pad_sequences_refuses(sequences: Any, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        utils.pad_sequences(sequences, **options)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12), st.none() | st.just(12), st.sampled_from([1, 2, 3])
)
def test_to_categorical_is_kerass(keras: Any, labels: list[int], num_classes: Any, ndim: int) -> None:
    x = np.array(labels)
    x = [x, x[:, None], np.stack([x, x])][ndim - 1]
    for given_ in (x, x.tolist(), x.astype("uint8"), x.astype(float)):
        got = utils.to_categorical(given_, num_classes)
        assert got.dtype == "float32"
        np.testing.assert_array_equal(got, keras.utils.to_categorical(x, num_classes))


@pytest.mark.usefixtures("float64")
def test_to_categorical_follows_floatx() -> None:
    assert utils.to_categorical([0, 1]).dtype == "float64"


@pytest.mark.parametrize(
    ("labels", "num_classes", "words"),
    [
        ([0, 3], 3, r"class 3 at position \(1,\) is outside 0\.\.2"),
        ([[0, -1]], 3, r"class -1 at position \(0, 1\)"),
        ([0.5], None, "expected whole numbers, received float64"),
        (["a"], None, "expected whole numbers"),
        ([], None, "no classes to count"),
        (np.array([200], "uint8"), 100, "class 200"),
    ],
)
def test_to_categorical_refuses(labels: Any, num_classes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        utils.to_categorical(labels, num_classes)


def test_labels_above_255_do_not_wrap() -> None:
    hot = utils.to_categorical(np.array([44, 255], "uint8"), 300)
    assert hot.shape == (2, 300) and hot.argmax(-1).tolist() == [44, 255] and hot.sum() == 2


@pytest.mark.parametrize("order", [1, 2, np.inf])
@pytest.mark.parametrize("axis", [1, -1, -2])  # Keras takes axis 0 for -1
def test_normalize_is_kerass(keras: Any, rng: np.random.Generator, axis: int, order: Any) -> None:
    x = rng.standard_normal((3, 4))
    x[1] = 0
    np.testing.assert_allclose(
        utils.normalize(x, axis, order), keras.utils.normalize(x, axis, order), rtol=1e-14
    )
