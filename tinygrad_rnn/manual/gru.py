"""The GRU by hand, forward and through time: both variants of Keras, and the cell of seed 004.

One step (n_h hidden units, n_x inputs, m examples); the rows of every weight are blocks z, r, n::

    (1)  p = Wx x + bx                            (3 n_h, m), from the input
    (2)  q = Wh h_prev + bh                       (3 n_h, m), from the state
    (3)  z = sigmoid(p_z + q_z)   update gate     (n_h, m)
    (4)  r = sigmoid(p_r + q_r)   reset gate      (n_h, m)
    (5a) n = tanh(p_n + r * q_n)                  reset after the product
    (5b) n = tanh(p_n + Wh_n (r * h_prev))        reset before the product (q_n and bh are not used)
    (6a) h = z * h_prev + (1 - z) * n             Keras: z keeps the old state
    (6b) h = (1 - z) * h_prev + z * n             seed 004: z takes the new one

Backward through one step, `keep` being what multiplies h_prev in (6)::

    (7)  dn      = dh * (1 - keep),  dkeep = dh * (h_prev - n);  dz = dkeep (6a) or -dkeep (6b)
    (8)  dp_n    = dn * (1 - n^2)
    (9a) dr      = dp_n * q_n,  dq_n = dp_n * r
    (9b) ds      = Wh_n^T dp_n,  dr = ds * h_prev       s = r * h_prev
    (10) dp_z    = dz * z * (1 - z),  dp_r = dr * r * (1 - r);  dq_z = dp_z,  dq_r = dp_r
    (11) dWx     = dp x^T,  dbx = sum over examples of dp,  dx = Wx^T dp
    (12) dWh     = dq h_prev^T,  dbh = sum over examples of dq;  in (b) its rows n are dp_n s^T
    (13) dh_prev = dh * keep + Wh^T dq;  in (b) the n rows contribute ds * r instead

Through time::

    (14) dh_t = dH_t + (dh_t from step t+1), from T down to 1
    (15) dW   = sum over t of (11), (12)
"""

from typing import NamedTuple

import numpy as np

from ._common import Array, Gradients, Params, accumulate, expect, read, sigmoid, zero_gradients


class Weights(NamedTuple):
    """The parameters in columns, and which of the variants they belong to."""

    Wx: Array  # (3 n_h, n_x)
    Wh: Array  # (3 n_h, n_h)
    bx: Array  # (3 n_h, 1)
    bh: Array | None  # (3 n_h, 1): the reset gate is applied after the product; None: before
    z_keeps: bool  # (6a) or (6b)


class CellCache(NamedTuple):
    """What one step keeps for its backward pass."""

    x: Array  # (n_x, m)
    h_prev: Array  # (n_h, m)
    z: Array  # (n_h, m)
    r: Array  # (n_h, m)
    n: Array  # (n_h, m)
    q_n: Array  # (n_h, m), used in variant (a)
    weights: Weights


def _step(x: Array, h_prev: Array, weights: Weights) -> tuple[Array, CellCache]:
    """Compute one step of any variant, equations (1)-(6)."""
    Wx, Wh, bx, bh, z_keeps = weights
    p_z, p_r, p_n = np.split(Wx @ x + bx, 3)  # (1)  (n_h, m) each
    q = Wh @ h_prev  # (3 n_h, m)
    q_z, q_r, q_n = np.split(q if bh is None else q + bh, 3)  # (2)  (n_h, m) each
    z = sigmoid(p_z + q_z)  # (3)  (n_h, m)
    r = sigmoid(p_r + q_r)  # (4)  (n_h, m)
    if bh is None:
        n = np.tanh(p_n + np.split(Wh, 3)[2] @ (r * h_prev))  # (5b)  (n_h, m)
    else:
        n = np.tanh(p_n + r * q_n)  # (5a)  (n_h, m)
    keep = z if z_keeps else 1 - z  # (n_h, m)
    h = keep * h_prev + (1 - keep) * n  # (6)  (n_h, m)
    return h, CellCache(x, h_prev, z, r, n, q_n, weights)


