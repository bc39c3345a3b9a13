"""Twins in the notation of the seed texts: columns are examples, the weights have the seeds' shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bptt import scan
from ..core.op import Array
from ..core.tensor import Tensor, Variable
from ..manual import bidirectional as hand_bidirectional
from ..manual import deep as hand_deep
from ..manual import gru as hand_gru
from ..manual import linear_rnn as hand_linear
from ..manual import lstm as hand_lstm
from ..manual import simple_rnn as hand_simple
from ..manual import vanilla_rnn as hand_vanilla
from ..ops import concatenate, flip, log, sigmoid, softmax, split, square, swapaxes, tanh
from .twin import N_A, N_X, N_Y, Gradients, M, T, Twin, Values, bare, leaves, part, weighted


def vanilla_rnn(seed: int = 0) -> Twin:
    """The character model of seed 000, its loss summed over time and examples.

        a_t = tanh(Waa a_{t−1} + Wax x_t + ba),  ŷ_t = softmax(Wya a_t + by),  L = −Σ y_t ln ŷ_t

    Variables: Wax, Waa, ba, Wya, by, x (n_x, m, T), a0 (n_a, m).

    >>> vanilla_rnn().variables["Wya"].shape
    (2, 4)
    """
    rng = np.random.default_rng(seed)
    v = leaves(rng, **_recurrence(N_X), **_readout(N_A), x=(N_X, M, T), a0=(N_A, M))
    Y = _labels(rng)

    def derivation(p: Values) -> tuple[float, Gradients]:
        _, Y_hat, caches = hand_vanilla.forward(p["x"], p["a0"], p)
        return hand_vanilla.compute_loss(Y_hat, Y), bare(hand_vanilla.backward(p["x"], Y, p, caches))

    return Twin("vanilla_rnn", v, lambda: _cross_entropy(_tanh_rnn(v["x"], v), v, Y), derivation, (Y,))


def bidirectional(seed: int = 0) -> Twin:
    """The bidirectional RNN of seed 002: `ŷ = softmax(Wya [a→, a←] + by)`.

    Variables: forward/… and backward/… Wax, Waa, ba, a0; Wya (n_y, 2 n_a), by, x (n_x, m, T).

    >>> bidirectional().variables["Wya"].shape
    (2, 8)
    """
    rng = np.random.default_rng(seed)
    own = _recurrence(N_X, a0=(N_A, M))
    shapes = {f"{side}/{name}": shape for side in ("forward", "backward") for name, shape in own.items()}
    v = leaves(rng, **shapes, **_readout(2 * N_A), x=(N_X, M, T))
    Y = _labels(rng)

    def loss() -> Tensor:
        A_forward = _tanh_rnn(v["x"], part(v, "forward"))
        A_backward = _tanh_rnn(v["x"], part(v, "backward"), go_backwards=True)
        return _cross_entropy(concatenate([A_forward, A_backward], axis=0), v, Y)

    def derivation(p: Values) -> tuple[float, Gradients]:
        fwd, bwd = part(p, "forward"), part(p, "backward")
        params = {**p, "forward": fwd, "backward": bwd}
        Y_hat, cache = hand_bidirectional.forward(p["x"], params, fwd["a0"], bwd["a0"])
        return hand_vanilla.compute_loss(Y_hat, Y), bare(hand_bidirectional.loss_backward(Y, cache))

    return Twin("bidirectional", v, loss, derivation, (Y,))


def deep(seed: int = 0) -> Twin:
    """The deep RNN of seed 002: three tanh layers, one on top of the other, and a softmax read-out.

    Variables: layer1/…, layer2/…, layer3/… Wax, Waa, ba, a0; Wya, by, x (n_x, m, T).

    >>> len(deep().variables)
    15
    """
    rng = np.random.default_rng(seed)
    names = ("layer1", "layer2", "layer3")
    recurrences = zip(names, (_recurrence(n, a0=(N_A, M)) for n in (N_X, N_A, N_A)), strict=True)
    shapes = {f"{layer}/{name}": shape for layer, own in recurrences for name, shape in own.items()}
    v = leaves(rng, **shapes, **_readout(N_A), x=(N_X, M, T))
    Y = _labels(rng)

    def loss() -> Tensor:
        A: Any = v["x"]
        for name in names:
            A = swapaxes(_tanh_rnn(A, part(v, name)), 1, 2)  # (n_a, m, T)
        return _cross_entropy(swapaxes(A, 1, 2), v, Y)

    def derivation(p: Values) -> tuple[float, Gradients]:
        own = [part(p, name) for name in names]
        Y_hat, cache = hand_deep.forward(p["x"], {**p, "layers": own}, [layer["a0"] for layer in own])
        gradients = hand_deep.loss_backward(Y, cache)
        gradients |= dict(zip(names, gradients.pop("layers"), strict=True))
        return hand_vanilla.compute_loss(Y_hat, Y), bare(gradients)

    return Twin("deep", v, loss, derivation, (Y,))


def linear_rnn(seed: int = 0) -> Twin:
    """The linear RNN of seed 003 on its data: `S_k = X_k wx + S_{k−1} wRec`, `cost = Σ (t − S_n)² / m`.

    Variables: wx and wRec (scalars), X (m, n). Rows are examples, as in the seed.

    >>> linear_rnn().variables["X"].shape
    (20, 10)
    """
    rng = np.random.default_rng(seed)
    X, t = hand_linear.make_data()
    v = {"X": Variable(X, name="X"), **leaves(rng, wx=(), wRec=())}

    def loss() -> Tensor:
        def step(x_k: Any, states: list[Any], constants: Any) -> tuple[Any, list[Any]]:
            s = x_k * v["wx"] + states[0] * v["wRec"]
            return s, [s]

        _, (y,) = scan(step, v["X"], [np.zeros(len(X))])
        cost: Tensor = square(t - y).sum() / len(X)
        return cost

    def derivation(p: Values) -> tuple[float, Gradients]:
        y, cache = hand_linear.forward(p["X"], p)
        gradients = hand_linear.backward(hand_linear.output_gradient(y, t), cache)
        return float(hand_linear.cost(y, t)), bare(gradients)

    return Twin("linear_rnn", v, loss, derivation, (t,))


def rnn_cell(seed: int = 0) -> Twin:
    """One step of seed 004's SimpleRNN, `h = tanh(Wx x + Wh h_prev + b)`; the loss weighs h at random.

    >>> rnn_cell().variables["Wh"].shape
    (4, 4)
    """
    rng = np.random.default_rng(seed)
    v = leaves(rng, x=(N_X, M), h_prev=(N_A, M), Wx=(N_A, N_X), Wh=(N_A, N_A), b=(N_A, 1))

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        h, cache = hand_simple.rnn_cell(**p)
        return [h], hand_simple.rnn_cell_backward(d[0], cache)

    def outputs() -> list[Any]:
        return [tanh(v["Wx"] @ v["x"] + v["Wh"] @ v["h_prev"] + v["b"])]

    return weighted("rnn_cell", v, outputs, by_hand, rng)


def lstm_cell(seed: int = 0) -> Twin:
    """One step of seed 004's LSTMCell, stacked weights `W [h; x] + b`, gates f, i, o, c̃.

    >>> lstm_cell().variables["W"].shape
    (16, 7)
    """
    rng = np.random.default_rng(seed)
    states = {"h_prev": (N_A, M), "c_prev": (N_A, M)}
    v = leaves(rng, x=(N_X, M), **states, W=(4 * N_A, N_A + N_X), b=(4 * N_A, 1))

    def outputs() -> list[Any]:
        f, i, o, c = split(v["W"] @ concatenate([v["h_prev"], v["x"]], axis=0) + v["b"], 4, axis=0)
        c_next = sigmoid(f) * v["c_prev"] + sigmoid(i) * tanh(c)
        return [sigmoid(o) * tanh(c_next), c_next]

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        h, c, cache = hand_lstm.lstm_cell(**p)
        return [h, c], hand_lstm.lstm_cell_backward(d[0], d[1], cache)

    return weighted("lstm_cell", v, outputs, by_hand, rng)


def gru_cell(seed: int = 0) -> Twin:
    """One step of seed 004's GRUCell, stacked weights, gates z, r, h̃; here z takes the new state.

    >>> gru_cell().variables["W"].shape
    (12, 7)
    """
    rng = np.random.default_rng(seed)
    v = leaves(rng, x=(N_X, M), h_prev=(N_A, M), W=(3 * N_A, N_A + N_X), b=(3 * N_A, 1))

    def outputs() -> list[Any]:
        W_gates, W_new = split(v["W"], [2 * N_A], axis=0)
        b_gates, b_new = split(v["b"], [2 * N_A], axis=0)
        h = v["h_prev"]
        z, r = split(sigmoid(W_gates @ concatenate([h, v["x"]], axis=0) + b_gates), 2, axis=0)
        candidate = tanh(W_new @ concatenate([r * h, v["x"]], axis=0) + b_new)
        return [(1.0 - z) * h + z * candidate]

    def by_hand(p: Values, d: list[Array]) -> tuple[list[Array], Gradients]:
        h, cache = hand_gru.gru_cell(**p)
        return [h], hand_gru.gru_cell_backward(d[0], cache)

    return weighted("gru_cell", v, outputs, by_hand, rng)


def _recurrence(n_in: int, **more: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of one tanh recurrence."""
    return {"Wax": (N_A, n_in), "Waa": (N_A, N_A), "ba": (N_A, 1), **more}


