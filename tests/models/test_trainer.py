"""fit, evaluate, predict: numbers, data handling, callbacks, and that bad input changes nothing."""

from __future__ import annotations

import _thread
import signal
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.callbacks import Callback, LambdaCallback


def regression(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5, 3)).astype(np.float32)
    return x, x.sum((1, 2)).astype(np.float32)


def small_model(**options):
    tg.utils.set_random_seed(3)
    model = tg.Sequential([tg.Input((None, 3)), layers.GRU(4, name="gru"), layers.Dense(1)])
    model.compile(**{"optimizer": tg.optimizers.Adam(0.03), "loss": "mse", **options})
    return model


def same_weights(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_fit_learns_and_history_has_every_epoch():
    x, y = regression()
    model = small_model()
    history = model.fit(x, y, epochs=15, verbose=0, validation_split=0.25)
    assert history.epoch == list(range(15))
    assert set(history.history) == {"loss", "val_loss"}
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    assert model.evaluate(x[30:], y[30:]) == pytest.approx(history.history["val_loss"][-1], rel=1e-6)


def test_the_same_seed_gives_the_same_bits_twice():
    x, y = regression()
    runs = []
    for _ in range(2):
        model = small_model()
        runs.append((model.fit(x, y, epochs=3, batch_size=7, verbose=0).history, model.get_weights()))
    assert runs[0][0] == runs[1][0]
    assert same_weights(runs[0][1], runs[1][1])


def test_logged_loss_is_the_mean_weighted_by_batch_sizes():
    x, y = regression(10)
    model = small_model(optimizer=tg.optimizers.SGD(0.0))
    history = model.fit(x, y, batch_size=4, verbose=0)
    assert history.history["loss"][0] == pytest.approx(
        float(((model.predict(x)[:, 0] - y) ** 2).mean()), rel=1e-5
    )
    assert model.evaluate(x, y, batch_size=3) == pytest.approx(history.history["loss"][0], rel=1e-5)


def test_one_update_is_the_optimizer_on_the_gradient():
    x, y = regression(8)
    model = small_model(optimizer=tg.optimizers.SGD(0.1))
    before = model.get_weights()
    predictions = model(x)
    loss = tg.ops.mean((predictions[:, 0] - y) ** 2)
    grads = [np.asarray(g) for g in tg.grad(loss, model.trainable_weights)]
    reported = model.train_on_batch(x, y)
    assert reported == pytest.approx(float(loss), rel=1e-5)
    for w, b, g in zip(model.get_weights(), before, grads, strict=True):
        np.testing.assert_allclose(w, b - np.float32(0.1) * g, rtol=1e-5, atol=1e-7)
    assert model.test_on_batch(x, y) < reported


def test_metrics_accuracy_and_dicts():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 4, 3)).astype(np.float32)
    labels = (x[:, -1, 0] > 0).astype(int)
    model = tg.Sequential([layers.SimpleRNN(4), layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, labels, epochs=2, verbose=0)
    assert set(history.history) == {"loss", "accuracy"}
    loss, accuracy = model.evaluate(x, labels)
    assert model.evaluate(x, labels, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    assert accuracy == (model.predict(x).argmax(1) == labels).mean()


def test_several_inputs_and_outputs():
    a, b = tg.Input((None, 3)), tg.Input((2,))
    h = layers.LSTM(4)(a)
    model = tg.Model([a, b], [layers.Dense(1)(h), layers.Dense(2)(b)])
    model.compile("sgd", ["mse", "mae"])
    x, y = regression(6)
    z = np.ones((6, 2), np.float32)
    assert [p.shape for p in model.predict([x, z])] == [(6, 1), (6, 2)]
    model.fit([x, z], [y, z], verbose=0)
    with pytest.raises(ValueError, match="2 outputs, 1 targets"):
        model.fit([x, z], y, verbose=0)


def test_masks_reach_the_loss():
    ids = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    model = tg.Sequential(
        [layers.Embedding(4, 3, mask_zero=True), layers.LSTM(3, return_sequences=True), layers.Dense(1)]
    )
    model.compile(tg.optimizers.SGD(0.0), "mse")
    y = np.arange(8.0, dtype=np.float32).reshape(2, 4, 1)
    loss = model.train_on_batch(ids, y)
    errors = (model.predict(ids) - y)[..., 0] ** 2
    assert loss == pytest.approx(float(errors[ids != 0].mean()), rel=1e-5)


def test_iterables_and_steps():
    x, y = regression()
    batches = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 40, 8)]
    model = small_model()
    seen = []
    model.fit(
        batches,
        epochs=2,
        verbose=0,
        steps_per_epoch=3,
        callbacks=[LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(b))],
    )
    assert seen == [0, 1, 2, 0, 1, 2]
    endless = iter(batches * 2)
    model.fit(endless, epochs=2, verbose=0, steps_per_epoch=3)
    assert len(list(endless)) == 4  # none was pulled and thrown away


