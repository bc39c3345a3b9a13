"""A hand-written RNN as a student may hand it in: a class, its own names, one method per step."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)


class CharRNN:
    def cell_forward(self, xt, a_prev, parameters):
        zt = parameters["Waa"] @ a_prev + parameters["Wax"] @ xt + parameters["ba"]
        at = np.tanh(zt)
        return at, softmax(parameters["Wya"] @ at + parameters["by"]), (at, a_prev, xt)

    def forward(self, X, a0, parameters):
        states, outputs, caches = [], [], []
        a = a0
        for t in range(X.shape[2]):
            a, y, cache = self.cell_forward(X[:, :, t], a, parameters)
            states.append(a)
            outputs.append(y)
            caches.append((*cache, y))
        return np.stack(states, axis=2), np.stack(outputs, axis=2), caches

    def compute_loss(self, Y_hat, Y):
        return -np.sum(Y * np.log(Y_hat))

    def cell_backward(self, y, da_next, cache, parameters):
        at, a_prev, xt, y_hat = cache
        dy = y_hat - y
        grads = {
            "dWya": dy @ at.T,
            "dby": dy.sum(axis=1, keepdims=True),
        }
        dat = parameters["Wya"].T @ dy + da_next
        dz = (1 - at**2) * dat
        grads["dba"] = dz.sum(axis=1, keepdims=True)
        grads["dWax"] = dz @ xt.T
        grads["dWaa"] = dz @ a_prev.T
        grads["da_prev"] = parameters["Waa"].T @ dz
        return grads

    def backward(self, X, Y, parameters, caches):
        total = {"d" + k: np.zeros_like(v) for k, v in parameters.items()}
        da = np.zeros_like(caches[0][0])
        for t in reversed(range(X.shape[2])):
            step = self.cell_backward(Y[:, :, t], da, caches[t], parameters)
            for name in total:
                total[name] += step[name]
            da = step["da_prev"]
        return total
