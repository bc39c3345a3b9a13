"""Callbacks: objects that `fit`, `evaluate` and `predict` call as they pass. Names and behaviour are Keras's."""

from __future__ import annotations

from functools import partial

from ..absent import missing
from .averages import SwapEMAWeights
from .backup import BackupAndRestore
from .callback import Callback, History, LambdaCallback
from .checkpoint import ModelCheckpoint
from .gradients import GradientNorms
from .logs import CSVLogger, TerminateOnNaN
from .monitor import EarlyStopping, MonitorCallback
from .rates import LearningRateScheduler, ReduceLROnPlateau

__all__ = [
    "BackupAndRestore", "CSVLogger", "Callback", "EarlyStopping", "GradientNorms", "History", "LambdaCallback",
    "LearningRateScheduler", "ModelCheckpoint", "MonitorCallback", "ReduceLROnPlateau", "SwapEMAWeights",
    "TerminateOnNaN",
]  # fmt: skip

__getattr__ = partial(missing, __name__)  # only for what is missing
