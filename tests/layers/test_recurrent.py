"""Every recurrent layer against the same recurrence written in PyTorch, in float64: values and gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import layers

torch = pytest.importorskip("torch")

RTOL = 1e-10


@pytest.fixture(autouse=True)
def _float64():
    tg.set_floatx("float64")
    yield
    tg.set_floatx("float32")


def torch_step(kind: str, x, states, weights):
    """One time step of each cell, in Keras's gate order."""
    W, U, *bias = weights
    if kind == "simple_rnn":
        h = torch.tanh(x @ W + states[0] @ U + (bias[0] if bias else 0))
        return h, [h]
    if kind == "lstm":
        h, c = states
        i, f, g, o = (x @ W + h @ U + (bias[0] if bias else 0)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, [h, c]
    (h,) = states
    n = U.shape[0]
    if kind == "gru":  # reset_after
        xz, xr, xh = (x @ W + (bias[0][0] if bias else 0)).chunk(3, 1)
        hz, hr, hh = (h @ U + (bias[0][1] if bias else 0)).chunk(3, 1)
        z, r = torch.sigmoid(xz + hz), torch.sigmoid(xr + hr)
        new = torch.tanh(xh + r * hh)
    else:
        xz, xr, xh = (x @ W + (bias[0] if bias else 0)).chunk(3, 1)
        z, r = torch.sigmoid(xz + h @ U[:, :n]), torch.sigmoid(xr + h @ U[:, n : 2 * n])
        new = torch.tanh(xh + (r * h) @ U[:, 2 * n :])
    h = z * h + (1 - z) * new
    return h, [h]


def torch_run(kind, x, weights, states, mask=None, go_backwards=False):
    outputs, order = [], range(x.shape[1])
    previous = torch.zeros_like(states[0])
    for t in reversed(order) if go_backwards else order:
        out, new = torch_step(kind, x[:, t], states, weights)
        if mask is not None:
            m = torch.tensor(mask[:, t])[:, None]
            out = torch.where(m, out, previous)
            new = [torch.where(m, a, b) for a, b in zip(new, states, strict=True)]
        states, previous = new, out
        outputs.append(out)
    return torch.stack(outputs, 1), states


KINDS = {
    "simple_rnn": (layers.SimpleRNN, {}),
    "lstm": (layers.LSTM, {}),
    "gru": (layers.GRU, {}),
    "gru_before": (layers.GRU, {"reset_after": False}),
}
MASK = np.array([[1, 1, 1, 0, 1, 1], [0, 0, 1, 1, 0, 1], [0] * 6], bool)


@pytest.mark.parametrize(
    ("kind", "masked", "backwards", "bias", "given"),
    [
        (k, m, b, bias, g)
        for k in KINDS
        for m, b, bias, g in itertools.product((False, True), (False, True), (True, False), (False, True))
    ],
)
def test_values_and_gradients_equal_pytorch(kind, masked, backwards, bias, given):
    cls, options = KINDS[kind]
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, 6, 4))
    layer = cls(
        5,
        return_sequences=True,
        return_state=True,
        go_backwards=backwards,
        use_bias=bias,
        bias_initializer="normal",
        **options,
    )
    layer(x)
    n_states = 2 if kind == "lstm" else 1
    starts = [rng.standard_normal((3, 5)) if given else np.zeros((3, 5)) for _ in range(n_states)]
    weights = [torch.tensor(w, requires_grad=True) for w in layer.get_weights()]
    tx, ts = torch.tensor(x, requires_grad=True), [torch.tensor(s, requires_grad=True) for s in starts]
    expected, last = torch_run(kind, tx, weights, ts, MASK if masked else None, backwards)
    pull = [rng.standard_normal(expected.shape), *[rng.standard_normal((3, 5)) for _ in last]]
    wanted = torch.autograd.grad(
        sum((torch.tensor(p) * v).sum() for p, v in zip(pull, [expected, *last], strict=True)),
        [*weights, tx, *ts],
        allow_unused=True,
    )
    for _ in range(2):  # most bugs of this field are second-step bugs
        ours_x = tg.tensor(x, requires_grad=True)
        ours_s = [tg.tensor(s, requires_grad=True) for s in starts]
        y, *states = layer(ours_x, initial_state=ours_s if given else None, mask=MASK if masked else None)
        for ours, theirs in zip([y, *states], [expected, *last], strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=RTOL, atol=1e-14)
        loss = sum(((p * v).sum() for p, v in zip(pull, [y, *states], strict=True)), tg.tensor(0.0))
        targets = [*layer.weights, ours_x, *(ours_s if given else [])]
        for g, w in zip(tg.grad(loss, targets), wanted, strict=False):
            np.testing.assert_allclose(np.asarray(g), w.numpy(), rtol=RTOL, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_output_without_sequences_is_the_last_one(kind):
    cls, options = KINDS[kind]
    x = np.random.default_rng(0).standard_normal((3, 6, 4))
    whole = cls(5, return_sequences=True, **options)
    last = cls(5, **options)
    y = whole(x)
    last(x)
    last.set_weights(whole.get_weights())
    np.testing.assert_array_equal(last(x), y[:, -1])
    np.testing.assert_array_equal(last(x, mask=MASK)[0], whole(x, mask=MASK)[0, -1])


@pytest.mark.parametrize("kind", KINDS)
def test_streaming_gives_what_the_whole_sequence_gives(kind):
    cls, options = KINDS[kind]
    x = np.random.default_rng(0).standard_normal((3, 6, 4))
    layer = cls(5, return_sequences=True, **options)
    y = layer(x).numpy()
    for _ in range(2):
        layer.reset_state()
        steps = [layer.step(x[:, t]).numpy() for t in range(6)]
        np.testing.assert_allclose(np.stack(steps, 1), y, rtol=1e-12)
    states = layer.get_initial_state(3)
    kept = layer.states
    for t in range(6):
        out, states = layer.step(x[:, t], states)
        np.testing.assert_allclose(out, y[:, t], rtol=1e-12)
    assert all(
        a is b for a, b in zip(layer.states, kept, strict=True)
    )  # given states leave the kept ones alone


def test_a_new_layer_can_stream_at_once():
    layer = layers.GRU(3)
    assert layer.step(np.ones((2, 4))).shape == (2, 3)
    with pytest.raises(ValueError, match="batch of 5"):
        layer.step(np.ones((5, 4)))


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_bidirectional_equals_two_layers(kind, merge, sequences):
    cls, options = KINDS[kind]
    x = np.random.default_rng(1).standard_normal((3, 6, 4))
    both = layers.Bidirectional(
        cls(5, return_sequences=sequences, return_state=True, **options), merge_mode=merge
    )
    y = both(x, mask=MASK)
    half = len(both.weights) // 2
    forward = [torch.tensor(w) for w in both.get_weights()[:half]]
    backward = [torch.tensor(w) for w in both.get_weights()[half:]]
    zeros = [torch.zeros(3, 5, dtype=torch.float64)] * (2 if kind == "lstm" else 1)
    f, f_last = torch_run(kind, torch.tensor(x), forward, zeros, MASK)
    b, b_last = torch_run(kind, torch.tensor(x), backward, zeros, MASK, go_backwards=True)
    if sequences:
        valid = torch.tensor(MASK)[..., None]
        f, b = torch.where(valid, f, 0.0), torch.where(valid, b.flip(1), 0.0)
    else:
        f, b = f[:, -1], b[:, -1]
    expected = {
        "concat": lambda: torch.cat([f, b], -1),
        "sum": lambda: f + b,
        "mul": lambda: f * b,
        "ave": lambda: (f + b) / 2,
        None: lambda: (f, b),
    }[merge]()
    got = y[:2] if merge is None else y[:1]
    for ours, theirs in zip(got, expected if merge is None else [expected], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=RTOL, atol=1e-14)
    for ours, theirs in zip(y[len(got) :], [*f_last, *b_last], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=RTOL, atol=1e-14)


def test_bidirectional_passes_states_and_gradients_to_both_sides():
    x = np.random.default_rng(1).standard_normal((2, 3, 4))
    both = layers.Bidirectional(layers.LSTM(3), merge_mode="sum")
    both(x)
    states = [np.full((2, 3), 0.1 * i) for i in range(4)]
    y = both(x, initial_state=states)
    single = both.forward_layer(x, initial_state=states[:2]) + both.backward_layer(
        x, initial_state=states[2:]
    )
    np.testing.assert_array_equal(y, single)
    assert all(g is not None for g in tg.grad(y.sum(), both.weights))


class Minimal(tg.Layer):
    """A user's cell: the minimal gated unit."""

    def __init__(self, units: int, **options) -> None:
        super().__init__(**options)
        self.units = self.state_size = units

    def build(self, input_shape) -> None:
        n = input_shape[-1] + self.units
        self.gate = self.add_weight((n, self.units), name="gate")
        self.new = self.add_weight((n, self.units), name="new")

    def call(self, inputs, states):
        (h,) = states
        f = tg.ops.sigmoid(tg.ops.concatenate([inputs, h], axis=-1) @ self.gate)
        n = tg.ops.tanh(tg.ops.concatenate([inputs, f * h], axis=-1) @ self.new)
        h = (1.0 - f) * h + f * n
        return h, [h]


def test_a_users_cell_alone_and_stacked():
    x = np.random.default_rng(1).standard_normal((2, 5, 4))
    layer = layers.RNN(Minimal(3), return_sequences=True, return_state=True)
    y, state = layer(x)
    assert y.shape == (2, 5, 3)
    np.testing.assert_array_equal(y[:, -1], state)
    report = tg.check_gradients(lambda: (layer(x)[0] * layer(x)[0]).sum(), layer)
    assert report, str(report)
    stacked = layers.RNN(
        [Minimal(3), layers.LSTMCell(2), layers.GRUCell(4)], return_sequences=True, return_state=True
    )
    y, (m,), (h, c), (g,) = stacked(x)
    assert [v.shape for v in (y, m, h, c, g)] == [(2, 5, 4), (2, 3), (2, 2), (2, 2), (2, 4)]
    assert len(stacked.weights) == 2 + 3 + 3
    assert all(v is not None for v in tg.grad(y.sum(), stacked.weights))


def test_stacked_cells_equal_stacked_layers():
    x = np.random.default_rng(1).standard_normal((2, 5, 4))
    together = layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_sequences=True)
    first, second = layers.LSTM(3, return_sequences=True), layers.GRU(2, return_sequences=True)
    expected = second(first(x))
    together(x)
    together.set_weights([*first.get_weights(), *second.get_weights()])
    np.testing.assert_allclose(together(x), second(first(x)), rtol=1e-13)
    assert expected.shape == (2, 5, 2)