def test_data_that_runs_out_ends_the_training():
    """As in Keras, the history is that of the epochs that were trained."""
    x, y = regression()
    model, calls = small_model(), []

    def batches(n):
        return ((x[i : i + 8], y[i : i + 8]) for i in range(0, 8 * n, 8))

    ends = LambdaCallback(
        on_epoch_end=lambda epoch, logs: calls.append(epoch),
        on_train_end=lambda logs: calls.append(dict(logs)),
    )
    with pytest.warns(UserWarning, match="ran out before epoch 2 of 3.*steps_per_epoch.*Sequence"):
        history = model.fit(batches(2), epochs=3, verbose=0, callbacks=[ends], validation_data=(x, y))
    assert history is model.history and history.epoch == [0]
    assert calls == [0, {name: values[0] for name, values in history.history.items()}]
    with pytest.warns(UserWarning, match="ran out before epoch 3 of 4"):
        history = model.fit(batches(4), epochs=4, steps_per_epoch=2, verbose=0)
    assert history.epoch == [0, 1] and len(history.history["loss"]) == 2
    with pytest.warns(UserWarning, match="validation data ran out before epoch 2; training goes on"):
        history = model.fit(x, y, epochs=3, verbose=0, validation_data=batches(2))
    assert len(history.history["loss"]) == 3 and len(history.history["val_loss"]) == 1
    kept, steps = model.get_weights(), model.optimizer.iterations
    for data, options in (((batches(0),), {}), ((x, y), {"validation_data": batches(0)})):
        with pytest.raises(ValueError, match="fit: the (validation )?data gave no batches"):
            model.fit(*data, epochs=2, verbose=0, **options)
    with pytest.raises(ValueError, match="evaluate: the data gave no batches"):
        model.evaluate(batches(0))
    assert steps == model.optimizer.iterations == 12
    assert all(map(np.array_equal, kept, model.get_weights()))


def test_callbacks_run_in_order_and_can_stop():
    x, y = regression(8)
    calls = []

    class Recorder(Callback):
        def on_train_begin(self, logs=None):
            calls.append("begin")

        def on_epoch_end(self, epoch, logs=None):
            calls.append(epoch)
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs=None):
            calls.append("end")

    small_model().fit(x, y, epochs=9, verbose=0, callbacks=[Recorder()])
    assert calls == ["begin", 0, 1, "end"]


@pytest.mark.parametrize("error", [np.nan, np.inf])
def test_a_non_finite_gradient_never_reaches_a_weight(error):
    x, y = regression(8)
    x[3, 2, 1] = error
    for epochs in (1, 2):
        model = small_model()
        model.fit(*regression(8, 1), epochs=epochs, verbose=0)
        before, state = model.get_weights(), model.optimizer.state()
        with pytest.raises(
            FloatingPointError,
            match=r"x is NaN or infinite at position \(3, 2, 1\); the weights are unchanged",
        ):
            model.fit(x, y, verbose=0)
        assert same_weights(before, model.get_weights())
        assert all(np.array_equal(v, model.optimizer.state()[k]) for k, v in state.items())
    skipping = small_model(on_nonfinite="skip")
    skipping.fit(x, y, batch_size=2, verbose=0)
    assert skipping.skipped_batches == 1
    assert all(np.isfinite(w).all() for w in skipping.get_weights())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y[:-1]), "same number of examples"),
        (lambda x, y: (x[:0], y[:0]), "no examples"),
        (lambda x, y: (x[:, :0], y), r"no time steps"),
        (lambda x, y: (x[..., :2], y), r"expected an input of shape \(None, None, 3\), received \(8, 5, 2\)"),
        (lambda x, y: (x, np.stack([y, y], 1)), r"\(8, 2\).*\(8, 1\)"),
        (lambda x, y: (x, np.where(np.arange(8) == 5, np.nan, y)), r"NaN at position \(5,\)"),
        (lambda x, y: (x.astype(str), y), "expected numbers"),
    ],
)
def test_bad_data_is_named_and_changes_nothing(change, message):
    x, y = regression(8)
    model = small_model()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(*change(x, y), verbose=0, shuffle=False)
    assert same_weights(before, model.get_weights())
    assert model.optimizer.iterations == 0


