"""The bare tanh recurrence of seed 002: every derivative of the cell, and BPTT.

Forward, for t = 1 .. T with the same weights at every step (n_a hidden units, n_x inputs, m
examples)::

    (1)  z_t = Waa a_{t-1} + Wax x_t + ba      (n_a, m)
    (2)  a_t = tanh(z_t)                       (n_a, m)

Backward through one cell, given da_t = dL/da_t (the seed's "d tanh" is dz)::

    (3)  dz_t    = (1 - a_t^2) * da_t          (n_a, m)
    (4)  dWax    = dz_t x_t^T                  (n_a, n_x) = (n_a, m) (m, n_x)
    (5)  dWaa    = dz_t a_{t-1}^T              (n_a, n_a) = (n_a, m) (m, n_a)
    (6)  dba     = sum over examples of dz_t   (n_a, 1)
    (7)  dx_t    = Wax^T dz_t                  (n_x, m)   = (n_x, n_a) (n_a, m)
    (8)  da_{t-1} = Waa^T dz_t                 (n_a, m)   = (n_a, n_a) (n_a, m)

Backward through time: a_t feeds the loss directly and through step t+1, and the weights are used at
every step::

    (9)  da_t = dA_t + (da_t from step t+1)    (n_a, m), from T down to 1; da_0 is what is left
    (10) dW   = sum over t of (4), (5), (6)
"""

from typing import NamedTuple

import numpy as np

from ._common import Array, Gradients, Params, accumulate, expect, read, zero_gradients


class CellCache(NamedTuple):
    """What one step keeps for its backward pass."""

    a: Array  # (n_a, m)
    a_prev: Array  # (n_a, m)
    xt: Array  # (n_x, m)
    z: Array  # (n_a, m)
    Wax: Array  # (n_a, n_x)
    Waa: Array  # (n_a, n_a)


def cell_forward(xt: Array, a_prev: Array, params: Params) -> tuple[Array, CellCache]:
    """Compute one hidden state from the input and the previous one, equations (1) and (2).

    Args: xt (n_x, m), a_prev (n_a, m); params Wax (n_a, n_x), Waa (n_a, n_a), ba (n_a, 1).
    Returns: a (n_a, m) and the cache.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: seed 002, the basic RNN cell.

    >>> params = {"Wax": np.ones((1, 1)), "Waa": np.ones((1, 1)), "ba": np.zeros((1, 1))}
    >>> a, _ = cell_forward(np.array([[0.25]]), np.array([[0.25]]), params)
    >>> bool(a == np.tanh(0.5))
    True
    """
    Wax, Waa, ba = read(params, "Wax", "Waa", "ba")
    n_a, n_x = expect("Wax", Wax, n_a=None, n_x=None).shape
    expect("Waa", Waa, n_a=n_a, n_a_prev=n_a)
    expect("ba", ba, n_a=n_a, one=1)
    xt = expect("xt", xt, n_x=n_x, m=None)
    a_prev = expect("a_prev", a_prev, n_a=n_a, m=xt.shape[1])
    z = Waa @ a_prev + Wax @ xt + ba  # (1)  (n_a, m)
    a = np.tanh(z)  # (2)  (n_a, m)
    return a, CellCache(a, a_prev, xt, z, Wax, Waa)


def cell_backward(da: Array, cache: CellCache) -> Gradients:
    """Return every derivative of one cell, equations (3)-(8).

    Args: da (n_a, m), all of dL/da; cache from `cell_forward`.
    Returns: dWax (n_a, n_x), dWaa (n_a, n_a), dba (n_a, 1), dx (n_x, m), da_prev (n_a, m), and dz
        (n_a, m).
    Raises: ValueError if da does not have the shape of a.
    Source: seed 002, "Backward Propagation" (which writes dba with du for dz).

    >>> params = {"Wax": np.ones((1, 1)), "Waa": np.full((1, 1), 2.0), "ba": np.zeros((1, 1))}
    >>> _, cache = cell_forward(np.array([[3.0]]), np.array([[-1.5]]), params)  # z = 0, a = 0
    >>> {key: value.item() for key, value in cell_backward(np.ones((1, 1)), cache).items()}
    {'dz': 1.0, 'dWax': 3.0, 'dWaa': -1.5, 'dba': 1.0, 'dx': 1.0, 'da_prev': 2.0}
    """
    a, a_prev, xt, _, Wax, Waa = cache
    da = expect("da", da, n_a=a.shape[0], m=a.shape[1])
    dz = (1 - a**2) * da  # (3)  (n_a, m)
    return {
        "dz": dz,
        "dWax": dz @ xt.T,  # (4)  (n_a, n_x)
        "dWaa": dz @ a_prev.T,  # (5)  (n_a, n_a)
        "dba": dz.sum(axis=1, keepdims=True),  # (6)  (n_a, 1)
        "dx": Wax.T @ dz,  # (7)  (n_x, m)
        "da_prev": Waa.T @ dz,  # (8)  (n_a, m)
    }


