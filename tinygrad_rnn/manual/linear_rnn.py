"""The linear RNN that counts ones (seed 003): two weights, every gradient by hand, and Rprop.

Rows are examples here, as in the seed: X is (m, T) and the states S are (m, T + 1), S[:, 0] = 0.
Forward, for k = 1 .. T::

    (1)  S_k = X_k wx + S_{k-1} wRec                (m,)
    (2)  y   = S_T                                  (m,)
    (3)  cost = sum over examples (t - y)^2 / m     scalar, t counts the ones of a row

Backward, from the output to the first state::

    (4)  dy = dcost/dy = 2 (y - t) / m              (m,)
    (5)  dS_T = dy
    (6)  dS_{k-1} = dS_k wRec                       (m,), hence dS_{T-j} = wRec^j dy: explodes for
                                                    |wRec| > 1, vanishes for |wRec| < 1
    (7)  dwx   = sum over k = 1..T and examples of dS_k X_k
    (8)  dwRec = sum over k = 1..T and examples of dS_k S_{k-1}
    (9)  dX_k  = dS_k wx                            (m,)

Rprop, for each weight w with step size D, using only the sign s of its gradient::

    (10) D <- eta+ D if s equals the previous sign, else eta- D
    (11) w <- w - s D

The seed's printed text lost its minus signs; the equations above have them restored.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._common import Array, Gradients, expect


class Cache(NamedTuple):
    """What the backward pass needs."""

    X: Array  # (m, T)
    S: Array  # (m, T + 1)
    wx: Any  # scalar
    wRec: Any  # scalar


def make_data(seed: int = 1, n_samples: int = 20, length: int = 10) -> tuple[Array, Array]:
    """Draw the seed text's data set: random bits, and how many ones each row has.

    Args: seed of NumPy's legacy generator, number of rows, bits per row.
    Returns: X (n_samples, length) of 0.0 and 1.0, t (n_samples,).
    Source: seed 003, "Define the dataset" (seed 1, 20 x 10).

    >>> X, t = make_data()
    >>> X[0].astype(int).tolist(), t.sum().item()
    ([0, 1, 0, 0, 0, 0, 0, 0, 0, 1], 103.0)
    """
    rng = np.random.RandomState(seed)
    X = np.stack([np.around(rng.rand(length)) for _ in range(n_samples)])  # (m, T)
    return X, X.sum(axis=1)


def update_state(xk: Array, sk: Array, wx: float, wRec: float) -> Array:
    """Compute the next state from the input and the previous state, equation (1).

    Args: xk (m,), sk (m,), the two weights. Returns: (m,).
    Source: seed 003.

    >>> update_state(np.array([1.0]), np.array([2.0]), 3.0, 0.5).tolist()
    [4.0]
    """
    return xk * wx + sk * wRec  # (1)  (m,)


def forward_states(X: Array, wx: float, wRec: float) -> Array:
    """Compute all states of all rows, equation (1) for k = 1 .. T.

    Args: X (m, T), the two weights. Returns: S (m, T + 1); S[:, 0] = 0 and S[:, -1] is the output.
    Raises: ValueError if X is not (m, T) or has no time step.
    Source: seed 003.

    >>> forward_states(np.array([[1.0, 0.0, 1.0]]), 1.0, 2.0).tolist()
    [[0.0, 1.0, 2.0, 5.0]]
    """
    X = expect("X", X, m=None, T=None)
    if X.shape[1] == 0:
        raise ValueError(f"X: expected at least one time step, received shape {X.shape}")
    S = np.zeros((X.shape[0], X.shape[1] + 1), dtype=np.result_type(X, wx, wRec))  # (m, T + 1)
    for k in range(1, X.shape[1] + 1):
        S[:, k] = update_state(X[:, k - 1], S[:, k - 1], wx, wRec)  # (1)  X_k is column k - 1
    return S


def cost(y: Array, t: Array) -> Any:
    """Return the mean squared error over the examples, equation (3).

    Args: y (m,), t (m,). Returns: a scalar. Raises: ValueError if the shapes differ.
    Source: seed 003.

    >>> cost(np.array([1.0, 3.0]), np.array([1.0, 1.0])).item()
    2.0
    """
    t = expect("t", t, m=len(y))
    return ((t - y) ** 2).sum() / len(y)  # (3)


def output_gradient(y: Array, t: Array) -> Array:
    """Return the gradient of the cost with respect to the output, equation (4).

    Args: y (m,), t (m,). Returns: (m,). Raises: ValueError if the shapes differ.
    Source: seed 003.

    >>> output_gradient(np.array([1.0, 3.0]), np.array([1.0, 1.0])).tolist()
    [0.0, 2.0]
    """
    t = expect("t", t, m=len(y))
    return 2.0 * (y - t) / len(y)  # (4)  (m,)


def backward_gradient(X: Array, S: Array, grad_out: Array, wRec: float) -> tuple[tuple[Any, Any], Array]:
    """Propagate the output's gradient through time, equations (5)-(8).

    Args: X (m, T), S (m, T + 1), grad_out (m,) or a scalar for all rows, wRec.
    Returns: (dwx, dwRec) and the gradients of the states, (m, T + 1).
    Raises: ValueError if S is not (m, T + 1).
    Source: seed 003.

    >>> X = np.array([[1.0, 0.0]])
    >>> (dwx, dwRec), dS = backward_gradient(X, forward_states(X, 1.0, 2.0), np.array([1.0]), 2.0)
    >>> float(dwx), float(dwRec), dS.tolist()
    (2.0, 1.0, [[4.0, 2.0, 1.0]])
    """
    X = expect("X", X, m=None, T=None)
    S = expect("S", S, m=X.shape[0], T_plus_1=X.shape[1] + 1)
    dS = np.zeros(S.shape, dtype=np.result_type(S, grad_out, wRec))  # (m, T + 1)
    dS[:, -1] = grad_out  # (5)  (m,)
    dwx: Any = S.dtype.type(0)
    dwRec: Any = S.dtype.type(0)
    for k in range(X.shape[1], 0, -1):
        dwx += np.sum(dS[:, k] * X[:, k - 1])  # (7)  X_k is column k - 1
        dwRec += np.sum(dS[:, k] * S[:, k - 1])  # (8)
        dS[:, k - 1] = dS[:, k] * wRec  # (6)  (m,)
    return (dwx, dwRec), dS


def forward(X: Array, params: Mapping[str, float]) -> tuple[Array, Cache]:
    """Count with the two weights, equations (1) and (2), in the package's standard form.

    Args: X (m, T); params wx, wRec: numbers. Returns: y (m,) and the cache.
    Raises: ValueError if X is not (m, T), KeyError for a missing weight.
    Source: seed 003.

    >>> y, _ = forward(np.array([[1.0, 0.0, 1.0]]), {"wx": 1.0, "wRec": 1.0})
    >>> y.tolist()
    [2.0]
    """
    S = forward_states(X, params["wx"], params["wRec"])  # (m, T + 1)
    return S[:, -1].copy(), Cache(np.asarray(X), S, params["wx"], params["wRec"])  # (2)


def backward(dy: Array, cache: Cache) -> Gradients:
    """Return the gradients of weights, inputs and states, equations (5)-(9).

    Args: dy (m,); cache from `forward`.
    Returns: dwx, dwRec (scalar arrays), dX (m, T), dS (m, T + 1): the gradient over time.
    Raises: ValueError if dy is not (m,).
    Source: seed 003.

    >>> _, cache = forward(np.array([[1.0, 0.0]]), {"wx": 1.0, "wRec": 2.0})
    >>> gradients = backward(np.array([1.0]), cache)
    >>> gradients["dwx"].item(), gradients["dX"].tolist()
    (2.0, [[2.0, 1.0]])
    """
    X, S, wx, wRec = cache
    dy = expect("dy", dy, m=X.shape[0])
    (dwx, dwRec), dS = backward_gradient(X, S, dy, wRec)  # (5)-(8)
    dX = dS[:, 1:] * wx  # (9)  (m, T)
    return {"dwx": np.asarray(dwx), "dwRec": np.asarray(dwRec), "dX": dX, "dS": dS}


def gradient(X: Array, t: Array, wx: float, wRec: float) -> tuple[Any, Any]:
    """Return (dcost/dwx, dcost/dwRec), equations (1)-(8) in one call.

    Args: X (m, T), t (m,), the two weights. Returns: two scalars.
    Raises: ValueError for shapes that do not fit.
    Source: seed 003.

    >>> [round(float(g), 6) for g in gradient(*make_data(), 1.2, 1.2)]
    [274.595429, 1593.242844]
    """
    S = forward_states(X, wx, wRec)  # (m, T + 1)
    return backward_gradient(X, S, output_gradient(S[:, -1], t), wRec)[0]


def numerical_gradient(X: Array, t: Array, wx: float, wRec: float, eps: float = 1e-7) -> tuple[Any, Any]:
    """Return the central difference (cost(w + eps) - cost(w - eps)) / (2 eps) for both weights.

    Args: X (m, T), t (m,), the two weights, the step. Returns: two scalars.
    Raises: ValueError for shapes that do not fit.
    Source: seed 003, "Gradient Checking" (which leaves its weights one rounding error off; nothing
        is modified here).

    >>> [round(float(g), 3) for g in numerical_gradient(*make_data(), 1.2, 1.2)]
    [274.595, 1593.243]
    """

    def at(wx: float, wRec: float) -> Any:
        return cost(forward_states(X, wx, wRec)[:, -1], t)

    dwx = (at(wx + eps, wRec) - at(wx - eps, wRec)) / (2 * eps)
    dwRec = (at(wx, wRec + eps) - at(wx, wRec - eps)) / (2 * eps)
    return dwx, dwRec


def gradient_over_time(X: Array, t: Array, wx: float, wRec: float, *, as_in_tutorial: bool = False) -> Array:
    """Return the sum over the examples of dcost/dS_k for k = 0 .. T, equations (4)-(6).

    Args: X (m, T), t (m,), the two weights; as_in_tutorial repeats a slip of the seed, whose plot
        gives the sum of dy to every row and sums again, so that all its values are m times too big.
    Returns: (T + 1,), geometric with ratio wRec from the last element to the first.
    Raises: ValueError for shapes that do not fit.
    Source: seed 003, the figure "Unstability of gradient in backward propagation".

    >>> X, t = make_data()
    >>> gradient_over_time(X, t, 2.0, 1.0)[-1].item()
    10.3
    >>> round(gradient_over_time(X, t, 2.0, 1.0, as_in_tutorial=True)[-1].item(), 9)
    206.0
    """
    S = forward_states(X, wx, wRec)  # (m, T + 1)
    dy = output_gradient(S[:, -1], t)  # (m,)
    _, dS = backward_gradient(X, S, dy.sum() if as_in_tutorial else dy, wRec)  # (m, T + 1)
    return np.asarray(dS.sum(axis=0))


def update_rprop(
    gradients: Sequence[Any],
    previous_sign: Sequence[float],
    delta: Sequence[float],
    eta_plus: float = 1.2,
    eta_minus: float = 0.5,
) -> tuple[list[float], list[float]]:
    """Return the next step sizes and the signs of the gradients, equation (10).

    Args: one gradient, previous sign (0 at first) and step size per weight; the two factors.
    Returns: the new step sizes and the new signs.
    Source: seed 003; Riedmiller and Braun (1993), without their step back.

    >>> update_rprop([-3.0, 8.0], [-1.0, -1.0], [0.5, 0.5])
    ([0.6, 0.25], [-1.0, 1.0])
    """
    sign = [float(np.sign(g)) for g in gradients]
    factors = [eta_plus if s == p else eta_minus for s, p in zip(sign, previous_sign, strict=True)]
    return [d * factor for d, factor in zip(delta, factors, strict=True)], sign  # (10)


def rprop(
    X: Array,
    t: Array,
    W0: tuple[float, float] = (-1.5, 2.0),
    n_iterations: int = 500,
    delta0: float = 0.001,
    eta_plus: float = 1.2,
    eta_minus: float = 0.5,
) -> Array:
    """Train the two weights with Rprop and return the whole path, equations (10) and (11).

    The previous sign starts at 0, so the very first update halves delta0. Only signs of gradients
    are used: rounding errors of the gradient leave no trace in the path.

    Args: X (m, T), t (m,), start (wx, wRec), number of updates, first step size, the two factors.
    Returns: (n_iterations + 1, 2), columns wx and wRec; row 0 is the start, row -1 the result.
    Raises: ValueError for shapes that do not fit.
    Source: seed 003, "Rprop optimisation".

    >>> rprop(*make_data())[-1].tolist()
    [1.001355547207059, 0.9996744737846419]
    """
    W, delta, sign = list(W0), [delta0, delta0], [0.0, 0.0]
    path = [tuple(W)]
    for _ in range(n_iterations):
        gradients = gradient(X, t, W[0], W[1])
        delta, sign = update_rprop(gradients, sign, delta, eta_plus, eta_minus)  # (10)
        W = [w - s * d for w, s, d in zip(W, sign, delta, strict=True)]  # (11)
        path.append(tuple(W))
    return np.array(path)  # (n_iterations + 1, 2)
