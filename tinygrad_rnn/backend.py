"""The names that programs import from `keras.backend`: settings, and `clear_session`."""

from __future__ import annotations

import ctypes
import gc
import sys

from .bptt.derived import forget
from .config import epsilon, floatx, set_epsilon, set_floatx
from .layers.layer import name_counts

__all__ = ["clear_session", "epsilon", "floatx", "set_epsilon", "set_floatx"]


def clear_session(free_memory: bool = True) -> None:
    """Start counting the names of layers anew: the next LSTM is `lstm` again. Layers that exist keep theirs.

    With `free_memory`, what models that are no more have left is freed: cycles of objects, and the memory that derived
    recurrences keep for their next calls. On Linux it goes back to the system.

    >>> from tinygrad_rnn.layers import LSTM
    >>> clear_session()
    >>> LSTM(1).name, LSTM(1).name
    ('lstm', 'lstm_1')
    >>> clear_session()
    >>> LSTM(1).name
    'lstm'
    """
    name_counts.clear()
    if free_memory:
        forget()
        gc.collect()
        _give_back()


def _give_back() -> None:
    """Let the C library return what is free: of large arrays, too, it keeps all that lies below one in use."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):  # glibc has it
        library.malloc_trim(0)
