"""StringLookup and IntegerLookup: documented behaviours, round trips over any text, and every wrong argument."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.layers import IntegerLookup, StringLookup

COLOURS = ["red", "green", "blue"]
ANY = st.text(st.characters(), max_size=4)  # emoji, accents, right-to-left, NUL, surrogates


def again(layer: Any) -> Any:
    """The layer made anew from its config, which has been a JSON text in between."""
    return type(layer).from_config(json.loads(json.dumps(layer.get_config())))


@pytest.mark.parametrize(
    ("options", "ids", "vocabulary"),
    [
        ({}, [[1, 3], [0, 2]], ["[UNK]", *COLOURS]),
        ({"mask_token": ""}, [[2, 4], [1, 3]], ["", "[UNK]", *COLOURS]),
        ({"oov_token": "?"}, [[1, 3], [0, 2]], ["?", *COLOURS]),
        ({"mask_token": "pink"}, [[2, 4], [0, 3]], ["pink", "[UNK]", *COLOURS]),
        ({"max_tokens": 4}, [[1, 3], [0, 2]], ["[UNK]", *COLOURS]),
    ],
)
def test_numbers_and_back(options: Any, ids: Any, vocabulary: list[str]) -> None:
    layer = StringLookup(vocabulary=COLOURS, **options)
    for made in (layer, again(layer), again(again(layer))):
        for _ in range(2):
            found = made([["red", "blue"], ["pink", "green"]])
            assert isinstance(found, np.ndarray) and found.dtype == "int64" and found.tolist() == ids
        assert made.get_vocabulary() == vocabulary and made.vocabulary_size() == len(vocabulary)
        assert made.get_vocabulary(include_special_tokens=False) == COLOURS
        back = StringLookup(vocabulary=made.get_vocabulary(), invert=True, **options)
        assert back(ids)[0].tolist() == ["red", "blue"]
        assert back([99, -1]).tolist() == [back.oov_token] * 2


@given(st.lists(ANY, min_size=1, max_size=8), st.integers(0, 3))
def test_every_text_has_its_number(terms: list[str], oov: int) -> None:
    layer = StringLookup(num_oov_indices=oov, oov_token="[oov]")
    layer.adapt(terms)
    ids = layer(terms)
    assert ids.min() >= oov and len(set(ids.tolist())) == len(layer.get_vocabulary(False))
    back = StringLookup(
        num_oov_indices=oov, oov_token="[oov]", vocabulary=again(layer).get_vocabulary(), invert=True
    )
    plain = [t.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") for t in terms]
    assert back(ids).tolist() == plain
    assert again(layer)(terms).tolist() == ids.tolist()


def test_accents_and_nul_are_told_apart() -> None:
    layer = StringLookup(vocabulary=["é", "e\u0301", "a\0", "a", "שלום", "👩‍👩‍👧", "\ud800"])
    assert layer(["\ud800", "👩‍👩‍👧", "שלום", "a", "a\0", "e\u0301", "é", "👩"]).tolist() == [
        7,
        6,
        5,
        4,
        3,
        2,
        1,
        0,
    ]


def test_two_halves_of_a_character_are_the_character() -> None:
    """JSON cannot tell them apart, so a saved vocabulary could not either."""
    halves = "\ud83d\ude42"
    layer = StringLookup(vocabulary=["a", halves])
    assert len(halves) == 2 and layer.get_vocabulary()[2] == "🙂" == again(layer).get_vocabulary()[2]
    assert layer([halves, "🙂"]).tolist() == [2, 2] == again(layer)([halves, "🙂"]).tolist()


@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=2), min_size=1, max_size=6))
def test_adapt_counts_and_breaks_ties_backwards(rows: list[list[str]]) -> None:
    counts = Counter(t for row in rows for t in row)
    want = sorted(sorted(counts, reverse=True), key=lambda t: -counts[t])
    for data in (rows, np.array(rows), iter([np.array(rows[:1]), *([np.array(rows[1:])] * (len(rows) > 1))])):
        layer = StringLookup()
        layer.adapt(data)
        assert layer.get_vocabulary() == ["[UNK]", *want]
    small = StringLookup(max_tokens=3, mask_token="a")
    if set(counts) - {"a"}:
        small.adapt(rows)
        assert small.get_vocabulary() == ["a", "[UNK]", *[t for t in want if t != "a"][:1]]


def test_documented_order() -> None:
    layer = StringLookup()
    for _ in range(2):  # adapting anew forgets what was
        layer.adapt([["a", "c", "d"], ["d", "z", "b"]])
        assert layer.get_vocabulary() == ["[UNK]", "d", "z", "c", "b", "a"]
        assert layer([["a", "c", "d"], ["d", "z", "b"]]).tolist() == [[5, 3, 1], [1, 2, 4]]


VOCABULARY = ["a", "b", "c", "d"]
ROWS = [["a", "c", "d", "d"], ["d", "z", "b", "z"]]


@pytest.mark.parametrize(
    ("mode", "want"),
    [
        ("multi_hot", [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]),
        ("binary", [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]),
        ("count", [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]),
        ("one_hot", np.eye(5)[[[1, 3, 4, 4], [4, 0, 2, 0]]].tolist()),
    ],
)
def test_encodings(mode: str, want: Any) -> None:
    layer = StringLookup(vocabulary=VOCABULARY, output_mode=mode)
    assert layer(ROWS).tolist() == want == again(layer)(ROWS).tolist()
    assert layer(ROWS).dtype == "float32"
    assert layer(ROWS[0]).tolist() == want[0]
    assert layer(np.array(ROWS, object)[:0]).shape == (0, *np.shape(want)[1:])
    masked = StringLookup(vocabulary=VOCABULARY, output_mode=mode, mask_token="z")
    assert masked.get_vocabulary() == ["[UNK]", *VOCABULARY]
    difference = np.array(want) - masked(ROWS)  # "z" is dropped
    assert difference.sum() == np.array(want)[..., 0].sum()
    wide = StringLookup(vocabulary=VOCABULARY, output_mode=mode, max_tokens=9, pad_to_max_tokens=True)(ROWS)
    assert wide.shape[-1] == 9 and wide[..., :5].tolist() == want and not wide[..., 5:].any()


def test_a_last_axis_of_one_is_encoded_itself() -> None:
    layer = StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    assert layer([["a"], ["z"]]).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert layer("b").tolist() == [[0, 0, 1]] or layer("b").tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("vocabulary", "weights", "oov"),
    [(VOCABULARY, [0.25, 0.75, 0.6, 0.4], 0.5), (["[UNK]", *VOCABULARY], [0.9, 0.25, 0.75, 0.6, 0.4], 0.9)],
)
def test_tf_idf_of_given_weights(vocabulary: list[str], weights: list[float], oov: float) -> None:
    layer = StringLookup(output_mode="tf_idf", max_tokens=7, pad_to_max_tokens=True)
    layer.set_vocabulary(vocabulary, idf_weights=weights)
    want = [[0, 0.25, 0, 0.6, 0.8, 0, 0], [2 * oov, 0, 0.75, 0, 0.4, 0, 0]]
    for made in (layer, again(layer), StringLookup.from_config(again(layer).get_config())):
        np.testing.assert_allclose(made(ROWS), want, rtol=1e-6)


def test_tf_idf_is_its_formula() -> None:
    rows = [["a", "a"], ["a", "b"], ["c", "b"]]
    layer = StringLookup(output_mode="tf-idf")
    layer.adapt(rows)
    idf = {t: math.log(1 + 3 / (1 + sum(t in row for row in rows))) for t in "abc"}
    assert layer.get_vocabulary() == ["[UNK]", "a", "b", "c"]
    mean = sum(idf.values()) / 3
    np.testing.assert_allclose(
        layer([["a", "a"], ["x", "c"]]), [[0, 2 * idf["a"], 0, 0], [mean, 0, 0, idf["c"]]], rtol=1e-6
    )
    single = StringLookup(output_mode="tf_idf")
    single.adapt(["a", "a", "b"])  # every term is a document
    np.testing.assert_allclose(single.idf_weights[1:], [math.log(1 + 3 / 3), math.log(1 + 3 / 2)], rtol=1e-12)


def test_unknown_terms_share_out_their_numbers() -> None:
    words = [f"word{i}" for i in range(300)]
    layer = StringLookup(vocabulary=["a"], num_oov_indices=3)
    ids = layer(words)
    assert set(ids.tolist()) == {0, 1, 2} and np.bincount(ids).min() > 60
    assert ids.tolist() == layer(words).tolist() == again(layer)(words).tolist()
    assert layer(["a"]).tolist() == [3]
    salted = StringLookup(vocabulary=["a"], num_oov_indices=3, salt=[1, 2])(words)
    assert salted.tolist() != ids.tolist()
    masked = StringLookup(vocabulary=["a"], num_oov_indices=2, mask_token="")(["", "a", "b", "c", "d", "e"])
    assert masked[:2].tolist() == [0, 3] and set(masked[2:].tolist()) <= {1, 2}


def test_bytes_files_and_kinds_of_arrays(tmp_path: Path) -> None:
    file = tmp_path / "слова.txt"
    file.write_text("é\nб\n🙂\n", encoding="utf-8")
    layer = StringLookup(vocabulary=str(file))
    assert layer.get_vocabulary() == ["[UNK]", "é", "б", "🙂"] == again(layer).get_vocabulary()
    for inputs in (["б", "é"], ["б".encode(), b"\xc3\xa9"], np.array(["б", "é"]), ("б", "é")):
        assert layer(inputs).tolist() == [2, 1]
    assert StringLookup(vocabulary=["é"], encoding="latin1")(np.array([b"\xe9"])).tolist() == [1]
    assert layer("б").tolist() == 2 and layer([]).shape == (0,)
    with pytest.raises(FileNotFoundError):
        StringLookup(vocabulary=str(tmp_path / "none.txt"))
    numbers = tmp_path / "n.txt"
    numbers.write_text("7\n-3", encoding="utf-8")
    assert IntegerLookup(vocabulary=numbers)([7, -3, 1]).tolist() == [1, 2, 0]


def test_integers() -> None:
    layer = IntegerLookup(vocabulary=[12, 36, 1138, 42])
    data = [[12, 1138, 42], [42, 1000, 36]]
    for made in (layer, again(layer)):
        assert made(data).tolist() == [[1, 3, 4], [4, 0, 2]]
        assert made.get_vocabulary() == [-1, 12, 36, 1138, 42]
        assert made(tg.tensor(data, dtype="int64")).tolist() == [[1, 3, 4], [4, 0, 2]]
    assert IntegerLookup(vocabulary=[12, 36], invert=True)([[1, 2, 0]]).tolist() == [[12, 36, -1]]
    several = IntegerLookup(vocabulary=[12], num_oov_indices=3, mask_token=0)
    assert several([0, 12, 4, 5, 6, -1]).tolist() == [0, 4, 2, 3, 1, 3]  # x mod 3
    adapted = IntegerLookup(output_mode="count")
    adapted.adapt(np.array([[5, 5], [7, 9]], "uint8"))
    assert adapted.get_vocabulary() == [-1, 5, 9, 7] and adapted([[9, 9]]).tolist() == [[0, 0, 2, 0]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StringLookup(max_tokens=1), "max_tokens must be greater than 1, received 1"),
        (lambda: StringLookup(num_oov_indices=-1), "num_oov_indices must be at least 0"),
        (lambda: StringLookup(pad_to_max_tokens=True), "needs max_tokens"),
        (
            lambda: StringLookup(output_mode="hot"),
            "one of int, one_hot, multi_hot, count, tf_idf, received 'hot'",
        ),
        (lambda: StringLookup(invert=True, output_mode="count"), "invert needs output_mode='int'"),
        (lambda: StringLookup(sparse=True), "sparse=True is not supported"),
        (lambda: StringLookup(vocabulary=[]), "the vocabulary is empty"),
        (lambda: StringLookup(vocabulary=["a", "b", "a"]), r"more than once in the vocabulary: \['a'\]"),
        (lambda: StringLookup(vocabulary=["a", ""], mask_token=""), "the mask token '' is term 1"),
        (lambda: StringLookup(vocabulary=["a", "[UNK]"], invert=True), r"the oov token '\[UNK\]' is term 1"),
        (lambda: StringLookup(vocabulary=["a", "b"], max_tokens=2), "has 3 entries, max_tokens=2"),
        (lambda: StringLookup(vocabulary=["a"], idf_weights=[1.0]), "idf_weights in the mode 'tf_idf'"),
        (lambda: StringLookup(idf_weights=[1.0]), "belong to a vocabulary"),
        (lambda: StringLookup(vocabulary=["a"], output_mode="tf_idf"), "idf_weights in the mode 'tf_idf'"),
        (
            lambda: StringLookup(vocabulary=["a"], output_mode="tf_idf", idf_weights=[1, 2]),
            r"expected 1 idf_weights.*\(2,\)",
        ),
        (lambda: StringLookup()(["a"]), r"has no vocabulary: call adapt\(data\)"),
        (lambda: StringLookup(vocabulary=["a"], num_oov_indices=0)(["b"]), "'b' is not in the vocabulary"),
        (lambda: StringLookup(vocabulary=["a"])([["a"], ["a", "b"]]), "rows of equal length"),
        (lambda: StringLookup().adapt([]), "the data holds no terms"),
        (lambda: StringLookup().adapt(np.array(["a"]), steps=1), "steps is for an iterable"),
        (lambda: IntegerLookup(vocabulary_dtype="int32"), "vocabulary_dtype must be 'int64'"),
        (lambda: IntegerLookup(oov_method="farmhash"), "oov_method must be 'floormod'"),
    ],
)
def test_wrong_arguments(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StringLookup(vocabulary=["a"])([1]), r"expected texts, received 1 \(int\) at position 0"),
        (lambda: StringLookup(vocabulary=["a"])(["a", None]), "None .* at position 1"),
        (lambda: StringLookup(vocabulary=["a"], invert=True)([0.5]), "expected the numbers of terms"),
        (lambda: IntegerLookup(vocabulary=[1])([0.5]), "expected integers"),
        (lambda: IntegerLookup(vocabulary=["x"]), "expected integers"),
        (lambda: StringLookup().adapt(3), "expected an array or an iterable of batches, received int"),
        (lambda: StringLookup(colour=1), "colour"),
    ],
)
def test_wrong_types(make: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make()


def test_a_refused_vocabulary_changes_nothing() -> None:
    layer = StringLookup(vocabulary=["a", "b"], max_tokens=4)
    for change in (
        lambda: layer.set_vocabulary(["x", "x"]),
        lambda: layer.set_vocabulary(list("vwxyz")),
        lambda: layer.adapt([[]]),
        lambda: layer.adapt(iter([np.array(["q"]), np.array([1])])),
    ):
        with pytest.raises((TypeError, ValueError)):
            change()
        assert layer.get_vocabulary() == ["[UNK]", "a", "b"] and layer(["b"]).tolist() == [2]


def test_integers_come_back_as_integers() -> None:
    layer = IntegerLookup(vocabulary=[10, 20], invert=True, mask_token=0, output_mode="int")
    terms = layer(np.array([[2, 3], [1, 0]]))
    assert terms.dtype == np.int64 and terms.tolist() == [[10, 20], [-1, 0]]
    assert StringLookup(vocabulary=["a"], invert=True)(np.array([1, 0])).tolist() == ["a", "[UNK]"]
