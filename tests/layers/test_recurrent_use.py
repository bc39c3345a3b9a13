"""Recurrent layers in use: calls, states between batches, masks, users' cells, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from configurations import inside

import tinygrad_rnn as tg
from tinygrad_rnn import layers
from tinygrad_rnn.layers.symbolic import flatten

X = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 0, 1], [0] * 5], bool)


def masked(x: np.ndarray = X, mask: np.ndarray = MASK) -> tg.Tensor:
    t = tg.tensor(x)
    t._mask = mask
    return t


@pytest.fixture(params=[tg.unrolled, tg.derived], ids=["unrolled", "derived"], autouse=True)
def both_modes(request):
    with request.param():
        yield


# --- calls ------------------------------------------------------------------------------------------


def test_arguments_by_position_equal_those_by_name():
    a = layers.LSTM(3, "relu", "hard_sigmoid", False, return_sequences=True)
    assert a.activation is tg.activations.get("relu") and a.use_bias is False
    h, c = np.ones((3, 3), np.float32), np.full((3, 3), 0.5, np.float32)
    by_name = a(X, initial_state=[h, c], mask=MASK, training=False)
    np.testing.assert_array_equal(a(X, [h, c], MASK, False), by_name)
    np.testing.assert_array_equal(a(X, None, MASK)._mask, MASK)
    b = layers.Bidirectional(layers.GRU(3))
    np.testing.assert_array_equal(b(X, [h, c], MASK), b(X, initial_state=[h, c], mask=MASK))
    with pytest.raises(TypeError, match="received more"):
        a(X, None, None, None, 1)


def test_one_tensor_is_enough_for_one_state():
    layer = layers.GRU(3)
    h = np.ones((3, 3), np.float32)
    np.testing.assert_array_equal(layer(X, initial_state=h), layer(X, initial_state=[h]))


def test_the_mask_survives_an_initial_state():
    layer = layers.LSTM(3, return_sequences=True)
    states = layer.get_initial_state(3)
    y = layer(masked(), initial_state=states)
    np.testing.assert_array_equal(y, layer(X, initial_state=states, mask=MASK))
    np.testing.assert_array_equal(y._mask, MASK)


def test_cells_are_called_as_in_keras():
    for cell in (layers.SimpleRNNCell(3), layers.LSTMCell(3), layers.GRUCell(3)):
        states = cell.get_initial_state(batch_size=3)
        assert [s.shape for s in states] == [(3, 3)] * len(cell.state_names)
        y, new = cell(X[:, 0], states, training=False)
        np.testing.assert_array_equal(y, new[0])
        assert isinstance(new, list) and len(new) == len(states)
    y, new = layers.GRUCell(3)(X[:, 0], np.zeros((3, 3), np.float32))  # a tensor in, a tensor out
    assert isinstance(new, tg.Tensor)
    with pytest.raises(ValueError, match=r"expected 2 states \[h, c\], received 1"):
        layers.LSTMCell(3)(X[:, 0], [np.zeros((3, 3), np.float32)])
    dropping = layers.LSTMCell(3, dropout=0.5)
    states = dropping.get_initial_state(3)
    once = dropping(X[:, 0], states)[0]
    np.testing.assert_array_equal(dropping(X[:, 0], states)[0], once)
    assert not np.array_equal(dropping(X[:, 0], states, training=True)[0], once)


def test_encoder_states_start_the_decoder_in_a_functional_model():
    source, target = tg.Input((None, 4)), tg.Input((None, 2), name="target")
    _, h, c = layers.LSTM(3, return_state=True)(source)
    decoder = layers.LSTM(3, return_sequences=True)
    model = tg.Model([source, target], layers.Dense(1)(decoder(target, initial_state=[h, c])))
    given = [X, X[:, :2, :2]]
    assert model(given).shape == (3, 2, 1)
    encoder = model.layers[0]
    _, *states = encoder(X)
    expected = model.layers[-1](decoder(given[1], initial_state=states))
    np.testing.assert_allclose(model(given), expected, rtol=1e-6)
    assert all(g is not None for g in tg.grad(model(given).sum(), model.weights))
    model.compile("sgd", "mse")
    before = encoder.get_weights()
    model.fit(given, np.ones((3, 2, 1), np.float32), epochs=2, verbose=0)
    assert not np.array_equal(before[0], encoder.get_weights()[0])  # through the states alone


# --- states between batches -------------------------------------------------------------------------


STATEFUL = {
    "LSTM": lambda **o: layers.LSTM(3, stateful=True, **o),
    "stack": lambda **o: layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], stateful=True, **o),
    "Bidirectional": lambda **o: layers.Bidirectional(layers.GRU(3, stateful=True, **o)),
}


@pytest.mark.parametrize("kind", STATEFUL)
def test_states_can_be_read_set_and_reset(kind):
    layer = STATEFUL[kind](return_state=True)
    assert layer.get_states() is None
    first = layer(X, mask=MASK)
    kept = layer.get_states()
    np.testing.assert_array_equal(layer(X)[0], layer(X, initial_state=kept)[0])
    layer.set_states(kept)
    second = layer(X)
    layer.set_states(kept)
    np.testing.assert_array_equal(layer(X)[0], second[0])
    assert not np.array_equal(first[0], second[0])
    for reset in (layer.reset_state, layer.reset_states, lambda: layer.set_states(None)):
        reset()
        assert layer.get_states() is None
        np.testing.assert_array_equal(layer(X, mask=MASK)[0], first[0])
    before = layer.get_states()
    for bad in (
        kept[:-1],
        [np.zeros((3, 9))] * len(kept),
        [*kept[:-1], np.zeros((2, 3))],
        [None] * len(kept),
    ):
        with pytest.raises(ValueError, match="needs"):
            layer.set_states(bad)
    with pytest.raises(TypeError, match="set_states"):
        layer.reset_states(kept)
    for a, b in zip(layer.get_states(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    layer.get_states()[0][:] = 7  # a copy
    assert not (layer.get_states()[0] == 7).all()


@pytest.mark.parametrize("kind", STATEFUL)
def test_another_batch_size_is_named_with_the_remedy(kind):
    layer = STATEFUL[kind]()
    layer(X)
    with pytest.raises(ValueError, match=r"batch size 3.*batch of 2.*batch_size=3.*reset_state\(\)"):
        layer(X[:2])
    layer.reset_state()
    assert layer(X[:2]).shape[0] == 2


@pytest.mark.parametrize("kind", STATEFUL)
@pytest.mark.parametrize("shape", [{"shape": (None, 4)}, {"batch_shape": (3, None, 4)}])
def test_stateful_models_train_and_start_from_zeros(kind, shape):
    layer = STATEFUL[kind](bias_initializer="ones") if kind == "LSTM" else STATEFUL[kind]()
    model = tg.Sequential([tg.Input(**shape), layer, layers.Dense(1)])
    assert layer.get_states() is None  # building it kept nothing
    model.compile("sgd", "mse")
    y = np.ones((3, 1), np.float32)
    losses = [model.train_on_batch(X, y) for _ in range(3)]
    assert all(np.isfinite(losses))
    kept = model.get_states()
    after = model.predict(X)
    model.set_states(kept)
    np.testing.assert_array_equal(model.predict(X), after)
    with pytest.raises(ValueError, match="expected one entry for each of"):
        model.set_states([])
    bad = [*kept[:-1], [np.zeros((3, 8))]]
    now = model.get_states()
    with pytest.raises(ValueError, match="needs"):
        model.set_states(bad)
    for a, b in zip(flatten(now), flatten(model.get_states()), strict=True):
        np.testing.assert_array_equal(a, b)
    model.reset_state()
    assert layer.get_states() is None


@pytest.mark.parametrize("kind", STATEFUL)
def test_a_loaded_model_starts_from_zeros_at_any_batch_size(kind, tmp_path):
    model = tg.Sequential([STATEFUL[kind]()])
    first = model(X).numpy()
    model.save(tmp_path / "m.tgr")
    np.testing.assert_array_equal(tg.models.load_model(tmp_path / "m.tgr")(X), first)


# --- masks ------------------------------------------------------------------------------------------


def test_the_mask_goes_on_in_the_order_of_the_outputs():
    for options, expected in (
        ({"return_sequences": True}, MASK),
        ({"return_sequences": True, "go_backwards": True}, MASK[:, ::-1]),
        ({}, None),
    ):
        got = getattr(layers.GRU(3, **options)(masked()), "_mask", None)
        assert (got is None) if expected is None else np.array_equal(got, expected)
    both = layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode=None)(masked())
    for y in both:
        np.testing.assert_array_equal(y._mask, MASK)


def test_zeros_for_masked_steps_need_return_sequences():
    whole = layers.GRU(3, return_sequences=True, zero_output_for_mask=True)
    last, plain = layers.GRU(3, zero_output_for_mask=True), layers.GRU(3)
    y = whole(X, mask=MASK)
    assert not y.numpy()[~MASK].any() and y.numpy()[MASK].all()
    for layer in (last, plain):
        layer(X)
        layer.set_weights(whole.get_weights())
    np.testing.assert_array_equal(last(X, mask=MASK), plain(X, mask=MASK))
    assert last(X, mask=MASK).numpy()[:2].all()


def test_mask_semantics_tells_what_the_layer_does():
    assert "repeats the one before" in layers.LSTM(3, return_sequences=True).mask_semantics
    assert "output  is 0" in layers.LSTM(3, return_sequences=True, zero_output_for_mask=True).mask_semantics
    assert "ends here" in layers.LSTM(3, zero_output_for_mask=True).mask_semantics
    assert "reversed" in layers.LSTM(3, return_sequences=True, go_backwards=True).mask_semantics
    assert "output  is 0" in layers.Bidirectional(layers.LSTM(3, return_sequences=True)).mask_semantics


def test_time_distributed_hands_masks_in_and_on():
    x = (
        np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    )  # texts of sentences of words
    mask = np.random.default_rng(1).random((2, 3, 4)) < 0.5
    mask[1, 2] = False
    inner = layers.GRU(3)
    y = layers.TimeDistributed(inner)(masked(x, mask))
    for b, s in np.ndindex(2, 3):
        np.testing.assert_allclose(
            y[b, s], inner(x[b, s][None], mask=mask[b, s][None])[0], rtol=1e-5, atol=1e-7
        )
    np.testing.assert_array_equal(y._mask, mask.any(2))
    layers.GRU(2)(y)
    outer = mask.any(2)  # says which sentences count, nothing about their words
    y = layers.TimeDistributed(inner)(masked(x, outer))
    np.testing.assert_array_equal(y._mask, outer)
    np.testing.assert_array_equal(y, layers.TimeDistributed(inner)(x))
    y = layers.TimeDistributed(layers.Dense(2))(masked())
    np.testing.assert_array_equal(y._mask, MASK)
    with pytest.raises(ValueError, match=r"shape \(3, 5, ...\), received \(3, 4\)"):
        layers.TimeDistributed(layers.Dense(2))(X, mask=MASK[:, :4])


def test_forgotten_mask_zero_is_noticed_once():
    ids = np.array([[1, 2, 0, 0, 0], [3, 0, 0, 0, 0]])
    for make in (lambda: layers.LSTM(3), lambda: layers.Bidirectional(layers.LSTM(3))):
        embedding, layer = layers.Embedding(5, 4), make()
        layer(embedding(np.zeros((2, 5), int)))  # builds it; not one id
        with pytest.warns(UserWarning, match="70% of the ids.*mask_zero=True") as seen:
            layer(embedding(ids))
            layer(embedding(ids))
        assert len(seen) == 1
        make()(layers.Embedding(5, 4, mask_zero=True)(ids))
        make()(layers.Embedding(5, 4)(ids[:, ::-1].copy()))  # left padding
        make()(X)


# --- users' cells -----------------------------------------------------------------------------------


class Tied(layers.LSTMCell):
    """A built-in cell with a `call` of its own, written for Keras."""

    def call(self, inputs, states, training=False):
        output, new = super().call(inputs, states, training=training)
        return output * 2.0, new


def test_a_subclass_with_its_own_call_is_run_by_it():
    layer, plain = layers.RNN(Tied(3), return_sequences=True), layers.LSTM(3, return_sequences=True)
    layer(X), plain(X)
    layer.set_weights(plain.get_weights())
    np.testing.assert_allclose(layer(X), 2.0 * plain(X).numpy(), rtol=1e-6)
    dropping = layers.RNN(Tied(3, dropout=0.5, seed=1), return_sequences=True)
    ones = np.ones((2, 6, 4), np.float32)
    dropping(ones)
    dropping.cell.recurrent_kernel.assign(np.zeros((3, 12)))
    y = dropping(ones, training=True)
    first = dropping.dropout_masks[0].numpy()
    z = (first[0] * ones[:, 0]) @ dropping.cell.kernel.numpy() + dropping.cell.bias.numpy()
    i, _, g, o = np.split(z, 4, axis=1)
    s = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    np.testing.assert_allclose(y[:, 0], 2 * s(o) * np.tanh(s(i) * np.tanh(g)), rtol=1e-4)
    stacked = layers.RNN([Tied(3), layers.GRUCell(2)])
    assert stacked(X).shape == (3, 2)


class Sized(tg.Layer):
    """A cell that says something about its states."""

    def __init__(self, size):
        super().__init__(name="odd")
        self.state_size = size

    def call(self, x, states):
        return x, states


class Started(tg.Layer):
    """Two states, nested in no order of Keras's, that start from numbers of its own; a wider output."""

    state_size = [2, 3]
    output_size = 5

    def build(self, input_shape):
        self.w = self.add_weight((input_shape[-1], 3), name="w")
        self.prepared = True

    def prepare(self):  # a user's method that has nothing to do with the built-in cells
        raise AssertionError

    def get_initial_state(self, batch_size=None):
        return [np.ones((batch_size, 2)), np.full((batch_size, 3), 2.0)]

    def call(self, inputs, states, training=False):
        a, b = states
        b = tg.ops.tanh(b + inputs @ self.w)
        return tg.ops.concatenate([a, b], axis=-1), [a * 0.5, b]