def test_labels_out_of_range_name_value_position_and_range():
    ids = np.zeros((4, 3), int)
    model = tg.Sequential([layers.Embedding(5, 2), layers.LSTM(3, return_sequences=True), layers.Dense(5)])
    model.compile("adam", tg.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.zeros((4, 3), int)
    model.train_on_batch(ids, labels)
    before = model.get_weights()
    for wrong in (5, -1, 2**40):
        labels[2, 1] = wrong
        with pytest.raises(ValueError, match=rf"{wrong} at position \(2, 1\).*0\.\.4"):
            model.train_on_batch(ids, labels)
        bad_ids = ids.copy()
        bad_ids[2, 1] = wrong
        with pytest.raises(ValueError, match=rf"embedding.*{wrong} at position \(2, 1\).*0\.\.4"):
            model.predict(bad_ids)
    assert same_weights(before, model.get_weights())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"loss": "mean_square_error"}, "mean_squared_error"),
        ({"metrics": ["acuracy"]}, "accuracy"),
        ({"on_nonfinite": "ignore"}, "'raise' or 'skip'"),
    ],
)
def test_unknown_names_get_the_nearest_known_one(options, message):
    with pytest.raises(ValueError, match=message):
        small_model(**options)


def test_unknown_activation():
    with pytest.raises(ValueError, match="did you mean 'sigmoid'"):
        layers.Dense(2, activation="sigmoyd")


