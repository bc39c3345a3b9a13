"""A formula and sample data for every loss. A formula runs in NumPy and in PyTorch, whose module is `m`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.losses.loss import CLASSES

EPS = 1e-7


def _log(m: Any, v: Any) -> Any:
    return m.log(m.clip(v, EPS, None))


def _cosine(m: Any, y: Any, p: Any) -> Any:
    return -(y * p).sum(-1) / ((y * y).sum(-1) * (p * p).sum(-1)) ** 0.5


def _binary(m: Any, y: Any, p: Any) -> Any:
    return -(y * m.log(p) + (1 - y) * m.log(1 - p))


CASES: dict[str, tuple[str, Any]] = {  # name -> (kind of targets and predictions, formula for the values)
    "mean_squared_error": ("real", lambda m, y, p: ((y - p) ** 2).mean(-1)),
    "mean_absolute_error": ("real", lambda m, y, p: abs(y - p).mean(-1)),
    "mean_absolute_percentage_error": (
        "real",
        lambda m, y, p: 100 * abs((y - p) / m.clip(abs(y), EPS, None)).mean(-1),
    ),
    "mean_squared_logarithmic_error": (
        "real",
        lambda m, y, p: ((_log(m, m.clip(p, EPS, None) + 1) - _log(m, m.clip(y, EPS, None) + 1)) ** 2).mean(
            -1
        ),
    ),
    "huber": (
        "real",
        lambda m, y, p: m.where(abs(p - y) <= 1, (p - y) ** 2 / 2, abs(p - y) - 0.5).mean(-1),
    ),
    "log_cosh": ("real", lambda m, y, p: m.log(m.cosh(p - y)).mean(-1)),
    "cosine_similarity": ("real", _cosine),
    "poisson": ("positive", lambda m, y, p: (p - y * m.log(p + EPS)).mean(-1)),
    "kl_divergence": (
        "onehot",
        lambda m, y, p: (m.clip(y, EPS, 1) * m.log(m.clip(y, EPS, 1) / m.clip(p, EPS, 1))).sum(-1),
    ),
    "hinge": ("signs", lambda m, y, p: m.clip(1 - y * p, 0, None).mean(-1)),
    "squared_hinge": ("signs", lambda m, y, p: (m.clip(1 - y * p, 0, None) ** 2).mean(-1)),
    "categorical_hinge": (
        "onehot",
        lambda m, y, p: m.clip(m.amax((1 - y) * p, -1) - (y * p).sum(-1) + 1, 0, None),
    ),
    "binary_crossentropy": ("binary", lambda m, y, p: _binary(m, y, p).mean(-1)),
    "binary_focal_crossentropy": (
        "binary",
        lambda m, y, p: ((1 - y * p - (1 - y) * (1 - p)) ** 2 * _binary(m, y, p)).mean(-1),
    ),
    "categorical_crossentropy": ("onehot", lambda m, y, p: -(y * m.log(p / p.sum(-1)[..., None])).sum(-1)),
    "categorical_focal_crossentropy": (
        "onehot",
        lambda m, y, p: (
            -0.25 * (y * (1 - p / p.sum(-1)[..., None]) ** 2 * m.log(p / p.sum(-1)[..., None])).sum(-1)
        ),
    ),
    "sparse_categorical_crossentropy": (
        "labels",
        lambda m, y, p: -(y * m.log(p / p.sum(-1)[..., None])).sum(-1),
    ),
}
WHOLE: dict[str, tuple[str, Any]] = {  # one value for the whole batch
    "dice": ("binary", lambda m, y, p: 1 - 2 * (y * p).sum() / (y.sum() + p.sum() + EPS)),
    "tversky": (
        "binary",
        lambda m, y, p: 1 - (y * p).sum() / ((y * p).sum() + ((1 - y) * p + y * (1 - p)).sum() / 2 + EPS),
    ),
}
APART = {"ctc"}  # in test_ctc.py
OBJECTS = {fn.__name__: cls for fn, cls in CLASSES.items()}


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


def expected(name: str, y: np.ndarray, p: Any, m: Any = np) -> Any:
    """The values by the formula; labels as one-hot vectors."""
    kind, formula = (CASES | WHOLE)[name]
    y = np.eye(p.shape[-1])[y] if kind == "labels" else y
    return formula(m, y if m is np else m.tensor(y), p)
