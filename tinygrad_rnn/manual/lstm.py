"""The LSTM by hand, forward and through time: Keras's layout, and the stacked cell of seed 004.

One step (n_h hidden units, n_x inputs, m examples), each gate with its own rows of Wx, Wh, b::

    (1)  z  = Wx x + Wh h_prev + b          (4 n_h, m), rows z_i, z_f, z_c, z_o in some order
    (2)  i  = sigmoid(z_i)    input gate    (n_h, m)
    (3)  f  = sigmoid(z_f)    forget gate   (n_h, m)
    (4)  c~ = tanh(z_c)       candidate     (n_h, m)
    (5)  o  = sigmoid(z_o)    output gate   (n_h, m)
    (6)  c  = f * c_prev + i * c~           (n_h, m)
    (7)  h  = o * tanh(c)                   (n_h, m)

Backward through one step; h and c both leave it, so dL/dc has two sources::

    (8)  dc      = dc_next + dh * o * (1 - tanh(c)^2)
    (9)  dz_o    = dh * tanh(c) * o * (1 - o)
    (10) dz_i    = dc * c~ * i * (1 - i)
    (11) dz_f    = dc * c_prev * f * (1 - f)
    (12) dz_c    = dc * i * (1 - c~^2)
    (13) dc_prev = dc * f                   (n_h, m)
    (14) dWx = dz x^T                       (4 n_h, n_x)
    (15) dWh = dz h_prev^T                  (4 n_h, n_h)
    (16) db  = sum over examples of dz      (4 n_h, 1)
    (17) dx  = Wx^T dz                      (n_x, m)
    (18) dh_prev = Wh^T dz                  (n_h, m)

Through time::

    (19) dh_t = dH_t + (dh_t from step t+1), dc_t starts with (13) of step t+1; from T down to 1
    (20) dW   = sum over t of (14), (15), (16)

Keras stacks the gates as i, f, c~, o; seed 004 as f, i, o, c~ with Wh and Wx side by side.
"""

from typing import NamedTuple

import numpy as np

from ._common import Array, Gradients, Params, accumulate, expect, read, sigmoid, zero_gradients

KERAS_ORDER = "ifco"
SEED_ORDER = "fioc"


class CellCache(NamedTuple):
    """What one step keeps for its backward pass."""

    x: Array  # (n_x, m)
    h_prev: Array  # (n_h, m)
    c_prev: Array  # (n_h, m)
    gates: dict[str, Array]  # i, f, c (the candidate), o: (n_h, m) each
    tanh_c: Array  # (n_h, m)
    Wx: Array  # (4 n_h, n_x)
    Wh: Array  # (4 n_h, n_h)
    order: str  # of the gates in the rows of Wx and Wh


class Cache(NamedTuple):
    """What the backward pass through time needs; C is an output that `forward` has no room for."""

    steps: list[CellCache]
    C: Array  # (n_h, m, T)


def _step(
    x: Array, h_prev: Array, c_prev: Array, Wx: Array, Wh: Array, b: Array, order: str
) -> tuple[Array, Array, CellCache]:
    """Compute one step for any order of the gates, equations (1)-(7)."""
    z = Wx @ x + Wh @ h_prev + b  # (1)  (4 n_h, m)
    part = dict(zip(order, np.split(z, 4), strict=True))  # (n_h, m) each
    i = sigmoid(part["i"])  # (2)  (n_h, m)
    f = sigmoid(part["f"])  # (3)  (n_h, m)
    candidate = np.tanh(part["c"])  # (4)  (n_h, m)
    o = sigmoid(part["o"])  # (5)  (n_h, m)
    c = f * c_prev + i * candidate  # (6)  (n_h, m)
    tanh_c = np.tanh(c)  # (n_h, m)
    h = o * tanh_c  # (7)  (n_h, m)
    gates = {"i": i, "f": f, "c": candidate, "o": o}
    return h, c, CellCache(x, h_prev, c_prev, gates, tanh_c, Wx, Wh, order)


