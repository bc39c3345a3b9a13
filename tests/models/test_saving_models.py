"""Every kind of model comes back from a file: constants, shared layers, subclasses, the user's own, functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers, utils
from tinygrad_rnn.container import CheckpointError, read_archive
from tinygrad_rnn.models import load_model, model_from_json

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5, 3)).astype(np.float32)
CONSTANT = RNG.standard_normal((1, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    utils.get_custom_objects().clear()


class Own(tg.Model):
    """A subclass with nothing but the arguments of its constructor as its config."""

    def __init__(self, units: int, cell: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.rnn = layers.RNN(cell) if cell is not None else layers.GRU(units)
        self.head = layers.Dense(1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(self.rnn(inputs))


class WithConfig(Own):
    """As in Keras: `get_config` and `from_config` of its own."""

    def __init__(self, units: int, factor: float = 1.0, **options: Any) -> None:
        super().__init__(units, **options)
        self.units, self.factor = units, factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "factor": self.factor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


class Halved(tg.Sequential):
    def train_step(self, data: Any) -> Any:
        x, y, weight = utils.unpack_x_y_sample_weight(data)
        return super().train_step((x * 0.5, y, weight))


class OwnFunctional(tg.Model):
    def predict_step(self, data: Any) -> Any:
        return 2 * super().predict_step(data)


class Several(tg.Model):
    """Several inputs in a dict, a shared layer, a nested model."""

    def __init__(self, inner: Any, **options: Any) -> None:
        super().__init__(**options)
        self.inner, self.mix = inner, layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return {"a": self.mix(self.inner(inputs["x"])), "b": self.mix(self.inner(inputs["z"]))}


def arithmetic() -> Any:
    x = tg.Input((None, 3))
    y = CONSTANT * x + np.float32(2) - tg.tensor(CONSTANT)
    return tg.Model(x, layers.Dense(1)(y[:, -1] / 3.0))


def constant_states() -> Any:
    x = tg.Input((None, 3), batch_size=4)
    h = RNG.standard_normal((4, 2)).astype(np.float32)
    y = layers.LSTM(2, return_sequences=True)(x, initial_state=[h, tg.tensor(2 * h)])
    return tg.Model(x, layers.GRU(2)(y, initial_state=h))


def shared() -> Any:
    """One layer in the model itself, in a model inside it, and in the config of a layer."""
    dense = layers.Dense(3, "tanh")
    x = tg.Input((None, 3))
    inner = tg.Model(x, dense(x))
    y = layers.TimeDistributed(dense)(dense(inner(x)))
    return tg.Model(x, layers.Dense(1)(layers.GRU(2)(inner(y))))


def structured() -> Any:
    x = tg.Input((None, 3), name="x")
    y, state = layers.GRU(2, return_state=True)(x)
    return tg.Model({"in": x}, {"y": y, "more": state})


def symbol_reused() -> Any:
    """The Input of a stack is also that of the model around it."""
    x = tg.Input((None, 3))
    stack = tg.Sequential([x, layers.GRU(2)])
    return tg.Model(x, layers.Dense(1)(stack(x)))


def table() -> Any:
    weights = RNG.standard_normal((7, 3)).astype(np.float32)
    return tg.Sequential([layers.Embedding(7, 3, weights=weights), layers.GRU(2), layers.Dense(1)])


def subclass(cls: Any, *args: Any) -> Callable[[], Any]:
    def make() -> Any:
        utils.register_serializable("mine")(cls)
        return cls(*args)

    return make


def functional_subclass() -> Any:
    utils.register_serializable("mine")(OwnFunctional)
    x = tg.Input((None, 3))
    return OwnFunctional(x, layers.Dense(1)(layers.GRU(2)(x)))


def nested_subclass() -> Any:
    utils.register_serializable("mine")(Own)
    x = tg.Input((None, 3))
    return tg.Model(x, layers.Dense(2)(Own(3)(x)))


def several() -> Any:
    utils.register_serializable("mine")(Several)
    return Several(tg.Sequential([layers.LSTM(2)]))


MAKE = {
    "arithmetic": arithmetic, "constant states": constant_states, "shared": shared, "structured": structured,
    "symbol reused": symbol_reused, "table": table, "own": subclass(Own, 3),
    "own cell": subclass(Own, 3, layers.GRUCell(2)), "own config": subclass(WithConfig, 2, 0.5),
    "own sequential": subclass(Halved, [layers.GRU(2), layers.Dense(1)]),
    "own functional": functional_subclass, "nested": nested_subclass, "several": several,
}  # fmt: skip


def inputs(name: str) -> Any:
    if name == "table":
        return np.array([[0, 6, 3], [1, 2, 0], [1, 1, 1], [5, 4, 3]])
    return {"x": X, "z": 2 * X} if name == "several" else {"in": X} if name == "structured" else X


def same(a: Any, b: Any) -> bool:
    a, b = (list(layers.symbolic.flatten(v)) for v in (a, b))
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", MAKE)
def test_round_trip(tmp_path: Path, name: str) -> None:
    model, x = MAKE[name](), inputs(name)
    want = model.predict(x)
    targets = layers.symbolic.map_nested(np.zeros_like, want)
    model.compile("adam", "mse")
    model.fit(x, targets, epochs=2, verbose=0)
    for i in range(2):
        path = tmp_path / f"{i}.tgr"
        model.save(path)
        loaded = load_model(path)
        assert type(loaded) is type(model) and loaded.name == model.name
        assert [w.name for w in loaded.weights] == [w.name for w in model.weights]
        assert same(model.get_weights(), loaded.get_weights())
        assert same(model.predict(x), loaded.predict(x))
        tg.utils.set_random_seed(1)
        first = model.fit(x, targets, epochs=2, verbose=0).history
        tg.utils.set_random_seed(1)
        assert first == loaded.fit(x, targets, epochs=2, verbose=0).history
        assert same(model.get_weights(), loaded.get_weights())
        model = loaded


@pytest.mark.parametrize("name", MAKE)
def test_the_architecture_as_json(name: str) -> None:
    """With its constants; the weights are new."""
    model = MAKE[name]()
    again = model_from_json(model.to_json())
    x = inputs(name)
    model.predict(x), again.predict(x)
    again.set_weights(model.get_weights())
    assert same(model.predict(x), again.predict(x))


def test_what_stays_the_same() -> None:
    x = tg.Input((None, 3))
    model = model_from_json(shared().to_json())
    assert len(model.weights) == 2 + 3 + 2
    y, state = layers.GRU(2, return_state=True)(x)
    nested = tg.Model([x], {"a": (y, [state, x])})
    again = model_from_json(nested.to_json())
    again.set_weights(nested.get_weights())
    assert (
        isinstance(again(X)["a"], tuple)
        and same(again(X), nested(X))
        and again(X)["a"][1][1].shape == X.shape
    )
    frozen = tg.Model(x, layers.Dense(1)(x), trainable=False)
    assert model_from_json(frozen.to_json()).trainable is False
    config = {"a": (1, (2, [3])), 4: {"$ref": ["input", 0]}, "b": np.array(["é", "z"]), "c": np.int64(3)}
    utils.register_serializable("mine")(Anything)
    loaded = model_from_json(tg.Sequential([tg.Input((2,)), Anything(config)]).to_json()).layers[0].value
    assert loaded["a"] == (1, (2, [3])) and loaded[4] == {"$ref": ["input", 0]}
    assert loaded["b"].tolist() == ["é", "z"] and type(loaded["c"]) is np.int64


class Anything(layers.Layer):
    def __init__(self, value: Any, **options: Any) -> None:
        super().__init__(**options)
        self.arguments["value"] = value

    @property
    def value(self) -> Any:
        return self.arguments["value"]

    def call(self, inputs: Any) -> Any:
        return inputs


def test_a_subclass_that_is_not_registered_is_saved_and_loaded_when_it_is_handed_over(tmp_path: Path) -> None:
    model = Own(3)
    with pytest.raises(ValueError, match="no weights yet"):
        model.save(tmp_path / "m.tgr")
    model(X)
    x = tg.Input((None, 3))
    own = {"Own": Own, "Halved": Halved}
    for saved in (model, tg.Model(x, Own(2)(x)), Halved([tg.Input((None, 3)), layers.GRU(1)])):
        saved.save(tmp_path / "m.tgr")
        with pytest.raises(CheckpointError, match=r"names '(Own|Halved)'.*custom_objects"):
            load_model(tmp_path / "m.tgr")
        loaded = load_model(tmp_path / "m.tgr", custom_objects=own)
        assert type(loaded) is type(saved) and same(loaded.predict(X), saved.predict(X))
        assert same(model_from_json(saved.to_json(), own)(X).shape, loaded(X).shape)

    class Sequential(tg.Sequential):
        pass

    with pytest.raises(ValueError, match="Sequential of .* register it under a name of its own"):
        Sequential([tg.Input((None, 3)), layers.GRU(1)]).save(tmp_path / "n.tgr")
    model.save_weights(tmp_path / "m.weights.tgr")
    again = Own(3)
    again(X)
    again.load_weights(tmp_path / "m.weights.tgr")
    assert same(again.predict(X), model.predict(X))


def test_checkpoints_of_a_subclass_that_is_not_registered(tmp_path: Path) -> None:
    model = Own(3)
    model.compile("sgd", "mse")
    model.fit(
        X,
        X[:, :1, 0],
        epochs=2,
        verbose=0,
        callbacks=[tg.callbacks.ModelCheckpoint(tmp_path / "{epoch}.tgr")],
    )
    assert same(load_model(tmp_path / "2.tgr", {"Own": Own}).predict(X), model.predict(X))


@pytest.mark.filterwarnings("ignore:.*does not have any trainable weights")
def test_a_class_named_like_one_of_ours(tmp_path: Path) -> None:
    """It is not saved as ours: it must be registered."""

    class Dense(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 7

    class Adam(tg.optimizers.SGD):
        pass

    class CosineDecay(tg.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 0.25

        def get_config(self) -> dict[str, Any]:
            return {}

    class MeanSquaredError(tg.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return y_pred[..., 0]

    class Zeros(tg.initializers.Ones):
        pass

    def relu(x: Any) -> Any:
        return x * 5

    class L2(tg.regularizers.Regularizer):
        def __call__(self, x: Any) -> Any:
            return x.sum() * 0.0

        def get_config(self) -> dict[str, Any]:
            return {}

    class NonNeg(tg.constraints.Constraint):
        def __call__(self, w: Any) -> Any:
            return w

        def get_config(self) -> dict[str, Any]:
            return {}

    class LSTMCell(layers.GRUCell):
        pass

    class Mean(tg.metrics.Metric):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None: ...
        def reset_state(self) -> None: ...
        def result(self) -> float:
            return 4.0

    def make(*, layer: Any = None, optimizer: Any = "sgd", loss: Any = "mse", metrics: Any = None) -> Any:
        model = tg.Sequential([tg.Input((None, 3)), layer or layers.Dense(1)])
        model.compile(optimizer, loss, metrics=metrics)
        return model

    makers: dict[Any, Callable[[], Any]] = {
        Dense: lambda: make(layer=Dense()),
        Adam: lambda: make(optimizer=Adam(0.1)),
        CosineDecay: lambda: make(optimizer=tg.optimizers.SGD(CosineDecay())),
        MeanSquaredError: lambda: make(loss=MeanSquaredError()),
        Zeros: lambda: make(layer=layers.Dense(1, kernel_initializer=Zeros())),
        L2: lambda: make(layer=layers.Dense(1, kernel_regularizer=L2())),
        NonNeg: lambda: make(layer=layers.GRU(2, bias_constraint=NonNeg())),
        LSTMCell: lambda: make(layer=layers.RNN([layers.GRUCell(2), LSTMCell(2)])),
        Mean: lambda: make(metrics=[Mean()]),
    }
    for i, (cls, maker) in enumerate(makers.items()):
        path, weights = tmp_path / f"{i}.tgr", tmp_path / f"{i}.weights.tgr"
        model = maker()
        with pytest.raises(ValueError, match=f"{cls.__name__} of .* register it under a name of its own"):
            model.save(path)
        model.save_weights(weights)
        assert not path.exists()
        utils.register_serializable("mine")(cls)
        model = maker()
        model.save(path)
        loaded = load_model(path)
        assert f"mine>{cls.__name__}".encode() in path.read_bytes()
        y = np.ones([n or m for n, m in zip(model.output.shape, (4, 5, 1), strict=False)], np.float32)
        assert model.train_on_batch(X, y) == loaded.train_on_batch(X, y)
        assert same(model.get_weights(), loaded.get_weights())
        utils.get_custom_objects().clear()
        with pytest.raises(CheckpointError, match=f"mine>{cls.__name__}"):
            load_model(path)
    model = make(layer=layers.Dense(1, activation=relu))
    model.save(tmp_path / "f.tgr")
    with pytest.raises(CheckpointError, match="names 'relu'"):
        load_model(tmp_path / "f.tgr")
    assert same(load_model(tmp_path / "f.tgr", {"relu": relu}).predict(X), model.predict(X))


def test_functions_without_a_name_are_refused_by_the_name_of_their_layer(tmp_path: Path) -> None:
    def model(layer: Any) -> Any:
        return tg.Sequential([tg.Input((None, 3)), layer])

    for layer, what in (
        (layers.Lambda(lambda x: x, name="double"), r"layer 'double' \(Lambda\): a lambda"),
        (layers.Dense(1, activation=lambda x: x, name="own"), r"layer 'own' \(Dense\): a lambda"),
        (layers.RNN(layers.GRUCell(2, activation=lambda x: x, name="c")), r"layer 'c' \(GRUCell\): a lambda"),
        (
            layers.Lambda(functools.partial(np.multiply, 2), name="p"),
            r"layer 'p' \(Lambda\): an object of the class",
        ),
    ):
        for _ in range(2):
            with pytest.raises(ValueError, match=f"save: {what}.*custom_objects="):
                model(layer.from_config(layer.get_config())).save(tmp_path / "m.tgr")
    compiled = model(layers.Dense(1))
    compiled.compile("sgd", lambda y, p: (p - y) ** 2)
    with pytest.raises(ValueError, match="a lambda cannot be saved"):
        compiled.save(tmp_path / "m.tgr")
    assert list(tmp_path.iterdir()) == []


def test_large_constants_are_arrays_of_the_archive(tmp_path: Path) -> None:
    model = table()
    model(inputs("table"))
    model.save(tmp_path / "m.tgr")
    manifest, arrays = read_archive(tmp_path / "m.tgr")
    assert manifest["model"]["config"]["layers"][0]["config"]["weights"] == {"$array": "constants/0"}
    assert arrays["constants/0"].shape == (7, 3)


def test_history_is_saved_and_goes_on(tmp_path: Path) -> None:
    model = tg.Sequential([tg.Input((None, 3)), layers.GRU(2), layers.Dense(2, "softmax")])
    f1 = tg.metrics.F1Score()
    model.compile("adam", "categorical_crossentropy", metrics=["acc", f1])
    y = np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]
    model.fit(X, y, epochs=2, verbose=0, validation_data=(X, y))
    model.save(tmp_path / "m.tgr")
    loaded = load_model(tmp_path / "m.tgr")
    assert loaded.history is not None and loaded.history.epoch == [0, 1]
    for m in (loaded, model):
        m.fit(X, y, initial_epoch=2, epochs=3, verbose=0, append_history=True, validation_data=(X, y))
    assert loaded.history.epoch == model.history.epoch == [0, 1, 2]
    assert list(loaded.history.history) == list(model.history.history)
    for name, values in model.history.history.items():
        np.testing.assert_array_equal(loaded.history.history[name], values)
        assert len(values) == 3
    checkpoint = tg.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.tgr"))
    model.fit(X, y, epochs=2, verbose=0, callbacks=[checkpoint])
    assert [load_model(tmp_path / f"{k}.tgr").history.epoch for k in (1, 2)] == [[0], [0, 1]]
