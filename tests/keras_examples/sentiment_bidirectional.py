"""Sentiment: padded reviews of words, read from both sides."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers = keras.layers

WORDS, MAXLEN = 40, 12


def reviews(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Word ids from 1; more small ids than large ones is a good review."""
    rng = np.random.default_rng(1)
    texts = [list(rng.integers(1, WORDS, rng.integers(3, MAXLEN + 5))) for _ in range(count)]
    labels = np.array([np.mean(t) < WORDS / 2 for t in texts], dtype="int32")
    return keras.utils.pad_sequences(texts, maxlen=MAXLEN, padding="post"), labels


def build():
    inputs = keras.Input(shape=(None,), dtype="int32")
    x = layers.Embedding(WORDS, 8, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(8))(x)
    outputs = layers.Dense(1, activation="sigmoid")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        "binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc"), keras.metrics.Precision(name="precision")],
    )
    return model


def train(model):
    x, y = reviews(96)
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
    history = model.fit(
        x, y, batch_size=32, epochs=4, validation_split=0.25, callbacks=[stop], shuffle=False, verbose=0
    )
    return {
        "logs": history.history,
        "predictions": [model.predict(x, verbose=0)],
        "numbers": model.evaluate(x, y, verbose=0),
    }


if __name__ == "__main__":
    print(train(build())["logs"])
