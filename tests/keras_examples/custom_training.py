"""A training loop of one's own, on a subclassed model with a loss, a metric and a callback of one's own."""

from __future__ import annotations

import importlib
import os

import numpy as np

keras = importlib.import_module(os.environ.get("KERAS_LIKE", "tinygrad_rnn"))
layers, ops = keras.layers, keras.ops


class Weighted(keras.losses.Loss):
    """Errors below zero count three times."""

    def call(self, y_true, y_pred):
        error = y_pred - y_true
        return ops.mean(ops.where(error < 0, 3.0 * ops.square(error), ops.square(error)), axis=-1)


class Largest(keras.metrics.Metric):
    """The largest error so far."""

    def __init__(self, name="largest", **kwargs):
        super().__init__(name=name, **kwargs)
        self.largest = self.add_variable(shape=(), initializer="zeros", name="largest")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.largest.assign(ops.maximum(self.largest, ops.max(ops.abs(ops.subtract(y_true, y_pred)))))

    def result(self):
        return self.largest


class Reader(keras.Model):
    """Two recurrent layers with a shortcut; its loss includes how far its outputs spread."""

    def __init__(self, units):
        super().__init__()
        self.first = layers.GRU(units, return_sequences=True)
        self.second = layers.SimpleRNN(units, activation="tanh")
        self.shortcut = layers.Dense(units)
        self.add = layers.Add()
        self.head = layers.Dense(1)

    def call(self, inputs, training=None):
        x = self.second(self.first(inputs))
        return self.head(self.add([x, self.shortcut(inputs[:, -1])]))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight)
        return loss + 0.01 * ops.mean(ops.square(y_pred))


class Batches(keras.callbacks.Callback):
    """Counts what it is told."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append((batch, sorted(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(epoch)


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(7).standard_normal((36, 5, 2)).astype("float32")
    return x, np.tanh(x.sum((1, 2)))[:, None]


def build():
    model = Reader(6)
    model(data()[0][:2])
    model.compile(
        keras.optimizers.Adagrad(0.1, weight_decay=1e-3), loss=Weighted(), metrics=["mae", Largest()]
    )
    return model


def train(model):
    x, y = data()
    calls = Batches()
    history = model.fit(x, y, batch_size=12, epochs=2, callbacks=[calls], shuffle=False, verbose=0)
    logs = dict(history.history)
    for epoch in range(2):
        for start in range(0, len(x), 12):
            found = model.train_on_batch(x[start : start + 12], y[start : start + 12], return_dict=True)
            logs.setdefault(f"batch_loss_{epoch}", []).append(float(found["loss"]))
    numbers = [float(v) for v in model.test_on_batch(x, y)]
    return {
        "logs": logs,
        "predictions": [model.predict_on_batch(x), np.asarray(ops.convert_to_numpy(model(x)))],
        "numbers": numbers,
        "shapes": [calls.calls, [w.path.split("/")[-1] for w in model.weights]],
    }


if __name__ == "__main__":
    print(train(build())["logs"])
