"""TextVectorization: every way of cutting up a text, against plain Python and the documented behaviours."""

from __future__ import annotations

import json
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.layers import StringLookup, TextVectorization

ANY = st.text(st.characters(), max_size=12)


def again(layer: Any) -> Any:
    return type(layer).from_config(json.loads(json.dumps(layer.get_config())))


def test_documented_behaviour() -> None:
    layer = TextVectorization(max_tokens=5000, output_mode="int", output_sequence_length=4)
    for _ in range(2):
        layer.adapt(["foo bar", "bar baz", "baz bada boom"])
        assert layer([["foo qux bar"], ["qux baz"]]).tolist() == [[4, 1, 3, 0], [1, 2, 0, 0]]
    given_words = TextVectorization(vocabulary=["earth", "wind", "and", "fire"])
    assert given_words.get_vocabulary() == ["", "[UNK]", "earth", "wind", "and", "fire"]
    assert given_words.vocabulary_size() == 6


@pytest.mark.parametrize(
    ("options", "text", "tokens"),
    [
        ({}, "The CAT, sat!  on\tit's\nmat. ", ["the", "cat", "sat", "on", "its", "mat"]),
        ({"standardize": "lower"}, "The CAT!", ["the", "cat!"]),
        ({"standardize": "strip_punctuation"}, "The-CAT!", ["TheCAT"]),
        ({"standardize": None}, "The CAT!", ["The", "CAT!"]),
        ({"standardize": np.char.upper}, "The cat", ["THE", "CAT"]),
        ({"split": "character"}, "aB é", ["a", "b", " ", "é"]),
        ({"split": "character"}, "👩‍👧e\u0301", ["👩", "\u200d", "👧", "e", "\u0301"]),
        ({"split": None}, "The cat!", ["the cat"]),
        (
            {"split": lambda texts: [t.split("_") for t in texts], "standardize": None},
            "a_B_c",
            ["a", "B", "c"],
        ),
        ({"ngrams": 2}, "a b c", ["a", "b", "c", "a b", "b c"]),
        ({"ngrams": (2, 3)}, "a b c", ["a b", "b c", "a b c"]),
        ({"ngrams": [3]}, "a b", []),
        ({"split": "character", "ngrams": (2,)}, "abc", ["a b", "b c"]),
        ({}, string.punctuation + "x", ["x"]),
        ({}, "ÉCOLE İ שלום", ["école", "i̇", "שלום"]),
        ({}, " \t\n", []),
        ({}, "", []),
    ],
)
def test_tokens(options: Any, text: str, tokens: list[str]) -> None:
    words = list(dict.fromkeys([*tokens, "other"]))
    layer = TextVectorization(vocabulary=words, **options)
    want = [words.index(t) + 2 for t in tokens]
    for inputs in ([text], [[text]], np.array([text])):
        assert layer(inputs).tolist() == [want]
    assert layer(text).tolist() == want
    padded = layer([text, "q"] if options.get("split") != "_" else [text])
    assert padded[0].tolist()[: len(want)] == want and not padded[0, len(want) :].any()


@given(st.lists(ANY, min_size=1, max_size=6), st.sampled_from(["whitespace", "character"]))
def test_any_text_comes_back(texts: list[str], split: str) -> None:
    layer = TextVectorization(standardize=None, split=split)
    plain = [t.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") for t in texts]
    rows = [t.split() if split == "whitespace" else list(t) for t in plain]
    if not any(rows):
        with pytest.raises(ValueError, match="holds no terms"):
            layer.adapt(texts)
        return
    layer.adapt(texts)
    ids = layer(texts)
    assert ids.dtype == "int64" and ids.shape == (len(texts), max(map(len, rows)))
    vocabulary = layer.get_vocabulary()
    unknown = {"[UNK]"} & {t for row in rows for t in row}
    assert unknown or [[vocabulary[i] for i in row if i] for row in ids] == rows
    assert again(layer)(texts).tolist() == layer(texts).tolist() == ids.tolist()
    for length in (1, 3, 20):
        cut = TextVectorization(
            standardize=None, split=split, vocabulary=vocabulary, output_sequence_length=length
        )(texts)
        assert cut.shape == (len(texts), length)
        both = min(length, ids.shape[1])
        assert (cut[:, :both] == ids[:, :both]).all() and not cut[:, both:].any()


@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_encodings_count_tokens_and_leave_padding_out(mode: str) -> None:
    texts = ["a b a", "", "c"]
    layer = TextVectorization(output_mode=mode)
    layer.adapt(texts)
    assert layer.get_vocabulary() == ["[UNK]", "a", "c", "b"]
    counts = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], float)
    if mode == "multi_hot":
        counts = counts > 0
    if mode == "tf_idf":
        counts = counts * np.log(1 + 3 / 2)
    for made in (layer, again(layer)):
        np.testing.assert_allclose(made(texts), counts, rtol=1e-6)
        assert made(texts).dtype == "float32"
    wide = TextVectorization(10, output_mode="count", pad_to_max_tokens=True, vocabulary=["a"])
    assert wide(["a q"]).tolist() == [[1, 1] + [0] * 8]


