"""The deep RNN of seed 002: tanh recurrences on top of each other, and a softmax read-out.

Forward; a^[0]_t = x_t, layers l = 1 .. L, time t = 1 .. T::

    (1)  a^[l]_t = tanh(Waa^[l] a^[l]_{t-1} + Wax^[l] a^[l-1]_t + ba^[l])     (n_l, m)
    (2)  y^_t    = softmax(Wya a^[L]_t + by)                                  (n_y, m)

Backward, from the top layer down; time is inside each layer::

    (3)  dWya, dby, dA^[L]: the read-out's, `dense`, equations (2)-(8) there
    (4)  each layer's BPTT is `simple_rnn`'s, equations (3)-(10) there
    (5)  dA^[l-1] = dx of layer l; dx of layer 1 is the gradient of the input

Parameters: {"layers": [{Wax (n_l, n_{l-1}), Waa (n_l, n_l), ba (n_l, 1)}, ...], "Wya": (n_y, n_L),
"by": (n_y, 1)}.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import dense, simple_rnn
from ._common import Array, Gradients, expect
from .vanilla_rnn import compute_loss

__all__ = ["Cache", "backward", "compute_loss", "forward", "loss_backward"]


class Cache(NamedTuple):
    """What the backward pass needs."""

    layers: list[list[simple_rnn.CellCache]]
    readout: dense.ReadoutCache


def forward(X: Array, params: Mapping[str, Any], a0: Sequence[Array] | None = None) -> tuple[Array, Cache]:
    """Run the stack over a sequence and predict, equations (1) and (2).

    Args: X (n_x, m, T), params as above, a0 one (n_l, m) per layer, zeros unless given.
    Returns: Y_hat (n_y, m, T) and the cache.
    Raises: ValueError for shapes that do not fit, for no layers, or another number of states than
        of layers; KeyError for a missing parameter.
    Source: seed 002, "A deep RNN with three layers".

    >>> layer = {"Wax": np.eye(3), "Waa": np.eye(3), "ba": np.zeros((3, 1))}
    >>> params = {"layers": [layer] * 3, "Wya": np.zeros((4, 3)), "by": np.zeros((4, 1))}
    >>> Y_hat, cache = forward(np.ones((3, 2, 5)), params)
    >>> Y_hat.shape, len(cache.layers)
    ((4, 2, 5), 3)
    """
    if "layers" not in params:
        raise KeyError(f"missing parameters: layers; received: {', '.join(params) or 'none'}")
    layers = params["layers"]
    if not layers or (a0 is not None and len(a0) != len(layers)):
        states = "none" if a0 is None else len(a0)
        raise ValueError(
            "a0: expected at least one layer and one initial state per layer, "
            f"received {len(layers)} layers and {states} states"
        )
    A = expect("X", X, n_x=None, m=None, T_x=None)
    caches = []
    for index, layer in enumerate(layers):
        if a0 is None:
            Waa = np.asarray(layer["Waa"])
            start = np.zeros((Waa.shape[0], A.shape[1]), dtype=Waa.dtype)  # (n_l, m)
        else:
            start = a0[index]
        A, cache = simple_rnn.forward(A, start, layer)  # (1)  (n_l, m, T)
        caches.append(cache)
    Y_hat, readout = dense.readout_forward(A, params)  # (2)  (n_y, m, T)
    return Y_hat, Cache(caches, readout)


def backward(dY_hat: Array, cache: Cache) -> dict[str, Any]:
    """Return all gradients for any loss, given dL/dY_hat, equations (3)-(5).

    Args: dY_hat (n_y, m, T); cache from `forward`.
    Returns: {"layers": [{dWax, dWaa, dba, da0}, ...], "dWya", "dby", "dx": (n_x, m, T)}.
    Raises: ValueError if dY_hat does not have the shape of Y_hat.
    Source: seeds 000 and 002.

    >>> layer = {"Wax": np.eye(3), "Waa": np.eye(3), "ba": np.zeros((3, 1))}
    >>> params = {"layers": [layer] * 3, "Wya": np.zeros((4, 3)), "by": np.zeros((4, 1))}
    >>> Y_hat, cache = forward(np.ones((3, 2, 5)), params)
    >>> gradients = backward(np.ones_like(Y_hat), cache)
    >>> len(gradients["layers"]), gradients["dx"].shape
    (3, (3, 2, 5))
    """
    return _backward(dense.readout_backward(dY_hat, cache.readout), cache)  # (3)


def loss_backward(Y: Array, cache: Cache) -> dict[str, Any]:
    """Return all gradients of the summed cross-entropy with one-hot labels, equations (3)-(5).

    Args: Y (n_y, m, T); cache from `forward`. Returns: as `backward`.
    Raises: ValueError if Y does not have the shape of Y_hat.
    Source: seed 000, dzy = y^ - y.

    >>> layer = {"Wax": np.eye(2), "Waa": np.eye(2), "ba": np.zeros((2, 1))}
    >>> params = {"layers": [layer] * 3, "Wya": np.zeros((2, 2)), "by": np.zeros((2, 1))}
    >>> _, cache = forward(np.ones((2, 1, 3)), params)
    >>> loss_backward(np.eye(2)[:, None, [0, 0, 1]], cache)["dby"].tolist()
    [[-0.5], [0.5]]
    """
    return _backward(dense.readout_loss_backward(Y, cache.readout), cache)  # (3)


def _backward(readout: Gradients, cache: Cache) -> dict[str, Any]:
    dA = readout.pop("dA")  # (n_L, m, T)
    layers = []
    for steps in reversed(cache.layers):
        gradients = simple_rnn.backward(dA, steps)  # (4)
        dA = gradients.pop("dx")  # (5)  (n_{l-1}, m, T)
        layers.append(gradients)
    return {"layers": layers[::-1], **readout, "dx": dA}
