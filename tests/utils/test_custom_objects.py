"""Users' own classes and functions: registered, in a scope, or handed over, and never found in any other way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers, utils
from tinygrad_rnn.container import CheckpointError
from tinygrad_rnn.models import load_model


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    utils.get_custom_objects().clear()


def twice(x: Any) -> Any:
    return x * 2


class Scale(layers.Layer):
    def __init__(self, factor: float, function: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.factor, self.function = factor, function

    def call(self, inputs: Any) -> Any:
        return self.function(inputs * self.factor)


class Weighted(tg.losses.Loss):
    def __init__(self, weight: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.weight = weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.weight * tg.ops.mean((y_pred - y_true) ** 2, axis=-1)


class Slow(tg.optimizers.SGD):
    pass


class Half(tg.initializers.Constant):
    def __init__(self) -> None:
        super().__init__(0.5)


OWN: list[Any] = [twice, Scale, Weighted, Slow, Half]


def own_model() -> Any:
    model = tg.Sequential(
        [
            tg.Input((3,)),
            Scale(2.0, twice),
            layers.Dense(2, activation=twice, kernel_initializer=Half()),
        ]
    )
    model.compile(Slow(0.01), Weighted(3.0))
    return model


X = np.ones((4, 3), np.float32)


def trained_alike(a: Any, b: Any) -> bool:
    return [a.train_on_batch(X, X[:, :2]) for _ in range(2)] == [
        b.train_on_batch(X, X[:, :2]) for _ in range(2)
    ]


def test_registered_classes_are_saved_and_loaded(tmp_path: Path) -> None:
    for member in OWN:
        assert utils.register_serializable("mine")(member) is member
    model = own_model()
    model.fit(X, X[:, :2], verbose=0)
    model.save(tmp_path / "m.tgr")
    loaded = load_model(tmp_path / "m.tgr")
    scale, dense = loaded.layers
    assert type(scale) is Scale and scale.factor == 2.0 and scale.function is twice
    assert type(loaded.loss) is Weighted and loaded.loss.weight == 3.0 and type(loaded.optimizer) is Slow
    assert type(dense.arguments["kernel_initializer"]) is Half
    assert trained_alike(model, loaded)
    loaded.save(tmp_path / "n.tgr")
    assert trained_alike(loaded, load_model(tmp_path / "n.tgr"))
    assert b"mine>Scale" in (tmp_path / "m.tgr").read_bytes()


@pytest.mark.parametrize("way", ["scope", "argument"])
def test_names_that_were_not_registered(tmp_path: Path, way: str) -> None:
    model, names = own_model(), {member.__name__: member for member in OWN}
    model.save(tmp_path / "m.tgr")
    with pytest.raises(CheckpointError, match=r"register it before loading, or hand it over"):
        load_model(tmp_path / "m.tgr")
    if way == "scope":
        with utils.custom_object_scope(names):
            loaded = load_model(tmp_path / "m.tgr")
    else:
        loaded = load_model(tmp_path / "m.tgr", custom_objects=names)
    assert type(loaded.loss) is Weighted and loaded.loss.weight == 3.0
    assert trained_alike(model, loaded)


def test_a_registered_name_is_not_imported(tmp_path: Path) -> None:
    utils.register_serializable("mine")(Scale)
    utils.register_serializable("mine")(twice)
    model = tg.Sequential([tg.Input((3,)), Scale(2.0, twice)])
    model.save(tmp_path / "m.tgr")
    utils.get_custom_objects().clear()
    with pytest.raises(CheckpointError, match="names 'mine>Scale'"):
        load_model(tmp_path / "m.tgr")


def test_names() -> None:
    @utils.register_keras_serializable(package="mine", name="renamed")
    def something(x: Any) -> Any:
        return x

    assert utils.get_registered_name(something) == "mine>renamed"
    assert utils.get_registered_object("mine>renamed") is something
    assert utils.get_registered_name(twice) == "twice" and utils.get_registered_object("twice") is None
    assert utils.get_registered_object("twice", {"twice": twice}) is twice
    assert utils.get_registered_object("twice", module_objects={"twice": twice}) is twice
    assert utils.register_serializable()(Scale) is Scale
    assert utils.get_registered_name(Scale) == "Custom>Scale"
    assert sorted(utils.get_custom_objects()) == ["Custom>Scale", "mine>renamed"]


def test_names_mean_something_everywhere() -> None:
    with pytest.raises(ValueError, match="unknown activation 'twice'"):
        layers.Activation("twice")
    utils.get_custom_objects()["twice"] = twice
    assert layers.Activation("twice")(X).numpy().max() == 2
    config = tg.initializers.Constant(1.0).get_config()
    assert config == {"value": 1.0}
    utils.register_serializable("mine")(Half)
    made = tg.initializers.get({"class_name": "mine>Half", "config": {}})
    assert type(made) is Half


def test_scopes_nest_and_end() -> None:
    with utils.custom_object_scope({"f": max, "g": min}):
        with utils.custom_object_scope({"f": sum}):
            assert utils.get_registered_object("f") is sum and utils.get_registered_object("g") is min
            seen: list[Any] = []
            thread = threading.Thread(target=lambda: seen.append(utils.get_registered_object("f")))
            thread.start()
            thread.join()
            assert seen == [None]
        assert utils.get_registered_object("f") is max
        assert "f" not in utils.get_custom_objects()
    assert utils.get_registered_object("f") is None
    with pytest.raises(ZeroDivisionError), utils.CustomObjectScope({"f": max}):
        _ = 1 / 0
    assert utils.get_registered_object("f") is None


def test_what_cannot_be_registered() -> None:
    before = dict(utils.get_custom_objects())
    with pytest.raises(TypeError, match=r"needs a method get_config\(\)"):
        utils.register_serializable()(type("Bare", (), {}))
    with pytest.raises(TypeError, match="has no name; give name="):
        utils.register_serializable()(lambda x: x)
    with pytest.raises(TypeError, match="with the brackets"):
        utils.register_serializable(twice)  # type: ignore[arg-type]
    assert utils.get_custom_objects() == before
