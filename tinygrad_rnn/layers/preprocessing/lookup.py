"""StringLookup and IntegerLookup: terms of a vocabulary as integers, and back."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from .base import Preprocessing
from .batches import Array, batches, check_mode, encode, refuse, texts


class IndexLookup(Preprocessing):
    """A vocabulary and the numbers of its terms: what `StringLookup` and `IntegerLookup` share.

    The numbers start with the mask token (in the mode "int", if there is one), then come
    `num_oov_indices` for terms that are out of the vocabulary, then the terms. The vocabulary is part of
    the configuration, and so of a saved model.
    """

    kind_of_terms: Any = object  # what `invert` gives an array of

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: Any = None,
        oov_token: Any = None,
        vocabulary: Any = None,
        *,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        salt: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        kind = type(self).__name__
        refuse(kind, sparse=sparse)
        if max_tokens is not None and max_tokens <= 1:
            raise ValueError(f"{kind}: max_tokens must be greater than 1, received {max_tokens}")
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(f"{kind}: pad_to_max_tokens needs max_tokens")
        if num_oov_indices < 0:
            raise ValueError(f"{kind}: num_oov_indices must be at least 0, received {num_oov_indices}")
        self.output_mode = check_mode(kind, output_mode)
        if invert and self.output_mode != "int":
            raise ValueError(f"{kind}: invert needs output_mode='int', received {output_mode!r}")
        self.max_tokens, self.pad_to_max_tokens = max_tokens, pad_to_max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token, self.oov_token, self.invert, self.salt = mask_token, oov_token, invert, salt
        self._terms: list[Any] = []
        self._index: dict[Any, int] = {}
        self.idf_weights: Array | None = None  # one per number
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            raise ValueError(f"{kind}: idf_weights belong to a vocabulary; give both")

    def _terms_of(self, data: Any) -> Array:
        """Inputs as an array of terms."""
        raise NotImplementedError

    def _bucket(self, term: Any) -> int:
        """Which of the numbers for unknown terms this one gets."""
        digest = hashlib.blake2b(
            str(term).encode("utf-8", "surrogatepass"), key=repr(self.salt).encode()[:64]
        )
        return int.from_bytes(digest.digest()[:8], "little") % self.num_oov_indices

    # --- the vocabulary -----------------------------------------------------------------------------

    @property
    def _special(self) -> list[Any]:
        """The tokens before the terms."""
        masked = self.mask_token is not None and self.output_mode == "int"
        return [self.mask_token] * masked + [self.oov_token] * self.num_oov_indices

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The terms by number; without the special tokens, the terms alone."""
        return [*(self._special if include_special_tokens else ()), *self._terms]

    def vocabulary_size(self) -> int:
        """How many numbers there are, those of mask and unknown terms included."""
        return len(self._special) + len(self._terms)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Replace the vocabulary: a list or array of terms, or the path of a UTF-8 file with one per line.

        The special tokens may stand before the terms. "tf_idf" needs a weight for each; unknown terms get
        the mean if the special tokens are left out. Raises `ValueError` for an empty vocabulary, terms that
        repeat, special tokens among them, and more than `max_tokens`; then the old one stays.
        """
        if isinstance(vocabulary, (str, Path)):
            vocabulary = Path(vocabulary).read_text(encoding="utf-8").split("\n")
            vocabulary = vocabulary[:-1] if vocabulary[-1] == "" else vocabulary
        given = self._terms_of(vocabulary).ravel().tolist()
        special = self._special
        start = len(special) if given[: len(special)] == special else 0
        terms = given[start:]
        if not terms:
            raise ValueError(f"{self.name}: the vocabulary is empty")
        if repeated := [term for term, n in Counter(terms).items() if n > 1]:
            raise ValueError(f"{self.name}: terms occur more than once in the vocabulary: {repeated[:10]}")
        for what, token in (("mask", self.mask_token), ("oov", self.oov_token if self.invert else None)):
            if token is not None and token in terms:
                raise ValueError(
                    f"{self.name}: the {what} token {token!r} is term {terms.index(token)} of the vocabulary; "
                    f"leave all special tokens out, or put {special} at its start"
                )
        size = len(special) + len(terms)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(f"{self.name}: the vocabulary has {size} entries, max_tokens={self.max_tokens}")
        weights = None
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise ValueError(
                f"{self.name}: a vocabulary has idf_weights in the mode 'tf_idf', and only there"
            )
        if idf_weights is not None:
            weights = np.asarray(idf_weights, np.float64)
            if weights.shape != (len(given),):
                raise ValueError(
                    f"{self.name}: expected {len(given)} idf_weights, one per entry of the vocabulary, "
                    f"received shape {weights.shape}"
                )
            if not start:
                weights = np.r_[np.full(len(special), weights.mean()), weights]
        self._store(terms, weights)

    def _store(self, terms: list[Any], weights: Array | None) -> None:
        self._terms, self.idf_weights = terms, weights
        self._index = {term: i for i, term in enumerate(terms, len(self._special))}

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Take the vocabulary from data: the most frequent terms first, equally frequent ones in reverse order.

        `data` is an array or a list, or an iterable of batches, of which `steps` are taken. In the mode
        "tf_idf" each row is a document: `idf = log(1 + documents / (1 + documents with the term))`. Raises
        `ValueError` if there are no terms; then the old vocabulary stays.
        """
        rows: list[list[Any]] = []
        for batch in batches(data, steps):
            terms = self._terms_of(batch)
            if terms.ndim == 1 and batch is data:  # every term is a document
                terms = terms[:, None]
            rows += terms.reshape(math.prod(terms.shape[:-1]), -1).tolist() if terms.size else []
        self.adapt_to_documents(rows)

    def adapt_to_documents(self, rows: list[list[Any]]) -> None:
        """The same, from lists of terms."""
        counts = Counter(term for row in rows for term in row)
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        if not counts:
            raise ValueError(f"{self.name}.adapt: the data holds no terms")
        terms = sorted(counts, key=lambda term: (counts[term], term), reverse=True)
        room = None if self.max_tokens is None else max(self.max_tokens - len(self._special), 0)
        terms = terms[:room]
        weights = None
        if self.output_mode == "tf_idf":
            found = Counter(term for row in rows for term in set(row))
            own = np.array([math.log(1 + len(rows) / (1 + found[term])) for term in terms])
            weights = np.r_[np.full(len(self._special), own.mean()), own]
        self._store(terms, weights)

    # --- looking up ---------------------------------------------------------------------------------

    def prepare(self, inputs: Any) -> Any:
        """An array of terms, or of numbers with `invert`."""
        return np.asarray(inputs) if self.invert else self._terms_of(inputs)

    def call(self, inputs: Any) -> Any:
        """Terms → int64 numbers of the same shape, or their encoding; with `invert` numbers → terms."""
        if self.invert:
            return self._back(np.asarray(inputs))
        terms = inputs if isinstance(inputs, np.ndarray) else self._terms_of(inputs)
        ids = np.array(self.numbers(terms.ravel().tolist()), np.int64).reshape(terms.shape)
        return ids if self.output_mode == "int" else self.encoded(ids)

    def numbers(self, terms: list[Any]) -> list[int]:
        """The numbers of terms; -1, which encodings leave out, for the mask token outside the mode "int"."""
        self._require_vocabulary()
        return [self._number(term) for term in terms]

    def encoded(self, ids: Array) -> Array:
        """Numbers in the output mode: one_hot, multi_hot, count, or count · idf."""
        depth = self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()
        assert depth is not None
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        result = encode(ids, mode, depth, self.dtype)
        if self.idf_weights is not None:
            result *= np.pad(self.idf_weights, (0, depth - len(self.idf_weights))).astype(self.dtype)
        return result

    def _number(self, term: Any) -> int:
        found = self._index.get(term)
        if found is not None:
            return found
        if self.mask_token is not None and term == self.mask_token:
            return 0 if self.output_mode == "int" else -1
        if self.num_oov_indices == 0:
            raise ValueError(
                f"{self.name}: {term!r} is not in the vocabulary; num_oov_indices=1 would give such terms a number"
            )
        first = len(self._special) - self.num_oov_indices
        return first + (self._bucket(term) if self.num_oov_indices > 1 else 0)

    def _back(self, ids: Array) -> Array:
        self._require_vocabulary()
        if ids.dtype.kind not in "iu":
            raise TypeError(f"{self.name}: expected the numbers of terms, received an array of {ids.dtype}")
        names = np.array([*self._special, *self._terms, self.oov_token], object)
        known = (ids >= 0) & (ids < self.vocabulary_size())
        return np.asarray(names[np.where(known, ids, len(names) - 1)], self.kind_of_terms)

    def _require_vocabulary(self) -> None:
        if not self._terms:
            raise ValueError(f"{self.name} has no vocabulary: call adapt(data), or give vocabulary=...")

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, with the vocabulary as it is now."""
        weights = None if self.idf_weights is None else self.idf_weights.tolist()
        vocabulary = self.get_vocabulary() if self._terms else None
        return {**super().settings(), "vocabulary": vocabulary, "idf_weights": weights}


class StringLookup(IndexLookup):
    """Strings → integers by a vocabulary: (...) → (...), or one_hot, multi_hot, count, tf_idf; `invert` goes back.

    Without `mask_token` number 0 is the unknown term "[UNK]", with it 0 is the mask and 1 unknown. Unknown
    terms share out `num_oov_indices` numbers by a hash (another one than Keras's); 0 of them refuses unknown
    terms. Encodings are in the layer's float type. Results are NumPy arrays. `encoding` is that of bytes.
    Raises `ValueError` before there is a vocabulary, `TypeError` for what is no text.

    >>> layer = StringLookup(vocabulary=["red", "green"])
    >>> layer([["green", "blue"]]).tolist(), layer.get_vocabulary()
    ([[2, 0]], ['[UNK]', 'red', 'green'])
    >>> StringLookup(vocabulary=["red", "green"], invert=True)([2, 0]).tolist()
    ['green', '[UNK]']
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        encoding: str = "utf-8",
        **options: Any,
    ) -> None:
        self.encoding = encoding
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, **options)

    def _terms_of(self, data: Any) -> Array:
        return texts(data, self.name, self.encoding)


class IntegerLookup(IndexLookup):
    """Any integers → 0, 1, 2, ... by a vocabulary; otherwise like `StringLookup`.

    The unknown term is -1. With several numbers for unknown terms, a term x gets number `x mod
    num_oov_indices` of them.

    >>> IntegerLookup(vocabulary=[12, 36, 1138])([[12, 36], [7, 1138]]).tolist()
    [[1, 2], [0, 3]]
    """

    kind_of_terms = np.int64

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        oov_method: str = "floormod",
        **options: Any,
    ) -> None:
        for name, value, known in (
            ("vocabulary_dtype", vocabulary_dtype, "int64"),
            ("oov_method", oov_method, "floormod"),
        ):
            if value != known:
                raise ValueError(f"IntegerLookup: {name} must be {known!r}, received {value!r}")
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, **options)

    def _terms_of(self, data: Any) -> Array:
        array = np.asarray(data)
        if array.dtype.kind == "U":
            try:
                array = array.astype(np.int64)  # the lines of a file
            except ValueError:
                pass
        if array.dtype.kind not in "iu":
            raise TypeError(f"{self.name}: expected integers, received an array of {array.dtype}")
        return array

    def _bucket(self, term: Any) -> int:
        return int(term) % self.num_oov_indices
