"""A stateful network: a long signal in pieces, the state handed from one batch to the next."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers = keras.layers

ROWS, PIECE, PIECES = 4, 6, 5


def signal() -> tuple[np.ndarray, np.ndarray]:
    """Pieces of four long signals, in order, and their running means."""
    x = np.random.default_rng(4).standard_normal((ROWS, PIECES * PIECE, 1)).astype("float32")
    y = np.cumsum(x, axis=1) / np.arange(1, PIECES * PIECE + 1)[:, None]
    cut = [a.reshape(ROWS, PIECES, PIECE, 1).swapaxes(0, 1).reshape(-1, PIECE, 1) for a in (x, y)]
    return cut[0], cut[1].astype("float32")


def build():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(ROWS, PIECE, 1)),
            layers.GRU(6, stateful=True, return_sequences=True, use_cudnn=False),
            layers.LSTM(5, stateful=True, return_sequences=True, use_cudnn=False),
            layers.Dense(1),
        ]
    )
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True))
    return model


def train(model):
    x, y = signal()
    logs = {"loss": []}
    for _ in range(3):
        history = model.fit(x, y, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)
        logs["loss"] += history.history["loss"]
        for layer in model.layers:
            if hasattr(layer, "reset_state"):
                layer.reset_state()
    first = model.predict(x[:ROWS], batch_size=ROWS, verbose=0)
    second = model.predict(x[:ROWS], batch_size=ROWS, verbose=0)  # goes on from where the first one ended
    return {"logs": logs, "predictions": [first, second]}


if __name__ == "__main__":
    print(train(build())["logs"])
