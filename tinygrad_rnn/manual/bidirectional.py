"""The bidirectional RNN of seeds 002 and 004: a recurrence from each end, a read-out of both.

Forward; ``->`` reads the sequence from t = 1, ``<-`` from t = T (n_a hidden units per direction)::

    (1)  a->_t = tanh(Waa-> a->_{t-1} + Wax-> x_t + ba->)     (n_a, m), t = 1 .. T
    (2)  a<-_t = tanh(Waa<- a<-_{t+1} + Wax<- x_t + ba<-)     (n_a, m), t = T .. 1
    (3)  a_t   = [a->_t; a<-_t]  (concat)  or  a->_t + a<-_t  (sum)
    (4)  y^_t  = softmax(Wya a_t + by)                        (n_y, m)
    (5)  L     = - sum over t, examples, classes of y_t log y^_t

Backward::

    (6)  dWya, dby, dA: the read-out's, `dense`, equations (2)-(8) there
    (7)  concat: dA-> and dA<- are the upper and the lower rows of dA;  sum: both are dA
    (8)  each direction's BPTT is `simple_rnn`'s, equations (3)-(10) there; ``<-`` in reversed time
    (9)  dx_t = dx->_t + dx<-_t: the input feeds both directions

Parameters: {"forward": {Wax, Waa, ba}, "backward": {Wax, Waa, ba}, "Wya": (n_y, 2 n_a), "by": (n_y,
1)}; with
merge="sum" Wya is (n_y, n_a). The directions may differ in size if they are concatenated.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from . import dense, simple_rnn
from ._common import Array, Gradients, Params, expect
from .vanilla_rnn import compute_loss

__all__ = [
    "Cache", "MergeCache", "backward", "compute_loss", "forward", "loss_backward",
    "merge_backward", "merge_forward",
]  # fmt: skip


class MergeCache(NamedTuple):
    """What the backward pass of the two recurrences needs."""

    forward: list[simple_rnn.CellCache]
    backward: list[simple_rnn.CellCache]  # in processing order: step 0 read the last input
    merge: str
    n_forward: int  # rows of the forward direction


class Cache(NamedTuple):
    """What the backward pass of the whole network needs."""

    states: MergeCache
    readout: dense.ReadoutCache


def merge_forward(
    X: Array,
    params: Mapping[str, Any],
    a0_forward: Array | None = None,
    a0_backward: Array | None = None,
    merge: str = "concat",
) -> tuple[Array, MergeCache]:
    """Run both directions and combine their states, equations (1)-(3), without an output layer.

    Args: X (n_x, m, T); params with "forward" and "backward"; initial states (n_a, m), zeros unless
        given: the backward one precedes the last time step; merge "concat" or "sum".
    Returns: A (2 n_a, m, T), or (n_a, m, T) for "sum", in input order; the cache.
    Raises: ValueError for another merge and for shapes that do not fit, KeyError for a missing
        parameter.
    Source: seed 004, "usually achieved through concatenation or summation".

    >>> one = {"Wax": np.ones((1, 1)), "Waa": np.zeros((1, 1)), "ba": np.zeros((1, 1))}
    >>> X = np.ones((1, 2, 4))
    >>> merge_forward(X, {"forward": one, "backward": one})[0].shape
    (2, 2, 4)
    >>> merge_forward(X, {"forward": one, "backward": one}, merge="sum")[0].shape
    (1, 2, 4)
    """
    if merge not in ("concat", "sum"):
        raise ValueError(f"merge: expected 'concat' or 'sum', received {merge!r}")
    missing = [name for name in ("forward", "backward") if name not in params]
    if missing:
        raise KeyError(f"missing parameters: {', '.join(missing)}; received: {', '.join(params)}")
    X = expect("X", X, n_x=None, m=None, T_x=None)
    A_fwd, fwd = _run(X, params["forward"], a0_forward)  # (1)  (n_a, m, T)
    A_bwd, bwd = _run(X[:, :, ::-1], params["backward"], a0_backward)  # (2)  (n_a, m, T)
    A_bwd = A_bwd[:, :, ::-1]  # back to input order
    if merge == "concat":
        A = np.concatenate([A_fwd, A_bwd])  # (3)  (2 n_a, m, T)
    else:
        n_a, m, T = A_fwd.shape
        A = A_fwd + expect("states of the backward direction", A_bwd, n_a=n_a, m=m, T_x=T)  # (3)
    return A, MergeCache(fwd, bwd, merge, len(A_fwd))


def merge_backward(dA: Array, cache: MergeCache) -> dict[str, Any]:
    """Propagate gradients back through both directions, equations (7)-(9).

    Args: dA like the output of `merge_forward`; its cache.
    Returns: {"forward": {dWax, dWaa, dba, da0}, "backward": {the same}, "dx": (n_x, m, T)}.
    Raises: ValueError if dA does not have the shape of A.
    Source: the chain rule on (1)-(3).

    >>> one = {"Wax": np.ones((1, 1)), "Waa": np.zeros((1, 1)), "ba": np.zeros((1, 1))}
    >>> A, cache = merge_forward(np.zeros((1, 1, 3)), {"forward": one, "backward": one})
    >>> merge_backward(np.ones_like(A), cache)["dx"].tolist()
    [[[2.0, 2.0, 2.0]]]
    """
    fwd, bwd, merge, n_fwd = cache
    n_bwd, m = bwd[0].a.shape
    rows = n_fwd + n_bwd if merge == "concat" else n_fwd
    dA = expect("dA", dA, n_a=rows, m=m, T_x=len(fwd))
    dA_fwd, dA_bwd = (dA[:n_fwd], dA[n_fwd:]) if merge == "concat" else (dA, dA)  # (7)
    forward_gradients = simple_rnn.backward(dA_fwd, fwd)  # (8)
    backward_gradients = simple_rnn.backward(dA_bwd[:, :, ::-1], bwd)  # (8)
    dx = forward_gradients.pop("dx") + backward_gradients.pop("dx")[:, :, ::-1]  # (9)  (n_x, m, T)
    return {"forward": forward_gradients, "backward": backward_gradients, "dx": dx}


def forward(
    X: Array,
    params: Mapping[str, Any],
    a0_forward: Array | None = None,
    a0_backward: Array | None = None,
    merge: str = "concat",
) -> tuple[Array, Cache]:
    """Predict from both directions, equations (1)-(4).

    Args: as `merge_forward`; params also Wya (n_y, 2 n_a), or (n_y, n_a) for "sum", by (n_y, 1).
    Returns: Y_hat (n_y, m, T) and the cache.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: seed 002, y^ = g(Wya [a, a'] + by), with g = softmax.

    >>> one = {"Wax": np.ones((1, 1)), "Waa": np.zeros((1, 1)), "ba": np.zeros((1, 1))}
    >>> params = {"forward": one, "backward": one, "Wya": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> Y_hat, _ = forward(np.ones((1, 2, 3)), params)
    >>> Y_hat.shape, Y_hat[0, 0, 0].item()
    ((4, 2, 3), 0.25)
    """
    A, states = merge_forward(X, params, a0_forward, a0_backward, merge)  # (1)-(3)
    Y_hat, readout = dense.readout_forward(A, params)  # (4)  (n_y, m, T)
    return Y_hat, Cache(states, readout)


def backward(dY_hat: Array, cache: Cache) -> dict[str, Any]:
    """Return all gradients for any loss, given dL/dY_hat, equations (6)-(9).

    Args: dY_hat (n_y, m, T); cache from `forward`.
    Returns: {"forward": {dWax, dWaa, dba, da0}, "backward": {the same}, "dWya", "dby", "dx"}.
    Raises: ValueError if dY_hat does not have the shape of Y_hat.
    Source: seeds 000 and 002.

    >>> one = {"Wax": np.ones((1, 1)), "Waa": np.zeros((1, 1)), "ba": np.zeros((1, 1))}
    >>> params = {"forward": one, "backward": one, "Wya": np.zeros((4, 2)), "by": np.zeros((4, 1))}
    >>> Y_hat, cache = forward(np.ones((1, 2, 3)), params)
    >>> sorted(backward(np.ones_like(Y_hat), cache))
    ['backward', 'dWya', 'dby', 'dx', 'forward']
    """
    return _backward(dense.readout_backward(dY_hat, cache.readout), cache)  # (6)


def loss_backward(Y: Array, cache: Cache) -> dict[str, Any]:
    """Return all gradients of the cross-entropy (5) with one-hot labels, equations (6)-(9).

    Args: Y (n_y, m, T); cache from `forward`. Returns: as `backward`.
    Raises: ValueError if Y does not have the shape of Y_hat.
    Source: seed 000, dzy = y^ - y.

    >>> one = {"Wax": np.ones((1, 1)), "Waa": np.zeros((1, 1)), "ba": np.zeros((1, 1))}
    >>> params = {"forward": one, "backward": one, "Wya": np.zeros((2, 2)), "by": np.zeros((2, 1))}
    >>> _, cache = forward(np.ones((1, 1, 3)), params)
    >>> loss_backward(np.eye(2)[:, None, [0, 0, 1]], cache)["dby"].tolist()
    [[-0.5], [0.5]]
    """
    return _backward(dense.readout_loss_backward(Y, cache.readout), cache)  # (6)


def _backward(readout: Gradients, cache: Cache) -> dict[str, Any]:
    states = merge_backward(readout.pop("dA"), cache.states)  # (7)-(9)
    return {**states, **readout}


def _run(X: Array, params: Params, a0: Array | None) -> tuple[Array, list[simple_rnn.CellCache]]:
    if a0 is None:
        Waa = np.asarray(params["Waa"])
        a0 = np.zeros((Waa.shape[0], X.shape[1]), dtype=Waa.dtype)  # (n_a, m)
    return simple_rnn.forward(X, a0, params)
