"""Layers that end a mask without using it say so, once: those of Keras."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras_twins import keras

import tinygrad_rnn as tg
from tinygrad_rnn import layers

IDS = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
LAYERS: dict[str, tuple[Any, ...]] = {
    "Activation": ("tanh",), "AveragePooling1D": (2,), "BatchNormalization": (), "Conv1D": (2, 2), "Cropping1D": (1,),
    "Dense": (2,), "Dropout": (0.5,), "ELU": (), "Flatten": (), "GaussianNoise": (0.1,), "GlobalAveragePooling1D": (),
    "GlobalMaxPooling1D": (), "GRU": (2,), "Identity": (), "LayerNormalization": (), "LeakyReLU": (), "Masking": (),
    "MaxPooling1D": (2,), "Permute": ((2, 1),), "PReLU": (), "ReLU": (), "Rescaling": (2.0,), "Reshape": ((12,),),
    "RMSNormalization": (), "SpatialDropout1D": (0.5,), "UnitNormalization": (), "UpSampling1D": (2,),
    "ZeroPadding1D": (1,),
}  # fmt: skip
MERGING: dict[str, tuple[Any, ...]] = {
    "Add": (), "AdditiveAttention": (), "Attention": (), "Concatenate": (), "Dot": (1,), "Maximum": (), "Subtract": (),
}  # fmt: skip


def said(package: Any, make: Callable[[Any], Any], several: bool = False) -> list[str]:
    """What a layer says about the mask at its second call, and at its first."""
    first, second = (package.layers.Embedding(5, 3, mask_zero=True)(IDS) for _ in range(2))
    layer, found = make(package.layers), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            layer([first, second] if several else first)
            found.append(
                [w for w in map(str, (c.message for c in caught)) if "does not support masking" in w]
            )
    if package is tg:
        assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("name", [*LAYERS, *MERGING])
def test_the_layers_that_warn_are_those_of_keras(name: str) -> None:
    arguments = {**LAYERS, **MERGING}[name]
    ours, theirs = (
        said(package, lambda found: getattr(found, name)(*arguments), name in MERGING)
        for package in (tg, keras)
    )
    assert len(ours) == len(theirs)


class Sums(layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs.sum(axis=1)


class Counts(Sums):
    def call(self, inputs: Any, mask: Any = None) -> Any:
        return inputs.sum(axis=1) if mask is None else (inputs * tg.tensor(mask)[..., None]).sum(axis=1)


class Holds(layers.Layer):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)


class Supports(Sums):
    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda _: Sums(name="s"), ["s (Sums)"]),
        (lambda _: Counts(), []),
        (lambda _: Supports(), []),
        (lambda _: Holds(layers.LSTM(2)), []),
        (lambda _: Holds(layers.Flatten(name="f")), ["f (Flatten)"]),
        (lambda found: found.TimeDistributed(found.Dense(2)), []),
        (lambda found: found.Bidirectional(found.LSTM(2)), []),
        (lambda found: found.RNN(found.LSTMCell(2)), []),
        (lambda found: found.Lambda(lambda x: x, name="l"), ["l (Lambda)"]),
        (lambda found: found.Lambda(lambda x, mask: x), []),
        (lambda found: found.Lambda(lambda x: x, mask=lambda x, mask: mask), []),
        (lambda found: tg.Sequential([found.Dense(2), found.GRU(2)]), []),
    ],
)
def test_layers_that_use_a_mask_or_hand_it_to_others_are_silent(make: Any, names: list[str]) -> None:
    found = said(tg, make)
    assert [text.split(" does")[0] for text in found] == names
    assert all("take an argument mask in call" in text for text in found)


def test_symbols_warn_and_operations_do_not() -> None:
    ids = tg.Input((4,), dtype="int32")
    embedded = layers.Embedding(5, 3, mask_zero=True)(ids)
    with pytest.warns(UserWarning, match="does not support masking") as caught:
        flat = layers.Flatten()(embedded)
    assert len(caught) == 1
    model = tg.Model(ids, [flat, embedded[:, 0], embedded.mean(axis=1)])
    model.predict(IDS)
    model(IDS)
