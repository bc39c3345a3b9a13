"""The argument `training` of `call`, as subclasses hand it to `super().call`."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from every_layer import NAMES

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.config import mode, switched
from tinygrad_rnn.layers import LAYERS

X = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32)
NOISY = {
    "Dropout": {"rate": 0.5}, "SpatialDropout1D": {"rate": 0.5}, "GaussianNoise": {"stddev": 1.0},
    "GaussianDropout": {"rate": 0.5}, "BatchNormalization": {}, "SimpleRNN": {"units": 2, "dropout": 0.5},
    "LSTM": {"units": 2, "dropout": 0.5}, "GRU": {"units": 2, "recurrent_dropout": 0.5},
    "RNN": {"cell": layers.LSTMCell(2, dropout=0.5)}, "Bidirectional": {"layer": layers.GRU(2, dropout=0.5)},
    "TimeDistributed": {"layer": layers.Dropout(0.5)}, "Attention": {"dropout": 0.5},
    "AdditiveAttention": {"dropout": 0.5}, "MultiHeadAttention": {"num_heads": 2, "key_dim": 2, "dropout": 0.5},
}  # fmt: skip
TWO = ("Attention", "AdditiveAttention", "MultiHeadAttention")  # take a list of sequences


def arguments(call: Any) -> list[str]:
    found = list(inspect.signature(call).parameters.values())[1:]
    return [p.name for p in found if p.kind is not p.VAR_KEYWORD]


def test_call_has_keras_arguments_in_keras_order(keras: Any) -> None:
    """Behind the inputs, which have a name of their own here and there; ours may have more at the end."""
    for name in set(NAMES) - {"MultiHeadAttention"}:
        if (theirs := getattr(keras.layers, name, None)) is not None:
            want, own = arguments(theirs.call)[1:], arguments(LAYERS[name].call)[1:]
            assert own[: len(want)] == want, name
    assert "training" in arguments(layers.MultiHeadAttention.call)


@pytest.mark.parametrize("name", sorted(NOISY))
def test_training_given_to_call_wins_inside(name: str) -> None:
    """Monte-Carlo dropout: a subclass that always trains, one that never does, and one that asks nothing."""
    inputs = [X, X] if name in TWO else X

    def made(training: bool | None) -> Any:
        class Own(LAYERS[name]):  # type: ignore[misc, valid-type]
            def call(self, inputs: Any, **options: Any) -> Any:
                return super().call(inputs, training=training, **options)

        layer = Own(**NOISY[name])
        layer(inputs)
        return layer

    never, always, follows = made(False), made(True), made(None)
    for layer in (always, follows):
        layer.set_weights(never.get_weights())
    for outside in (False, True):
        before = [np.asarray(layer(inputs, training=outside)) for layer in (never, always, follows)]
        plain = np.asarray(never(inputs))
        assert np.array_equal(before[0], plain)
        assert not np.array_equal(before[1], plain)
        assert np.array_equal(before[2], plain) is not outside
        always.set_weights(never.get_weights())
        follows.set_weights(never.get_weights())


@pytest.mark.parametrize("name", sorted(set(NOISY) - {"MultiHeadAttention"}))
def test_training_by_position(name: str) -> None:
    """`super().call(inputs, training)`, wherever Keras has the argument."""
    layer, inputs = LAYERS[name](**NOISY[name]), [X, X] if name in TWO else X
    layer(inputs)
    place = arguments(LAYERS[name].call).index("training")
    tensors = [tg.tensor(x) for x in inputs] if name in TWO else tg.tensor(X)
    before = layer.get_weights()
    rest = [None] * (place - 1)
    plain = np.asarray(layer.call(tensors, *rest, False))
    assert not np.array_equal(np.asarray(layer.call(tensors, *rest, True)), plain)
    layer.set_weights(before)
    with switched(training=True):
        assert np.array_equal(np.asarray(layer.call(tensors, *rest, False)), plain) and mode().training


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_whose_call_takes_training(name: str) -> None:
    """What depends on training stands in the list above."""
    if "training" in arguments(LAYERS[name].call):
        assert name in {*NOISY, "Dense", "Lambda"} or name.endswith(("Cell", "Cells")), name


class Deeper(layers.LSTM):
    """As a program for Keras writes it."""

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Run."""
        return 2.0 * super().call(sequences, initial_state=initial_state, mask=mask, training=training)


def test_a_subclass_with_keras_own_signature_trains() -> None:
    layer = Deeper(3, dropout=0.5)
    model = tg.Sequential([tg.Input((6, 3)), layer, layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, np.ones((4, 1)), epochs=2, verbose=0)
    assert layer.dropout_masks[0] is not None
    model.predict(X, verbose=0)
    assert layer.dropout_masks[0] is None
