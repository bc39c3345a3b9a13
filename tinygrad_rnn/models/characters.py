"""A character-level language model: made from a text, sampled from one character at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..config import generator, no_grad, switched
from ..core.tensor import Tensor
from ..datasets.text import Vocabulary
from ..layers import GRU, LSTM, RNN, Dense, Embedding, Input, SimpleRNN
from ..ops.random import categorical
from .model import Model
from .sequential import Sequential

CELLS: dict[str, type[RNN]] = {"rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


def character_model(
    vocabulary: Vocabulary, cell: str = "lstm", units: int = 128, embedding: int = 32
) -> Sequential:
    """Embedding → recurrent layer → Dense: ids (batch, time) → logits (batch, time, symbols).

    The vocabulary is kept in `model.extra`, and so in the saved file.

    >>> model = character_model(Vocabulary("hello"), "gru", units=3)
    >>> model(np.zeros((1, 5), int)).shape
    (1, 5, 4)
    """
    if cell not in CELLS:
        raise ValueError(f"character_model: cell must be one of {', '.join(CELLS)}, received {cell!r}")
    model = Sequential(
        [
            Input((None,), dtype="int64"),
            Embedding(len(vocabulary), embedding, name="embedding"),
            CELLS[cell](units, return_sequences=True, name=cell),
            Dense(len(vocabulary), name="logits"),
        ],
        name="character_model",
    )
    model.extra = {"vocabulary": vocabulary.to_list()}
    return model


def vocabulary_of(model: Model) -> Vocabulary:
    """The vocabulary that a character model was made with; raises `ValueError` for another model."""
    if "vocabulary" not in model.extra:
        raise ValueError(f"{model.name} is not a character model: it holds no vocabulary")
    return Vocabulary.from_list(model.extra["vocabulary"])


def stream(model: Model, start: str, temperature: float = 1.0, seed: Any = None) -> Iterator[str]:
    """Characters that go on from `start`, without end: p = softmax(logits / temperature).

    Temperature 0 always takes the most probable character. Raises `ValueError` for an empty start, a
    character that the model does not know, or a negative temperature.
    """
    vocabulary = vocabulary_of(model)
    if not start:
        raise ValueError("sample: start must have at least one character")
    if not temperature >= 0 or np.isinf(temperature):
        raise ValueError(f"sample: temperature must be a finite number ≥ 0, received {temperature}")
    ids = vocabulary.encode(start)
    rng = generator(seed)
    return _characters(model, vocabulary, [int(i) for i in ids], temperature, rng)


def _characters(
    model: Model, vocabulary: Vocabulary, ids: list[int], temperature: float, rng: np.random.Generator
) -> Iterator[str]:
    states: dict[str, Any] = {}
    with no_grad(), switched(training=False):
        for i in ids[:-1]:
            _advance(model, i, states)
    current = ids[-1]
    while True:
        with no_grad(), switched(training=False):
            logits = np.asarray(_advance(model, current, states), dtype=np.float64)[0]
        if temperature == 0:
            current = int(logits.argmax())
        else:
            current = int(categorical(logits[None] / temperature, 1, seed=rng))
        yield vocabulary.characters[current]


def _advance(model: Model, character: int, states: dict[str, Any]) -> Tensor:
    """One time step through the stack; the states are kept outside the layers."""
    x: Any = np.array([character])
    for layer in model.layers:
        if isinstance(layer, RNN):
            before = states.get(layer.name, layer.get_initial_state(1))
            x, states[layer.name] = layer.step(x, before)
        else:
            x = layer(x)
    result: Tensor = x
    return result


def sample(model: Model, start: str, length: int = 200, temperature: float = 1.0, seed: Any = None) -> str:
    """`start` and `length` more characters drawn from the model (see `stream`).

    >>> text = sample(character_model(Vocabulary("hello"), units=3), "he", length=4, seed=1)
    >>> len(text), text[:2]
    (6, 'he')
    """
    if length < 0:
        raise ValueError(f"sample: length must not be negative, received {length}")
    characters = stream(model, start, temperature, seed)
    return start + "".join(next(characters) for _ in range(length))
