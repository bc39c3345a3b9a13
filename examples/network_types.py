"""The five kinds of recurrent networks by their inputs and outputs, written with the Keras-style API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import layers

FEATURES, UNITS, CLASSES, LENGTH = 4, 8, 3, 6


def one_to_one() -> Any:
    """A fixed-sized input to a fixed-sized output, without recurrence: image classification."""
    return tg.Sequential([tg.Input((FEATURES,)), layers.Dense(CLASSES, activation="softmax")])


class OneToMany(tg.Model):
    """One input to a sequence: music generation. Every output is the input of the next step."""

    def __init__(self) -> None:
        super().__init__(name="one_to_many")
        self.cell = layers.SimpleRNNCell(UNITS)
        self.readout = layers.Dense(FEATURES, activation="softmax")

    def call(self, inputs: Any) -> Any:
        def step(nothing: Any, states: list[Any], constants: Any) -> tuple[Any, list[Any]]:
            x, h = states
            h, _ = self.cell(x, [h])
            y = self.readout(h)
            return y, [y, h]

        batch = inputs.shape[0]
        clock = np.zeros((batch, LENGTH, 0), inputs.dtype)  # a sequence without features: only time passes
        outputs, _ = tg.scan(step, clock, [inputs, np.zeros((batch, UNITS), inputs.dtype)])
        return outputs


def many_to_one() -> Any:
    """A sequence to one output: the sentiment of a sentence."""
    stack = [tg.Input((None, FEATURES)), layers.SimpleRNN(UNITS), layers.Dense(CLASSES, activation="softmax")]
    return tg.Sequential(stack)


def many_to_many() -> Any:
    """A sequence to one of another length: translation. The decoder starts from the encoder's state."""
    source, target = tg.Input((None, FEATURES)), tg.Input((None, CLASSES))
    _, state = layers.SimpleRNN(UNITS, return_state=True, name="encoder")(source)
    decoded = layers.SimpleRNN(UNITS, return_sequences=True, name="decoder")(target, initial_state=[state])
    return tg.Model([source, target], layers.Dense(CLASSES, activation="softmax")(decoded))


def synced_many_to_many() -> Any:
    """A sequence to an output at every step: named entities, video frames, the next character."""
    recurrent = layers.SimpleRNN(UNITS, return_sequences=True)
    return tg.Sequential([tg.Input((None, FEATURES)), recurrent, layers.Dense(CLASSES, activation="softmax")])


# name -> (builder, shapes of the inputs, shape of the output), for 2 examples
TYPES: dict[str, tuple[Callable[[], Any], list[tuple[int, ...]], tuple[int, ...]]] = {
    "one to one": (one_to_one, [(2, FEATURES)], (2, CLASSES)),
    "one to many": (OneToMany, [(2, FEATURES)], (2, LENGTH, FEATURES)),
    "many to one": (many_to_one, [(2, 5, FEATURES)], (2, CLASSES)),
    "many to many": (many_to_many, [(2, 5, FEATURES), (2, 7, CLASSES)], (2, 7, CLASSES)),
    "synced many to many": (synced_many_to_many, [(2, 5, FEATURES)], (2, 5, CLASSES)),
}


def output_of(name: str) -> Any:
    """Build the network of that kind and run it on random inputs; probabilities as an array."""
    build, shapes, _ = TYPES[name]
    tg.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    return build().predict(inputs if len(inputs) > 1 else inputs[0])