def forward(X: Array, a0: Array, params: Params) -> tuple[Array, list[CellCache]]:
    """Run the cell over a sequence, equations (1) and (2) for every t.

    Args: X (n_x, m, T), a0 (n_a, m); params as in `cell_forward`.
    Returns: A (n_a, m, T) and the cache, one `CellCache` per step.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: seed 002; Keras's SimpleRNN has kernel = Wax^T, recurrent_kernel = Waa^T, bias = ba.

    >>> params = {"Wax": np.ones((1, 1)), "Waa": np.ones((1, 1)), "ba": np.zeros((1, 1))}
    >>> A, _ = forward(np.ones((1, 1, 3)), np.zeros((1, 1)), params)
    >>> A.shape, bool(A[0, 0, 1] == np.tanh(1 + np.tanh(1)))
    ((1, 1, 3), True)
    """
    (Wax,) = read(params, "Wax")
    n_a, n_x = expect("Wax", Wax, n_a=None, n_x=None).shape
    X = expect("X", X, n_x=n_x, m=None, T_x=None)
    a = expect("a0", a0, n_a=n_a, m=X.shape[1])
    states, cache = [], []
    for t in range(X.shape[2]):
        a, step = cell_forward(X[:, :, t], a, params)  # (n_a, m)
        states.append(a)
        cache.append(step)
    return np.stack(states, axis=2), cache  # (n_a, m, T)


def backward(dA: Array, cache: list[CellCache], da_last: Array | None = None) -> Gradients:
    """Propagate gradients back through time, equations (9) and (10).

    Args: dA (n_a, m, T), what the loss sends to each a_t directly; da_last (n_a, m), an extra
        gradient of a_T, such as that of a decoder which starts there; cache from `forward`.
    Returns: dWax (n_a, n_x), dWaa (n_a, n_a), dba (n_a, 1), da0 (n_a, m), dx (n_x, m, T).
    Raises: ValueError for shapes that do not fit.
    Source: seeds 000 and 002.

    >>> params = {"Wax": np.zeros((1, 1)), "Waa": np.full((1, 1), 0.5), "ba": np.zeros((1, 1))}
    >>> _, cache = forward(np.ones((1, 1, 3)), np.zeros((1, 1)), params)  # a = 0 throughout
    >>> backward(np.zeros((1, 1, 3)), cache, da_last=np.ones((1, 1)))["da0"].item()
    0.125
    """
    first = cache[0]
    n_a, m = first.a.shape
    dA = expect("dA", dA, n_a=n_a, m=m, T_x=len(cache))
    total = zero_gradients(dWax=first.Wax, dWaa=first.Waa, dba=first.Waa[:, :1])
    da = np.zeros_like(first.a) if da_last is None else expect("da_last", da_last, n_a=n_a, m=m)
    dx = []
    for t in reversed(range(len(cache))):
        step = cell_backward(dA[:, :, t] + da, cache[t])  # (9)
        accumulate(total, step)  # (10)
        dx.append(step["dx"])
        da = step["da_prev"]  # (n_a, m)
    return {**total, "da0": da, "dx": np.stack(dx[::-1], axis=2)}


def rnn_cell(x: Array, h_prev: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, CellCache]:
    """Compute h = tanh(Wx x + Wh h_prev + b), equations (1) and (2) in the names of seed 004.

    Args: x (n_x, m), h_prev (n_h, m), Wx (n_h, n_x), Wh (n_h, n_h), b (n_h, 1).
    Returns: h (n_h, m) and the cache.
    Raises: ValueError for shapes that do not fit (under seed 000's names of the weights).
    Source: seed 004, SimpleRNN.

    >>> Wx, Wh, b = np.ones((3, 2)), np.ones((3, 3)), np.zeros((3, 1))
    >>> h, _ = rnn_cell(np.ones((2, 1)), np.zeros((3, 1)), Wx, Wh, b)
    >>> h.shape, round(h[0].item(), 6)
    ((3, 1), 0.964028)
    """
    return cell_forward(x, h_prev, {"Wax": Wx, "Waa": Wh, "ba": b})


def rnn_cell_backward(dh: Array, cache: CellCache) -> Gradients:
    """Return every derivative of `rnn_cell`, equations (3)-(8) in the names of seed 004.

    Args: dh (n_h, m); cache from `rnn_cell`.
    Returns: dWx (n_h, n_x), dWh (n_h, n_h), db (n_h, 1), dx (n_x, m), dh_prev (n_h, m).
    Raises: ValueError if dh does not have the shape of h.
    Source: seed 002 for the derivatives, seed 004 for the names.

    >>> zero, one = np.zeros((1, 1)), np.ones((1, 1))
    >>> _, cache = rnn_cell(zero, zero, one, one, zero)
    >>> rnn_cell_backward(np.ones((1, 1)), cache)["dh_prev"].item()
    1.0
    """
    names = {"dWax": "dWx", "dWaa": "dWh", "dba": "db", "dx": "dx", "da_prev": "dh_prev"}
    step = cell_backward(dh, cache)
    return {new: step[old] for old, new in names.items()}
