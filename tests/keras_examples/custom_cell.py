"""A cell of one's own in `RNN`, alone and stacked, written down and made again from its configuration."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers, ops = keras.layers, keras.ops


@keras.saving.register_keras_serializable(package="examples")
class LeakyCell(layers.Layer):
    """h' = (1 - a) h + a tanh(x W + h U + b), with a learned leak a for each unit."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units
        self.output_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units),
            initializer=keras.initializers.Orthogonal(),
            name="recurrent_kernel",
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.leak = self.add_weight(
            shape=(self.units,),
            initializer="ones",
            name="leak",
            constraint=keras.constraints.MinMaxNorm(0.1, 1.0),
        )
        self.built = True

    def call(self, inputs, states, training=False):
        h = states[0]
        new = ops.tanh(ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias)
        a = ops.sigmoid(self.leak)
        h = (1.0 - a) * h + a * new
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def build():
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.RNN(LeakyCell(6), return_sequences=True),
            layers.RNN([LeakyCell(4), layers.GRUCell(5)], return_sequences=True),
            # Two cells by two names: on torch, Keras trained weights of one path differently from the second step on.
            layers.Bidirectional(
                layers.RNN(LeakyCell(3)), backward_layer=layers.RNN(LeakyCell(3), go_backwards=True)
            ),
            layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.01)),
        ]
    )
    again = keras.Sequential.from_config(model.get_config())
    again.compile(
        optimizer=keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.05, 12), weight_decay=0.01),
        loss=keras.losses.Huber(delta=0.5),
    )
    return again


def train(model):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((40, 7, 3)).astype("float32")
    y = np.stack([x.mean((1, 2)), x[:, 0].sum(-1)], -1)
    history = model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0)
    return {
        "logs": history.history,
        "predictions": [model.predict(x, verbose=0)],
        "shapes": [w.shape for w in model.get_weights()],
    }


if __name__ == "__main__":
    print(train(build())["logs"])
