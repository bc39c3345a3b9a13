"""Forecasting: windows of several measured series, the first of them some steps ahead."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers = keras.layers

PAST, FUTURE, TRAIN = 12, 3, 160


def series() -> np.ndarray:
    rng = np.random.default_rng(2)
    t = np.arange(240)
    columns = [np.sin(t / 6) + 0.1 * rng.standard_normal(240), np.cos(t / 9), 0.01 * t]
    return np.stack(columns, axis=-1).astype("float32")


def windows(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row i: the PAST steps from i on, and the first series FUTURE steps after them."""
    count = len(data) - PAST - FUTURE
    x = np.stack([data[i : i + PAST] for i in range(count)])
    return x, data[PAST + FUTURE - 1 : PAST + FUTURE - 1 + count, :1]


def build():
    inputs = layers.Input(shape=(PAST, 3))
    hidden = layers.LSTM(16)(inputs)
    model = keras.Model(inputs=inputs, outputs=layers.Dense(1)(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.02, clipnorm=1.0), loss="mse", metrics=["mae"]
    )
    return model


def train(model):
    data = series()
    mean, std = data[:TRAIN].mean(axis=0), data[:TRAIN].std(axis=0)
    data = (data - mean) / std
    x, y = windows(data[:TRAIN])
    callbacks = [
        keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=0.5),
        keras.callbacks.EarlyStopping(patience=3, min_delta=0),
    ]
    history = model.fit(
        x,
        y,
        epochs=4,
        batch_size=32,
        validation_data=windows(data[TRAIN:]),
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    return {"logs": history.history, "predictions": [model.predict(x, batch_size=50, verbose=0)]}


if __name__ == "__main__":
    print(train(build())["logs"])
