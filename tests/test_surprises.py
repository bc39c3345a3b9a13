"""What surprises users of Keras, row by row of the list that this package was specified with, does not do so here."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import callbacks, layers, losses, optimizers

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0] * 5], bool)
Y = X.sum((1, 2))[:, None]


def masked() -> tg.Tensor:
    x = tg.tensor(X)
    x._mask = MASK
    return x


def network(**options):
    return tg.Sequential([tg.Input((5, 4)), layers.GRU(3, **options), layers.Dense(1)])


def test_01_an_initial_state_keeps_the_mask():
    layer = layers.LSTM(3)
    states = [np.ones((3, 3), np.float32)] * 2
    np.testing.assert_array_equal(
        layer(masked(), initial_state=states), layer(X, initial_state=states, mask=MASK)
    )
    assert not np.array_equal(layer(masked(), initial_state=states), layer(X, initial_state=states))


def test_02_recurrent_layers_hand_the_mask_on():
    for layer in (layers.LSTM(3, return_sequences=True), layers.Bidirectional(layers.GRU(3, return_sequences=True)),
                  layers.TimeDistributed(layers.Dense(2))):  # fmt: skip
        np.testing.assert_array_equal(layer(masked())._mask, MASK)


def test_03_what_a_mask_does_is_told():
    told = [
        layers.LSTM(3, return_sequences=True, zero_output_for_mask=z).mask_semantics for z in (False, True)
    ]
    assert all(told) and told[0] != told[1]


def test_04_going_backwards_turns_the_mask_too():
    y = layers.GRU(3, return_sequences=True, go_backwards=True)(masked())
    np.testing.assert_array_equal(y._mask, MASK[:, ::-1])


def test_05_zeros_for_masked_steps_only_in_sequences():
    layer = layers.GRU(3, zero_output_for_mask=True)
    assert np.abs(layer(masked()).numpy()[0]).min() > 0
    layer.return_sequences = True
    assert not layer(masked()).numpy()[0, 3:].any()


def test_06_stateful_both_ways_with_states_and_a_mask():
    layer = layers.Bidirectional(layers.GRU(3, stateful=True, return_state=True))
    for _ in range(2):
        outputs = layer(masked())
        assert [tuple(o.shape) for o in outputs] == [(3, 6), (3, 3), (3, 3)]


def test_07_unrolled_backwards_with_a_mask():
    a = layers.GRU(3, go_backwards=True, unroll=True)
    b = layers.GRU(3, go_backwards=True)
    a(X), b(X)
    b.set_weights(a.get_weights())
    np.testing.assert_array_equal(a(masked()), b(masked()))


def test_08_another_batch_size_is_named():
    model = tg.Sequential([tg.Input(batch_shape=(3, 5, 4)), layers.GRU(3, stateful=True)])
    model.predict(X, verbose=0)
    with pytest.raises(ValueError, match="batch"):
        model.predict(X[:2], verbose=0)


def test_09_states_of_a_model_can_be_read_set_and_reset():
    model = tg.Sequential(
        [tg.Input(batch_shape=(3, 5, 4)), layers.Bidirectional(layers.GRU(3, stateful=True))]
    )
    first = model.predict(X, verbose=0)
    states = model.get_states()
    second = model.predict(X, verbose=0)
    model.set_states(states)
    np.testing.assert_array_equal(model.predict(X, verbose=0), second)
    model.reset_state()
    np.testing.assert_array_equal(model.predict(X, verbose=0), first)


def test_10_stacked_states_can_be_reset():
    layer = layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], stateful=True)
    first = layer(X)
    assert not np.array_equal(first, layer(X))
    layer.reset_state()
    np.testing.assert_array_equal(layer(X), first)


def test_11_stateful_models_train():
    model = tg.Sequential([tg.Input(batch_shape=(3, 5, 4)), layers.LSTM(3, stateful=True), layers.Dense(1)])
    model.compile("adam", "mse")
    history = model.fit(X, Y, epochs=3, batch_size=3, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 3 and np.isfinite(history.history["loss"]).all()


def test_12_weights_of_the_other_gru_name_the_argument():
    a, b = layers.GRU(3), layers.GRU(3, reset_after=False)
    a(X), b(X)
    before = b.get_weights()
    with pytest.raises(ValueError, match="reset_after"):
        b.set_weights(a.get_weights())
    for old, new in zip(before, b.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_13_a_fully_masked_row_is_zero():
    for layer in (layers.LSTM(3), layers.Bidirectional(layers.GRU(3))):
        assert not layer(masked()).numpy()[2].any()


def test_14_padding_without_a_mask_is_told_once():
    ids = np.zeros((4, 10), int)
    ids[:, :4] = RNG.integers(1, 9, (4, 4))
    model = tg.Sequential([tg.Input((10,), dtype="int32"), layers.Embedding(9, 3), layers.GRU(2)])
    with pytest.warns(UserWarning, match="mask_zero"):
        model(ids)
    model(ids)  # not again: a warning would fail


def test_15_losses_refuse_what_would_broadcast():
    with pytest.raises(ValueError, match=r"(?s)\(6, 4\).*\(6, 2\)|\(6, 2\).*\(6, 4\)"):
        losses.MeanSquaredError()(np.ones((6, 4)), np.ones((6, 2)))
    with pytest.raises(ValueError):
        losses.MeanSquaredError()(np.ones((6, 4)), np.ones((6, 1)))


def test_16_logits_without_from_logits_are_named():
    with pytest.warns(UserWarning, match="from_logits"):
        losses.CategoricalCrossentropy()(np.eye(3), np.array([[2.0, -1, 0.5]] * 3))


def test_17_weighted_and_plain_metrics_stand_in_the_history():
    model = network()
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae"])
    w = np.array([1.0, 0.0, 3.0])
    history = model.fit(X, Y, sample_weight=w, epochs=1, verbose=0).history
    assert set(history) == {"loss", "mae", "weighted_mae"} and history["mae"] != history["weighted_mae"]
    values = np.array([[1.0], [2.0], [3.0]])
    assert losses.MeanSquaredError()(values, values + 2, sample_weight=w).item() == pytest.approx(4 * 4 / 3)


def test_18_what_is_not_finite_is_told_with_its_place():
    with tg.debug_nans(), pytest.raises(FloatingPointError, match="log"):
        tg.ops.log(tg.tensor([0.0]))
    model = network()
    model.compile("sgd", "mse")
    bad = X.copy()
    bad[0, 2, 1] = np.nan
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match=r"0, 2, 1"):
        model.train_on_batch(bad, Y)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_19_gradients_are_there():
    model = network()
    ((model(X) - Y) ** 2).mean().backward()
    assert all(w.grad is not None and w.grad.shape == w.shape for w in model.trainable_weights)
    assert (
        callbacks.GradientNorms.__doc__
    )  # their norms per layer and step: tests/training/test_gradient_norms.py


def test_20_and_21_dropout_is_seeded_and_reruns_are_equal_bit_for_bit():
    def trained():
        tg.utils.set_random_seed(3)
        model = network(dropout=0.3, recurrent_dropout=0.3)
        model.compile("adam", "mse")
        model.fit(X, Y, epochs=2, batch_size=2, verbose=0)
        return model.get_weights()

    for a, b in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_22_a_history_can_be_continued():
    model = network()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    history = model.fit(X, Y, epochs=1, verbose=0, append_history=True)
    assert len(history.history["loss"]) == 3 and type(history.history) is dict


def test_23_the_loss_of_fit_is_the_mean_while_weights_change():
    model = network()
    model.compile(optimizers.SGD(0.0), "mse")  # they do not: the same number
    loss = model.fit(X, Y, batch_size=2, verbose=0).history["loss"][0]
    assert loss == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)


def test_24_files_are_read_by_numpy(tmp_path):
    model = network()
    model.save(tmp_path / "model.tgr")
    with zipfile.ZipFile(tmp_path / "model.tgr") as archive:
        found = [np.load(archive.open(n)) for n in archive.namelist() if n.endswith(".npy")]
    for w in model.get_weights():
        assert any(w.shape == a.shape and np.array_equal(w, a) for a in found)


# 25, the speed of recurrent layers, is measured: benchmarks/recurrent.py


def test_26_simple_rnn_honours_its_arguments():
    layer = layers.SimpleRNN(3, activity_regularizer=tg.regularizers.L2(0.1), seed=5)
    y = layer(X)
    assert sum(layer.losses).item() == pytest.approx(0.1 * float((y.numpy() ** 2).sum()) / 3, rel=1e-5)
    assert layer.get_config()["seed"] == 5


def test_27_ids_out_of_range_are_named_with_their_position():
    for bad in (-1, 9):
        with pytest.raises(ValueError, match=rf"value {bad} at position \(1, 2\)"):
            layers.Embedding(9, 3)(np.array([[1, 2, 3], [4, 5, bad]]))


def test_28_a_missing_state_is_named():
    with pytest.raises(ValueError, match=r"2 states"):
        layers.LSTM(3)(X, initial_state=np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        layers.GRU(3)(X, initial_state=np.zeros((1, 3), np.float32))


def test_29_float64_stays_float64(float64):
    model = network()
    model.compile("adam", "mse")
    model.train_on_batch(X.astype("float64"), Y.astype("float64"))
    assert {w.dtype for w in model.weights} == {np.dtype("float64")} == {model(X.astype("float64")).dtype}


def test_30_arguments_of_keras_2_name_their_successor():
    assert float(optimizers.SGD(1).learning_rate) == 1.0
    for call, word in (
        (lambda: optimizers.SGD(lr=0.1), "learning_rate"),
        (lambda: optimizers.SGD(decay=0.1), "schedule"),
        (lambda: layers.LSTM(3, batch_input_shape=(2, 3, 4)), "batch_shape"),
        (lambda: layers.LSTM(3, time_major=True), "time_major"),
    ):
        with pytest.raises((TypeError, ValueError), match=word):
            call()


def test_31_unused_weights_are_told():
    layer = layers.GRU(3)
    layer(X)
    with pytest.warns(UserWarning, match="not used"):
        layers.Bidirectional(layer)