def _step_backward(dh: Array, cache: CellCache) -> Gradients:
    """Return every derivative of one step, equations (7)-(13)."""
    x, h_prev, z, r, n, q_n, (Wx, Wh, _, bh, z_keeps) = cache
    keep = z if z_keeps else 1 - z  # (n_h, m)
    dn = dh * (1 - keep)  # (7)  (n_h, m)
    dkeep = dh * (h_prev - n)  # (7)  (n_h, m)
    dz = dkeep if z_keeps else -dkeep  # (7)  (n_h, m)
    dp_n = dn * (1 - n**2)  # (8)  (n_h, m)
    if bh is None:
        ds = np.split(Wh, 3)[2].T @ dp_n  # (9b)  (n_h, m)
        dr = ds * h_prev  # (9b)  (n_h, m)
    else:
        dr = dp_n * q_n  # (9a)  (n_h, m)
    dp_z = dz * z * (1 - z)  # (10)  (n_h, m)
    dp_r = dr * r * (1 - r)  # (10)  (n_h, m)
    dp = np.concatenate([dp_z, dp_r, dp_n])  # (3 n_h, m)
    gradients = {
        "dWx": dp @ x.T,  # (11)  (3 n_h, n_x)
        "dbx": dp.sum(axis=1, keepdims=True),  # (11)  (3 n_h, 1)
        "dx": Wx.T @ dp,  # (11)  (n_x, m)
    }
    if bh is None:
        dq = np.concatenate([dp_z, dp_r])  # (2 n_h, m): no rows n
        dWh = np.concatenate([dq @ h_prev.T, dp_n @ (r * h_prev).T])  # (12)  (3 n_h, n_h)
        dh_prev = dh * keep + Wh[: len(dq)].T @ dq + ds * r  # (13)  (n_h, m)
        return {**gradients, "dWh": dWh, "dh_prev": dh_prev}
    dq = np.concatenate([dp_z, dp_r, dp_n * r])  # (9a) (10)  (3 n_h, m)
    return {
        **gradients,
        "dWh": dq @ h_prev.T,  # (12)  (3 n_h, n_h)
        "dbh": dq.sum(axis=1, keepdims=True),  # (12)  (3 n_h, 1)
        "dh_prev": dh * keep + Wh.T @ dq,  # (13)  (n_h, m)
    }


def forward(X: Array, h0: Array, params: Params) -> tuple[Array, list[CellCache]]:
    """Run the GRU over a sequence, equations (1)-(6a) for every t.

    The parameters have Keras's shapes and gate order z, r, n; inside they are transposed into
    columns: Wx = kernel^T, Wh = recurrent_kernel^T. The bias selects the variant: (2, 3 n_h) is
    reset_after=True, its rows bx and bh; (3 n_h,) is reset_after=False.

    Args: X (n_x, m, T), h0 (n_h, m); params kernel (n_x, 3 n_h), recurrent_kernel (n_h, 3 n_h),
        bias (2, 3 n_h) or (3 n_h,).
    Returns: H (n_h, m, T) and the cache, one `CellCache` per step.
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: Cho et al. (2014), reset before; Keras 3 and cuDNN, reset after.

    >>> kernel, recurrent_kernel = np.zeros((2, 9)), np.zeros((3, 9))
    >>> params = dict(kernel=kernel, recurrent_kernel=recurrent_kernel, bias=np.zeros((2, 9)))
    >>> H, _ = forward(np.ones((2, 1, 4)), np.ones((3, 1)), params)
    >>> H.shape, H[0, 0].tolist()  # both gates are 1/2, the candidate 0
    ((3, 1, 4), [0.5, 0.25, 0.125, 0.0625])
    """
    kernel, recurrent_kernel, bias = read(params, "kernel", "recurrent_kernel", "bias")
    n_h = expect("recurrent_kernel", recurrent_kernel, n_h=None, three_n_h=None).shape[0]
    expect("recurrent_kernel", recurrent_kernel, n_h=n_h, three_n_h=3 * n_h)
    n_x, _ = expect("kernel", kernel, n_x=None, three_n_h=3 * n_h).shape
    reset_after = bias.ndim != 1
    bias = expect("bias", bias, **({"two": 2} if reset_after else {}), three_n_h=3 * n_h)
    columns = bias.reshape(-1, 3 * n_h, 1)  # (2, 3 n_h, 1) or (1, 3 n_h, 1)
    bh = columns[1] if reset_after else None
    weights = Weights(kernel.T, recurrent_kernel.T, columns[0], bh, z_keeps=True)
    X = expect("X", X, n_x=n_x, m=None, T=None)
    h = expect("h0", h0, n_h=n_h, m=X.shape[1])
    hs, cache = [], []
    for t in range(X.shape[2]):
        h, step = _step(X[:, :, t], h, weights)  # (n_h, m)
        hs.append(h)
        cache.append(step)
    return np.stack(hs, axis=2), cache  # (n_h, m, T)


