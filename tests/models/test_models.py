"""Sequential and functional models, summary, and the layers around the recurrent ones."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers


def test_summary_shows_shapes_and_parameters():
    model = tg.Sequential(
        [
            tg.Input((None, 4)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both"),
            layers.Dense(2, name="out"),
        ],
        name="tagger",
    )
    printed = []
    model.summary(print_fn=printed.append)
    text = printed[0]
    for part in ("tagger", "both (Bidirectional)", "(None, None, 6)", "192", "out (Dense)", "14", "206"):
        assert part in text
    assert model.count_params() == 206


def test_sequential_builds_by_first_call_add_and_pop():
    model = tg.Sequential()
    with pytest.raises(ValueError, match="no layers"):
        model(np.ones((1, 2)))
    model.add(layers.Dense(3))
    model.add(layers.Dense(2))
    assert model(np.ones((1, 4))).shape == (1, 2)
    assert isinstance(model.pop(), layers.Dense)
    assert model(np.ones((1, 4))).shape == (1, 3)
    same = layers.Dense(1)
    with pytest.raises(ValueError, match="in the stack already"):
        tg.Sequential([same, same])
    with pytest.raises(TypeError, match="expected layers"):
        tg.Sequential([np.tanh])
    with pytest.raises(ValueError, match="only come first"):
        tg.Sequential([layers.Dense(1), tg.Input((2,))])


def test_shapes_of_outputs_are_known_where_symbols_are():
    stack = [layers.LSTM(4, return_sequences=True), layers.Dense(1)]
    model = tg.Sequential([tg.Input((None, 3)), *stack])
    assert model.output_shape == (None, None, 1)
    model(np.ones((2, 5, 3)))
    assert model.output_shape == (None, None, 1)
    model.pop()
    assert model.output_shape == (None, None, 4)
    x = tg.Input((5, 3), batch_size=2)
    several = tg.Model(x, {"a": layers.Dense(1)(x), "b": [layers.Flatten()(x)]})
    assert several.output_shape == {"a": (2, 5, 1), "b": [(2, 15)]}
    late = tg.Sequential([layers.Dense(2)])
    assert late.output_shape is None
    late(np.ones((4, 3)))
    assert late.output_shape == (None, 2)

    class Own(tg.Model):
        def call(self, inputs):
            return inputs[:, 0]

    own = Own()
    assert own.output_shape is None
    own(np.ones((4, 3)))
    assert own.output_shape == (None,)


def test_functional_shares_layers():
    a, b = tg.Input((3,)), tg.Input((3,))
    shared = layers.Dense(2)
    model = tg.Model([a, b], layers.Dense(1)(shared(a)))
    assert len(model.weights) == 4
    both = tg.Model([a, b], [shared(a), shared(b)])
    x, y = np.ones((2, 3)), np.zeros((2, 3))
    p, q = both([x, y])
    np.testing.assert_array_equal(p, shared(x))
    assert len(both.weights) == 2
    loss = (p * p).sum() + q.sum()
    assert np.allclose(tg.grad(loss, shared.kernel), tg.grad((shared(x) ** 2).sum(), shared.kernel))
    with pytest.raises(ValueError, match="not among the inputs"):
        tg.Model(a, shared(b))
    with pytest.raises(TypeError, match="stands for a tensor that does not exist yet"):
        np.asarray(a)
    with pytest.raises(ValueError, match="expected 2 inputs, received 1"):
        both([x])


def test_functional_with_states_and_several_outputs():
    x = tg.Input((None, 3))
    y, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    decoded = layers.LSTM(4, return_sequences=True)(x, initial_state=[h, c])
    model = tg.Model(x, [y, decoded])
    assert y.shape == (None, None, 4)
    p, q = model(np.ones((2, 5, 3)))
    assert p.shape == q.shape == (2, 5, 4)


def test_subclassed_models_train():
    class Tagger(tg.Model):
        def __init__(self):
            super().__init__()
            self.rnn = layers.GRU(3, return_sequences=True)
            self.heads = [layers.Dense(2), layers.Dense(1)]

        def call(self, inputs, training=None):
            assert training in (True, False)
            return self.heads[1](self.heads[0](self.rnn(inputs)))

    model = Tagger()
    model.compile("adam", "mse")
    x = np.ones((4, 5, 2), np.float32)
    model.fit(x, x[..., :1], epochs=2, verbose=0)
    assert [w.path.split("/")[-1] for w in model.weights] == ["kernel", "recurrent_kernel", "bias"] + [
        "kernel",
        "bias",
    ] * 2
    assert model.get_layer(model.rnn.name) is model.rnn
    with pytest.raises(ValueError, match="no layer 'x'"):
        model.get_layer("x")


def test_set_weights_lists_everything_wrong_and_changes_nothing():
    layer = layers.LSTM(2)
    layer(np.ones((1, 2, 3)))
    before = layer.get_weights()
    with pytest.raises(
        ValueError,
        match=r"kernel: expected \(3, 8\), received \(3, 7\).*bias: expected \(8,\), received \(9,\)",
    ):
        layer.set_weights([np.ones((3, 7)), before[1], np.ones(9)])
    with pytest.raises(ValueError, match="expected 3 arrays, received 2"):
        layer.set_weights(before[:2])
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_time_distributed_dense_is_dense():
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    dense = layers.Dense(4)
    np.testing.assert_allclose(layers.TimeDistributed(dense)(x), dense(x), rtol=1e-6)


def test_dropout_scales_and_repeats_with_its_seed():
    x = np.ones((2000,), np.float32)
    a, b = layers.Dropout(0.25, seed=1), layers.Dropout(0.25, seed=1)
    y = a(x, training=True).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.04
    np.testing.assert_array_equal(b(x, training=True), y)
    assert not np.array_equal(a(x, training=True), y)
    np.testing.assert_array_equal(a(x), x)


def test_embedding_masks_and_refuses_bad_ids():
    layer = layers.Embedding(4, 2, mask_zero=True)
    out = layers.LSTM(3, return_sequences=True)(layer(np.array([[1, 0], [2, 3]])))
    assert out._mask.tolist() == [[True, False], [True, True]]
    with pytest.raises(ValueError, match=r"value 4 at position \(0, 1\) is out of range; valid are 0..3"):
        layer(np.array([[0, 4]]))
    with pytest.raises(ValueError, match="-1 at position"):
        layer(np.array([[-1]]))
    with pytest.raises(ValueError, match="expected integers"):
        layer(np.array([[0.5]]))


def test_float64_stays_float64():
    tg.set_floatx("float64")
    try:
        model = tg.Sequential([layers.LSTM(3), layers.Dense(1)])
        model.compile("adam", "mse")
        x = np.ones((4, 3, 2))
        model.fit(x, np.ones(4), verbose=0)
        assert {w.dtype.name for w in model.weights} == {"float64"}
        assert model.predict(x).dtype == np.float64
    finally:
        tg.set_floatx("float32")
    assert tg.Sequential([layers.GRU(2)])(np.ones((1, 2, 3))).dtype == np.float32


def test_reset_state_reaches_every_depth():
    inner = tg.Sequential([layers.LSTM(2, stateful=True, return_sequences=True)])
    outer = tg.Sequential([inner, layers.Bidirectional(layers.GRU(2, stateful=True))])
    x = np.ones((1, 3, 2), np.float32)
    first = outer(x).numpy()
    assert not np.array_equal(outer(x), first)
    outer.reset_state()
    np.testing.assert_array_equal(outer(x), first)


def test_weight_paths_name_the_layers():
    model = tg.Sequential(
        [layers.Embedding(3, 2, name="table"), layers.Bidirectional(layers.LSTM(2, name="r"), name="both")]
    )
    model(np.zeros((1, 2), int))
    paths = [w.path for w in model.weights]
    assert paths[0] == "table/embeddings"
    assert paths[1] == "both/forward_r/lstm_cell/kernel"
    assert len(set(paths)) == len(paths)
