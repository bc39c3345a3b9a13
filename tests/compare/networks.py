"""A tanh network with its loss in ops, and the same gradients by hand in NumPy, twice."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn import Variable, ops

Arrays = dict[str, Any]


class Rnn:
    """`a_t = act(X_t Wx + a_{t−1} Wh + b)`, softmax cross-entropy of `a_t Wy + by` at every step."""

    def __init__(
        self, seed: int, steps: int, scale: float = 1.0, units: int = 5, dtype: Any = np.float64,
        activation: Callable[[Any], Any] = ops.tanh, batch: int = 3,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        shapes = {"Wx": (4, units), "Wh": (units, units), "b": (units,), "Wy": (units, 4), "by": (4,)}
        size = {"Wx": 0.5, "Wh": scale / np.sqrt(units), "b": 0.1, "Wy": 0.5, "by": 0.0}
        self.params = {
            name: Variable((rng.standard_normal(shape) * size[name]).astype(dtype), name=name)
            for name, shape in shapes.items()
        }
        self.x = rng.standard_normal((steps, batch, 4)).astype(dtype)
        self.labels = rng.integers(0, 4, (steps, batch))
        self.activation = activation

    def loss(self) -> Any:
        p, total = self.params, 0.0
        a = np.zeros((self.x.shape[1], p["b"].size), p["b"].dtype)
        for x, labels in zip(self.x, self.labels, strict=True):
            z = x @ p["Wx"] + a @ p["Wh"] + p["b"]
            a = self.activation(z)
            y = a @ p["Wy"] + p["by"]
            total = total + ops.sparse_categorical_crossentropy(labels, y, from_logits=True).sum()
        return total

    def smooth_loss(self) -> Any:
        """The same network with a squared error: every op is analytic."""
        p, total = self.params, 0.0
        a = np.zeros((self.x.shape[1], p["b"].size), p["b"].dtype)
        for x in self.x:
            a = self.activation(x @ p["Wx"] + a @ p["Wh"] + p["b"])
            y = a @ p["Wy"] + p["by"]
            total = total + (y * y).sum()
        return total

    def by_hand(self, truncate: int | None = None, rec: Callable[..., None] | None = None) -> Arrays:
        """Backpropagation through time; with `truncate`, every loss flows back so many steps only (wrong)."""
        p = {name: v.numpy() for name, v in self.params.items()}
        steps, batch, _ = self.x.shape
        a = [np.zeros((batch, p["b"].size), p["b"].dtype)]
        dy = []
        for x, labels in zip(self.x, self.labels, strict=True):
            a.append(np.tanh(np.concatenate([x, a[-1]], 1) @ np.concatenate([p["Wx"], p["Wh"]]) + p["b"]))
            y = a[-1] @ p["Wy"] + p["by"]
            e = np.exp(y - y.max(-1, keepdims=True))
            e /= e.sum(-1, keepdims=True)
            e[np.arange(batch), labels] -= 1
            dy.append(e)
        grads = {"d" + name: np.zeros_like(value) for name, value in p.items()}
        for t in reversed(range(steps)):
            grads["dWy"] += a[t + 1].T @ dy[t]
            grads["dby"] += dy[t].sum(0)

        def back(start: int, stop: int, losses: range) -> None:
            da = np.zeros_like(a[0])
            for t in reversed(range(stop, start)):
                d = da + dy[t] @ p["Wy"].T if t in losses else da
                dz = d - d * a[t + 1] * a[t + 1]
                grads["dWx"] += self.x[t].T @ dz
                grads["dWh"] += a[t].T @ dz
                grads["db"] += dz.sum(0)
                da = dz @ p["Wh"].T
                if rec is not None:
                    rec(
                        t,
                        dy=dy[t],
                        da=d,
                        dz=dz,
                        dWx=grads["dWx"],
                        dWh=grads["dWh"],
                        db=grads["db"],
                        da_prev=da,
                    )

        if truncate is None:
            back(steps, 0, range(steps))
        else:
            for t in range(steps):
                back(t + 1, max(t + 1 - truncate, 0), range(t, t + 1))
        return grads
