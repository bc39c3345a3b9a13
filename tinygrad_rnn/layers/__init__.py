"""Layers, with Keras's names, arguments and defaults."""

from __future__ import annotations

from .bidirectional import Bidirectional
from .cell import StackedRNNCells
from .core import Activation, Dense, Dropout, Flatten, Reshape, TimeDistributed
from .embedding import Embedding
from .gru import GRU, GRUCell
from .layer import Layer
from .lstm import LSTM, LSTMCell
from .preprocessing import (
    CategoryEncoding,
    Discretization,
    IntegerLookup,
    Normalization,
    Rescaling,
    StringLookup,
    TextVectorization,
)
from .rnn import RNN
from .simple_rnn import SimpleRNN, SimpleRNNCell
from .symbolic import Input

__all__ = [
    "GRU", "LSTM", "RNN", "Activation", "Bidirectional", "CategoryEncoding", "Dense", "Discretization",
    "Dropout", "Embedding", "Flatten", "GRUCell", "Input", "IntegerLookup", "LSTMCell", "Layer", "Normalization",
    "Rescaling", "Reshape", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells", "StringLookup", "TextVectorization",
    "TimeDistributed",
]  # fmt: skip

# The closed list of classes that a saved model may name.
LAYERS: dict[str, type[Layer]] = {
    name: value for name in __all__ if isinstance(value := globals()[name], type) and issubclass(value, Layer)
}
