"""The vanilla RNN character model of seed 000, function by function under the seed's own names.

Forward, for t = 1 .. T_x (n_x inputs, n_a hidden units, n_y outputs, m examples)::

    (1)  z_t  = Waa a_{t-1} + Wax x_t + ba          (n_a, m)
    (2)  a_t  = tanh(z_t)                           (n_a, m)
    (3)  zy_t = Wya a_t + by                        (n_y, m)
    (4)  y^_t = softmax(zy_t)                       (n_y, m)
    (5)  L    = - sum over t, examples, classes of y_t log y^_t

Backward through one cell, y_t one-hot::

    (6)  dzy_t = y^_t - y_t                         (n_y, m)
    (7)  dWya  = dzy_t a_t^T                        (n_y, n_a)
    (8)  dby   = sum over examples of dzy_t         (n_y, 1)
    (9)  da_t  = Wya^T dzy_t + (da_t from step t+1) (n_a, m)

and from da_t on the bare tanh cell: `simple_rnn`, equations (3)-(8) there. Through time::

    (10) dW = sum over t of dW at step t; da_0 is what is left after step 1
    (11) g <- min(max(g, -c), c), elementwise: clipping
    (12) W <- W - learning_rate dW

Parameters: Wax (n_a, n_x), Waa (n_a, n_a), Wya (n_y, n_a), ba (n_a, 1), by (n_y, 1).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import simple_rnn
from ._common import (
    Array,
    Gradients,
    Params,
    Rng,
    accumulate,
    expect,
    lookup,
    one_hot,
    read,
    resolve_rng,
    softmax,
    zero_gradients,
)
from .simple_rnn import rnn_cell as rnn_cell
from .simple_rnn import rnn_cell_backward as rnn_cell_backward


class CellCache(NamedTuple):
    """What one step keeps for its backward pass; unpacks like the seed's tuple."""

    a: Array  # (n_a, m)
    a_prev: Array  # (n_a, m)
    xt: Array  # (n_x, m)
    z: Array  # (n_a, m)
    y_hat: Array  # (n_y, m)
    zy: Array  # (n_y, m)


def cell_forward(xt: Array, a_prev: Array, parameters: Params) -> tuple[Array, Array, CellCache]:
    """Compute one step: hidden state and prediction, equations (1)-(4).

    Args: xt (n_x, m), a_prev (n_a, m), parameters.
    Returns: a (n_a, m), y_hat (n_y, m), the cache.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: seed 000, Forward Propagation.

    >>> parameters = initialize_parameters(3, 4, 4)
    >>> a, y_hat, _ = cell_forward(np.eye(4)[:, :1], np.zeros((3, 1)), parameters)
    >>> a.shape, y_hat.shape, round(y_hat.sum().item(), 12)
    ((3, 1), (4, 1), 1.0)
    """
    a, tanh_cache = simple_rnn.cell_forward(xt, a_prev, parameters)  # (1) (2)  (n_a, m)
    Wya, by = read(parameters, "Wya", "by")
    n_y, _ = expect("Wya", Wya, n_y=None, n_a=a.shape[0]).shape
    zy = Wya @ a + expect("by", by, n_y=n_y, one=1)  # (3)  (n_y, m)
    y_hat = softmax(zy)  # (4)  (n_y, m)
    return a, y_hat, CellCache(a, tanh_cache.a_prev, tanh_cache.xt, tanh_cache.z, y_hat, zy)


def cell_backward(y: Array, da_next: Array, cache: CellCache, parameters: Params) -> Gradients:
    """Return every derivative of one step, equations (6)-(9) and those of the tanh cell.

    Args: y (n_y, m), one-hot labels; da_next (n_a, m), the gradient of a_t that arrives from step
        t + 1 (zeros at the last step); cache from `cell_forward`; parameters.
    Returns: dWya, dby, dWax, dWaa, dba like the parameters, dx (n_x, m), da_prev (n_a, m) and
        dz (n_a, m).
    Raises: ValueError for shapes that do not fit.
    Source: seed 000, Backward Propagation; seed 002 for the tanh cell.

    >>> parameters = initialize_parameters(3, 4, 4)
    >>> a, y_hat, cache = cell_forward(np.eye(4)[:, :1], np.zeros((3, 1)), parameters)
    >>> gradients = cell_backward(y_hat, np.zeros((3, 1)), cache, parameters)  # a perfect forecast
    >>> max(float(abs(g).max()) for g in gradients.values())
    0.0
    """
    a, a_prev, xt, z, y_hat, _ = cache
    Wax, Waa, Wya = read(parameters, "Wax", "Waa", "Wya")
    y = expect("y", y, n_y=y_hat.shape[0], m=y_hat.shape[1])
    da_next = expect("da_next", da_next, n_a=a.shape[0], m=a.shape[1])
    dzy = y_hat - y  # (6)  (n_y, m)
    da = Wya.T @ dzy + da_next  # (9)  (n_a, m)
    return {
        "dWya": dzy @ a.T,  # (7)  (n_y, n_a)
        "dby": dzy.sum(axis=1, keepdims=True),  # (8)  (n_y, 1)
        **simple_rnn.cell_backward(da, simple_rnn.CellCache(a, a_prev, xt, z, Wax, Waa)),
    }


