"""An LSTM as a student may hand it in: functions, its own names, rows of the cache as tuples."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(X, h0, c0, params):
    W, U, b = params["W"], params["U"], params["b"]
    h, c, H, cache = h0, c0, [], []
    for t in range(X.shape[2]):
        z = W.T @ X[:, :, t] + U.T @ h + b[:, None]
        i, f, g, o = np.split(z, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c_prev, h_prev = c, h
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        H.append(h)
        cache.append((X[:, :, t], h_prev, c_prev, i, f, g, o, c, params))
    return np.stack(H, axis=2), cache


def backward(dH, cache):
    W, U, b = (cache[0][-1][k] for k in "WUb")
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    dh_next, dc_next = np.zeros_like(dH[:, :, 0]), np.zeros_like(dH[:, :, 0])
    for t in reversed(range(len(cache))):
        x, h_prev, c_prev, i, f, g, o, c, _ = cache[t]
        dh = dH[:, :, t] + dh_next
        do = dh * np.tanh(c)
        dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
        di = dc * g
        df = dc * c_prev
        dg = dc * i
        dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dW += x @ dz.T
        dU += h_prev @ dz.T
        db += dz.sum(axis=1)
        dh_next = U @ dz
        dc_next = dc * f
    return {"dW": dW, "dU": dU, "db": db}
