"""Masking and padding: where masks come from, how layers hand them on, and layers of one's own that use them."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers, ops = keras.layers, keras.ops

SEQUENCES = [[711, 632, 71], [73, 8, 3215, 55, 927], [83, 91, 1, 645, 1253, 927]]


class TemporalSoftmax(layers.Layer):
    """Softmax over time, of the steps that count."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            raise ValueError("a mask was expected")
        kept = ops.expand_dims(ops.cast(mask, "float32"), -1)
        weights = ops.exp(inputs) * kept
        return weights / ops.sum(weights, axis=1, keepdims=True)


class TemporalSplit(layers.Layer):
    """The first and the second half of the steps, and of the mask."""

    def call(self, inputs):
        return ops.split(inputs, 2, axis=1)

    def compute_mask(self, inputs, mask=None):
        return [None, None] if mask is None else ops.split(mask, 2, axis=1)


class CustomEmbedding(layers.Layer):
    """A table of vectors that makes its own mask."""

    def __init__(self, input_dim, output_dim, mask_zero=False, **kwargs):
        super().__init__(**kwargs)
        self.input_dim, self.output_dim, self.mask_zero = input_dim, output_dim, mask_zero

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            shape=(self.input_dim, self.output_dim), initializer="random_normal", dtype="float32"
        )

    def call(self, inputs):
        inputs = ops.cast(inputs, "int32")
        return ops.take(self.embeddings, inputs, axis=0)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0) if self.mask_zero else None


def build():
    inputs = keras.Input(shape=(6,), dtype="int32")
    x = CustomEmbedding(5000, 8, mask_zero=True)(inputs)
    first, second = TemporalSplit()(x)
    x = layers.Concatenate(axis=1)([first, second])
    x = layers.LSTM(8, return_sequences=True)(layers.Masking()(x))
    x = layers.Dense(1)(x)
    outputs = TemporalSoftmax()(x)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", weighted_metrics=["mae"])
    return model


def train(model):
    padded = keras.preprocessing.sequence.pad_sequences(SEQUENCES, padding="post")
    embedded = layers.Embedding(input_dim=5000, output_dim=4, mask_zero=True)(padded)
    masked = layers.Masking()(ops.cast(ops.tile(ops.expand_dims(padded, -1), (1, 1, 4)), "float32"))
    rnn = layers.LSTM(3, return_sequences=True)
    seen = rnn(ops.ones((3, 6, 4)), mask=ops.convert_to_tensor(padded != 0))
    rows = ops.convert_to_numpy(seen)
    y = np.array([[1], [0], [2]]) == np.arange(6)
    history = model.fit(padded, y[:, :, None].astype("float32"), epochs=5, shuffle=False, verbose=0)
    return {
        "logs": history.history,
        "predictions": [model.predict(padded, verbose=0)],
        "shapes": [tuple(embedded.shape), tuple(masked.shape), bool((rows[0, 3:] == rows[0, 2]).all())],
    }


if __name__ == "__main__":
    print(train(build())["logs"])