def forward(X: Array, a0: Array, parameters: Params) -> tuple[Array, Array, list[CellCache]]:
    """Run the cell over a sequence, equations (1)-(4) for every t.

    Args: X (n_x, m, T_x), a0 (n_a, m), parameters.
    Returns: A (n_a, m, T_x), Y_hat (n_y, m, T_x), one cache per step.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: seed 000, Forward Propagation.

    >>> parameters = initialize_parameters(3, 4, 6)
    >>> A, Y_hat, caches = forward(np.ones((4, 2, 5)), np.zeros((3, 2)), parameters)
    >>> A.shape, Y_hat.shape, len(caches)
    ((3, 2, 5), (6, 2, 5), 5)
    """
    (Wax,) = read(parameters, "Wax")
    n_a, n_x = expect("Wax", Wax, n_a=None, n_x=None).shape
    X = expect("X", X, n_x=n_x, m=None, T_x=None)
    a = expect("a0", a0, n_a=n_a, m=X.shape[1])
    caches = []
    for t in range(X.shape[2]):
        a, _, cache = cell_forward(X[:, :, t], a, parameters)
        caches.append(cache)
    A = np.stack([cache.a for cache in caches], axis=2)  # (n_a, m, T_x)
    Y_hat = np.stack([cache.y_hat for cache in caches], axis=2)  # (n_y, m, T_x)
    return A, Y_hat, caches


def compute_loss(Y_hat: Array, Y: Array) -> float:
    """Return the cross-entropy, summed over time steps and examples, equation (5).

    A probability that underflowed to 0 counts as the smallest normal number, so the loss stays
    finite and classes with y = 0 contribute exactly nothing.

    Args: Y_hat (n_y, m, T_x), Y the same shape, one-hot. Returns: a number.
    Raises: ValueError if the shapes differ.
    Source: seed 000, Loss Function.

    >>> round(compute_loss(np.full((4, 1, 2), 0.25), np.eye(4)[:, None, :2]), 12)  # 2 log 4
    2.77258872224
    """
    Y_hat = expect("Y_hat", Y_hat, n_y=None, m=None, T_x=None)
    n_y, m, T_x = Y_hat.shape
    Y = expect("Y", Y, n_y=n_y, m=m, T_x=T_x)
    floor = np.finfo(np.result_type(Y_hat, np.float16)).tiny
    return float(-np.sum(Y * np.log(np.maximum(Y_hat, floor))))  # (5)


def backward(X: Array, Y: Array, parameters: Params, caches: list[CellCache]) -> Gradients:
    """Propagate the loss's gradient back through time, equations (6)-(10).

    Args: X (n_x, m, T_x), Y (n_y, m, T_x), parameters, caches from `forward`.
    Returns: dWaa, dWax, dWya, dba, dby like the parameters, da0 (n_a, m), dx (n_x, m, T_x).
    Raises: ValueError for shapes that do not fit.
    Source: seed 000, Backward Propagation.

    >>> X, Y = preprocess_inputs("hello", {"h": 0, "e": 1, "l": 2, "o": 3})
    >>> parameters = initialize_parameters(3, 4, 4)
    >>> _, _, caches = forward(X, np.zeros((3, 1)), parameters)
    >>> gradients = backward(X, Y, parameters, caches)
    >>> sorted(gradients), gradients["dx"].shape
    (['dWaa', 'dWax', 'dWya', 'da0', 'dba', 'dby', 'dx'], (4, 1, 4))
    """
    first = caches[0]
    (n_x, m), T_x = first.xt.shape, len(caches)
    expect("X", X, n_x=n_x, m=m, T_x=T_x)
    Y = expect("Y", Y, n_y=first.y_hat.shape[0], m=m, T_x=T_x)
    Waa, Wax, Wya, ba, by = read(parameters, "Waa", "Wax", "Wya", "ba", "by")
    total = zero_gradients(dWaa=Waa, dWax=Wax, dWya=Wya, dba=ba, dby=by)
    da = np.zeros_like(first.a)  # (n_a, m): nothing arrives from step T_x + 1
    dx = []
    for t in reversed(range(T_x)):
        step = cell_backward(Y[:, :, t], da, caches[t], parameters)  # (6)-(9)
        accumulate(total, step)  # (10)
        dx.append(step["dx"])
        da = step["da_prev"]  # (n_a, m)
    return {**total, "da0": da, "dx": np.stack(dx[::-1], axis=2)}


