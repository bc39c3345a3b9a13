"""What the layers without recurrence say about wrong arguments and wrong inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers

X3, X2 = np.ones((2, 5, 4)), np.ones((2, 4))
STATES = layers.LSTM(2, return_state=True)(X3)


def LSTM() -> Any:
    return layers.LSTM(2, return_state=True)


class Own(tg.Layer):
    """Makes a weight of the arguments given."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(name="own")
        self.given = args, options

    def build(self, input_shape: Any) -> None:
        args, options = self.given
        self.add_weight(*args, **options)


class Sparse:
    """Has a shape, and multiplies, but is no array to NumPy."""

    shape, dtype = (2, 4), np.dtype("float64")


BAD: list[tuple[Any, str]] = [
    (lambda: layers.Dense(3, name="d")(Sparse()), r"d: expected a tensor.*received a Sparse.*\.toarray\(\)"),
    (lambda: layers.Dense(3, name="d")(np.ones(4)), r"d: expected inputs \(batch, ..., features\).*\(4,\)"),
    (lambda: layers.Dense(0), "units must be a positive integer, received 0"),
    (lambda: layers.Dense(3, lora_rank=2), "Dense: lora_rank is not supported, received 2"),
    (lambda: layers.Embedding(3, 2, quantization_config="int8"), "quantization_config is not supported"),
    (lambda: layers.Embedding(3, 2, name="e")(np.array([[0, 1], [2, 3]])), r"e: id.*3.*\(1, 1\)"),
    (lambda: layers.Embedding(3, 2, name="e")(np.array([[-1]])), r"e: id.*-1.*\(0, 0\)"),
    (lambda: layers.Embedding(3, 2)(np.array([[16777217.0]])), "id.*16777217"),
    (lambda: layers.Embedding(3, 0), "output_dim must be a positive integer"),
    (lambda: layers.Embedding(3, 2, weights=np.ones((2, 2)))(np.array([[0]])), r"expected \(3, 2\)"),
    (lambda: layers.Lambda(3), "expected a function, received 3"),
    (lambda: layers.Masking(name="m")(np.ones(3)), r"m: expected inputs \(batch, time, features\)"),
    (lambda: layers.TimeDistributed(layers.Dense(2), name="t")(X2), r"t: expected.*time.*shape \(2, 4\)"),
    (lambda: layers.TimeDistributed(layers.Dense(2), name="t")([X3]), "t: expected.*received list"),
    (lambda: layers.TimeDistributed("dense"), "expected a layer, received 'dense'"),
    (lambda: layers.Add(name="a")(X2), r"a: expected a list of one or more.*one tensor.*a\(\[a, b\]\)"),
    (lambda: layers.Add()([]), "expected a list of one or more inputs, received 0"),
    (lambda: layers.Add(name="a")([X2, np.ones((2, 3))]), r"a: the shapes \(2, 4\), \(2, 3\) do not fit"),
    (lambda: layers.Add()([X2, np.ones((3, 4))]), "do not fit together"),
    (lambda: layers.Subtract()([X2]), "a list of 2 inputs, received 1"),
    (lambda: layers.Concatenate()([X2, X3]), "do not fit together"),
    (lambda: layers.Concatenate(axis=3)([X3, X3]), "do not fit together"),
    (lambda: layers.Dot(axes=(1, 2, 3)), r"axes must be an int or two ints, received \(1, 2, 3\)"),
    (lambda: layers.Dot(axes=0)([X2, X2]), "do not fit together"),
    (lambda: layers.Dot(axes=1)([X2, X3]), "do not fit together"),
    (
        lambda: layers.Reshape((3, -1), name="r")(X2),
        r"r: inputs of shape \(2, 4\) have 4 elements.*\(3, -1\)",
    ),
    (lambda: layers.Reshape((3,))(X2), "do not fit target_shape"),
    (lambda: layers.Reshape((-1, -1)), "one of which may be -1"),
    (lambda: layers.Permute((0, 1)), r"dims must be the numbers 1 to n.*\(0, 1\)"),
    (lambda: layers.Permute((2, 1))(X2), r"with 3 axes, received shape \(2, 4\)"),
    (lambda: layers.RepeatVector(0), "n must be a positive integer, received 0"),
    (lambda: layers.RepeatVector(2)(X3), r"\(batch, features\), received shape \(2, 5, 4\)"),
    (lambda: layers.Cropping1D(3, name="c")(X3), r"c: cropping \(3, 3\) leaves nothing of 5"),
    (lambda: layers.Cropping1D((1, 2, 3)), "cropping must be a number of steps, or two"),
    (lambda: layers.ZeroPadding1D(-1), "padding must be"),
    (lambda: layers.UpSampling1D(2)(X2), r"\(batch, time, features\), received shape \(2, 4\)"),
    (lambda: layers.Flatten("first"), "data_format must be.*'first'"),
    (lambda: layers.ReLU(max_value=-1), "max_value must not be negative, received -1"),
    (lambda: layers.LeakyReLU(None), "negative_slope must not be negative, received None"),
    (lambda: layers.PReLU(shared_axes=[3])(X3), r"shared_axes \[3\] are not among the axes 1..2"),
    (lambda: layers.PReLU()(tg.Input((None, 4))), "name the unknown axes in shared_axes"),
    (lambda: layers.Softmax(name="s")(X3, mask=np.ones((2, 5))), r"s: expected a mask that broadcasts"),
    (lambda: layers.Dropout(1.5), r"rate must be in \[0, 1\], received 1.5"),
    (lambda: layers.Dropout(0.5, noise_shape=(0, 2)), "noise_shape holds positive integers"),
    (lambda: layers.Dropout(0.5, (2, 1), name="d")(X3), r"d: noise_shape \(2, 1\) does not fit.*\(2, 5, 4\)"),
    (lambda: layers.SpatialDropout1D(0.5)(X2), r"\(batch, time, features\), received shape \(2, 4\)"),
    (lambda: layers.GaussianNoise(2.0), r"GaussianNoise: stddev must be in \[0, 1\]"),
    (lambda: layers.GaussianDropout(1.0), "rate must be below 1"),
    (lambda: layers.Activation("tanhh"), "did you mean 'tanh'"),
    (lambda: layers.merging.Merge()([X2]), "must define merge"),
    (
        lambda: layers.Dense(2, activaton="tanh"),
        "^Dense: unknown argument 'activaton'; did you mean 'activation'",
    ),
    (lambda: layers.Dropout(0.5, sed=1), "^Dropout: unknown argument 'sed'; did you mean 'seed'"),
    (lambda: layers.Bidirectional(layers.LSTM(2), merge="sum"), "'merge'; did you mean 'merge_mode'"),
    (lambda: Named(nam="a"), "^Named: unknown argument 'nam'; did you mean 'name'"),
    (
        lambda: tg.Model(input=tg.Input((3,)), output=tg.Input((3,))),
        "^Model: .*'input'; did you mean 'inputs'",
    ),
    (lambda: tg.Sequential([], nme="a"), "^Sequential: unknown argument 'nme'; did you mean 'name'"),
    (
        lambda: layers.Dense(1, name="d")(STATES),
        r"d: expected one tensor, received a tuple of 3.*return_state",
    ),
    (lambda: layers.Dense(1, name="d")([X2, X2]), "d: expected one tensor, received a list of 2"),
    (
        lambda: layers.Dense(1, name="d")([[1.0, 2.0]]),
        r"d: expected a tensor or an array, .* list; .*np\.array",
    ),
    (lambda: tg.Sequential([tg.Input((5, 4)), LSTM(), layers.Dense(1, name="d")]), "d: expected one tensor"),
    (lambda: layers.LayerNormalization()(LSTM()(tg.Input((5, 4)))), "normalization.*: expected one tensor"),
    (lambda: layers.Flatten()(STATES), "flatten.*: expected one tensor"),
    (
        lambda: Own(shape=((None, 2), 3))(X2),
        r"own: the shape of a weight.*received \(\(None, 2\), 3\).*return_state",
    ),
    (
        lambda: tg.Sequential(layers.Dense(2), layers.Dense(1)),
        r"Sequential: .*received Dense, Dense; write .*\(\[a, b\], name=",
    ),
    (lambda: tg.Sequential(layers.Dense(2)), r"Sequential: .*one list of layers, received Dense; write"),
    (lambda: tg.utils.pad_sequences([[1], [1, "a"]]), r"pad_sequences: sequences\[1\] is \[1, 'a'\].*int32"),
    (lambda: tg.utils.pad_sequences([[1], [1, [2]]]), r"pad_sequences: the elements of sequences\[1\] have"),
    (lambda: tg.utils.pad_sequences([[1], [1, None]]), r"pad_sequences: sequences\[1\] is \[1, None\]"),
    (lambda: Own("W", (3, 4))(X2), r"own: the shape of a weight.*received 'W'.*shape=\(3, 4\), name="),
    (lambda: Own(3)(X2), "own: the shape of a weight is a tuple of whole numbers ≥ 0, received 3"),
    (lambda: Own((3, None))(X2), r"own: the shape of a weight.*received \(3, None\)"),
    (lambda: Own((3, -1))(X2), r"own: the shape of a weight.*received \(3, -1\)"),
]