class WithMemory(tg.Layer):
    """A state that is a matrix for each example, whose shape stands among the sizes, as Keras takes it."""

    def __init__(self, sizes):
        super().__init__()
        self.state_size, self.output_size = sizes, 4

    def build(self, input_shape):
        self.w = self.add_weight((input_shape[-1], 4), name="w")

    def get_initial_state(self, batch_size=None):
        return [tg.ops.zeros((batch_size, 4)), tg.ops.ones((batch_size, 2, 4))]

    def call(self, inputs, states):
        h, memory = states
        h = tg.ops.tanh(inputs @ self.w + tg.ops.sum(memory, axis=1) + h)
        return h, [h, 0.5 * memory + 0.1 * h[:, None]]


class WithoutStart(WithMemory):
    """Its memory does not say that it is a matrix."""

    get_initial_state = property()  # which the class above has


@pytest.mark.parametrize("mode", [tg.derived, tg.unrolled])
def test_an_error_in_a_cell_with_a_shape_among_its_sizes_says_what_makes_a_matrix(mode):
    layer = layers.RNN(WithoutStart([4, (2, 4)]))
    for _ in range(2):
        with mode(), pytest.raises(Exception) as caught:
            layer(X)
        (note,) = caught.value.__notes__
        assert "a tuple in state_size, [4, (2, 4)], stands for several states" in note
        assert "get_initial_state(self, batch_size)" in note


