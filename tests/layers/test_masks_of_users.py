"""Layers of users that make masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_twins import keras

import tinygrad_rnn as tg

IDS = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 1, 2, 3]])
MASK = IDS != 0


def own_layers(package: Any) -> dict[str, Any]:
    """Classes that are the same program under both import lines."""
    layers, ops = package.layers, package.ops

    class Positions(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.table = layers.Embedding(5, 3, "ones", mask_zero=True)

        def call(self, inputs: Any, shift: Any = 0.0) -> Any:
            return self.table(inputs) + shift

        def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
            return self.table.compute_mask(*args, **kwargs)

    class Odd(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 1.0, inputs * 2.0

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return [None if mask is None else ops.logical_not(mask), ops.greater(inputs[:, :, 0], 0.0)]

    return {"positions": Positions, "odd": Odd}


def results(package: Any) -> dict[str, Any]:
    """What comes out of them, by what is tried."""
    layers, ops, own = package.layers, package.ops, own_layers(package)

    def embedded(shift: int = 0, mask_zero: bool = True) -> Any:
        return layers.Embedding(5, 3, "ones", mask_zero=mask_zero)(np.roll(IDS, shift, 1))

    def seen(x: Any) -> Any:
        """The mask of x: 0 where the state is kept from the beginning."""
        options = {"activation": "linear", "recurrent_initializer": "zeros", "return_sequences": True}
        return layers.SimpleRNN(1, kernel_initializer="ones", zero_output_for_mask=True, **options)(x)

    return {
        "made": seen(own["positions"]()(IDS)),
        "made of the first argument": seen(own["positions"]()(IDS, ops.ones((3, 4, 1)))),
        "first of two": seen(own["odd"]()(embedded())[0]),
        "second of two": seen(own["odd"]()(embedded(mask_zero=False))[1]),
    }


@pytest.mark.filterwarnings("ignore")  # of Keras
def test_masks_of_users_layers_are_those_of_keras() -> None:
    got, want = results(tg), results(keras)
    for name, value in want.items():
        np.testing.assert_array_equal(np.asarray(got[name]), value.detach().numpy(), err_msg=name)


def test_models_train_with_masks_of_users() -> None:
    own = own_layers(tg)
    ids = tg.Input((None,), dtype="int32")
    model = tg.Model(ids, tg.layers.GRU(2)(own["positions"]()(ids)))
    model.compile("sgd", "mse")
    for _ in range(3):
        model.train_on_batch(IDS, np.ones((3, 2), "float32"))
    padded = model.predict(IDS[:2], verbose=0)
    np.testing.assert_array_equal(padded, model.predict(IDS[:2, :2], verbose=0))