class Named(tg.Layer):
    """Hands its options on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)


@pytest.mark.parametrize(("call", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError, NotImplementedError), match=message):
        call()


def test_a_softmax_over_one_feature_warns_once() -> None:
    for layer, x in (
        (layers.Dense(1, activation="softmax", name="s"), X2),
        (layers.Dense(1, activation=tg.ops.softmax, name="s"), tg.Input((4,))),
        (layers.Activation("softmax", name="s"), X2[:, :1]),
    ):
        with pytest.warns(UserWarning, match="s: a softmax over one feature is always 1.*sigmoid"):
            layer(x)
        layer(x)  # warnings are errors here: the second call is silent
    layers.Dense(2, activation="softmax")(X2), layers.Dense(1, activation="sigmoid")(X2)
    layers.Activation("softmax")(X2)


def test_a_built_layer_refuses_other_shapes() -> None:
    dense, slope = layers.Dense(2), layers.PReLU()
    dense(X2), slope(X2)
    for _ in range(2):
        with pytest.raises(ValueError, match="expected 4 features on the last axis"):
            dense(np.ones((2, 3)))
        with pytest.raises(ValueError, match=r"fit alpha of shape \(4,\), received shape \(2, 3\)"):
            slope(np.ones((2, 3)))
    assert dense(X2).shape == slope(X2).shape[:1] + (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: layers.Dense(10**13, name="d")(X2),
            r"d: there is no memory for its weight 'kernel': .*\(4, 1\d+\)",
        ),
        (
            lambda: tg.tensor(np.ones((10**7, 1), "float32")) @ np.ones((1, 10**7), "float32"),
            r"matmul: .*allocate .*; received \(10000000, 1\) float32, \(1, 10000000\)",
        ),
    ],
)
def test_too_large_for_the_memory(call, message):
    with pytest.raises(MemoryError, match=message):
        call()