def _step_backward(dh: Array, dc_next: Array, cache: CellCache) -> Gradients:
    """Return every derivative of one step, equations (8)-(18)."""
    x, h_prev, c_prev, gates, tanh_c, Wx, Wh, order = cache
    i, f, candidate, o = gates["i"], gates["f"], gates["c"], gates["o"]  # (n_h, m) each
    dc = dc_next + dh * o * (1 - tanh_c**2)  # (8)  (n_h, m)
    part = {
        "o": dh * tanh_c * o * (1 - o),  # (9)  (n_h, m)
        "i": dc * candidate * i * (1 - i),  # (10)  (n_h, m)
        "f": dc * c_prev * f * (1 - f),  # (11)  (n_h, m)
        "c": dc * i * (1 - candidate**2),  # (12)  (n_h, m)
    }
    dz = np.concatenate([part[gate] for gate in order])  # (4 n_h, m)
    return {
        "dc_prev": dc * f,  # (13)  (n_h, m)
        "dWx": dz @ x.T,  # (14)  (4 n_h, n_x)
        "dWh": dz @ h_prev.T,  # (15)  (4 n_h, n_h)
        "db": dz.sum(axis=1, keepdims=True),  # (16)  (4 n_h, 1)
        "dx": Wx.T @ dz,  # (17)  (n_x, m)
        "dh_prev": Wh.T @ dz,  # (18)  (n_h, m)
    }


def forward(X: Array, h0: Array, c0: Array, params: Params) -> tuple[Array, Cache]:
    """Run the LSTM over a sequence, equations (1)-(7) for every t.

    The parameters have Keras's shapes and gate order i, f, c~, o; inside they are transposed into
    columns: Wx = kernel^T, Wh = recurrent_kernel^T.

    Args: X (n_x, m, T), h0 and c0 (n_h, m); params kernel (n_x, 4 n_h), recurrent_kernel
        (n_h, 4 n_h), bias (4 n_h,).
    Returns: H (n_h, m, T) and the cache; its field C holds the cell states (n_h, m, T).
    Raises: ValueError for shapes that do not fit, KeyError for a missing parameter.
    Source: Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000); Keras 3.

    >>> kernel, recurrent_kernel = np.zeros((2, 12)), np.zeros((3, 12))
    >>> params = dict(kernel=kernel, recurrent_kernel=recurrent_kernel, bias=np.zeros(12))
    >>> H, cache = forward(np.ones((2, 1, 4)), np.zeros((3, 1)), np.ones((3, 1)), params)
    >>> H.shape, cache.C[0, 0].tolist()  # every gate is 1/2, the candidate 0
    ((3, 1, 4), [0.5, 0.25, 0.125, 0.0625])
    """
    kernel, recurrent_kernel, bias = read(params, "kernel", "recurrent_kernel", "bias")
    n_h = expect("recurrent_kernel", recurrent_kernel, n_h=None, four_n_h=None).shape[0]
    expect("recurrent_kernel", recurrent_kernel, n_h=n_h, four_n_h=4 * n_h)
    n_x, _ = expect("kernel", kernel, n_x=None, four_n_h=4 * n_h).shape
    b = expect("bias", bias, four_n_h=4 * n_h)[:, np.newaxis]  # (4 n_h, 1)
    X = expect("X", X, n_x=n_x, m=None, T=None)
    h = expect("h0", h0, n_h=n_h, m=X.shape[1])
    c = expect("c0", c0, n_h=n_h, m=X.shape[1])
    hs, cs, steps = [], [], []
    for t in range(X.shape[2]):
        h, c, step = _step(X[:, :, t], h, c, kernel.T, recurrent_kernel.T, b, KERAS_ORDER)
        hs.append(h)
        cs.append(c)
        steps.append(step)
    return np.stack(hs, axis=2), Cache(steps, np.stack(cs, axis=2))  # (n_h, m, T)


