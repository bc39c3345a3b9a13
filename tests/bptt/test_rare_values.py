"""What only some values show: `0 · ∞` that recorded steps keep out, saturated gates, conditions that seldom hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bptt.test_recording import recorded

import tinygrad_rnn as tg
from tinygrad_rnn import ops
from tinygrad_rnn.bptt.passes import gates

STEPS, N, H = 5, 3, 4
RNG = np.random.default_rng(0)
W, U = RNG.standard_normal((H, H)), RNG.standard_normal((H, H)) * 0.5
X = RNG.standard_normal((N, STEPS, H))
LARGE = X.copy()
LARGE[0, 2, 0] = 1e200  # has no square


def squared(u: Any) -> Any:
    """The step of a recurrence with an output that overflows where an input is large."""

    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x + s[0] @ u)
        return h * (x * x), [h]

    return step


def both(function: Callable[[Any, bool], Any]) -> tuple[Any, Any]:
    """Gradients of `function(weights, derive)` for w, u and k, derived and unrolled."""
    found = []
    for derive in (True, False):
        weights = [tg.tensor(a, requires_grad=True) for a in (W, U, np.full(H, 0.5))]
        loss = function(weights, derive)
        found.append([None if g is None else np.asarray(g) for g in tg.grad(loss, weights)])
    return found[0], found[1]


def equal(derived: Any, unrolled: Any) -> None:
    for a, b in zip(derived, unrolled, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert np.isfinite(b).all()
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "act",
    [
        ops.relu,
        lambda z: ops.clip(z, 0.0, 9.0),
        lambda z: ops.maximum(z, 0.0),
        lambda z: ops.where(z > 0, z, 0.0),
    ],
    ids=["relu", "clip", "maximum", "where"],
)
def test_a_root_of_what_was_cut_off(act: Any) -> None:
    """The slope of the root is infinite where the activation is 0, and has no slope."""

    def loss(weights: Any, derive: bool) -> Any:
        w, u, _ = weights
        y, _ = tg.scan(
            lambda x, s, c: (h := act(x @ w + s[0] @ u), [h]), X, [np.zeros((N, H))], derive=derive
        )
        return ops.sqrt(y).sum()

    with np.errstate(all="ignore"):
        equal(*both(loss))


def test_a_choice_in_the_loss_reaches_into_the_recurrence() -> None:
    def loss(weights: Any, derive: bool) -> Any:
        _, u, _ = weights

        y, _ = tg.scan(squared(u), LARGE, [np.zeros((N, H))], derive=derive)
        return ops.where(ops.isfinite(y), y, 0.0).sum()

    with np.errstate(all="ignore"):
        equal(*both(loss))


def test_a_mask_reaches_below_the_recurrence() -> None:
    padded, mask = X.copy(), np.ones((N, STEPS), bool)
    padded[:, 3:], mask[:, 3:] = np.inf, False

    def loss(weights: Any, derive: bool) -> Any:
        w, _, k = weights
        scaled = tg.tensor(padded) * k
        step = lambda x, s, c: (h := ops.tanh(x + s[0] @ w), [h])  # noqa: E731
        _, last = tg.scan(step, scaled, [np.zeros((N, H))], derive=derive, mask=mask)
        return last[0].sum()

    with np.errstate(all="ignore"):
        equal(*both(loss))


def test_a_recorded_batch_passes_it_on() -> None:
    u = tg.Variable(U)
    step = squared(u)

    def loss(x: Any) -> Any:
        y, _ = tg.scan(step, x, [np.zeros((N, H))], derive=True)
        return (ops.sum(ops.where(ops.isfinite(y), y, 0.0)),)

    for _ in range(3):  # until it is known what the step depends on
        loss(tg.tensor(X))
    recording = recorded(loss, [X], [u])
    with np.errstate(all="ignore"):
        for x in (LARGE, X, LARGE):
            want = tg.grad(loss(tg.tensor(x))[0], u).numpy()
            _, found = recording([x])
            assert np.isfinite(want).all()
            np.testing.assert_array_equal(found[u._node], want)


def test_a_state_that_no_step_reads() -> None:
    """Only its last value counts: what it was before may be infinite."""
    q = RNG.standard_normal((N, STEPS, H))
    q[0, 1, 0] = np.inf

    def loss(weights: Any, derive: bool) -> Any:
        _, u, k = weights

        def step(xs: Any, s: Any, c: Any) -> Any:
            x, q = xs
            h = ops.tanh(x + s[0] @ u)
            return h, [h, q * k * h]

        y, last = tg.scan(step, (X, q), [np.zeros((N, H))] * 2, derive=derive)
        return y.sum() + last[1].sum()

    with np.errstate(all="ignore"):
        equal(*both(loss))


@pytest.mark.parametrize("backwards", [False, True])
def test_earlier_outputs_that_nobody_asked_for(backwards: bool) -> None:
    def loss(weights: Any, derive: bool) -> Any:
        _, u, _ = weights

        options: dict[str, Any] = {"return_sequences": False, "go_backwards": backwards, "derive": derive}
        return tg.scan(squared(u), LARGE, [np.zeros((N, H))], **options)[0].sum()

    with np.errstate(all="ignore"):
        equal(*both(loss))


def test_a_loss_that_happens_to_be_zero_is_read() -> None:
    """A cotangent of 0, broadcast: gradients are zeros, as unrolled, and not missing."""
    for derive in (True, False):
        w, u, _ = weights = [tg.tensor(a, requires_grad=True) for a in (W, U, np.ones(H))]
        step = lambda x, s, c: (h := ops.tanh(x @ w + s[0] @ u), [h])  # noqa: E731, B023
        y, _ = tg.scan(step, X, [np.zeros((N, H))], derive=derive)
        for g in tg.grad(y.sum() * 0.0, weights[:2]):
            assert g is not None and not np.any(np.asarray(g))


def test_momentum_goes_on_where_a_loss_is_zero() -> None:
    """The hinge of an example that is far enough on its side has no slope: momentum moves the weights on."""
    x = RNG.standard_normal((12, STEPS, 2)).astype("float32")
    y = np.sign(x.sum(axis=(1, 2)))[:, None]
    found = []
    for eager in (True, False):
        tg.utils.set_random_seed(0)
        layers = [tg.layers.LSTM(1, return_sequences=True), tg.layers.GlobalAveragePooling1D()]
        model = tg.Sequential([tg.Input((STEPS, 2)), *layers])
        model.compile("adam", loss=lambda t, p: ops.mean(ops.relu(0.01 - t * p)), run_eagerly=eager)
        model.fit(x, y, batch_size=1, epochs=4, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_mean_of_probabilities_keeps_small_ones() -> None:
    """A saturated gate: `p + z (n − p)` would have none of the digits of `z n + (1 − z) p`."""
    v = RNG.standard_normal((H, H))

    def value(scale: float, derive: bool) -> Any:
        def step(x: Any, s: Any, c: Any) -> Any:
            z, n = ops.sigmoid(x @ v + s[0] @ U), ops.softmax(x @ W)
            p = z * n + (1 - z) * s[0]
            return ops.log(p), [p]

        return tg.scan(step, X * scale, [np.full((N, H), 0.25)], derive=derive)[0].numpy()

    for scale in (0.3, 30.0):
        np.testing.assert_allclose(value(scale, True), value(scale, False), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "read",
    [lambda f: ops.log(f), lambda f: 1.0 / (f + 1e-30), lambda f: ops.where(f > 0.0, 1.0, 0.0)],
    ids=["log", "divide", "test"],
)
@pytest.mark.parametrize("several", [False, True], ids=["one", "gates"])
def test_a_sigmoid_near_zero_has_all_its_digits(
    read: Any, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where tanh is the faster function, it may not stand for a sigmoid that is read like that."""
    monkeypatch.setattr(gates, "_has_fast_tanh", lambda: True)
    w = np.tile(W, (1, 3 if several else 1)).astype("float32")

    def values(derive: bool, x: Any) -> Any:
        def step(x: Any, s: Any, c: Any) -> Any:
            f, *others = ops.split(x @ w + s[0] @ w, 3 if several else 1, axis=1)
            f = ops.sigmoid(f)
            for o in others:
                f = f * ops.sigmoid(o)
            return read(f), [ops.tanh(s[0] + f)]

        return tg.scan(step, x, [np.zeros((N, H), "float32")], derive=derive)[0].numpy()

    x = X.astype("float32")
    for scale in (0.3, 30.0):
        np.testing.assert_allclose(values(True, scale * x), values(False, scale * x), rtol=2e-4)


