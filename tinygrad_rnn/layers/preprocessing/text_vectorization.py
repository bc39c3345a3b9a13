"""TextVectorization: texts as the numbers of their words or characters."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np

from .base import Preprocessing
from .batches import Array, batches, check_mode, refuse, texts
from .lookup import StringLookup

_PUNCTUATION = str.maketrans("", "", string.punctuation)
STANDARDS: dict[Any, Callable[[str], str]] = {
    None: lambda text: text,
    "lower": str.lower,
    "strip_punctuation": lambda text: text.translate(_PUNCTUATION),
    "lower_and_strip_punctuation": lambda text: text.lower().translate(_PUNCTUATION),
}
SPLITS: dict[Any, Callable[[str], list[str]]] = {"whitespace": str.split, "character": list}


class TextVectorization(Preprocessing):
    """Texts (batch,) or (batch, 1) → numbers of their tokens (batch, time), int64, padded with 0.

    A text is standardized, split into tokens, joined into `ngrams` (an int: up to that many tokens; a
    tuple: just these), and looked up: 0 is padding "", 1 the unknown token "[UNK]". `standardize` is
    "lower_and_strip_punctuation", "lower", "strip_punctuation", None, or a function of an array of texts;
    `split` is "whitespace", "character" (code points), None (every text is a token already), or a function
    of an array of texts that returns a list of tokens for each.

    `output_sequence_length` pads or cuts to that length. The modes "multi_hot", "count" and "tf_idf" give
    (batch, vocabulary) without padding, in the float type. Results are NumPy arrays, ready for `fit`; the
    vocabulary is saved with the model. Raises `ValueError` before there is a vocabulary and for wrong options,
    `TypeError` for what is no text.

    >>> layer = TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["the cat", "The cat sat!", "The end."])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'the', 'cat', 'sat', 'end']
    >>> layer(["The dog sat."]).tolist()
    [[2, 1, 4, 0]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: int | tuple[int, ...] | list[int] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        refuse("TextVectorization", sparse=sparse, ragged=ragged)
        for option, value, known in (
            ("standardize", standardize, STANDARDS),
            ("split", split, {None: None, **SPLITS}),
        ):
            if not callable(value) and value not in known:
                names = ", ".join(map(repr, known))
                raise ValueError(
                    f"TextVectorization: {option} must be one of {names} or a function, received {value!r}"
                )
        self.output_mode = check_mode(
            "TextVectorization", output_mode, ("int", "multi_hot", "count", "tf_idf")
        )
        length = output_sequence_length
        if length is not None and (not isinstance(length, int) or length < 1 or self.output_mode != "int"):
            raise ValueError(
                "TextVectorization: output_sequence_length is a positive integer, for output_mode='int' only, "
                f"received {length!r} with {output_mode!r}"
            )
        self.standardize, self.split, self.encoding = standardize, split, encoding
        self.output_sequence_length = length
        widths = range(1, ngrams + 1) if isinstance(ngrams, int) else ngrams or (1,)
        if not all(isinstance(n, int) and n > 0 for n in widths) or not len(widths):
            raise ValueError(f"TextVectorization: ngrams are positive integers, received {ngrams!r}")
        self._widths = tuple(widths)
        self._lookup = StringLookup(
            max_tokens, mask_token="", vocabulary=vocabulary, idf_weights=idf_weights, output_mode=self.output_mode,
            pad_to_max_tokens=pad_to_max_tokens, dtype=self.dtype, name=f"{self.name}_lookup",
        )  # fmt: skip

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Take the vocabulary from texts: the most frequent tokens first, equally frequent ones in reverse order.

        `data` is an array or list of texts, or an iterable of batches of them, of which `steps` are taken;
        `batch_size` has no effect. Raises `ValueError` if there are no tokens; then the old vocabulary stays.
        """
        rows = [row for batch in batches(data, steps) for row in self._tokens(batch)]
        self._lookup.adapt_to_documents(rows)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The tokens by number; without the special ones (padding, unknown), the others alone."""
        return self._lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many numbers there are, those of padding and unknown tokens included."""
        return self._lookup.vocabulary_size()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Replace the vocabulary: tokens, or the path of a file with one per line."""
        self._lookup.set_vocabulary(vocabulary, idf_weights)

    def _tokens(self, inputs: Any) -> list[list[str]]:
        """The tokens of each text, with n-grams: all of the first width, then of the next."""
        array = np.atleast_1d(texts(inputs, self.name, self.encoding))
        if callable(self.standardize):
            array = texts(self.standardize(array.astype(str)), self.name)
        else:
            array = _each(STANDARDS[self.standardize], array)
        if self.split is None:
            rows = array.reshape(len(array), -1).tolist()
        else:
            if array.ndim > 2 or (array.ndim == 2 and array.shape[1] != 1):
                raise ValueError(
                    f"{self.name}: expected texts of shape (batch,) or (batch, 1), received {array.shape}"
                )
            array = array.reshape(len(array))
            if callable(self.split):
                rows = [texts(list(row), self.name).tolist() for row in self.split(array.astype(str))]
            else:
                rows = [SPLITS[self.split](text) for text in array]
        if self._widths == (1,):
            return rows
        return [
            [" ".join(row[i : i + n]) for n in self._widths for i in range(len(row) - n + 1)] for row in rows
        ]

    def prepare(self, inputs: Any) -> Any:
        """An array of texts."""
        return texts(inputs, self.name, self.encoding)

    def call(self, inputs: Any) -> Array:
        """The numbers of the tokens, or their encoding; of a single text a single row."""
        rows = self._tokens(inputs)
        longest = max((len(row) for row in rows), default=0)
        length = self.output_sequence_length or longest
        (padding,) = self._lookup.numbers([""])
        ids = np.full((len(rows), length), padding)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = self._lookup.numbers(row[:length])
        result = ids if self.output_mode == "int" else self._lookup.encoded(ids)
        return np.asarray(result if np.ndim(inputs) else result[0])

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, with the vocabulary as it is now."""
        own = self._lookup.settings()
        return {**super().settings(), "vocabulary": own["vocabulary"], "idf_weights": own["idf_weights"]}


def _each(function: Callable[[str], str], array: Array) -> Array:
    result = np.empty(array.size, object)
    result[:] = [function(text) for text in array.ravel()]
    return result.reshape(array.shape)