@pytest.mark.parametrize("sizes", [[4, (2, 4)], (4, [2, 4]), [4, 8]])
def test_a_size_may_be_the_shape_of_a_state(sizes):
    layer = layers.RNN(WithMemory(sizes), return_sequences=True)
    y = layer(X)
    with tg.derived():
        np.testing.assert_allclose(layer(X), y, rtol=1e-5)
    np.testing.assert_allclose(layer.step(X[:, 0]), y[:, 0], rtol=1e-5)


def test_a_cells_own_initial_states_count_alone_and_in_stacks():
    alone = layers.RNN(Started(), return_sequences=True, return_state=True)
    y, a, b = alone(X)
    assert y.shape == (3, 5, 5) and y.dtype == np.float32
    np.testing.assert_allclose(y[:, :, 0], np.broadcast_to(0.5 ** np.arange(5), (3, 5)))
    np.testing.assert_allclose(a, 0.5**5 * np.ones((3, 2)))
    below = layers.RNN([layers.GRUCell(4), Started()], return_sequences=True, return_state=True)
    z, (h,), (a2, _) = below(X)
    np.testing.assert_allclose(z[:, 0, :2], 1.0)
    assert [s.shape for s in (h, a2)] == [(3, 4), (3, 2)]
    nested = below.get_initial_state(2)
    assert [[s.shape for s in part] for part in nested] == [[(2, 4)], [(2, 2), (2, 3)]]
    np.testing.assert_array_equal(below(X, initial_state=below.get_initial_state(3))[0], z)
    with pytest.raises(ValueError, match=r"RNN needs 3 states, shapes .*received 2"):
        below(X, initial_state=[np.ones((3, 4)), np.ones((3, 2))])


