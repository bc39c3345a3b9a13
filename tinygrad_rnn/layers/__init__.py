"""Layers, with Keras's names, arguments and defaults."""

from __future__ import annotations

from .advanced_activations import ELU, LeakyReLU, PReLU, ReLU, Softmax
from .bidirectional import Bidirectional
from .cell import StackedRNNCells
from .core import Activation, Dense, Identity, Lambda, Masking, TimeDistributed
from .embedding import Embedding
from .gru import GRU, GRUCell
from .layer import Layer
from .lstm import LSTM, LSTMCell
from .merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)  # fmt: skip
from .noise import ActivityRegularization, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D
from .operation import Operation
from .reshaping import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D
from .rnn import RNN
from .simple_rnn import SimpleRNN, SimpleRNNCell
from .symbolic import Input

__all__ = [
    "ELU", "GRU", "LSTM", "RNN", "Activation", "ActivityRegularization", "Add", "Average", "Bidirectional",
    "Concatenate", "Cropping1D", "Dense", "Dot", "Dropout", "Embedding", "Flatten", "GRUCell",
    "GaussianDropout", "GaussianNoise", "Identity", "Input", "LSTMCell", "Lambda", "Layer", "LeakyReLU",
    "Masking", "Maximum", "Minimum", "Multiply", "PReLU", "Permute", "ReLU", "RepeatVector", "Reshape",
    "SimpleRNN", "SimpleRNNCell", "Softmax", "SpatialDropout1D", "StackedRNNCells", "Subtract",
    "TimeDistributed", "UpSampling1D", "ZeroPadding1D", "add", "average", "concatenate", "dot", "maximum",
    "minimum", "multiply", "subtract",
]  # fmt: skip

# The closed list of classes that a saved model may name.
LAYERS: dict[str, type[Layer]] = {
    name: value for name in __all__ if isinstance(value := globals()[name], type) and issubclass(value, Layer)
} | {"Operation": Operation}  # made by operators, not by hand
