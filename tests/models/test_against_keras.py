"""Training as Keras trains: the same logs, results of evaluate and predictions, from one description of each model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

RNG = np.random.default_rng(0)
N, T = 22, 5  # the last batch of 8 is short
X = RNG.standard_normal((N, T, 3)).astype(np.float32)
Z = RNG.standard_normal((N, 2)).astype(np.float32)
Y = X.sum((1, 2))[:, None]
LABELS = RNG.integers(0, 3, N)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
IDS = RNG.integers(0, 6, (N, T))
IDS[:, 3:] *= RNG.integers(0, 2, (N, 2))  # some padding
TAGS = RNG.integers(0, 4, (N, T))
WEIGHTS = RNG.uniform(0.2, 2.0, N).astype(np.float32)


def regression(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [api.Input((None, 3)), layers.GRU(4, name="gru"), layers.Dense(1, name="out")], name="net"
    )


def classifier(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input((None, 3)),
            layers.LSTM(4, name="lstm"),
            layers.Dense(3, activation="softmax", name="out"),
        ]
    )


def tagger(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input((None,), dtype="int32"),
            layers.Embedding(6, 3, mask_zero=True, name="table"),
            layers.LSTM(4, return_sequences=True, name="lstm"),
            layers.Dense(4, activation="softmax", name="out"),
        ]
    )


def binary(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [api.Input((None, 3)), layers.SimpleRNN(4, name="rnn"), layers.Dense(1, "sigmoid", name="out")]
    )


def penalised(api: Any) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input((None, 3)),
            layers.LSTM(4, kernel_regularizer="l2", activity_regularizer="l1", name="lstm"),
            layers.Dense(1, activity_regularizer="l2", name="out"),
        ]
    )


def twice(api: Any) -> Any:
    """A layer, and a model, that are called twice, with penalties of both calls."""
    layers = api.layers
    inner_input, outer_input = api.Input((None, 3)), api.Input((None, 3))
    shared = layers.GRU(
        3, activity_regularizer="l2", kernel_regularizer="l1", return_sequences=True, name="gru"
    )
    inner = api.Model(inner_input, shared(shared(inner_input)), name="inner")
    head = layers.Dense(1, activity_regularizer="l1", name="out")
    last = layers.LSTM(2, name="lstm")
    return api.Model(
        outer_input, layers.Add(name="add")([head(last(inner(outer_input))), head(last(outer_input))])
    )


def heads(api: Any) -> Any:
    """Two inputs, a layer that is used twice, a model inside, two outputs."""
    layers = api.layers
    a, b = api.Input((None, 3), name="a"), api.Input((2,), name="b")
    start = api.Input((2,), name="start")
    inner = api.Model(start, layers.Dense(4, activation="tanh", name="inner_dense")(start), name="inner")
    state = inner(b)
    rnn = layers.GRU(4, name="gru")
    first = rnn(a, initial_state=state)
    second = rnn(a)
    out = layers.Dense(1, name="value")(first)
    return api.Model([a, b], [out, layers.Dense(3, activation="softmax", name="kind")(second)])


def keyed(api: Any) -> Any:
    """Inputs and outputs in dicts."""
    model = heads(api)
    a, b = model.inputs
    return api.Model({"a": a, "b": b}, {"kind": model.outputs[1], "value": model.outputs[0]})


Case = tuple[Callable[[Any], Any], dict[str, Any], tuple[Any, ...], dict[str, Any]]
MSE, SPARSE = {"loss": "mse"}, {"loss": "sparse_categorical_crossentropy"}
PAIR = ([X, Z], [Y, LABELS])
CASES: dict[str, Case] = {
    "validation data": (regression, {**MSE, "metrics": ["mae", "mse"]}, (X, Y), {"validation_data": (Z, Y)}),
    "validation split": (regression, MSE, (X, Y), {"validation_split": 0.3, "validation_batch_size": 3}),
    "every second epoch": (regression, MSE, (X, Y), {"validation_split": 0.3, "validation_freq": 2}),
    "epochs listed": (regression, MSE, (X, Y), {"validation_split": 0.3, "validation_freq": [1]}),
    "sample weights": (
        regression,
        {**MSE, "metrics": ["mae"], "weighted_metrics": ["mae", "mse"]},  # weighted_mae
        (X, Y),
        {"sample_weight": WEIGHTS, "validation_data": (X, Y, WEIGHTS)},
    ),
    "loss weight": (regression, {**MSE, "loss_weights": [0.3]}, (X, Y), {}),
    "accuracy": (classifier, {**SPARSE, "metrics": ["accuracy"]}, (X, LABELS), {"validation_split": 0.5}),
    "class weights": (
        classifier,
        {**SPARSE, "metrics": ["acc"], "weighted_metrics": ["accuracy"]},
        (X, LABELS),
        {"class_weight": {0: 0.5, 2: 3.0}},
    ),
    "class weights are of training alone": (
        classifier,
        {**SPARSE, "weighted_metrics": ["accuracy"]},
        (X, LABELS),
        {"class_weight": {0: 0.5, 2: 3.0}, "validation_split": 0.3},
    ),
    "class weights, one-hot": (
        classifier,
        {"loss": "crossentropy", "metrics": ["accuracy"]},
        (X, ONE_HOT),
        {"class_weight": {1: 2.5}},
    ),
    "masks": (
        tagger,
        {"loss": "ce", "metrics": ["accuracy"], "weighted_metrics": ["sparse_categorical_crossentropy"]},
        (IDS, TAGS),
        {"validation_split": 0.3},
    ),
    "masks and weights per step": (  # no metrics: Keras's loss writes the mask into the weights that they get
        tagger,
        SPARSE,
        (IDS, TAGS),
        {"sample_weight": np.outer(WEIGHTS, np.arange(1, T + 1)).astype(np.float32)},
    ),
    "binary": (binary, {"loss": "ce", "metrics": ["accuracy"]}, (X, (Y > 0).astype(int)), {}),
    "penalties": (penalised, {**MSE, "metrics": ["mse"]}, (X, Y), {"validation_split": 0.3}),
    "penalties of calls": (twice, {**MSE, "metrics": ["mse"]}, (X, Y), {"validation_split": 0.3}),
    "steps of arrays": (regression, MSE, (X, Y), {"batch_size": None, "steps_per_epoch": 2}),
    "two outputs": (
        heads,
        {"loss": ["mse", "sparse_categorical_crossentropy"], "loss_weights": [0.5, 2.0],
         "metrics": [["mae"], ["accuracy"]]},
        PAIR,
        {"validation_data": PAIR},
    ),
    "two outputs by name": (
        heads,
        {"loss": {"kind": "ce", "value": "mse"}, "loss_weights": {"kind": 0.3, "value": 1.0},
         "metrics": {"kind": ["accuracy"]}, "weighted_metrics": {"kind": ["accuracy"], "value": ["mae"]}},
        PAIR,
        {"sample_weight": [WEIGHTS, WEIGHTS[::-1].copy()]},
    ),
    "one loss for both": (heads, MSE, ([X, Z], [Y, ONE_HOT]), {}),
    "an output without a loss": (heads, {"loss": ["mse", None]}, ([X, Z], [Y, LABELS]), {}),
    "an output without a loss, and without a target": (heads, {"loss": ["mse", None]}, ([X, Z], Y), {}),
    "dicts": (
        keyed,
        {"loss": {"kind": "sparse_categorical_crossentropy", "value": "mae"},
         "loss_weights": {"kind": 2.0, "value": 0.1}, "metrics": {"value": ["mse"]}},
        ({"b": Z, "a": X}, {"value": Y, "kind": LABELS}),
        {},
    ),
}  # fmt: skip
CASES["validation data"][3]["validation_data"] = (X[::-1].copy(), Y)


def copy_weights(ours: Any, theirs: Any) -> None:
    for layer in ours.layers:
        theirs.get_layer(layer.name).set_weights(layer.get_weights())


def close(a: Any, b: Any) -> Any:
    return np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=2e-5, atol=2e-6)


@pytest.mark.filterwarnings("ignore")  # those of Keras
@pytest.mark.parametrize("name", CASES)
def test_logs_results_and_predictions_are_those_of_keras(name: str, keras: Any) -> None:
    build, compiled, (x, y), options = CASES[name]
    ours, theirs = build(tg), build(keras)
    copy_weights(ours, theirs)
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "shuffle": False, **options}
    logs = []
    for api, model in ((tg, ours), (keras, theirs)):
        model.compile(api.optimizers.SGD(0.05), **compiled)
        logs.append(model.fit(x, y, **options).history)
    assert set(logs[0]) == set(logs[1])
    for key, values in logs[1].items():
        assert len(values) == len(logs[0][key])
        close(logs[0][key], values)
    results = [model.evaluate(x, y, batch_size=8, verbose=0) for model in (ours, theirs)]
    if "weighted_mae" not in logs[0]:  # Keras lists `mae` once more instead
        assert np.ndim(results[0]) == np.ndim(results[1])
        close(*results)
    predictions = [model.predict(x, batch_size=8, verbose=0) for model in (ours, theirs)]
    for p, q in zip(*(list(tg.layers.symbolic.flatten(p)) for p in predictions), strict=True):
        close(p, q)
    batches = [model.train_on_batch(x, y, return_dict=True) for model in (ours, theirs)]
    for key, value in batches[1].items():
        close(batches[0][key], value)