def test_stateful_goes_on_where_the_last_batch_ended():
    x = np.random.default_rng(1).standard_normal((2, 6, 4))
    whole = layers.LSTM(3, return_sequences=True)
    y = whole(x)
    parts = layers.LSTM(3, return_sequences=True, stateful=True)
    parts(x[:, :1])
    parts.set_weights(whole.get_weights())
    parts.reset_state()
    np.testing.assert_allclose(np.concatenate([parts(x[:, :2]), parts(x[:, 2:])], axis=1), y, rtol=1e-13)
    assert all(not s.requires_grad for s in parts.states)  # truncated: no gradient through the batches before
    with pytest.raises(ValueError, match="stateful.*batch size 2.*batch of 5"):
        parts(np.zeros((5, 2, 4)))
    stacked = layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], stateful=True)
    stacked(x)
    before = stacked(x).numpy()
    stacked.reset_state()
    assert not np.array_equal(before, stacked(x))


def test_dropout_masks_are_drawn_once_per_sequence():
    tg.utils.set_random_seed(1)
    x = np.ones((2, 8, 4))
    layer = layers.SimpleRNN(
        3, activation=None, dropout=0.5, recurrent_initializer="zeros", return_sequences=True
    )
    y = layer(x, training=True).numpy()
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1], y.shape))  # the same inputs at every step
    assert not np.array_equal(y, layer(x, training=True))  # other masks for another call
    np.testing.assert_array_equal(layer(x), layer(x, training=False))
    for cls, options in KINDS.values():
        for settings in ({"dropout": 0.3}, {"recurrent_dropout": 0.3}, {"dropout": 0.3, "implementation": 1}):
            a = cls(3, seed=4, return_sequences=True, kernel_initializer="ones", **settings, **options)
            first = a(x, training=True)
            assert all(g is not None for g in tg.grad(first.sum(), a.weights[:2]))
            b = cls(3, seed=4, return_sequences=True, kernel_initializer="ones", **settings, **options)
            b(x)
            b.set_weights(a.get_weights())
            np.testing.assert_array_equal(b(x, training=True), first)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.LSTM(0), "units must be a positive integer, received 0"),
        (lambda: layers.LSTM(3, unit=1), "unknown argument 'unit'"),
        (lambda: layers.LSTM(3, return_sequence=True), "did you mean 'return_sequences'"),
        (lambda: layers.LSTM(3, activation="tanhh"), "tanh"),
        (lambda: layers.LSTM(3, dropout=1.5), "dropout must be in"),
        (
            lambda: layers.LSTM(3, name="m")(np.ones((2, 4))),
            r"m: expected inputs \(batch, time, features\).*\(2, 4\)",
        ),
        (lambda: layers.LSTM(3, name="m")(np.ones((2, 0, 4))), r"m.*no time steps.*\(2, 0, 4\)"),
        (
            lambda: layers.LSTM(3, name="m")(np.ones((2, 5, 4)), initial_state=np.ones((2, 3))),
            r"LSTM needs 2 states \[h, c\], shapes \[\(2, 3\), \(2, 3\)\].*received 1, shapes",
        ),
        (
            lambda: layers.GRU(3, name="m")(np.ones((2, 5, 4)), initial_state=np.ones((1, 3))),
            r"\(2, 3\).*received.*\(1, 3\)",
        ),
        (
            lambda: layers.GRU(3, name="m")(np.ones((2, 5, 4)), mask=np.ones((2, 4))),
            r"mask of shape \(2, 5\)",
        ),
        (lambda: layers.RNN(layers.Dense(3)), "expected a cell"),
        (lambda: layers.RNN([layers.LSTM(3)]), "expected a cell.*LSTM runs its own.*such as LSTMCell"),
        (
            lambda: layers.RNN(type("C", (layers.Layer,), {"state_size": {"h": 3}})()),
            "must be an int or a list",
        ),
        (lambda: layers.Bidirectional(layers.Dense(3)), "expected a recurrent layer"),
        (lambda: layers.Bidirectional(layers.LSTM(3), merge_mode="add"), "merge_mode"),
        (lambda: layers.Bidirectional(layers.LSTM(3)).step(np.ones((1, 2))), "cannot stream"),
        (lambda: layers.StackedRNNCells([]), "at least one cell"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_wrong_number_of_features_is_refused_after_building():
    layer = layers.LSTM(3)
    layer(np.ones((1, 2, 4)))
    with pytest.raises(ValueError, match="4 features"):
        layer(np.ones((1, 2, 5)))


def test_hundred_thousand_steps():
    tg.set_floatx("float32")
    layer = layers.SimpleRNN(2)
    x = np.ones((1, 100_000, 1), np.float32)
    y = layer(x)
    y.sum().backward()
    assert np.isfinite(layer.kernel.grad).all()
    del y
