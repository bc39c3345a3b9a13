"""Text loading, vocabularies, windows and the bigram baseline."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn.datasets.text import Vocabulary, bigram_loss, load_text, split, windows

# --- loading --------------------------------------------------------------------------------------


def test_default_text_is_the_language_reference() -> None:
    from pydoc_data.topics import topics

    text = load_text()
    assert text == load_text() and len(text) == sum(map(len, topics.values())) + len(topics) - 1
    assert text.startswith(topics[min(topics)]) and text.endswith(topics[max(topics)])
    assert len(set(text)) < 200


def test_entries_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydoc_data.topics.topics", {"b": "second", "a": "first"})
    assert load_text() == "first\nsecond"


def test_python_without_pydoc_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(FileNotFoundError, match="without pydoc_data; give the path of a text file"):
        load_text()


def test_importing_the_package_does_not_load_the_text() -> None:
    code = "import sys, tinygrad_rnn.datasets.text; assert 'pydoc_data.topics' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\r\nb\rc\nd", "a\nb\nc\nd"),
        (b"\xef\xbb\xbfab", "ab"),
        ("שלום 👩‍👩‍👧\0e\u0301".encode(), "שלום 👩‍👩‍👧\0e\u0301"),
    ],
)
def test_file(tmp_path: Path, data: bytes, expected: str) -> None:
    file = tmp_path / "текст.txt"
    file.write_bytes(data)
    assert load_text(file) == expected == load_text(str(file))


def message(error: type[Exception], function: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(error) as info:
        function(*args, **options)
    return str(info.value)


def test_bad_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "text.txt"
    assert message(FileNotFoundError, load_text, file) == f"load_text: there is no file {str(file)!r}"
    assert "is a folder; give a text file" in message(ValueError, load_text, tmp_path)
    file.write_bytes(b"")
    assert message(ValueError, load_text, file) == f"load_text: {str(file)!r} is empty"
    file.write_bytes(b"\xef\xbb\xbf")
    assert "is empty" in message(ValueError, load_text, file)
    file.write_bytes(b"x")
    assert "has 1 characters; at least 2 are needed" in message(ValueError, load_text, file)
    file.write_bytes(b"hello")
    assert "has 5 characters; at least 40 are needed" in message(ValueError, load_text, file, min_length=40)
    file.write_bytes("ab\ncaf\u00e9".encode("latin1"))
    text = message(ValueError, load_text, file)
    assert str(file) in text and "not UTF-8: byte 0xe9 at position 6 (line 2)" in text

    def denied(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert "cannot be read: Permission denied" in message(ValueError, load_text, file)


def test_encoding_of_the_system_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes("é".encode() * 2)
    monkeypatch.setattr(builtins, "open", None)  # bytes are decoded by us, not by open()
    assert load_text(tmp_path / "a") == "éé"


# --- vocabulary -----------------------------------------------------------------------------------


@given(st.text(min_size=1))
def test_round_trip(text: str) -> None:
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64 and ids.shape == (len(text),)
    assert set(ids.tolist()) == set(range(len(vocabulary)))
    assert vocabulary.decode(ids) == vocabulary.decode(ids.tolist()) == text
    again = Vocabulary.from_list(vocabulary.to_list())
    assert again == vocabulary and again.characters == "".join(sorted(set(text)))


def test_lone_surrogates_and_accents() -> None:
    text = "e\u0301é\ud800\udc00"  # two lone surrogates, which Python keeps apart
    vocabulary = Vocabulary(text)
    assert len(vocabulary) == 5 and vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize("empty", ["", []])
def test_empty(empty: Any) -> None:
    assert "at least one character" in message(ValueError, Vocabulary, empty)
    assert Vocabulary("ab").encode("").shape == (0,)
    assert Vocabulary("ab").decode([]) == ""


@pytest.mark.parametrize(
    ("character", "words"),
    [
        ("é", "'é' (U+00E9, latin small letter e with acute) at position 2 is not among the 4 known"),
        ("é", "nearest known one is 'e'"),
        ("E", "nearest known one is 'e'"),
        ("É", "nearest known one is 'e'"),
        ("’", 'nearest known one is "\'"'),
        ("z", "'z' (U+007A, latin small letter z) at position 2"),
        ("\0", "(U+0000, no name)"),
        ("🙂", "(U+1F642, slightly smiling face)"),
        ("\ud800", "(U+D800, no name)"),
    ],
)
def test_unknown_character(character: str, words: str) -> None:
    assert words in message(ValueError, Vocabulary("hel'").encode, "he" + character + "l" + character)


def test_unknown_character_below_and_above_all_others() -> None:
    for character in "az":
        assert "position 1" in message(ValueError, Vocabulary("mn").encode, "m" + character)


def test_long_vocabularies_are_shortened_in_messages() -> None:
    text = message(ValueError, Vocabulary(map(chr, range(100, 1100))).encode, "~~\n")
    assert "1000 known characters" in text and "…" in text and len(text) < 250


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([0, 2], "2 at position 1 is outside the vocabulary; valid: 0 to 1"),
        ([-1], "-1 at position 0"),
        ([2**40], "1099511627776 at position 0"),
        ([0.0], "integers"),
        ([[0, 1]], "shape (1, 2)"),
        (0, "one-dimensional"),
        ([True], "integers"),
    ],
)
def test_bad_ids(ids: Any, words: str) -> None:
    assert words in message(ValueError, Vocabulary("ab").decode, ids)


@pytest.mark.parametrize("points", [[], [98, 97], [97, 97], [-1], [0x110000], [97.0], [True, 97], ["a"]])
def test_bad_lists(points: Any) -> None:
    assert "expected increasing code points" in message(ValueError, Vocabulary.from_list, points)


def test_container_protocols() -> None:
    vocabulary = Vocabulary("ab")
    assert "a" in vocabulary and "c" not in vocabulary and "" not in vocabulary and "ab" not in vocabulary
    assert vocabulary != Vocabulary("abc") and vocabulary != "ab"
    assert repr(vocabulary) == "Vocabulary(2: 'ab')"


# --- windows and parts ----------------------------------------------------------------------------


@given(st.integers(2, 60), st.integers(1, 60))
def test_windows_cover_the_text_once(n: int, length: int) -> None:
    ids = np.arange(n)
    if n <= length:
        assert f"at least {length + 1} are needed" in message(ValueError, windows, ids, length)
        return
    x, y = windows(ids, length)
    assert x.shape == y.shape == ((n - 1) // length, length)
    assert x.ravel().tolist() == list(range(x.size)) and (y == x + 1).all()
    assert n - 1 - x.size < length


def test_bad_windows() -> None:
    assert "length must be at least 1" in message(ValueError, windows, np.arange(5), 0)
    assert "received shape (2, 2)" in message(ValueError, windows, np.zeros((2, 2), int), 1)


@pytest.mark.parametrize("n", [2, 3, 10, 11, 1000])
@pytest.mark.parametrize("held_out", [0.001, 0.1, 0.5])
def test_split(n: int, held_out: float) -> None:
    text = "".join(chr(97 + i % 26) for i in range(n))
    train, valid = split(text, held_out)
    assert train + valid == text and train and len(valid) == max(1, round(n * held_out))
    a, b = split(np.arange(n), held_out)
    assert (len(a), len(b)) == (len(train), len(valid)) and np.concatenate([a, b]).tolist() == list(range(n))


def test_bad_splits() -> None:
    for fraction in (0, 1, -0.5, float("nan")):
        assert "between 0 and 1" in message(ValueError, split, "abc", fraction)
    assert "too few" in message(ValueError, split, "a")
    assert "too few" in message(ValueError, split, "ab", 0.9)


# --- the baseline ---------------------------------------------------------------------------------


def plain_bigram(train: list[int], valid: list[int], n: int, alpha: float) -> float:
    """The definition, one pair at a time."""
    total = 0.0
    for a, b in zip(valid, valid[1:], strict=False):
        pairs = sum(1 for pair in zip(train, train[1:], strict=False) if pair == (a, b))
        total -= np.log((pairs + alpha) / (train[:-1].count(a) + alpha * n))
    return total / (len(valid) - 1)


@pytest.mark.parametrize("alpha", [1e-3, 0.5, 3.0])
def test_bigram_loss_is_its_definition(rng: np.random.Generator, alpha: float) -> None:
    train, valid = rng.integers(5, size=80), rng.integers(6, size=30)
    expected = plain_bigram(train.tolist(), valid.tolist(), 6, alpha)
    assert bigram_loss(train, valid, 6, alpha) == pytest.approx(expected, rel=1e-12)


def test_bigram_loss_chooses_alpha_on_the_training_part(rng: np.random.Generator) -> None:
    train, valid = np.r_[rng.integers(5, size=300), np.zeros(100, int)], rng.integers(5, size=100)
    counted, held = split(train, 0.1)
    grid = (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
    best = min(grid, key=lambda alpha: bigram_loss(counted, held, 5, alpha))
    assert bigram_loss(train, valid, 5) == bigram_loss(train, valid, 5, best)


def test_bigram_loss_of_real_text_lies_between_the_known_ones() -> None:
    """Better than the frequencies alone, far better than chance, worse than good language models."""
    text = load_text()
    vocabulary = Vocabulary(text)
    train, valid = split(vocabulary.encode(text))
    loss = bigram_loss(train, valid, len(vocabulary))
    counts = np.bincount(train, minlength=len(vocabulary)) + 1.0
    unigram = -np.log(counts / counts.sum())[valid].mean()
    assert 1.8 < loss < unigram - 0.5 < np.log(len(vocabulary)) - 0.5


def test_bad_bigrams() -> None:
    ids = np.array([0, 1, 2])
    assert "valid_ids needs at least 2 ids" in message(ValueError, bigram_loss, ids, ids[:1], 3)
    assert "train_ids[2] is 2; valid: 0 to 1" in message(ValueError, bigram_loss, ids, ids, 2)
    assert "valid_ids[0] is -1" in message(ValueError, bigram_loss, ids, ids - 1, 3)
    for alpha in (0, -1.0, float("nan")):
        assert "alpha must be positive" in message(ValueError, bigram_loss, ids, ids, 3, alpha)


def test_tiny_training_part() -> None:
    ids = np.array([0, 1])
    assert bigram_loss(ids, ids, 2) == bigram_loss(ids, ids, 2, 1.0) == pytest.approx(np.log(1.5))
