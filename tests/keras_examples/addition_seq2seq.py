"""Addition: sums of numbers are read as characters by one LSTM and spelt by another."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers = keras.layers

CHARS = "0123456789+ "
DIGITS = 2
MAXLEN = 2 * DIGITS + 1


class CharacterTable:
    """Characters as one-hot rows, and back."""

    def __init__(self, chars):
        self.chars = sorted(set(chars))

    def encode(self, text, rows):
        x = np.zeros((rows, len(self.chars)))
        for t, c in enumerate(text):
            x[t, self.chars.index(c)] = 1
        return x

    def decode(self, x):
        return "".join(self.chars[i] for i in x.argmax(axis=-1))


def questions(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    table = CharacterTable(CHARS)
    x, y = [], []
    for a, b in rng.integers(0, 10**DIGITS, (count, 2)):
        question = f"{a}+{b}".ljust(MAXLEN)[::-1]
        x.append(table.encode(question, MAXLEN))
        y.append(table.encode(str(a + b).ljust(DIGITS + 1), DIGITS + 1))
    return np.array(x), np.array(y)


def build():
    model = keras.Sequential()
    model.add(keras.Input((MAXLEN, len(CHARS))))
    model.add(layers.LSTM(20))
    model.add(layers.RepeatVector(DIGITS + 1))
    model.add(layers.LSTM(20, return_sequences=True))
    model.add(layers.TimeDistributed(layers.Dense(len(CHARS), activation="softmax")))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def train(model):
    x, y = questions(120)
    history = model.fit(
        x, y, batch_size=16, epochs=3, validation_data=(x[:20], y[:20]), shuffle=False, verbose=0
    )
    predictions = model.predict(x[:20], verbose=0)
    table = CharacterTable(CHARS)
    return {
        "logs": history.history,
        "predictions": [predictions],
        "texts": [len(table.decode(p)) for p in predictions],
    }


if __name__ == "__main__":
    print(train(build())["logs"])
