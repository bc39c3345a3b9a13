"""The names that programs import from `keras.backend`: settings, and `clear_session`."""

from __future__ import annotations

from .config import epsilon, floatx, set_epsilon, set_floatx
from .layers.layer import name_counts

__all__ = ["clear_session", "epsilon", "floatx", "set_epsilon", "set_floatx"]


def clear_session() -> None:
    """Start counting the names of layers anew: the next LSTM is `lstm` again. Layers that exist keep theirs.

    >>> from tinygrad_rnn.layers import LSTM
    >>> clear_session()
    >>> LSTM(1).name, LSTM(1).name
    ('lstm', 'lstm_1')
    >>> clear_session()
    >>> LSTM(1).name
    'lstm'
    """
    name_counts.clear()