def test_batches_and_sizes() -> None:
    batches = [np.array(["a b"]), (np.array([["b c"]]), np.array([1])), np.array(["d"])]
    layer = TextVectorization()
    layer.adapt(batches)
    assert layer.get_vocabulary() == ["", "[UNK]", "b", "d", "c", "a"]
    layer.adapt(iter(batches), steps=2)
    assert layer.get_vocabulary() == ["", "[UNK]", "b", "c", "a"]
    small = TextVectorization(max_tokens=3)
    small.adapt(["a b b"])
    assert small.get_vocabulary() == ["", "[UNK]", "b"] and small.get_vocabulary(False) == ["b"]
    assert small([]).shape == (0, 0) and small(["", ""]).shape == (2, 0)
    small.set_vocabulary(["z"])
    assert small(["z b"]).tolist() == [[2, 1]]


def test_the_lookup_is_string_lookup() -> None:
    words = ["x", "y"]
    a, b = TextVectorization(vocabulary=words), StringLookup(vocabulary=words, mask_token="")
    assert a.get_vocabulary() == b.get_vocabulary()
    assert a(["y q x"]).tolist() == b([["y", "q", "x"]]).tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"standardize": "upper"},
            "standardize must be one of None, 'lower', .* or a function, received 'upper'",
        ),
        ({"split": "comma"}, "split must be one of None, 'whitespace', 'character' or a function"),
        ({"output_mode": "one_hot"}, "output_mode must be one of int, multi_hot"),
        ({"output_mode": "count", "output_sequence_length": 3}, "for output_mode='int' only"),
        ({"output_sequence_length": 0}, "positive integer"),
        ({"ngrams": 0}, "ngrams are positive integers, received 0"),
        ({"ngrams": (1, 0)}, "ngrams"),
        ({"ragged": True}, "ragged=True is not supported"),
        ({"sparse": True}, "sparse=True"),
        ({"vocabulary": ["a", ""]}, "the mask token '' is term 1"),
    ],
)
def test_wrong_options(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TextVectorization(**options)


def test_wrong_inputs() -> None:
    with pytest.raises(ValueError, match="has no vocabulary"):
        TextVectorization()(["a"])
    layer = TextVectorization(vocabulary=["a"])
    with pytest.raises(ValueError, match=r"shape \(batch,\) or \(batch, 1\), received \(1, 2\)"):
        layer([["a", "b"]])
    with pytest.raises(TypeError, match="expected texts, received 3"):
        layer([3])
    with pytest.raises(ValueError, match="holds no terms"):
        layer.adapt(["..."])
    assert layer(["a"]).tolist() == [[2]]


def test_functions_are_saved_by_name(tmp_path: Any) -> None:
    @tg.utils.register_serializable("mine")
    def shout(texts: Any) -> Any:
        return np.char.upper(texts)

    try:
        layer = TextVectorization(standardize=shout, vocabulary=["A"], ngrams=(1, 2))
        model = tg.Sequential(
            [tg.Input((1,), dtype="string"), layer, tg.layers.Embedding(3, 2), tg.layers.GRU(2)]
        )
        model.save(tmp_path / "m.tgr")
        loaded = tg.models.load_model(tmp_path / "m.tgr")
        assert loaded.layers[0].standardize is shout
        assert loaded.layers[0](["a a"]).tolist() == layer(["a a"]).tolist() == [[2, 2, 1]]
    finally:
        tg.utils.get_custom_objects().clear()
