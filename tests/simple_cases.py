"""Every simple layer with arguments and inputs, as calls that run on this package and on Keras alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

RNG = np.random.default_rng(7)
MASK = np.array([[1, 1, 0, 1, 0], [0, 1, 0, 1, 1]], bool)
OTHER = np.array([[1, 0, 0, 1, 1], [1, 1, 0, 0, 1]], bool)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape)


class Case(NamedTuple):
    """`make(layers)` gives the layer; a list of arrays is one argument. `exact`: Keras computes it in float64."""

    make: Callable[[Any], Any]
    inputs: Any
    masks: Any = None
    exact: bool = True
    saved: bool = True


SEQUENCE, SECOND, THIRD, FLAT = normal(2, 5, 4), normal(2, 5, 4), normal(2, 5, 4), normal(2, 4)
PADDED = np.where(MASK[..., None], SEQUENCE, 0.0)
IDS = RNG.integers(0, 7, (2, 5))
BOTH, ONE, NONE = [MASK, OTHER], [MASK, None], [None, None]


def _merging(name: str, *masks: Any, exact: bool = True, **options: Any) -> list[Case]:
    return [Case(lambda L: getattr(L, name)(**options), [SEQUENCE, SECOND], m, exact) for m in masks]


CASES: dict[str, list[Case]] = {
    "Dense": [
        Case(lambda L: L.Dense(3), FLAT, exact=False),
        Case(lambda L: L.Dense(3, activation="tanh", use_bias=False), SEQUENCE, MASK, exact=False),
        Case(
            lambda L: L.Dense(3, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2"),
            FLAT,
            exact=False,
        ),
    ],
    "Embedding": [
        Case(lambda L: L.Embedding(7, 3), IDS),
        Case(lambda L: L.Embedding(7, 3, embeddings_regularizer="l2", mask_zero=True), IDS),
        Case(lambda L: L.Embedding(7, 3, weights=[np.arange(21.0).reshape(7, 3)]), IDS.astype(float)),
    ],
    "Activation": [Case(lambda L: L.Activation("tanh"), SEQUENCE, MASK)],
    "Identity": [Case(lambda L: L.Identity(), SEQUENCE, MASK)],
    "Masking": [
        Case(lambda L: L.Masking(), PADDED),
        Case(lambda L: L.Masking(0.0), PADDED, OTHER),
        Case(lambda L: L.Masking(mask_value=3.0), np.where(MASK[..., None], SEQUENCE, 3.0)),
    ],
    "Lambda": [
        Case(lambda L: L.Lambda(lambda x: x * 2.0), SEQUENCE, saved=False),
        Case(
            lambda L: L.Lambda(lambda x, by: x * by, mask=lambda x, mask: mask, arguments={"by": 3.0}),
            SEQUENCE,
            MASK,
            saved=False,
        ),
        Case(
            lambda L: L.Lambda(lambda x: x * 2.0, mask=lambda x, mask: x[..., 0] > 0.0), SEQUENCE, saved=False
        ),
        Case(lambda L: L.Lambda(lambda x, training: x * 2.0 if training else x), FLAT, saved=False),
    ],
    "TimeDistributed": [
        Case(lambda L: L.TimeDistributed(L.Dense(3)), SEQUENCE, MASK, exact=False),
        Case(lambda L: L.TimeDistributed(L.Permute((2, 1))), normal(2, 3, 2, 5)),
    ],
    "Add": [*_merging("Add", BOTH, ONE, NONE), Case(lambda L: L.Add(), [SEQUENCE, SECOND, THIRD])],
    "Subtract": _merging("Subtract", BOTH, ONE, NONE),
    "Average": [*_merging("Average", BOTH, NONE), Case(lambda L: L.Average(), [SEQUENCE, SECOND, THIRD])],
    "Multiply": [
        *_merging("Multiply", BOTH, ONE, NONE, [None, OTHER]),
        Case(lambda L: L.Multiply(), [SEQUENCE, FLAT]),
        Case(lambda L: L.Multiply(), [SEQUENCE, SECOND, THIRD], [MASK, OTHER, MASK]),
    ],
    "Maximum": [
        *_merging("Maximum", BOTH, ONE, NONE, [None, OTHER], exact=False),
        Case(lambda L: L.Maximum(), [SEQUENCE, SECOND, THIRD], [MASK, None, OTHER], exact=False),
    ],
    "Minimum": [
        *_merging("Minimum", BOTH, ONE, NONE, exact=False),
        Case(lambda L: L.Minimum(), [SEQUENCE, SECOND, THIRD], [OTHER, MASK, OTHER], exact=False),
    ],
    "Concatenate": [
        *_merging("Concatenate", BOTH, ONE, NONE),
        *_merging("Concatenate", BOTH, ONE, axis=1),
        Case(lambda L: L.Concatenate(axis=-1), [FLAT, normal(2, 3)]),
    ],
    "Dot": [
        Case(lambda L: L.Dot(axes=1), [FLAT, normal(2, 4)], exact=False),
        Case(lambda L: L.Dot(axes=-1, normalize=True), [FLAT, normal(2, 4)], exact=False),
        Case(lambda L: L.Dot(axes=(2, 2)), [SEQUENCE, SECOND], BOTH, exact=False),
        Case(lambda L: L.Dot(axes=1, normalize=True), [SEQUENCE, SECOND], exact=False),
        Case(lambda L: L.Dot(axes=(2, 1)), [SEQUENCE, FLAT], exact=False),
        Case(lambda L: L.Dot(axes=(1, 3)), [normal(2, 3), normal(2, 5, 4, 3)], exact=False),
        Case(lambda L: L.Dot(axes=(2, 2)), [normal(2, 3, 5, 4), SEQUENCE.swapaxes(1, 2)], exact=False),
    ],
    "Flatten": [
        Case(lambda L: L.Flatten(), SEQUENCE, MASK),
        Case(lambda L: L.Flatten("channels_first"), normal(2, 3, 4, 2)),
        Case(lambda L: L.Flatten(), normal(2)),
    ],
    "Reshape": [
        Case(lambda L: L.Reshape((10, 2)), SEQUENCE, MASK),
        Case(lambda L: L.Reshape((2, -1)), SEQUENCE),
        Case(lambda L: L.Reshape((20,)), SEQUENCE),
    ],
    "Permute": [
        Case(lambda L: L.Permute((2, 1)), SEQUENCE, MASK),
        Case(lambda L: L.Permute((3, 1, 2)), normal(2, 3, 4, 5)),
    ],
    "RepeatVector": [Case(lambda L: L.RepeatVector(3), FLAT)],
    "Cropping1D": [
        Case(lambda L: L.Cropping1D(), SEQUENCE),
        Case(lambda L: L.Cropping1D(2), SEQUENCE),
        Case(lambda L: L.Cropping1D((3, 0)), SEQUENCE),
    ],
    "ZeroPadding1D": [
        Case(lambda L: L.ZeroPadding1D(), SEQUENCE),
        Case(lambda L: L.ZeroPadding1D((2, 0)), SEQUENCE),
        Case(lambda L: L.ZeroPadding1D(1, data_format="channels_first"), SEQUENCE),
    ],
    "UpSampling1D": [
        Case(lambda L: L.UpSampling1D(), SEQUENCE),
        Case(lambda L: L.UpSampling1D(size=3), SEQUENCE),
    ],
    "ReLU": [
        Case(lambda L: L.ReLU(), SEQUENCE, MASK),
        Case(lambda L: L.ReLU(0.5), SEQUENCE),
        Case(lambda L: L.ReLU(1.0, 0.2, 0.3), SEQUENCE),
        Case(lambda L: L.ReLU(negative_slope=0.2), SEQUENCE),
        Case(lambda L: L.ReLU(threshold=0.3), SEQUENCE),
    ],
    "LeakyReLU": [
        Case(lambda L: L.LeakyReLU(), SEQUENCE, MASK),
        Case(lambda L: L.LeakyReLU(0.1), SEQUENCE),
    ],
    "ELU": [Case(lambda L: L.ELU(), SEQUENCE, MASK), Case(lambda L: L.ELU(alpha=0.5), SEQUENCE)],
    "PReLU": [
        Case(lambda L: L.PReLU(), SEQUENCE, MASK),
        Case(lambda L: L.PReLU("ones", "l2", shared_axes=[1]), SEQUENCE),
        Case(lambda L: L.PReLU(shared_axes=1), SEQUENCE),
    ],
    "Softmax": [
        Case(lambda L: L.Softmax(), FLAT),
        Case(lambda L: L.Softmax(axis=1), SEQUENCE),
        Case(lambda L: L.Softmax(axis=[1, 2]), SEQUENCE),
        Case(lambda L: L.Softmax(), SEQUENCE, SECOND > -0.8),
        Case(lambda L: L.Softmax(), FLAT, np.array([[1, 0, 1, 1], [0, 0, 0, 0]], bool)),
    ],
    "Dropout": [Case(lambda L: L.Dropout(0.3, noise_shape=(None, 1, 4), seed=1), SEQUENCE, MASK)],
    "SpatialDropout1D": [Case(lambda L: L.SpatialDropout1D(0.3), SEQUENCE, MASK)],
    "GaussianNoise": [Case(lambda L: L.GaussianNoise(0.3), SEQUENCE, MASK)],
    "GaussianDropout": [Case(lambda L: L.GaussianDropout(0.3), SEQUENCE, MASK)],
    "ActivityRegularization": [Case(lambda L: L.ActivityRegularization(l1=0.1, l2=0.2), SEQUENCE, MASK)],
}

ALL = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]