def clip(gradients: Params, max_value: float) -> Gradients:
    """Return a new dict whose gradients lie in [-max_value, max_value], equation (11).

    The arrays given are left alone (the seed clips in place). NaN stays NaN.

    Args: gradients of any shapes, max_value > 0. Returns: the same keys and shapes.
    Raises: ValueError unless max_value > 0.
    Source: seed 000, Exploding Gradients.

    >>> clip({"dby": np.array([[-7.0], [2.0]])}, 5)["dby"].tolist()
    [[-5.0], [2.0]]
    """
    if not max_value > 0:
        raise ValueError(f"max_value: expected a positive number, received {max_value!r}")
    return {key: np.clip(gradient, -max_value, max_value) for key, gradient in gradients.items()}


def initialize_parameters(
    n_a: int, n_x: int, n_y: int, rng: Rng = None, dtype: npt.DTypeLike = np.float64
) -> Gradients:
    """Draw Wax, Waa, Wya, in this order, from 0.01 times the standard normal; biases are 0.

    Args: sizes of hidden state, input, output; rng: an int seeds NumPy's legacy generator, None
        draws from the global `np.random` as the seed text does; dtype of the parameters.
    Returns: Wax (n_a, n_x), Waa (n_a, n_a), Wya (n_y, n_a), ba (n_a, 1), by (n_y, 1).
    Source: seed 000, Parameter Initialization and Update.

    >>> float(initialize_parameters(3, 4, 4, rng=1)["Wax"][0, 0])
    0.01624345363663242
    """
    draw = resolve_rng(rng).standard_normal
    Wax, Waa, Wya = (draw(size=shape) * 0.01 for shape in ((n_a, n_x), (n_a, n_a), (n_y, n_a)))
    values = {
        "Wax": Wax,
        "Waa": Waa,
        "Wya": Wya,
        "ba": np.zeros((n_a, 1)),
        "by": np.zeros((n_y, 1)),
    }
    return {key: np.asarray(value, dtype=dtype) for key, value in values.items()}


def update_parameters(parameters: Gradients, gradients: Params, learning_rate: float) -> Gradients:
    """Take one step of gradient descent, in place as in the seed, equation (12).

    Args: parameters (their arrays are modified), gradients under "d" + name, learning_rate.
    Returns: the same dict, for convenience.
    Raises: KeyError for a missing gradient; nothing is modified then.
    Source: seed 000, Parameter Initialization and Update.

    >>> update_parameters({"by": np.array([[1.0]])}, {"dby": np.array([[2.0]])}, 0.25)
    {'by': array([[0.5]])}
    """
    steps = read(gradients, *("d" + name for name in parameters))
    for array, gradient in zip(parameters.values(), steps, strict=True):
        array -= learning_rate * gradient  # (12)
    return parameters


def optimize(
    X: Array, Y: Array, a_prev: Array, parameters: Gradients, learning_rate: float,
    clip_value: float,
) -> tuple[Array, float]:  # fmt: skip
    """Do one iteration of training: forward, loss, backward, clip, update: equations (1)-(12).

    Args: X (n_x, m, T_x), Y (n_y, m, T_x), a_prev (n_a, m), parameters (modified in place),
        learning_rate, clip_value.
    Returns: the last hidden state (n_a, m) and the loss before the update.
    Raises: ValueError for shapes that do not fit; nothing is modified then.
    Source: seed 000, Putting All Together.

    >>> X, Y = preprocess_inputs("hello", {"e": 0, "h": 1, "l": 2, "o": 3})
    >>> parameters = initialize_parameters(64, 4, 4, rng=1)
    >>> a_last, loss = optimize(X, Y, np.zeros((64, 1)), parameters, 0.01, 5)
    >>> round(loss, 9)
    5.543806548
    """
    A, Y_hat, caches = forward(X, a_prev, parameters)
    loss = compute_loss(Y_hat, Y)
    gradients = clip(backward(X, Y, parameters, caches), clip_value)
    update_parameters(parameters, gradients, learning_rate)
    return A[:, :, -1], loss


