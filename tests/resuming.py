"""Trains in a process of its own: goes on with saved models, or is killed and goes on with a backup.

python resuming.py load FOLDER        # FOLDER/*.tgr -> FOLDER/*.end.tgr
python resuming.py backup FOLDER N    # killed after N batches, if N is not 0
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import layers, optimizers
from tinygrad_rnn.models import load_model

EPOCHS, AT, BATCH = 4, 2, 5
RNG = np.random.default_rng(3)
X = RNG.standard_normal((12, 3, 2)).astype(np.float32)
Y = RNG.integers(0, 3, 12)
OPTIONS: list[dict[str, Any]] = [
    {"learning_rate": optimizers.schedules.CosineDecay(0.05, 20, warmup_steps=3, warmup_target=0.1)},
    {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3, "gradient_accumulation_steps": 2},
    {"weight_decay": 0.1, "clipnorm": 0.5, "learning_rate": 0.02},
]


def make(rule: str, options: dict[str, Any]) -> Any:
    model = tg.Sequential(
        [
            tg.Input((None, 2)),
            layers.GaussianNoise(0.1),
            layers.SimpleRNN(2, dropout=0.3, recurrent_dropout=0.2),
            layers.BatchNormalization(momentum=0.6),
            layers.Dropout(0.2),
            layers.Dense(3, "softmax", kernel_regularizer="l2"),
        ]
    )
    optimizer = getattr(optimizers, rule)(**options)
    model.compile(optimizer, "categorical_crossentropy", metrics=["acc", tg.metrics.F1Score(name="f1"), "ce"])
    return model


def fit(model: Any, **options: Any) -> Any:
    data = {"validation_data": (X[:6], np.eye(3, dtype=np.float32)[Y[:6]]), "batch_size": BATCH, "verbose": 0}
    return model.fit(X, np.eye(3, dtype=np.float32)[Y], epochs=EPOCHS, **data, **options)


class Kill(tg.callbacks.Callback):
    """Ends the process as a power cut does."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            os._exit(9)


def backed_up(folder: Path, kill: int) -> Any:
    """A run with a backup every four batches."""
    model = make("Adam", OPTIONS[1])
    backup = tg.callbacks.BackupAndRestore(folder / "backup", save_freq=4)
    fit(model, callbacks=[backup, Kill(kill)])
    return model


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    if sys.argv[1] == "load":
        for path in sorted(folder.glob("*.tgr")):
            loaded = load_model(path)
            fit(loaded, initial_epoch=AT, append_history=True)
            loaded.save(path.with_suffix(".end.tgr"))
    else:
        tg.utils.set_random_seed(1 if int(sys.argv[3]) else 77)
        backed_up(folder, int(sys.argv[3])).save(folder / "backed_up.tgr")