def test_flags_that_are_seldom_both_set() -> None:
    """`True + True` is `True` in NumPy: another order of an addition shows when both are."""

    def value(x: Any, derive: bool) -> Any:
        def step(x: Any, s: Any, c: Any) -> Any:
            k = ((s[0] > 0) + (x > 0)) + 0.5
            h = ops.tanh(x @ W + k * (s[0] @ U))
            return h, [h]

        return tg.scan(step, x, [np.zeros((N, H))], derive=derive)[0].numpy()

    for x in (-np.abs(X), X):
        np.testing.assert_allclose(value(x, True), value(x, False), rtol=1e-12)


def test_rows_behind_a_condition_that_the_trial_did_not_meet() -> None:
    """A slice of rows of one gate: not columns of the joined gradients of all."""
    x = 0.3 * X.copy()
    x[:, 1] += 5.0
    shapes = (H, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)
    values = [0.6 * RNG.standard_normal(shape) for shape in shapes]

    def gradients(derive: bool) -> Any:
        v, u, b, c2 = weights = [tg.tensor(value, requires_grad=True) for value in values]

        def step(x: Any, s: Any, c: Any) -> Any:
            n, r, z = ops.split(x @ v + b, 3, axis=1)
            hn, hr, hz = ops.split(s[0] @ u + c2, 3, axis=1)
            before = ops.where(x[:, :1] > 3, ops.pad(n, ((1, 0), (0, 0)))[:-1], 0.0)
            z = ops.sigmoid(z + hz)
            h = z * s[0] + (1 - z) * ops.tanh(before + ops.sigmoid(r + hr) * hn)
            return h, [h]

        y, _ = tg.scan(step, x, [np.zeros((N, H))], derive=derive)
        return [np.asarray(g) for g in tg.grad((y * y).sum(), weights)]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_border_of_infinities() -> None:
    def step(x: Any, s: Any, c: Any) -> Any:
        h = ops.tanh(x + s[0])
        return ops.max(ops.pad(h, ((0, 0), (1, 0)), constant_values=-np.inf), axis=-1, keepdims=True), [h]

    text = str(tg.bptt_source(step, np.ones((N, H)), [np.ones((N, H))]))
    assert "[...] = -np.inf" in text


