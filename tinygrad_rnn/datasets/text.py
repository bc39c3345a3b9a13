"""Text for character language models: loading, vocabularies, training windows and a bigram baseline."""

from __future__ import annotations

import importlib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Sequences = TypeVar("Sequences", str, Ids)


def load_text(path: str | os.PathLike[str] | None = None, min_length: int = 2) -> str:
    r"""The text of a UTF-8 file; without a path, the language reference that comes with Python.

    The default is `pydoc_data.topics` (about 465,000 characters and 100 symbols; it differs a little
    between versions of Python), its entries in sorted order, one line break between them. Line ends
    become `"\n"`, a byte order mark is dropped.

    Raises `FileNotFoundError` if there is no such file (or this Python has no `pydoc_data`), and
    `ValueError` for a folder, a file that cannot be read, bytes that are not UTF-8 (with their position)
    or fewer than `min_length` characters.

    >>> text = load_text()
    >>> len(text) > 100_000, "def" in text
    (True, True)
    """
    if path is None:
        return _python_reference()
    name = os.fspath(path)
    if not name:
        raise ValueError("load_text: the name of the file is empty")
    try:
        data = Path(name).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"load_text: there is no file {name!r}") from None
    except IsADirectoryError:
        raise ValueError(f"load_text: {name!r} is a folder; give a text file") from None
    except OSError as error:
        raise ValueError(f"load_text: {name!r} cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"load_text: {name!r} is not UTF-8: byte 0x{data[error.start]:02x} at position {error.start} "
            f"(line {line}); save it as UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        raise ValueError(f"load_text: {name!r} is empty")
    if len(text) < min_length:
        raise ValueError(f"load_text: {name!r} has {len(text)} characters; at least {min_length} are needed")
    return text


def _python_reference() -> str:
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise FileNotFoundError(
            "load_text: this Python comes without pydoc_data; give the path of a text file"
        ) from None
    return "\n".join(topics[key] for key in sorted(topics))


class Vocabulary:
    """The characters of a text in sorted order, and their numbers 0, 1, 2, …

    A character is a Unicode code point: text is taken as it is ('é' and 'e' + accent differ unless it was
    normalised before). Raises `ValueError` for an empty or repeating list.

    >>> vocabulary = Vocabulary("hello")
    >>> vocabulary.characters, len(vocabulary)
    ('ehlo', 4)
    >>> vocabulary.encode("hell").tolist(), vocabulary.decode([1, 0, 2, 2, 3])
    ([1, 0, 2, 2], 'hello')
    """

    def __init__(self, text: Iterable[str]) -> None:
        self.characters = "".join(sorted(set(text)))
        if not self.characters:
            raise ValueError("Vocabulary: expected a text with at least one character, received an empty one")
        self._points = np.array([ord(c) for c in self.characters], np.int64)

    def __len__(self) -> int:
        """Number of characters."""
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        """Whether a character has a number."""
        return len(character) == 1 and character in self.characters

    def __eq__(self, other: object) -> bool:
        """Vocabularies with the same characters are equal."""
        return isinstance(other, Vocabulary) and self.characters == other.characters

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """`Vocabulary(4: 'ehlo')`."""
        shown = self.characters if len(self) <= 40 else self.characters[:40] + "…"
        return f"Vocabulary({len(self)}: {shown!r})"

    def encode(self, text: str) -> Ids:
        """The numbers of the characters, shape `(len(text),)`, int64.

        Raises `ValueError` for a character that is not in the vocabulary, with its place.

        >>> Vocabulary("abc").encode("cab!")
        Traceback (most recent call last):
        ...
        ValueError: encode: character '!' (U+0021, exclamation mark) at position 3 is not among the 3 known
        characters 'abc'
        """
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
        ids = np.searchsorted(self._points, points)
        unknown = self._points[np.minimum(ids, len(self) - 1)] != points
        if unknown.any():
            position = int(unknown.argmax())
            raise ValueError(self._complaint(text[position], position))
        return ids.astype(np.int64)

    def _complaint(self, character: str, position: int) -> str:
        name = unicodedata.name(character, "no name").lower()
        known = repr(self.characters[:20]) + (" …" if len(self) > 20 else "")
        bare = unicodedata.normalize("NFKD", character)[0]
        candidates = (character.lower(), character.upper(), _LOOKALIKES.get(character, bare), bare.lower())
        similar = [c for c in candidates if c in self]
        hint = f"; the nearest known one is {similar[0]!r}" if similar else ""
        return (
            f"encode: character {character!r} (U+{ord(character):04X}, {name}) at position {position} is not "
            f"among the {len(self)} known characters {known}{hint}"
        )

    def decode(self, ids: Any) -> str:
        """The text of a sequence of numbers.

        Raises `ValueError` for a number outside `[0, len(self))`, with its position, and for anything that
        is not a one-dimensional sequence of integers.

        >>> Vocabulary("abc").decode([0, 3])
        Traceback (most recent call last):
        ...
        ValueError: decode: 3 at position 1 is outside the vocabulary; valid: 0 to 2
        """
        array = np.asarray(ids)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ValueError(
                f"decode: expected a one-dimensional sequence of integers, received shape {array.shape} of "
                f"{array.dtype}"
            )
        wrong = (array < 0) | (array >= len(self))
        if wrong.any():
            position = int(wrong.argmax())
            raise ValueError(
                f"decode: {array[position]} at position {position} is outside the vocabulary; valid: 0 to "
                f"{len(self) - 1}"
            )
        return "".join([self.characters[i] for i in array.tolist()])

    def to_list(self) -> list[int]:
        """The code points: plain numbers for a file.

        >>> Vocabulary("é🙂").to_list()
        [233, 128578]
        """
        return [int(p) for p in self._points]

    @classmethod
    def from_list(cls, code_points: Sequence[int]) -> Vocabulary:
        """The vocabulary that `to_list` described.

        Raises `ValueError` unless the list holds different code points in increasing order.

        >>> Vocabulary.from_list([97, 98]).characters
        'ab'
        """
        points = list(code_points)
        valid = all(type(p) is int and 0 <= p < 0x110000 for p in points)
        if not points or not valid or any(a >= b for a, b in zip(points, points[1:], strict=False)):
            raise ValueError(f"Vocabulary: expected increasing code points, received {str(points)[:80]}")
        return cls(map(chr, points))


# Typographic characters, and the plain ones that people mean by them.
_LOOKALIKES = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": ".", "\u00a0": " ", "\t": " "}


def split(data: Sequences, held_out: float = 0.1) -> tuple[Sequences, Sequences]:
    """Cut a text, or its ids, into `(training, validation)`: the last part is held out.

    `held_out` is a fraction in (0, 1). Raises `ValueError` if a part would be empty.

    >>> split("abcdefghij", 0.2)
    ('abcdefgh', 'ij')
    """
    if not 0 < held_out < 1:
        raise ValueError(f"split: held_out must lie between 0 and 1, received {held_out}")
    cut = len(data) - max(1, round(len(data) * held_out))
    if cut < 1:
        raise ValueError(f"split: {len(data)} characters are too few to hold out a fraction of {held_out}")
    return data[:cut], data[cut:]


def windows(ids: Ids, length: int) -> tuple[Ids, Ids]:
    """Cut ids into windows side by side: inputs `x` and targets `y`, both of shape `(n, length)`.

    The target of a character is the one after it: `y[i, t] = ids[i · length + t + 1]`. What does not fill
    a window at the end is left out. Raises `ValueError` if there is not enough for one.

    >>> x, y = windows(np.arange(8), 3)
    >>> x.tolist(), y.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    ids = np.asarray(ids)
    if ids.ndim != 1:
        raise ValueError(f"windows: expected one sequence of ids, received shape {ids.shape}")
    if length < 1:
        raise ValueError(f"windows: length must be at least 1, received {length}")
    n = (len(ids) - 1) // length
    if n < 1:
        raise ValueError(
            f"windows: {len(ids)} ids are too few for a window of {length} and its targets; at least "
            f"{length + 1} are needed"
        )
    used = n * length
    return ids[:used].reshape(n, length), ids[1 : used + 1].reshape(n, length)


def bigram_loss(train_ids: Ids, valid_ids: Ids, n_symbols: int, alpha: float | None = None) -> float:
    """Mean negative log-likelihood (nats per character) of counting pairs: the baseline to beat.

    `p(b | a) = (count(a, b) + α) / (count(a) + α · n_symbols)`, counted on the training part. Without
    `alpha`, the best of a small grid on the last tenth of the training part is taken. Raises `ValueError`
    if a part has fewer than two ids (the first has no predecessor), or ids outside `[0, n_symbols)`.

    >>> ids = np.array([0, 1] * 50)
    >>> round(bigram_loss(ids, ids, 2), 3)
    0.0
    """
    for name, ids in (("train_ids", train_ids), ("valid_ids", valid_ids)):
        if len(ids) < 2:
            raise ValueError(f"bigram_loss: {name} needs at least 2 ids, received {len(ids)}")
        wrong = (np.asarray(ids) < 0) | (np.asarray(ids) >= n_symbols)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(f"bigram_loss: {name}[{i}] is {ids[i]}; valid: 0 to {n_symbols - 1}")
    if alpha is not None and not alpha > 0:
        raise ValueError(f"bigram_loss: alpha must be positive, received {alpha}")
    if alpha is None:
        alpha = _best_alpha(train_ids, n_symbols)
    return _bigram_loss(_pair_counts(train_ids, n_symbols), valid_ids, alpha)


_ALPHAS = (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)


def _best_alpha(ids: Ids, n_symbols: int) -> float:
    if len(ids) < 20:
        return 1.0  # too little to hold a tenth out
    counted, held = split(ids, 0.1)
    counts = _pair_counts(counted, n_symbols)
    return min(_ALPHAS, key=lambda alpha: _bigram_loss(counts, held, alpha))


def _pair_counts(ids: Ids, n: int) -> NDArray[np.float64]:
    pairs = np.asarray(ids)[:-1] * n + np.asarray(ids)[1:]
    return np.bincount(pairs, minlength=n * n).reshape(n, n).astype(np.float64)


def _bigram_loss(counts: NDArray[np.float64], ids: Ids, alpha: float) -> float:
    n = len(counts)
    log_p = np.log(counts + alpha) - np.log(counts.sum(axis=1, keepdims=True) + alpha * n)
    return float(-log_p[np.asarray(ids)[:-1], np.asarray(ids)[1:]].mean())