def _readout(n_in: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the softmax read-out."""
    return {"Wya": (N_Y, n_in), "by": (N_Y, 1)}


def _labels(rng: np.random.Generator) -> Array:
    """Random one-hot labels (n_y, m, T)."""
    return np.eye(N_Y)[:, rng.integers(N_Y, size=(M, T))]


def _tanh_rnn(x: Any, weights: Values, go_backwards: bool = False) -> Any:
    """All hidden states (n_a, T, m) for x (n_x, m, T): the first axis stands for `scan`'s batch."""

    def step(x_t: Any, states: list[Any], constants: Any) -> tuple[Any, list[Any]]:
        (a_prev,) = states
        z = weights["Waa"] @ a_prev + weights["Wax"] @ x_t + weights["ba"]
        a = tanh(z)
        return a, [a]

    A, _ = scan(step, swapaxes(x, 1, 2), [weights["a0"]], go_backwards=go_backwards)
    return flip(A, 1) if go_backwards else A


def _cross_entropy(A: Any, readout: Values, Y: Array) -> Tensor:
    """`−Σ Y ln softmax(Wya A + by)` for A (n_a, T, m) and Y (n_y, m, T)."""
    zy = readout["Wya"] @ swapaxes(A, 0, 1) + readout["by"]  # (T, n_y, m)
    y_hat = softmax(zy, axis=1)
    loss: Tensor = -(np.moveaxis(Y, 2, 0) * log(y_hat)).sum()
    return loss
