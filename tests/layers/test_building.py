"""`build`, called on first use or directly: once, under the right path, with nothing half done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers

SHAPES: dict[str, Any] = {
    "LayerNormalization": ((2, 4), {}), "BatchNormalization": ((2, 4), {}), "Dense": ((None, 4), {"units": 3}),
    "LSTMCell": ((None, 4), {"units": 3}), "GRU": ((None, 5, 4), {"units": 3}), "PReLU": ((None, 4), {}),
    "Conv1D": ((None, 5, 4), {"filters": 2, "kernel_size": 2}), "Dropout": ((2, 4), {"rate": 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_a_layer_that_was_built_directly_is_not_built_again(name: str) -> None:
    shape, options = SHAPES[name]
    layer = getattr(tg.layers, name)(**options)
    assert layer.build(shape) is None and layer.built
    weights = layer.weights
    x = np.ones([2 if n is None else n for n in shape], "float32")
    for _ in range(2):
        layer(x, layer.get_initial_state(2)) if name == "LSTMCell" else layer(x)
    assert [id(w) for w in layer.weights] == [id(w) for w in weights]


class Normalized(tg.layers.Layer):
    """A cell that builds the layer inside of it, as Keras's do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.state_size = 4
        self.norm = tg.layers.LayerNormalization()

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], 4), name="kernel")
        self.norm.build((None, 4))
        super().build(input_shape)

    def call(self, inputs: Any, states: Any) -> Any:
        h = tg.ops.tanh(self.norm(inputs @ self.kernel + states[0]))
        return h, [h]


def test_a_cell_builds_the_layer_inside_of_it() -> None:
    model = tg.Sequential(
        [tg.layers.RNN(Normalized(name="cell"), name="rnn"), tg.layers.Dense(1, name="out")]
    )
    model.compile("sgd", "mse")
    x, y = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32"), np.zeros((8, 1), "float32")
    losses = model.fit(x, y, epochs=3, batch_size=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    norm = model.layers[0].cell.norm
    assert [w.path for w in model.weights] == [
        "rnn/cell/kernel", f"rnn/cell/{norm.name}/gamma", f"rnn/cell/{norm.name}/beta", "out/kernel", "out/bias",
    ]  # fmt: skip


def test_layers_inside_of_one_that_is_not_trained_are_not() -> None:
    cell = Normalized(trainable=False)
    cell.build((None, 3))
    assert not cell.trainable_weights and len(cell.non_trainable_weights) == 3


def test_what_raises_while_it_is_built_is_not_built() -> None:
    class Broken(Normalized):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            raise ValueError("not today")

    cell = Broken()
    for build in (cell.build, lambda shape: cell(np.ones((2, 3)), [np.ones((2, 4))])):
        with pytest.raises(ValueError, match="not today"):
            build((None, 3))
        assert not cell.built


class Unkept(layers.Layer):
    def call(self, x: Any) -> Any:
        return x @ self.add_weight((x.shape[-1], 2), name="k")


class Replaced(layers.Layer):
    def call(self, x: Any) -> Any:
        self.k = self.add_weight((x.shape[-1], 2), name="k")
        return x @ self.k


class UnkeptCell(layers.Layer):
    state_size = 2

    def call(self, x: Any, states: Any) -> Any:
        h = tg.ops.tanh(x @ self.add_weight((3, 2), name="k") + states[0])
        return h, [h]


@pytest.mark.parametrize("make", [Unkept, Replaced, lambda: layers.RNN(UnkeptCell())])
def test_a_weight_that_every_call_would_make_anew(make: Any) -> None:
    layer = make()
    with pytest.raises(
        ValueError, match=r"its call made the weight 'k' of shape \(3, 2\) and lost it.*build"
    ):
        for _ in range(2):
            layer(np.ones((2, 5, 3), "float32"))


def test_weights_that_a_first_call_makes_and_keeps() -> None:
    class Late(layers.Layer):
        kernels: Any = None

        def build(self, input_shape: Any) -> None:
            self.add_weight((input_shape[-1], 2))  # in no attribute, but made once

        def call(self, x: Any) -> Any:
            if self.kernels is None:
                self.kernels = [self.add_weight((3, 2), name="late") for _ in range(3)]
            return x @ self.kernels[0]

    layer = Late()
    for _ in range(2):
        layer(np.ones((2, 3), "float32"))
    assert len(layer.weights) == 4