def test_whole_numbers_beyond_those_of_floats() -> None:
    def counts(derive: bool) -> Any:
        step = lambda x, s, c: (ops.cast(s[0], x.dtype), [(s[0] * 7 + 1) % (2**61 - 1)])  # noqa: E731
        _, last = tg.scan(
            step, np.ones((1, 40, 1)), [np.arange(3, dtype=np.int64)[None] + 2**50], derive=derive
        )
        return last[0].numpy()

    assert counts(True).tolist() == counts(False).tolist()


@pytest.mark.parametrize(
    "op", [lambda i: ops.one_hot(i, 3, dtype="float64"), lambda i: ops.take(np.eye(3), i, axis=0)]
)
@pytest.mark.parametrize("wrong", [3, -4])
def test_ids_out_of_range_are_found(op: Any, wrong: int) -> None:
    ids = np.zeros((N, STEPS), np.int64)
    step = lambda i, s, c: (h := ops.tanh(op(i) + s[0]), [h])  # noqa: E731
    tg.scan(step, ids, [np.zeros((N, 3))], derive=True)
    ids[1, 2] = wrong
    with pytest.raises(ValueError, match=f"value {wrong} at position"):
        tg.scan(step, ids, [np.zeros((N, 3))], derive=True)


def test_a_plan_that_fails_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def build(*_: Any) -> Any:
        made.append(1)
        raise IndexError("tuple index out of range")

    monkeypatch.setattr("tinygrad_rnn.bptt.derived._plans", OrderedDict())
    monkeypatch.setattr("tinygrad_rnn.bptt.derived.build", build)
    step = lambda x, s, c: (h := ops.tanh(x * 0.123 + s[0]), [h])  # noqa: E731
    with pytest.warns(UserWarning, match="deriving it failed"):
        for _ in range(3):
            tg.scan(step, X, [np.zeros((N, H))], derive=True)
    assert len(made) == 1


def test_a_kept_prediction_of_turned_outputs_stays() -> None:
    """A view with its axes in another order is copied, also in recorded batches."""

    class Turned(tg.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.state_size, self.output_size = [12], (4, 3)

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight((4, 12), name="w")
            self.u = self.add_weight((12, 12), name="u")

        def call(self, inputs: Any, states: Any) -> Any:
            h = ops.tanh(inputs @ self.w + states[0] @ self.u)
            return ops.transpose(ops.reshape(h, (-1, 3, 4)), (0, 2, 1)), [h]

    kept: list[Any] = []

    class Keep(tg.metrics.Metric):
        def update_state(self, y: Any, p: Any, sample_weight: Any = None) -> None:
            kept.append((np.asarray(p), np.array(p)))

        def result(self) -> float:
            return 0.0

        def reset_state(self) -> None:
            pass

    inputs = tg.Input((STEPS, 4))
    y = tg.layers.RNN(Turned(), return_sequences=True)(inputs)
    model = tg.Model(inputs, tg.layers.Reshape((STEPS, 12))(tg.layers.Permute((1, 3, 2))(y)))
    model.compile("sgd", "mse", metrics=[Keep(name="keep")])
    x = RNG.standard_normal((30, STEPS, 4)).astype("float32")
    model.fit(x, np.ones((30, STEPS, 12)), batch_size=N, shuffle=False, verbose=0)
    assert all(r is not None for r in model._recordings.made.values()) and model._recordings.made
    assert len(kept) == 10
    for held, copy in kept:
        np.testing.assert_array_equal(held, copy)
