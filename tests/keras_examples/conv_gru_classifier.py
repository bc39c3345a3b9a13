"""Classifying signals: convolutions shorten them, a GRU reads what is left."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers = keras.layers

CLASSES, STEPS = 3, 30


def signals(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    kinds = rng.integers(0, CLASSES, count)
    t = np.arange(STEPS)
    x = np.sin(t * (kinds[:, None] + 1) / 4) + 0.3 * rng.standard_normal((count, STEPS))
    return x[:, :, None].astype("float32"), keras.utils.to_categorical(kinds, CLASSES)


def build():
    inputs = keras.Input((STEPS, 1))
    x = layers.Conv1D(6, 5, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.MaxPooling1D(2)(x)
    x = layers.Conv1D(8, 3, padding="causal", activation="relu", dilation_rate=2)(x)
    x = layers.LayerNormalization()(x)
    sequence = layers.GRU(8, return_sequences=True)(x)
    x = layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(sequence), layers.GlobalMaxPooling1D()(sequence)]
    )
    outputs = layers.Dense(CLASSES, activation=keras.activations.softmax)(x)
    model = keras.Model(inputs, outputs, name="signals")
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, decay_steps=4, decay_rate=0.9)
    model.compile(
        optimizer=keras.optimizers.Nadam(schedule, global_clipnorm=1.0),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", keras.metrics.F1Score(average="macro", name="f1")],
    )
    return model


def train(model):
    x, y = signals(60)
    history = model.fit(
        x,
        y,
        batch_size=16,
        epochs=3,
        class_weight={0: 1.0, 1: 0.5, 2: 2.0},
        validation_data=(x[:15], y[:15]),
        shuffle=False,
        verbose=0,
    )
    return {
        "logs": history.history,
        "predictions": [model.predict(x, verbose=0)],
        "numbers": [v for _, v in sorted(model.evaluate(x, y, return_dict=True, verbose=0).items())],
        "shapes": [
            model.count_params(),
            model.output_shape,
            [layer.name for layer in model.layers if "input" not in layer.name],
        ],
    }


if __name__ == "__main__":
    print(train(build())["logs"])
