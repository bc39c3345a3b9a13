"""A formula in NumPy and sample data for every loss."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn import losses

EPS = 1e-7
CASES = {  # name -> (kind of targets and predictions, formula for the values)
    "mean_squared_error": ("real", lambda y, p: ((y - p) ** 2).mean(-1)),
    "mean_absolute_error": ("real", lambda y, p: np.abs(y - p).mean(-1)),
    "mean_absolute_percentage_error": (
        "real",
        lambda y, p: 100 * np.abs((y - p) / np.maximum(np.abs(y), EPS)).mean(-1),
    ),
    "mean_squared_logarithmic_error": (
        "real",
        lambda y, p: ((np.log(np.maximum(p, EPS) + 1) - np.log(np.maximum(y, EPS) + 1)) ** 2).mean(-1),
    ),
    "huber": ("real", lambda y, p: np.where(abs(p - y) <= 1, (p - y) ** 2 / 2, abs(p - y) - 0.5).mean(-1)),
    "log_cosh": ("real", lambda y, p: np.log(np.cosh(p - y)).mean(-1)),
    "cosine_similarity": (
        "real",
        lambda y, p: -(y * p).sum(-1) / np.linalg.norm(y, axis=-1) / np.linalg.norm(p, axis=-1),
    ),
    "poisson": ("positive", lambda y, p: (p - y * np.log(p + EPS)).mean(-1)),
    "kl_divergence": ("onehot", lambda y, p: (np.clip(y, EPS, 1) * np.log(np.clip(y, EPS, 1) / p)).sum(-1)),
    "hinge": ("signs", lambda y, p: np.maximum(1 - y * p, 0).mean(-1)),
    "squared_hinge": ("signs", lambda y, p: (np.maximum(1 - y * p, 0) ** 2).mean(-1)),
    "categorical_hinge": ("onehot", lambda y, p: np.maximum(((1 - y) * p).max(-1) - (y * p).sum(-1) + 1, 0)),
    "binary_crossentropy": ("binary", lambda y, p: -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(-1)),
    "categorical_crossentropy": ("onehot", lambda y, p: -(y * np.log(p)).sum(-1)),
    "sparse_categorical_crossentropy": (
        "labels",
        lambda y, p: -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0]),
    ),
}
OBJECTS = {cls.fn.__name__: cls for cls in losses.objects.CLASSES}


def sample(kind: str, shape: tuple[int, ...] = (4, 3, 5), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    real, other = rng.standard_normal(shape), 2 * rng.standard_normal(shape)
    labels = rng.integers(0, shape[-1], shape[:-1])
    positive = rng.random(shape) + 0.05
    p = positive / positive.sum(-1, keepdims=True)
    return {
        "real": (real, other),
        "positive": (np.abs(real), positive),
        "onehot": (np.eye(shape[-1])[labels], p),
        "signs": (np.sign(real), other),
        "binary": ((real > 0).astype(float), positive / 1.2),
        "labels": (labels, p),
    }[kind]
