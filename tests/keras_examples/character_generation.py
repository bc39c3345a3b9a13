"""Character generation: an LSTM learns which character follows, and writes by sampling at a temperature."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers = keras.layers

TEXT = "the rain in the plain stays in the plain; the train in the rain stays in spain. " * 4
CHARS = sorted(set(TEXT))
PLACE = {c: i for i, c in enumerate(CHARS)}
LENGTH, STEP = 12, 3


def windows() -> tuple[np.ndarray, np.ndarray]:
    """One-hot windows of LENGTH characters, and the character after each."""
    starts = range(0, len(TEXT) - LENGTH, STEP)
    x = np.zeros((len(starts), LENGTH, len(CHARS)), dtype="bool")
    y = np.zeros((len(starts), len(CHARS)), dtype="bool")
    for row, start in enumerate(starts):
        for t, c in enumerate(TEXT[start : start + LENGTH]):
            x[row, t, PLACE[c]] = True
        y[row, PLACE[TEXT[start + LENGTH]]] = True
    return x, y


def sample(probabilities: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """A place, drawn after the probabilities were sharpened or flattened."""
    scores = np.exp(np.log(np.asarray(probabilities, "float64") + 1e-9) / temperature)
    return int(np.searchsorted(np.cumsum(scores / scores.sum()), rng.random()))


class Writer(keras.callbacks.Callback):
    """Writes a little after each epoch."""

    def on_train_begin(self, logs=None):
        self.written = []

    def on_epoch_end(self, epoch, logs=None):
        rng = np.random.default_rng(epoch)
        text = TEXT[:LENGTH]
        for _ in range(5):
            x = np.zeros((1, LENGTH, len(CHARS)))
            for t, c in enumerate(text[-LENGTH:]):
                x[0, t, PLACE[c]] = 1.0
            text += CHARS[sample(self.model.predict(x, verbose=0)[0], 0.5, rng)]
        self.written.append(text)


def build():
    model = keras.Sequential(
        [
            keras.Input(shape=(LENGTH, len(CHARS))),
            layers.LSTM(24),
            layers.Dense(len(CHARS), activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.RMSprop(learning_rate=0.01))
    return model


def train(model):
    x, y = windows()
    writer = Writer()
    history = model.fit(x, y, batch_size=32, epochs=3, shuffle=False, callbacks=[writer], verbose=0)
    return {
        "logs": history.history,
        "predictions": [model.predict(x, verbose=0)],
        "texts": [len(t) for t in writer.written],
    }


if __name__ == "__main__":
    print(train(build())["logs"])
