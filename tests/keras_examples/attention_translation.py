"""Translation: an encoder hands its state to a decoder that attends to it; then both are used apart, step by step."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers = keras.layers

SYMBOLS, LENGTH, UNITS, START = 9, 5, 12, 0


def pairs(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sequences, and what they mean: backwards. The decoder sees its target one step late."""
    source = np.random.default_rng(3).integers(1, SYMBOLS, (count, LENGTH))
    target = source[:, ::-1]
    return source, np.concatenate([np.full((count, 1), START), target[:, :-1]], axis=1), target


def build():
    encoder_inputs = keras.Input(shape=(None,), dtype="int32", name="source")
    x = layers.Embedding(SYMBOLS, 6, name="source_table")(encoder_inputs)
    encoded, state_h, state_c = layers.LSTM(UNITS, return_sequences=True, return_state=True, name="encoder")(
        x
    )

    decoder_inputs = keras.Input(shape=(None,), dtype="int32", name="late_target")
    x = layers.Embedding(SYMBOLS, 6, name="target_table")(decoder_inputs)
    decoder = layers.LSTM(UNITS, return_sequences=True, return_state=True, name="decoder")
    decoded, _, _ = decoder(x, initial_state=[state_h, state_c])
    context = layers.Attention(name="attention")([decoded, encoded])
    joined = layers.Concatenate(name="joined")([decoded, context])
    outputs = layers.Dense(SYMBOLS, activation="softmax", name="spell")(joined)
    model = keras.Model([encoder_inputs, decoder_inputs], outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")],
    )
    return model


def apart(model):
    """The encoder, and one step of the decoder, as models on the layers that were trained."""
    encoded, state_h, state_c = model.get_layer("encoder").output
    encoder = keras.Model(model.inputs[0], [encoded, state_h, state_c])
    memory = keras.Input((None, UNITS))
    states = [keras.Input((UNITS,)), keras.Input((UNITS,))]
    symbol = keras.Input((None,), dtype="int32")
    x, *after = model.get_layer("decoder")(model.get_layer("target_table")(symbol), initial_state=states)
    context = model.get_layer("attention")([x, memory])
    spelt = model.get_layer("spell")(model.get_layer("joined")([x, context]))
    return encoder, keras.Model([symbol, memory, *states], [spelt, *after])


def train(model):
    source, late, target = pairs(64)
    history = model.fit([source, late], target, batch_size=16, epochs=4, shuffle=False, verbose=0)
    encoder, decoder = apart(model)
    memory, *states = encoder.predict(source[:4], verbose=0)
    symbol = np.full((4, 1), START)
    steps = []
    for _ in range(LENGTH):
        spelt, *states = decoder.predict([symbol, memory, *states], verbose=0)
        steps.append(spelt)
        symbol = spelt.argmax(-1)
    return {"logs": history.history, "predictions": [model.predict([source, late], verbose=0), *steps]}


if __name__ == "__main__":
    print(train(build())["logs"])
