"""Functional models and their parts, shared layers, copies, JSON, summary."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.models import clone_model, model_from_json

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5, 3)).astype(np.float32)
Z = RNG.standard_normal((4, 2)).astype(np.float32)


def functional() -> Any:
    """Two inputs, a model inside, a layer called twice, states as keyword arguments, outputs in a dict."""
    a, b = tg.Input((None, 3), name="a"), tg.Input((2,), name="b")
    inner = tg.Sequential([tg.Input((2,)), layers.Dense(3, "tanh", name="d")], name="inner")
    y, h, c = layers.LSTM(3, return_sequences=True, return_state=True, name="encoder")(
        a, initial_state=[inner(b), inner(b)]
    )
    shared = layers.Dense(3, name="shared")
    last = layers.LSTM(3, name="decoder")(shared(a), initial_state=[h, c])
    outputs = {"both": shared(y), "last": layers.Dense(1, name="end")(last)}
    return tg.Model({"a": a, "b": b}, outputs, name="net")


def sequential() -> Any:
    return tg.Sequential([tg.Input((None, 3)), layers.Bidirectional(layers.GRU(2)), layers.Dense(1)])


def unbuilt() -> Any:
    return tg.Sequential([layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)]), layers.Dense(1)])


class Subclassed(tg.Model):
    def __init__(self, units: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.parts = {"first": [layers.GRU(units)], "second": layers.Dense(1)}

    def call(self, inputs: Any) -> Any:
        return self.parts["second"](self.parts["first"][0](inputs))


MODELS: dict[str, tuple[Callable[[], Any], Any]] = {
    "functional": (functional, {"b": Z, "a": X}),
    "sequential": (sequential, X),
    "unbuilt": (unbuilt, X),
    "subclassed": (Subclassed, X),
}


def arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(t) for t in layers.symbolic.flatten(outputs)]


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


COPIES: dict[str, Callable[[Any], Any]] = {
    "clone": clone_model,
    "config": lambda model: type(model).from_config(model.get_config()),
    "JSON": lambda model: model_from_json(
        json.dumps(json.loads(model.to_json(indent=1))), {"Subclassed": Subclassed}
    ),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", MODELS)
def test_copies_have_the_same_architecture_and_weights_of_their_own(name: str, how: str) -> None:
    make, x = MODELS[name]
    model = make()
    if name == "subclassed" and how == "JSON":
        with pytest.raises(ValueError, match="names 'Subclassed'"):
            model_from_json(model.to_json())
    for built in (False, True):
        copy = COPIES[how](model)
        ours, theirs = arrays(model(x)), arrays(copy(x))
        assert [a.shape for a in ours] == [a.shape for a in theirs]
        assert not {id(v) for v in model.weights} & {id(v) for v in copy.weights}
        assert not {id(a) for a in model.all_layers()} & {id(b) for b in copy.all_layers()}
        assert not same(ours, theirs)
        copy.set_weights(model.get_weights())
        assert same(model(x), copy(x)), built
        if name in ("functional", "sequential"):  # other constructors name their layers anew
            assert [v.path for v in copy.weights] == [v.path for v in model.weights]
            assert [a.name for a in copy.layers] == [a.name for a in model.layers]


def test_clones_take_other_inputs_and_other_layers() -> None:
    model = functional()
    other = {"a": tg.Input((7, 3), name="a"), "b": tg.Input((2,), name="b")}
    made: list[str] = []

    def wider(layer: Any) -> Any:
        made.append(layer.name)
        return layers.Dense(5, name="end") if layer.name == "end" else layer

    copy = clone_model(model, other, wider)
    assert copy.input is other and copy.get_layer("shared") is model.get_layer("shared")
    assert sorted(made) == sorted(layer.name for layer in model.layers)  # once each
    assert copy.output["last"].shape == (None, 5) and copy.output["both"].shape == (None, 7, 3)
    stack = clone_model(sequential(), tg.Input((2, 3)))
    assert stack.input_shape == (None, 2, 3)
    with pytest.raises(ValueError, match="expected 2 inputs, received 1"):
        clone_model(model, [other["a"]])
    with pytest.raises(ValueError, match=r"subclass, its call\(\) is code"):
        clone_model(Subclassed(), clone_function=wider)
    frozen = functional()
    frozen.get_layer("shared").trainable = False
    assert len(clone_model(frozen).trainable_weights) == len(frozen.trainable_weights) == 10


@pytest.mark.parametrize("text", ["", "[]", '{"class": "LSTM"}', '{"a": 1}'])
def test_json_that_is_no_model(text: str) -> None:
    with pytest.raises(ValueError, match=r"model_from_json: expected what model.to_json\(\) gives"):
        model_from_json(text)


def test_gradients_of_shared_layers_add_up() -> None:
    model = functional()
    shared = model.get_layer("shared")
    out = model({"a": X, "b": Z})
    whole = tg.grad(out["both"].sum() + out["last"].sum(), shared.kernel)
    parts = [tg.grad(model({"a": X, "b": Z})[name].sum(), shared.kernel) for name in ("both", "last")]
    np.testing.assert_allclose(whole, sum(np.asarray(p) for p in parts), rtol=1e-5, atol=1e-6)
    assert all(np.abs(p).max() > 0 for p in parts)


def test_parts_are_cut_out_of_a_trained_model() -> None:
    model = sequential()
    model.compile("sgd", "mse")
    model.fit(X, Z[:, 0], verbose=0)
    first = model.layers[0]
    part = tg.Model(model.inputs, first.output)
    np.testing.assert_array_equal(part(X), first(X))
    assert part.weights[0] is model.weights[0]
    rest = tg.Model(first.output, model.output)
    np.testing.assert_allclose(rest(part(X)), model(X), rtol=1e-6)
    net = functional()
    encoder = tg.Model(net.inputs, net.get_layer("encoder").output[0])
    assert encoder([X, Z]).shape == (4, 5, 3)
    assert net.get_layer("inner").input.shape == (None, 2)
    assert [s.shape for s in net.outputs] == [(None, None, 3), (None, 1)]
    for layer in (layers.Dense(1), unbuilt(), Subclassed()):
        with pytest.raises(AttributeError, match="never called on symbols"):
            _ = layer.output


def test_sequential_takes_a_shape_on_its_first_layer() -> None:
    model = tg.Sequential([layers.GRU(3, input_shape=(None, 2)), layers.Dense(1)])
    assert model.built and model.input_shape == (None, None, 2) and model.outputs[0].shape == (None, 1)
    assert same(model([X[..., :2]]), model(X[..., :2])) and same(model((X[..., :2],)), model(X[..., :2]))
    assert tg.Sequential([layers.Dense(2, input_shape=3)]).input_shape == (None, 3)
    ids = tg.Sequential([layers.Embedding(5, 2, input_shape=(None,)), layers.GRU(3)])
    assert ids(np.zeros((1, 4), int)).shape == (1, 3)
    inside = tg.Sequential([model, layers.Dense(2)])
    assert inside.output.shape == (None, 2)
    copy = tg.Sequential.from_config(model.get_config())
    assert copy.count_params() == model.count_params()


def test_sequential_build_add_and_pop_keep_the_symbols() -> None:
    model = unbuilt()
    model.build((None, None, 3))
    assert model.built and model.output.shape == (None, 1)
    model.build((None, None, 3))
    with pytest.raises(ValueError, match=r"is built for \(None, None, 3\)"):
        model.build((None, None, 4))
    weights = model.weights
    dense = model.pop()
    assert model.output is dense.input and model(X).shape == (4, 3)
    model.add(dense)
    assert model(X).shape == (4, 1) and all(a is b for a, b in zip(weights, model.weights, strict=True))
    wrong = tg.Sequential([layers.GRU(2), layers.GRU(2)])
    with pytest.raises(ValueError, match="expected one sequence"):
        wrong.build((None, None, 3))
    assert not wrong._between
    subclassed = Subclassed()
    subclassed.build((None, None, 3))
    assert subclassed.count_params() == 9 * 6 + 18 + 4


def test_output_shapes_without_data() -> None:
    assert layers.LSTM(3, return_sequences=True).compute_output_shape((None, 7, 2)) == (None, 7, 3)
    assert layers.Dense(4).compute_output_shape((None, None, 2)) == (None, None, 4)
    lstm = layers.LSTM(3, return_state=True)
    assert lstm.compute_output_shape((None, 7, 2)) == ((None, 3), (None, 3), (None, 3))
    assert not lstm.nodes
    assert functional().compute_output_shape({"a": (None, 6, 3), "b": (None, 2)})["both"] == (None, 6, 3)


def test_masks_reach_the_call_of_own_layers() -> None:
    class Count(tg.Layer):
        def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
            seen.append((None if mask is None else np.asarray(mask).tolist(), training))
            return inputs

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return None if mask is None else ~np.asarray(mask)

    seen: list[Any] = []
    model = tg.Sequential([layers.Embedding(4, 2, mask_zero=True), Count(), Count()])
    model(np.array([[1, 0]]), training=True)
    assert seen == [([[True, False]], True), ([[False, True]], True)]


def test_summary_of_functional_models() -> None:
    model = functional()
    model.get_layer("end").trainable = False
    printed: list[str] = []
    model.summary(print_fn=printed.append)
    assert "Connected to" in printed[0] and "a, inner" in printed[0] and "Trainable" not in printed[0]
    model.summary(print_fn=printed.append, expand_nested=True, show_trainable=True, line_length=120)
    lines = printed[1].splitlines()
    assert any("  d (Dense)" in line for line in lines) and not any("d (Dense)" in x for x in printed[0])
    assert "no" in next(line for line in lines if "end (Dense)" in line).split()
    assert all(len(line) <= 120 for line in lines)
    model.summary(print_fn=printed.append, layer_range=["shared", "dec.*"])
    assert "decoder (LSTM)" in printed[2] and "encoder (LSTM)" not in printed[2]
    sequential().summary(print_fn=printed.append, positions=[0.5, 0.8, 1.0], line_length=60)
    assert max(map(len, printed[3].splitlines())) <= 60
    with pytest.raises(ValueError, match="no layer fits 'x'; there are"):
        model.summary(layer_range=["x", "end"])
    with pytest.raises(ValueError, match="positions must be 3 growing numbers"):
        sequential().summary(positions=[0.5, 0.4, 1.0])


def test_layers_by_name_and_place() -> None:
    model = functional()
    with pytest.raises(ValueError, match="no layer 'encodr'; did you mean 'encoder'"):
        model.get_layer("encodr")
    with pytest.raises(ValueError, match="either a name or an index"):
        model.get_layer()
    with pytest.raises(ValueError, match="no layer 9; there are 5"):
        model.get_layer(index=9)
    with pytest.raises(ValueError, match="both inputs and outputs"):
        tg.Model(model.inputs)


def test_a_mask_given_to_a_model() -> None:
    """It is that of the inputs, in this call alone."""
    x = RNG.standard_normal((3, 4, 2)).astype(np.float32)
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 1]], bool)
    start = tg.Input((None, 2))
    gru, dense = tg.layers.GRU(3, return_sequences=True), tg.layers.Dense(1)
    functional = tg.Model(start, dense(gru(start)))
    want = dense(gru(x, mask=mask))
    for model in (functional, tg.Sequential([gru, dense]), tg.Sequential([start, gru, dense])):
        without = model(x).numpy()
        given = tg.tensor(x)
        for _ in range(2):
            np.testing.assert_array_equal(model(given, mask=mask), want)
            np.testing.assert_array_equal(model(given), without)
        assert np.any(want != without)
    masks = tg.Input((None,), dtype="bool")
    outer = tg.Model([start, masks], functional(start, mask=masks))
    np.testing.assert_array_equal(outer([x, mask]), want)


def test_the_output_shape_of_an_embedding() -> None:
    embedding = tg.layers.Embedding(5, 3)
    assert embedding.compute_output_shape((None, None)) == (None, None, 3)
    assert tg.Sequential([embedding, tg.layers.GRU(2)]).compute_output_shape((2, 7)) == (2, 2)
