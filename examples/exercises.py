"""The first three exercises of the cell notes at small scale: text, sentiment, names. The fourth compares cells."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from checks import Checks

import tinygrad_rnn as tg
from tinygrad_rnn import layers, manual

TEXT = "the cat sat on the mat. a dog ran. "


def text_generation(check: Checks) -> None:
    """Exercise 1: a character model in NumPy alone; the derivation by hand, and gradient descent."""
    characters = {c: i for i, c in enumerate(sorted(set(TEXT)))}
    n = len(characters)
    rnn = manual.vanilla_rnn
    parameters = rnn.initialize_parameters(48, n, n, rng=1)
    losses = rnn.train(TEXT, characters, parameters, num_iterations=500, clip_value=1)
    print(f"  loss per character {losses[0] / (len(TEXT) - 1):.3f} -> {losses[-1] / (len(TEXT) - 1):.4f}")
    X, _ = rnn.preprocess_inputs(TEXT, characters)
    _, Y_hat, _ = rnn.forward(X, np.zeros((48, 1)), parameters)
    said = "".join(list(characters)[i] for i in Y_hat[:, 0].argmax(axis=0))
    print(f"  after each character it expects: {said!r}")
    check("exercise 1: a loss below 0.3 per character", losses[-1] < 0.3 * (len(TEXT) - 1), True)
    late = said[12:] == TEXT[13:]  # at first there is no text yet that it could go by
    check("exercise 1: all characters after the first twelve", late, True)


def sentiment(check: Checks) -> None:
    """Exercise 2: an LSTM reads short reviews, in which "not" turns the meaning of the next adjective round."""
    good, bad = ("good", "great", "lovely"), ("bad", "dull", "awful")
    subjects, verbs = ("film", "plot", "cast", "ending"), ("was", "is", "felt")
    reviews = [
        (f"the {s} {v} {'not ' * n}{a}", float((a in good) != bool(n)))
        for s, v, n, a in itertools.product(subjects, verbs, (0, 1), good + bad)
    ]
    words = ["", *sorted({word for text, _ in reviews for word in text.split()})]
    ids = np.zeros((len(reviews), 5), np.int64)  # 0 is padding
    for row, (text, _) in zip(ids, reviews, strict=True):
        row[: len(text.split())] = [words.index(word) for word in text.split()]
    y = np.array([[label] for _, label in reviews], np.float32)
    order = np.random.default_rng(0).permutation(len(reviews))
    train, test = order[36:], order[:36]
    tg.utils.set_random_seed(0)
    stack = [layers.Embedding(len(words), 8, mask_zero=True), layers.LSTM(8), layers.Dense(1)]
    model = tg.Sequential([tg.Input((5,), dtype="int64"), *stack])
    model.compile(tg.optimizers.Adam(0.02), loss=tg.losses.BinaryCrossentropy(from_logits=True))
    model.fit(ids[train], y[train], batch_size=36, epochs=60, verbose=0)
    right = np.mean((model.predict(ids[test]) > 0) == (y[test] > 0.5))
    print(f"  {right:.0%} of 36 reviews that it has not seen")
    check("exercise 2: more than 9 of 10 unseen reviews", bool(right > 0.9), True)


def entities(check: Checks) -> None:
    """Exercise 3: a bidirectional GRU tags names; whether "paris" is a person is said by the words after it."""
    names = ("paris", "florence", "sydney", "austin", "jordan", "chelsea")
    people, places = ("laughed at", "called", "wrote to"), ("lies near", "is north of", "borders on")
    sentences = [
        (f"{start} {a} {verb} {b}", kind)
        for start, (kind, verbs) in itertools.product(("then", "today"), ((1, people), (2, places)))
        for verb in verbs for a, b in itertools.permutations(names, 2)
    ]  # fmt: skip
    words = ["", *sorted({word for text, _ in sentences for word in text.split()})]
    ids = np.zeros((len(sentences), 6), np.int64)
    tags = np.zeros((len(sentences), 6), np.int64)  # 0: no name, 1: a person, 2: a place
    for row, tag, (text, kind) in zip(ids, tags, sentences, strict=True):
        said = text.split()
        row[: len(said)] = [words.index(word) for word in said]
        tag[: len(said)] = [kind * (word in names) for word in said]
    order = np.random.default_rng(0).permutation(len(sentences))
    train, test = order[120:], order[:120]
    found: dict[str, Any] = {}
    for name in ("one direction", "bidirectional"):
        tg.utils.set_random_seed(0)
        layer: Any = layers.GRU(8, return_sequences=True)
        layer = layers.Bidirectional(layer) if name == "bidirectional" else layer
        stack = [layers.Embedding(len(words), 8), layer, layers.Dense(3)]
        model = tg.Sequential([tg.Input((6,), dtype="int64"), *stack])
        model.compile(
            tg.optimizers.Adam(0.03), loss=tg.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.fit(ids[train], tags[train], batch_size=40, epochs=20, verbose=0)
        known = tags[test] > 0
        found[name] = np.mean(model.predict(ids[test]).argmax(axis=-1)[known] == tags[test][known])
        print(f"  {name:15} {found[name]:.0%} of the names in 120 sentences that it has not seen")
    check("exercise 3: more than 9 of 10 names", bool(found["bidirectional"] > 0.9), True)
    check("exercise 3: the words after a name are needed", bool(found["one direction"] < 0.9), True)
