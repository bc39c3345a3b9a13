"""`get_config` of every layer: all arguments, JSON, Keras's keys and forms; and back."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_layer import HERE_ALONE, NAMES, WITH_TENSORFLOW, double, required, twin

import tinygrad_rnn as tg
from tinygrad_rnn import initializers, layers, saving, utils
from tinygrad_rnn.layers import LAYERS

X = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
NOT_HERE = {"renorm_clipping", "renorm_momentum", "rms_scaling", "bin_boundaries", "epsilon", "sparse"}


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Nothing stays registered."""
    before = dict(utils.get_custom_objects())
    yield
    utils.get_custom_objects().clear()
    utils.get_custom_objects().update(before)


def in_form(value: Any) -> Any:
    """Keras's data and ours, where modules, names and what is not known here may differ."""
    if isinstance(value, dict) and "class_name" in value:
        return value["class_name"] if value["class_name"] != "DTypePolicy" else value["config"]["name"]
    return list(map(in_form, value)) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_goes_through_json(name: str) -> None:
    given = required(name)
    layer = LAYERS[name](**given, name="given")
    if name == "Lambda":  # a function is known by its name
        utils.register_serializable("mine")(double)
    config = layer.get_config()
    assert given.keys() <= config.keys()
    for again in (json.loads(json.dumps(config)), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        made = LAYERS[name].from_config(again)
        assert json.loads(json.dumps(made.get_config())) == json.loads(json.dumps(config))
        whole = saving.deserialize_keras_object(json.loads(json.dumps(layers.serialize(made))))
        assert type(whole) is LAYERS[name] and whole.name == "given"


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("Lambda", "Bidirectional")])
def test_keys_and_forms_are_those_of_keras(keras: Any, name: str) -> None:
    if name in WITH_TENSORFLOW | HERE_ALONE:
        pytest.skip("Keras cannot make it here")
    given = {k: twin(keras, v) for k, v in required(name).items()}
    want = getattr(keras.layers, name)(**given, name="given").get_config()
    own = LAYERS[name](**required(name), name="given").get_config()
    assert want.keys() - own.keys() <= NOT_HERE
    different = {k: (own[k], v) for k, v in want.items() if k in own and in_form(own[k]) != in_form(v)}
    known = {
        "axes",
        "strides",
        "kernel_size",
        "dilation_rate",
        "pool_size",
        "data_format",
        "output_shape",
        "value_dim",
    }
    assert different.keys() <= known | {"cropping", "padding", "axis", "mean", "shared_axes"}, different


def test_layers_inside_and_objects_are_written_as_keras_writes_them() -> None:
    config = layers.RNN([layers.GRUCell(2), layers.LSTMCell(3, bias_regularizer="l2")]).get_config()
    cell = config["cell"]
    assert (cell["module"], cell["class_name"], cell["registered_name"]) == (
        "tinygrad_rnn.layers", "StackedRNNCells", None,
    )  # fmt: skip
    inner = cell["config"]["cells"][1]["config"]
    assert inner["recurrent_activation"] == "sigmoid" and inner["bias_regularizer"]["class_name"] == "L2"
    inner["units"] = 5  # the data counts, not the layer that it was of
    assert layers.RNN.from_config(config).cell.cells[1].units == 5


def test_writing_a_configuration_draws_nothing() -> None:
    layer = layers.LSTM(3)
    before = tg.config.random_state()
    layer.get_config()
    assert tg.config.random_state() == before


class Half(initializers.Initializer):
    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return np.full(shape, 0.5, dtype)


