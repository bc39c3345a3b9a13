"""`checkpoint="sqrt"`: the same values and gradients, with the states between segments kept alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bptt.problems import Result, close, every_cell, problem
from bptt.steps import inputs, start

import tinygrad_rnn as tg
from tinygrad_rnn import layers, ops


@every_cell
def test_values_and_gradients_are_equal(name: str) -> None:
    """Also those of inputs, for lengths that are no squares."""
    for steps in (1, 2, 7, 17):
        checkpointed = Result(problem(name, 2, steps), checkpoint="sqrt").everything()
        close(checkpointed, Result(problem(name, 2, steps), derive=False).everything())


@pytest.mark.parametrize("name", ["lstm", "flags", "swapped", "several_outputs"])
def test_with_masks_backwards_and_the_last_output_alone(name: str) -> None:
    mask = np.random.default_rng(0).random((2, 7)) < 0.6
    for options in ({"mask": mask}, {"go_backwards": True}, {"return_sequences": False, "mask": mask}):
        kept = Result(problem(name, 2, 7), checkpoint="sqrt", **options).everything()
        close(kept, Result(problem(name, 2, 7), derive=False, **options).everything())


def test_second_derivatives_and_a_second_pass() -> None:
    found = []
    for options in ({"checkpoint": "sqrt"}, {"derive": False}):
        r = Result(problem("lstm", 2, 7), **options)
        first = [np.array(g) for g in r.gradients(retain_graph=True)]
        recorded = r.gradients(create_graph=True)
        inner = sum((g * g).sum() for g in recorded)
        found.append([*first, *recorded, *tg.grad(inner, r.p.leaves)])
    close(*found)


def test_without_gradients() -> None:
    with tg.no_grad():
        values = Result(problem("lstm", 2, 7), checkpoint="sqrt").values
    close(values, Result(problem("lstm", 2, 7), derive=False).values)


def test_a_step_that_cannot_be_derived_is_an_error() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        return x * float(ops.sum(x)), s

    with pytest.raises(ValueError, match="checkpoint needs derived mode, and .* reads the value of a tensor"):
        tg.scan(step, inputs(), start(), checkpoint="sqrt")


def test_a_checkpoint_inside_a_step_is_derived_with_it() -> None:
    def outer(x_t: Any, s: Any, c: Any) -> Any:
        def inner(a: Any, t: Any, c: Any) -> Any:
            h = tg.ops.tanh(a + 0.5 * t[0])
            return h, [h]

        _, last = tg.scan(inner, tg.ops.stack([x_t, s[0]], axis=1), s, checkpoint="sqrt")
        return last[0], last

    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    derived, _ = tg.scan(outer, x, [np.zeros((2, 3))], derive=True)  # a warning would be an error
    recorded, _ = tg.scan(outer, x, [np.zeros((2, 3))], derive=False)
    np.testing.assert_allclose(derived, recorded, rtol=1e-12)


def test_debug_nans_sees_into_it() -> None:
    x = np.ones((2, 6, 3))
    x[0, 3, 1] = -1
    with tg.debug_nans(), pytest.raises(FloatingPointError, match=r"op 'log' \(step 3\)"):
        tg.scan(lambda a, s, c: (s[0], [ops.log(a) + s[0]]), x, [np.zeros((2, 3))], checkpoint="sqrt")


def _pair(make: Any) -> list[Any]:
    """Two models with the same weights, the second with `checkpoint="sqrt"` in its recurrent layers."""
    models = []
    for options in ({}, {"checkpoint": "sqrt"}):
        tg.utils.set_random_seed(3)
        models.append(tg.Sequential([*make(**options), layers.Dense(2)]))
        models[-1].compile(tg.optimizers.SGD(0.1), "mse")
        models[-1].build((None, 11, 3))
    models[1].set_weights(models[0].get_weights())
    return models


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: [layers.LSTM(4, **o)],
        lambda **o: [layers.GRU(4, return_sequences=True, go_backwards=True, **o), layers.SimpleRNN(3, **o)],
        lambda **o: [layers.Masking(), layers.Bidirectional(layers.LSTM(4, **o))],
        lambda **o: [layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)], **o)],
        lambda **o: [layers.LSTM(4, recurrent_dropout=0.3, seed=1, **o)],
    ],
)
def test_layers_train_alike_with_and_without(make: Any) -> None:
    x = np.random.default_rng(0).standard_normal((8, 11, 3))
    x[:, 6:] *= np.random.default_rng(1).random((8, 5, 1)) < 0.5
    y = np.zeros((8, 2))
    full, kept = _pair(make)
    for model in (full, kept):
        tg.utils.set_random_seed(5)
        model.fit(x, y, batch_size=4, epochs=4, verbose=0)
    for a, b in zip(full.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(full.predict(x), kept.predict(x), rtol=2e-5, atol=2e-6)


def test_a_layer_keeps_the_states_between_segments_alone() -> None:
    layer = layers.LSTM(4, return_sequences=True, checkpoint="sqrt")
    port = layer(np.ones((1, 100, 3), np.float32))._node  # derived, though no mode says so
    call = port.inputs[0].saved[0]
    assert len(call.segments) == len(call.starts) == 10 and call.cache is None


def test_a_layer_has_it_in_its_configuration() -> None:
    layer = layers.LSTM.from_config(layers.LSTM(4, checkpoint="sqrt").get_config())
    assert layer.checkpoint == "sqrt"
    assert layers.Bidirectional(layer).backward_layer.checkpoint == "sqrt"
    assert layers.LSTM(4).checkpoint is None


def test_a_layer_checks_its_gradients() -> None:
    layer = layers.GRU(3, checkpoint="sqrt")
    x = np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)
    layer(x)
    assert tg.check_gradients(lambda: (layer(x) ** 2).sum(), layer)


def test_another_checkpoint_is_an_error() -> None:
    with pytest.raises(ValueError, match="LSTM: checkpoint must be None or 'sqrt', received 'all'"):
        layers.LSTM(4, checkpoint="all")
