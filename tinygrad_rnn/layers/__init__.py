"""Layers, with Keras's names, arguments and defaults."""

from __future__ import annotations

from .attention import AdditiveAttention, Attention
from .bidirectional import Bidirectional
from .cell import StackedRNNCells
from .convolution import Conv1D, Convolution1D
from .core import Activation, Dense, Dropout, Flatten, Reshape, TimeDistributed
from .embedding import Embedding
from .gru import GRU, GRUCell
from .layer import Layer
from .lstm import LSTM, LSTMCell
from .multi_head_attention import MultiHeadAttention
from .normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from .pooling import (
    AveragePooling1D,
    AvgPool1D,
    GlobalAveragePooling1D,
    GlobalAvgPool1D,
    GlobalMaxPool1D,
    GlobalMaxPooling1D,
    MaxPool1D,
    MaxPooling1D,
)
from .rnn import RNN
from .simple_rnn import SimpleRNN, SimpleRNNCell
from .symbolic import Input

__all__ = [
    "GRU", "LSTM", "RNN", "Activation", "AdditiveAttention", "Attention", "AveragePooling1D", "AvgPool1D",
    "BatchNormalization", "Bidirectional", "Conv1D", "Convolution1D", "Dense", "Dropout", "Embedding",
    "Flatten", "GRUCell", "GlobalAveragePooling1D", "GlobalAvgPool1D", "GlobalMaxPool1D", "GlobalMaxPooling1D",
    "GroupNormalization", "Input", "LSTMCell", "Layer", "LayerNormalization", "MaxPool1D", "MaxPooling1D",
    "MultiHeadAttention", "RMSNormalization", "Reshape", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells",
    "TimeDistributed", "UnitNormalization",
]  # fmt: skip

# The closed list of classes that a saved model may name.
LAYERS: dict[str, type[Layer]] = {
    name: value for name in __all__ if isinstance(value := globals()[name], type) and issubclass(value, Layer)
}