# --- configuration and misuse -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.SimpleRNN(3, seed=7, dropout=0.5, return_sequences=True),
        lambda: layers.GRU(3, "relu", reset_after=False, implementation=1, use_cudnn=False, unroll=True),
        lambda: layers.LSTMCell(3, unit_forget_bias=False, seed=3),
        lambda: layers.Bidirectional(layers.LSTM(3, seed=2), merge_mode="sum", backward_layer=None),
        lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_state=True),
    ],
)
def test_a_configuration_makes_the_same_layer(make):
    layer = make()
    again = type(layer).from_config(layer.get_config())
    assert inside(again) == inside(layer)
    seed = layer.get_config().get("seed")
    assert seed is None or again.seed == seed


def test_a_subclass_keeps_its_own_arguments():
    class Wider(layers.GRU):
        def __init__(self, units, factor=2, **kw):
            super().__init__(units * factor, **kw)

    layer = Wider(3, factor=3, return_sequences=True)
    assert layer(X).shape == (3, 5, 9)
    config = layer.get_config()
    assert config["units"] == 3 and config["factor"] == 3 and config["return_sequences"] is True
    assert Wider.from_config(config)(X).shape == (3, 5, 9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.LSTM(3, time_major=True), "LSTM: the argument 'time_major' is no more; instead: sequences are"),
        (lambda: layers.GRU(3, batch_input_shape=(1, 2, 3)), r"Input\(batch_shape="),
        (lambda: layers.RNN(layers.GRUCell(3), batch_size=2), r"RNN: .*Input\(shape="),
        (lambda: layers.LSTMCell(3, inner_activation="tanh"), "LSTMCell: .*recurrent_activation"),
        (lambda: layers.Bidirectional(layers.GRU(3), input_dim=3), r"Bidirectional: .*Input\(\(features"),
        (lambda: layers.GRU(3)(X, constants=[X]), "'constants' is no more; concatenate"),
        (lambda: layers.LSTM(3, lora_rank=2), "not offered"),
        (lambda: layers.RNN(layers.GRUCell(3), return_sequence=True), "did you mean 'return_sequences'"),
        (lambda: layers.LSTM(), "LSTM: the argument 'units' is missing"),
        (lambda: layers.LSTM(3, units=3), "'units' is given by position and by name"),
        (lambda: layers.GRU(*range(40)), "by position"),
        (lambda: layers.LSTM(3, implementation=3), "implementation must be 1 or 2"),
        (
            lambda: tg.Sequential([tg.Input((5, 3)), layers.LSTM(4), layers.LSTM(4, name="m")]),
            r"m: .*received shape \(None, 4\): two axes. .*\(return_sequences=True\)(?!.*initial_state)",
        ),
        (
            lambda: layers.Bidirectional(layers.GRU(2))(layers.GRU(4)(X)),
            r"received shape \(None, 4\): two axes. .*return_sequences=True",
        ),
        (
            lambda: layers.GRU(4)(X[0]),
            r"received shape \(5, 4\): two axes. .*x\[..., None\](?!.*initial_state)",
        ),
        (lambda: layers.GRU(4)(tg.Input((None, None))), r"received shape \(None, None, None\)$"),
        (lambda: layers.GRU(4)([[1.0, 2.0]]), "received a list$"),
        (lambda: layers.GRU(4)(X.astype(object)), "array or tensor of numbers, received dtype object$"),
        *[
            (lambda size=size: layers.RNN(Sized(size))(X), rf"odd: state_size must be an int .*received {size!r}")
            for size in (None, "3", 3.0, -3)
        ],
        (lambda: layers.LSTM(3)([X, X]), r"received a list; states go into initial_state"),
        (lambda: layers.LSTM(3)([tg.Input((2, 3)), tg.Input((3,))]), r"states go into initial_state"),
        (
            lambda: layers.LSTM(3, name="m")(X, initial_state=np.ones((3, 3))),
            r"m: LSTM needs 2 states \[h, c\], shapes \[\(3, 3\), \(3, 3\)\].*received 1, shapes \[\(3, 3\)\]",
        ),
        (
            lambda: layers.LSTM(3)(X, initial_state=[np.ones((1, 3))] * 2),
            r"for a batch of 3; received 2, shapes \[\(1, 3\), \(1, 3\)\]",
        ),
        (
            lambda: layers.Bidirectional(layers.LSTM(3), name="b")(X, initial_state=[np.ones((3, 3))] * 2),
            "b: needs 4 states, 2 of forward_lstm.* and then 2 of backward_lstm.*; received 2",
        ),
        (lambda: layers.Bidirectional(layers.GRU(3, go_backwards=True)), "opposite directions"),
        (lambda: layers.Bidirectional(layers.GRU(3), backward_layer=layers.GRU(3)), "opposite directions"),
        (
            lambda: layers.Bidirectional(
                layers.GRU(3, stateful=True), backward_layer=layers.GRU(3, go_backwards=True)
            ),
            "differ in stateful: True and False",
        ),
    ],
)  # fmt: skip
def test_misuse_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_the_bias_of_the_other_gru_is_named():
    after, before = layers.GRU(3), layers.GRU(3, reset_after=False)
    after(X), before(X)
    for ours, theirs in ((after, before), (before, after)):
        kept = ours.get_weights()
        with pytest.raises(ValueError, match=r"bias: expected .*reset_after=True.*reset_after=False"):
            ours.set_weights(theirs.get_weights())
        np.testing.assert_array_equal(ours.get_weights()[2], kept[2])


def test_bidirectional_warns_that_weights_are_not_used():
    layer = layers.LSTM(3)
    layer(X)
    with pytest.warns(UserWarning, match="has weights already, which are not used"):
        layers.Bidirectional(layer)
    both = layers.Bidirectional(layers.LSTM(3))
    both(X)
    again = layers.Bidirectional(layers.LSTM(3), weights=both.get_weights())
    np.testing.assert_array_equal(both(X), again(X))


def test_weights_can_be_regularized_constrained_and_frozen():
    layer = layers.GRU(3, kernel_constraint="non_neg", recurrent_regularizer="l2", bias_constraint="max_norm")
    layer(X)
    assert [v.constraint is not None for v in layer.weights] == [True, False, True]
    assert [v.regularizer is not None for v in layer.weights] == [False, True, False]
    frozen = layers.Bidirectional(layers.LSTM(3), trainable=False)
    frozen(X)
    assert not frozen.trainable_weights and len(frozen.weights) == 6
