"""Overridden train_step, test_step, predict_step, compute_loss; what compile makes; subclassing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 5, 3)).astype(np.float32)
Y = X.sum((1, 2))[:, None]


def compiled(kind: type[Any] = tg.Sequential, **options: Any) -> Any:
    tg.utils.set_random_seed(3)
    model = kind([tg.Input((None, 3)), layers.GRU(4, name="gru"), layers.Dense(1, name="out")])
    model.compile(
        **{"optimizer": tg.optimizers.SGD(0.05), "loss": "mse", "metrics": ["mae"], "jit_compile": False}
        | options
    )
    return model


class ByHand(tg.Sequential):
    """The default steps, written out as in Keras's guides."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tg.grad(loss, variables), variables, strict=True))
        return self.updated(loss, y, y_pred)

    def test_step(self, data: Any) -> Any:
        x, y = data
        y_pred = self(x, training=False)
        return self.updated(self.compute_loss(y=y, y_pred=y_pred), y, y_pred)

    def updated(self, loss: Any, y: Any, y_pred: Any) -> Any:
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, len(y))
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


class Backward(ByHand):
    """As with Keras on torch: the gradients are left in the weights."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        y_pred = self(x)
        loss = self.compute_loss(x, y, y_pred)
        self.zero_grad()
        loss.backward()
        weights = self.trainable_weights
        self.optimizer.apply([w.grad for w in weights], weights)
        return self.updated(loss, y, y_pred)


@pytest.mark.parametrize("by_hand", [ByHand, Backward])
def test_steps_written_by_hand_give_the_same_numbers(by_hand: type[Any]) -> None:
    results = []
    for kind in (tg.Sequential, by_hand):
        model = compiled(kind)
        history = model.fit(X, Y, batch_size=5, epochs=2, verbose=0, shuffle=False, validation_data=(X, Y))
        results.append((history.history, model.evaluate(X, Y), model.get_weights()))
    assert results[0][:2] == results[1][:2]
    for a, b in zip(results[0][2], results[1][2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_loss_without_targets_and_own_metrics() -> None:
    class Autoencoder(tg.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inside = layers.Dense(3)
            self.distance = tg.metrics.Mean(name="distance")

        def call(self, inputs: Any) -> Any:
            return self.inside(inputs)

        def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool = True) -> Any:
            seen.append(training)
            loss = ((y_pred - x) ** 2).mean()
            self.distance.update_state(np.asarray(loss))
            return loss

    seen: list[bool] = []
    model = Autoencoder()
    model.compile("sgd")
    history = model.fit(X, epochs=2, verbose=0)
    assert list(history.history) == ["loss", "distance"]
    assert history.history["loss"] == pytest.approx(history.history["distance"], rel=1e-6)
    assert seen == [True, True]
    assert model.evaluate(X, return_dict=True)["loss"] < history.history["loss"][0] and seen[-1] is False
    assert model.metrics_names == ["loss", "distance"]


def test_predict_step_and_what_steps_return() -> None:
    class Odd(tg.Sequential):
        def predict_step(self, data: Any) -> Any:
            return {"twice": 2 * super().predict_step(data)}

        def train_step(self, data: Any) -> Any:
            return super().train_step(data)["loss"]

    model, plain = compiled(Odd), compiled()
    np.testing.assert_array_equal(model.predict(X, batch_size=5)["twice"], 2 * plain.predict(X, batch_size=5))
    np.testing.assert_array_equal(model.predict_on_batch(X)["twice"], 2 * plain.predict_on_batch(X))
    with pytest.raises(TypeError, match="train_step must return a dict of numbers, received float"):
        model.fit(X, Y, verbose=0)


def test_a_bad_gradient_in_a_step_by_hand_changes_nothing() -> None:
    model = compiled(ByHand)
    model.fit(X, Y, verbose=0)
    model.get_layer("out").kernel.assign(np.full((4, 1), 3e38))
    before = model.get_weights()
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="non-finite gradient of .*weights are unchanged"):
            model.fit(X, Y, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# --- compile ----------------------------------------------------------------------------------------


def two_heads() -> Any:
    x = tg.Input((None, 3))
    h = layers.GRU(2)(x)
    return tg.Model(x, [layers.Dense(1, name="value")(h), layers.Dense(3, name="kind")(h)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": {"value": "mse", "kin": "mse"}}, "there is no output 'kin'; did you mean 'kind'"),
        ({"loss": ["mse", "mse", "mse"]}, "2 outputs, 3 losses"),
        ({"loss": "mse", "loss_weights": [1.0]}, "2 outputs, 1 loss_weights"),
        ({"loss": "mse", "loss_weights": {"val": 1.0}}, "did you mean 'value'"),
        ({"loss": "mse", "loss_weights": "high"}, "loss_weights are numbers, received 'high'"),
        ({"loss": "mse", "metrics": ["mae"]}, "2 outputs, 1 metrics"),
        ({"loss": "mse", "metrics": {"values": ["mae"]}}, "did you mean 'value'"),
        ({"loss": "mse", "weighted_metrics": {"kind": ["maee"]}}, "'mae'"),
        ({"loss": {"value": "msee"}}, "'mse'"),
        ({"loss": "mse", "steps_per_execution": 0}, "steps_per_execution must be at least 1"),
    ],
)
def test_compile_refuses_what_does_not_fit_and_changes_nothing(options: dict[str, Any], message: str) -> None:
    model = two_heads()
    model.compile("adam", "mae")
    with pytest.raises(ValueError, match=re.escape(message)):
        model.compile("sgd", **options)
    assert model.loss == "mae" and model.optimizer.name == "adam"


def test_targets_that_do_not_fit_the_outputs() -> None:
    model = two_heads()
    model.compile("sgd", "mse")
    kinds = np.zeros((12, 3))
    for wrong, message in (
        ([Y, kinds, kinds], "2 outputs, 3 targets"),
        ({"value": Y, "sort": kinds}, "no output 'sort'"),
        ({"value": Y}, "the output 'kind' has a loss, but there is no target"),
        ([kinds, Y], r"\(12, 3\) does not fit y_pred of shape \(12, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(X, wrong, verbose=0)
    with pytest.raises(ValueError, match="2 outputs, 3 sample_weight"):
        model.fit(X, [Y, kinds], sample_weight=[Y[:, 0]] * 3, verbose=0)


def test_dict_outputs_of_a_subclass_go_by_name_only() -> None:
    class Heads(tg.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = {"b": layers.Dense(1), "a": layers.Dense(3)}

        def call(self, inputs: Any) -> Any:
            return {name: layer(inputs[:, -1]) for name, layer in self.parts.items()}

    model = Heads()
    model.compile("sgd", {"a": "mae", "b": "mse"}, loss_weights={"a": 2.0}, metrics={"a": ["mse"]})
    zeros = np.zeros((12, 3))
    logs = model.fit(X, {"a": zeros, "b": Y}, verbose=0).history
    assert set(logs) == {"loss", "a_loss", "b_loss", "a_mse"}
    assert logs["loss"][0] == pytest.approx(2 * logs["a_loss"][0] + logs["b_loss"][0], rel=1e-6)
    with pytest.raises(ValueError, match=r"the outputs are a dict \(b, a\); give a dict"):
        model.fit(X, [Y, zeros], verbose=0)


def test_what_compile_was_given_is_saved(tmp_path: Any) -> None:
    model = two_heads()
    model.compile(
        "sgd",
        {"value": "mse", "kind": tg.losses.CategoricalCrossentropy(from_logits=True)},
        loss_weights={"value": 0.5, "kind": 2.0},
        metrics={"value": ["mae"]},
        weighted_metrics=[None, "accuracy"],
    )
    data = (X, [Y, np.eye(3)[np.zeros(12, int)]], np.arange(12.0))
    model.fit(*data[:2], sample_weight=data[2], verbose=0)
    model.save(tmp_path / "m.tgr")
    loaded = tg.models.load_model(tmp_path / "m.tgr")
    expected = model.evaluate(*data[:2], sample_weight=data[2], return_dict=True)
    assert len(expected) == 5
    assert loaded.evaluate(*data[:2], sample_weight=data[2], return_dict=True) == expected
    assert loaded.compile_arguments["loss_weights"] == {"value": 0.5, "kind": 2.0}


def test_metrics_as_functions_objects_and_twice() -> None:
    def largest(y_true: Any, y_pred: Any) -> Any:
        return np.abs(y_true - y_pred).max(-1)

    model = compiled(metrics=[largest, tg.metrics.MeanSquaredError(name="squares"), "mae", "mae"])
    logs = model.fit(X, Y, verbose=0).history
    assert list(logs) == ["loss", "largest", "squares", "mae", "mae_1"]
    assert logs["largest"] == pytest.approx(logs["mae"]) and logs["squares"] == pytest.approx(logs["loss"])
    model.compile("sgd", lambda y, p: abs(y - p))
    assert model.evaluate(X, Y) == pytest.approx(np.abs(model.predict(X) - Y).mean(), rel=1e-6)


# --- subclassing ------------------------------------------------------------------------------------


def test_a_forgotten_super_init_is_named() -> None:
    class Lost(tg.Layer):
        def __init__(self) -> None:
            self.inside = layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.inside(inputs)

    class LostModel(tg.Model, Lost):
        __init__ = Lost.__init__
        call = Lost.call

    for use in (
        lambda: Lost()(X),
        lambda: Lost().weights,
        lambda: LostModel()(X),
        lambda: LostModel().compile("sgd", "mse"),
        lambda: LostModel().summary(),
    ):
        with pytest.raises(AttributeError, match=r"__init__ must call super\(\).__init__\(\) first"):
            use()


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.add_metric, "add_metric.*instead"),
        (lambda m: m.predict_classes, "argmax"),
        (lambda m: m.fit_generator, "instead: fit"),
        (lambda m: m.reset_states, r"instead: reset_state\(\)"),
        (lambda m: m.nothing, "has no attribute 'nothing'"),
        (lambda m: layers.Dense(1, batch_input_shape=(2, 3)), r"Input\(batch_shape=...\)"),
        (lambda m: layers.Dense(1, input_dim=3), r"input_shape=\(features,\)"),
    ],
)
def test_names_of_old_keras_point_to_new_ones(use: Any, message: str) -> None:
    with pytest.raises((AttributeError, TypeError), match=message):
        use(compiled())


def test_weights_that_are_never_trained_stay_so() -> None:
    class Counter(tg.Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight((), "ones", name="scale")
            self.seen = self.add_weight((), "zeros", trainable=False, name="seen")

        def call(self, inputs: Any) -> Any:
            return inputs * self.scale

    layer = Counter()
    layer(X)
    for value, expected in ((False, []), (True, ["scale"]), (False, []), (True, ["scale"])):
        layer.trainable = value
        assert [v.path.split("/")[-1] for v in layer.trainable_weights] == expected
    assert len(layer.non_trainable_weights) == 1


def test_the_number_of_weights_is_explained() -> None:
    model = compiled()
    with pytest.raises(ValueError, match=r"expected 5 arrays, received 1 .*gru/.*kernel \(3, 12\).*out/bias"):
        model.set_weights([np.ones(1)])


def test_validation_data_may_be_inputs_alone():
    class Reconstructs(tg.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            assert y is None and sample_weight is None
            return ((y_pred - x) ** 2).mean()

    x = np.random.default_rng(0).standard_normal((8, 4, 2)).astype(np.float32)
    model = Reconstructs([tg.Input((4, 2)), tg.layers.GRU(2, return_sequences=True)])
    model.compile("sgd")
    history = model.fit(x, epochs=3, batch_size=4, validation_data=(x[:3],), verbose=0).history
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(x[:3], verbose=0), rel=1e-6)
