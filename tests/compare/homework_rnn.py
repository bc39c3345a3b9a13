"""A vanilla RNN as a student may hand it in: functions, and one array for the states of all steps."""

import numpy as np


def softmax(v):
    e = np.exp(v - v.max(0))
    return e / e.sum(0)


def forward(X, a0, parameters):
    Wax, Waa, Wya, ba, by = (parameters[k] for k in ("Wax", "Waa", "Wya", "ba", "by"))
    n_x, m, T = X.shape
    hs = np.zeros((Waa.shape[0], m, T + 1))
    hs[:, :, 0] = a0
    ps = np.zeros((Wya.shape[0], m, T))
    for t in range(T):
        hs[:, :, t + 1] = np.tanh(Wax @ X[:, :, t] + Waa @ hs[:, :, t] + ba)
        ps[:, :, t] = softmax(Wya @ hs[:, :, t + 1] + by)
    return hs[:, :, 1:], ps, (hs, ps)


def backward(X, Y, parameters, caches):
    Wax, Waa, Wya, ba, by = (parameters[k] for k in ("Wax", "Waa", "Wya", "ba", "by"))
    hs, ps = caches
    dWax, dWaa, dWya = np.zeros_like(Wax), np.zeros_like(Waa), np.zeros_like(Wya)
    dba, dby = np.zeros_like(ba), np.zeros_like(by)
    dhnext = np.zeros_like(hs[:, :, 0])
    for t in reversed(range(X.shape[2])):
        h = hs[:, :, t + 1]
        dy = ps[:, :, t] - Y[:, :, t]
        dWya += dy @ h.T
        dby += dy.sum(1, keepdims=True)
        dh = Wya.T @ dy + dhnext
        dhraw = (1 - h * h) * dh
        dba += dhraw.sum(1, keepdims=True)
        dWax += dhraw @ X[:, :, t].T
        dWaa += dhraw @ hs[:, :, t].T
        dhnext = Waa.T @ dhraw
    return {"dWax": dWax, "dWaa": dWaa, "dWya": dWya, "dba": dba, "dby": dby}
