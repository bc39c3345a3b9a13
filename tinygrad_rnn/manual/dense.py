"""The dense layer and the softmax read-out, forward and backward by hand.

Dense layer, for every example (and time step) alike::

    (1)  Y  = W X + b                  (n_y, m) or (n_y, m, T)
    (2)  dW = sum_t dY_t X_t^T         (n_y, n_x)
    (3)  db = sum over examples, t dY  (n_y, 1)
    (4)  dX = W^T dY                   (n_x, m) or (n_x, m, T)

Softmax read-out of hidden states A, which the networks of this package end in::

    (5)  Zy  = Wya A + by              (n_y, m, T)
    (6)  Y^  = softmax(Zy)             (n_y, m, T), columns sum to 1
    (7)  dZy = Y^ * (dY^ - sum_j Y^_j dY^_j)     for any loss
    (8)  dZy = Y^ - Y                            for the cross-entropy -sum Y log Y^, Y one-hot

(8) follows from (7) with dY^ = -Y / Y^ and sum_j Y_j = 1; the division cancels, so (8) is also
the stable form.
"""

from typing import NamedTuple

import numpy as np

from ._common import Array, Gradients, Params, expect, read, softmax, softmax_backward


class Cache(NamedTuple):
    """What the backward pass of the dense layer needs."""

    X: Array  # (n_x, m) or (n_x, m, T)
    W: Array  # (n_y, n_x)


class ReadoutCache(NamedTuple):
    """What the backward pass of the read-out needs."""

    dense: Cache
    Y_hat: Array  # (n_y, m, T)


def forward(X: Array, params: Params) -> tuple[Array, Cache]:
    """Apply one affine map to every column, equation (1).

    Args: X (n_x, m) or (n_x, m, T); params W (n_y, n_x), b (n_y, 1).
    Returns: Y (n_y, m) or (n_y, m, T) and the cache.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: seed 000, the output layer.

    >>> Y, _ = forward(np.array([[1.0, 2.0]]), {"W": np.array([[3.0]]), "b": np.array([[1.0]])})
    >>> Y.tolist()
    [[4.0, 7.0]]
    """
    W, b = read(params, "W", "b")
    n_y, n_x = expect("W", W, n_y=None, n_x=None).shape
    expect("b", b, n_y=n_y, one=1)
    time = {"T": None} if np.ndim(X) == 3 else {}
    X = expect("X", X, n_x=n_x, m=None, **time)
    Y = np.tensordot(W, X, axes=1) + b.reshape(n_y, *[1] * (X.ndim - 1))  # (1)  (n_y, m[, T])
    return Y, Cache(X, W)


def backward(dY: Array, cache: Cache) -> Gradients:
    """Return dW, db, dX of the dense layer, equations (2)-(4).

    Args: dY (n_y, m) or (n_y, m, T); cache from `forward`.
    Returns: dW (n_y, n_x), db (n_y, 1), dX like X.
    Raises: ValueError if dY does not have the shape of the output.
    Source: seed 000, the partial derivatives in the output layer.

    >>> _, cache = forward(np.array([[1.0, 2.0]]), {"W": np.array([[3.0]]), "b": np.array([[1.0]])})
    >>> {key: value.tolist() for key, value in backward(np.ones((1, 2)), cache).items()}
    {'dW': [[3.0]], 'db': [[2.0]], 'dX': [[3.0, 3.0]]}
    """
    X, W = cache
    time = {"T": X.shape[2]} if X.ndim == 3 else {}
    dY = expect("dY", dY, n_y=W.shape[0], m=X.shape[1], **time)
    dY_flat = dY.reshape(W.shape[0], -1)  # (n_y, m T)
    return {
        "dW": dY_flat @ X.reshape(W.shape[1], -1).T,  # (2)  (n_y, n_x)
        "db": dY_flat.sum(axis=1, keepdims=True),  # (3)  (n_y, 1)
        "dX": np.tensordot(W.T, dY, axes=1),  # (4)  (n_x, m[, T])
    }


def readout_forward(A: Array, params: Params) -> tuple[Array, ReadoutCache]:
    """Turn hidden states into probabilities, equations (5) and (6).

    Args: A (n_a, m, T) or (n_a, m); params Wya (n_y, n_a), by (n_y, 1).
    Returns: Y_hat (n_y, m, T) or (n_y, m) and the cache.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: seeds 000 and 002.

    >>> params = {"Wya": np.ones((4, 3)), "by": np.zeros((4, 1))}
    >>> Y_hat, _ = readout_forward(np.zeros((3, 1, 2)), params)
    >>> Y_hat[:, 0, 0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    Wya, by = read(params, "Wya", "by")
    Zy, cache = forward(A, {"W": Wya, "b": by})  # (5)  (n_y, m, T)
    Y_hat = softmax(Zy)  # (6)  (n_y, m, T)
    return Y_hat, ReadoutCache(cache, Y_hat)


def readout_backward(dY_hat: Array, cache: ReadoutCache) -> Gradients:
    """Return the gradients of the read-out for any loss, given dL/dY_hat, equation (7).

    Args: dY_hat like Y_hat. Returns: dWya (n_y, n_a), dby (n_y, 1), dA like A.
    Raises: ValueError if dY_hat does not have the shape of Y_hat.
    Source: seed 000; (7) is the Jacobian of softmax, diag(y) - y y^T, times dY_hat.

    >>> params = {"Wya": np.ones((4, 3)), "by": np.zeros((4, 1))}
    >>> _, cache = readout_forward(np.ones((3, 1, 2)), params)
    >>> gradients = readout_backward(np.ones((4, 1, 2)), cache)  # of sum(Y_hat), which is constant
    >>> float(abs(gradients["dWya"]).max())
    0.0
    """
    dY_hat = _like_output("dY_hat", dY_hat, cache)
    dZy = softmax_backward(dY_hat, cache.Y_hat)  # (7)  (n_y, m, T)
    return _renamed(backward(dZy, cache.dense))


def readout_loss_backward(Y: Array, cache: ReadoutCache) -> Gradients:
    """Return the gradients of the read-out for the cross-entropy with labels Y, equation (8).

    Args: Y like Y_hat, one-hot. Returns: dWya (n_y, n_a), dby (n_y, 1), dA like A.
    Raises: ValueError if Y does not have the shape of Y_hat.
    Source: seed 000, ``dy = y_hat - y``.

    >>> params = {"Wya": np.ones((2, 3)), "by": np.zeros((2, 1))}
    >>> _, cache = readout_forward(np.zeros((3, 1)), params)
    >>> readout_loss_backward(np.array([[1.0], [0.0]]), cache)["dby"].tolist()
    [[-0.5], [0.5]]
    """
    dZy = cache.Y_hat - _like_output("Y", Y, cache)  # (8)  (n_y, m, T)
    return _renamed(backward(dZy, cache.dense))


def _like_output(name: str, value: Array, cache: ReadoutCache) -> Array:
    names = ("n_y", "m", "T_x")
    return expect(name, value, **dict(zip(names, cache.Y_hat.shape, strict=False)))


def _renamed(gradients: Gradients) -> Gradients:
    return {"dWya": gradients["dW"], "dby": gradients["db"], "dA": gradients["dX"]}
