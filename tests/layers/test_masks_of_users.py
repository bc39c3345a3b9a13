"""Layers of users that make masks, or take one for each of several arguments; and arguments given by name."""

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

    class Decoder(layers.Layer):
        def call(self, query: Any, memory: Any, query_mask: Any = None, memory_mask: Any = None) -> Any:
            masks = [query_mask, memory_mask]
            return ops.stack([ops.zeros((3, 4)) if m is None else ops.cast(m, "float32") for m in masks])

    return {"positions": Positions, "odd": Odd, "decoder": Decoder}


def results(package: Any) -> dict[str, Any]:
    """What comes out of them, by what is tried."""
    layers, ops, own = package.layers, package.ops, own_layers(package)

    def embedded(shift: int = 0, mask_zero: bool = True) -> Any:
        return layers.Embedding(5, 3, "ones", mask_zero=mask_zero)(np.roll(IDS, shift, 1))

    def seen(x: Any) -> Any:
        """The mask of x: 0 where the state is kept from the beginning."""
        options = {"activation": "linear", "recurrent_initializer": "zeros", "return_sequences": True}
        return layers.SimpleRNN(1, kernel_initializer="ones", zero_output_for_mask=True, **options)(x)

    other = ops.convert_to_tensor(~MASK)
    return {
        "made": seen(own["positions"]()(IDS)),
        "made of the first argument": seen(own["positions"]()(IDS, ops.ones((3, 4, 1)))),
        "made by name": seen(own["positions"]()(inputs=IDS)),
        "first of two": seen(own["odd"]()(embedded())[0]),
        "second of two": seen(own["odd"]()(embedded(mask_zero=False))[1]),
        "beside both": own["decoder"]()(embedded(), embedded(1)),
        "beside one": own["decoder"]()(embedded(mask_zero=False), embedded(1)),
        "beside both by name": own["decoder"]()(memory=embedded(1), query=embedded()),
        "given": own["decoder"]()(embedded(), embedded(1), memory_mask=other),
        "given by place": own["decoder"]()(embedded(), embedded(1), other),
        "kept by name": seen(layers.Dropout(0.5)(inputs=embedded())),
        "used by name": layers.GlobalAveragePooling1D()(inputs=embedded()),
        "built by name": layers.Dense(2, kernel_initializer="ones")(inputs=np.ones((2, 3), "float32")),
    }


@pytest.mark.filterwarnings("ignore")  # of Keras
def test_masks_and_arguments_of_users_layers_are_those_of_keras() -> None:
    got, want = results(tg), results(keras)
    for name, value in want.items():
        np.testing.assert_array_equal(np.asarray(got[name]), value.detach().numpy(), err_msg=name)
    assert [np.count_nonzero(got[name]) for name in ("made", "first of two", "beside both")] == [7, 5, 14]


def test_models_train_with_masks_and_arguments_of_users() -> None:
    own = own_layers(tg)
    ids = tg.Input((None,), dtype="int32")
    model = tg.Model(ids, tg.layers.GRU(2)(sequences=own["positions"]()(inputs=ids)))
    model.compile("sgd", "mse")
    for _ in range(3):
        model.train_on_batch(IDS, np.ones((3, 2), "float32"))
    padded = model.predict(IDS[:2], verbose=0)
    np.testing.assert_array_equal(padded, model.predict(IDS[:2, :2], verbose=0))


def test_a_mask_may_be_given_by_place_to_a_layer_of_a_user() -> None:
    class Kept(tg.Layer):
        def call(self, inputs: Any, mask: Any = None) -> Any:
            return inputs * tg.ops.cast(mask, "float32")[..., None]

    embedded = tg.layers.Embedding(5, 3, "ones", mask_zero=True)(IDS)
    np.testing.assert_array_equal(np.asarray(Kept()(embedded, ~MASK))[..., 0], ~MASK)
    np.testing.assert_array_equal(np.asarray(Kept()(embedded))[..., 0], MASK)
