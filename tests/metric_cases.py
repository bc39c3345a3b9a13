"""Options and sample data for every metric."""

from __future__ import annotations

from typing import Any

import numpy as np

# Class, kind of targets and predictions, options.
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("MeanSquaredError", "real", {}),
    ("RootMeanSquaredError", "real", {}),
    ("MeanAbsoluteError", "real", {}),
    ("MeanAbsolutePercentageError", "real", {}),
    ("MeanSquaredLogarithmicError", "real", {}),
    ("LogCoshError", "real", {}),
    ("Poisson", "counts", {}),
    ("Hinge", "signs", {}),
    ("SquaredHinge", "signs", {}),
    ("CategoricalHinge", "onehot", {}),
    ("KLDivergence", "onehot", {}),
    ("CosineSimilarity", "real", {}),
    ("PearsonCorrelation", "real", {}),
    ("ConcordanceCorrelation", "real", {}),
    ("Accuracy", "same", {}),
    ("BinaryAccuracy", "binary", {"threshold": 0.3}),
    ("BinaryCrossentropy", "binary", {"label_smoothing": 0.1}),
    ("BinaryCrossentropy", "binary", {"from_logits": True}),
    ("CategoricalAccuracy", "onehot", {}),
    ("CategoricalCrossentropy", "onehot", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "onehot", {"from_logits": True}),
    ("SparseCategoricalAccuracy", "labels", {}),
    ("SparseCategoricalCrossentropy", "labels", {}),
    ("SparseCategoricalCrossentropy", "labels", {"from_logits": True}),
    ("TopKCategoricalAccuracy", "onehot", {"k": 2}),
    ("SparseTopKCategoricalAccuracy", "labels", {"k": 2}),
    ("Perplexity", "labels", {"from_logits": True}),
    ("BitsPerCharacter", "labels", {}),
    ("TruePositives", "binary", {}),
    ("FalsePositives", "binary", {"thresholds": 0.3}),
    ("TrueNegatives", "binary", {"thresholds": [0.6, 0.2]}),
    ("FalseNegatives", "binary", {"thresholds": [0.2, 0.4, 0.9]}),
    ("Precision", "binary", {}),
    ("Precision", "binary", {"thresholds": [0.5, 0.1, 0.3]}),
    ("Precision", "onehot", {"top_k": 2}),
    ("Precision", "onehot", {"top_k": 2, "class_id": 1, "thresholds": 0.3}),
    ("Recall", "binary", {}),
    ("Recall", "binary", {"thresholds": [0.0, 0.1, 0.9]}),
    ("Recall", "onehot", {"top_k": 3}),
    ("Recall", "binary", {"class_id": 2, "thresholds": 0.2}),
    *(
        ("AUC", "binary", {"curve": curve, "summation_method": method, "num_thresholds": 20})
        for curve in ("ROC", "PR", "PRGAIN")
        for method in ("interpolation", "minoring", "majoring")
    ),
    ("AUC", "binary", {}),
    ("AUC", "binary", {"thresholds": [0.3, 0.1, 0.6], "curve": "PR"}),
    ("AUC", "binary", {"from_logits": True, "num_thresholds": 50}),
    ("AUC", "binary", {"multi_label": True, "num_thresholds": 50}),
    ("AUC", "binary", {"multi_label": True, "num_labels": 4, "label_weights": [1.0, 0.0, 2.0, 0.5]}),
    ("AUC", "binary", {"label_weights": [1.0, 0.0, 2.0, 0.5], "curve": "PR"}),
    ("SensitivityAtSpecificity", "binary", {"specificity": 0.6}),
    ("SpecificityAtSensitivity", "binary", {"sensitivity": 0.6, "num_thresholds": 30}),
    ("PrecisionAtRecall", "binary", {"recall": 0.3}),
    ("RecallAtPrecision", "binary", {"precision": 0.3, "class_id": 1}),
    ("RecallAtPrecision", "binary", {"precision": 0.3, "num_thresholds": 1}),
    ("F1Score", "onehot", {}),
    ("F1Score", "onehot", {"average": "micro"}),
    ("FBetaScore", "binary", {"average": "macro", "beta": 2.0, "threshold": 0.2}),
    ("FBetaScore", "onehot", {"average": "weighted", "beta": 0.5}),
    ("R2Score", "real", {}),
    ("R2Score", "real", {"class_aggregation": None}),
    ("R2Score", "real", {"class_aggregation": "variance_weighted_average"}),
    ("IoU", "classes", {"num_classes": 4, "target_class_ids": [0, 2]}),
    ("MeanIoU", "classes", {"num_classes": 4, "ignore_class": 1}),
    ("MeanIoU", "onehot", {"num_classes": 4, "sparse_y_true": False, "sparse_y_pred": False}),
]
OURS = {"Perplexity", "BitsPerCharacter"}  # not in Keras
IDS = [f"{name}-{'-'.join(map(str, options.values()))}" for name, _, options in CASES]


def sample(kind: str, rows: int = 6, steps: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.random((rows, steps, 4))
    p /= p.sum(-1, keepdims=True)
    labels = rng.integers(0, 4, (rows, steps))
    real = rng.standard_normal(p.shape)
    return {
        "real": (real, p),
        "counts": (rng.integers(0, 5, p.shape).astype(float), p),
        "signs": (np.sign(real), p),
        "same": (labels[..., None] % 2.0, (labels[..., None] > 1).astype(float)),
        "binary": ((rng.random(p.shape) > 0.5).astype(float), p),
        "onehot": (np.eye(4)[labels], p),
        "labels": (labels, p),
        "classes": (labels, np.where(real[..., 0] > 0, labels, 3 - labels)),
    }[kind]
