"""What the seed documents do, done with layers, models and optimizers: their numbers must come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.manual import linear_rnn
from tinygrad_rnn.manual import vanilla_rnn as rnn

EHLO = {"e": 0, "h": 1, "l": 2, "o": 3}
HELO = {"h": 0, "e": 1, "l": 2, "o": 3}


# ---- seed 000: the character model as a Keras-style model


def character_model(n_a: int, learning_rate: float, stateful: bool = True) -> Any:
    """SimpleRNN and Dense with the seed's first weights; the loss is summed over time, as in the seed."""
    p = rnn.initialize_parameters(n_a, 4, 4, rng=1)
    model = tg.Sequential(
        [
            tg.Input((None, 4), dtype="float64", batch_size=1),
            layers.SimpleRNN(n_a, return_sequences=True, stateful=stateful, dtype="float64"),
            layers.Dense(4, dtype="float64"),
        ],
        dtype="float64",
    )
    model.set_weights([p["Wax"].T, p["Waa"].T, p["ba"][:, 0], p["Wya"].T, p["by"][:, 0]])
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    model.compile(tg.optimizers.SGD(learning_rate, clipvalue=5.0), loss)
    return model


def hello(char_to_idx: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([[char_to_idx[char] for char in "hello"]])
    return np.eye(4)[ids[:, :-1]], ids[:, 1:]


def text_of(ids: Any, char_to_idx: dict[str, int]) -> str:
    return "".join(list(char_to_idx)[i] for i in ids)


def test_fit_gives_the_losses_of_the_seed():
    model, (X, y) = character_model(64, 0.01), hello(EHLO)
    losses = model.fit(X, y, epochs=100, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(5.543806547510492, rel=1e-12)
    reference = {1: 5.523401019307, 10: 5.357463687141, 50: 4.885343704374, 99: 4.593420223253}
    for updates, loss in reference.items():
        assert losses[updates] == pytest.approx(loss, rel=1e-6)
    model.reset_state()
    assert text_of(model.predict(X)[0].argmax(axis=-1), EHLO) == "llll"


def test_fit_with_the_vocabulary_helo_learns_hello():
    model, (X, y) = character_model(3, 0.1), hello(HELO)
    losses = model.fit(X, y, epochs=2000, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(5.54503559661152, rel=1e-12)
    assert losses[-1] == pytest.approx(0.004477607439229, rel=1e-6)
    model.reset_state()
    assert text_of(model.predict(X)[0].argmax(axis=-1), HELO) == "ello"


def test_the_state_is_carried_from_iteration_to_iteration():
    (X, y), first = hello(EHLO), {}
    for stateful in (True, False):
        model = character_model(64, 0.01, stateful)
        first[stateful] = [model.train_on_batch(X, y) for _ in range(3)]
    assert first[True][0] == first[False][0]  # both start from zeros
    assert first[True][1] != first[False][1] and first[True][1] == pytest.approx(5.523401019307, rel=1e-10)
    manual = rnn.initialize_parameters(64, 4, 4, rng=1)
    assert first[True] == pytest.approx(rnn.train("hello", EHLO, manual, num_iterations=3), rel=1e-12)


def test_elementwise_clipping_and_update_are_the_optimizer_bit_for_bit():
    p = rnn.initialize_parameters(5, 4, 4, rng=1)
    X, Y = rnn.preprocess_inputs("hello", EHLO)
    variables = {name: tg.Variable(value, name=name) for name, value in p.items()}
    optimizer = tg.optimizers.SGD(0.3, clipvalue=0.01)
    touched = 0
    for _ in range(3):
        _, _, caches = rnn.forward(X, np.zeros((5, 1)), p)
        gradients = rnn.backward(X, Y, p, caches)
        clipped = rnn.clip({name: gradients["d" + name] for name in p}, 0.01)
        touched += sum(int((clipped[name] != gradients["d" + name]).sum()) for name in p)
        optimizer.apply_gradients([(gradients["d" + name], variables[name]) for name in p])
        rnn.update_parameters(p, {"d" + name: value for name, value in clipped.items()}, 0.3)
        for name in p:
            assert np.array_equal(variables[name].numpy(), p[name]), name
    assert touched > 10  # the limit was reached


def test_sampling_is_reproducible_by_seed():
    p = rnn.initialize_parameters(8, 4, 4, rng=1)
    arguments = ("h", EHLO, {index: char for char, index in EHLO.items()}, p)
    texts = [rnn.sample(*arguments, num_chars=40, rng=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    np.random.seed(7)
    first = rnn.sample(*arguments, num_chars=40)  # the seed text draws from the global stream
    np.random.seed(7)
    assert rnn.sample(*arguments, num_chars=40) == first


# ---- seed 001: rnn.step(x)


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_streaming_equals_the_whole_sequence(kind: Any, rng: np.random.Generator):
    one, two = (kind(units, return_sequences=True, dtype="float64") for units in (5, 3))
    X = rng.normal(size=(2, 7, 4))
    whole = two(one(X)).numpy()
    for _ in range(2):
        steps = [two.step(one.step(X[:, t])).numpy() for t in range(7)]
        np.testing.assert_allclose(np.stack(steps, axis=1), whole, rtol=0, atol=1e-14)
        one.reset_state()
        two.reset_state()


def test_a_step_against_the_gradient_raises_the_right_score():
    logits = tg.Variable(np.array([1.0, 2.2, -3.0, 4.1]))
    optimizer, losses = tg.optimizers.SGD(1.0), []
    for _ in range(2):
        before = logits.numpy()
        loss = tg.ops.sparse_categorical_crossentropy(1, logits, from_logits=True)
        optimizer.apply_gradients(zip(tg.grad(loss, [logits]), [logits], strict=True))
        assert np.array_equal(logits.numpy() > before, [False, True, False, False])
        losses.append(loss.item())
    assert losses[0] == pytest.approx(2.0785167665336113, rel=1e-15) and losses[1] < losses[0]


# ---- seed 003: the linear RNN as a layer, trained by fit


def linear_model(wx: float, wRec: float) -> Any:
    layer = layers.SimpleRNN(1, activation=None, use_bias=False, dtype="float64")
    model = tg.Sequential([tg.Input((None, 1), dtype="float64"), layer], dtype="float64")
    model.set_weights([[[wx]], [[wRec]]])
    return model


def test_a_layer_has_cost_and_gradient_of_the_seed():
    X, t = linear_rnn.make_data()
    model = linear_model(1.2, 1.2)
    loss = tg.losses.MeanSquaredError()(t[:, np.newaxis], model(X[..., np.newaxis]))
    assert loss.item() == pytest.approx(110.22803726617079, rel=1e-14)
    found = [g.item() for g in tg.grad(loss, model.trainable_weights)]
    assert found == pytest.approx([274.595429133218, 1593.2428444791924], rel=1e-14)


def test_fit_with_rprop_ends_at_exactly_the_seeds_weights():
    X, t = linear_rnn.make_data()
    model = linear_model(-1.5, 2.0)
    model.compile(tg.optimizers.Rprop(0.001, etas=(0.5, 1.2)), loss="mse")
    history = model.fit(X[..., np.newaxis], t[:, np.newaxis], epochs=500, batch_size=20, verbose=0)
    assert [w.item() for w in model.weights] == [1.001355547207059, 0.9996744737846419]
    assert history.history["loss"][0] == pytest.approx(615689.775, rel=1e-12)
    test = np.array([[0.0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1]])
    assert model.predict(test[..., np.newaxis]).item() == pytest.approx(4.9989637409516945, rel=1e-12)
    assert f"{model.predict(test[..., np.newaxis]).item():.2f}" == "5.00"


# ---- seed 002 and 004: what a bidirectional layer sees, and the sizes of the cells


def test_only_a_bidirectional_layer_sees_the_future(rng: np.random.Generator):
    X = rng.normal(size=(1, 6, 4))
    changed = X.copy()
    changed[:, 4] += 1.0
    one_way = layers.SimpleRNN(3, return_sequences=True, dtype="float64")
    for layer, first in ((one_way, 4), (layers.Bidirectional(one_way, dtype="float64"), 0)):
        felt = np.abs(layer(changed).numpy() - layer(X).numpy()).max(axis=(0, 2)) > 0
        assert felt.tolist() == [t >= first for t in range(6)]


def test_parameters_of_the_cells():
    one = 8 * (5 + 8 + 1)
    for layer, blocks in (
        (layers.SimpleRNN(8), 1),
        (layers.GRU(8, reset_after=False), 3),
        (layers.LSTM(8), 4),
        (layers.Bidirectional(layers.LSTM(8)), 8),
    ):
        layer(np.zeros((1, 2, 5), np.float32))
        assert layer.count_params() == blocks * one