def preprocess_inputs(
    text: str, char_to_idx: Mapping[str, int], dtype: npt.DTypeLike = np.float64
) -> tuple[Array, Array]:
    """Turn a text into one-hot inputs and labels: the label of a character is the next one.

    Args: text of at least 2 characters; char_to_idx maps n characters to 0 .. n - 1; dtype.
    Returns: X (n, 1, T_x) and Y (n, 1, T_x), T_x = len(text) - 1.
    Raises: ValueError for a shorter text and for a character that is not in the vocabulary.
    Source: seed 000, Putting All Together.

    >>> X, Y = preprocess_inputs("abb", {"a": 0, "b": 1})
    >>> X[:, 0].tolist(), Y[:, 0].tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]])
    """
    if len(text) < 2:
        raise ValueError(f"text: expected at least 2 characters, received {len(text)}: {text!r}")
    indices = [lookup(char, char_to_idx, f"position {p}") for p, char in enumerate(text)]
    columns = one_hot(indices, len(char_to_idx), dtype)[:, np.newaxis, :]  # (n, 1, T_x + 1)
    return columns[:, :, :-1].copy(), columns[:, :, 1:].copy()


def train(
    text: str, char_to_idx: Mapping[str, int], parameters: Gradients, num_iterations: int = 100,
    learning_rate: float = 0.01, clip_value: float = 5, a0: Array | None = None,
) -> list[float]:  # fmt: skip
    """Train on one text; every iteration starts from the last hidden state of the one before.

    Args: text, char_to_idx, parameters (modified in place), number of iterations, learning_rate,
        clip_value, a0 (n_a, 1), zeros unless given.
    Returns: the loss of each iteration, before its update.
    Raises: ValueError as `preprocess_inputs` and `forward` do.
    Source: seed 000, Putting All Together.

    >>> chars = {"e": 0, "h": 1, "l": 2, "o": 3}
    >>> losses = train("hello", chars, initialize_parameters(64, 4, 4, rng=1), num_iterations=2)
    >>> [round(loss, 6) for loss in losses]
    [5.543807, 5.523401]
    """
    (Waa,) = read(parameters, "Waa")
    X, Y = preprocess_inputs(text, char_to_idx, Waa.dtype)  # (n_x, 1, T_x), (n_y, 1, T_x)
    a = np.zeros_like(Waa[:, :1]) if a0 is None else a0  # (n_a, 1)
    losses = []
    for _ in range(num_iterations):
        a, loss = optimize(X, Y, a, parameters, learning_rate, clip_value)
        losses.append(loss)
    return losses


def sample(
    start_char: str, char_to_idx: Mapping[str, int], idx_to_char: Mapping[int, str],
    parameters: Params, num_chars: int = 100, rng: Rng = None, *, greedy: bool = False,
) -> str:  # fmt: skip
    """Generate text: feed each drawn character back as the next input, from a zero state.

    Args: start_char, the two vocabularies, parameters; num_chars, the length of the text with the
        start character; rng as in `initialize_parameters`; greedy takes the likeliest character
        at every step instead of drawing one.
    Returns: num_chars characters.
    Raises: ValueError if start_char is not in the vocabulary or num_chars < 1.
    Source: seed 000, ``sample``.

    >>> parameters = initialize_parameters(3, 2, 2, rng=1)
    >>> len(sample("a", {"a": 0, "b": 1}, {0: "a", 1: "b"}, parameters, num_chars=7, rng=1))
    7
    """
    if num_chars < 1:
        raise ValueError(f"num_chars: expected at least 1, received {num_chars}")
    (Waa,) = read(parameters, "Waa")
    choice, n = resolve_rng(rng).choice, len(char_to_idx)
    a = np.zeros_like(Waa[:, :1])  # (n_a, 1)
    indices = [lookup(start_char, char_to_idx, "start_char")]
    while len(indices) < num_chars:
        a, y_hat, _ = cell_forward(one_hot(indices[-1:], n, Waa.dtype), a, parameters)
        p = y_hat[:, 0].astype(np.float64)  # (n,)
        indices.append(int(p.argmax() if greedy else choice(n, p=p / p.sum())))
    return "".join(idx_to_char[index] for index in indices)