class MyCell(layers.Layer):
    def __init__(self, units: int, scale: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.units = self.state_size = units
        self.scale = scale

    def call(self, inputs: Any, states: Any) -> Any:
        h = inputs[:, : self.units] + states[0]
        return h, [h]


def test_a_users_classes_with_and_without_a_name() -> None:
    layer = layers.RNN(MyCell(2, scale=np.arange(3.0, dtype=np.float32)))
    dense = layers.Dense(2, kernel_initializer=Half(), activation=double)
    assert type(layers.RNN.from_config(layer.get_config()).cell) is MyCell
    assert layers.Dense.from_config(dense.get_config()).activation is double
    texts = [json.dumps(layer.get_config()), json.dumps(dense.get_config())]
    for cls, text in zip((layers.RNN, layers.Dense), texts, strict=True):
        with pytest.raises(ValueError, match=r"not known here: register it|unknown"):
            cls.from_config(json.loads(text))
    own = {"MyCell": MyCell, "Half": Half, "double": double}
    with utils.custom_object_scope(own):
        cell = layers.RNN.from_config(json.loads(texts[0])).cell
        again = layers.Dense.from_config(json.loads(texts[1]))
    assert type(cell) is MyCell and cell.scale.dtype == np.float32 and cell.scale.tolist() == [0.0, 1.0, 2.0]
    assert type(again.kernel_initializer) is Half and again.activation is double
    whole = json.loads(json.dumps(layers.serialize(layer)))
    assert type(layers.deserialize(whole, {"MyCell": MyCell}).cell) is MyCell
    assert type(initializers.get(dense.get_config()["kernel_initializer"])) is Half
    for member in own.values():
        utils.register_serializable("mine")(member)
    data = json.loads(json.dumps(dense.get_config()))
    assert data["kernel_initializer"]["registered_name"] == "mine>Half"
    assert type(layers.Dense.from_config(data).kernel_initializer) is Half


def test_a_users_class_with_the_name_of_ours_is_not_ours() -> None:
    class Zeros(initializers.Ones):
        pass

    config = json.loads(json.dumps(layers.Dense(1, kernel_initializer=Zeros()).get_config()))
    with pytest.raises(ValueError, match="'Zeros' of .* is not known here"):
        layers.Dense.from_config(config)


class Wide(layers.LSTM):
    """Gives an argument of the class below itself, so that its default may not be handed on."""

    def __init__(self, units: int, factor: int = 2, **options: Any) -> None:
        super().__init__(units * factor, return_sequences=True, **options)
        self.factor = factor


class Around(layers.Layer):
    """Extends get_config, and makes the layers inside again as a program for Keras does."""

    def __init__(self, inner: Any, twice: Any, **options: Any) -> None:
        super().__init__(**options)
        self.inner, self.twice = inner, twice

    def call(self, inputs: Any) -> Any:
        return self.twice(self.inner(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inner": saving.serialize_keras_object(self.inner)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        for key in ("inner", "twice"):
            config[key] = saving.deserialize_keras_object(config[key])
        return cls(**config)


def test_subclasses_are_copied_saved_and_written(tmp_path: Path) -> None:
    wide = Wide(3, dropout=0.5)
    config = json.loads(json.dumps(wide.get_config()))
    assert config["units"] == 3 and config["factor"] == 2 and "return_sequences" not in config
    assert Wide.from_config(config)(X).shape == (2, 5, 6)
    dense = layers.Dense(3)
    model = tg.Sequential([tg.Input((None, 3)), Around(dense, dense)])
    y = model.predict(X, verbose=0)
    for made in (
        tg.models.clone_model(model),
        tg.Sequential.from_config(model.get_config()),
    ):
        assert made.count_params() == model.count_params() == 12
    with utils.custom_object_scope({"Around": Around}):
        model.save(tmp_path / "m.tgr")
        loaded = tg.models.load_model(tmp_path / "m.tgr")
        text = json.loads(json.dumps(model.get_config()))
        assert tg.Sequential.from_config(text).count_params() in (12, 24)  # as Keras: shared no more in text
    assert np.array_equal(loaded.predict(X, verbose=0), y)
    assert loaded.layers[0].inner is loaded.layers[0].twice


def test_data_of_keras_makes_layers(keras: Any) -> None:
    data = keras.layers.LSTM(3, kernel_initializer="he_normal", bias_regularizer="l2").get_config()
    layer = layers.LSTM.from_config(json.loads(json.dumps(data)))
    assert type(layer.kernel_initializer) is initializers.HeNormal and layer.dtype == "float32"
    made = keras.layers.Bidirectional(keras.layers.GRU(2), merge_mode="sum")
    data = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
    data.pop("build_config", None)
    again = layers.deserialize(data)
    assert again(X).shape == (2, 2) and type(again.backward_layer) is layers.GRU