def backward(
    dH: Array, cache: Cache, dh_last: Array | None = None, dc_last: Array | None = None
) -> Gradients:
    """Propagate gradients back through time, equations (8)-(20).

    Args: dH (n_h, m, T), what the loss sends to each h_t directly; dh_last and dc_last (n_h, m),
        extra gradients of the final states, zero unless given; cache from `forward`.
    Returns: dkernel, drecurrent_kernel, dbias in Keras's shapes, dX (n_x, m, T), dh0, dc0 (n_h, m).
    Raises: ValueError for shapes that do not fit.
    Source: the chain rule on (1)-(7); Graves (2012), section 4.6.

    >>> kernel, recurrent_kernel = np.zeros((2, 12)), np.zeros((3, 12))
    >>> params = dict(kernel=kernel, recurrent_kernel=recurrent_kernel, bias=np.zeros(12))
    >>> _, cache = forward(np.ones((2, 1, 4)), np.zeros((3, 1)), np.zeros((3, 1)), params)
    >>> gradients = backward(np.zeros((3, 1, 4)), cache, dc_last=np.ones((3, 1)))
    >>> gradients["dc0"][0].item()  # the forget gates are 1/2
    0.0625
    """
    first, T = cache.steps[0], len(cache.steps)
    n_h, m = first.h_prev.shape
    dH = expect("dH", dH, n_h=n_h, m=m, T=T)
    zero = np.zeros_like(cache.C[:, :, -1])  # (n_h, m)
    dh = zero if dh_last is None else expect("dh_last", dh_last, n_h=n_h, m=m)
    dc = zero if dc_last is None else expect("dc_last", dc_last, n_h=n_h, m=m)
    total = zero_gradients(dWx=first.Wx, dWh=first.Wh, db=first.Wh[:, :1])
    dx = []
    for t in reversed(range(T)):
        step = _step_backward(dH[:, :, t] + dh, dc, cache.steps[t])  # (19)
        accumulate(total, step)  # (20)
        dx.append(step["dx"])
        dh, dc = step["dh_prev"], step["dc_prev"]  # (n_h, m)
    return {
        "dkernel": total["dWx"].T,  # (n_x, 4 n_h)
        "drecurrent_kernel": total["dWh"].T,  # (n_h, 4 n_h)
        "dbias": total["db"][:, 0],  # (4 n_h,)
        "dX": np.stack(dx[::-1], axis=2),  # (n_x, m, T)
        "dh0": dh,
        "dc0": dc,
    }


def lstm_cell(x: Array, h_prev: Array, c_prev: Array, W: Array, b: Array) -> tuple[Array, Array, CellCache]:
    """Compute one step with the stacked weights of seed 004: W [h_prev; x] + b, gates f, i, o, c~.

    The same equations (1)-(7), with W = [Wh, Wx] side by side.

    Args: x (n_x, m), h_prev and c_prev (n_h, m), W (4 n_h, n_h + n_x), b (4 n_h, 1).
    Returns: h (n_h, m), c (n_h, m), the cache.
    Raises: ValueError for shapes that do not fit.
    Source: seed 004, LSTMCell.

    >>> x, h, c = np.ones((2, 1)), np.ones((3, 1)), np.ones((3, 1))
    >>> h, c, _ = lstm_cell(x, h, c, np.zeros((12, 5)), np.zeros((12, 1)))
    >>> c[:, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    x = expect("x", x, n_x=None, m=None)
    h_prev = expect("h_prev", h_prev, n_h=None, m=x.shape[1])
    n_h, m = h_prev.shape
    c_prev = expect("c_prev", c_prev, n_h=n_h, m=m)
    W = expect("W", W, four_n_h=4 * n_h, n_h_plus_n_x=n_h + x.shape[0])
    b = expect("b", b, four_n_h=4 * n_h, one=1)
    return _step(x, h_prev, c_prev, W[:, n_h:], W[:, :n_h], b, SEED_ORDER)


def lstm_cell_backward(dh: Array, dc: Array, cache: CellCache) -> Gradients:
    """Return every derivative of `lstm_cell`, equations (8)-(18).

    Args: dh and dc (n_h, m), the gradients of its two outputs; cache from `lstm_cell`.
    Returns: dW (4 n_h, n_h + n_x), db (4 n_h, 1), dx (n_x, m), dh_prev, dc_prev (n_h, m).
    Raises: ValueError for shapes that do not fit.
    Source: the chain rule on (1)-(7).

    >>> x, h, c = np.ones((2, 1)), np.ones((3, 1)), np.ones((3, 1))
    >>> h, c, cache = lstm_cell(x, h, c, np.zeros((12, 5)), np.zeros((12, 1)))
    >>> lstm_cell_backward(np.zeros((3, 1)), np.ones((3, 1)), cache)["dc_prev"][:, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    n_h, m = cache.h_prev.shape
    dh, dc = expect("dh", dh, n_h=n_h, m=m), expect("dc", dc, n_h=n_h, m=m)
    step = _step_backward(dh, dc, cache)
    dWx, dWh = step.pop("dWx"), step.pop("dWh")
    return {"dW": np.hstack([dWh, dWx]), **step}
