"""Steps that are remembered: under other settings, for other inputs, and in layers that change."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bptt.remembered import (
    OwnCell,
    Plain,
    right,
    stepping,
)
from bptt.steps import H, N, equal, inputs, weight

import tinygrad_rnn as tg
from tinygrad_rnn import config, layers, ops

# --- settings, inputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "change"),
    [
        (lambda: ops.ones((H,)) * 2.0, lambda: config.set_floatx("float32")),
        (lambda: 1.0 + 1e7 * config.epsilon(), lambda: config.set_epsilon(1e-3)),
    ],
    ids=["floatx", "epsilon"],
)
def test_settings(read: Any, change: Any, traced: list[Any]) -> None:
    before, step = (config.floatx(), config.epsilon()), stepping(read)
    config.set_floatx("float64")
    try:
        for _ in range(3):
            right(step)
        assert len(traced) == 2
        change()
        right(step)
        assert len(traced) == 3
    finally:
        config.set_floatx(before[0])
        config.set_epsilon(before[1])


def test_recording_training_and_passes(traced: list[Any]) -> None:
    step = stepping(lambda: 2.0)
    modes = [
        config.switched(),
        config.switched(training=True),
        tg.no_grad(),
        config.switched(passes=frozenset({"sums"})),
    ]
    for k in range(4):
        for mode in modes:
            with mode:
                tg.scan(step, inputs(), [np.zeros((N, H))], derive=True)
        assert len(traced) == 4 * min(k + 1, 2)


def test_inputs_that_become_states() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x[0] + s[0] * len(x), list(s)

    x, h = inputs(), np.ones((N, H))
    for xs, states in (((x,), [h, h]), ((x, x), [h])):
        for _ in range(3):
            found, want = [tg.scan(step, xs, states, derive=d)[0] for d in (True, False)]
            np.testing.assert_allclose(np.array(found), np.array(want))


def test_sequences_of_other_lengths_batches_and_types(traced: list[Any]) -> None:
    step = stepping(lambda: 2.0)
    for _ in range(3):
        for shape, dtype in (
            ((2, 5), "float64"),
            ((2, 9), "float64"),
            ((3, 5), "float64"),
            ((2, 5), "float32"),
        ):
            x = np.ones((*shape, H), dtype)
            y, _ = tg.scan(step, x, [np.zeros((shape[0], H), dtype)], derive=True)
            want, _ = tg.scan(step, x, [np.zeros((shape[0], H), dtype)], derive=False)
            equal([y], [want], 1e-5)
    assert len(traced) == 6  # three kinds: the length does not count


def test_second_derivatives_of_a_step_that_is_remembered() -> None:
    w = weight((H,))
    step, found = stepping(lambda: w), []
    for derive in (True, True, True, True, False):
        y, _ = tg.scan(step, inputs(), [np.zeros((N, H))], derive=derive)
        (g,) = tg.grad((y * y).sum(), [w], create_graph=True)
        found.append(np.array(tg.grad((g * g).sum(), [w])[0]))
    np.testing.assert_allclose(found, [found[-1]] * 5, rtol=1e-10)


def test_segments_of_a_step_that_is_remembered() -> None:
    one = Plain()
    step = stepping(lambda: one.scale)
    for one.scale in (2.0, 2.0, 2.0, 3.0, 3.0):
        x = tg.tensor(inputs(), requires_grad=True)
        y, _ = tg.scan(step, x, [np.zeros((N, H))], checkpoint="sqrt")
        z, _ = tg.scan(step, x, [np.zeros((N, H))], derive=False)
        equal([y, *tg.grad((y * y).sum(), [x])], [z, *tg.grad((z * z).sum(), [x])], 1e-10)


# --- owners ----------------------------------------------------------------------------------------------


def test_functions_that_take_over_the_attributes_of_another() -> None:
    step = stepping(lambda: 2.0)
    for _ in range(3):
        right(step)

    @functools.wraps(step)
    def other(x: Any, s: Any, c: Any) -> Any:
        return x * 5.0, [ops.tanh(s[0])]

    np.testing.assert_allclose(right(other), inputs() * 5.0)
    for _ in range(3):
        right(other)
        right(step)


def test_partials_and_copies_of_them(traced: list[Any]) -> None:
    def step(scale: float, x: Any, s: Any, c: Any) -> Any:
        return x * scale, [ops.tanh(s[0])]

    one = functools.partial(step, 2.0)
    for _ in range(3):
        right(one)
    assert len(traced) == 2
    for other in (copy.copy(one), copy.deepcopy(one)):
        other.__setstate__((step, (3.0,), {}, vars(other)))  # type: ignore[attr-defined]
        np.testing.assert_allclose(right(other), inputs() * 3.0)
        np.testing.assert_allclose(right(one), inputs() * 2.0)


def own() -> Any:
    return layers.RNN(OwnCell(), return_sequences=True)


def lstm() -> Any:
    return layers.LSTM(H, return_sequences=True)


def stack() -> Any:
    return layers.RNN([layers.GRUCell(4), OwnCell()], return_sequences=True)


LAYERS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "a number of a cell": (own, lambda one: one.cell.settings.update(scale=3.0)),
    "a function of a cell": (own, lambda one: setattr(one.cell, "gate", ops.sigmoid)),
    "a layer in a cell": (own, lambda one: setattr(one.cell.dense, "activation", ops.sigmoid)),
    "a weight of a cell": (own, lambda one: one.cell.kernel.assign(np.ones((H, H)))),
    "weights not trained": (own, lambda one: setattr(one, "trainable", False)),
    "a method of a cell": (own, lambda one: setattr(one.cell, "call", lambda x, s: (x, [s[0]]))),
    "an activation": (lstm, lambda one: setattr(one.cell, "activation", ops.sigmoid)),
    "an activation of a user": (lstm, lambda one: setattr(one.cell, "activation", lambda x: x * 0.5)),
    "another cell": (
        lambda: layers.RNN(OwnCell(), True),
        lambda one: setattr(one, "cell", changed(one.cell)),
    ),
    "a cell of a stack": (stack, lambda one: one.cell.cells[1].settings.update(scale=3.0)),
    "another cell of a stack": (stack, lambda one: one.cell.cells.__setitem__(1, changed(one.cell.cells[1]))),
    "a method of a layer": (own, lambda one: setattr(one, "_one_step", lambda x, s, c: (x, [s[0] * 1.0]))),
}


def changed(cell: Any) -> Any:
    found = copy.copy(cell)
    found.settings = {"scale": 3.0}
    return found


def layer_both_ways(layer: Any) -> np.ndarray[Any, Any]:
    found = []
    for switch in (tg.derived(), tg.unrolled()):
        x = tg.tensor(inputs().astype("float32"), requires_grad=True)
        with switch:
            y = layer(x)
        weights = [w for w in layer.weights if w.trainable]
        grads = tg.grad((y * y).sum(), [x, *weights])
        found.append([y, *[g for g in grads if g is not None]])
    equal(*found, 1e-4)
    return np.array(found[0][0])


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, traced: list[Any]) -> None:
    make, change = LAYERS[name]
    layer = make()
    before = [layer_both_ways(layer) for _ in range(3)][-1]
    count = len(traced)
    layer_both_ways(layer)
    assert len(traced) == count, "it was traced again"
    change(layer)
    after = layer_both_ways(layer)
    assert name in ("weights not trained",) or not np.array_equal(before, after)
    np.testing.assert_array_equal(layer_both_ways(layer), after)


def test_a_copy_of_a_layer_with_another_cell() -> None:
    layer = own()
    before = [layer_both_ways(layer) for _ in range(3)][-1]
    other = copy.copy(layer)
    vars(other)["cell"] = changed(layer.cell)
    assert not np.array_equal(layer_both_ways(other), before)
    np.testing.assert_array_equal(layer_both_ways(layer), before)


def test_a_method_of_a_users_layer_as_the_step() -> None:
    class Mine(layers.RNN):
        scale = 2.0

        def my_step(self, x: Any, s: Any, c: Any) -> Any:
            return x * self.scale, [ops.tanh(s[0])]

    one = Mine(layers.SimpleRNNCell(H), return_sequences=True)
    for one.scale in (2.0, 2.0, 2.0, 3.0):
        np.testing.assert_allclose(right(one.my_step), inputs() * one.scale)


def test_a_users_layer_with_a_step_of_its_own() -> None:
    class Mine(layers.RNN):
        scale = 2.0

        def _one_step(self, x: Any, s: Any, c: Any) -> Any:
            return x * self.scale, [ops.tanh(s[0])]

    one = Mine(layers.SimpleRNNCell(H), return_sequences=True)
    for one.scale in (2.0, 2.0, 2.0, 3.0):
        layer_both_ways(one)


def test_dropout_masks_are_no_reason_to_trace(traced: list[Any]) -> None:
    layer = layers.GRU(H, dropout=0.5, recurrent_dropout=0.5)
    found = []
    with tg.derived():
        for _ in range(4):
            found.append(np.array(layer(np.ones((N, 4, H), "float32"), training=True)))
    assert len(traced) == 2
    assert len({f.tobytes() for f in found}) == 4


def test_a_masked_step_is_remembered_with_any_mask(traced: list[Any]) -> None:
    one, rng = Plain(), np.random.default_rng(0)
    step = stepping(lambda: one.scale)
    x = inputs()
    for one.scale in (2.0, 2.0, 2.0, 3.0, 3.0, 3.0):
        mask = rng.random(x.shape[:2]) < 0.5
        found = [
            tg.scan(step, x, [np.zeros((N, H))], mask=mask, derive=derive)[0] for derive in (True, False)
        ]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert (
        len(traced) == 3 * 2
    )  # for its outputs, and for its plan: the first two calls, and after the change


def test_a_masked_layer_is_traced_twice(traced: list[Any]) -> None:
    layer, rng = layers.LSTM(H, return_sequences=True), np.random.default_rng(0)
    with tg.derived():
        for _ in range(4):
            layer(np.ones((N, 4, H), "float32"), mask=rng.random((N, 4)) < 0.5)
    assert len(traced) == 4