def test_uncompiled_and_bad_arguments():
    x, y = regression(4)
    model = tg.Sequential([layers.LSTM(2), layers.Dense(1)])
    with pytest.raises(ValueError, match="compile"):
        model.fit(x, y)
    model.compile("sgd", "mse")
    for options, message in [
        ({"batch_size": 0}, "batch_size"),
        ({"verbose": 3}, "verbose"),
        ({"validation_split": 1.5}, "validation_split"),
        ({"callbacks": [print]}, "Callback objects"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(x, y, **options)


def test_ctrl_c_waits_for_the_batch_and_leaves_a_usable_model():
    x, y = regression()
    model = small_model()
    handler = signal.getsignal(signal.SIGINT)

    class Interrupt(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[Interrupt()])
    assert model.optimizer.iterations == 2
    assert signal.getsignal(signal.SIGINT) is handler
    model.fit(x, y, verbose=0)


def test_ctrl_c_after_the_last_batch_is_not_lost():
    x, y = regression(8)
    model = small_model()
    late = LambdaCallback(on_epoch_end=lambda epoch, logs: _thread.interrupt_main())
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, callbacks=[late])
    assert model.history.epoch == [0]


def test_fit_in_another_thread():
    x, y = regression(8)
    model, errors = small_model(), []

    def work():
        try:
            model.fit(x, y, verbose=0)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors


def test_plain_progress_lines(capsys):
    x, y = regression(8)
    small_model().fit(x, y, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("Epoch 2/2")
    assert "loss:" in lines[1]


def test_regularizers_join_the_loss():
    x, y = regression(4)
    model = tg.Sequential([layers.LSTM(2, kernel_regularizer="l2"), layers.Dense(1)])
    model.compile(tg.optimizers.SGD(0.0), "mse")
    loss = model.train_on_batch(x, y)
    kernel = model.layers[0].kernel.numpy()
    plain = float(((model.predict(x)[:, 0] - y) ** 2).mean())
    assert loss == pytest.approx(plain + 0.01 * float((kernel**2).sum()), rel=1e-5)


def test_nothing_to_train_is_said_once():
    x, y = regression(16)
    model = small_model()
    model.trainable = False
    before = model.get_weights()
    with pytest.warns(UserWarning, match="does not have any trainable weights") as caught:
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        model.train_on_batch(x, y)
    assert len(caught) == 1 and same_weights(before, model.get_weights())
    model.evaluate(x, y)
    model.layers[-1].trainable = True
    model.fit(x, y, verbose=0)
    assert not same_weights(before, model.get_weights())


def test_frozen_layers_stay():
    x, y = regression(4)
    model = small_model()
    model.layers[0].trainable = False
    before = model.layers[0].get_weights()
    model.fit(x, y, verbose=0)
    assert same_weights(before, model.layers[0].get_weights())
    assert len(model.trainable_weights) == 2


@pytest.mark.parametrize("where", ["labels", "ids", "validation"])
def test_bad_data_anywhere_names_the_users_row_and_undoes_the_epoch(where):
    rng = np.random.default_rng(0)
    ids, labels = rng.integers(0, 5, (100, 3)), rng.integers(0, 4, 100)
    model = tg.Sequential([layers.Embedding(5, 2), layers.LSTM(3), layers.Dense(4)])
    model.compile("adam", tg.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(ids, labels, verbose=0)
    before, state = model.get_weights(), model.optimizer.state()
    held_out = None
    if where == "labels":
        labels[99] = 7
    elif where == "ids":
        ids[99, 1] = 7
    else:
        held_out = (ids, np.where(np.arange(100) == 99, 7, labels))
    place = r"\(99, 1\)" if where == "ids" else r"\(99,\)"
    with pytest.raises(ValueError, match=f"value 7 at position {place}"):
        model.fit(ids, labels, batch_size=16, epochs=2, verbose=0, validation_data=held_out)
    assert same_weights(before, model.get_weights())
    assert all(np.array_equal(v, model.optimizer.state()[k]) for k, v in state.items())
    assert model.optimizer.iterations == 4


def test_states_survive_a_bad_batch_and_skipped_batches_stay_out_of_the_mean():
    x, y = regression(4)
    model = tg.Sequential([layers.LSTM(2, stateful=True), layers.Dense(1)])
    model.compile("sgd", "mse", on_nonfinite="skip")
    model.train_on_batch(x, y)
    kept = [s.numpy() for s in model.layers[0].states]
    bad = x.copy()
    bad[0, 0, 0] = np.nan
    assert np.isnan(model.train_on_batch(bad, y))
    assert all(np.array_equal(a, b) for a, b in zip(kept, model.layers[0].states, strict=True))
    history = model.fit([(x, y), (bad, y)], verbose=0, shuffle=False)
    assert np.isfinite(history.history["loss"][0])
    assert model.skipped_batches == 2


def test_dict_inputs_go_by_name():
    a, b = tg.Input((2,), name="a"), tg.Input((3,), name="b")
    model = tg.Model([a, b], [layers.Activation("linear")(a), layers.Activation("relu")(b)])
    p, q = model.predict({"b": np.ones((1, 3)), "a": np.zeros((1, 2))})
    assert (p.shape, q.shape) == ((1, 2), (1, 3))
    with pytest.raises(ValueError, match=r"expected the inputs \['a', 'b'\], received \['a', 'x'\]"):
        model.predict({"a": np.zeros((1, 2)), "x": np.ones((1, 3))})


def test_frozen_containers_and_penalties_of_one_call():
    x = np.ones((2, 3, 4), np.float32)
    for make in (
        lambda: layers.Bidirectional(layers.LSTM(3), trainable=False),
        lambda: layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], trainable=False),
        lambda: layers.TimeDistributed(layers.Dense(2), trainable=False),
        lambda: tg.Sequential([layers.GRU(2)], trainable=False),
    ):
        layer = make()
        layer(x)
        assert layer.weights
        assert not layer.trainable_weights
    dense = layers.Dense(1, activity_regularizer="l2")
    for _ in range(3):
        dense(x)
        assert len(dense.losses) == 1


def test_the_op_and_layer_where_an_infinity_is_born_are_named():
    x, y = regression(8)
    model = small_model()
    kernel = model.layers[0].cell.recurrent_kernel
    kernel.assign(np.full(kernel.shape, 3e38))
    model.layers[1].kernel.assign(np.full((4, 1), 3e38))
    before = model.get_weights()
    with pytest.raises(
        FloatingPointError, match=r"gradient of .*op '\w+' \(layer '\w+'.*weights are unchanged"
    ):
        model.fit(x, y, verbose=0)
    assert same_weights(before, model.get_weights())


def test_penalties_are_those_of_all_calls_inside_the_outermost_one():
    other = layers.Dense(2, activity_regularizer="l2")
    held = [other]

    class Twice(tg.Model):
        def __init__(self):
            super().__init__()
            self.own = layers.Dense(2, activity_regularizer="l2")

        def call(self, inputs):
            return held[0](
                self.own(inputs) + self.own(2.0 * inputs)
            )  # the last one is no layer of this model

    model, x = Twice(), np.ones((3, 2), np.float32)
    for _ in range(3):
        model(x)
        first, second = (float(tg.ops.sum(model.own(v) ** 2)) / 300 for v in (x, 2 * x))
        model(x)
        np.testing.assert_allclose([float(v) for v in model.losses], [first, second], rtol=1e-5)
        assert len(other.losses) == 1


def test_add_loss_joins_the_loss_of_its_call_only():
    class Penalised(tg.Layer):
        def call(self, inputs):
            self.add_loss((inputs * inputs).sum() * 0.5)
            return inputs

    x, y = regression(4)
    model = tg.Sequential([Penalised(), layers.LSTM(2), layers.Dense(1)])
    model.compile(tg.optimizers.SGD(0.0), "mse")
    expected = float(((model.predict(x)[:, 0] - y) ** 2).mean() + 0.5 * (x * x).sum())
    for _ in range(2):
        assert model.train_on_batch(x, y) == pytest.approx(expected, rel=1e-5)
        assert model.evaluate(x, y) == pytest.approx(expected, rel=1e-5)


def test_predict_on_batch_and_layers_by_position():
    x, _ = regression(4)
    model = small_model()
    np.testing.assert_allclose(model.predict_on_batch(x), model.predict(x), rtol=1e-6)
    assert model.get_layer(index=1) is model.layers[1]