def backward(dH: Array, cache: list[CellCache], dh_last: Array | None = None) -> Gradients:
    """Propagate gradients back through time, equations (7)-(15).

    Args: dH (n_h, m, T), what the loss sends to each h_t directly; dh_last (n_h, m), an extra
        gradient of the final state, zero unless given; cache from `forward`.
    Returns: dkernel, drecurrent_kernel, dbias in Keras's shapes, dX (n_x, m, T), dh0 (n_h, m).
    Raises: ValueError for shapes that do not fit.
    Source: the chain rule on (1)-(6).

    >>> kernel, recurrent_kernel = np.zeros((2, 9)), np.zeros((3, 9))
    >>> params = dict(kernel=kernel, recurrent_kernel=recurrent_kernel, bias=np.zeros(9))
    >>> _, cache = forward(np.ones((2, 1, 4)), np.zeros((3, 1)), params)
    >>> backward(np.zeros((3, 1, 4)), cache, dh_last=np.ones((3, 1)))["dh0"][0].item()
    0.0625
    """
    first, T = cache[0], len(cache)
    n_h, m = first.h_prev.shape
    dH = expect("dH", dH, n_h=n_h, m=m, T=T)
    zero = np.zeros_like(first.n)  # (n_h, m)
    dh = zero if dh_last is None else expect("dh_last", dh_last, n_h=n_h, m=m)
    Wx, Wh, bx, bh, _ = first.weights
    biases = {"dbx": bx} if bh is None else {"dbx": bx, "dbh": bh}
    total = zero_gradients(dWx=Wx, dWh=Wh, **biases)
    dx = []
    for t in reversed(range(T)):
        step = _step_backward(dH[:, :, t] + dh, cache[t])  # (14)
        accumulate(total, step)  # (15)
        dx.append(step["dx"])
        dh = step["dh_prev"]  # (n_h, m)
    dbias = np.stack([total[key][:, 0] for key in biases])  # (2, 3 n_h) or (1, 3 n_h)
    return {
        "dkernel": total["dWx"].T,  # (n_x, 3 n_h)
        "drecurrent_kernel": total["dWh"].T,  # (n_h, 3 n_h)
        "dbias": dbias[0] if bh is None else dbias,  # (3 n_h,) or (2, 3 n_h)
        "dX": np.stack(dx[::-1], axis=2),  # (n_x, m, T)
        "dh0": dh,
    }


def gru_cell(x: Array, h_prev: Array, W: Array, b: Array) -> tuple[Array, CellCache]:
    """Compute one step with the stacked weights of seed 004, gates z, r, n: (1)-(4), (5b), (6b).

    W = [Wh, Wx] side by side, so that Wh h_prev + Wx x = W [h_prev; x]; the reset gate comes before
    the product. Keras with reset_after=False is the same cell with z and 1 - z exchanged.

    Args: x (n_x, m), h_prev (n_h, m), W (3 n_h, n_h + n_x), b (3 n_h, 1).
    Returns: h (n_h, m) and the cache.
    Raises: ValueError for shapes that do not fit.
    Source: seed 004, GRUCell.

    >>> h, _ = gru_cell(np.ones((2, 1)), np.ones((3, 1)), np.zeros((9, 5)), np.zeros((9, 1)))
    >>> h[:, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    x = expect("x", x, n_x=None, m=None)
    h_prev = expect("h_prev", h_prev, n_h=None, m=x.shape[1])
    n_h = h_prev.shape[0]
    W = expect("W", W, three_n_h=3 * n_h, n_h_plus_n_x=n_h + x.shape[0])
    b = expect("b", b, three_n_h=3 * n_h, one=1)
    return _step(x, h_prev, Weights(W[:, n_h:], W[:, :n_h], b, None, z_keeps=False))


def gru_cell_backward(dh: Array, cache: CellCache) -> Gradients:
    """Return every derivative of `gru_cell`, equations (7)-(13) in variant (b).

    Args: dh (n_h, m); cache from `gru_cell`.
    Returns: dW (3 n_h, n_h + n_x), db (3 n_h, 1), dx (n_x, m), dh_prev (n_h, m).
    Raises: ValueError if dh does not have the shape of h.
    Source: the chain rule on (1)-(6).

    >>> _, cache = gru_cell(np.ones((2, 1)), np.ones((3, 1)), np.zeros((9, 5)), np.zeros((9, 1)))
    >>> gru_cell_backward(np.ones((3, 1)), cache)["dh_prev"][:, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    n_h, m = cache.h_prev.shape
    step = _step_backward(expect("dh", dh, n_h=n_h, m=m), cache)
    dW = np.hstack([step["dWh"], step["dWx"]])  # (3 n_h, n_h + n_x)
    return {"dW": dW, "db": step["dbx"], "dx": step["dx"], "dh_prev": step["dh_prev"]}
